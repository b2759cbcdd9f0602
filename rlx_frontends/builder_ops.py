"""The methods of `ModelBuilder` that make ops, one for every op of HIR. What an op computes stands in its docstring.

Names and arguments follow NumPy where it has the function (`axis`, `keepdims`); shapes are inferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlx_dialects import hir
from rlx_frontends.dims import DimLike

if TYPE_CHECKING:
    from rlx_frontends.builder import Number, Value


class OpMethods:
    """Mixed into `ModelBuilder`, which provides `_op`, `_ssa` and the like."""

    _op: Any
    _ssa: Any
    _pair: Any
    _operand: Any
    _constant: Any
    _value: Any
    _values: Any
    _dim: Any
    _dims: Any
    _dtype: Any
    _next_state: Any

    # -- products and norms

    def linear(self, x: Value, w: Value, bias: Value | None = None, activation: str = "none") -> Value:
        """`activation(x · w + bias)`: x [..., K], w [K, N], bias [N] -> [..., N]."""
        return self._value(self._op(hir.LinearOp, self._ssa(x), self._ssa(w), self._optional(bias), activation))

    def matmul(self, lhs: Value, rhs: Value) -> Value:
        """[..., M, K] · [..., K, N] -> [..., M, N]."""
        return self._value(self._op(hir.MatmulOp, self._ssa(lhs), self._ssa(rhs)))

    def layer_norm(self, x: Value, scale: Value, bias: Value | None = None, eps: float = 1e-5) -> Value:
        """Over the last axis: x [..., N], scale and bias [N] -> [..., N]."""
        return self._value(self._op(hir.LayerNormOp, self._ssa(x), self._ssa(scale), self._optional(bias), eps))

    def rms_norm(self, x: Value, scale: Value, eps: float = 1e-6) -> Value:
        """Over the last axis: x [..., N], scale [N] -> [..., N]."""
        return self._value(self._op(hir.RmsNormOp, self._ssa(x), self._ssa(scale), eps))

    def residual_layer_norm(
        self, x: Value, residual: Value, scale: Value, bias: Value | None = None, eps: float = 1e-5
    ) -> tuple[Value, Value]:
        """(x + residual, layer_norm(x + residual))."""
        op = self._op(hir.ResidualLayerNormOp, self._ssa(x), self._ssa(residual), self._ssa(scale), self._optional(bias), eps)
        return self._values(op)

    def residual_rms_norm(self, x: Value, residual: Value, scale: Value, eps: float = 1e-6) -> tuple[Value, Value]:
        """(x + residual, rms_norm(x + residual))."""
        return self._values(self._op(hir.ResidualRmsNormOp, self._ssa(x), self._ssa(residual), self._ssa(scale), eps))

    def softmax(self, x: Value, axis: int = -1) -> Value:
        return self._value(self._op(hir.SoftmaxOp, self._ssa(x), axis))

    # -- embedding and pooling

    def embedding(self, table: Value, ids: Value, oob: str = "error") -> Value:
        """table [V, N], ids [...] -> [..., N]; `oob` is error, clamp or fill."""
        return self._value(self._op(hir.EmbeddingOp, self._ssa(table), self._ssa(ids), oob))

    def mean_pool(self, x: Value, mask: Value) -> Value:
        """The masked mean: x [B, S, N], mask [B, S] -> [B, N]."""
        return self._value(self._op(hir.MeanPoolOp, self._ssa(x), self._ssa(mask)))

    def l2_normalize(self, x: Value, eps: float = 1e-12) -> Value:
        """`x / max(‖x‖, eps)` over the last axis."""
        return self._value(self._op(hir.L2NormalizeOp, self._ssa(x), eps))

    # -- attention and state

    def attention(
        self, q: Value, k: Value, v: Value, *, heads: int, kv_heads: int | None = None, mask: str = "none",
        window: int | None = None, key_mask: Value | None = None, bias: Value | None = None, scale: float | None = None,
        softcap: float | None = None, past: DimLike | None = None,
    ) -> Value:  # fmt: skip
        """q [B, S, heads·D]; k, v [B, T, kv_heads·D] or states [B, kv_heads, C, D] -> [B, S, heads·D].

        `mask` is none, causal or sliding (with `window`); see `hir.attention` for the rest.
        """
        op = self._op(
            hir.AttentionOp, self._ssa(q), self._ssa(k), self._ssa(v), heads, kv_heads, mask, window, self._optional(key_mask),
            self._optional(bias), scale, softcap, None if past is None else self._dim(past),
        )  # fmt: skip
        return self._value(op)

    def rope(self, x: Value, *, head_dim: int, theta: float = 10000.0, rotary: int | None = None, offset: DimLike = 0) -> Value:
        """Rotary positions on packed heads: x [B, S, H·head_dim] -> the same; `offset` is the position of row 0."""
        return self._value(self._op(hir.RopeOp, self._ssa(x), head_dim, theta, rotary, self._dim(offset)))

    def cache_update(self, state: Value, new: Value, at: DimLike) -> Value:
        """The next value of `state` [B, H, C, D], with `new` [B, S, H·D] or [B, H, S, D] in rows [at, at + S)."""
        before = self._ssa(state)
        op = self._op(hir.CacheUpdateOp, before, self._ssa(new), self._dim(at))
        self._next_state(before, op.result)
        return self._value(op)

    # -- blocks

    def swiglu_ffn(self, x: Value, up: Value, gate: Value, down: Value) -> Value:
        """`(silu(x · gate) * (x · up)) · down`: x [..., E], up and gate [E, F], down [F, E] -> [..., E]."""
        return self._value(self._op(hir.SwigluFfnOp, *map(self._ssa, (x, up, gate, down))))

    def encoder_block(
        self, x: Value, *, query: tuple[Value, Value], key: tuple[Value, Value], value: tuple[Value, Value],
        output: tuple[Value, Value], norm1: tuple[Value, Value], up: tuple[Value, Value], down: tuple[Value, Value],
        norm2: tuple[Value, Value], heads: int, mask: Value | None = None, eps: float = 1e-12, activation: str = "gelu",
    ) -> Value:  # fmt: skip
        """A BERT layer: x [B, S, E], every pair (weight [in, out] or scale, bias), mask [B, S] -> [B, S, E]."""
        weights = [self._ssa(w) for pair in (query, key, value, output, norm1, up, down, norm2) for w in pair]
        op = self._op(
            hir.EncoderBlockOp, self._ssa(x), weights, self._optional(mask), heads=heads, eps=eps, activation=activation
        )
        return self._value(op)

    def decoder_block(
        self, x: Value, *, norm1: Value, qkv: tuple[Value, Value, Value], output: Value, norm2: Value,
        ffn: tuple[Value, Value, Value], cache: tuple[Value, Value], heads: int, kv_heads: int, past: DimLike,
        theta: float = 10000.0, eps: float = 1e-6, window: int | None = None,
    ) -> tuple[Value, Value, Value]:  # fmt: skip
        """A Llama layer; `ffn` is (up, gate, down), `cache` (k, v) -> (y [B, S, E], next k, next v)."""
        weights = [self._ssa(w) for w in (norm1, *qkv, output, norm2, *ffn)]
        states = [self._ssa(state) for state in cache]
        op = self._op(
            hir.DecoderBlockOp, self._ssa(x), weights, states, heads=heads, kv_heads=kv_heads, past=self._dim(past),
            theta=theta, eps=eps, window=window,
        )  # fmt: skip
        self._next_state(states[0], op.k_out)
        self._next_state(states[1], op.v_out)
        return self._values(op)

    # -- elementwise

    def neg(self, x: Value) -> Value:
        return self._unary(hir.NegOp, x)

    def abs(self, x: Value) -> Value:
        return self._unary(hir.AbsOp, x)

    def exp(self, x: Value) -> Value:
        return self._unary(hir.ExpOp, x)

    def log(self, x: Value) -> Value:
        return self._unary(hir.LogOp, x)

    def sqrt(self, x: Value) -> Value:
        return self._unary(hir.SqrtOp, x)

    def rsqrt(self, x: Value) -> Value:
        return self._unary(hir.RsqrtOp, x)

    def sin(self, x: Value) -> Value:
        return self._unary(hir.SinOp, x)

    def cos(self, x: Value) -> Value:
        return self._unary(hir.CosOp, x)

    def tan(self, x: Value) -> Value:
        return self._unary(hir.TanOp, x)

    def arctan(self, x: Value) -> Value:
        return self._unary(hir.AtanOp, x)

    def tanh(self, x: Value) -> Value:
        return self._unary(hir.TanhOp, x)

    def erf(self, x: Value) -> Value:
        return self._unary(hir.ErfOp, x)

    def sigmoid(self, x: Value) -> Value:
        return self._unary(hir.SigmoidOp, x)

    def relu(self, x: Value) -> Value:
        return self._unary(hir.ReluOp, x)

    def gelu(self, x: Value) -> Value:
        return self._unary(hir.GeluOp, x)

    def gelu_tanh(self, x: Value) -> Value:
        return self._unary(hir.GeluTanhOp, x)

    def silu(self, x: Value) -> Value:
        return self._unary(hir.SiluOp, x)

    def floor(self, x: Value) -> Value:
        return self._unary(hir.FloorOp, x)

    def ceil(self, x: Value) -> Value:
        return self._unary(hir.CeilOp, x)

    def round(self, x: Value) -> Value:
        return self._unary(hir.RoundOp, x)

    def logical_not(self, x: Value) -> Value:
        return self._unary(hir.NotOp, x)

    def add(self, lhs: Value | Number, rhs: Value | Number) -> Value:
        return self._binary(hir.AddOp, lhs, rhs)

    def sub(self, lhs: Value | Number, rhs: Value | Number) -> Value:
        return self._binary(hir.SubOp, lhs, rhs)

    def mul(self, lhs: Value | Number, rhs: Value | Number) -> Value:
        return self._binary(hir.MulOp, lhs, rhs)

    def div(self, lhs: Value | Number, rhs: Value | Number) -> Value:
        return self._binary(hir.DivOp, lhs, rhs)

    def maximum(self, lhs: Value | Number, rhs: Value | Number) -> Value:
        return self._binary(hir.MaxOp, lhs, rhs)

    def minimum(self, lhs: Value | Number, rhs: Value | Number) -> Value:
        return self._binary(hir.MinOp, lhs, rhs)

    def power(self, lhs: Value | Number, rhs: Value | Number) -> Value:
        return self._binary(hir.PowOp, lhs, rhs)

    def logical_and(self, lhs: Value, rhs: Value) -> Value:
        return self._binary(hir.AndOp, lhs, rhs)

    def logical_or(self, lhs: Value, rhs: Value) -> Value:
        return self._binary(hir.OrOp, lhs, rhs)

    def compare(self, lhs: Value | Number, rhs: Value | Number, kind: str) -> Value:
        """Bool; `kind` is eq, ne, lt, le, gt or ge."""
        return self._value(self._op(hir.CompareOp, *self._pair(lhs, rhs), kind))

    def where(self, condition: Value, lhs: Value | Number, rhs: Value | Number) -> Value:
        """`lhs` where `condition`, else `rhs`."""
        return self._value(self._op(hir.SelectOp, self._ssa(condition), *self._pair(lhs, rhs)))

    def cast(self, x: Value, dtype: str) -> Value:
        return self._value(self._op(hir.CastOp, self._ssa(x), self._dtype(dtype)))

    # -- reductions

    def sum(self, x: Value, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Value:
        return self._reduce("sum", x, axis, keepdims)

    def mean(self, x: Value, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Value:
        return self._reduce("mean", x, axis, keepdims)

    def max(self, x: Value, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Value:
        return self._reduce("max", x, axis, keepdims)

    def min(self, x: Value, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Value:
        return self._reduce("min", x, axis, keepdims)

    def prod(self, x: Value, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Value:
        return self._reduce("prod", x, axis, keepdims)

    # -- data movement

    def constant(self, value: Any, dtype: str = "f32") -> Value:
        """A literal from a number, nested lists or an array; at most 64 KiB."""
        return self._value(self._constant(value, dtype))

    def reshape(self, x: Value, shape: Sequence[DimLike]) -> Value:
        return self._value(self._op(hir.ReshapeOp, self._ssa(x), self._dims(shape)))

    def transpose(self, x: Value, perm: Sequence[int] | None = None) -> Value:
        """Axis i of the result is axis perm[i] of x; all axes reversed by default."""
        axes = tuple(reversed(range(len(x.shape)))) if perm is None else perm
        return self._value(self._op(hir.TransposeOp, self._ssa(x), axes))

    def slice(self, x: Value, axis: int, start: DimLike, length: DimLike) -> Value:
        """`length` elements along `axis`, from `start`."""
        return self._value(self._op(hir.SliceOp, self._ssa(x), axis, self._dim(start), self._dim(length)))

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        return self._value(self._op(hir.ConcatOp, [self._ssa(value) for value in values], axis))

    def broadcast_to(self, x: Value, shape: Sequence[DimLike]) -> Value:
        return self._value(self._op(hir.BroadcastOp, self._ssa(x), self._dims(shape)))

    # -- helpers

    def _optional(self, value: Value | None) -> Any:
        return None if value is None else self._ssa(value)

    def _unary(self, op: Any, x: Value) -> Value:
        return self._value(self._op(op, self._ssa(x)))

    def _binary(self, op: Any, lhs: Value | Number, rhs: Value | Number) -> Value:
        return self._value(self._op(op, *self._pair(lhs, rhs)))

    def _reduce(self, kind: str, x: Value, axis: int | Sequence[int] | None, keepdims: bool) -> Value:
        axes = range(len(x.shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
        return self._value(self._op(hir.ReduceOp, self._ssa(x), kind, tuple(axes), keepdims))

"""Attention over packed heads, rotary positions, the key/value cache."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import FloatAttr, IntegerAttr, StringAttr
from xdsl.ir import SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
)

from rlx_dialects.dims import DimExpr, DimLike, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.base import HirOp, dim, integer, number
from rlx_dialects.hir.infer import (
    broadcast,
    dim_list,
    divide,
    expect_dtypes,
    expect_equal,
    expect_float,
    expect_le,
    expect_rank,
    expect_shape,
    expect_word,
    problem,
)
from rlx_dialects.rlx import DimExprAttr, StateType, TensorType, shaped_type, tensor, tensor_type

MASKS = ("none", "causal", "sliding")


@irdl_op_definition
class AttentionOp(HirOp):
    """`softmax(scale · q kᵀ + bias, over allowed keys) · v` per head (Vaswani et al. 2017, eq. 1).

    Shapes: q [B, S, heads·D]; k [B, T, kv_heads·D] and v [B, T, kv_heads·E], or states k [B, kv_heads, C, D] and
    v [B, kv_heads, C, E] of which the first T = past + S keys are read -> [B, S, heads·E]. Query head h reads key head
    h floordiv (heads floordiv kv_heads). `scale` is 1/sqrt(D) unless given; `softcap` c replaces a score s by c·tanh(s/c).

    Query i stands at position past + i. `causal` allows keys at positions <= its own, `sliding` those within `window`
    before it, `none` all; for tensors past is T - S, for states 0 unless given. `key_mask` [B, T] keeps the
    keys where it is true or >= 0.5. `bias` broadcasts to [B, heads, S, T] and adds to the scores. A query without
    an allowed key gives zero.

    ```mlir
    %y = hir.attention %q, %k, %v, key_mask %m(heads = 2, kv_heads = 2) : (!rlx.tensor<B x S x 8 x f32>,
        !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
    %z = hir.attention %q, %ks, %vs(mask = causal, heads = 2, kv_heads = 1, past = P) : (!rlx.tensor<B x S x 8 x f32>,
        !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>) -> !rlx.tensor<B x S x 8 x f32>
    ```
    """

    name = "hir.attention"
    q = operand_def(TensorType)
    k = operand_def(TensorType | StateType)
    v = operand_def(TensorType | StateType)
    key_mask = opt_operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    mask = prop_def(StringAttr, default_value=StringAttr("none"))
    window = opt_prop_def(IntegerAttr)
    heads = prop_def(IntegerAttr)
    kv_heads = prop_def(IntegerAttr)
    scale = opt_prop_def(FloatAttr)
    softcap = opt_prop_def(FloatAttr)
    past = opt_prop_def(DimExprAttr)
    result = result_def(TensorType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(
        self, q: SSAValue, k: SSAValue, v: SSAValue, heads: int, kv_heads: int | None = None, mask: str = "none",
        window: int | None = None, key_mask: SSAValue | None = None, bias: SSAValue | None = None, scale: float | None = None,
        softcap: float | None = None, past: DimLike | None = None, *, facts: Facts | None = None,
    ):  # fmt: skip
        properties = {
            "mask": StringAttr(mask),
            "window": None if window is None else integer(window),
            "heads": integer(heads),
            "kv_heads": integer(heads if kv_heads is None else kv_heads),
            "scale": None if scale is None else number(scale),
            "softcap": None if softcap is None else number(softcap),
            "past": None if past is None else dim(past),
        }
        self._init([q, k, v, key_mask, bias], properties, facts)

    @property
    def reads_state(self) -> bool:
        return isinstance(self.k.type, StateType)

    @property
    def past_length(self) -> DimExpr:
        """Keys before the first query."""
        if self.past is not None:
            return self.past.data
        return const(0) if self.reads_state else shaped_type(self.k).dims[1] - tensor_type(self.q).dims[1]

    @property
    def key_length(self) -> DimExpr:
        """T: how many keys are read."""
        return self.past_length + tensor_type(self.q).dims[1] if self.reads_state else shaped_type(self.k).dims[1]

    @property
    def head_dim(self) -> DimExpr:
        return tensor_type(self.q).dims[2] // self.heads.value.data

    @property
    def score_scale(self) -> float | None:
        """The factor of the scores; None where it is 1/sqrt of a symbolic head size."""
        if self.scale is not None:
            return self.scale.value.data
        return self.head_dim.value**-0.5 if self.head_dim.is_const else None

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        heads, kv_heads = self.heads.value.data, self.kv_heads.value.data
        q = expect_rank(self.q, 3, "q", "[B, S, heads·D]")
        expect_float(q.element_type, "q")
        expect_dtypes(q.element_type, "q", k=self.k, v=self.v, bias=self.bias)
        if kv_heads < 1 or heads % kv_heads:
            raise problem(f"{heads} query heads cannot share {kv_heads} key heads evenly")
        batch, length, packed = q.dims
        head_dim = divide(facts, packed, heads, "the last axis of q over heads")
        value_dim = self._infer_keys(facts, batch, head_dim)
        self._check_mask(facts, batch, length)
        if self.score_scale is None:
            raise problem(f"the head size {self.head_dim} is symbolic", "give scale")
        return (tensor((batch, length, value_dim * heads), q.element_type),)

    def _infer_keys(self, facts: Facts, batch: DimExpr, head_dim: DimExpr) -> DimExpr:
        """Check k and v against q; the head size of v."""
        kv_heads = self.kv_heads.value.data
        k, v = shaped_type(self.k), shaped_type(self.v)
        if type(k) is not type(v):
            raise problem(f"k and v must both be tensors or both be states, found {k} and {v}")
        if isinstance(k, StateType):
            if k.rank != 4 or v.rank != 4:
                raise problem(f"state k and v must have shape [B, kv_heads, C, D], found {dim_list(k.dims)}, {dim_list(v.dims)}")
            expect_shape(facts, self.k, (batch, const(kv_heads), k.dims[2], head_dim), "k", "q")
            expect_shape(facts, self.v, (batch, const(kv_heads), k.dims[2], v.dims[3]), "v", "k")
            expect_le(facts, self.key_length, k.dims[2], "keys read and the capacity of the state")
            return v.dims[3]
        expect_rank(self.k, 3, "k", "[B, T, kv_heads·D]")
        expect_rank(self.v, 3, "v", "[B, T, kv_heads·E]")
        expect_shape(facts, self.k, (batch, k.dims[1], head_dim * kv_heads), "k", f"q with {kv_heads} key heads")
        expect_shape(facts, self.v, (batch, k.dims[1], v.dims[2]), "v", "k")
        return divide(facts, v.dims[2], kv_heads, "the last axis of v over kv_heads")

    def _check_mask(self, facts: Facts, batch: DimExpr, length: DimExpr) -> None:
        expect_word(self.mask.data, MASKS, "mask")
        if (self.mask.data == "sliding") != (self.window is not None):
            raise problem("'window' and mask = sliding need each other")
        if self.window is not None and self.window.value.data < 0:
            raise problem(f"window is {self.window.value.data}; it must not be negative")
        if not self.reads_state and self.past is not None:
            expect_equal(facts, self.past.data + length, self.key_length, "past + S and the keys of k")
        if self.mask.data != "none":
            expect_le(facts, const(0), self.past_length, "zero and the number of keys before the first query")
        if self.key_mask is not None:
            expect_shape(facts, self.key_mask, (batch, self.key_length), "key_mask", "the keys")
        if self.bias is not None:
            scores = (batch, const(self.heads.value.data), length, self.key_length)
            found = broadcast(facts, expect_rank(self.bias, 4, "bias", "[B, heads, S, T]").dims, scores)
            if any(facts.prove_eq(a, b) is not True for a, b in zip(found, scores, strict=True)):
                raise problem(f"bias {dim_list(tensor_type(self.bias).dims)} does not broadcast to the scores {dim_list(scores)}")
        if self.softcap is not None and not self.softcap.value.data > 0:
            raise problem(f"softcap is {self.softcap.value.data}; it must be positive")


@irdl_op_definition
class RopeOp(HirOp):
    """Rotary positions (Su et al. 2021, eq. 34), pairing element i of a head with element i + rotary/2 (GPT-NeoX order).

    With c, s = cos, sin(position · theta^(-2i/rotary)) and position = offset + sequence index:
    `y[i] = x[i]·c - x[i + rotary/2]·s`, `y[i + rotary/2] = x[i + rotary/2]·c + x[i]·s`; elements from `rotary` on (default:
    head_dim) are copied.

    Shapes: x [B, S, H·head_dim] -> as x.

    ```mlir
    %y = hir.rope %x(head_dim = 4, theta = 10000.0, offset = P) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
    ```
    """

    name = "hir.rope"
    x = operand_def(TensorType)
    head_dim = prop_def(IntegerAttr)
    theta = prop_def(FloatAttr)
    rotary = opt_prop_def(IntegerAttr)
    offset = prop_def(DimExprAttr, default_value=DimExprAttr(const(0)))
    result = result_def(TensorType)

    def __init__(
        self, x: SSAValue, head_dim: int, theta: float = 10000.0, rotary: int | None = None, offset: DimLike = 0,
        *, facts: Facts | None = None,
    ):  # fmt: skip
        properties = {
            "head_dim": integer(head_dim),
            "theta": number(theta),
            "rotary": None if rotary is None else integer(rotary),
            "offset": dim(offset),
        }
        self._init([x], properties, facts)

    @property
    def rotated(self) -> int:
        """How many leading elements of a head turn."""
        return self.head_dim.value.data if self.rotary is None else self.rotary.value.data

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        x, head_dim = expect_rank(self.x, 3, "x", "[B, S, H·head_dim]"), self.head_dim.value.data
        expect_float(x.element_type, "x")
        if head_dim < 1 or facts.prove_eq(x.dims[2] // head_dim * head_dim, x.dims[2]) is not True:
            raise problem(f"the last axis of x is {x.dims[2]}, not a multiple of head_dim {head_dim}")
        if not 2 <= self.rotated <= head_dim or self.rotated % 2:
            raise problem(f"{self.rotated} elements of a head cannot be rotated; an even number up to {head_dim} is needed")
        if not self.theta.value.data > 0:
            raise problem(f"theta is {self.theta.value.data}; it must be positive")
        expect_le(facts, const(0), self.offset.data, "zero and the first position")
        return (x,)


@irdl_op_definition
class CacheUpdateOp(HirOp):
    """The state with rows [at, at + S) of its sequence axis replaced by `new`; other rows keep their value.

    Shapes: state [B, H, C, D]; new [B, S, H·D] (packed) or [B, H, S, D], at + S <= C -> the state.

    ```mlir
    %k1 = hir.cache_update %k0, %new(at = P) : (!rlx.state<B x 2 x 64 x 4 x f32>, !rlx.tensor<B x S x 8 x f32>)
        -> !rlx.state<B x 2 x 64 x 4 x f32>
    ```
    """

    name = "hir.cache_update"
    state = operand_def(StateType)
    new = operand_def(TensorType)
    at = prop_def(DimExprAttr)
    result = result_def(StateType)

    def __init__(self, state: SSAValue, new: SSAValue, at: DimLike, *, facts: Facts | None = None):
        self._init([state, new], {"at": dim(at)}, facts)

    def infer(self, facts: Facts) -> Sequence[StateType]:
        state, new = shaped_type(self.state), tensor_type(self.new)
        assert isinstance(state, StateType)
        if state.rank != 4:
            raise problem(f"the state must have shape [B, H, C, D], found {dim_list(state.dims)}")
        expect_dtypes(state.element_type, "the state", new=self.new)
        batch, heads, capacity, size = state.dims
        if new.rank == 3:
            length = new.dims[1]
            expect_shape(facts, self.new, (batch, length, heads * size), "new", "the state (packed heads)")
        elif new.rank == 4:
            length = new.dims[2]
            expect_shape(facts, self.new, (batch, heads, length, size), "new", "the state")
        else:
            raise problem(f"new must have shape [B, S, H·D] or [B, H, S, D], found {dim_list(new.dims)}")
        expect_le(facts, self.at.data + length, capacity, "rows written and the capacity of the state")
        return (state,)

"""What each HIR op means, in NumPy: one function per op class, in the table SEMANTICS.

`evaluate` is the entry, with the signature and the rules of `rlx_dialects.mir.semantics.evaluate`: f16, bf16 and f8 compute in
f32 and round once; float64 arrays in place of smaller floats stay float64, which gives the reference that tests compare
with. The functions are written from the formulas, not from the lowering to MIR, so that comparing the two says something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from xdsl.ir import Operation, SSAValue

from rlx_dialects import hir
from rlx_dialects.mir import semantics as mir_semantics
from rlx_dialects.mir.semantics import Array, Dims, Semantics, cast_array, erf, extents, numpy_dtype
from rlx_dialects.rlx import dtypes, shaped_type
from rlx_runtime.errors import RuntimeFault


def evaluate(op: Operation, dims: Dims, *arrays: Array) -> tuple[Array, ...]:
    """The results of an op of HIR or MIR for operand arrays (absent optional ones left out); `dims` binds the symbols."""
    function = SEMANTICS.get(type(op))
    if function is None:
        return mir_semantics.evaluate(op, dims, *arrays)
    declared = [numpy_dtype(shaped_type(value).element_type) for value in op.operands]
    exact = any(array.dtype == np.float64 and dtype != np.float64 for array, dtype in zip(arrays, declared, strict=True))
    working = [array.astype(np.float32) if _is_small_float(array) else array for array in arrays]
    with np.errstate(all="ignore"):
        found = function(op, dims, *working)
    results = found if isinstance(found, tuple) else (found,)
    return tuple(_round(value, result, exact) for value, result in zip(results, op.results, strict=True))


def _is_small_float(array: Array) -> bool:
    """f16, and bf16 and f8, which NumPy sees as types of kind V."""
    return array.dtype == np.float16 or array.dtype.kind == "V"


def _round(array: Array, result: SSAValue, exact: bool) -> Array:
    element_type = shaped_type(result).element_type
    if exact and dtypes.is_float(element_type):
        return np.asarray(array, np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(array).astype(numpy_dtype(element_type), copy=False)


def _named(function: Callable[..., Array | tuple[Array, ...]]) -> Semantics:
    """Pass the operands by name: `function(op, dims, x=…, bias=…)`, absent ones left out."""

    def call(op: hir.HirOp, dims: Dims, *arrays: Array) -> Array | tuple[Array, ...]:
        rest = iter(arrays)
        names = [name for name, _ in op.get_irdl_definition().operands if getattr(op, name) is not None]
        return function(op, dims, **{name: next(rest) for name in names})

    return call


def _plain(function: Callable[..., Array]) -> Semantics:
    return lambda op, dims, *arrays: function(*arrays)


# -- elementwise


def sigmoid(x: Array) -> Array:
    # e^-|x| cannot overflow.
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0).astype(x.dtype) / (1 + e)


def silu(x: Array) -> Array:
    return np.where(x == -np.inf, 0, x * sigmoid(x)).astype(x.dtype)


def gelu(x: Array) -> Array:
    return np.where(x == -np.inf, 0, x * (1 + erf(x / x.dtype.type(2**0.5))) / 2).astype(x.dtype)


def gelu_tanh(x: Array) -> Array:
    inner = x.dtype.type((2 / np.pi) ** 0.5) * (x + x.dtype.type(0.044715) * x**3)
    return np.where(x == -np.inf, 0, x * (1 + np.tanh(inner)) / 2).astype(x.dtype)


def relu(x: Array) -> Array:
    return np.where(x < 0, 0, x).astype(x.dtype)


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return a / b
    safe = np.where(b == 0, 1, b)
    # fmod takes the sign of the dividend, so what it leaves divides exactly: truncation toward zero.
    return np.where(b == 0, 0, (a - np.fmod(a, safe)) // safe)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: x, "relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu, "tanh": np.tanh, "sigmoid": sigmoid,
}  # fmt: skip

COMPARISONS: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip


def _cast(op: hir.CastOp, dims: Dims, x: Array) -> Array:
    # A float result is rounded by evaluate, which also knows whether to keep float64.
    return x if dtypes.is_float(op.dtype) and x.dtype.kind == "f" else cast_array(x, op.dtype)


# -- products and norms


def linear(x: Array, w: Array, bias: Array | None = None, activation: str = "none") -> Array:
    y = np.tensordot(x, w, axes=1)
    return ACTIVATIONS[activation](y if bias is None else y + bias)


def _linear(op: hir.LinearOp, dims: Dims, x: Array, w: Array, bias: Array | None = None) -> Array:
    return linear(x, w, bias, op.activation.data)


def layer_norm(x: Array, scale: Array, bias: Array | None, eps: float) -> Array:
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + x.dtype.type(eps)) * scale
    return normed if bias is None else normed + bias


def rms_norm(x: Array, scale: Array, eps: float) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + x.dtype.type(eps)) * scale


def _layer_norm(op: hir.LayerNormOp, dims: Dims, x: Array, scale: Array, bias: Array | None = None) -> Array:
    return layer_norm(x, scale, bias, op.eps.value.data)


def _residual_layer_norm(
    op: hir.ResidualLayerNormOp, dims: Dims, x: Array, residual: Array, scale: Array, bias: Array | None = None
) -> tuple[Array, Array]:
    return x + residual, layer_norm(x + residual, scale, bias, op.eps.value.data)


def _residual_rms_norm(op: hir.ResidualRmsNormOp, dims: Dims, x: Array, residual: Array, scale: Array) -> tuple[Array, Array]:
    return x + residual, rms_norm(x + residual, scale, op.eps.value.data)


def _softmax(op: hir.SoftmaxOp, dims: Dims, x: Array) -> Array:
    return softmax(x, op.normal_axis)


def softmax(x: Array, axis: int) -> Array:
    """Softmax along `axis`; zeros where every score is -inf."""
    if not x.size:
        return x
    top = x.max(axis, keepdims=True)
    e = np.exp(x - np.where(np.isfinite(top), top, np.where(np.isneginf(top), 0, top)))
    total = e.sum(axis, keepdims=True)
    return e / np.where(total == 0, 1, total)


# -- attention


def split(x: Array, heads: int) -> Array:
    """[B, S, H·D] -> [B, H, S, D]."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads if heads else 0).transpose(0, 2, 1, 3)


def attend(
    q: Array, k: Array, v: Array, *, past: int, mask: str = "none", window: int = 0, key_mask: Array | None = None,
    bias: Array | None = None, scale: float | None = None, softcap: float | None = None,
) -> Array:  # fmt: skip
    """Attention over heads: q [B, H, S, D], k [B, G, T, D], v [B, G, T, E] -> [B, S, H·E]; see `hir.attention`."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scores = np.einsum("bhsd,bhtd->bhst", q, k) * q.dtype.type(q.shape[3] ** -0.5 if scale is None else scale)
    if softcap is not None:
        scores = np.tanh(scores / q.dtype.type(softcap)) * q.dtype.type(softcap)
    if bias is not None:
        scores = scores + bias
    distance = past + np.arange(q.shape[2])[:, None] - np.arange(k.shape[2])
    dropped = (distance < 0) & (mask != "none") | (distance > window) & (mask == "sliding")
    if key_mask is not None:
        dropped = dropped | ~(key_mask >= 0.5)[:, None, None, :]
    weights = softmax(np.where(dropped, q.dtype.type(-np.inf), scores), 3)
    out = np.einsum("bhst,bhte->bshe", weights, v)
    return out.reshape(*out.shape[:2], -1) if out.size else out.reshape(*out.shape[:2], out.shape[2] * out.shape[3])


def _attention(
    op: hir.AttentionOp, dims: Dims, q: Array, k: Array, v: Array, key_mask: Array | None = None, bias: Array | None = None
) -> Array:
    heads, kv_heads = op.heads.value.data, op.kv_heads.value.data
    if op.reads_state:
        keys = op.key_length.evaluate(dims)
        k, v = k[:, :, :keys], v[:, :, :keys]
    else:
        k, v = split(k, kv_heads), split(v, kv_heads)
    return attend(
        split(q, heads), k, v, past=op.past_length.evaluate(dims), mask=op.mask.data,
        window=0 if op.window is None else op.window.value.data, key_mask=key_mask, bias=bias, scale=op.score_scale,
        softcap=None if op.softcap is None else op.softcap.value.data,
    )  # fmt: skip


def rope(x: Array, head_dim: int, rotated: int, theta: float, offset: int) -> Array:
    """Rotate the first `rotated` elements of each head of x [B, S, H·head_dim] by its position times the frequencies."""
    batch, length, packed = x.shape
    y = x.reshape(batch, length, packed // head_dim, head_dim).copy()
    half = rotated // 2
    frequencies = 1.0 / np.float64(theta) ** (np.arange(half) * 2 / rotated)
    angles = np.multiply.outer(np.arange(offset, offset + length), frequencies)[None, :, None, :]
    # One complex product per pair is the rotation.
    pairs = (y[..., :half] + 1j * y[..., half:rotated].astype(np.float64)) * np.exp(1j * angles)
    y[..., :half], y[..., half:rotated] = pairs.real, pairs.imag
    return y.reshape(x.shape)


def _rope(op: hir.RopeOp, dims: Dims, x: Array) -> Array:
    return rope(x, op.head_dim.value.data, op.rotated, op.theta.value.data, op.offset.data.evaluate(dims))


def _update(state: Array, new: Array, at: int) -> Array:
    """`state` [B, H, C, D] with `new`, packed or split, from row `at` on; RuntimeFault where it does not fit."""
    new = split(new, state.shape[1]) if new.ndim == 3 else new
    if at < 0 or at + new.shape[2] > state.shape[2]:
        raise RuntimeFault(f"cache_update writes rows [{at}, {at + new.shape[2]}) of a state with {state.shape[2]} rows")
    return np.concatenate([state[:, :, :at], new.astype(state.dtype), state[:, :, at + new.shape[2] :]], axis=2)


def _cache_update(op: hir.CacheUpdateOp, dims: Dims, state: Array, new: Array) -> Array:
    # In float64 the new rows may be wider than the state that was passed.
    wide = state.astype(np.result_type(state.dtype, new.dtype)) if new.dtype.kind == "f" else state
    return _update(wide, new, op.at.data.evaluate(dims))


# -- blocks


def _embedding(op: hir.EmbeddingOp, dims: Dims, table: Array, ids: Array) -> Array:
    inside = (0 <= ids) & (ids < len(table))
    if op.oob.data == "error" and not inside.all():
        raise RuntimeFault(f"embedding: id {ids[~inside][0]} is outside of [0, {len(table)})", code="index")
    rows = np.take(table, ids.astype(np.int64), axis=0, mode="clip") if len(table) else np.zeros((*ids.shape, table.shape[1]))
    return rows if op.oob.data == "clamp" else np.where(inside[..., None], rows, 0).astype(table.dtype)


def _mean_pool(op: hir.MeanPoolOp, dims: Dims, x: Array, mask: Array) -> Array:
    weights = mask.astype(x.dtype)
    return np.einsum("bsn,bs->bn", x, weights) / np.maximum(weights.sum(1, keepdims=True), x.dtype.type(1e-9))


def _l2_normalize(op: hir.L2NormalizeOp, dims: Dims, x: Array) -> Array:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), x.dtype.type(op.eps.value.data))


def swiglu(x: Array, up: Array, gate: Array, down: Array) -> Array:
    return linear(linear(x, gate, activation="silu") * linear(x, up), down)


def _encoder_block(op: hir.EncoderBlockOp, dims: Dims, x: Array, mask: Array | None = None, **w: Array) -> Array:
    heads, eps = op.heads.value.data, op.eps.value.data
    q, k, v = (split(linear(x, w[f"{name}_w"], w[f"{name}_b"]), heads) for name in "qkv")
    attended = linear(attend(q, k, v, past=0, key_mask=mask), w["o_w"], w["o_b"])
    h = layer_norm(x + attended, w["norm1_scale"], w["norm1_bias"], eps)
    wide = linear(h, w["up_w"], w["up_b"], op.activation.data)
    return layer_norm(h + linear(wide, w["down_w"], w["down_b"]), w["norm2_scale"], w["norm2_bias"], eps)


def _decoder_block(
    op: hir.DecoderBlockOp, dims: Dims, x: Array, k_state: Array, v_state: Array, **w: Array
) -> tuple[Array, Array, Array]:
    head_dim, past, eps = op.head_dim.value, op.past.data.evaluate(dims), op.eps.value.data
    normed = rms_norm(x, w["norm1"], eps)
    q, k = (rope(linear(normed, w[name]), head_dim, head_dim, op.theta.value.data, past) for name in ("q_w", "k_w"))
    k_out = _update(k_state.astype(x.dtype), k, past)
    v_out = _update(v_state.astype(x.dtype), linear(normed, w["v_w"]), past)
    keys = past + x.shape[1]
    window = 0 if op.window is None else op.window.value.data
    attended = attend(
        split(q, op.heads.value.data), k_out[:, :, :keys], v_out[:, :, :keys], past=past,
        mask="causal" if op.window is None else "sliding", window=window,
    )  # fmt: skip
    h = x + linear(attended, w["o_w"])
    return h + swiglu(rms_norm(h, w["norm2"], eps), w["up"], w["gate"], w["down"]), k_out, v_out


# -- the rest


def _reduce(op: hir.ReduceOp, dims: Dims, x: Array) -> Array:
    axes, keep = op.normal_axes, op.keepdims is not None
    kind = op.kind.data
    if kind in ("max", "min"):
        info = None if x.dtype.kind == "f" else np.iinfo(cast(Any, x.dtype))
        low, high = (-np.inf, np.inf) if info is None else (info.min, info.max)
        function = np.max if kind == "max" else np.min
        return function(x, axis=axes, keepdims=keep, initial=low if kind == "max" else high)
    function = {"sum": np.sum, "mean": np.mean, "prod": np.prod}[kind]
    return function(x, axis=axes, keepdims=keep, dtype=x.dtype)


def _slice(op: hir.SliceOp, dims: Dims, x: Array) -> Array:
    start, length, axis = op.start.data.evaluate(dims), op.length.data.evaluate(dims), op.normal_axis
    if start < 0 or start + length > x.shape[axis]:
        raise RuntimeFault(f"slice [{start}, {start + length}) of axis {axis} is outside of [0, {x.shape[axis]})")
    return np.take(x, np.arange(start, start + length), axis)


SEMANTICS: dict[type[Operation], Semantics] = {
    hir.NegOp: _plain(np.negative), hir.AbsOp: _plain(np.abs), hir.ExpOp: _plain(np.exp), hir.LogOp: _plain(np.log),
    hir.SqrtOp: _plain(np.sqrt), hir.RsqrtOp: _plain(lambda x: x.dtype.type(1) / np.sqrt(x)), hir.SinOp: _plain(np.sin),
    hir.CosOp: _plain(np.cos), hir.TanOp: _plain(np.tan), hir.AtanOp: _plain(np.arctan), hir.TanhOp: _plain(np.tanh),
    hir.ErfOp: _plain(erf), hir.SigmoidOp: _plain(sigmoid), hir.ReluOp: _plain(relu), hir.GeluOp: _plain(gelu),
    hir.GeluTanhOp: _plain(gelu_tanh), hir.SiluOp: _plain(silu), hir.FloorOp: _plain(np.floor), hir.CeilOp: _plain(np.ceil),
    hir.RoundOp: _plain(np.rint), hir.NotOp: _plain(np.logical_not),
    hir.AddOp: _plain(np.add), hir.SubOp: _plain(np.subtract), hir.MulOp: _plain(np.multiply), hir.DivOp: _plain(_divide),
    hir.MaxOp: _plain(np.maximum), hir.MinOp: _plain(np.minimum), hir.PowOp: _plain(np.power),
    hir.AndOp: _plain(np.logical_and), hir.OrOp: _plain(np.logical_or),
    hir.CompareOp: lambda op, dims, lhs, rhs: COMPARISONS[op.kind.data](lhs, rhs),
    hir.SelectOp: _plain(np.where),
    hir.CastOp: _cast,
    hir.LinearOp: _named(_linear),
    hir.MatmulOp: _plain(np.matmul),
    hir.LayerNormOp: _named(_layer_norm),
    hir.RmsNormOp: lambda op, dims, x, scale: rms_norm(x, scale, op.eps.value.data),
    hir.ResidualLayerNormOp: _named(_residual_layer_norm),
    hir.ResidualRmsNormOp: _named(_residual_rms_norm),
    hir.SoftmaxOp: _softmax,
    hir.EmbeddingOp: _embedding,
    hir.MeanPoolOp: _mean_pool,
    hir.L2NormalizeOp: _l2_normalize,
    hir.AttentionOp: _named(_attention),
    hir.RopeOp: _rope,
    hir.CacheUpdateOp: _cache_update,
    hir.SwigluFfnOp: lambda op, dims, x, up, gate, down: swiglu(x, up, gate, down),
    hir.EncoderBlockOp: _named(_encoder_block),
    hir.DecoderBlockOp: _named(_decoder_block),
    hir.ReduceOp: _reduce,
    hir.ReshapeOp: lambda op, dims, x: x.reshape(extents(op.shape.data, dims)),
    hir.TransposeOp: lambda op, dims, x: x.transpose(op.axes),
    hir.SliceOp: _slice,
    hir.ConcatOp: lambda op, dims, *values: np.concatenate(values, axis=op.normal_axis),
    hir.BroadcastOp: lambda op, dims, x: np.broadcast_to(x, extents(op.shape.data, dims)),
}  # fmt: skip
"""Op class -> function (op, dims, *operand arrays) -> result array(s)."""

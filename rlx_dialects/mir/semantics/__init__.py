"""What each MIR op means, in NumPy: one function per op class, in the table SEMANTICS.

`evaluate(op, dims, *arrays)` is the entry: operands in order (absent optional ones left out), `dims` the value of every
symbol, one array or a tuple back. f16, bf16 and f8 operands are converted to f32, computed there, and the result is rounded
once. Where an operand of an op on smaller floats is a float64 array, the op is computed in float64 and the result is left
so: running a model on float64 arrays gives the reference that tests compare with. Functions in the table see f32 or f64
arrays only.

Constant folding, the reference executor and the oracles of tests all use this table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import ml_dtypes
import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from xdsl.ir import Attribute, Operation

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr
from rlx_dialects.mir.attention import head_axis, sequence_axis
from rlx_dialects.mir.constant import pack
from rlx_dialects.mir.semantics import convolution, ordering, quantization, recurrence
from rlx_dialects.rlx import TensorType, dtypes, shaped_type, tensor
from rlx_runtime.errors import RuntimeFault

Array: TypeAlias = "np.ndarray[Any, Any]"
Dims: TypeAlias = Mapping[str, int]
Semantics: TypeAlias = "Callable[..., Array | tuple[Array, ...]]"

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "f64": np.dtype(np.float64), "f32": np.dtype(np.float32), "f16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16),
    "f8e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn), "f8e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "i64": np.dtype(np.int64), "i32": np.dtype(np.int32), "i16": np.dtype(np.int16), "i8": np.dtype(np.int8),
    "i4": np.dtype(np.int8), "u64": np.dtype(np.uint64), "u32": np.dtype(np.uint32), "u16": np.dtype(np.uint16),
    "u8": np.dtype(np.uint8), "bool": np.dtype(np.bool_),
}  # fmt: skip
"""API dtype name -> array dtype. i4 is held one value per int8."""

_SMALL_FLOATS = frozenset(NUMPY_DTYPES[name] for name in ("f16", "bf16", "f8e4m3fn", "f8e5m2"))


def numpy_dtype(element_type: Attribute) -> np.dtype[Any]:
    """The array dtype of an IR element type."""
    return NUMPY_DTYPES[dtypes.dtype_name(element_type)]


def extents(dims: Sequence[DimExpr], values: Dims) -> tuple[int, ...]:
    """A shape with its symbols bound."""
    return tuple(dim.evaluate(values) for dim in dims)


def evaluate(op: Operation, dims: Dims, *arrays: Array) -> tuple[Array, ...]:
    """The results of `op` for operand arrays, rounded to the result types (see the module docstring for float64)."""
    working = [array.astype(np.float32) if array.dtype in _SMALL_FLOATS else array for array in arrays]
    in_double = any(
        array.dtype == np.float64 and dtypes.dtype_name(cast(TensorType, operand.type).element_type) != "f64"
        for array, operand in zip(arrays, op.operands)
    )
    with np.errstate(all="ignore"):
        found = SEMANTICS[type(op)](op, dims, *working)
    results = found if isinstance(found, tuple) else (found,)
    return tuple(_finish(result, shaped_type(value).element_type, in_double) for result, value in zip(results, op.results))


def _finish(result: Array, element_type: Attribute, in_double: bool) -> Array:
    if in_double and dtypes.is_float(element_type):
        return np.asarray(result, np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(result).astype(numpy_dtype(element_type), copy=False)


_ERF_NEAR = Polynomial([2 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in range(20)])


def _erfc_tail(points: int = 22) -> Polynomial:
    """The polynomial that equals e^(1/t²) · erfc(1/t) in Chebyshev points of [1/6, 1]."""
    odd = 2 * np.arange(points) + 1
    t = (7 + 5 * np.cos(np.pi * odd / (2 * points))) / 12
    values = np.array([math.erfc(1 / v) * math.exp(v**-2) for v in t])
    # cos(k θ) with the multiple of π reduced in integers, so that it is exact to the last bit.
    angles = np.pi * (np.outer(np.arange(points), odd) % (4 * points)) / (2 * points)
    coefficients = 2 / points * np.cos(angles) @ values
    coefficients[0] /= 2
    series = Chebyshev(coefficients, domain=[1 / 6, 1])
    return series.convert(kind=Polynomial, domain=series.domain, window=series.window)


_ERF_FAR = _erfc_tail()


def erf(x: Array) -> Array:
    """The error function, to 4e-16 absolute in double precision; f32 arrays are computed in double and rounded.

    |x| < 1: the Maclaurin series x · p(x²) (Abramowitz & Stegun 1964, 7.1.5). Beyond: 1 - e^(-x²) · q(1/x), constant from
    |x| = 6 on, where q interpolates the C library's erfc in Chebyshev points (Trefethen 2013, Approximation Theory and
    Approximation Practice, ch. 3).
    """
    a = np.abs(x.astype(np.float64))
    near, far = np.minimum(a, 1.0), np.clip(a, 1.0, 6.0)
    beyond = 1.0 - np.exp(-far * far) * _ERF_FAR(1 / far)
    return np.copysign(np.where(a < 1.0, a * _ERF_NEAR(near * near), beyond), x).astype(x.dtype)


def _sigmoid(x: Array) -> Array:
    # Two forms, so that exp never overflows.
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _silu(x: Array) -> Array:
    # x · sigmoid(x) is 0 · ∞ at -∞; the limit is 0.
    return np.where(np.isneginf(x), x.dtype.type(-0.0), x * _sigmoid(x))


def _gelu(x: Array) -> Array:
    return np.where(np.isneginf(x), x.dtype.type(-0.0), x * (0.5 * (1 + erf(x * x.dtype.type(np.sqrt(0.5))))).astype(x.dtype))


def _gelu_tanh(x: Array) -> Array:
    c = x.dtype.type(np.sqrt(2 / np.pi))
    inner = c * (x + x.dtype.type(0.044715) * x * x * x)
    return np.where(np.isneginf(x), x.dtype.type(-0.0), x * (x.dtype.type(0.5) * (1 + np.tanh(inner))))


def _relu(x: Array) -> Array:
    return np.maximum(x, x.dtype.type(0))


def _div(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return a / b
    # Exact for all integers: floor division corrected towards zero. Negating the lowest value wraps, as in two's complement.
    quotient = np.where(b == 0, 0, a // np.where(b == 0, 1, b))
    rest = a - quotient * b
    return np.where((b != 0) & (rest != 0) & ((a < 0) != (b < 0)), quotient + 1, quotient)


def _elementwise(function: Callable[..., Array]) -> Semantics:
    return lambda op, dims, *arrays: function(*arrays)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: x, "relu": _relu, "gelu": _gelu, "gelu_tanh": _gelu_tanh, "silu": _silu, "tanh": np.tanh,
    "sigmoid": _sigmoid,
}  # fmt: skip


def constant(op: mir.ConstantOp, dims: Dims) -> Array:
    stored = np.frombuffer(op.value.data, numpy_dtype(op.result.type.element_type))
    return np.broadcast_to(stored.reshape(()), op.shape) if op.is_splat() else stored.reshape(op.shape)


def constant_of(array: Array, element_type: Attribute) -> mir.ConstantOp:
    """The constant op that holds `array`, converted to `element_type`."""
    result_type = tensor(array.shape, element_type)
    data = np.ascontiguousarray(array, numpy_dtype(element_type)).tobytes()
    return mir.ConstantOp(data or pack([0], element_type), result_type)


def cast_array(x: Array, element_type: Attribute) -> Array:
    """Convert elements by the rules of mir.cast."""
    target = numpy_dtype(element_type)
    if dtypes.is_float(element_type):
        return x.astype(target)
    if target == np.bool_:
        return x != 0
    if x.dtype.kind == "f":
        bits = dtypes.bit_width(element_type)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtypes.is_signed_int(element_type) else (0, 2**bits - 1)
        whole = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
        # The upper bound of 64-bit types is no double: compare first, convert only what fits.
        inside = np.where((whole >= low) & (whole < float(high) + 1), whole, 0).astype(target)
        return np.where(whole >= float(high) + 1, target.type(high), np.where(whole < low, target.type(low), inside))
    wrapped = x.astype(target)
    if dtypes.bit_width(element_type) == 4:
        wrapped = ((wrapped + 8) & 15) - 8
    return wrapped


def _cast(op: mir.CastOp, dims: Dims, x: Array) -> Array:
    element_type = op.result.type.element_type
    if dtypes.is_float(element_type) and x.dtype == np.float64:
        return x  # evaluate rounds, or keeps the reference precision
    return cast_array(x, element_type)


def matmul(a: Array, b: Array) -> Array:
    """Matrix product of the last two axes; `b` may be one matrix for all batches."""
    return np.matmul(a, b)


def _dot_general(op: mir.DotGeneralOp, dims: Dims, lhs: Array, rhs: Array) -> Array:
    batch = len(op.lhs_batch.data)
    left = np.transpose(lhs, (*op.lhs_batch.data, *op.lhs_free, *op.lhs_contracting.data))
    right = np.transpose(rhs, (*op.rhs_batch.data, *op.rhs_contracting.data, *op.rhs_free))
    shape = (*left.shape[: batch + len(op.lhs_free)], *(rhs.shape[axis] for axis in op.rhs_free))
    inner = int(np.prod([lhs.shape[axis] for axis in op.lhs_contracting.data], dtype=np.int64))
    outer = left.shape[:batch]
    sizes = [int(np.prod([a.shape[i] for i in axes], dtype=np.int64)) for a, axes in ((lhs, op.lhs_free), (rhs, op.rhs_free))]
    product = np.matmul(left.reshape(*outer, sizes[0], inner), right.reshape(*outer, inner, sizes[1]))
    return product.reshape(shape)


def _grouped_matmul(op: mir.GroupedMatmulOp, dims: Dims, x: Array, w: Array, indices: Array) -> Array:
    bad = indices[(indices < 0) | (indices >= w.shape[0])]
    if bad.size:
        raise RuntimeFault(f"grouped_matmul: index {bad[0]} is outside of [0, {w.shape[0]})", code="index")
    return np.matmul(x[:, None, :], w[indices.astype(np.int64)])[:, 0, :]


def softmax(x: Array, axis: int) -> Array:
    """Softmax that is zero where all scores are -inf."""
    if not x.shape[axis]:
        return x
    top = np.max(x, axis=axis, keepdims=True)
    e = np.exp(x - np.where(np.isneginf(top), 0, top))
    total = np.sum(e, axis=axis, keepdims=True)
    return e / np.where(total == 0, 1, total).astype(x.dtype)


def layer_norm(x: Array, scale: Array, bias: Array, eps: float) -> Array:
    centered = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(centered * centered, axis=-1, keepdims=True)
    return centered / np.sqrt(variance + x.dtype.type(eps)) * scale + bias


def rms_norm(x: Array, scale: Array, eps: float) -> Array:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + x.dtype.type(eps)) * scale


def _normalized(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    centered = x - np.mean(x, axis=axes, keepdims=True)
    return centered / np.sqrt(np.mean(centered * centered, axis=axes, keepdims=True) + x.dtype.type(eps))


def _per_channel(value: Array, rank: int) -> Array:
    return value.reshape(-1, *[1] * (rank - 2))


def _group_norm(op: mir.GroupNormOp, dims: Dims, x: Array, scale: Array, bias: Array) -> Array:
    grouped = x.reshape(x.shape[0], op.groups.data, -1, *x.shape[2:])
    y = _normalized(grouped, tuple(range(2, grouped.ndim)), op.eps.data).reshape(x.shape)
    return y * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim)


def _channel_norm(op: mir.ChannelNormOp, dims: Dims, x: Array, scale: Array, bias: Array) -> Array:
    return _normalized(x, (1,), op.eps.data) * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim)


def _batch_norm(op: mir.BatchNormOp, dims: Dims, x: Array, *params: Array) -> Array:
    scale, bias, mean, variance = (_per_channel(param, x.ndim) for param in params)
    return (x - mean) / np.sqrt(variance + x.dtype.type(op.eps.data)) * scale + bias


def _residual_layer_norm(
    op: mir.ResidualLayerNormOp, dims: Dims, x: Array, residual: Array, scale: Array, bias: Array
) -> tuple[Array, Array]:
    total = x + residual
    return total, layer_norm(total, scale, bias, op.eps.data)


def _residual_rms_norm(op: mir.ResidualRmsNormOp, dims: Dims, x: Array, residual: Array, scale: Array) -> tuple[Array, Array]:
    total = x + residual
    return total, rms_norm(total, scale, op.eps.data)


def _attention(op: mir.AttentionOp, dims: Dims, q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
    layout, kind = op.layout.data, op.kind.data
    if layout == "bshd":
        q, k, v = (np.swapaxes(t, 1, 2) for t in (q, k, v))
    keys, past = op.keys.evaluate(dims), op.first_position.evaluate(dims)
    group = q.shape[1] // max(k.shape[1], 1)
    k, v = (np.repeat(t[:, :, :keys], group, axis=1) for t in (k, v))
    scores = np.matmul(q, np.swapaxes(k, 2, 3)) * q.dtype.type(op.scale.data)
    if op.softcap is not None:
        cap = q.dtype.type(op.softcap.data)
        scores = cap * np.tanh(scores / cap)
    position, key = past + np.arange(q.shape[2])[:, None], np.arange(keys)[None, :]
    allowed = np.ones((q.shape[2], keys), np.bool_)
    if kind in ("causal", "sliding"):
        allowed &= key <= position
    if op.window is not None:
        allowed &= key >= position - op.window.data
    if kind == "custom":
        assert mask is not None
        allowed = allowed & (np.asarray(mask, np.float64) >= 0.5)[:, None, None, :]
    if kind == "bias":
        assert mask is not None
        scores = scores + mask
    out = np.matmul(softmax(np.where(allowed, scores, scores.dtype.type(-np.inf)), 3), v)
    return np.swapaxes(out, 1, 2) if layout == "bshd" else out


def _rope(op: mir.RopeOp, dims: Dims, x: Array) -> Array:
    layout, half = op.layout.data, op.n_rot.data // 2
    position = op.first_position.evaluate(dims) + np.arange(x.shape[sequence_axis(layout)], dtype=np.float64)
    angle = position[:, None] * op.theta.data ** (-np.arange(half, dtype=np.float64) / half)
    angle = np.expand_dims(angle, head_axis(layout) - 1)
    cos, sin = np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype)
    low, high = x[..., :half], x[..., half : 2 * half]
    return np.concatenate([low * cos - high * sin, low * sin + high * cos, x[..., 2 * half :]], axis=-1)


def _broadcast(op: mir.BroadcastOp, dims: Dims, x: Array) -> Array:
    shape = extents(op.result.type.dims, dims)
    aligned = [1] * len(shape)
    for position, axis in enumerate(op.result_axes):
        aligned[axis] = x.shape[position]
    return np.broadcast_to(x.reshape(aligned), shape)


def _slice(op: mir.SliceOp, dims: Dims, x: Array) -> Array:
    index = []
    starts, sizes = extents(op.starts.data, dims), extents(op.sizes.data, dims)
    for axis, (start, size, step) in enumerate(zip(starts, sizes, op.steps)):
        end = start + (size - 1) * step + 1 if size else start
        if start < 0 or end > x.shape[axis]:
            raise RuntimeFault(f"slice [{start}, {end}) of axis {axis} is outside of [0, {x.shape[axis]})")
        index.append(slice(start, end, step))
    return x[tuple(index)]


def _gather(op: mir.GatherOp, dims: Dims, table: Array, indices: Array) -> Array:
    rows = table.shape[0]
    inside = (indices >= 0) & (indices < rows)
    if op.oob.data == "error" and not np.all(inside):
        bad = indices[~inside].reshape(-1)[0]
        raise RuntimeFault(f"gather: index {bad} is outside of [0, {rows})", code="index")
    if op.oob.data != "fill":
        return table[np.clip(indices, 0, max(rows - 1, 0)).astype(np.int64)]
    fill = op.fill.data if op.fill is not None else 0.0
    if not rows:
        return np.full(indices.shape + table.shape[1:], fill, table.dtype)
    found = table[np.where(inside, indices, 0).astype(np.int64)]
    keep = inside.reshape(inside.shape + (1,) * (table.ndim - 1))
    return np.where(keep, found, table.dtype.type(fill))


def _limits(x: Array) -> tuple[Any, Any]:
    if x.dtype.kind == "f":
        return x.dtype.type(-np.inf), x.dtype.type(np.inf)
    info = np.iinfo(x.dtype)
    return info.min, info.max


def _reduce(function: Callable[[Array, tuple[int, ...], bool], Array]) -> Semantics:
    return lambda op, dims, x: function(x, op.axes.data, op.keepdims is not None)


def _mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    return np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype) / x.dtype.type(count)


def _cache_update(op: mir.CacheUpdateOp, dims: Dims, state: Array, new: Array) -> Array:
    axis, at = op.axis.data, op.at.data.evaluate(dims)
    if at < 0 or at + new.shape[axis] > state.shape[axis]:
        raise RuntimeFault(
            f"cache_update writes [{at}, {at + new.shape[axis]}) on axis {axis}, but the state has room for {state.shape[axis]}"
        )
    updated = state.copy()
    updated[(slice(None),) * axis + (slice(at, at + new.shape[axis]),)] = new
    return updated


def _state_read(op: mir.StateReadOp, dims: Dims, state: Array) -> Array:
    return state[(slice(None),) * op.axis.data + (slice(0, op.extent.data.evaluate(dims)),)]


def _matmul_bias_act(op: mir.MatmulBiasActOp, dims: Dims, x: Array, w: Array, *rest: Array) -> Array:
    total = matmul(x, w)
    for addend in rest:  # bias, then residual: both add alike
        total = total + addend
    return ACTIVATIONS[op.activation.data](total)


SEMANTICS: dict[type[Operation], Semantics] = {
    mir.ConstantOp: constant,
    mir.NegOp: _elementwise(np.negative), mir.AbsOp: _elementwise(np.abs), mir.ExpOp: _elementwise(np.exp),
    mir.LogOp: _elementwise(np.log), mir.SqrtOp: _elementwise(np.sqrt),
    mir.RsqrtOp: _elementwise(lambda x: 1 / np.sqrt(x)), mir.RecipOp: _elementwise(lambda x: 1 / x),
    mir.TanhOp: _elementwise(np.tanh), mir.ErfOp: _elementwise(erf), mir.SigmoidOp: _elementwise(_sigmoid),
    mir.ReluOp: _elementwise(_relu), mir.GeluOp: _elementwise(_gelu), mir.GeluTanhOp: _elementwise(_gelu_tanh),
    mir.SiluOp: _elementwise(_silu), mir.SinOp: _elementwise(np.sin), mir.CosOp: _elementwise(np.cos),
    mir.TanOp: _elementwise(np.tan), mir.AtanOp: _elementwise(np.arctan), mir.RoundOp: _elementwise(np.rint),
    mir.FloorOp: _elementwise(np.floor), mir.CeilOp: _elementwise(np.ceil), mir.LogicalNotOp: _elementwise(np.logical_not),
    mir.AddOp: _elementwise(np.add), mir.SubOp: _elementwise(np.subtract), mir.MulOp: _elementwise(np.multiply),
    mir.DivOp: _elementwise(_div), mir.MaxOp: _elementwise(np.maximum), mir.MinOp: _elementwise(np.minimum),
    mir.PowOp: _elementwise(np.power), mir.AndOp: _elementwise(np.bitwise_and), mir.OrOp: _elementwise(np.bitwise_or),
    mir.EqOp: _elementwise(np.equal), mir.NeOp: _elementwise(np.not_equal), mir.LtOp: _elementwise(np.less),
    mir.LeOp: _elementwise(np.less_equal), mir.GtOp: _elementwise(np.greater), mir.GeOp: _elementwise(np.greater_equal),
    mir.SelectOp: _elementwise(np.where),
    mir.CastOp: _cast,
    mir.MatmulOp: _elementwise(matmul),
    mir.DotGeneralOp: _dot_general,
    mir.GroupedMatmulOp: _grouped_matmul,
    mir.LoraMatmulOp: lambda op, dims, x, w, a, b: matmul(x, w) + matmul(matmul(x, a), b) * x.dtype.type(op.scale.data),
    mir.ReduceSumOp: _reduce(lambda x, axes, keep: np.sum(x, axis=axes, keepdims=keep, dtype=x.dtype)),
    mir.ReduceMeanOp: _reduce(_mean),
    mir.ReduceMaxOp: _reduce(lambda x, axes, keep: np.max(x, axis=axes, keepdims=keep, initial=_limits(x)[0])),
    mir.ReduceMinOp: _reduce(lambda x, axes, keep: np.min(x, axis=axes, keepdims=keep, initial=_limits(x)[1])),
    mir.ReduceProdOp: _reduce(lambda x, axes, keep: np.prod(x, axis=axes, keepdims=keep, dtype=x.dtype)),
    mir.SoftmaxOp: lambda op, dims, x: softmax(x, op.axis.data),
    mir.LayerNormOp: lambda op, dims, x, scale, bias: layer_norm(x, scale, bias, op.eps.data),
    mir.RmsNormOp: lambda op, dims, x, scale: rms_norm(x, scale, op.eps.data),
    mir.GroupNormOp: _group_norm,
    mir.ChannelNormOp: _channel_norm,
    mir.BatchNormOp: _batch_norm,
    mir.ResidualLayerNormOp: _residual_layer_norm,
    mir.ResidualRmsNormOp: _residual_rms_norm,
    mir.AttentionOp: _attention,
    mir.RopeOp: _rope,
    mir.BroadcastOp: _broadcast,
    mir.ReshapeOp: lambda op, dims, x: x.reshape(extents(op.result.type.dims, dims)),
    mir.TransposeOp: lambda op, dims, x: np.transpose(x, op.perm.data),
    mir.SliceOp: _slice,
    mir.ConcatOp: lambda op, dims, *inputs: np.concatenate(inputs, axis=op.axis.data),
    mir.GatherOp: _gather,
    mir.IotaOp: lambda op, dims: np.arange(op.result.type.dims[0].evaluate(dims), dtype=np.int64),
    mir.DimValueOp: lambda op, dims: np.asarray(op.expr.data.evaluate(dims), np.int64),
    mir.CacheUpdateOp: _cache_update,
    mir.StateReadOp: _state_read,
    mir.MatmulBiasActOp: _matmul_bias_act,
    mir.SwigluOp: lambda op, dims, gate, up: _silu(gate) * up,
    mir.SwigluMatmulOp: lambda op, dims, x, up, gate: _silu(matmul(x, gate)) * matmul(x, up),
}  # fmt: skip
"""Op class -> function (op, dims, *operand arrays) -> result array(s)."""

for _family in (convolution, ordering, quantization, recurrence):
    SEMANTICS |= _family.SEMANTICS

"""NumPy semantics of quantized numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from rlx_dialects import mir

Array: TypeAlias = "np.ndarray[Any, Any]"
Dims: TypeAlias = Mapping[str, int]


def _along(value: Array, rank: int, axis: int | None) -> Array:
    return value if axis is None else value.reshape([-1 if d == axis else 1 for d in range(rank)])


def _axis(op: Any) -> int | None:
    return None if op.axis is None else op.axis.data


def _saturated(x: Array, kind: np.dtype[Any]) -> Array:
    info = np.iinfo(kind)
    return np.clip(np.nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf), info.min, info.max).astype(kind)


def _quantize(op: mir.QuantizeOp, dims: Dims, x: Array, scale: Array, zero: Array) -> Array:
    axis = _axis(op)
    steps = np.rint(x / _along(scale, x.ndim, axis))
    offset = _along(zero, x.ndim, axis).astype(x.dtype)
    return _saturated(np.where(np.isnan(steps), 0, steps) + offset, zero.dtype)


def _dequantize(op: mir.DequantizeOp, dims: Dims, q: Array, scale: Array, zero: Array) -> Array:
    axis = _axis(op)
    offset = q.astype(np.int32) - _along(zero, q.ndim, axis).astype(np.int32)
    return offset.astype(scale.dtype) * _along(scale, q.ndim, axis)


def _fake_quantize(op: mir.FakeQuantizeOp, dims: Dims, x: Array) -> Array:
    axis, most = _axis(op), 2 ** (op.bits.data - 1) - 1
    over = tuple(d for d in range(x.ndim) if d != axis)
    scale = np.max(np.abs(x), axis=over, keepdims=True, initial=0) / x.dtype.type(most)
    steps = np.clip(np.rint(x / np.where(scale == 0, 1, scale)), -most, most)
    return (steps * scale).astype(x.dtype)


def _quantized_matmul(op: mir.QuantizedMatmulOp, dims: Dims, x: Array, w: Array, bias: Array, scale: Array) -> Array:
    total = np.matmul(x.astype(np.int32) - op.x_zero.data, w.astype(np.int32) - op.w_zero.data) + bias
    return _saturated(np.rint(total.astype(scale.dtype) * scale) + op.zero.data, np.dtype(np.int8))


def _dequant_matmul(
    op: mir.DequantMatmulOp, dims: Dims, x: Array, q: Array, scale: Array, minimum: Array | None = None
) -> Array:
    block = op.block.data
    weights = q.astype(x.dtype) * np.repeat(scale, block, axis=0).astype(x.dtype)
    if minimum is not None:
        weights = weights - np.repeat(minimum, block, axis=0).astype(x.dtype)
    return np.matmul(x, weights)


SEMANTICS = {
    mir.QuantizeOp: _quantize,
    mir.DequantizeOp: _dequantize,
    mir.FakeQuantizeOp: _fake_quantize,
    mir.QuantizedMatmulOp: _quantized_matmul,
    mir.DequantMatmulOp: _dequant_matmul,
}

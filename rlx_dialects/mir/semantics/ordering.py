"""NumPy semantics of ops on order and of scattered access."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from rlx_dialects import mir
from rlx_runtime.errors import RuntimeFault

Array: TypeAlias = "np.ndarray[Any, Any]"
Dims: TypeAlias = Mapping[str, int]


def _cumsum(op: mir.CumsumOp, dims: Dims, x: Array) -> Array:
    axis = op.axis.data
    turned = np.flip(x, axis) if op.reverse is not None else x
    total = np.cumsum(turned, axis=axis, dtype=x.dtype)
    if op.exclusive is not None:
        total = _shifted(total, axis)
    return np.flip(total, axis) if op.reverse is not None else total


def _shifted(total: Array, axis: int) -> Array:
    """What was summed before each place."""
    shifted = np.roll(total, 1, axis)
    shifted[(slice(None),) * axis + (slice(0, 1),)] = 0
    return shifted


def _sorted(x: Array, axis: int, descending: bool) -> Array:
    """Positions in order, NaN last, stable."""
    keys = x
    if descending:
        keys = -x if x.dtype.kind == "f" else ~x  # a NaN stays one, and NumPy puts those last
    return np.argsort(keys, axis=axis, kind="stable")


def _sort(op: mir.SortOp, dims: Dims, x: Array) -> tuple[Array, Array]:
    order = _sorted(x, op.axis.data, op.descending is not None)
    return np.take_along_axis(x, order, op.axis.data), order


def _top_k(op: mir.TopKOp, dims: Dims, x: Array) -> tuple[Array, Array]:
    axis, k = op.axis.data, op.k.data.evaluate(dims)
    if k > x.shape[axis]:
        raise RuntimeFault(f"top_k: k = {k} exceeds the {x.shape[axis]} elements of axis {axis}")
    order = np.take(_sorted(x, axis, True), np.arange(k), axis=axis)
    return np.take_along_axis(x, order, axis), order


def checked(indices: Array, extent: int, policy: str, what: str) -> Array:
    """Indices in range: clamped, or a RuntimeFault for one that is not."""
    inside = (indices >= 0) & (indices < extent)
    if policy == "error" and not np.all(inside):
        raise RuntimeFault(f"{what}: index {indices[~inside].reshape(-1)[0]} is outside of [0, {extent})", code="index")
    return np.clip(indices, 0, max(extent - 1, 0)).astype(np.int64)


def _take(op: mir.TakeOp, dims: Dims, x: Array, indices: Array) -> Array:
    return np.take(x, checked(indices, x.shape[op.axis.data], op.oob.data, "take"), axis=op.axis.data)


def _gather_nd(op: mir.GatherNdOp, dims: Dims, x: Array, indices: Array) -> Array:
    places = tuple(checked(indices[..., d], x.shape[d], op.oob.data, "gather_nd") for d in range(indices.shape[-1]))
    return x[places]


def _scattered(y: Array, indices: Array, updates: Array, combine: str, policy: str, what: str) -> Array:
    rows = checked(indices, y.shape[0], policy, what) if policy == "error" else indices
    for n, row in enumerate(rows):  # in order, so that equal destinations combine as the op says
        if not 0 <= row < y.shape[0]:
            continue
        held = y[row]
        y[row] = {
            "add": lambda a, b: a + b, "max": np.maximum, "min": np.minimum, "set": lambda a, b: b,
        }[combine](held, updates[n])  # fmt: skip
    return y


def _scatter(op: mir.ScatterOp, dims: Dims, x: Array, indices: Array, updates: Array) -> Array:
    return _scattered(x.copy(), indices, updates, op.combine.data, op.oob.data, "scatter")


def _scatter_add(op: mir.ScatterAddOp, dims: Dims, updates: Array, indices: Array) -> Array:
    y = np.zeros((op.rows.data.evaluate(dims), *updates.shape[1:]), updates.dtype)
    return _scattered(y, indices, updates, "add", op.oob.data, "scatter_add")


SEMANTICS = {
    mir.CumsumOp: _cumsum,
    mir.ArgMaxOp: lambda op, dims, x: _arg(np.argmax, op, x),
    mir.ArgMinOp: lambda op, dims, x: _arg(np.argmin, op, x),
    mir.SortOp: _sort,
    mir.TopKOp: _top_k,
    mir.TakeOp: _take,
    mir.GatherNdOp: _gather_nd,
    mir.ScatterOp: _scatter,
    mir.ScatterAddOp: _scatter_add,
}


def _arg(function: Any, op: Any, x: Array) -> Array:
    return function(x, axis=op.axis.data, keepdims=op.keepdims is not None)

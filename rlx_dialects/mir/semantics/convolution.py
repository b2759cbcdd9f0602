"""NumPy semantics of windows over spatial axes: padded copies and strided views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from rlx_dialects import mir

Array: TypeAlias = "np.ndarray[Any, Any]"
Dims: TypeAlias = Mapping[str, int]


def _padded(x: Array, padding: Sequence[int], fill: Any) -> Array:
    pairs = list(zip(padding[::2], padding[1::2], strict=True))
    return np.pad(x, [(0, 0), (0, 0), *pairs], constant_values=fill)


def _windows(x: Array, sizes: Sequence[int], strides: Sequence[int], dilation: Sequence[int]) -> Array:
    """[N, C, p…, k…]: every window of a padded array."""
    n = len(sizes)
    spans = [(size - 1) * step + 1 for size, step in zip(sizes, dilation)]
    if any(length < span for length, span in zip(x.shape[2:], spans)) or 0 in x.shape:
        counts = [max((length - span) // stride + 1, 0) for length, span, stride in zip(x.shape[2:], spans, strides)]
        return np.zeros((*x.shape[:2], *counts, *sizes), x.dtype)
    view = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(range(2, 2 + n)))
    step = tuple(slice(None, None, stride) for stride in strides)
    inner = tuple(slice(None, None, d) for d in dilation)
    return view[(slice(None), slice(None), *step, *inner)]


def conv(x: Array, w: Array, strides: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int) -> Array:
    n = len(strides)
    found = _windows(_padded(x, padding, 0), w.shape[2:], strides, dilation)
    batch, places = found.shape[0], found.shape[2 : 2 + n]
    found = np.moveaxis(found.reshape(batch, groups, -1, *found.shape[2:]), (1, 2), (0, 2 + n))  # g, N, p…, c, k…
    left = found.reshape(groups, batch * int(np.prod(places, dtype=np.int64)), -1)
    right = w.reshape(groups, w.shape[0] // groups, -1)
    product = np.matmul(left, np.swapaxes(right, 1, 2)).astype(x.dtype)  # g, N·p, o
    return np.moveaxis(product.reshape(groups, batch, *places, -1), (0, -1), (1, 2)).reshape(batch, w.shape[0], *places)


def _conv(op: mir.ConvOp, dims: Dims, x: Array, w: Array) -> Array:
    return conv(x, w, op.strides.data, op.padding.data, op.dilation.data, op.groups.data)


def _conv_transpose(op: mir.ConvTransposeOp, dims: Dims, x: Array, w: Array) -> Array:
    """A convolution of x with zeros between its elements and the mirrored kernel."""
    strides, dilation, groups, extra = op.strides.data, op.dilation.data, op.groups.data, op.extra.data
    n = len(strides)
    sizes = [max((length - 1) * stride + 1, 0) for length, stride in zip(x.shape[2:], strides)]
    spread = np.zeros((*x.shape[:2], *sizes), x.dtype)
    spread[(slice(None), slice(None), *(slice(None, None, stride) for stride in strides))] = x
    grouped = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    turned = np.swapaxes(grouped, 1, 2).reshape(w.shape[1] * groups, w.shape[0] // groups, *w.shape[2:])
    turned = np.flip(turned, tuple(range(2, 2 + n)))
    margins: list[tuple[int, int]] = []
    for before, after, size, step, more in zip(op.padding.data[::2], op.padding.data[1::2], w.shape[2:], dilation, extra):
        span = (size - 1) * step
        margins.append((span - before, span - after + more))
    grown = np.pad(spread, [(0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in margins)])
    cut = tuple(slice(max(-a, 0), size - max(-b, 0)) for (a, b), size in zip(margins, grown.shape[2:]))
    return conv(grown[(slice(None), slice(None), *cut)], turned, (1,) * n, (0,) * (2 * n), dilation, groups)


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _max_pool(op: mir.MaxPoolOp, dims: Dims, x: Array) -> Array:
    n = len(op.window.data)
    low = _lowest(x.dtype)
    found = _windows(_padded(x, op.padding.data, low), op.window.data, op.strides.data, op.dilation.data)
    return np.max(found, axis=tuple(range(2 + n, 2 + 2 * n)), initial=low)


def _avg_pool(op: mir.AvgPoolOp, dims: Dims, x: Array) -> Array:
    n = len(op.window.data)
    axes = tuple(range(2 + n, 2 + 2 * n))
    total = np.sum(_windows(_padded(x, op.padding.data, 0), op.window.data, op.strides.data, op.dilation.data), axis=axes)
    if op.count_padding is not None:
        return total / x.dtype.type(np.prod(op.window.data))
    ones = _padded(np.ones((1, 1, *x.shape[2:]), x.dtype), op.padding.data, 0)
    return total / np.sum(_windows(ones, op.window.data, op.strides.data, op.dilation.data), axis=axes)


def _pad(op: mir.PadOp, dims: Dims, x: Array) -> Array:
    pairs = list(zip(op.low.data, op.high.data, strict=True))
    if op.mode.data == "constant":
        return np.pad(x, pairs, constant_values=np.asarray(op.value.data).astype(x.dtype))
    return np.pad(x, pairs, mode=op.mode.data)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _resize(op: mir.ResizeOp, dims: Dims, x: Array) -> Array:
    for axis, factor in enumerate(op.scale.data, 2):
        length = x.shape[axis]
        place = np.arange(length * factor)
        if op.mode.data == "nearest":
            x = np.take(x, place // factor, axis=axis)
            continue
        center = np.clip((place + 0.5) / factor - 0.5, 0, max(length - 1, 0))
        low = np.floor(center).astype(np.int64)
        high = np.minimum(low + 1, max(length - 1, 0))
        weight = (center - low).astype(x.dtype).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        x = np.take(x, low, axis=axis) * (1 - weight) + np.take(x, high, axis=axis) * weight
    return x


SEMANTICS = {
    mir.ConvOp: _conv,
    mir.ConvTransposeOp: _conv_transpose,
    mir.MaxPoolOp: _max_pool,
    mir.AvgPoolOp: _avg_pool,
    mir.PadOp: _pad,
    mir.ResizeOp: _resize,
}

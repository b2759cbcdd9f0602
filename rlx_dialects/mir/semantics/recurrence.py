"""NumPy semantics of recurrences: a loop over the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from rlx_dialects import mir

Array: TypeAlias = "np.ndarray[Any, Any]"
Dims: TypeAlias = Mapping[str, int]


def _selective_scan(
    op: mir.SelectiveScanOp, dims: Dims, x: Array, delta: Array, a: Array, b: Array, c: Array, initial: Array | None = None
) -> tuple[Array, Array]:
    h = np.zeros((x.shape[0], *a.shape), x.dtype) if initial is None else initial.astype(x.dtype)
    y = np.zeros_like(x)
    for t in range(x.shape[1]):
        step = delta[:, t, :, None]
        h = np.exp(step * a) * h + step * x[:, t, :, None] * b[:, t, None, :]
        y[:, t] = np.sum(h * c[:, t, None, :], axis=-1)
    return y, h


def _gated_delta(
    op: mir.GatedDeltaOp, dims: Dims, q: Array, k: Array, v: Array, g: Array, beta: Array, initial: Array | None = None
) -> tuple[Array, Array]:
    batch, steps, heads, size = q.shape
    s = np.zeros((batch, heads, size, size), q.dtype) if initial is None else initial.astype(q.dtype)
    y = np.zeros_like(q)
    for t in range(steps):
        s = np.exp(g[:, t])[..., None, None] * s
        change = (v[:, t] - np.einsum("bhi,bhij->bhj", k[:, t], s)) * beta[:, t][..., None]
        s = s + k[:, t][..., :, None] * change[..., None, :]
        y[:, t] = np.einsum("bhi,bhij->bhj", q[:, t], s) / q.dtype.type(np.sqrt(size))
    return y, s


SEMANTICS = {mir.SelectiveScanOp: _selective_scan, mir.GatedDeltaOp: _gated_delta}

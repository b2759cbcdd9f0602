"""Weights in the form that code uses: a packed region, and params that stay where they lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.arena import aligned_block
from rlx_runtime.code import Code
from rlx_runtime.weights import SafetensorsFile, check_weights, open_weights


@dataclass(frozen=True)
class Weights:
    """Weights in the form that code uses, in host memory: the params that `main` reads as they are, and the packed region."""

    params: Mapping[str, NDArray[Any]]
    packed: NDArray[np.uint8]


@dataclass(frozen=True)
class Bound:
    """Weights bound to code. The arrays here keep the memory alive that `main_buffers` points to."""

    params: Mapping[str, NDArray[Any]]
    """the params that main reads as they are"""
    packed: NDArray[np.uint8]
    main_buffers: NDArray[np.int64]
    keep: tuple[int, int]
    """hull [low, high) of the params' memory"""

    def moved_to(self, code: Code) -> Bound:
        """The same weights for other code of the same layout."""
        return make_bound(code, self.params, self.packed)


def make_bound(code: Code, params: Mapping[str, NDArray[Any]], packed: NDArray[np.uint8]) -> Bound:
    """`params` must hold at least those that main uses."""
    used = {name: params[name] for kind, name in code.manifest.main.buffers if kind == "param"}
    starts = [array.ctypes.data for array in used.values()]
    ends = [array.ctypes.data + array.nbytes for array in used.values()]
    table = code.static_buffers(code.manifest.main, used, packed)
    return Bound(used, packed, table, (min(starts, default=0), max(ends, default=0)))


def bind_weights(code: Code, weights: str | os.PathLike[str] | Mapping[str, Any]) -> Bound:
    """Check the weights, run the prepare program once, and give the pages of a mapped file back that only it needed."""
    source = open_weights(weights)
    arrays = check_weights(code.manifest.params, source)
    packed = aligned_block(code.manifest.packed_bytes)
    code.run_prepare(arrays, packed)
    if isinstance(source, SafetensorsFile):
        source.release()
    return make_bound(code, arrays, packed)

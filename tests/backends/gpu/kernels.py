"""Kernels written by hand, in the common ops of the three dialects."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rlx_dialects.gpu.facts import DEFAULT_ARCH

LANES = {"cuda": 32, "rocm": 64, "metal": 32}
PTR = "!kernel.ptr<f32, global>"
SHARED = "!kernel.ptr<f32, shared, align 16>"


def source(dialect: str, arguments: Mapping[str, str], block: tuple[int, ...], body: str, name: str = "k") -> str:
    """One kernel; `X.` in the body stands for the dialect."""
    listed = ", ".join(f"%{argument}: {type_}" for argument, type_ in arguments.items())
    sizes = ", ".join(map(str, block))
    arch = DEFAULT_ARCH[dialect]
    head = f'{dialect}.kernel @{name}({listed}) attributes {{arch = "{arch}", block = array<i64: {sizes}>}}'
    return f"{head} {{\n{body.replace('X.', dialect + '.')}\n  kernel.return\n}}"


def random(shape: tuple[int, ...] | int, seed: int = 0) -> np.ndarray:
    """Non-zero floats."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], shape) * rng.uniform(0.25, 2, shape)).astype(np.float32)


def poisoned(shape: tuple[int, ...] | int, dtype: object = np.float32) -> np.ndarray:
    array = np.empty(shape, dtype)
    array.view(np.uint8)[...] = 0xFF
    return array


GLOBAL_ID = """
  %block = X.block_id x
  %size = X.block_dim x
  %t = X.thread_id x
  %start = arith.muli %block, %size : index
  %i = arith.addi %start, %t : index
"""

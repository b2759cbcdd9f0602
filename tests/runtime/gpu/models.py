"""Small models with what calls differ by: a weight that is prepared, faults, states and runtime dims."""

from __future__ import annotations

from functools import cache

import numpy as np

import rlx

EMULATE = rlx.Options(emulate=True)


@cache
def scaled() -> rlx.Model:
    """y = x · w, z = x + w, over [B, 7]."""
    b = rlx.ModelBuilder("scaled")
    x, w = b.input("x", (rlx.Dim("B", 1, 64), 7), "f32"), b.param("w", (7,), "f32")
    b.output("y", b.mul(x, w))
    b.output("z", b.add(x, w))
    return b.build()


WEIGHT = np.random.default_rng(5).uniform(0.5, 2, 7).astype(np.float32)


@cache
def lookup() -> rlx.Model:
    """Rows of a table by number; a number outside is a fault."""
    b = rlx.ModelBuilder("lookup")
    ids, table = b.input("ids", (rlx.Dim("N", 1, 9),), "i64"), b.param("table", (5, 3), "f32")
    b.output("rows", b.embedding(table, ids))
    return b.build()


TABLE = np.random.default_rng(6).normal(size=(5, 3)).astype(np.float32)


@cache
def cached() -> rlx.Model:
    """Writes x into a state at P, a runtime dim, and returns its square."""
    b = rlx.ModelBuilder("cached")
    x = b.input("x", (1, 2, rlx.Dim("S", 1, 4), 3), "f32")
    past = b.dim_input("P", 0, 8, runtime=True)
    b.cache_update(b.state("k", (1, 2, 16, 3), "f32"), x, at=past)
    b.output("y", b.mul(x, x))
    return b.build()


@cache
def prepared() -> rlx.Model:
    """y = x + exp(w): exp(w) is computed once."""
    b = rlx.ModelBuilder("prepared")
    x, w = b.input("x", (rlx.Dim("B", 1, 64), 5), "f32"), b.param("w", (5,), "f32")
    b.output("y", b.add(x, b.exp(w)))
    return b.build()


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(np.float32)

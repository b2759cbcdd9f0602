"""A graph under construction: its values, how large they may be, and new arguments."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from xdsl.ir import SSAValue

import rlx
from rlx_frontends.builder import Value

SIZES = (1, 3, 7, 17)
"""Static extents; products of them and 6, 8 appear too where a shape needs factors."""
LARGE_SIZES = (1, 33, 130, 520, 1030)
LIMIT = 24.0
"""Magnitudes beyond this are scaled down."""
WIDTH = 1.25
"""The largest magnitude of float inputs and params; see `tests.differential.arguments`."""
FLOATS = ("f64", "f32", "f16", "bf16")


class NotApplicableError(Exception):
    """The chosen kind of op has no operands in this graph."""


class Graph:
    """Values with bounds of their magnitudes; a subclass adds ops."""

    def __init__(self, seed: int, families: Sequence[str], dtype: str | None, large: bool) -> None:
        self.rng = random.Random(seed)
        self.b = rlx.ModelBuilder(f"random_{seed}", policy=self.rng.choice(("direct", "fusable")))
        self.dtype = dtype or self.rng.choices(("f32", "f64", "bf16", "f16"), (78, 8, 8, 6))[0]
        self.families = families
        self.pool: list[Value] = []
        self.bounds: dict[SSAValue, float] = {}
        self.plain: set[SSAValue] = set()
        """Values that equal elements of the inputs in every way to run the model."""
        self.leaves = 0
        self.large = large
        self.sizes = LARGE_SIZES if large else SIZES
        self.deepest = 1100 if large else 64
        """The longest axis that is summed over in a product."""
        uppers = (2, 700, 540) if large else (4, 40, 20)
        self.B, self.S, self.T = (rlx.Dim(name, 1, upper) for name, upper in zip("BST", uppers))
        self.past: rlx.Dim | None = None
        self.width = self.rng.choice((65, 128, 130, 256) if large else (*SIZES, 6, 8, 21))

    def leaf(self, shape: Sequence[Any], dtype: str, kind: str | None = None) -> Value:
        """A new argument; params have static shapes."""
        static = all(isinstance(dim, int) for dim in shape)
        kind = kind or ("param" if static and self.rng.random() < 0.7 else "input")
        name = f"{'w' if kind == 'param' else 'x'}{self.leaves}"
        self.leaves += 1
        made = (self.b.param if kind == "param" else self.b.input)(name, shape, dtype)
        return self.keep(made, WIDTH if dtype in FLOATS else 2.0, plain=True)

    # -- bookkeeping

    def keep(self, value: Value, bound: float, plain: bool = False) -> Value:
        """Put a value into the pool; a large one is scaled by a power of two first."""
        if bound > LIMIT and value.dtype in FLOATS:
            scale = 0.5
            while bound * scale > LIMIT / 4:
                scale /= 2
            value, bound, plain = value * scale, bound * scale, False
        self.bounds[value.ssa] = bound
        if plain or value.dtype not in FLOATS:
            self.plain.add(value.ssa)
        self.pool.append(value)
        return value

    def bound(self, *values: Value) -> float:
        return max(self.bounds[value.ssa] for value in values)

    def is_plain(self, *values: Value) -> bool:
        return all(value.ssa in self.plain for value in values)

    def pick(self, accept: Callable[[Value], bool] = lambda value: True) -> Value:
        """A value of the pool, recent ones more often."""
        found = [value for value in self.pool if accept(value)]
        if not found:
            raise NotApplicableError
        return found[max(self.rng.randrange(len(found)) for _ in range(2))]

    def floats(self, rank: int = 0, exact_rank: int | None = None) -> Value:
        return self.pick(
            lambda v: v.dtype in FLOATS and len(v.shape) >= rank and (exact_rank is None or len(v.shape) == exact_rank)
        )

    def partner(self, x: Value) -> Value:
        """A value that broadcasts with `x`: one of the pool, or a new leaf whose shape is a stretchable suffix of x's."""
        found = [v for v in self.pool if v.dtype == x.dtype and broadcasts(v.shape, x.shape)]
        if found and self.rng.random() < 0.7:
            return self.rng.choice(found)
        suffix = x.shape[self.rng.randint(0, len(x.shape)) :]
        return self.leaf([1 if self.rng.random() < 0.25 else dim for dim in suffix], x.dtype)

    def weight(self, *shape: Any, dtype: str) -> Value:
        return self.leaf(shape, dtype, "param")


def same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return [str(dim) for dim in a] == [str(dim) for dim in b]


def same_but(a: Sequence[Any], b: Sequence[Any], axis: int) -> bool:
    return len(a) == len(b) and same([*a[:axis], *a[axis + 1 :]], [*b[:axis], *b[axis + 1 :]])


def broadcasts(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """NumPy's rule, where a symbol stretches to nothing but itself."""
    return all(str(p) == str(q) or "1" in (str(p), str(q)) for p, q in zip(reversed(a), reversed(b)))


def most(shape: Sequence[Any]) -> float:
    """Roughly how many elements there are."""
    total = 1.0
    for dim in shape:
        total *= dim if isinstance(dim, int) else 8
    return total

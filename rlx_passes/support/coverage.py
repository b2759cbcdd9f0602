"""Boxes of indices, and whether some of them cover another: what the checker of plans knows about written elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir.types import IterAttr


@dataclass(frozen=True)
class Box:
    """All index tuples with low <= index < high on every axis."""

    lows: tuple[DimExpr, ...]
    highs: tuple[DimExpr, ...]

    @classmethod
    def whole(cls, dims: Sequence[DimExpr]) -> Box:
        return cls((const(0),) * len(dims), tuple(dims))


def covers(boxes: Sequence[Box], target: Box, facts: Facts, axis: int = 0) -> bool:
    """Whether `boxes` provably hold every element of `target`, on the axes from `axis` on."""
    if axis == len(target.lows):
        return bool(boxes)
    reached, end = target.lows[axis], target.highs[axis]
    left = list(boxes)
    while facts.prove_le(end, reached) is not True:
        here = [box for box in left if facts.prove_le(box.lows[axis], reached) is True]
        for cut in dict.fromkeys(box.highs[axis] for box in here):
            slab = [box for box in here if facts.prove_le(cut, box.highs[axis]) is True]
            if facts.prove_le(cut, reached) is not True and covers(slab, target, facts, axis + 1):
                break
        else:
            return False
        # Every round uses up the boxes that end at the cut, so the loop ends.
        left = [box for box in left if facts.prove_le(box.highs[axis], cut) is not True]
        reached = cut
    return True


def disjoint(a: Box, b: Box, facts: Facts) -> bool:
    """Whether the boxes provably share no element."""
    return any(
        facts.prove_le(a_high, b_low) is True or facts.prove_le(b_high, a_low) is True
        for a_low, a_high, b_low, b_high in zip(a.lows, a.highs, b.lows, b.highs, strict=True)
    )


def touched_box(
    exprs: Sequence[DimExpr], dims: Sequence[DimExpr], iters: Mapping[str, IterAttr], facts: Facts
) -> tuple[Box, bool]:
    """The box of elements that index expressions reach over an iteration space, and whether they reach all of it.

    Where an index is no gapless range of its dims, its axis counts whole and the answer is (box, False).
    """
    lows: list[DimExpr] = []
    highs: list[DimExpr] = []
    exact = True
    seen: set[str] = set()
    for expr, dim in zip(exprs, dims, strict=True):
        used = expr.symbols & iters.keys()
        span = None if used & seen else _range(expr, used, iters, facts)
        seen |= used
        exact = exact and span is not None
        low, high = span or (const(0), dim)
        lows.append(low)
        highs.append(high)
    return Box(tuple(lows), tuple(highs)), exact


def _range(expr: DimExpr, used: frozenset[str], iters: Mapping[str, IterAttr], facts: Facts) -> tuple[DimExpr, DimExpr] | None:
    """The half-open range that `expr` runs through without gaps, e.g. h * 64 + d over d : 64."""
    low = expr
    steps: list[tuple[DimExpr, DimExpr]] = []
    for name in sorted(used):
        factor = low.coefficient(name)
        first, end = iters[name].range
        if factor is None or (factor.symbols | first.symbols | end.symbols) & iters.keys():
            return None
        low = low - factor * sym(name) + factor * first
        if facts.prove_eq(end - first, 1) is not True:
            steps.append((factor, end - first))
    length = const(1)
    while steps:
        step = next((step for step in steps if facts.prove_eq(step[0], length) is True), None)
        if step is None:
            return None
        steps.remove(step)
        length = length * step[1]
    return low, low + length

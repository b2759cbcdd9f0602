"""Which elements of a buffer are written: boxes of indices, and whether some of them cover another. For the checker of plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.ir import Attribute

from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir.types import BufferType, IterAttr, LayoutAttr


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
    """The half-open range that `expr` runs through without gaps, up or down, e.g. h * 64 + d over d : 64, or 63 - d."""
    low = expr
    steps: list[tuple[DimExpr, DimExpr]] = []
    for name in sorted(used):
        factor = low.coefficient(name)
        first, end = iters[name].range
        if factor is None or (factor.symbols | first.symbols | end.symbols) & iters.keys():
            return None
        falls = facts.prove_le(factor, -1) is True
        low = low - factor * sym(name) + factor * (end - 1 if falls else first)
        factor = -factor if falls else factor
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


@dataclass(frozen=True)
class Space:
    """How elements are named: a shape, where it starts in the storage, and its layout. Boxes of equal spaces compare."""

    dims: tuple[DimExpr, ...]
    start: DimExpr
    layout: Attribute

    @classmethod
    def of(cls, kind: BufferType, start: DimExpr) -> Space:
        return cls(kind.dims, start, kind.layout)

    @property
    def whole(self) -> Box:
        return Box.whole(self.dims)

    @property
    def is_plain(self) -> bool:
        return not isinstance(self.layout, LayoutAttr)

    def line(self, box: Box, facts: Facts) -> Box | None:
        """The box as one stretch of storage elements, if it is one."""
        if not self.is_plain:
            return None
        stride, low, length = const(1), self.start, const(1)
        for axis in reversed(range(len(self.dims))):
            extent = box.highs[axis] - box.lows[axis]
            low = low + box.lows[axis] * stride
            if facts.prove_eq(length, stride) is True:
                length = length * extent
            elif facts.prove_eq(extent, 1) is not True:
                return None
            stride = stride * self.dims[axis]
        return Box((low,), (low + length,))


@dataclass
class Written:
    """Elements of one storage known to be written, by the space in which they were named; `full` if it is everything."""

    full: bool = False
    boxes: dict[Space, list[Box]] = field(default_factory=dict)

    def add(self, space: Space, box: Box) -> None:
        self.boxes.setdefault(space, []).append(box)

    def copy(self) -> Written:
        return Written(self.full, {space: list(boxes) for space, boxes in self.boxes.items()})

    def both(self, other: Written) -> Written:
        """What is written whichever of two branches ran."""
        if self.full or other.full:
            return (other if self.full else self).copy()
        boxes = {space: [box for box in found if box in other.boxes.get(space, ())] for space, found in self.boxes.items()}
        return Written(False, boxes)

    def covers(self, root: BufferType, space: Space, box: Box, facts: Facts) -> bool:
        """Whether all of `box`, named in `space`, is known to be written; `root` is the storage's own type."""
        if self.full or covers(self.boxes.get(space, ()), box, facts):
            return True
        lines: list[Box] = []
        for other, boxes in self.boxes.items():
            if not other.is_plain:
                # Padding is part of the storage, but nobody reads it.
                self.full = self.full or (other == Space.of(root, const(0)) and covers(boxes, other.whole, facts))
            elif covers(boxes, other.whole, facts) and (line := other.line(other.whole, facts)) is not None:
                lines.append(line)
            else:
                lines += [line for each in boxes if (line := other.line(each, facts)) is not None]
        self.full = self.full or covers(lines, Box.whole((root.elements,)), facts)
        wanted = None if self.full else space.line(box, facts)
        return self.full or (wanted is not None and covers(lines, wanted, facts))

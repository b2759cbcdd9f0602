"""Threads that work on one row together, and how they combine what each of them has.

The order in which partial results meet depends on the number of threads alone. Every member gets the same bits: kinds whose
operands may be swapped meet in a butterfly; other combinations are made once, by the first member, and handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.support.kernel_builder import Index
from rlx_dialects.dims import sym
from rlx_dialects.gpu.ops import REDUCTIONS
from rlx_dialects.kernel.types import byte_size, element_of, shape_of

Values = list[SSAValue]


@dataclass(frozen=True)
class Partial:
    """A tuple of values that each member has one of; `merge` makes one tuple of two. `kinds` names the merging op of each value
    where it is one op that commutes.
    """

    values: Values
    merge: Callable[[Sequence[SSAValue], Sequence[SSAValue]], Values]
    kinds: list[str] | None = None


class Team:
    """One thread alone."""

    size = 1

    def __init__(self, b: GpuKernelBuilder):
        self.b = b
        self.member: Index = 0
        """This thread's number in the team."""

    def combine(self, partials: Sequence[Partial]) -> list[Values]:
        """For each partial the combination of all members' values; every thread of the block comes here."""
        return [partial.values for partial in partials]

    def meet(self) -> None:
        """What a member read before is read before another one writes after."""


class LaneTeam(Team):
    """`size` neighbouring lanes of a subgroup, a power of two; the member's number is that of the thread along x."""

    def __init__(self, b: GpuKernelBuilder, size: int, member: Index):
        super().__init__(b)
        self.size = size
        self.member = member

    def combine(self, partials: Sequence[Partial]) -> list[Values]:
        return [self._combine(partial) for partial in partials]

    def _combine(self, partial: Partial) -> Values:
        b, values, kinds = self.b, partial.values, partial.kinds
        if kinds is None:
            step = self.size // 2
            while step:
                values = partial.merge(values, [b.shuffle("down", value, step) for value in values])
                step //= 2
            first = b.narrow(b.apply(sym("l") // self.size * self.size, {"l": b.lane()}))
            return [b.shuffle("idx", value, first) for value in values]
        if self.size == b.gpu.subgroup and all(kind in REDUCTIONS for kind in kinds):
            return [b.subgroup_reduce(kind, value) for kind, value in zip(kinds, values, strict=True)]
        step = self.size // 2
        while step:
            values = partial.merge(values, [b.shuffle("xor", value, step) for value in values])
            step //= 2
        return values

    def meet(self) -> None:
        self.b.subgroup_barrier()


class BlockTeam(Team):
    """All threads of a block along x: `size`, a multiple of the subgroup's."""

    def __init__(self, b: GpuKernelBuilder, size: int):
        super().__init__(b)
        self.size = size
        self.member = b.thread()

    def combine(self, partials: Sequence[Partial]) -> list[Values]:
        b = self.b
        count = self.size // b.gpu.subgroup
        inside = LaneTeam(b, b.gpu.subgroup, b.lane()).combine(partials)
        slots = [[b.shared(count, value.type) for value in values] for values in inside]

        def publish() -> None:
            for places, values in zip(slots, inside, strict=True):
                for place, value in zip(places, values, strict=True):
                    b.store(value, place, b.subgroup())

        b.when(b.test("eq", b.lane(), 0), publish)
        b.barrier()
        at = b.apply(sym("l") % count, {"l": b.lane()})
        parts = [
            Partial([b.load(place, at) for place in places], partial.merge, partial.kinds)
            for places, partial in zip(slots, partials, strict=True)
        ]
        return LaneTeam(b, count, at).combine(parts)

    def meet(self) -> None:
        self.b.barrier()


class ColumnTeam(Team):
    """The threads of a block with one place along x, `columns` of them, are a team; its members run along y, `size` of them, a
    power of two. Values may be vectors.
    """

    def __init__(self, b: GpuKernelBuilder, columns: int, size: int):
        super().__init__(b)
        self.size = size
        self.columns = columns
        self.member = b.thread("y")

    def combine(self, partials: Sequence[Partial]) -> list[Values]:
        """Halves of the members meet in shared memory."""
        b = self.b
        slots = [[self._slot(value) for value in partial.values] for partial in partials]
        for places, partial in zip(slots, partials, strict=True):
            for place, value in zip(places, partial.values, strict=True):
                b.store(value, place, self._at(self.member, value))
        b.barrier()
        step = self.size // 2
        while step:

            def halve(step: int = step) -> None:
                for places, partial in zip(slots, partials, strict=True):
                    mine = self._load(places, partial.values, self.member)
                    other = self._load(places, partial.values, b.add(self.member, step))
                    for place, value in zip(places, partial.merge(mine, other), strict=True):
                        b.store(value, place, self._at(self.member, value))

            b.when(b.test("slt", self.member, step), halve)
            b.barrier()
            step //= 2
        return [self._load(places, partial.values, 0) for places, partial in zip(slots, partials, strict=True)]

    def _slot(self, value: SSAValue) -> SSAValue:
        return self.b.shared(self.columns * self.size * _lanes(value), element_of(value.type))

    def _at(self, member: Index, value: SSAValue) -> SSAValue:
        b = self.b
        return b.mul(b.add(b.mul(member, self.columns), b.thread()), _lanes(value))

    def _load(self, places: Sequence[SSAValue], like: Sequence[SSAValue], member: Index) -> Values:
        return [
            self.b.load(place, self._at(member, value), shape_of(value.type)) for place, value in zip(places, like, strict=True)
        ]

    def meet(self) -> None:
        self.b.barrier()


def _lanes(value: SSAValue) -> int:
    shape = shape_of(value.type)
    return shape[0] if shape else 1


def shared_bytes(team: int, columns: int, kinds: Sequence[object], subgroup: int) -> int:
    """Shared memory that teams of a block take to combine values of these types once."""
    each = sum(byte_size(kind) for kind in kinds)  # pyright: ignore[reportArgumentType]
    if columns:
        return each * team * columns if team > 1 else 0
    return each * (team // subgroup) if team > subgroup else 0

"""What the threads of a team touch of each other's: where a barrier must stand, and where it can be left out.

A schedule that shares out one row-major place over leading iteration dims (its `split`) may touch a buffer in equal parts: if
the team's size divides a number N, thread t touches the t-th part of the buffer and nothing else. Two forms that both do so with
the same bytes need no barrier between them, as each thread finds what it wrote itself: rows stay on one core. The size of the
team is known in the call only, so such a barrier is left out under the condition that it divides all those N.

Measured on MiniLM with two threads: of 42 barriers a call 18 go at batch 1, 30 at batch 8, which takes 1.2 % and 2 to 3 % off
the median call. What is gained is not the barrier (80 ns) but the waiting: each thread loses some 1.5 % of its time to short
interruptions, and every barrier makes the others wait for the one that was hit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from rlx_backends.support.boundary import THREADS
from rlx_backends.support.kernel_builder import total
from rlx_backends.support.spaces import Space
from rlx_dialects.dims import DimExpr, const, floordiv, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import BufferType, FormOp, SlotOp, ViewOp, root_buffer

Split = tuple[tuple[str, ...], int]
"""Iteration dims, outermost first, whose row-major place `kernel.partition` shares out, and how many places a unit of it has.
A `partition2d` does the same where a team's size divides the units: of its rows, which it prefers, or of its columns, if it has
one row only.
"""


@dataclass(frozen=True)
class Touched:
    """Memory a form reads or writes: a boundary buffer, or bytes of the arena. `parts`: numbers all of which a team's size
    must divide for thread t to touch the t-th equal part only; None if a thread may touch any of it. `assumed`: numbers that
    it divides, or else a barrier has separated this from what comes.
    """

    root: SSAValue
    start: DimExpr | None
    size: DimExpr
    parts: frozenset[DimExpr] | None = None
    assumed: frozenset[DimExpr] = frozenset()

    def apart(self, other: Touched, facts: Facts) -> bool:
        if self.start is None or other.start is None:
            return self.root is not other.root
        return (
            facts.prove_le(self.start + self.size, other.start) is True
            or facts.prove_le(other.start + other.size, self.start) is True
        )

    def same_parts(self, other: Touched, facts: Facts) -> frozenset[DimExpr] | None:
        """The numbers that a team's size must divide for each thread to touch the same bytes here and there; None if that
        does not do.
        """
        if self.parts is None or other.parts is None:
            return None
        if self.root is not other.root:
            if self.start is None or other.start is None:
                return None
            if facts.prove_eq(self.start, other.start) is not True or facts.prove_eq(self.size, other.size) is not True:
                return None
        return self.parts | other.parts

    def leaves_open(self, number: DimExpr) -> bool:
        """Whether a team's size that divides all of `assumed` may not divide a number."""
        if number in self.assumed:
            return False
        return not number.is_const or not any(known.is_const and number.value % known.value == 0 for known in self.assumed)


def touched(value: SSAValue, parts: frozenset[DimExpr] | None = None) -> Touched:
    """The memory behind a value; scratch of one's own is in equal parts for any team."""
    root = root_buffer(value)
    kind = root.type
    assert isinstance(kind, BufferType)
    slot = root.owner
    if not isinstance(slot, SlotOp):
        return Touched(root, None, kind.size_bytes, parts)
    if slot.stride is not None:
        return Touched(root, slot.offset.data, slot.stride.data * sym(THREADS), frozenset())
    return Touched(root, slot.offset.data, kind.size_bytes, parts)


def conflicts(
    reads: Sequence[Touched], writes: Sequence[Touched], read: Sequence[Touched], written: Sequence[Touched], facts: Facts
) -> frozenset[DimExpr] | None:
    """What a form that `reads` and `writes` needs after others that have `read` and `written`: numbers all of which a team's
    size must divide for no barrier to be needed; None if one is needed anyway.
    """
    numbers: frozenset[DimExpr] = frozenset()
    pairs = [(a, b) for a in (*reads, *writes) for b in written] + [(a, b) for a in writes for b in read]
    for a, b in pairs:
        if a.apart(b, facts):
            continue
        found = a.same_parts(b, facts)
        if found is None:
            return None
        numbers |= {number for number in found if b.leaves_open(number)}
    known = [number.value for number in numbers if number.is_const]
    if not known:
        return numbers
    common = math.gcd(*known)
    if common == 1:
        return None
    return frozenset(number for number in numbers if not number.is_const) | {const(common)}


def equal_parts(form: FormOp, split: Split | None, facts: Facts) -> list[frozenset[DimExpr] | None]:
    """For every operand of a form, `reads` before `writes`, the `parts` of its memory under a split."""
    if split is None:
        return [None] * (len(form.reads) + len(form.writes))
    space = Space(form, facts)
    names = [name for name in split[0] if facts.prove_eq(space.extents[name], 1) is not True]
    numbers = [_number_of_parts(space, operand, names, split[1]) for operand in range(len(space.operands))]
    return [None if number is None else frozenset([number]) for number in numbers]


def _number_of_parts(space: Space, operand: int, names: Sequence[str], unit: int) -> DimExpr | None:
    """The N of one operand: places of the split, or points of its outermost dims, that have a block of the buffer each."""
    offset, (value, access), facts = space.offsets[operand], space.operands[operand], space.facts
    kind = value.type
    assert isinstance(kind, BufferType)
    if offset is None or access.is_guarded or not _is_whole(value, facts):
        return None
    elements = total(kind.physical_dims)
    for count in range(len(names), 0, -1):
        dims = space.collapse(names[:count], [operand])
        block = space.step(operand, dims[0].name) if len(dims) == 1 else None
        if block is None or facts.prove_eq(dims[0].extent * block, elements) is not True:
            continue
        rest = facts.simplify(offset.substitute({name: const(0) for name in dims[0].members}))
        if facts.prove_le(0, rest) is not True or facts.prove_lt(rest, block) is not True:
            continue
        if facts.divisor(total(space.extents[name] for name in names[count:])) % unit == 0:
            return dims[0].extent
        if count == len(names) and facts.divisor(dims[0].extent) % unit == 0:
            return floordiv(dims[0].extent, unit)
    return None


def _is_whole(value: SSAValue, facts: Facts) -> bool:
    """Whether a value is all of its storage, seen in whatever shape."""
    while isinstance(value.owner, ViewOp):
        view = value.owner
        source, result = view.source.type, view.result.type
        assert isinstance(source, BufferType) and isinstance(result, BufferType)
        if view.offset is not None or facts.prove_eq(source.size_bytes, result.size_bytes) is not True:
            return False
        value = view.source
    return True

"""The iteration space of a form: which dims collapse into one, and how operands move along each.

Works on the form alone, so that choosing a schedule and applying it see the same space.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import IndexType, IntegerAttr, StringAttr
from xdsl.ir import Attribute, Block, SSAValue

from rlx_backends.support.kernel_builder import total
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size, is_element
from rlx_dialects.lir import BufferType, EachOp, FoldOp, FormOp, IndexOp, ReadOp, ScheduleAttr

TYPICAL_EXTENT = 256
"""What an extent known only by a wide range is taken for when costs are compared."""


@dataclass(frozen=True)
class Dim:
    """A loop over one iteration dim, or over several that lie in memory as one: `name` is the innermost of them, the
    others stay 0.
    """

    name: str
    extent: DimExpr
    members: tuple[str, ...]


class Space:
    """Offsets of all accesses of a form, in the order ins, extra, outs; None where the region gets the whole buffer."""

    def __init__(self, form: FormOp, facts: Facts):
        self.form = form
        self.extents = form.extents
        self.facts = facts.with_iteration(self.extents)
        self.operands = [*form.reads, *form.writes]
        self.offsets: list[DimExpr | None] = []
        self.pinned: set[str] = set()
        """Dims whose value matters beyond the place of an element: read as an index, bounded."""
        for value, access in self.operands:
            kind = value.type
            assert isinstance(kind, BufferType)
            self.offsets.append(None if access.is_whole else self.facts.simplify(kind.offset(access.exprs)))
        for op in form.walk():
            if isinstance(op, IndexOp):
                self.pinned |= op.expr.data.symbols
        for it in form.iters.data:
            lower, upper = it.range  # pyright: ignore[reportAttributeAccessIssue]
            if lower != 0 or upper != it.dim:  # pyright: ignore[reportAttributeAccessIssue]
                self.pinned |= {it.symbol.data} | lower.symbols | upper.symbols  # pyright: ignore[reportAttributeAccessIssue]

    def step(self, operand: int, name: str) -> DimExpr | None:
        """How many elements further the next point along `name` lies; None where that is not one number."""
        offset = self.offsets[operand]
        assert offset is not None
        return offset.coefficient(name)

    def collapse(self, names: Sequence[str], operands: Iterable[int] | None = None) -> list[Dim]:
        """`names`, outermost first, with neighbours joined wherever every operand (of `operands`) passes from one to
        the next without a jump.
        """
        of = list(range(len(self.offsets))) if operands is None else list(operands)
        dims = [
            Dim(name, self.extents[name], (name,)) for name in names if self.facts.prove_eq(self.extents[name], 1) is not True
        ]
        joined: list[Dim] = []
        for dim in dims:
            last = joined[-1] if joined else None
            if last is not None and self._joins(last.name, dim, of):
                joined[-1] = Dim(dim.name, last.extent * dim.extent, (*last.members, *dim.members))
            else:
                joined.append(dim)
        return joined

    def _joins(self, outer: str, inner: Dim, operands: Sequence[int]) -> bool:
        if outer in self.pinned or inner.name in self.pinned:
            return False
        for number in operands:
            offset, access = self.offsets[number], self.operands[number][1]
            if offset is None:
                continue
            if access.is_guarded and access.symbols & {outer, inner.name}:
                return False
            far, near = offset.coefficient(outer), offset.coefficient(inner.name)
            if far is None or near is None or inner.name in far.symbols or outer in near.symbols:
                return False
            if self.facts.prove_eq(far, near * inner.extent) is not True:
                return False
        return True

    def size(self, extent: DimExpr) -> int:
        """A number to compare costs with."""
        low, high = self.facts.bounds(extent)
        if high is None:
            return TYPICAL_EXTENT
        return max(high, 1) if high <= TYPICAL_EXTENT else max(low or 0, TYPICAL_EXTENT)

    def read_steps(self, name: str) -> list[DimExpr | None]:
        """As `step`, for every `lir.read` of the form: 0 if it does not move along `name`, None if it jumps."""
        steps: list[DimExpr | None] = []
        for op in self.form.walk():
            if not isinstance(op, ReadOp):
                continue
            block = op.parent_block()
            assert block is not None
            depends = self.dependences(block)
            places: list[DimExpr] = []
            for position, index in enumerate(op.indices):
                owner = index.owner
                if isinstance(owner, IndexOp):
                    places.append(owner.expr.data)
                elif name in depends.get(index, frozenset()):
                    places = []
                    break
                else:
                    places.append(_unknown(position))
            kind = op.source.type
            assert isinstance(kind, BufferType)
            steps.append(self.facts.simplify(kind.offset(places)).coefficient(name) if places or not kind.rank else None)
        return steps

    def dependences(self, block: Block) -> dict[SSAValue, frozenset[str]]:
        """The iteration dims that each value of a form's region varies with."""
        found: dict[SSAValue, frozenset[str]] = {}
        takes_ins = block.parent_region() is self.form.regions[0] and len(block.args) == len(self.form.ins)
        for position, arg in enumerate(block.args):
            # Accumulators, scores, carries and the arguments of nested regions vary with everything.
            found[arg] = self.form.in_accesses[position].symbols if takes_ins else frozenset(self.extents)
        for op in block.ops:
            used = (
                frozenset[str]().union(*(found.get(v, frozenset(self.extents)) for v in op.operands))
                if op.operands
                else frozenset()
            )
            if isinstance(op, IndexOp):
                used = op.expr.data.symbols
            if isinstance(op, EachOp | FoldOp):
                used = frozenset(self.extents)
            for result in op.results:
                found[result] = used
        return found


class Clashes:
    """Whether a result and an operand of a reduce may share memory, as the planner decides it: the same place at every point."""

    def __init__(self, space: Space):
        self.space = space
        self.iteration = set(space.extents)
        self.single = {name: const(0) for name, extent in space.extents.items() if space.facts.prove_eq(extent, 1) is True}

    def __call__(self, result: int, operand: int) -> bool:
        places = [self.space.offsets[operand], self.space.offsets[len(self.space.form.ins) + result]]
        a, b = (self.space.facts.simplify(place.substitute(self.single)) if place is not None else const(0) for place in places)
        return self.iteration.isdisjoint((a - b).symbols)


def _unknown(position: int) -> DimExpr:
    return sym(f"unknown.{position}")


def widest(form: FormOp) -> int:
    """Bytes of the widest element that the form computes with."""
    kinds: list[Attribute] = [value.type.scalar_type for value, _ in (*form.reads, *form.writes)]  # pyright: ignore[reportAttributeAccessIssue]
    for op in form.walk():
        kinds += [result.type for result in op.results if not isinstance(result.type, IndexType)]
    return max((byte_size(kind) for kind in kinds if is_element(kind)), default=4)


def lanes_for(extent: DimExpr, lanes: int, facts: Facts) -> int:
    """`lanes`, or the next power of two above a short extent."""
    high = facts.bounds(extent)[1]
    while high is not None and lanes // 2 >= high and lanes > 1:
        lanes //= 2
    return lanes


def rows_of(dims: Iterable[Dim]) -> DimExpr:
    """The number of points of some dims."""
    return total(dim.extent for dim in dims)


def int_param(schedule: ScheduleAttr, name: str, default: int | None = None) -> int:
    """An integer of a schedule's parameters."""
    value = schedule.params.data.get(name)
    if value is None and default is not None:
        return default
    assert isinstance(value, IntegerAttr), f"schedule {schedule} has no integer '{name}'"
    return value.value.data


def text_param(schedule: ScheduleAttr, name: str) -> str:
    """A text of a schedule's parameters; empty if it is not there."""
    value = schedule.params.data.get(name)
    return value.data if isinstance(value, StringAttr) else ""

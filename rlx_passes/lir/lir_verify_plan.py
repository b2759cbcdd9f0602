"""lir-verify-plan: prove that a planned program is safe, for all values of its dims.

It shares no code with the planner and reads nothing but the program: where slots lie, what each operation touches, in which
order. It proves that

* slots are aligned and inside the arena, views and accesses inside their buffers (guarded ones aside);
* nothing is read before it is written, outputs are written completely, and nothing writes to inputs or weights;
* nothing is written over bytes that are still read later, or that the same form reads, unless element by element in place;
* a form that reads and writes the same buffer reads each element only where it writes it.

What cannot be proved is an error that names the operations and buffers.

Before:
```mlir
lir.program @main arena(B * 64) attributes {rlx.dims = [#rlx.dim<B in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<B x 16 x f32>
  %y = lir.output @y : !lir.buffer<B x 16 x f32>
  %t = lir.slot at(0) : !lir.buffer<B x 16 x f32>
  lir.copy %x to %t : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
  lir.copy %t to %y : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
}
```
After:
```mlir
lir.program @main arena(B * 64) attributes {rlx.dims = [#rlx.dim<B in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<B x 16 x f32>
  %y = lir.output @y : !lir.buffer<B x 16 x f32>
  %t = lir.slot at(0) : !lir.buffer<B x 16 x f32>
  lir.copy %x to %t : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
  lir.copy %t to %y : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
}
```

Expects: LIR after planning. Ensures: the same module. Numerics: exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from rlx_dialects.dims import DimExpr, DimLike, as_expr, ceildiv, const, maximum, sym
from rlx_dialects.dims.facts import Facts, SymbolFacts
from rlx_dialects.lir import (
    AccessAttr,
    AllocOp,
    BufferType,
    ConditionOp,
    ContractOp,
    CopyOp,
    FormOp,
    IfOp,
    IterAttr,
    LayoutAttr,
    MapOp,
    OutputOp,
    PackedOp,
    ProgramOp,
    ReduceOp,
    ScatterOp,
    SlotOp,
    StateOp,
    ViewOp,
    WhileOp,
    programs,
)
from rlx_dialects.lir.types import ARENA_ALIGNMENT
from rlx_dialects.rlx import dtypes, facts_of
from rlx_passes.support.coverage import Box, Space, Written, disjoint, touched_box
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import VerifyError

TEAM = SymbolFacts("threads", 1, 1024)


@dataclass(frozen=True)
class _Use:
    """One operand of an operation: the storage it reaches and, where known, the elements."""

    op: Operation
    value: SSAValue
    reads: bool
    writes: bool
    segment: str
    access: AccessAttr | None

    @property
    def root(self) -> SSAValue:
        return _root(self.value)[0]


State = dict[SSAValue, Written]
Live = dict[SSAValue, Operation]
"""Slots that are read later, and by what first."""


class _Checker:
    def __init__(self, program: ProgramOp):
        self.program = program
        self.facts = _with_team(facts_of(program))
        self.errors: list[VerifyError] = []
        self.uses: dict[Operation, list[_Use]] = {}
        self.full_writes: set[_Use] = set()
        self.order: dict[Operation, int] = {}
        self.first_write: dict[SSAValue, int] = {}
        self.live_out: dict[Operation, Live] = {}
        self.layouts: set[BufferType] = set()

    def run(self) -> list[VerifyError]:
        state: State = {}
        self._block(self.program.block, state)
        for op in self.program.block.ops:
            if isinstance(op, OutputOp) or (isinstance(op, PackedOp) and self._is_result(op)):
                if not self._covered(state, op.result, Box.whole(_kind(op.result).dims)):
                    self.fail(op, f"{_name(op.result)} is not known to be fully written at the end", "plan-output")
        self._live(self.program.block, {})
        self._overlaps()
        return self.errors

    def at_most(self, a: DimLike, b: DimLike) -> bool:
        """a <= b, maxima taken apart: each operand of one in `a`, some operand of one in `b`."""
        known = self.facts.prove_le(a, b)
        if known is not None:
            return known
        if (cases := _cases(as_expr(a))) is not None:
            return all(self.at_most(case, b) for case in cases)
        cases = _cases(as_expr(b))
        return cases is not None and any(self.at_most(a, case) for case in cases)

    def same(self, a: DimLike, b: DimLike) -> bool:
        return self.facts.prove_eq(a, b) is True

    def fail(self, op: Operation, message: str, code: str) -> None:
        self.errors.append(VerifyError(f"'{op.name}' {message}", code=code, location=location_of(op)))

    def _is_result(self, op: PackedOp) -> bool:
        return self.program.sym_name.data == "prepare"

    # -- the schedule in order

    def _block(self, block: Block, state: State) -> None:
        for op in block.ops:
            self.order[op] = len(self.order)
            for result in op.results:
                self._buffer(op, result)
            if isinstance(op, IfOp):
                self._operand(_Use(op, op.flag, True, False, "flag", None), state, self.facts)
                branches = [{root: written.copy() for root, written in state.items()} for _ in op.regions]
                for region, branch in zip(op.regions, branches, strict=True):
                    self._block(region.block, branch)
                for root in set(branches[0]) & set(branches[1]):
                    state[root] = branches[0][root].both(branches[1][root])
            elif isinstance(op, WhileOp):
                self._block(op.condition.block, state)
                self._block(op.body.block, {root: written.copy() for root, written in state.items()})
            elif isinstance(op, ConditionOp):
                self._operand(_Use(op, op.flag, True, False, "flag", None), state, self.facts)
            elif isinstance(op, CopyOp):
                uses = [_Use(op, op.source, True, False, "source", None), _Use(op, op.target, False, True, "target", None)]
                self._touch(op, uses, state, self.facts)
            elif isinstance(op, FormOp):
                self._form(op, state)

    def _form(self, op: FormOp, state: State) -> None:
        updates = isinstance(op, ScatterOp)
        uses = [
            *(_Use(op, v, True, False, "ins", a) for v, a in zip(op.ins, op.in_accesses, strict=True)),
            *(_Use(op, v, True, False, "extra", a) for v, a in zip(op.extra, op.extra_accesses, strict=True)),
            *(_Use(op, v, updates, True, "outs", a) for v, a in zip(op.outs, op.out_accesses, strict=True)),
            *(_Use(op, v, False, False, "scratch", None) for v in op.scratch),
        ]
        inside = _inside(op, self.facts)
        for use in uses:
            if inside is not None and use.access is not None and not (use.access.is_whole or use.access.is_guarded):
                self._in_bounds(use, inside)
        self._touch(op, uses, state, inside)

    def _touch(self, op: Operation, uses: list[_Use], state: State, inside: Facts | None) -> None:
        for use in uses:
            if use.reads:
                self._operand(use, state, inside)
        for use in uses:
            if use.writes:
                self._result(use, state)
        for use in uses:
            if not use.reads and not use.writes:
                self._operand(use, state, inside)
        for result in uses:
            for operand in uses if result.writes and not isinstance(op, ScatterOp) else ():
                if operand.reads and operand.root is result.root and not self._is_same_place(op, operand, result, inside):
                    self.fail(
                        op,
                        f"reads {_name(operand.value)} and writes {_name(result.value)}, the same buffer, which is not known to "
                        "be element by element in place",
                        "plan-in-place",
                    )

    def _operand(self, use: _Use, state: State, inside: Facts | None) -> None:
        self.uses.setdefault(use.op, []).append(use)
        root = use.root
        if isinstance(root.owner, SlotOp | OutputOp) or (isinstance(root.owner, PackedOp) and self._is_result(root.owner)):
            if use.reads and inside is not None and not self._covered(state, use.value, self._box(use)[0]):
                self.fail(use.op, f"reads {_name(use.value)} before it is known to be written", "plan-order")

    def _result(self, use: _Use, state: State) -> None:
        if not use.reads:
            self.uses.setdefault(use.op, []).append(use)
        root, offset = _root(use.value)
        owner = root.owner
        if not (isinstance(owner, SlotOp | OutputOp | StateOp) or (isinstance(owner, PackedOp) and self._is_result(owner))):
            self.fail(use.op, f"writes to {_name(root)}, which is only read", "plan-write")
        self.first_write.setdefault(root, self._since(use.op, root))
        box, exact = self._box(use)
        if exact and not isinstance(use.op, ScatterOp):
            space = Space.of(_kind(use.value), offset)
            state.setdefault(root, Written()).add(space, box)
            if self._covered({root: Written(False, {space: [box]})}, root, Box.whole(_kind(root).dims)):
                self.full_writes.add(use)

    def _since(self, op: Operation, root: SSAValue) -> int:
        """From which operation on a write by `op` may have happened: in a loop, a round may have gone before."""
        since, child = self.order[op], op
        while child.parent is not None and child.parent is not root.owner.parent:
            parent = child.parent_op()
            if parent is None:
                break
            since = self.order[parent] if isinstance(parent, WhileOp) else since
            child = parent
        return since

    def _box(self, use: _Use) -> tuple[Box, bool]:
        kind = _kind(use.value)
        if use.access is None or use.access.is_whole or use.access.is_guarded or not isinstance(use.op, FormOp):
            return Box.whole(kind.dims), use.access is None
        iters = {it.symbol.data: it for it in use.op.iters.data if isinstance(it, IterAttr)}
        return touched_box(use.access.exprs, kind.dims, iters, self.facts)

    def _covered(self, state: State, value: SSAValue, box: Box) -> bool:
        """Whether `box` of `value` is known to be written."""
        root, offset = _root(value)
        written = state.get(root)
        if written is None:
            return any(self.same(dim, 0) for dim in _kind(root).dims)
        return written.covers(_kind(root), Space.of(_kind(value), offset), box, self.facts)

    # -- places

    def _buffer(self, op: Operation, result: SSAValue) -> None:
        kind = _kind(result)
        if isinstance(op, AllocOp):
            self.fail(op, f"{_name(result)} has no place in the arena", "plan-arena")
        elif isinstance(op, SlotOp):
            self._slot(op, kind)
        elif isinstance(op, ViewOp):
            source = _kind(op.source)
            start = op.offset.data if op.offset is not None else const(0)
            if not self.at_most(0, start) or not self.at_most(start + kind.elements, source.elements):
                self.fail(
                    op,
                    f"reaches elements [{start}, {start + kind.elements}) of {_name(op.source)}, which has {source.elements}",
                    "plan-bounds",
                )
        if isinstance(kind.layout, LayoutAttr) and kind not in self.layouts:
            self.layouts.add(kind)
            names = [f"index{axis}" for axis in range(kind.rank)]
            inside = self.facts.with_iteration(dict(zip(names, kind.dims, strict=True)))
            for place, extent in zip(kind.physical_indices([sym(name) for name in names]), kind.physical_dims, strict=True):
                if inside.prove_le(0, place) is not True or inside.prove_lt(place, extent) is not True:
                    self.fail(op, f"has a layout whose index '{place}' is not known to be in [0, {extent})", "plan-bounds")

    def _slot(self, op: SlotOp, kind: BufferType) -> None:
        facts, offset, name = self.facts, op.offset.data, _name(op.result)
        runtime = sorted(symbol for symbol in offset.symbols if facts.symbol(symbol).runtime)
        if runtime:
            self.fail(op, f"{name} lies at {offset}, which depends on runtime dim {runtime[0]}", "plan-alignment")
        if facts.prove_divides(ARENA_ALIGNMENT, offset) is not True:
            self.fail(op, f"{name} lies at {offset}, which is not known to be a multiple of {ARENA_ALIGNMENT}", "plan-alignment")
        if op.stride is not None:
            stride = op.stride.data
            if facts.prove_divides(ARENA_ALIGNMENT, stride) is not True or facts.prove_le(kind.size_bytes, stride) is not True:
                self.fail(op, f"{name} of {kind.size_bytes} bytes has copies {stride} bytes apart", "plan-alignment")
        arena = self.program.arena.data if self.program.arena is not None else const(0)
        end = offset + _bytes(op)
        if not self.at_most(0, offset) or not (self.at_most(end, arena) or self.at_most(offset + _rounded(op), arena)):
            self.fail(op, f"{name} lies at [{offset}, {end}), not known to be in the arena of {arena} bytes", "plan-arena")

    def _in_bounds(self, use: _Use, inside: Facts) -> None:
        assert use.access is not None
        for axis, (index, dim) in enumerate(zip(use.access.exprs, _kind(use.value).dims, strict=True)):
            if inside.prove_le(0, index) is not True or inside.prove_lt(index, dim) is not True:
                reached = f"{_name(use.value)} at index '{index}' of dim {axis}"
                self.fail(use.op, f"reaches {reached}, not known to be in [0, {dim})", "plan-bounds")

    # -- bytes in time

    def _live(self, block: Block, live: Live) -> Live:
        """The slots that are read at or after the start of `block`, given those read after its end; notes them per operation."""
        live = dict(live)
        for op in reversed(list(block.ops)):
            self.live_out[op] = dict(live)
            if isinstance(op, SlotOp):
                live.pop(op.result, None)
            elif isinstance(op, IfOp):
                after = live
                live = self._live(op.else_body.block, after) | self._live(op.then_body.block, after)
            elif isinstance(op, WhileOp):
                after, round_start, before = live, dict[SSAValue, Operation](), None
                while before is None or round_start.keys() != before.keys():
                    before = round_start
                    live = self._live(op.condition.block, after | before)
                    round_start = self._live(op.body.block, live)
            for use in self.uses.get(op, ()):
                if use in self.full_writes and not use.reads:
                    live.pop(use.root, None)
            for use in self.uses.get(op, ()):
                if use.reads and isinstance(use.root.owner, SlotOp):
                    live[use.root] = op
        return live

    def _overlaps(self) -> None:
        for op, uses in self.uses.items():
            slots = [use for use in uses if isinstance(use.root.owner, SlotOp)]
            for use in slots:
                if use.reads and not use.writes:
                    continue
                for other, reader in self.live_out[op].items():
                    if other is not use.root and self.first_write.get(other, 0) <= self.order[op]:
                        self._apart(op, use, other, f"is still read by {_place_of(reader)}")
                for other in slots:
                    if other.root is use.root or self._takes_place(op, other, use):
                        continue
                    if other.reads or slots.index(other) < slots.index(use):
                        verb = "read" if other.reads else "written"
                        self._apart(op, use, other.root, f"is {verb} by the same operation")

    def _apart(self, op: Operation, use: _Use, other: SSAValue, why: str) -> None:
        a, b = use.root.owner, other.owner
        assert isinstance(a, SlotOp)
        assert isinstance(b, SlotOp)
        for before, after in ((a, b), (b, a)):
            first, start = before.offset.data, after.offset.data
            if self.at_most(first + _bytes(before), start) or self.at_most(first + _rounded(before), start):
                return
        if self.same(_bytes(a), 0) or self.same(_bytes(b), 0):
            return
        what = "writes" if use.writes else "uses as scratch"
        self.fail(op, f"{what} {_where(a)} while {_where(b)} {why}", "plan-overlap")

    def _takes_place(self, op: Operation, operand: _Use, result: _Use) -> bool:
        """Whether `op` makes `result` in the place of `operand`, which it reads."""
        a, b = operand.root.owner, result.root.owner
        if not isinstance(op, FormOp) or not operand.reads or operand.writes or not result.writes:
            return False
        if not isinstance(a, SlotOp) or not isinstance(b, SlotOp) or not self.same(a.offset.data, b.offset.data):
            return False
        return self._is_same_place(op, operand, result, _inside(op, self.facts))

    def _is_same_place(self, op: Operation, operand: _Use, result: _Use, inside: Facts | None) -> bool:
        """Whether `op` reads `operand` only at the element of `result` that the same point writes (or at none that it writes)."""
        if inside is None:
            return True
        if operand.root is result.root and _kind(operand.value).dims == _kind(result.value).dims:
            if operand.value is result.value and disjoint(self._box(operand)[0], self._box(result)[0], self.facts):
                return True
        allowed = {MapOp: "ins", ReduceOp: "ins", ContractOp: "extra"}.get(type(op))
        if operand.segment != allowed or operand.access is None or result.access is None:
            return False
        if operand.access.is_whole or operand.access.is_guarded or result.access.is_whole:
            return False
        widths = [dtypes.bit_width(_kind(use.value).element_type) for use in (operand, result)]
        places = [_root(use.value)[1] + _kind(use.value).offset(use.access.exprs) for use in (operand, result) if use.access]
        return widths[0] == widths[1] and inside.prove_eq(places[0], places[1]) is True


@lru_cache(maxsize=64)
def _with_team(facts: Facts) -> Facts:
    """Kept, so that what was proved for one program serves the next."""
    return facts.with_symbols([TEAM])


def _kind(value: SSAValue) -> BufferType:
    assert isinstance(value.type, BufferType)
    return value.type


def _root(value: SSAValue) -> tuple[SSAValue, DimExpr]:
    """The storage behind views, and the element of it where `value` starts."""
    start = const(0)
    while isinstance(value.owner, ViewOp):
        if value.owner.offset is not None:
            start = start + value.owner.offset.data
        value = value.owner.source
    return value, start


def _cases(expr: DimExpr) -> tuple[DimExpr, DimExpr] | None:
    """`expr` with a maximum that it adds replaced by either operand; None if it adds none."""
    for monomial, scale in expr.terms:
        if len(monomial) == 1 and monomial[0][0] == "max" and scale > 0:
            _, first, second = monomial[0]
            rest = expr - scale * maximum(first, second)
            return rest + scale * first, rest + scale * second
    return None


def _bytes(op: SlotOp) -> DimExpr:
    return _kind(op.result).size_bytes if op.stride is None else op.stride.data * sym(TEAM.name)


def _rounded(op: SlotOp) -> DimExpr:
    """The slot's bytes up to the next multiple of the alignment, where all slots begin; often easier to compare."""
    return ceildiv(_bytes(op), ARENA_ALIGNMENT) * ARENA_ALIGNMENT


def _inside(op: FormOp, facts: Facts) -> Facts | None:
    """`facts` and the ranges of the form's dims; None if it has no points at all."""
    iters = [it for it in op.iters.data if isinstance(it, IterAttr)]
    try:
        inside = facts.with_iteration(op.extents)
        limits = [(it.range[0], sym(it.symbol.data)) for it in iters if it.bounds.data]
        limits += [(sym(it.symbol.data), it.range[1] - 1) for it in iters if it.bounds.data]
        return inside.with_symbols([], limits) if limits else inside
    except ValueError:
        return None


def _name(value: SSAValue) -> str:
    leaf = value.owner.properties.get("sym_name") if isinstance(value.owner, Operation) else None
    if leaf is not None:
        return f"@{getattr(leaf, 'data', leaf)}"
    return f"%{value.name_hint}" if value.name_hint else f"a buffer of type {value.type}"


def _where(slot: SlotOp) -> str:
    return f"{_name(slot.result)} at [{slot.offset.data}, {slot.offset.data + _bytes(slot)})"


def _place_of(op: Operation) -> str:
    place = location_of(op)
    return f"'{op.name}'" + (f" at {place}" if place is not None else "")


def plan_errors(program: ProgramOp) -> Iterator[VerifyError]:
    """Everything that is wrong with a plan, in schedule order; overlaps last."""
    yield from _Checker(program).run()


@dataclass(frozen=True)
class LirVerifyPlanPass(ModulePass):
    """Raises the first error."""

    name = "lir-verify-plan"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for program in programs(op):
            for error in plan_errors(program):
                raise error

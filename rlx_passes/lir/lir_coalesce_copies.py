"""lir-coalesce-copies: make a temporary that ends up copied elsewhere right where it ends up.

The temporary's writers then write into the copy's target and the copy goes away: a result that is computed and then copied into
its output, a part of a concat, a state's new value. It needs that nothing else touches the target while the temporary is in use.

Before:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %t = lir.alloc : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%t[i, j]) {
  ^bb0(%a: f32):
    %b = math.exp %a : f32
    lir.yield %b : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
  lir.copy %t to %y : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}
```
After:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    %b = math.exp %a : f32
    lir.yield %b : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}
```

Expects: LIR before planning. Ensures: no copy of a temporary that could have been made in place. Numerics: exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import (
    AllocOp,
    BufferType,
    CopyOp,
    LayoutAttr,
    OutputOp,
    PackedOp,
    ProgramOp,
    StateOp,
    ViewOp,
    programs,
    root_buffer,
)
from rlx_dialects.rlx import facts_of
from rlx_passes.support.accesses import buffer_type
from rlx_passes.support.in_place import view_start
from rlx_passes.support.liveness import Schedule


def coalesce(program: ProgramOp) -> None:
    while _coalesce_first(program):
        pass


def _coalesce_first(program: ProgramOp) -> bool:
    """Take away one copy. It changes lifetimes, so the next look is at a fresh schedule."""
    schedule = Schedule(program)
    facts = facts_of(program)
    return any(_coalesce_copy(op, schedule, facts) for op in schedule.spans if isinstance(op, CopyOp))


def _coalesce_copy(copy: CopyOp, schedule: Schedule, facts: Facts) -> bool:
    source, target = root_buffer(copy.source), root_buffer(copy.target)
    alloc = source.owner
    if not isinstance(alloc, AllocOp) or alloc.per_thread is not None or alloc.parent is not copy.parent or source is target:
        return False
    if not isinstance(target.owner, AllocOp | OutputOp | PackedOp | StateOp) or not _fits(copy, source):
        return False
    span = schedule.lifetime(source)
    at = schedule.spans[copy][0]
    assert span is not None
    if any(access.kind == "write" and schedule.spans[access.op][0] > at for access in schedule.accesses[source]):
        return False
    for access in schedule.accesses[target]:
        low, high = schedule.spans[access.op]
        if access.op is not copy and low <= span[1] and high >= span[0] and not _apart(access.value, copy.target, facts):
            return False
    replacement = _place_before(alloc, copy.target)
    if replacement is None:
        return False
    if replacement.type != source.type:
        assert isinstance(source.type, BufferType)
        view = ViewOp(replacement, source.type)
        assert alloc.parent is not None
        alloc.parent.insert_op_before(view, alloc)
        replacement = view.result
    source.replace_all_uses_with(replacement)
    for op in (copy, alloc):
        assert op.parent is not None
        op.parent.erase_op(op)
    return True


def _apart(a: SSAValue, b: SSAValue, facts: Facts) -> bool:
    """Whether two views of one buffer provably share no element."""
    if any(isinstance(buffer_type(value).layout, LayoutAttr) for value in (a, b, root_buffer(a))):
        return False
    spans = [(start := view_start(value), start + buffer_type(value).elements) for value in (a, b)]
    (a_low, a_high), (b_low, b_high) = spans
    return facts.prove_le(a_high, b_low) is True or facts.prove_le(b_high, a_low) is True


def _fits(copy: CopyOp, source: SSAValue) -> bool:
    """Whether the copy moves the whole of `source` into a place of the same physical form."""
    if copy.source is source and source.type == copy.target.type:
        return True
    value: SSAValue = copy.source
    kinds = [value.type, copy.target.type]
    while isinstance(value.owner, ViewOp):
        if value.owner.offset is not None:
            return False
        value = value.owner.source
        kinds.append(value.type)
    if any(isinstance(kind, BufferType) and isinstance(kind.layout, LayoutAttr) for kind in kinds):
        return False
    assert isinstance(source.type, BufferType)
    assert isinstance(copy.target.type, BufferType)
    return source.type.elements == copy.target.type.elements


def _place_before(place: Operation, value: SSAValue) -> SSAValue | None:
    """`value` (a buffer or views of one) made available before `place`; None if that cannot be."""
    owner = value.owner
    assert isinstance(owner, Operation)
    if isinstance(owner, ViewOp):
        source = _place_before(place, owner.source)
        if source is None:
            return None
        assert isinstance(value.type, BufferType)
        view = ViewOp(source, value.type, None if owner.offset is None else owner.offset.data)
        view.result.name_hint = value.name_hint
        view.location = owner.location
        assert place.parent is not None
        place.parent.insert_op_before(view, place)
        return view.result
    if owner.parent is place.parent and not owner.is_before_in_block(place):
        if not isinstance(owner, AllocOp):
            return None
        owner.detach()
        assert place.parent is not None
        place.parent.insert_op_before(owner, place)
    return value


@dataclass(frozen=True)
class LirCoalesceCopiesPass(ModulePass):
    name = "lir-coalesce-copies"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for program in programs(op):
            coalesce(program)

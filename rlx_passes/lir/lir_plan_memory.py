"""lir-plan-memory: give every temporary its place in one arena.

Buffers that are never live together share bytes, whatever the values of the dims: sizes and offsets are dim expressions. A result
takes the place of an operand that dies where it is made, if both have the same element at every point (`support/in_place.py`).
Per-thread scratch is `threads` copies side by side, where the symbol `threads` is the size of the team.

Before:
```mlir
lir.program @main attributes {rlx.dims = [#rlx.dim<B in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<B x 16 x f32>
  %y = lir.output @y : !lir.buffer<B x 16 x f32>
  %t = lir.alloc : !lir.buffer<B x 16 x f32>
  lir.map (i : B, j : 16) ins(%x[i, j]) outs(%t[i, j]) {
  ^bb0(%a: f32):
    %b = math.exp %a : f32
    lir.yield %b : f32
  } : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
  lir.copy %t to %y : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
}
```
After:
```mlir
lir.program @main arena(B * 64) attributes {rlx.dims = [#rlx.dim<B in [1, 64]>]} {
  %x = lir.input @x : !lir.buffer<B x 16 x f32>
  %y = lir.output @y : !lir.buffer<B x 16 x f32>
  %t = lir.slot at(0) : !lir.buffer<B x 16 x f32>
  lir.map (i : B, j : 16) ins(%x[i, j]) outs(%t[i, j]) {
  ^bb0(%a: f32):
    %b = math.exp %a : f32
    lir.yield %b : f32
  } : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
  lir.copy %t to %y : !lir.buffer<B x 16 x f32>, !lir.buffer<B x 16 x f32>
}
```

Expects: LIR before planning. Ensures: no `lir.alloc`; every program has an arena size. Numerics: exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from rlx_dialects.dims import DimExpr, ceildiv, const, sym
from rlx_dialects.dims.facts import Facts, SymbolFacts
from rlx_dialects.lir import AllocOp, BufferType, ProgramOp, SlotOp, ViewOp, programs
from rlx_dialects.rlx import facts_of
from rlx_dialects.rlx.types import DimExprAttr
from rlx_passes.support.in_place import in_place_pairs
from rlx_passes.support.liveness import Schedule
from rlx_passes.support.locations import location_of
from rlx_passes.support.packing import plan_arena
from rlx_passes.support.packing_symbolic import plan_symbolic
from rlx_runtime.errors import LowerError

THREADS = "threads"
MOST_THREADS = 1024


def plan_program(program: ProgramOp, align: int, effort: Literal["default", "max"]) -> None:
    facts = facts_of(program)
    if THREADS in facts.symbols:
        raise LowerError(f"'{THREADS}' is the size of the team and cannot be a dim", location=location_of(program))
    facts = facts.with_symbols([SymbolFacts(THREADS, 1, MOST_THREADS)])
    _drop_unused(program)
    schedule = Schedule(program)
    allocs = [op for op in program.walk() if isinstance(op, AllocOp)]
    leader = _leaders(in_place_pairs(schedule, facts))
    spans: dict[SSAValue, tuple[int, int]] = {}
    for op in allocs:
        span = schedule.lifetime(op.result)
        assert span is not None
        root = leader.get(op.result, op.result)
        before = spans.get(root, span)
        spans[root] = (min(before[0], span[0]), max(before[1], span[1]))
    strides: dict[SSAValue, DimExpr] = {op.result: _stride(op, facts, align) for op in allocs if op.per_thread is not None}
    sizes: dict[SSAValue, DimExpr] = {op.result: _size(op) for op in allocs}
    sizes |= {value: stride * sym(THREADS) for value, stride in strides.items()}
    offsets, arena = _place([(root, low, high + 1, sizes[root]) for root, (low, high) in spans.items()], facts, align, effort)
    for op in allocs:
        _place_alloc(op, offsets[leader.get(op.result, op.result)], strides.get(op.result))
    program.arena = DimExprAttr(arena)


def _leaders(pairs: dict[SSAValue, SSAValue]) -> dict[SSAValue, SSAValue]:
    """For each result in the place of an operand, the first buffer of the chain."""
    leaders: dict[SSAValue, SSAValue] = {}
    for result in pairs:
        first = pairs[result]
        while first in pairs:
            first = pairs[first]
        leaders[result] = first
    return leaders


def _place(
    buffers: list[tuple[SSAValue, int, int, DimExpr]], facts: Facts, align: int, effort: Literal["default", "max"]
) -> tuple[dict[SSAValue, DimExpr], DimExpr]:
    known = [(id_, lower, upper, facts.resolve(size)) for id_, lower, upper, size in buffers]
    if all(size.is_const for *_, size in known):
        exact, total = plan_arena([(id_, lower, upper, size.value) for id_, lower, upper, size in known], align, effort)
        return {id_: const(offset) for id_, offset in exact.items()}, const(total)
    return plan_symbolic(buffers, facts, align)


def _place_alloc(op: AllocOp, offset: DimExpr, stride: DimExpr | None) -> None:
    kind, block = op.result.type, op.parent
    assert isinstance(kind, BufferType)
    assert block is not None
    slot = SlotOp(offset, kind, stride)
    slot.location = op.location
    slot.result.name_hint = op.result.name_hint
    block.insert_op_before(slot, op)
    op.result.replace_all_uses_with(slot.result)
    block.erase_op(op)


def _drop_unused(program: ProgramOp) -> None:
    """Temporaries that nothing touches, and views of nothing."""
    for op in reversed(list(program.walk())):
        if isinstance(op, AllocOp | ViewOp) and not op.results[0].uses and op.parent is not None:
            op.parent.erase_op(op)


def _size(op: AllocOp) -> DimExpr:
    assert isinstance(op.result.type, BufferType)
    return op.result.type.size_bytes


def _stride(op: AllocOp, facts: Facts, align: int) -> DimExpr:
    size = _size(op)
    runtime = [name for name in size.symbols if facts.symbol(name).runtime]
    return ceildiv(facts.upper_without(size, runtime), align) * align


@dataclass(frozen=True)
class LirPlanMemoryPass(ModulePass):
    """`align` bytes (a power of two, at least 64); `effort` of the packing search: default or max."""

    name = "lir-plan-memory"

    align: int = 64
    effort: Literal["default", "max"] = "default"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for program in programs(op):
            plan_program(program, self.align, self.effort)

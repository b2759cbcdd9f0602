"""How good a plan is, at concrete dims: its arena beside the most bytes that are live at once, which no plan of the same order
can beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.ir import SSAValue

from rlx_dialects.lir import AllocOp, BufferType, ProgramOp, SlotOp
from rlx_dialects.lir.types import ARENA_ALIGNMENT
from rlx_passes.support.liveness import Schedule
from rlx_passes.support.packing import live_bytes_bound


@dataclass(frozen=True)
class LiveBytes:
    """Bytes at given dims. `arena`: the plan's. `unshared`: every buffer by itself. `bound`: the most that is live at once."""

    arena: int
    unshared: int
    bound: int

    @property
    def saved(self) -> int:
        return max(self.unshared - self.arena, 0)


def live_bytes(program: ProgramOp, dims: Mapping[str, int]) -> LiveBytes:
    """The figures of a program before or after planning; `dims` binds every symbol, `threads` defaults to 1.

    A result in the place of an operand counts once. Before planning, the arena is 0 and no result is in place.
    """
    env = {"threads": 1, **dims}
    schedule = Schedule(program)
    ranges: dict[SSAValue, tuple[int, int, int]] = {}
    unshared = 0
    for op in program.walk():
        if not isinstance(op, AllocOp | SlotOp):
            continue
        size = _bytes(op, env)
        unshared += size
        span = schedule.lifetime(op.result)
        if span is not None:
            ranges[op.result] = (span[0], span[1] + 1, -(-size // ARENA_ALIGNMENT) * ARENA_ALIGNMENT)
    # A slot that begins in the very operation in which another one at its place ends was made in that place.
    ends = {(_offset(value, env), upper - 1) for value, (_, upper, _) in ranges.items() if isinstance(value.owner, SlotOp)}
    live = [
        (lower + (isinstance(value.owner, SlotOp) and (_offset(value, env), lower) in ends and upper - 1 > lower), upper, size)
        for value, (lower, upper, size) in ranges.items()
    ]
    arena = program.arena.data.evaluate(env) if program.arena is not None else 0
    return LiveBytes(arena, unshared, live_bytes_bound(live))


def _bytes(op: AllocOp | SlotOp, env: Mapping[str, int]) -> int:
    kind = op.result.type
    assert isinstance(kind, BufferType)
    size = kind.size_bytes.evaluate(env)
    if isinstance(op, SlotOp):
        return size if op.stride is None else op.stride.data.evaluate(env) * env["threads"]
    return size if op.per_thread is None else -(-size // ARENA_ALIGNMENT) * ARENA_ALIGNMENT * env["threads"]


def _offset(value: SSAValue, env: Mapping[str, int]) -> int:
    assert isinstance(value.owner, SlotOp)
    return value.owner.offset.data.evaluate(env)

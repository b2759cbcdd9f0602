"""How good a plan is, at concrete dims: its arena beside the most bytes that are live at once, which no plan of the same order
can beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    return live_bytes_at(program, [dims])[0]


def live_bytes_at(program: ProgramOp, samples: Sequence[Mapping[str, int]]) -> list[LiveBytes]:
    """`live_bytes` at several values of the dims."""
    schedule = Schedule(program)
    spans = {op: schedule.lifetime(op.result) for op in program.walk() if isinstance(op, AllocOp | SlotOp)}
    return [_figures(program, spans, {"threads": 1, **dims}) for dims in samples]


def _figures(
    program: ProgramOp, spans: Mapping[AllocOp | SlotOp, tuple[int, int] | None], env: Mapping[str, int]
) -> LiveBytes:
    sizes = {op: _bytes(op, env) for op in spans}
    offsets: dict[AllocOp | SlotOp, int] = {op: op.offset.data.evaluate(env) for op in spans if isinstance(op, SlotOp)}
    ends = {(offsets[op], span[1]) for op, span in spans.items() if span is not None and op in offsets}
    live: list[tuple[int, int, int]] = []
    for op, span in spans.items():
        if span is not None:
            # A slot that begins in the very operation in which another one at its place ends was made in that place.
            taken = op in offsets and span[0] < span[1] and (offsets[op], span[0]) in ends
            live.append((span[0] + taken, span[1] + 1, -(-sizes[op] // ARENA_ALIGNMENT) * ARENA_ALIGNMENT))
    arena = program.arena.data.evaluate(env) if program.arena is not None else 0
    return LiveBytes(arena, sum(sizes.values()), live_bytes_bound(live))


def _bytes(op: AllocOp | SlotOp, env: Mapping[str, int]) -> int:
    kind = op.result.type
    assert isinstance(kind, BufferType)
    size = kind.size_bytes.evaluate(env)
    if isinstance(op, SlotOp):
        return size if op.stride is None else op.stride.data.evaluate(env) * env["threads"]
    return size if op.per_thread is None else -(-size // ARENA_ALIGNMENT) * ARENA_ALIGNMENT * env["threads"]

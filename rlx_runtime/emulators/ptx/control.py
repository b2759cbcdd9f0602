"""Branches, calls and barriers of PTX."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from rlx_runtime.emulators.machine import PARTED, Step
from rlx_runtime.emulators.ptx.operands import Context
from rlx_runtime.emulators.ptx.threads import WARP, Threads, together
from rlx_runtime.emulators.ptx.warp import warp_barrier


def branch(c: Context) -> Step:
    """bra, with its predicate."""
    s = c.statement
    if s.operands[0] not in c.labels:
        raise c.malformed(f"no label {s.operands[0]}")
    target = c.labels[s.operands[0]]
    if not s.predicate:
        return lambda m: target
    taken = c.source(("!" if s.negated else "") + s.predicate, "pred")
    return lambda m: m.branch(np.broadcast_to(taken(m), (m.count,)), target)


def branch_indexed(c: Context) -> Step:
    """brx.idx: to one of a table of labels."""
    index, name = c.source(c.statement.operands[0], "u32"), c.statement.operands[1]
    table = np.array([c.labels[label] for label in c.function.tables[name]])

    def step(m: Threads) -> int:
        chosen = m.part(np.asarray(index(m)))
        if (chosen >= len(table)).any():
            raise m.fault("out-of-bounds", f"branch {int(chosen.max())} of {len(table)}")
        m.pc[m.index] = table[chosen]
        return PARTED

    return step


def leave(c: Context) -> Step:
    """ret of a kernel, exit."""

    def step(m: Threads) -> int:
        m.stop(m.index)
        return PARTED

    return step


def trap(c: Context) -> Step:
    def step(m: Threads) -> int | None:
        raise m.fault("trap", "the kernel gave up")

    return step


def call(c: Context, slot_of_return: int, copies: Callable[[Threads], None], target: int) -> Step:
    """call: arguments to the parameters of the function, then its code; the place to come back to lies in a slot."""

    def step(m: Threads) -> int:
        copies(m)
        m.slots[slot_of_return][m.index, :8] = np.int64(m.here + 1).reshape(1).view(np.uint8)
        return target

    return step


def back(slot_of_return: int) -> Step:
    """ret of a function."""

    def step(m: Threads) -> int:
        places = np.ascontiguousarray(m.slots[slot_of_return][m.index, :8]).view(np.int64)[:, 0]
        m.pc[m.index] = places
        return PARTED

    return step


def barrier(c: Context) -> Step:
    """bar.sync, barrier.sync (all threads or a number of them), bar.arrive, bar.red, bar.warp.sync."""
    opcode, operands = list(c.statement.opcode), c.statement.operands
    opcode = [part for part in opcode if part not in ("cta", "aligned")]
    if opcode[1:2] == ["warp"]:
        return warp_barrier(c)
    if opcode[0] == "barrier" and opcode[1] == "cluster":
        return lambda m: None if opcode[2] == "arrive" else m.wait(16, 0)
    if opcode[1] == "red":
        return _reduce(c, opcode)
    if opcode[1] not in ("sync", "arrive"):
        raise c.unknown()
    number = c.source(operands[0], "u32")
    needed = c.source(operands[1], "u32") if len(operands) > 1 else None
    waits = opcode[1] == "sync"

    def step(m: Threads) -> int | None:
        which, count = _same(m, number(m), "barrier"), 0 if needed is None else _same(m, needed(m), "number of threads")
        if count % WARP or which > 15:
            raise m.fault("malformed", f"barrier {which} for {count} threads: a multiple of {WARP}, and barriers 0 to 15")
        if waits:
            return m.wait(which, count)
        for block in np.unique(m.block_of[m.index]):
            key = (int(block), which)
            m.arrived[key] = m.arrived.get(key, 0) + int((m.block_of[m.index] == block).sum())
        return None

    return step


def _same(m: Threads, value: Any, what: str) -> int:
    values = m.part(np.asarray(value))
    if (values != values[0]).any():
        raise m.fault("malformed", f"threads name different values of the {what}")
    return int(values[0])


def _reduce(c: Context, opcode: list[str]) -> Step:
    """bar.red: a barrier that also combines a predicate over the threads; all threads of the block come at once."""
    operands = c.statement.operands
    if opcode[2] not in ("popc", "and", "or"):
        raise c.unknown()
    target = c.target(operands[0], opcode[-1])
    flag = c.source(operands[-1], "pred")

    def step(m: Threads) -> None:
        flags = np.broadcast_to(flag(m), (m.count,)).reshape(m.blocks, m.width)
        there = m.active.reshape(m.blocks, m.width)
        found = flags & there
        if opcode[2] == "popc":
            result = found.sum(axis=1)
        else:
            result = (flags | ~there).all(axis=1) if opcode[2] == "and" else found.any(axis=1)
        target(m, np.repeat(result, m.width))

    return together(step, unit=0)


def arguments(text: str) -> list[str]:
    """`(a, b)` as names."""
    return [name for name in re.split(r"[,\s()]+", text) if name]


CONTROL: dict[str, Callable[[Context], Step]] = {
    "bra": branch, "brx": branch_indexed, "exit": leave, "trap": trap, "brkpt": trap, "bar": barrier, "barrier": barrier,
}  # fmt: skip

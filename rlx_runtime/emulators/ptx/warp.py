"""What the threads of a warp do together: shuffles, votes, reductions, matches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.integers import highest_bit
from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.ptx.operands import Context, Source
from rlx_runtime.emulators.ptx.threads import WARP, Threads, together

Array = NDArray[Any]
_ONE = np.uint32(1)
_LANES = np.arange(WARP, dtype=np.uint32)


def by_warp(m: Threads, value: Any) -> Array:
    """Values over threads as [warps, 32]."""
    return np.broadcast_to(value, (m.count,)).reshape(-1, WARP)


def ballot(flags: Array) -> Array:
    """[…, 32] booleans -> masks, uint32."""
    return (flags.astype(np.uint64) << _LANES.astype(np.uint64)).sum(axis=-1).astype(np.uint32)


def taking_part(m: Threads, mask: Source) -> Array:
    """[warps, lanes or 1, 32]: which lanes are in the mask of a lane. The threads of the masks are there (see `together`)."""
    masks = np.asarray(mask(m))
    if masks.ndim == 0:
        return (m.active.reshape(-1, WARP) & ((masks >> _LANES) & _ONE != 0))[:, None, :]
    return m.active.reshape(-1, 1, WARP) & ((by_warp(m, masks)[:, :, None] >> _LANES) & _ONE != 0)


def to_threads(m: Threads, value: Any) -> Array:
    """[warps, lanes or 1] -> one value for each thread."""
    return np.broadcast_to(value, (m.count // WARP, WARP)).reshape(-1)


def shuffle(c: Context) -> Step:
    """shfl.sync: the value of another lane, and whether that lane is in range; reading a lane that takes no part is a fault."""
    opcode, operands = c.statement.opcode, c.statement.operands
    if opcode[1] != "sync" or opcode[-1] != "b32" or opcode[2] not in ("up", "down", "bfly", "idx"):
        raise c.unknown()
    mode = opcode[2]
    names = [name.strip() for name in operands[0].split("|")]
    target = c.target(names[0], "b32")
    found = c.target(names[1], "pred") if len(names) > 1 else None
    value, other, clamp, mask = (c.source(text, "b32") for text in operands[1:5])

    def step(m: Threads) -> None:
        shape = (m.count // WARP, WARP)
        part = np.broadcast_to(taking_part(m, mask), (*shape, WARP))
        lane = np.broadcast_to(_LANES, shape).astype(np.int64)
        by = by_warp(m, other(m)).astype(np.int64) & 31
        packed = by_warp(m, clamp(m)).astype(np.int64)
        segment = (packed >> 8) & 31
        last = (lane & segment) | (packed & 31 & ~segment)
        if mode == "up":
            source = lane - by
            inside = source >= last
        elif mode == "idx":
            source = (lane & segment) | (by & ~segment)
            inside = source <= last
        else:
            source = lane + by if mode == "down" else lane ^ by
            inside = source <= last
        source = np.where(inside, source, lane)
        absent = m.active.reshape(shape) & ~np.take_along_axis(part, source[:, :, None], 2)[:, :, 0]
        if absent.any():
            at = int(np.flatnonzero(absent.reshape(-1))[0])
            lane_read = int(source.reshape(-1)[at])
            raise m.fault("divergent-collective", f"reads lane {lane_read}, which takes no part", at)
        values = np.asarray(value(m))
        target(m, np.take_along_axis(by_warp(m, values), source, 1).reshape(-1))
        if found is not None:
            found(m, inside.reshape(-1))

    return together(step, mask)


def vote(c: Context) -> Step:
    """vote.sync: any, all, uni as predicates, ballot as a mask."""
    opcode, operands = c.statement.opcode, c.statement.operands
    if opcode[1] != "sync" or opcode[2] not in ("any", "all", "uni", "ballot"):
        raise c.unknown()
    mode, kind = opcode[2], opcode[-1]
    target = c.target(operands[0], kind)
    flag, mask = c.source(operands[1], "pred"), c.source(operands[2], "b32")

    def step(m: Threads) -> None:
        part = taking_part(m, mask)
        flags = by_warp(m, flag(m))[:, None, :]
        if mode == "ballot":
            result = ballot(flags & part)
        else:
            some, every = (flags & part).any(axis=2), (flags | ~part).all(axis=2)
            result = some if mode == "any" else every if mode == "all" else ~some | every
        target(m, to_threads(m, result))

    return together(step, mask)


_REDUCE: dict[str, tuple[Any, Any]] = {
    "add": (np.add, 0), "and": (np.bitwise_and, -1), "or": (np.bitwise_or, 0), "xor": (np.bitwise_xor, 0),
    "min": (np.minimum, "max"), "max": (np.maximum, "min"),
}  # fmt: skip


def reduce(c: Context) -> Step:
    """redux.sync: integers combined over the lanes of the mask."""
    opcode, operands = c.statement.opcode, c.statement.operands
    if opcode[1] != "sync" or opcode[2] not in _REDUCE or len(opcode) != 4:
        raise c.unknown()
    kind = c.kind(opcode[-1])
    combine, neutral = _REDUCE[opcode[2]]
    if kind.group == "f":
        raise c.unknown()
    start = getattr(np.iinfo(kind.dtype), neutral) if isinstance(neutral, str) else np.asarray(neutral).astype(kind.dtype)
    target = c.target(operands[0], kind)
    value, mask = c.source(operands[1], kind), c.source(operands[2], "b32")

    def step(m: Threads) -> None:
        values = np.where(taking_part(m, mask), by_warp(m, value(m))[:, None, :], start).astype(kind.dtype)
        target(m, to_threads(m, combine.reduce(values, axis=2, dtype=kind.dtype)))

    return together(step, mask)


def match(c: Context) -> Step:
    """match.sync: the lanes that hold the same value (any), or all lanes if they all do (all)."""
    opcode, operands = c.statement.opcode, c.statement.operands
    if opcode[2] != "sync" and opcode[1] not in ("any", "all"):
        raise c.unknown()
    kind = c.kind(opcode[-1])
    names = [name.strip() for name in operands[0].split("|")]
    target = c.target(names[0], "b32")
    found = c.target(names[1], "pred") if len(names) > 1 else None
    value, mask = c.source(operands[1], kind), c.source(operands[2], "b32")

    def step(m: Threads) -> None:
        part = taking_part(m, mask)
        values = by_warp(m, value(m))
        equal = (values[:, :, None] == values[:, None, :]) & part
        masks = ballot(equal)
        if opcode[1] == "all":
            same = (equal | ~part).all(axis=2)
            masks = np.where(same, masks, np.uint32(0))
            if found is not None:
                found(m, same.reshape(-1))
        target(m, masks.reshape(-1))

    return together(step, mask)


def active_mask(c: Context) -> Step:
    target = c.target(c.statement.operands[0], "b32")
    return lambda m: target(m, np.repeat(ballot(m.active.reshape(-1, WARP)), WARP))


def elect(c: Context) -> Step:
    """elect.sync: true in the lowest lane of the mask."""
    names = [name.strip() for name in c.statement.operands[0].split("|")]
    lane, chosen = c.target(names[0], "b32"), c.target(names[1], "pred")
    mask = c.source(c.statement.operands[1], "b32")

    def step(m: Threads) -> None:
        masks = ballot(taking_part(m, mask))
        lowest = to_threads(m, highest_bit(masks & (~masks + _ONE)))
        lane(m, np.maximum(lowest, 0).astype(np.uint32))
        chosen(m, m.lane == lowest)

    return together(step, mask)


def warp_barrier(c: Context) -> Step:
    """bar.warp.sync: the lanes of a mask meet; their memory is in order here."""
    return together(lambda m: None, c.source(c.statement.operands[0], "b32"))


WARP_LEVEL: dict[str, Callable[[Context], Step]] = {
    "shfl": shuffle, "vote": vote, "redux": reduce, "match": match, "activemask": active_mask, "elect": elect,
}  # fmt: skip

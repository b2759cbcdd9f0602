"""What the lanes of a wave do together: reads of other lanes, permutations, counts of masks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.gcn.operands import Context, register
from rlx_runtime.emulators.gcn.waves import Waves
from rlx_runtime.emulators.integers import count_bits
from rlx_runtime.emulators.machine import Step

Array = NDArray[Any]


def _read(m: Waves, number: int, lanes: Array) -> Array:
    """[waves]: a register of one lane of each wave; it must have been written there."""
    known, waves = m.vector_defined[number], np.arange(m.count)
    if known is not True:
        there = np.zeros(m.count, bool) if known is None else known[waves, lanes]
        missing = m.index[~there[m.index]]
        if missing.size:
            wave = int(missing[0])
            at = wave * m.lanes_of_wave + int(lanes[wave])
            raise m.lane_fault("uninitialized", f"register v{number} was never written in this lane", at)
    return m.vectors[number][waves, lanes]


def read_lane(c: Context) -> Step:
    """v_readlane, v_readfirstlane (of the lowest active lane, or lane 0)."""
    operands = c.instruction.operands
    write, source = c.scalar_target(operands[0], "u32"), register(operands[1])
    if source is None or source.file != "v":
        raise c.malformed(f"{operands[1]} is no vector register")
    number = source.number
    if c.instruction.name == "v_readfirstlane_b32":
        return lambda m: write(m, _read(m, number, m.execute.argmax(axis=1)))
    lane = c.source(operands[2], "u32", 1, scalar=True)
    size = np.uint32(c.lanes - 1)
    return lambda m: write(m, _read(m, number, np.broadcast_to(lane(m) & size, (m.count,)).astype(np.int64)))


def write_lane(c: Context) -> Step:
    """v_writelane: one lane, active or not."""
    operands = c.instruction.operands
    to = register(operands[0])
    if to is None or to.file != "v":
        raise c.malformed(f"{operands[0]} is no vector register")
    value, lane = c.source(operands[1], "u32", 0, scalar=True), c.source(operands[2], "u32", 1, scalar=True)

    def step(m: Waves) -> None:
        lanes = np.broadcast_to(lane(m) & np.uint32(m.lanes_of_wave - 1), (m.count,)).astype(np.int64)
        chosen = (np.arange(m.lanes_of_wave) == lanes[:, None]) & m.active[:, None]
        before, full = m.lanes, m.full_lanes
        m.lanes, m.full_lanes = chosen, False
        m.write_vector(to.number, np.broadcast_to(np.asarray(value(m)), (m.count,))[:, None])
        m.lanes, m.full_lanes = before, full

    return step


def _gather(m: Waves, values: Array, source: Array) -> Array:
    """Values of other lanes; an active lane that reads one that is not is a fault."""
    absent = m.lanes & ~np.take_along_axis(np.broadcast_to(m.execute, source.shape), source, 1)
    if absent.any():
        at = int(np.flatnonzero(absent.reshape(-1))[0])
        lane = int(source.reshape(-1)[at])
        raise m.lane_fault("divergent-collective", f"reads lane {lane}, which takes no part", at)
    return np.take_along_axis(np.broadcast_to(values, source.shape), source, 1)


def permute(c: Context) -> Step:
    """ds_bpermute (read), ds_permute (send) and ds_swizzle."""
    name, operands = c.instruction.name, c.instruction.operands
    target = c.target(operands[0], "u32")
    if name == "ds_swizzle_b32":
        data, table = c.source(operands[1], "u32"), _swizzle(c)
        return lambda m: target(m, _gather(m, data(m), np.broadcast_to(table, m.lane_exists.shape)))
    address, data = c.source(operands[1], "u32"), c.source(operands[2], "u32")
    offset, size = np.uint32(int(c.instruction.modifiers.get("offset", "0"), 0)), c.lanes

    def lanes(m: Waves) -> Array:
        return np.broadcast_to(((address(m) + offset) >> np.uint32(2)) % np.uint32(size), m.lane_exists.shape).astype(np.int64)

    if name == "ds_bpermute_b32":
        return lambda m: target(m, _gather(m, data(m), lanes(m)))

    def send(m: Waves) -> None:
        to, values = lanes(m), np.broadcast_to(data(m), m.lane_exists.shape)
        out = np.zeros(values.shape, np.uint32)
        waves, lane = np.nonzero(m.lanes)
        out[waves, to[waves, lane]] = values[waves, lane]
        target(m, out)

    return send


def _swizzle(c: Context) -> Array:
    """[lanes]: the lane that each lane reads, within groups of 32."""
    lanes = np.arange(c.lanes)
    text = c.instruction.modifiers.get("offset", "0")
    match = re.fullmatch(r"swizzle\((\w+),?\s*(.*)\)", text)
    if match is None:
        number = int(text, 0)
        if number & 0x8000:
            order = [number >> (2 * i) & 3 for i in range(4)]
            return lanes // 4 * 4 + np.array(order)[lanes % 4]
        return lanes // 32 * 32 + ((lanes % 32 & (number & 31)) | (number >> 5 & 31)) ^ (number >> 10 & 31)
    numbers = [int(piece) for piece in re.findall(r"\d+", match[2])]
    if match[1] == "SWAP":
        return lanes ^ numbers[0]
    if match[1] == "REVERSE":
        return lanes // numbers[0] * numbers[0] + numbers[0] - 1 - lanes % numbers[0]
    if match[1] == "BROADCAST":
        return lanes // numbers[0] * numbers[0] + numbers[1]
    if match[1] == "QUAD_PERM":
        return lanes // 4 * 4 + np.array(numbers)[lanes % 4]
    if match[1] == "BITMASK_PERM":
        source = np.zeros_like(lanes)
        for i, letter in enumerate(match[2].strip('" ')):
            bit = 4 - i
            own = lanes >> bit & 1
            source |= {"0": 0 * own, "1": 0 * own + 1, "p": own, "i": 1 - own}[letter] << bit
        return lanes // 32 * 32 + source
    raise c.unknown(f"{c.instruction.name} {text}")


def permute_lane(c: Context) -> Step:
    """v_permlane16 (within rows of 16), v_permlanex16 (the other row of a pair), v_permlane64 (the other half of a wave)."""
    name, operands = c.instruction.name, c.instruction.operands
    target, data = c.target(operands[0], "u32"), c.source(operands[1], "u32")
    if name == "v_permlane64_b32":
        return lambda m: target(m, _gather(m, data(m), np.broadcast_to(np.arange(m.lanes_of_wave) ^ 32, m.lane_exists.shape)))
    low, high = (c.source(text, "u32", i + 1, scalar=True) for i, text in enumerate(operands[2:4]))
    other = 16 if "x16" in name else 0

    def step(m: Waves) -> None:
        lanes = np.arange(m.lanes_of_wave)
        both = np.asarray(low(m)).astype(np.uint64) | (np.asarray(high(m)).astype(np.uint64) << np.uint64(32))
        chosen = (np.broadcast_to(both, (m.count,))[:, None] >> (lanes % 16 * 4).astype(np.uint64)) & np.uint64(15)
        target(m, _gather(m, data(m), (lanes // 16 * 16 ^ other) + chosen.astype(np.int64)))

    return step


def count_mask(c: Context) -> Step:
    """v_mbcnt: bits of a mask below this lane, in the lower or upper 32 lanes, plus the second source."""
    operands, upper = c.instruction.operands, "hi" in c.instruction.name
    target, mask, more = c.target(operands[0], "u32"), c.source(operands[1], "u32"), c.source(operands[2], "u32", 1)
    lanes = np.arange(c.lanes)
    below = np.clip(lanes - (32 if upper else 0), 0, 32)
    table = ((np.uint64(1) << below.astype(np.uint64)) - np.uint64(1)).astype(np.uint32)
    return lambda m: target(m, count_bits(np.broadcast_to(mask(m), m.lane_exists.shape) & table).astype(np.uint32) + more(m))


def swap(c: Context) -> Step:
    """v_swap_b32."""
    operands = c.instruction.operands
    a, b = (c.source(text, "u32") for text in operands[:2])
    to_a, to_b = (c.target(text, "u32") for text in operands[:2])

    def step(m: Waves) -> None:
        first, second = a(m), b(m)
        to_a(m, second)
        to_b(m, first)

    return step


LANES: dict[str, Callable[[Context], Step]] = {
    "v_readlane_b32": read_lane, "v_readfirstlane_b32": read_lane, "v_writelane_b32": write_lane, "ds_bpermute_b32": permute,
    "ds_permute_b32": permute, "ds_swizzle_b32": permute, "v_permlane16_b32": permute_lane, "v_permlanex16_b32": permute_lane,
    "v_permlane64_b32": permute_lane, "v_mbcnt_lo_u32_b32": count_mask, "v_mbcnt_hi_u32_b32": count_mask, "v_swap_b32": swap,
}  # fmt: skip

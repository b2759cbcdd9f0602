"""The machine that AMDGCN runs on: waves of several blocks in step, scalar and vector registers, memory.

A scalar register is an array over the waves, a vector register one over waves and lanes. Lane masks are scalar registers; EXEC
is also kept as booleans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.machine import DONE, PARTED, RUNNING, WAITING, Machine, Step
from rlx_runtime.emulators.memory import POISON, DeviceMemory, OutOfBounds, set_words, words

Array = NDArray[Any]
VCC, M0, EXEC, TTMP, FLAT_SCRATCH = 106, 124, 126, 108, 102
"""Numbers of scalar registers that have names; each of 64 bits but M0 and TTMP."""
SCALARS, VECTORS, ACCUMULATORS = 128, 512, 256
"""How many there are; accumulation registers are the vector registers from 256 on."""
SHARED_WINDOW, PRIVATE_WINDOW = 1 << 56, 2 << 56
"""Where LDS and scratch lie among flat addresses."""


@dataclass(frozen=True)
class Code:
    """A kernel ready to run."""

    name: str
    generation: int
    lanes: int
    steps: list[Step]
    lines: list[tuple[int, str]]
    start: int
    settings: dict[str, int]
    threads: int


@dataclass
class Launch:
    """What the blocks of one launch share."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    memory: DeviceMemory
    params: int
    dispatch: int = 0
    """Device address of the dispatch packet, if the kernel asks for it."""


class Waves(Machine):
    """`blocks` (linear numbers) of a launch."""

    def __init__(self, code: Code, launch: Launch, blocks: NDArray[np.int64], serial: bool) -> None:
        lanes = code.lanes
        per_block = launch.block[0] * launch.block[1] * launch.block[2]
        width = -(-per_block // lanes)
        waves = len(blocks) * width
        super().__init__(code.name, code.steps, code.lines, len(blocks), width, 1, np.ones(waves, bool), serial)
        self.program, self.launch, self.lanes_of_wave, self.generation = code, launch, lanes, code.generation
        self.numbers = np.repeat(blocks, width)
        self.thread = (np.arange(waves) % width * lanes)[:, None] + np.arange(lanes)
        self.lane_exists = self.thread < per_block
        self.scalars: list[Any] = [None] * SCALARS
        self.scalar_defined: list[Any] = [None] * SCALARS
        self.vectors: list[Any] = [None] * VECTORS
        self.vector_defined: list[Any] = [None] * VECTORS
        self.scc: Array = np.zeros(waves, bool)
        self.memory = launch.memory
        self.shared_size = code.settings.get("group_segment_fixed_size", 0) + launch.shared
        self.shared_stride = -(-self.shared_size // 128) * 128 + 128
        self.shared = np.full(len(blocks) * self.shared_stride, POISON, np.uint8)
        self.shared_base = np.broadcast_to((self.block_of * self.shared_stride)[:, None], (waves, lanes))
        self.private_size = code.settings.get("private_segment_fixed_size", 0)
        self.private_stride = -(-self.private_size // 16) * 16 + 16
        self.private = np.full(waves * lanes * self.private_stride, POISON, np.uint8)
        self.private_base = (np.arange(waves * lanes) * self.private_stride).reshape(waves, lanes)
        self.signalled = np.zeros(waves, bool)
        """Waves that have arrived at their barrier (gfx12: before they wait)."""
        self.pc[:] = code.start
        self._start()

    def _start(self) -> None:
        """The registers that the hardware sets."""
        settings, launch = self.program.settings, self.launch
        at = 0

        def scalar(value: Any, number: int | None = None) -> None:
            nonlocal at
            place = at if number is None else number
            self.scalars[place] = np.broadcast_to(np.asarray(value), (self.count,)).astype(np.uint32)
            self.scalar_defined[place] = True
            at += number is None

        def address(value: int) -> None:
            scalar(value & 0xFFFFFFFF)
            scalar(value >> 32)

        wanted = settings.get
        if wanted("user_sgpr_private_segment_buffer"):
            for _ in range(4):
                scalar(0)
        for name, value in (("dispatch_ptr", launch.dispatch), ("queue_ptr", 0), ("kernarg_segment_ptr", launch.params),
                            ("dispatch_id", 0), ("flat_scratch_init", 0)):  # fmt: skip
            if wanted(f"user_sgpr_{name}"):
                address(value)
        if wanted("user_sgpr_private_segment_size"):
            scalar(self.private_size)
        preloaded = wanted("user_sgpr_kernarg_preload_length") or 0
        if preloaded:
            raw = np.zeros(preloaded, np.uint32)
            self.memory.read(raw, launch.params + 4 * (wanted("user_sgpr_kernarg_preload_offset") or 0))
            for value in raw:
                scalar(value)
        grid = launch.grid
        ids = (self.numbers % grid[0], self.numbers // grid[0] % grid[1], self.numbers // (grid[0] * grid[1]))
        if self.generation == 12:
            scalar(ids[0], TTMP + 9)
            scalar(ids[1] | (ids[2] << 16), TTMP + 7)
        else:
            at = wanted("user_sgpr_count") or at
            for axis, name in enumerate("xyz"):
                if settings.get(f"system_sgpr_workgroup_id_{name}", int(axis == 0)):
                    scalar(ids[axis])
            if wanted("system_sgpr_workgroup_info"):
                scalar(0)
            if self.generation == 9:
                scalar(0)  # of scratch: read even where there is none
        block, dims = launch.block, settings.get("system_vgpr_workitem_id", 0)
        packed = self.thread % block[0]
        if dims >= 1:
            packed = packed | (self.thread // block[0] % block[1] << 10)
        if dims >= 2:
            packed = packed | (self.thread // (block[0] * block[1]) << 20)
        self.vectors[0] = packed.astype(np.uint32)
        self.vector_defined[0] = True
        for place in (FLAT_SCRATCH, FLAT_SCRATCH + 1):
            scalar(0, place)
        self.execute = self.lane_exists.copy()
        self.write_mask(EXEC, self.lane_exists)

    # -- lanes

    def set_active(self, active: NDArray[np.bool_]) -> None:
        super().set_active(active)
        if hasattr(self, "execute"):
            self._lanes()

    def _lanes(self) -> None:
        self.lanes = self.execute if self.all else self.execute & self.active[:, None]
        """[waves, lanes]: whose part of vector results is kept."""
        live = self.lane_exists if self.all else self.lane_exists & np.not_equal(self.state, DONE)[:, None]
        self.full_lanes = not bool(np.any(live & ~self.lanes))
        """Every lane that will ever look at a result again."""

    def pack(self, mask: Array) -> Array:
        """[waves, lanes] booleans -> [waves, 1 or 2] uint32."""
        return np.packbits(np.broadcast_to(mask, self.lane_exists.shape), axis=1, bitorder="little").view(np.uint32)

    def unpack(self, low: Array, high: Array | None) -> Array:
        """The opposite of `pack`."""
        raw = low[:, None] if high is None else np.stack([low, high], axis=1)
        return np.unpackbits(np.ascontiguousarray(raw).view(np.uint8), axis=1, bitorder="little").view(bool)

    def mask(self, number: int) -> Array:
        """The lane mask in scalar registers from `number` on."""
        return self.unpack(self.scalar(number), self.scalar(number + 1) if self.lanes_of_wave == 64 else None)

    def write_mask(self, number: int, mask: Array) -> None:
        for i, word in enumerate(self.pack(mask).T):
            self.write_scalar(number + i, np.ascontiguousarray(word))

    # -- registers

    def scalar(self, number: int) -> Array:
        """[waves] uint32."""
        known = self.scalar_defined[number]
        if known is not True:
            missing = self.index if known is None else self.index[~known[self.index]]
            if missing.size:
                raise self.fault("uninitialized", f"register {scalar_name(number)} was never written", int(missing[0]))
        return self.scalars[number]

    def write_scalar(self, number: int, value: Any) -> None:
        if not isinstance(value, np.ndarray) or value.shape != (self.count,) or value.dtype != np.uint32:
            value = np.broadcast_to(np.asarray(value), (self.count,)).astype(np.uint32)
        old = self.scalars[number]
        if self.full:
            self.scalars[number] = value
            self.scalar_defined[number] = True
        else:
            self.scalars[number] = value if old is None else np.where(self.active, value, old)
            known = self.scalar_defined[number]
            if known is not True:
                self.scalar_defined[number] = self.active.copy() if known is None else known | self.active
        if number >= EXEC:
            self.execute = self.unpack(self.scalars[EXEC], self._high(EXEC + 1)) & self.lane_exists
            self._lanes()

    def _high(self, number: int) -> Array | None:
        if self.lanes_of_wave == 32:
            return None
        value = self.scalars[number]
        return np.zeros(self.count, np.uint32) if value is None else value

    def vector(self, number: int) -> Array:
        """[waves, lanes] uint32."""
        known = self.vector_defined[number]
        if known is not True:
            missing = self.lanes if known is None else self.lanes & ~known
            if missing.any():
                at = int(np.flatnonzero(missing.reshape(-1))[0])
                raise self.lane_fault("uninitialized", f"register {vector_name(number)} was never written", at)
            if known is None:
                return np.zeros(self.lane_exists.shape, np.uint32)
        return self.vectors[number]

    def write_vector(self, number: int, value: Any) -> None:
        """The active lanes' part of [waves, lanes] or of one for all."""
        if value.shape != self.lane_exists.shape or value.dtype != np.uint32:
            value = np.broadcast_to(value, self.lane_exists.shape).astype(np.uint32)
        old = self.vectors[number]
        if self.full_lanes:
            self.vectors[number] = value
            self.vector_defined[number] = True
            return
        self.vectors[number] = value if old is None else np.where(self.lanes, value, old)
        known = self.vector_defined[number]
        if known is not True:
            self.vector_defined[number] = self.lanes.copy() if known is None else known | self.lanes

    def raw_vector(self, number: int) -> Array:
        """A register whatever of it was written, for spilling it: what never was is poison."""
        value, known = self.vectors[number], self.vector_defined[number]
        if known is None:
            return np.full(self.lane_exists.shape, 0xFFFFFFFF, np.uint32)
        return value if known is True else np.where(known, value, np.uint32(0xFFFFFFFF))

    def move_vector(self, to: int, source: int) -> None:
        """Copy a register; lanes that never wrote it have not written the copy either."""
        known = self.vector_defined[source]
        if known is True:
            self.write_vector(to, self.vectors[source])
            return
        before = self.vector_defined[to]
        if before is None:
            before = np.zeros(self.lane_exists.shape, bool)
        value = self.vectors[source]
        self.write_vector(to, np.zeros(self.lane_exists.shape, np.uint32) if value is None else value)
        self.vector_defined[to] = np.where(self.lanes, False if known is None else known, before)

    def move_scalar(self, to: int, source: int) -> None:
        if self.scalar_defined[source] is None:
            self.scalar_defined[to] = None if self.full else self.scalar_defined[to]
            return
        self.write_scalar(to, self.scalar(source))

    def write_lanes(self, number: int, values: Array) -> None:
        """One value for each active lane, in order."""
        if self.lanes.all():
            self.write_vector(number, values.reshape(self.lane_exists.shape))
            return
        old = self.vectors[number]
        fresh = np.zeros(self.lane_exists.shape, np.uint32) if old is None else old.copy()
        fresh[self.lanes] = values
        self.write_vector(number, fresh)

    def part(self, value: Array) -> Array:
        """The active lanes' values, in order."""
        return np.broadcast_to(value, self.lane_exists.shape)[self.lanes]

    # -- memory

    def place(self, space: str, addresses: Array, nbytes: int, align: int) -> tuple[Array, Array]:
        """(backing, byte offsets) of accesses at one address for each active lane. LLVM counts on memory that takes any address
        (unaligned access mode), so only atomics and LDS accesses of two addresses ask for an alignment."""
        bad = addresses & np.uint64(align - 1)
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise self._access("misaligned", f"address {int(addresses[at]):#x} is no multiple of {align}", at)
        if space == "global":
            try:
                return self.memory.data, self.memory.offsets(addresses, nbytes)
            except OutOfBounds as error:
                at = int(error.positions[0])
                message = f"{nbytes} bytes at {int(addresses[at]):#x} lie in no allocation"
                raise self._access("out-of-bounds", message, at) from None
        data, base, size, what = (
            (self.shared, self.shared_base, self.shared_size, "shared")
            if space == "shared"
            else (self.private, self.private_base, self.private_size, "scratch")
        )
        inside = addresses <= np.uint64(max(size - nbytes, 0))
        if size < nbytes or not inside.all():
            at = int(np.flatnonzero(~inside)[0]) if size >= nbytes else 0
            message = f"{nbytes} bytes at {int(addresses[at])} of {size} bytes of {what} memory"
            raise self._access("out-of-bounds", message, at)
        return data, base[self.lanes] + addresses.view(np.int64)

    def load(self, space: str, addresses: Array, width: int, count: int, align: int) -> Array:
        """Unsigned words [active lanes, count]."""
        if not addresses.size:
            return np.zeros((0, count), f"u{width}")
        if space != "flat":
            data, offsets = self.place(space, addresses, width * count, align)
            return _words(data, offsets, width, count)
        out = np.zeros((addresses.size, count), f"u{width}")
        for each, chosen in self._windows(addresses):
            base = np.uint64({"global": 0, "shared": SHARED_WINDOW, "private": PRIVATE_WINDOW}[each])
            data, offsets = self.place(each, addresses[chosen] - base, width * count, align)
            out[chosen] = _words(data, offsets, width, count)
        return out

    def store(self, space: str, addresses: Array, values: Array, align: int) -> None:
        """Write unsigned words [active lanes, count]."""
        if not addresses.size:
            return
        nbytes = values.dtype.itemsize * values.shape[1]
        if space != "flat":
            data, offsets = self.place(space, addresses, nbytes, align)
            _set_words(data, offsets, values)
            return
        for each, chosen in self._windows(addresses):
            base = np.uint64({"global": 0, "shared": SHARED_WINDOW, "private": PRIVATE_WINDOW}[each])
            data, offsets = self.place(each, addresses[chosen] - base, nbytes, align)
            _set_words(data, offsets, values[chosen])

    def _windows(self, addresses: Array) -> Any:
        """Flat addresses by window; while one is given out, only its lanes are active."""
        window, lanes = addresses >> np.uint64(56), self.lanes
        for number, name in enumerate(("global", "shared", "private")):
            chosen = np.flatnonzero(window == number)
            if chosen.size:
                some = np.zeros(lanes.shape, bool)
                some[lanes] = window == number
                self.lanes = some
                yield name, chosen
                self.lanes = lanes

    # -- barriers

    def wait(self) -> int:
        """The active waves wait at a barrier; all their lanes must come."""
        absent = (self.lane_exists & ~self.execute)[self.index]
        if absent.any():
            wave = int(self.index[int(np.flatnonzero(absent.any(axis=1))[0])])
            message = f"{int((self.lane_exists & ~self.execute)[wave].sum())} lanes of the wave are not at the barrier"
            raise self.fault("divergent-barrier", message, wave)
        self.pc[self.index] = self.here
        self.state[self.index] = WAITING
        return PARTED

    def release(self) -> None:
        waiting = np.equal(self.state, WAITING).reshape(self.blocks, self.width)
        complete = np.repeat(waiting.all(axis=1), self.width)
        if not complete.any():
            first = int(np.flatnonzero(np.equal(self.state, WAITING))[0])
            block = int(self.block_of[first])
            there = int(waiting[block].sum())
            message = f"{there} waves of the block wait, {self.width - there} are done, so it never completes"
            raise self.fault("divergent-barrier", message, first, int(self.pc[first]))
        self.pc[complete] += 1
        self.state[complete] = RUNNING

    # -- faults

    def lane_fault(self, code: str, message: str, at: int) -> Exception:
        """A fault of a lane, by its place among all lanes of all waves."""
        return self.fault(code, message, -1 - at)

    def _access(self, code: str, message: str, position: int) -> Exception:
        return self.lane_fault(code, message, int(np.flatnonzero(self.lanes.reshape(-1))[position]))

    def describe(self, agent: int) -> str:
        grid, block = self.launch.grid, self.launch.block
        wave = agent if agent >= 0 else (-1 - agent) // self.lanes_of_wave
        number, thread = int(self.numbers[wave]), int(self.thread.reshape(-1)[-1 - agent] if agent < 0 else self.thread[wave, 0])
        x, y, z = thread % block[0], thread // block[0] % block[1], thread // (block[0] * block[1])
        who = f"thread ({x}, {y}, {z})" if agent < 0 else f"wave {wave % self.width}, from thread ({x}, {y}, {z}) on"
        return f"block ({number % grid[0]}, {number // grid[0] % grid[1]}, {number // (grid[0] * grid[1])}), {who}"


def _words(data: Array, offsets: Array, width: int, count: int) -> Array:
    if (offsets % width).any():  # the hardware takes any address here; NumPy's views do not
        raw = data[offsets[:, None] + np.arange(width * count)]
        return np.ascontiguousarray(raw).view(f"u{width}")
    return words(data, offsets, width, count)


def _set_words(data: Array, offsets: Array, values: Array) -> None:
    if (offsets % values.dtype.itemsize).any():
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(len(offsets), -1)
        data[offsets[:, None] + np.arange(raw.shape[1])] = raw
        return
    set_words(data, offsets, values)


def scalar_name(number: int) -> str:
    named = {VCC: "vcc_lo", VCC + 1: "vcc_hi", M0: "m0", EXEC: "exec_lo", EXEC + 1: "exec_hi"}
    return named.get(number, f"s{number}")


def vector_name(number: int) -> str:
    return f"v{number}" if number < ACCUMULATORS else f"a{number - ACCUMULATORS}"

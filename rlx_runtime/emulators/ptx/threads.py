"""The machine that PTX runs on: threads of several blocks in step, their registers and the memory that they see.

A register is an array over the threads; pieces are never changed in place, so that a move may share them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.machine import DONE, HELD, PARTED, RUNNING, WAITING, Machine, Step
from rlx_runtime.emulators.memory import POISON, DeviceMemory, OutOfBounds, set_words, words

Array = NDArray[Any]
WARP = 32
SHARED_WINDOW = 1 << 56
"""Where shared memory lies among generic addresses; device memory keeps its addresses."""
LOCAL_WINDOW = 2 << 56
WINDOW_SIZE = 1 << 32
WIDTHS = {"pred": np.dtype(bool), "b8": np.dtype(np.uint8), "b16": np.dtype(np.uint16), "b32": np.dtype(np.uint32),
          "b64": np.dtype(np.uint64)}  # fmt: skip


@dataclass(frozen=True)
class Code:
    """A kernel ready to run: steps, and what the machine must lay out for it."""

    name: str
    steps: list[Step]
    lines: list[tuple[int, str]]
    registers: list[tuple[str, np.dtype[Any]]]
    """Name and type of each register of all functions."""
    shared_bytes: int
    """Static; dynamic shared memory follows it."""
    dynamic_align: int
    local_bytes: int
    slots: list[int]
    """Bytes of each parameter slot of calls."""
    params: list[tuple[int, int]]
    """Offset and bytes of each parameter of the kernel."""
    params_bytes: int
    threads: int = 1024


@dataclass
class Launch:
    """What the blocks of one launch share."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    memory: DeviceMemory
    params: int
    """Device address of the parameters."""
    counts: dict[str, int] = field(default_factory=dict)


class Threads(Machine):
    """`blocks` (linear numbers) of a launch."""

    def __init__(self, code: Code, launch: Launch, blocks: NDArray[np.int64], serial: bool) -> None:
        per_block = launch.block[0] * launch.block[1] * launch.block[2]
        width = -(-per_block // WARP) * WARP
        thread = np.tile(np.arange(width), len(blocks))
        super().__init__(code.name, code.steps, code.lines, len(blocks), width, WARP, thread < per_block, serial)
        self.program, self.launch, self.per_block = code, launch, per_block
        self.numbers = np.repeat(blocks, width)
        self.thread = thread
        self.lane = thread % WARP
        self.registers: list[Any] = [None] * len(code.registers)
        self.defined: list[Any] = [None] * len(code.registers)
        """None: never written; True: by every thread that exists; else which threads have."""
        self.memory = launch.memory
        self.shared_size = code.shared_bytes + launch.shared
        if launch.shared:
            self.shared_size = -(-code.shared_bytes // code.dynamic_align) * code.dynamic_align + launch.shared
        self.shared_stride = -(-self.shared_size // 128) * 128 + 128
        self.shared = np.full(len(blocks) * self.shared_stride, POISON, np.uint8)
        self.shared_base = self.block_of * self.shared_stride
        self.local_stride = -(-code.local_bytes // 16) * 16 + (16 if code.local_bytes else 0)
        self.local = np.full(self.count * self.local_stride, POISON, np.uint8)
        self.local_base = np.arange(self.count) * self.local_stride
        self.slots = [np.full((self.count, -(-size // 16) * 16), POISON, np.uint8) for size in code.slots]
        self.carry: Array = np.zeros(self.count, bool)
        self.barrier = np.full(self.count, -1)
        """The barrier that a waiting thread waits at."""
        self.needed = np.zeros(self.count, np.int64)
        """How many threads that barrier asks for; 0 for all of the block."""
        self.arrived: dict[tuple[int, int], int] = {}
        """(block, barrier) -> threads that arrived without waiting (`barrier.arrive`)."""
        self.copies: Any = None
        """The asynchronous copies under way; made by the first (see `asynchronous`)."""

    # -- registers

    def write(self, register: int, value: Any) -> None:
        """The active threads' part of `value` (over all threads, or one for all)."""
        dtype = self.program.registers[register][1]
        if not isinstance(value, np.ndarray) or value.shape != (self.count,):
            value = np.full(self.count, value, dtype)
        if self.full:
            self.registers[register] = value
            self.defined[register] = True
            return
        old = self.registers[register]
        self.registers[register] = value if old is None else np.where(self.active, value, old)
        self._define(register)

    def write_active(self, register: int, values: Array) -> None:
        """One value for each active thread."""
        if self.all:
            self.registers[register] = values
            self.defined[register] = True
            return
        old = self.registers[register]
        fresh = np.zeros(self.count, values.dtype) if old is None else old.copy()
        fresh[self.index] = values
        self.registers[register] = fresh
        if self.full:
            self.defined[register] = True
        else:
            self._define(register)

    def move(self, to: int, source: int) -> None:
        """Copy a register; threads that never wrote it have not written the copy either."""
        known = self.defined[source]
        if known is True:
            self.write(to, self.registers[source])
            return
        if known is None:
            known = np.zeros(self.count, bool)
        value = self.registers[source]
        self.write(to, 0 if value is None else value)
        before = self.defined[to]
        self.defined[to] = np.where(self.active, known, True if before is True else before)

    def _define(self, register: int) -> None:
        known = self.defined[register]
        if known is not True:
            known = self.active.copy() if known is None else known | self.active
            self.defined[register] = True if bool((known | ~self.exists).all()) else known

    def check_defined(self, register: int) -> None:
        """Called where `defined` is not True."""
        known = self.defined[register]
        missing = self.index if known is None else self.index[~known[self.index]]
        if missing.size:
            name = self.program.registers[register][0]
            raise self.fault("uninitialized", f"register {name} was never written", int(missing[0]))
        if known is None:
            self.registers[register] = np.zeros(self.count, self.program.registers[register][1])

    def part(self, value: Array) -> Array:
        """The active threads' values."""
        if value.ndim == 0:
            return np.full(self.index.size, value)
        return value if self.all else value[self.index]

    # -- memory

    def place(self, space: str, addresses: Array, nbytes: int, align: int = 0) -> tuple[Array, Array]:
        """(backing, byte offsets) of an access of the active threads; faults out of bounds and where it is misaligned."""
        if addresses.dtype != np.uint64:
            addresses = addresses.astype(np.uint64)
        align = align or nbytes
        bad = addresses & np.uint64(align - 1)
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise self.fault("misaligned", f"address {int(addresses[at]):#x} is no multiple of {align}", int(self.index[at]))
        if space in ("global", "const", "param"):
            return self._global(addresses, nbytes)
        if space == "shared":
            return self._window(self.shared, self.shared_base, self.shared_size, "shared", addresses, nbytes)
        if space == "local":
            return self._window(self.local, self.local_base, self.program.local_bytes, "local", addresses, nbytes)
        window = addresses >> np.uint64(56)
        if not window.any():
            return self._global(addresses, nbytes)
        if (window == 1).all():
            return self.place("shared", addresses - np.uint64(SHARED_WINDOW), nbytes, align)
        if (window == 2).all():
            return self.place("local", addresses - np.uint64(LOCAL_WINDOW), nbytes, align)
        raise _Mixed

    def _global(self, addresses: Array, nbytes: int) -> tuple[Array, Array]:
        try:
            return self.memory.data, self.memory.offsets(addresses, nbytes)
        except OutOfBounds as error:
            at = int(error.positions[0])
            raise self.fault(
                "out-of-bounds", f"{nbytes} bytes at {int(addresses[at]):#x} lie in no allocation", int(self.index[at])
            ) from None

    def _window(self, data: Array, base: Array, size: int, what: str, addresses: Array, nbytes: int) -> tuple[Array, Array]:
        inside = addresses <= np.uint64(max(size - nbytes, 0))
        if size < nbytes or not inside.all():
            at = int(np.flatnonzero(~inside)[0]) if size >= nbytes else 0
            raise self.fault(
                "out-of-bounds", f"{nbytes} bytes at {int(addresses[at])} of {size} bytes of {what} memory", int(self.index[at])
            )
        return data, base[self.index] + addresses.view(np.int64)

    def load(self, space: str, addresses: Array, width: int, count: int) -> Array:
        """Unsigned words [active threads, count] of `width` bytes.

        A vector may begin inside an allocation and end behind it: LLVM loads whole aligned vectors of which it needs the first
        elements, and no device faults on them. The rest is poison.
        """
        try:
            data, offsets = self.place(space, addresses, width, width * count)
        except _Mixed:
            out = np.zeros((self.index.size, count), f"u{width}")
            for chosen, part in self._windows(addresses):
                out[chosen] = self.load("", part, width, count)
            return out
        return words(data, offsets, width, count)

    def store(self, space: str, addresses: Array, values: Array) -> None:
        """Write unsigned words [active threads, count]."""
        try:
            data, offsets = self.place(space, addresses, values.dtype.itemsize * values.shape[1])
        except _Mixed:
            for chosen, part in self._windows(addresses):
                self.store("", part, values[chosen])
            return
        if space == "const" or space == "param":
            raise self.fault("malformed", f"a store to {space} memory")
        set_words(data, offsets, values)

    def _windows(self, addresses: Array) -> Any:
        """Generic addresses by window; while one is given out, its threads are the active ones."""
        active, window = self.active, addresses >> np.uint64(56)
        index = self.index
        for number in np.unique(window):
            chosen = np.flatnonzero(window == number)
            mask = np.zeros(self.count, bool)
            mask[index[chosen]] = True
            self.set_active(mask)
            yield chosen, addresses[chosen]
        self.set_active(active)

    # -- barriers

    def wait(self, barrier: int, needed: int) -> int:
        """The active threads wait; the return value of the step that does."""
        self.barrier[self.index] = barrier
        self.needed[self.index] = needed
        self.pc[self.index] = self.here
        self.state[self.index] = WAITING
        return -1

    def release(self) -> None:
        waiting = (self.state == WAITING).reshape(self.blocks, self.width)
        released = False
        for block in np.flatnonzero(waiting.any(axis=1)):
            start = int(block) * self.width
            here = start + np.flatnonzero(waiting[block])
            for barrier in np.unique(self.barrier[here]):
                there = here[self.barrier[here] == barrier]
                needed = int(self.needed[there].max()) or self.per_block
                key = (int(block), int(barrier))
                if there.size + self.arrived.get(key, 0) >= needed:
                    self._meet(there)
                    self.arrived.pop(key, None)
                    released = True
        if not released:
            raise self._never_met() if np.equal(self.state, HELD).any() else self._stuck()

    def _meet(self, threads: Array) -> None:
        """Threads pass their barrier; those of a warp must stand at one instruction."""
        warps = threads // WARP
        places = self.pc[threads]
        parted = np.flatnonzero((np.diff(warps) == 0) & (np.diff(places) != 0))
        if parted.size:
            at = int(threads[parted[0] + 1])
            other = self.lines[int(places[parted[0]])][0]
            raise self.fault("divergent-barrier", f"threads of this warp wait at another barrier (line {other})", at,
                             int(self.pc[at]))  # fmt: skip
        self.pc[threads] += 1
        self.state[threads] = RUNNING
        self.barrier[threads] = -1

    def _stuck(self) -> Exception:
        waiting = np.flatnonzero(np.equal(self.state, WAITING))
        block = int(self.block_of[waiting[0]])
        members = slice(block * self.width, (block + 1) * self.width)
        gone = int(np.count_nonzero((self.state[members] == DONE) & self.exists[members]))
        there = int(np.count_nonzero(self.state[members] == WAITING))
        message = f"{there} threads of the block wait here or at another barrier, {gone} are done, so it never completes"
        return self.fault("divergent-barrier", message, int(waiting[0]), int(self.pc[waiting[0]]))

    # -- what threads do together

    def absent(self, masks: Array | None, unit: int) -> Array | None:
        """The active threads that cannot go on: not every thread of their unit (a warp, a block), or of their mask of a warp,
        is active with them. None if all can."""
        active: Array = self.active.reshape(-1, unit)
        missing = self.exists.reshape(-1, unit) & ~active
        if not np.any(missing & np.any(active, axis=1, keepdims=True)):
            return None
        if masks is None:
            lacking = np.repeat(np.any(missing, axis=1), unit)
        else:
            bits = (missing.astype(np.uint64) << np.arange(WARP, dtype=np.uint64)).sum(axis=1).astype(np.uint32)
            lacking = (np.broadcast_to(masks, (self.count,)) & np.repeat(bits, WARP)) != 0
        lacking = lacking & self.active
        return lacking if lacking.any() else None

    def _never_met(self) -> Exception:
        """Threads are held for others that never come."""
        first = int(np.flatnonzero(np.equal(self.state, HELD))[0])
        place = int(self.pc[first])
        start = first // WARP * WARP
        warp = slice(start, start + WARP)
        there = np.equal(self.state[warp], HELD) & (self.pc[warp] == place)
        lane = int((self.exists[warp] & ~there).argmax())
        message = f"lane {lane} of the warp is elsewhere, but all lanes of the mask take part"
        if not np.any(self.exists[warp] & ~there):
            message = "other warps of the block are elsewhere, but all of it takes part"
        return self.fault("divergent-collective", message, first, place)

    def describe(self, agent: int) -> str:
        grid, block = self.launch.grid, self.launch.block
        number, thread = int(self.numbers[agent]), int(self.thread[agent])
        return (
            f"block ({number % grid[0]}, {number // grid[0] % grid[1]}, {number // (grid[0] * grid[1])}), "
            f"thread ({thread % block[0]}, {thread // block[0] % block[1]}, {thread // (block[0] * block[1])})"
        )


def together(step: Step, mask: Any = None, unit: int = WARP) -> Step:
    """A step that the threads of a warp (or of the mask of each, or of a block) take at once: who comes first is held."""

    def held(m: Threads) -> int | None:
        lacking = m.absent(None if mask is None else mask(m), unit or m.width)
        if lacking is None:
            return step(m)
        m.hold(lacking)
        rest = m.active & ~lacking
        if rest.any():
            m.set_active(rest)
            step(m)
            m.pc[m.index] = m.here + 1
        return PARTED

    return held


class _Mixed(Exception):
    """Generic addresses of one instruction lie in several windows."""

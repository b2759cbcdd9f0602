"""Memory of calls: aligned blocks, the frame of one call, and a bounded pool of frames."""

from __future__ import annotations

import itertools
import mmap
import os
import queue
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rlx_runtime import team

ALIGNMENT = 64
HUGE = 2 << 20
"""Size of a huge page, and from where on a block asks for huge pages."""

poison = bool(os.environ.get("RLX_POISON_ARENA"))
"""For tests: fill the arena with 0xFF (NaN in every float type, -1 in integers) before every call."""


def aligned_block(nbytes: int) -> NDArray[np.uint8]:
    """`nbytes` zero bytes at a multiple of 64; from 2 MB on, at a multiple of 2 MB and in huge pages where the system has some.

    Python's anonymous mmap is shared by default, and shared memory gets no huge pages: this one is private.
    """
    if nbytes < HUGE:
        raw = np.zeros(nbytes + ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
    else:
        size = -(-nbytes // HUGE) * HUGE + HUGE
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass  # a kernel without transparent huge pages: small pages hold the same bytes
        raw = np.frombuffer(memory, np.uint8)
        start = -raw.ctypes.data % HUGE
    return raw[start : start + nbytes]


class Frame:
    """What one call needs: `struct rlx_call`, its tables and barrier lines, and an arena that grows on demand."""

    def __init__(self, dims: int, buffers: int, threads: int) -> None:
        self.threads = threads
        lines = [8, 8, dims, buffers, 8 * threads]  # call, status, dims, buffers, barrier: in words of 8 bytes
        starts = [0, *itertools.accumulate(-(-words // 8) * 8 for words in lines)]
        block = aligned_block(8 * starts[-1]).view(np.int64)
        self.call = block.ctypes.data
        self.status = block[starts[1] : starts[1] + 6]
        self.dims = block[starts[2] : starts[2] + dims]
        self.buffers = block[starts[3] : starts[3] + buffers]
        self.arena = np.zeros(0, np.uint8)
        self._words = block
        base = self.call
        block[:6] = [1, base + 8 * starts[3], base + 8 * starts[2], 0, base + 8 * starts[4], base + 8 * starts[1]]

    def prepare(self, arena_bytes: int) -> None:
        """Have an arena of at least `arena_bytes`."""
        if self.arena.size < arena_bytes:
            self.arena = np.zeros(0, np.uint8)  # free the old one first
            self.arena = aligned_block(arena_bytes)
            self._words[3] = self.arena.ctypes.data
        if poison:
            self.arena[:] = 0xFF


FrameT = TypeVar("FrameT")


class FramePool(Generic[FrameT]):
    """At most `limit` calls at a time have a frame of the pool; a caller beyond that waits. A forked child starts anew.

    The pool lends permits, most of them with a frame: a call that finds a better frame gives the permit back as it was, and one
    that leaves its frame elsewhere gives an empty permit back.
    """

    _queue: type[queue.SimpleQueue[Any] | queue.LifoQueue[Any]] = queue.SimpleQueue

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._reset()

    def _reset(self) -> None:
        self._generation = team.generation()
        self._permits = self._queue()
        for _ in range(self._limit):
            self._permits.put(None)

    def take(self) -> FrameT | None:
        """A permit, until it is given back: an idle frame, or None if the caller is to make one."""
        if self._generation != team.generation():
            self._reset()  # permits that other threads held are lost to this process
        return self._permits.get()

    def give(self, permit: FrameT | None) -> None:
        self._permits.put(permit)


class WarmFramePool(FramePool[FrameT]):
    """A pool that lends the frame that came back last, so that calls that never overlap make one."""

    _queue = queue.LifoQueue

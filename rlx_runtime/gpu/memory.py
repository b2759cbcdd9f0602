"""Memory of a device as objects: what Python forgets is kept for the next one who asks.

Asking a driver for memory takes up to a millisecond, and giving it back waits for the device. So a block that nobody needs any
more goes to a pool, with the events of the work that may still use it; who gets it next lets his stream wait for them.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from weakref import WeakKeyDictionary

from rlx_runtime.errors import Error, RuntimeFault
from rlx_runtime.gpu.driver import Driver

POOL_BYTES = 4 << 30
"""What a pool keeps at most; less on a small device: an eighth of its memory."""
_SMALLEST = 512


class Event:
    """The work queued on a stream so far."""

    def __init__(self, driver: Driver, stream: int) -> None:
        self.driver = driver
        self.stream = stream
        self.handle = driver.record(stream)
        self._done = False

    def done(self) -> bool:
        self._done = self._done or self.driver.is_done(self.handle)
        return self._done

    def wait(self) -> None:
        if not self._done:
            self.driver.wait(self.handle)
            self._done = True

    def before(self, stream: int) -> None:
        """Let what is queued on `stream` from now on come after this."""
        if stream != self.stream and not self.done():
            self.driver.wait_on_stream(stream, self.handle)

    def __del__(self) -> None:
        if not sys.is_finalizing():
            try:
                self.driver.free_event(self.handle)
            except Error:
                pass  # a device that is gone, or a forked child that never had it: nothing is left to free


class Block:
    """`nbytes` of a device's memory, contents undefined, for work on `stream`; given back with the object.

    Who queues work on it on another stream lets that wait for what was queued before.
    """

    def __init__(self, driver: Driver, nbytes: int, stream: int = 0) -> None:
        self.driver = driver
        self.nbytes = nbytes
        self.address = 0  # known to __del__ even if there is no memory
        self._uses: dict[int, Event] = {}
        self._lent: set[int] = set()
        self._pool = _pool_of(driver)
        self.address, self._size = self._pool.take(nbytes, stream)

    def used(self, event: Event) -> None:
        """The work up to this event uses it."""
        self._uses[event.stream] = event

    def lend(self, stream: int) -> None:
        """Somebody else may queue work on it on this stream, for as long as he has it."""
        self._lent.add(stream)

    def __del__(self) -> None:
        if self.address and not sys.is_finalizing():
            _forgotten.append((self._pool, self.address, self._size, self._uses, self._lent))
            self._pool.collect()


_forgotten: deque[tuple[_Pool, int, int, dict[int, Event], set[int]]] = deque()
"""Blocks to give back. The garbage collector may find one while a pool or a driver is at work in the same thread."""


class _Thread(threading.local):
    inside = False
    """whether this thread is in a pool"""


_thread = _Thread()


class _Pool:
    """The memory of one driver that is free again."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._lock = threading.Lock()
        self._free: dict[int, list[tuple[int, list[Event]]]] = {}
        self._bytes = 0
        self._limit = min(POOL_BYTES, driver.memory_info()[1] // 8) if driver.reuses_memory else 0

    def take(self, nbytes: int, stream: int) -> tuple[int, int]:
        """The address and size of a block of at least that many bytes, free for what is queued on `stream` from now on."""
        size = self._rounded(nbytes)
        _thread.inside = True
        try:
            with self._lock:
                kept = self._free.get(size)
                address, uses = kept.pop() if kept else (0, [])
                if address:
                    self._bytes -= size
            if not address:
                address = self._alloc(size)
        finally:
            _thread.inside = False
        for event in uses:
            event.before(stream)
        if _forgotten:
            self.collect()
        return address, size

    def _rounded(self, nbytes: int) -> int:
        """Sizes of which there are eight between two powers of two, so that a block serves again."""
        if not self._limit:
            return max(nbytes, 1)
        step = max(_SMALLEST, 1 << max(nbytes.bit_length() - 4, 0))
        return -(-max(nbytes, 1) // step) * step

    def _alloc(self, size: int) -> int:
        try:
            return self._driver.alloc(size)
        except RuntimeFault as error:
            if error.code != "device-memory" or not self._bytes:
                raise
        self._drop(0)
        return self._driver.alloc(size)

    def _drop(self, limit: int) -> None:
        """Give blocks back to the driver, the largest first, until no more than `limit` bytes are kept."""
        while self._bytes > limit:
            with self._lock:
                size = max((size for size, kept in self._free.items() if kept), default=0)
                if not size:
                    return
                address, _ = self._free[size].pop()
                self._bytes -= size
            self._driver.free(address)  # it waits for the work that uses it

    def collect(self) -> None:
        """Take in what was forgotten, unless this thread is at it already."""
        if _thread.inside:
            return
        _thread.inside = True
        try:
            while _forgotten:
                pool, address, size, uses, lent = _forgotten.popleft()
                try:
                    pool._give(address, size, uses, lent)
                except Error:
                    pass  # a device that is gone, or a forked child that never had it: nothing is left to free
        finally:
            _thread.inside = False

    def _give(self, address: int, size: int, uses: dict[int, Event], lent: set[int]) -> None:
        if not self._limit:
            self._driver.free(address)
            return
        if lent:
            self._driver.activate()
        events = [*uses.values(), *(Event(self._driver, stream) for stream in lent)]
        with self._lock:
            self._free.setdefault(size, []).append((address, events))
            self._bytes += size
        self._drop(self._limit)


_pools: WeakKeyDictionary[Driver, _Pool] = WeakKeyDictionary()


def _pool_of(driver: Driver) -> _Pool:
    found = _pools.get(driver)
    if found is None:
        found = _pools.setdefault(driver, _Pool(driver))
    return found


def release(driver: Driver) -> None:
    """Give the driver back all memory that is kept for later calls."""
    _pool_of(driver)._drop(0)


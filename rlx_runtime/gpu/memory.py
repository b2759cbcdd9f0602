"""Memory and work of a device as objects: what Python forgets is given back."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from rlx_runtime.errors import Error, RuntimeFault
from rlx_runtime.gpu.driver import Driver

STATUS_WORDS = 6


class Block:
    """`nbytes` of a device's memory, contents undefined; freed with the object."""

    def __init__(self, driver: Driver, nbytes: int) -> None:
        self.driver = driver
        self.nbytes = nbytes
        self.address = 0  # known to __del__ even if alloc fails
        with _entering():
            self.address = driver.alloc(max(nbytes, 1))

    def __del__(self) -> None:
        if self.address and not sys.is_finalizing():
            _leaving.append((self.driver, self.address))
            if not _thread.inside:
                with _entering():
                    pass


class _Thread(threading.local):
    inside = False
    """Whether this thread is in a driver's memory management."""


_thread = _Thread()
_leaving: deque[tuple[Driver, int]] = deque()
"""Memory to free. The garbage collector may find a Block while a driver's lock is held: it is freed when that is over."""


@contextmanager
def _entering() -> Iterator[None]:
    _thread.inside = True
    try:
        yield
        while _leaving:
            driver, address = _leaving.popleft()
            try:
                driver.free(address)
            except Error:
                pass  # a device that is gone, or a forked child that never had it: nothing is left to free
    finally:
        _thread.inside = False


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
                pass  # as for a Block


class StatusPool:
    """Status words on the device, one set for each call whose faults nobody has read yet."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._free: list[Block] = []

    def take(self, stream: int) -> Block:
        """Six words that are zero for what is queued on `stream` from now on."""
        try:
            block = self._free.pop()
        except IndexError:
            block = Block(self._driver, 8 * STATUS_WORDS)
        self._driver.fill(block.address, block.nbytes, 0, stream)
        return block

    def give(self, block: Block) -> None:
        """Take words back that no queued work writes any more."""
        self._free.append(block)


class Pending:
    """What a call left queued: when it is done, whether it faulted, and what must live until then."""

    def __init__(
        self,
        driver: Driver,
        stream: int,
        status: Block | None,
        pool: StatusPool,
        explain: Callable[[Sequence[int]], RuntimeFault],
        keep: Sequence[Any],
    ) -> None:
        self.event = Event(driver, stream)
        self._status = status
        self._pool = pool
        self._explain = explain
        self._keep = keep
        self._fault: RuntimeFault | None = None

    def done(self) -> bool:
        return self.event.done()

    def check(self) -> None:
        """Wait until the call is done; RuntimeFault if it faulted."""
        self.event.wait()
        self._keep = ()
        status, self._status = self._status, None
        if status is not None:
            words = np.zeros(STATUS_WORDS, np.int64)
            status.driver.download(words, status.address, self.event.stream)
            self._pool.give(status)
            if words[0]:
                self._fault = self._explain(words.tolist())
        if self._fault is not None:
            raise self._fault

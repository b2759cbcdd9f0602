"""What a call left queued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlx_runtime.errors import RuntimeFault
from rlx_runtime.gpu.driver import Driver
from rlx_runtime.gpu.memory import Block, Event

STATUS_WORDS = 6


def status_words(driver: Driver, stream: int) -> Block:
    """Status words on the device, zero for what is queued on `stream` from now on."""
    block = Block(driver, 8 * STATUS_WORDS, stream)
    driver.fill(block.address, block.nbytes, 0, stream)
    return block


class Pending:
    """When a call is done, whether it faulted, and what must live until then. `blocks` is the memory that it uses."""

    def __init__(
        self,
        driver: Driver,
        stream: int,
        status: Block | None,
        blocks: Sequence[Block],
        keep: Sequence[Any],
        explain: Callable[[Sequence[int]], RuntimeFault],
    ) -> None:
        self.event = event = Event(driver, stream)
        for block in blocks:
            block.used(event)
        if status is not None:
            status.used(event)
        self._status = status
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
            if words[0]:
                self._fault = self._explain(words.tolist())
        if self._fault is not None:
            raise self._fault

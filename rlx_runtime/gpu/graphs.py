"""Recorded calls: the launches of a call that came before with the same arguments are replayed as one graph of the driver.

A graph holds what its launches were given: grids, addresses, sizes. So it serves calls with the same buffers, arena, status
words and dims; runtime dims may differ, where the host code hands them to kernels by address only.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable

from rlx_runtime.errors import Error
from rlx_runtime.gpu.driver import Driver

LIMIT = 8
"""Graphs that a frame keeps, and calls that it remembers without one."""


class Graphs:
    """The graphs of one frame."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._graphs: OrderedDict[Hashable, int | None] = OrderedDict()
        """None: such a call was seen once"""

    def run(self, key: Hashable, stream: int, launch: Callable[[], None]) -> None:
        """Do what `launch` queues on `stream`: directly the first time that `key` is seen, recorded the second time, replayed
        from then on. The default stream (0) records nothing: what is queued there runs as it is.
        """
        if not stream:
            launch()
            return
        known = key in self._graphs
        graph = self._graphs.pop(key, None)
        if graph is None and known:
            graph = self._record(stream, launch)
        if graph is None:
            launch()
        else:
            self._driver.launch_graph(graph, stream)
        self._graphs[key] = graph
        while len(self._graphs) > LIMIT:
            _, oldest = self._graphs.popitem(last=False)
            if oldest is not None:
                self._driver.free_graph(oldest)

    def _record(self, stream: int, launch: Callable[[], None]) -> int:
        self._driver.begin_capture(stream)
        try:
            launch()
        except Error:
            self._driver.free_graph(self._driver.end_capture(stream))  # the stream must leave the capture
            raise
        return self._driver.end_capture(stream)

    def __del__(self) -> None:
        if not sys.is_finalizing():
            try:
                for graph in self._graphs.values():
                    if graph is not None:
                        self._driver.free_graph(graph)
            except Error:
                pass  # the device is gone, or this is a forked child that never had it

"""Device time of callables that take turns, so that clocks and neighbours treat them alike.

A round gives every contender one burst between two events on torch's current stream. The figure is the median over rounds of
a burst's time divided by its calls. Inputs rotate among copies that do not fit the cache together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Call = Callable[[int], Any]
"""`call(i)` enqueues the work on copy i of the inputs, on torch's current stream."""


@dataclass(frozen=True)
class Contender:
    """A name and a call. Work that runs on another stream than torch's has a `fence` that waits for a call's result: then a
    burst is timed by the clock.
    """

    name: str
    call: Call
    fence: Callable[[Any], Any] | None = None


@dataclass
class Timed:
    """Microseconds of each round."""

    name: str
    rounds: list[float] = field(default_factory=list)
    problem: str = ""

    @property
    def median(self) -> float:
        return median(self.rounds) if self.rounds else float("nan")


def measure(torch: Any, contenders: Sequence[Contender], copies: int, rounds: int, burst_us: float) -> list[Timed]:
    """`rounds` bursts of about `burst_us` for every contender, in turns."""
    found = [Timed(contender.name) for contender in contenders]
    counts: list[int] = []
    for contender in contenders:
        _burst(torch, contender, copies, 3)
        counts.append(max(2, min(2000, int(burst_us / max(_burst(torch, contender, copies, 5), 0.1)))))
    for turn in range(rounds):
        for k in range(len(contenders)):
            at = (k + turn) % len(contenders)
            found[at].rounds.append(_burst(torch, contenders[at], copies, counts[at]))
    return found


def _burst(torch: Any, contender: Contender, copies: int, count: int) -> float:
    """Microseconds of one call, out of `count`."""
    torch.cuda.synchronize()
    if contender.fence is not None:
        begin, last = time.perf_counter(), None
        for i in range(count):
            last = contender.call(i % copies)
        contender.fence(last)
        return (time.perf_counter() - begin) * 1e6 / count
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for i in range(count):
        contender.call(i % copies)
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) * 1e3 / count

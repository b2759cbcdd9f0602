"""What runs in step: the scheduler of the interpreters.

Agents (threads of PTX, waves of GCN) of several blocks run at once: of those that can run, the ones at the lowest place in the
code take the next step, so that agents that parted meet again where their ways join; where the code is laid out otherwise, an
instruction of several agents holds those that come first until the others are there. In serial mode, one group of each block (a
warp, a wave) runs alone until all of it waits or is done: a barrier that is missing shows then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.faults import EmulationError
from rlx_runtime.errors import Location

RUNNING, WAITING, DONE, HELD = 0, 1, 2, 3
"""HELD: at an instruction that agents run together, until the others come."""
PARTED = -1
"""What a step returns that changed `pc` or `state` of agents itself."""
Step = Callable[[Any], int | None]
"""One instruction: None to go on, the place of the next instruction, or PARTED."""
MAX_STEPS = 50_000_000
_NEVER = 1 << 30


class Machine:
    """`blocks` × `width` agents; those that do not `exist` fill up the last group of a block."""

    def __init__(self, name: str, code: Sequence[Step], lines: Sequence[tuple[int, str]], blocks: int, width: int, group: int,
                 exists: NDArray[np.bool_], serial: bool) -> None:  # fmt: skip
        self.name, self.code, self.lines = name, code, lines
        self.blocks, self.width, self.group, self.serial = blocks, width, group, serial
        self.count = blocks * width
        self.block_of = np.repeat(np.arange(blocks), width)
        self.exists = exists
        self.pc = np.zeros(self.count, np.int64)
        self.state = np.where(exists, RUNNING, DONE).astype(np.int8)
        self.here = 0
        """The place of the instruction that runs."""
        self.active = exists.copy()
        """The agents that run it; assigned through `set_active` only."""
        self.steps = 0
        self.holding: set[int] = set()
        """Places where agents are held."""
        self.set_active(self.active)

    # -- which agents run

    def set_active(self, active: NDArray[np.bool_]) -> None:
        self.active = active
        self.index = np.flatnonzero(active)
        self.all = self.index.size == self.count
        """Every agent is active."""
        self.full = self.all or self.index.size == np.count_nonzero(self.state != DONE)
        """Every agent that is not done is active: registers of the others do not matter."""

    def run(self) -> None:
        """Until every agent is done."""
        with np.errstate(all="ignore"):
            while True:
                ready = self.state == RUNNING
                if self.serial:
                    groups = ready.reshape(self.blocks, -1, self.group)
                    chosen = np.zeros_like(groups)
                    first = groups.any(axis=2).argmax(axis=1)
                    chosen[np.arange(self.blocks), first] = groups[np.arange(self.blocks), first]
                    ready = chosen.reshape(-1)
                if not ready.any():
                    if not np.isin(self.state, (WAITING, HELD)).any():
                        return
                    self.release()
                    continue
                places = np.where(ready, self.pc, _NEVER)
                lowest = int(places.min())
                active = places == lowest
                if lowest in self.holding:
                    held = (self.state == HELD) & (self.pc == lowest)
                    self.state[held] = RUNNING
                    self.holding.discard(lowest)
                    active |= held
                limit = int(np.where(active, _NEVER, places).min())
                self.set_active(active)
                self._straight(lowest, limit)

    def _straight(self, place: int, limit: int) -> None:
        """Run the active agents from `place` until they part, wait, are done, or come to where others are."""
        code = self.code
        while True:
            self.here = place
            self.steps += 1
            target = code[place](self)
            if target is None:
                place += 1
            elif target == PARTED:
                break
            else:
                place = target
            if place >= limit or place in self.holding:
                self.pc[self.index] = place
                break
        if self.steps > MAX_STEPS:
            raise self.fault("endless", f"no end after {MAX_STEPS} instructions")

    def branch(self, taken: NDArray[np.bool_], target: int) -> int | None:
        """Active agents for which `taken` holds go to `target`, the others to the next instruction."""
        if self.all:
            here = taken
        else:
            here = taken[self.index]
        if here.all():
            return target
        if not here.any():
            return None
        self.pc[self.index] = np.where(here, target, self.here + 1)
        return PARTED

    def hold(self, agents: NDArray[np.bool_]) -> None:
        """These of the active agents stay at this instruction until others come to it."""
        self.state[agents] = HELD
        self.pc[agents] = self.here
        self.holding.add(self.here)

    def stop(self, agents: NDArray[Any]) -> None:
        """These agents (places in the array) are done."""
        self.state[agents] = DONE

    def release(self) -> None:
        """No agent can run, some wait or are held: let those go on whose barrier is complete, or fault."""
        raise NotImplementedError

    # -- faults

    def describe(self, agent: int) -> str:
        """The agent in words: its block and thread."""
        raise NotImplementedError

    def fault(self, code: str, message: str, agent: int | None = None, place: int | None = None) -> EmulationError:
        """An error at an instruction (the one that runs) and agent (the first active one)."""
        line, text = self.lines[self.here if place is None else place]
        if agent is None and self.index.size:
            agent = int(self.index[0])
        who = "" if agent is None else f" ({self.describe(agent)})"
        return EmulationError(f"{message} in '{text}'{who}", code=code, location=Location(self.name, line, 1, text))

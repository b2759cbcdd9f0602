"""Asynchronous copies of PTX: cp.async in groups.

The destination is poisoned when the copy starts and holds the data only once the thread that started it has waited for its
group: what reads too early shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.memory import POISON
from rlx_runtime.emulators.ptx.operands import Context
from rlx_runtime.emulators.ptx.threads import Threads

Array = NDArray[Any]


@dataclass
class _Copy:
    """One instruction's copies: by thread, where in shared memory, what, and in which group of the thread."""

    threads: Array
    offsets: Array
    values: Array
    groups: Array


@dataclass
class Copies:
    """The copies under way, and how many groups each thread has committed."""

    committed: Array
    pending: list[_Copy] = field(default_factory=list)

    def finish(self, m: Threads, left: int | None) -> None:
        """All groups of the active threads but the last `left`; all copies, committed or not, if it is None."""
        rest: list[_Copy] = []
        for copy in self.pending:
            done = m.active[copy.threads]
            if left is not None:
                done = done & (copy.groups < self.committed[copy.threads] - left)
            for i in range(copy.values.shape[1]):
                m.shared[copy.offsets[done] + i] = copy.values[done, i]
            if not done.all():
                rest.append(_Copy(copy.threads[~done], copy.offsets[~done], copy.values[~done], copy.groups[~done]))
        self.pending = rest


def _copies(m: Threads) -> Copies:
    if m.copies is None:
        m.copies = Copies(np.zeros(m.count, np.int64))
    return m.copies


def copy(c: Context) -> Step:
    """cp.async of 4, 8 or 16 bytes from global to shared memory (with zeros beyond the bytes that are read), and its groups."""
    opcode, operands = c.statement.opcode, c.statement.operands
    if opcode[2] == "commit_group":
        def commit(m: Threads) -> None:
            _copies(m).committed[m.index] += 1

        return commit
    if opcode[2] in ("wait_group", "wait_all"):
        left = c.integer(operands[0]) if opcode[2] == "wait_group" else None
        return lambda m: _copies(m).finish(m, left)
    if opcode[2] not in ("ca", "cg"):
        raise c.unknown()
    nbytes = c.integer(operands[2])
    if nbytes not in ((4, 8, 16) if opcode[2] == "ca" else (16,)):
        raise c.malformed(f"cp.async.{opcode[2]} of {nbytes} bytes")
    to, source = c.address(operands[0]), c.address(operands[1])
    size = c.source(operands[3], "u32") if len(operands) > 3 else None

    def start(m: Threads) -> None:
        data, offsets = m.place("shared", to(m), nbytes)
        where = source(m)
        values = np.zeros((m.index.size, nbytes), np.uint8)
        read = np.full(m.index.size, nbytes) if size is None else m.part(np.asarray(size(m))).astype(np.int64)
        if (read > nbytes).any():
            raise m.fault("malformed", f"reads more than {nbytes} bytes")
        # Threads that read nothing may have any address.
        active, some = m.active, np.flatnonzero(read > 0)
        if some.size:
            mask = np.zeros(m.count, bool)
            mask[m.index[some]] = True
            m.set_active(mask)
            values[some] = m.load("global", where[some], 4, nbytes // 4).view(np.uint8).reshape(some.size, nbytes)
            m.set_active(active)
        values[np.arange(nbytes)[None, :] >= read[:, None]] = 0
        for i in range(nbytes):
            data[offsets + i] = POISON
        copies = _copies(m)
        copies.pending.append(_Copy(m.index.copy(), offsets, values, copies.committed[m.index].copy()))

    return start


ASYNCHRONOUS: dict[str, Callable[[Context], Step]] = {"cp": copy}

"""The worker team: one per process, shared by all executables.

The caller is thread 0; threads 1 to n - 1 are bare pthreads that have no Python state, so interpreter exit cannot touch them, and
that block all signals, so Ctrl-C reaches Python's main thread. They spin a little for the next call, then park in the kernel
(support_ir.py has the protocol). Calls of several Python threads take turns.

**Fork.** A child has no workers. The word that holds the team's address lies in a page that the kernel zeroes in children, and
the handler below clears it too, so the first call in the child builds a new team.

**Exit.** Nothing is stopped: the process ends with workers parked or spinning, and their code is never unloaded.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from rlx_runtime.errors import TargetError
from rlx_runtime.native import SUPPORT_SYMBOLS, NativeLibrary, support_object
from rlx_runtime.support_ir import SUPPORT_VERSION, WORKER_BYTES

_MADV_WIPEONFORK = 18  # linux/mman.h; not among the constants of Python's mmap


class Support:
    """The loaded support module; it stays for the life of the process."""

    def __init__(self, data: bytes) -> None:
        library = NativeLibrary(data, SUPPORT_SYMBOLS, "support")
        if ctypes.CFUNCTYPE(ctypes.c_int32)(library.address("rlx_support_version"))() != SUPPORT_VERSION:
            # An object made by another version of the runtime: its layouts are not those of this one.
            library = NativeLibrary(support_object(), SUPPORT_SYMBOLS, "support")
        library.keep_for_ever()
        pointer, int32 = ctypes.c_void_p, ctypes.c_int32
        self.fastcall = library.address("rlx_fastcall")
        self.worker = library.address("rlx_worker")
        # Calls through CFUNCTYPE release the GIL.
        self.run: Callable[..., int] = ctypes.CFUNCTYPE(int32, pointer, pointer, pointer, int32)(library.address("rlx_team_run"))
        self.stop: Callable[..., None] = ctypes.CFUNCTYPE(None, pointer, int32)(library.address("rlx_team_stop"))


class Team:
    """`size` threads, the caller included."""

    def __init__(self, support: Support, size: int) -> None:
        self.size = size
        self._support = support
        lines = np.zeros(WORKER_BYTES * (size + 1), np.uint8)
        self._memory = lines  # owns the block
        self.address = -(-lines.ctypes.data // WORKER_BYTES) * WORKER_BYTES
        self._workers: list[ctypes.c_ulong] = []
        ctypes.c_int64.from_address(self.address + 8).value = size
        libc = ctypes.CDLL(None)
        inherited = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            for number in range(1, size):
                line = self.address + WORKER_BYTES * number
                ctypes.c_int32.from_address(line + 28).value = number
                worker = ctypes.c_ulong()
                start, argument = ctypes.c_void_p(support.worker), ctypes.c_void_p(line)
                if error := libc.pthread_create(ctypes.byref(worker), None, start, argument):
                    self.size = number
                    self.stop()
                    raise TargetError(
                        f"cannot start worker thread {number} of {size - 1}: {os.strerror(error)}",
                        code="threads",
                        hint="set RLX_NUM_THREADS to a smaller number",
                    )
                self._workers.append(worker)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, inherited)

    def stop(self) -> None:
        """Let the workers leave and join them; the team cannot run anything afterwards."""
        self._support.stop(self.address, self.size)
        libc = ctypes.CDLL(None)
        for worker in self._workers:
            libc.pthread_join(worker, None)
        self._workers.clear()


def thread_limit() -> int:
    """Threads of the team: RLX_NUM_THREADS, at most the CPUs this process may use; TargetError if it is not a positive number."""
    available = len(os.sched_getaffinity(0))
    wanted = os.environ.get("RLX_NUM_THREADS")
    if wanted is None or not wanted.strip():
        return available
    if not wanted.strip().isdecimal() or int(wanted) < 1:
        raise TargetError(f"RLX_NUM_THREADS is {wanted!r}, not a positive number", code="threads")
    return min(int(wanted), available)


class _Process:
    """What this process has of support and team."""

    def __init__(self) -> None:
        self.page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            self.page.madvise(_MADV_WIPEONFORK)
        except OSError:
            pass  # a kernel before 4.14: then only forks that Python sees are
        self.root: Any = ctypes.c_uint64.from_buffer(self.page)
        self.root_address = ctypes.addressof(self.root)
        self.generation = 0
        self.limit: int | None = None
        self.support: Support | None = None
        self.team: Team | None = None
        self.lock = threading.Lock()

    def after_fork(self) -> None:
        self.root.value = 0
        self.generation += 1
        self.lock = threading.Lock()


_process = _Process()
os.register_at_fork(after_in_child=_process.after_fork)


def load_support(data: bytes | None = None) -> Support:
    """The process's support module; the first call loads `data` (a package's support.o), or makes one if there is none."""
    with _process.lock:
        if _process.support is None:
            _process.support = Support(data if data is not None else support_object())
        return _process.support


def current_team() -> Team:
    """The process's team, started at the first call, and again after a fork."""
    team = _process.team
    if team is not None and _process.root.value == team.address:
        return team
    support = load_support()
    with _process.lock:
        if _process.team is None or _process.root.value != _process.team.address:
            _process.limit = _process.limit or thread_limit()
            _process.team = Team(support, _process.limit)
            _process.root.value = _process.team.address
        return _process.team


def team_size() -> int:
    """Threads of the current team, or those that it will have; starts none."""
    team = _process.team
    if team is not None and _process.root.value == team.address:
        return team.size
    if _process.limit is None:
        _process.limit = thread_limit()
    return _process.limit


def root_address() -> int:
    """Address of the word that holds the current team's address, 0 when this process has none."""
    return _process.root_address


def generation() -> int:
    """How many forks lie between this process and the one that loaded the runtime; threads of an older one are gone."""
    return _process.generation


def run(entry: int, call: int, threads: int) -> int:
    """Run `entry(call, tid, threads)` on the caller and `threads - 1` workers, without the GIL; returns what thread 0 returned.

    `call` is the address of a `struct rlx_call`; its status and barrier are cleared first. One thread starts no team.
    """
    if threads == 1:
        return load_support().run(None, entry, call, 1)
    team = current_team()
    return load_support().run(team.address, entry, call, min(threads, team.size))


def stop_team() -> None:
    """Stop the process's team, if it has one; the next call starts another, and reads RLX_NUM_THREADS again."""
    with _process.lock:
        team, _process.team, _process.limit = _process.team, None, None
        if team is not None and _process.root.value == team.address:
            _process.root.value = 0
            team.stop()

"""The driver: host memory as device memory, a library for each module."""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections import deque
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.msl import compiler
from rlx_runtime.errors import TargetError
from rlx_runtime.gpu.driver import ALIGNMENT, SynchronousDriver, out_of_memory
from rlx_runtime.gpu.msl import KernelSource

POISON = 0xFF
_GAP = 256
"""Bytes of nobody between two allocations."""

# Words of the context, as in scheduler.cpp: the table of allocations, whether to run everything last to first, the report.
_TABLE, _REVERSED, _REPORT, _CONTEXT_WORDS = 0, 1, 2, 13
_STATES = ("has not begun", "runs", "is at the barrier in line {}", "is at the simdgroup operation in line {}", "has returned")


@cache
def _scheduler() -> ctypes.CDLL:
    library = ctypes.CDLL(str(compiler.scheduler_library()), mode=os.RTLD_GLOBAL | os.RTLD_NOW)
    library.rlx_msl_next_module.restype = ctypes.c_int64
    return library


_load_lock = threading.Lock()


@lru_cache(maxsize=1024)
def _compiled(text: str) -> tuple[ctypes.CDLL, int, list[KernelSource]]:
    """The library of a text, its number, and its kernels. A library stays loaded as long as the process lives."""
    # What a library registers while it is loaded belongs to the module that was numbered last.
    number = _scheduler().rlx_msl_next_module()
    path, found = compiler.library(text, number)
    return ctypes.CDLL(str(path), mode=os.RTLD_LOCAL | os.RTLD_NOW), number, found


@dataclass
class _Module:
    library: ctypes.CDLL
    number: int
    kernels: dict[str, KernelSource]
    handles: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """What a function handle is the address of: binding, largest block, module, context."""


class MslDriver(SynchronousDriver):
    """Runs `device.msl`. `reverse` runs blocks, simdgroups and lanes from the last to the first: a result that depends on it
    comes from a race.
    """

    name = "metal"
    device = "Metal Shading Language through clang"
    dlpack_device: tuple[int, int] | None = (1, 0)

    def __init__(self, reverse: bool = False) -> None:
        self.launch_address: int = ctypes.cast(_scheduler().rlx_msl_launch, ctypes.c_void_p).value or 0
        self._context = np.zeros(_CONTEXT_WORDS, np.int64)
        self._context[_REVERSED] = reverse
        self._memory: dict[int, tuple[int, NDArray[np.uint8]]] = {}
        # A launch in another thread may still read an older table.
        self._tables: deque[NDArray[np.int64]] = deque(maxlen=64)
        self._modules: dict[int, _Module] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._publish()

    # -- memory

    def alloc(self, nbytes: int) -> int:
        try:
            raw = np.empty(nbytes + 2 * _GAP + ALIGNMENT, np.uint8)
        except MemoryError:
            raise out_of_memory(nbytes, self) from None
        address = raw.ctypes.data + _GAP
        address += -address % ALIGNMENT
        raw[...] = POISON
        with self._lock:
            self._memory[address] = (nbytes, raw)
            self._publish()
        return address

    def free(self, address: int) -> None:
        with self._lock:
            self._memory.pop(address)
            self._publish()

    def _publish(self) -> None:
        pairs = [bound for address in sorted(self._memory) for bound in (address, address + self._memory[address][0])]
        table = np.array([len(self._memory), *pairs], np.int64)
        self._tables.append(table)
        self._context[_TABLE] = table.ctypes.data

    def upload(self, address: int, array: NDArray[Any], stream: int = 0) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def download(self, array: NDArray[Any], address: int, stream: int = 0) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def copy(self, target: int, source: int, nbytes: int, stream: int = 0) -> None:
        ctypes.memmove(target, source, nbytes)

    def fill(self, address: int, nbytes: int, value: int, stream: int = 0) -> None:
        ctypes.memset(address, value, nbytes)

    def memory_info(self) -> tuple[int, int]:
        page = os.sysconf("SC_PAGE_SIZE")
        return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page

    # -- code

    def load(self, code: bytes) -> int:
        """TargetError quotes clang where it does not take the text."""
        with _load_lock:
            library, number, found = _compiled(code.decode())
        module = next(self._numbers)
        self._modules[module] = _Module(library, number, {kernel.name: kernel for kernel in found})
        return module

    def unload(self, module: int) -> None:
        self._modules.pop(module)

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        found = self._modules[module]
        if name not in found.kernels:
            raise TargetError(f"the device code has no kernel '{name}'", code="no-kernel", hint=", ".join(found.kernels))
        if name not in found.handles:
            binding = ctypes.cast(found.library[f"rlx_bind_{name}"], ctypes.c_void_p).value
            words = [binding, found.kernels[name].max_threads, found.number, self._context.ctypes.data]
            found.handles[name] = np.array(words, np.int64)
        return found.handles[name].ctypes.data

    # -- violations

    def explain(self, error: int) -> str:
        """What a launch reported that returned `error`; the next report is written anew."""
        code, *group, thread, a, b, line, other_line, size_x, size_y = [int(word) for word in self._context[_REPORT:]]
        self._context[_REPORT:] = 0
        if code == 0 or code != error:
            return f"the launch failed with error {error}"

        def place(number: int) -> str:
            x, rest = number % max(size_x, 1), number // max(size_x, 1)
            return f"({x}, {rest % max(size_y, 1)}, {rest // max(size_y, 1)})"

        where = f"block ({', '.join(map(str, group))}), thread {place(thread)}"
        if code == 1:
            return f"a block of {a} threads, of a kernel that takes {b}"
        if code == 2:
            return f"{where} touches {b} bytes at 0x{a:x}, outside of what it may"
        if code == 3:
            return f"{where} touches {b} bytes at 0x{a:x}, which is not aligned for it"
        if code == 6:
            return "no memory for the stacks of the threads"
        what = "barrier" if code == 4 else "simdgroup operation"
        other = f"thread {place(a)} {_STATES[b].format(other_line)}"
        return f"{where} waits at the divergent {what} in line {line} of the text: {other}"


def open_driver() -> MslDriver:
    """The emulator of a device that runs `device.msl`. TargetError where clang is missing."""
    return MslDriver()

"""The driver of the launch simulator: kernels compiled for the host, one coroutine for each thread that may wait.

Memory is the host's; what `alloc` gives is filled with 0xFF, so that every float read from it is NaN and every index -1. An
object is one of `rlx_backends.gpu.simulator`, whose `layout.py` describes what driver and launchers share. A launch that
goes wrong (access outside of an allocation, a promised alignment that does not hold, a barrier that not all threads reach) ends
there and returns a code; `explain` says what happened.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.errors import TargetError
from rlx_runtime.gpu.driver import ALIGNMENT, SynchronousDriver, out_of_memory
from rlx_runtime.native import NativeLibrary, compile_text

POISON = 0xFF
_GAP = 256
"""Bytes of nobody between two allocations."""

# Words of the context: the table of allocations, whether to run everything last to first, the report.
_TABLE, _REVERSED, _REPORT, _CONTEXT_WORDS = 0, 1, 4, 16

_TRAMPOLINE = """\
define i32 @rlx_sim_launch(ptr %function, i32 %gx, i32 %gy, i32 %gz, i32 %bx, i32 %by, i32 %bz, i32 %shared, ptr %stream,
                           ptr %params, ptr %extra) nounwind {
  %launcher = load ptr, ptr %function, align 8
  %context.at = getelementptr inbounds ptr, ptr %function, i64 1
  %context = load ptr, ptr %context.at, align 8
  %code = tail call i32 %launcher(i32 %gx, i32 %gy, i32 %gz, i32 %bx, i32 %by, i32 %bz, ptr %params, ptr %context)
  ret i32 %code
}
"""


@cache
def _trampoline() -> NativeLibrary:
    return NativeLibrary(compile_text(_TRAMPOLINE), ["rlx_sim_launch"], "simulator")


@dataclass
class _Module:
    library: NativeLibrary
    launchers: dict[str, int]
    handles: dict[str, NDArray[np.int64]]
    """What a function handle is the address of: the launcher and the context."""


class SimulatorDriver(SynchronousDriver):
    """Runs `device.sim.o` of one dialect. `reverse` runs blocks, subgroups and lanes from the last to the first: a result
    that depends on it comes from a race.
    """

    graphs = False
    dlpack_device: tuple[int, int] | None = (1, 0)

    def __init__(self, dialect: str, reverse: bool = False) -> None:
        self.name = dialect
        self.device = "launch simulator"
        self.launch_address: int = _trampoline().address("rlx_sim_launch")
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
        pairs = [bound for address, (nbytes, _) in self._memory.items() for bound in (address, address + nbytes)]
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
        library = NativeLibrary(code, ["sim_kernels"], "device.sim.o")
        words = ctypes.c_int64.from_address(library.address("sim_kernels")).value
        table = (ctypes.c_int64 * (1 + 2 * words)).from_address(library.address("sim_kernels"))
        names = [ctypes.string_at(table[1 + 2 * n]).decode() for n in range(words)]
        number = next(self._numbers)
        self._modules[number] = _Module(library, {name: table[2 + 2 * n] for n, name in enumerate(names)}, {})
        return number

    def unload(self, module: int) -> None:
        self._modules.pop(module)

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        found = self._modules[module]
        if name not in found.launchers:
            raise TargetError(f"the device code has no kernel '{name}'", code="no-kernel", hint=", ".join(found.launchers))
        if name not in found.handles:
            found.handles[name] = np.array([found.launchers[name], self._context.ctypes.data], np.int64)
        return found.handles[name].ctypes.data

    # -- violations

    def explain(self, error: int) -> str:
        """What a launch reported that returned `error`; the next report is written anew."""
        report = [int(word) for word in self._context[_REPORT:]]
        self._context[_REPORT:] = 0
        code, kernel, *block, thread, size_x, size_y, a, b, site, other_site = report
        if code == 0 or code != error:
            return f"the launch failed with error {error}"

        def place(number: int) -> str:
            x, rest = number % max(size_x, 1), number // max(size_x, 1)
            return f"({x}, {rest % max(size_y, 1)}, {rest // max(size_y, 1)})"

        def text(address: int) -> str:
            return ctypes.string_at(address).decode()

        where = f"kernel '{text(kernel)}', block ({', '.join(map(str, block))}), thread {place(thread)}"
        if code == 1:
            return f"kernel '{text(kernel)}' was launched with blocks of another size than it was compiled for"
        if code == 2:
            return f"{where}: {text(site)} touches {b} bytes at 0x{a:x}, outside of what it may"
        if code == 3:
            return f"{where}: {text(site)} at 0x{a:x}, which is not aligned as promised"
        if code == 6:
            return f"{where}: {text(site)} with an address or a stride that is not that of the first lane"
        what = "barrier" if code == 4 else "collective operation"
        return f"{where}: divergent {what}: this thread is at {text(site)}, thread {place(a)} at {text(other_site)}"


def open_driver(dialect: str) -> SimulatorDriver:
    """A driver for kernels of one dialect."""
    return SimulatorDriver(dialect)

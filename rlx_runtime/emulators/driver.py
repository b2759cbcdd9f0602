"""What the drivers of the interpreters share: memory, modules, functions, and the C function that host code launches with."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.faults import EmulationError
from rlx_runtime.emulators.memory import DeviceMemory
from rlx_runtime.errors import RuntimeFault, TargetError
from rlx_runtime.gpu.driver import SynchronousDriver

LAUNCH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, *([ctypes.c_uint32] * 7), ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p
)
TOTAL = 8 << 30
"""Bytes that the emulated device has."""
LAUNCH_FAILED = 719
"""What a launch returns when the kernel faulted; the fault itself is in `fault`."""


@dataclass
class Kernel:
    """A function of a driver: the kernel, the offset and bytes of each parameter, and the dynamic shared memory it may have."""

    name: str
    code: Any
    params: Sequence[tuple[int, int]]
    params_bytes: int
    shared: int = 0


class EmulatedDriver(SynchronousDriver):
    """A driver on top of an interpreter. `serial` runs one warp (or wave) of a block at a time; see `machine`.

    A kernel that faults makes its launch fail; `fault` is the EmulationError of the last one that did, `explain` its words.
    """

    device = "interpreter"

    def __init__(self, serial: bool = False) -> None:
        self.serial = serial
        self.memory = DeviceMemory()
        self.fault: EmulationError | None = None
        self._modules: dict[int, Any] = {}
        self._functions: dict[int, Kernel] = {}
        self._next = 1
        self._launch = LAUNCH(self._launched)
        self.launch_address = ctypes.cast(self._launch, ctypes.c_void_p).value or 0

    # -- memory

    def alloc(self, nbytes: int) -> int:
        if self.memory.used + nbytes > TOTAL:
            raise RuntimeFault(f"{self.device} has no memory for {nbytes} more bytes", code="device-memory")
        return self.memory.alloc(nbytes)

    def free(self, address: int) -> None:
        try:
            self.memory.free(address)
        except KeyError:
            raise RuntimeFault(f"{address:#x} is no allocation", code="device") from None

    def upload(self, address: int, array: NDArray[Any], stream: int = 0) -> None:
        self.memory.write(address, array)

    def download(self, array: NDArray[Any], address: int, stream: int = 0) -> None:
        self.memory.read(array, address)

    def copy(self, target: int, source: int, nbytes: int, stream: int = 0) -> None:
        if nbytes:
            to, start = self.memory.offset(target, nbytes), self.memory.offset(source, nbytes)
            self.memory.data[to : to + nbytes] = self.memory.data[start : start + nbytes]

    def fill(self, address: int, nbytes: int, value: int, stream: int = 0) -> None:
        if nbytes:
            start = self.memory.offset(address, nbytes)
            self.memory.data[start : start + nbytes] = value

    def memory_info(self) -> tuple[int, int]:
        return TOTAL - self.memory.used, TOTAL

    # -- code

    def load(self, code: bytes) -> int:
        try:
            module = self._parse(code.decode())
        except EmulationError as error:
            raise TargetError(f"the emulator does not take the code: {error}", code="device-code") from error
        return self._number(self._modules, module)

    def unload(self, module: int) -> None:
        self._release(self._modules.pop(module))

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        try:
            kernel = self._kernel(self._modules[module], name)
        except KeyError:
            raise TargetError(f"the module has no kernel {name}", code="device-code") from None
        kernel.shared = shared_bytes
        return self._number(self._functions, kernel)

    def launch(self, function: int, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], shared: int = 0) -> None:
        """Run a kernel on NumPy scalars, integers (as the parameter's bytes) and addresses. EmulationError where it faults."""
        kernel = self._functions[function]
        if len(arguments) != len(kernel.params):
            raise RuntimeFault(f"{kernel.name} takes {len(kernel.params)} arguments, got {len(arguments)}", code="device")
        raw = np.zeros(max(kernel.params_bytes, 1), np.uint8)
        for (offset, size), argument in zip(kernel.params, arguments):
            if isinstance(argument, int):
                data = (argument & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            else:
                data = np.ascontiguousarray(argument).tobytes()
            raw[offset : offset + size] = np.frombuffer(data, np.uint8)
        self._start(kernel, grid, block, raw, shared)

    def _start(self, kernel: Kernel, grid: Sequence[int], block: Sequence[int], raw: NDArray[np.uint8], shared: int) -> None:
        sizes = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        if shared > kernel.shared:
            raise RuntimeFault(f"{kernel.name} was allowed {kernel.shared} bytes of shared memory, not {shared}", code="device")
        if 0 in sizes[0]:
            return
        address = self.memory.alloc(raw.size)
        try:
            self.memory.write(address, raw)
            self._run(kernel, sizes[0], sizes[1], shared, address)
        finally:
            self.memory.free(address)

    def _launched(self, function: int, gx: int, gy: int, gz: int, bx: int, by: int, bz: int, shared: int, _stream: int,
                  params: Any, _extra: int) -> int:  # fmt: skip
        try:
            kernel = self._functions[function]
            raw = np.zeros(max(kernel.params_bytes, 1), np.uint8)
            for i, (offset, size) in enumerate(kernel.params):
                raw[offset : offset + size] = np.frombuffer(ctypes.string_at(params[i], size), np.uint8)
            self._start(kernel, (gx, gy, gz), (bx, by, bz), raw, shared)
        except EmulationError as error:
            self.fault = error
            return LAUNCH_FAILED
        return 0

    def explain(self, error: int) -> str:
        """What made the last launch fail."""
        return str(self.fault) if self.fault is not None else f"the launch failed with error {error}"

    def _number(self, table: dict[int, Any], value: Any) -> int:
        self._next += 1
        table[self._next] = value
        return self._next

    # -- what an interpreter adds

    def _parse(self, text: str) -> Any:
        """The module. EmulationError if the text is none."""
        raise NotImplementedError

    def _release(self, module: Any) -> None:
        """Give back what the module holds."""
        raise NotImplementedError

    def _kernel(self, module: Any, name: str) -> Kernel:
        """The kernel of that name; KeyError."""
        raise NotImplementedError

    def _run(self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], shared: int, params: int) -> None:
        """Run the grid; the parameters lie at device address `params`."""
        raise NotImplementedError

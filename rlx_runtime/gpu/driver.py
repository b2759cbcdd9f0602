"""What runs device code: the interface that `cuda.py`, `hip.py`, `metal.py` and the emulators have in common.

Addresses, modules, functions, streams, events and graphs are plain integers. Address 0 is nothing, stream 0 is the default
stream. Work of one stream runs in order. Every method may be called from any thread after `activate` in that thread.

Errors: TargetError where a library or a device is missing or cannot load the code; RuntimeFault with code "device-memory" when
the memory of the device is used up, "device" when the driver reports any other error.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from numpy.typing import NDArray

from rlx_runtime.errors import RuntimeFault, TargetError

ALIGNMENT = 64
"""What `alloc` gives starts at a multiple of this, or of more."""
SIMULATOR_CODE = "device.sim.o"
"""The object of a package that the launch simulator runs."""
USE_EMULATION = "compile with emulate=True (--emulate) to run the kernels on the host's CPU"
"""What every error about a missing device advises."""
EXECUTED, EMULATED = "executed", "emulated"


class Driver(Protocol):
    """A device and what runs on it."""

    name: str
    """The dialect of the kernels: "cuda", "rocm", "metal"."""
    label: str
    """"executed" on a device of that kind, or "emulated"."""
    device: str
    """The device in words: its marketing name, or what stands in for it."""
    arch: str
    """The architecture (`sm_90`, `gfx942`, …); "" if it runs code for any."""
    graphs: bool
    """Whether the work of a call can be captured and replayed."""
    reuses_memory: bool
    """Whether memory that is free again is kept for others: not where each allocation is to be watched."""
    dlpack_device: tuple[int, int] | None
    """Type (DLDeviceType) and number that DLPack knows the memory by; (1, 0) for host memory, None if it cannot be shared."""
    launch_address: int
    """The C function that the host code calls, with the signature of `cuLaunchKernel`; see "GPU programs" in ARCHITECTURE.md."""

    def activate(self) -> None:
        """Make the device current for the calling thread. Cheap when it already is."""
        ...

    def supports(self, arch: str) -> bool:
        """Whether the device runs code that was compiled for this architecture."""
        ...

    def explain(self, error: int) -> str:
        """What a launch that returned `error` complains about."""
        ...

    # -- memory

    def alloc(self, nbytes: int) -> int:
        """The address of `nbytes` (1 or more) of undefined contents, a multiple of `ALIGNMENT`. RuntimeFault "device-memory"."""
        ...

    def free(self, address: int) -> None:
        """Give memory back once all work that was queued before is done."""
        ...

    def upload(self, address: int, array: NDArray[Any], stream: int = 0) -> None:
        """Copy a C-contiguous array to the device; it may be changed when this returns."""
        ...

    def download(self, array: NDArray[Any], address: int, stream: int = 0) -> None:
        """Copy from the device into a C-contiguous, writable array; done when this returns."""
        ...

    def copy(self, target: int, source: int, nbytes: int, stream: int = 0) -> None:
        """Copy inside the device; the two do not overlap."""
        ...

    def fill(self, address: int, nbytes: int, value: int, stream: int = 0) -> None:
        """Set every byte to `value` (0 to 255)."""
        ...

    def memory_info(self) -> tuple[int, int]:
        """(free, total) bytes of the device."""
        ...

    # -- code

    def load(self, code: bytes) -> int:
        """A module from `device.ptx`, `device.sim.o`, …. TargetError with the driver's log if it does not take the code."""
        ...

    def unload(self, module: int) -> None: ...

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        """The kernel of that name, allowed `shared_bytes` of shared memory in a block. TargetError if there is none."""
        ...

    # -- streams and events

    def new_stream(self) -> int: ...

    def free_stream(self, stream: int) -> None: ...

    def synchronize(self, stream: int = 0) -> None:
        """Wait for everything queued on the stream."""
        ...

    def record(self, stream: int) -> int:
        """A new event: all work queued on the stream so far."""
        ...

    def is_done(self, event: int) -> bool: ...

    def wait(self, event: int) -> None:
        """Wait for the event in the calling thread."""
        ...

    def wait_on_stream(self, stream: int, event: int) -> None:
        """Let what is queued on the stream from now on wait for the event."""
        ...

    def free_event(self, event: int) -> None: ...

    # -- graphs: only where `graphs` is true

    def begin_capture(self, stream: int) -> None:
        """From now on, work for the stream is recorded instead of run."""
        ...

    def end_capture(self, stream: int) -> int:
        """The graph of what was recorded, ready to launch."""
        ...

    def launch_graph(self, graph: int, stream: int) -> None: ...

    def free_graph(self, graph: int) -> None: ...


class SynchronousDriver:
    """What is the same for all emulators: every call is done when it returns, so streams and events are names.

    A subclass adds `name`, `device`, `launch_address`, memory and code.
    """

    label = EMULATED
    arch = ""
    graphs = False
    reuses_memory = False
    dlpack_device: tuple[int, int] | None = None
    _streams = 0

    def activate(self) -> None:
        """Nothing: every thread may use an emulator."""

    def supports(self, arch: str) -> bool:
        return True

    def explain(self, error: int) -> str:
        return f"the launch failed with error {error}"

    def new_stream(self) -> int:
        self._streams += 1
        return self._streams

    def free_stream(self, stream: int) -> None:
        """Nothing to free."""

    def synchronize(self, stream: int = 0) -> None:
        """Everything is done."""

    def record(self, stream: int) -> int:
        return 1

    def is_done(self, event: int) -> bool:
        return True

    def wait(self, event: int) -> None:
        """Everything is done."""

    def wait_on_stream(self, stream: int, event: int) -> None:
        """Everything is done."""

    def free_event(self, event: int) -> None:
        """Nothing to free."""

    def begin_capture(self, stream: int) -> None:
        raise self._no_graphs()

    def end_capture(self, stream: int) -> int:
        raise self._no_graphs()

    def launch_graph(self, graph: int, stream: int) -> None:
        raise self._no_graphs()

    def free_graph(self, graph: int) -> None:
        raise self._no_graphs()

    def _no_graphs(self) -> TargetError:
        return TargetError("an emulator records no graphs", code="no-graphs")


_MODULES = {"cuda": "cuda", "rocm": "hip", "metal": "metal"}
"""Dialect -> the module here whose `open_driver()` gives its driver."""


def open_driver(dialect: str, code: str) -> Driver:
    """The driver for device code (`manifest["device"]`'s dialect and code), one for each device in a process.

    `device.sim.o` runs on the launch simulator, everything else on a device. TargetError says what is missing.
    """
    return _open(dialect, code == SIMULATOR_CODE)


@cache
def _open(dialect: str, simulated: bool) -> Driver:
    if simulated:
        return import_module("rlx_runtime.gpu.simulator").open_driver(dialect)
    name = f"rlx_runtime.gpu.{_MODULES.get(dialect)}"
    if find_spec(name) is None:
        raise TargetError(f"this runtime has no driver for target '{dialect}'", code="no-driver", hint=USE_EMULATION)
    return import_module(name).open_driver()


class _Named(Protocol):
    device: str


def out_of_memory(nbytes: int, driver: _Named) -> RuntimeFault:
    """The error of `alloc`."""
    return RuntimeFault(f"{driver.device} has no memory for {nbytes} more bytes", code="device-memory")

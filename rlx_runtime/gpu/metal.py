"""Apple GPUs through Metal, by way of pyobjc; both are loaded when the driver is opened, on macOS only.

Memory is shared between CPU and GPU: the address of an allocation is where the CPU sees it, and a launch translates addresses to
a buffer and an offset. Copies are the CPU's, once the stream is done. Work of a stream goes into one command buffer until
somebody waits for it.

Not executed on the machines that this project is tested on: the tests run it against a stand-in for Metal.
"""

from __future__ import annotations

import bisect
import ctypes
import itertools
import sys
import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.errors import RuntimeFault, TargetError
from rlx_runtime.gpu.driver import EXECUTED, USE_EMULATION, out_of_memory
from rlx_runtime.gpu.msl import KernelSource, kernels

LAUNCH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, *([ctypes.c_uint32] * 7), ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p
)
SIMDGROUP = 32
_SHARED_STORAGE = 0  # MTLResourceStorageModeShared
_COMPLETED, _ERROR = 4, 5  # MTLCommandBufferStatus
_SAFE_MATH = 0  # MTLMathModeSafe
_FAMILY = 1000  # MTLGPUFamilyApple<n> is this and n
_FAMILIES = range(20, 6, -1)
LAUNCH_FAILED = 1


@dataclass
class _Allocation:
    buffer: Any
    bytes: NDArray[np.uint8]


@dataclass
class _Function:
    source: KernelSource
    pipeline: Any


class _Stream:
    """A queue, with the command buffer that is being filled and the last one that was committed."""

    def __init__(self, device: Any):
        self.queue = device.newCommandQueue()
        self.open: Any = None
        self.encoder: Any = None
        self.last: Any = None

    def encode(self) -> Any:
        """Where the next launch goes. Launches of one encoder run in order, each after the writes of those before."""
        if self.encoder is None:
            self.open = self.queue.commandBuffer()
            self.encoder = self.open.computeCommandEncoder()
        return self.encoder

    def commit(self) -> Any:
        """Hand over what was encoded; returns the last command buffer, None if there was none."""
        if self.encoder is not None:
            self.encoder.endEncoding()
            self.open.commit()
            self.last, self.open, self.encoder = self.open, None, None
        return self.last


class MetalDriver:
    """One Apple GPU."""

    name = "metal"
    label = EXECUTED
    graphs = False
    reuses_memory = False
    dlpack_device: tuple[int, int] | None = None  # DLPack passes Metal's buffers, not addresses

    def __init__(self, metal: Any, pool: Any) -> None:
        """`metal` is pyobjc's module of that name, `pool` its `objc.autorelease_pool`."""
        self._metal, self._pool = metal, pool
        self._device = metal.MTLCreateSystemDefaultDevice()
        if self._device is None:
            raise TargetError("Metal finds no GPU", code="no-device", hint=USE_EMULATION)
        self.device = str(self._device.name())
        family = next((n for n in _FAMILIES if self._device.supportsFamily_(_FAMILY + n)), 0)
        if not family:
            raise TargetError(f"{self.device} is older than apple7", code="no-device", hint=USE_EMULATION)
        self.family, self.arch = family, f"apple{family}"
        self._memory: dict[int, _Allocation] = {}
        self._starts: list[int] = []
        self._modules: dict[int, tuple[Any, dict[str, KernelSource]]] = {}
        self._functions: dict[int, _Function] = {}
        self._events: dict[int, Any] = {}
        self._streams = {0: _Stream(self._device)}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._complaint = ""
        self._launch = LAUNCH(self._launched)
        self.launch_address = ctypes.cast(self._launch, ctypes.c_void_p).value or 0

    def activate(self) -> None:
        """Nothing: every thread may use the device."""

    def supports(self, arch: str) -> bool:
        """Code for a family runs on it and on later ones."""
        return arch.startswith("apple") and arch[5:].isdigit() and int(arch[5:]) <= self.family

    def explain(self, error: int) -> str:
        return self._complaint or f"the launch failed with error {error}"

    # -- memory

    def alloc(self, nbytes: int) -> int:
        buffer = self._device.newBufferWithLength_options_(nbytes, _SHARED_STORAGE)
        if buffer is None:
            raise out_of_memory(nbytes, self)
        contents = np.frombuffer(buffer.contents().as_buffer(nbytes), np.uint8)
        address = contents.ctypes.data
        with self._lock:
            self._memory[address] = _Allocation(buffer, contents)
            bisect.insort(self._starts, address)
        return address

    def free(self, address: int) -> None:
        """Command buffers keep what they use, so nothing has to be waited for."""
        with self._lock:
            del self._memory[address]
            self._starts.remove(address)

    def _place(self, address: int) -> tuple[Any, int]:
        """(buffer, offset) of an address; (None, 0) of 0. RuntimeFault for an address of nobody."""
        if not address:
            return None, 0
        at = bisect.bisect_right(self._starts, address) - 1
        if at >= 0:
            start = self._starts[at]
            found = self._memory[start]
            if address - start < found.bytes.size:
                return found.buffer, address - start
        raise RuntimeFault(f"0x{address:x} is in no allocation", code="device")

    def upload(self, address: int, array: NDArray[Any], stream: int = 0) -> None:
        self.synchronize(stream)
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def download(self, array: NDArray[Any], address: int, stream: int = 0) -> None:
        self.synchronize(stream)
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def copy(self, target: int, source: int, nbytes: int, stream: int = 0) -> None:
        self.synchronize(stream)
        ctypes.memmove(target, source, nbytes)

    def fill(self, address: int, nbytes: int, value: int, stream: int = 0) -> None:
        self.synchronize(stream)
        ctypes.memset(address, value, nbytes)

    def memory_info(self) -> tuple[int, int]:
        total = int(self._device.recommendedMaxWorkingSetSize())
        return max(0, total - int(self._device.currentAllocatedSize())), total

    # -- code

    def load(self, code: bytes) -> int:
        text = code.decode()
        found = kernels(text)
        options = self._metal.MTLCompileOptions.alloc().init()
        # Rounding and the order of operations are part of what the text says.
        if options.respondsToSelector_("setMathMode:"):
            options.setMathMode_(_SAFE_MATH)
        else:
            options.setFastMathEnabled_(False)
        library, error = self._device.newLibraryWithSource_options_error_(text, options, None)
        if library is None:
            raise TargetError(f"Metal does not take the code: {error}", code="device-code")
        number = next(self._numbers)
        self._modules[number] = (library, {kernel.name: kernel for kernel in found})
        return number

    def unload(self, module: int) -> None:
        del self._modules[module]

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        """The text declares its shared memory; `shared_bytes` on top of that are none."""
        library, sources = self._modules[module]
        made = library.newFunctionWithName_(name) if name in sources else None
        if made is None:
            raise TargetError(f"the device code has no kernel '{name}'", code="no-kernel", hint=", ".join(sources))
        pipeline, error = self._device.newComputePipelineStateWithFunction_error_(made, None)
        if pipeline is None:
            raise TargetError(f"Metal makes no pipeline of kernel '{name}': {error}", code="device-code")
        if int(pipeline.threadExecutionWidth()) != SIMDGROUP:
            raise TargetError(f"{self.device} has no simdgroups of {SIMDGROUP} threads", code="device-code")
        number = next(self._numbers)
        self._functions[number] = _Function(sources[name], pipeline)
        return number

    def _launched(self, function: int, gx: int, gy: int, gz: int, bx: int, by: int, bz: int, _shared: int, stream: int,
                  params: Any, _extra: int) -> int:  # fmt: skip
        try:
            with self._pool(), self._lock:
                self._encode(self._functions[function], (gx, gy, gz), (bx, by, bz), self._streams[stream or 0], params)
        except (RuntimeFault, KeyError) as error:
            self._complaint = str(error)
            return LAUNCH_FAILED
        return 0

    def _encode(self, function: _Function, grid: tuple[int, ...], block: tuple[int, ...], stream: _Stream, params: Any) -> None:
        threads, most = block[0] * block[1] * block[2], int(function.pipeline.maxTotalThreadsPerThreadgroup())
        if threads > most:
            message = f"kernel '{function.source.name}' takes {most} threads in a block on {self.device}, not {threads}"
            raise RuntimeFault(message, code="device")
        words = [ctypes.string_at(params[number], 8) for number in range(len(function.source.pointers))]
        places = [
            self._place(int.from_bytes(word, "little")) if is_pointer else None
            for word, is_pointer in zip(words, function.source.pointers)
        ]
        encoder = stream.encode()
        encoder.setComputePipelineState_(function.pipeline)
        for number, (word, place) in enumerate(zip(words, places)):
            if place is None:
                encoder.setBytes_length_atIndex_(word, len(word), number)
            else:
                encoder.setBuffer_offset_atIndex_(*place, number)
        size = self._metal.MTLSizeMake
        encoder.dispatchThreadgroups_threadsPerThreadgroup_(size(*grid), size(*block))

    # -- streams and events

    def new_stream(self) -> int:
        number = next(self._numbers)
        self._streams[number] = _Stream(self._device)
        return number

    def free_stream(self, stream: int) -> None:
        self.synchronize(stream)
        del self._streams[stream]

    def synchronize(self, stream: int = 0) -> None:
        with self._pool(), self._lock:
            last = self._streams[stream].commit()
        self._finish(last)

    def _finish(self, buffer: Any) -> None:
        if buffer is not None:
            buffer.waitUntilCompleted()
            if buffer.status() == _ERROR:
                raise RuntimeFault(f"{self.device}: {buffer.error()}", code="device")

    def record(self, stream: int) -> int:
        number = next(self._numbers)
        with self._pool(), self._lock:
            self._events[number] = self._streams[stream].commit()
        return number

    def is_done(self, event: int) -> bool:
        buffer = self._events[event]
        return buffer is None or buffer.status() >= _COMPLETED

    def wait(self, event: int) -> None:
        self._finish(self._events[event])

    def wait_on_stream(self, stream: int, event: int) -> None:
        """The host waits, which is more than is asked."""
        self.wait(event)

    def free_event(self, event: int) -> None:
        del self._events[event]

    # -- graphs

    def begin_capture(self, stream: int) -> None:
        raise _no_graphs()

    def end_capture(self, stream: int) -> int:
        raise _no_graphs()

    def launch_graph(self, graph: int, stream: int) -> None:
        raise _no_graphs()

    def free_graph(self, graph: int) -> None:
        raise _no_graphs()


def _no_graphs() -> TargetError:
    return TargetError("Metal records no graphs", code="no-graphs")


def open_driver() -> MetalDriver:
    """The system's GPU. TargetError where this is no macOS, or pyobjc is not installed."""
    if sys.platform != "darwin":
        raise TargetError("target 'metal' runs on macOS only", code="no-device", hint=USE_EMULATION)
    try:
        metal, objc = import_module("Metal"), import_module("objc")
    except ImportError:
        raise TargetError(
            "target 'metal' needs pyobjc to reach Metal", code="no-driver", hint="pip install pyobjc-framework-Metal"
        ) from None
    return MetalDriver(metal, objc.autorelease_pool)

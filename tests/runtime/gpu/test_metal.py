"""The driver of Apple GPUs against a stand-in for Metal, whose GPU is the emulator: it runs nothing before somebody waits.

This shows that addresses, arguments and the order of work are right as far as the documentation of Metal goes; the driver is not
executed on macOS here.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Any

import numpy as np
import pytest

from rlx_runtime.emulators.msl import MslDriver
from rlx_runtime.errors import RuntimeFault, TargetError
from rlx_runtime.gpu import metal
from rlx_runtime.gpu.driver import open_driver
from rlx_runtime.gpu.metal import MetalDriver
from tests.emulators.msl_harness import MslDevice, kernel, needs_clang, pointer, random

SCALE = kernel(
    f"%x: {pointer('f32')}, %y: {pointer('f32')}, %n: index",
    f"""
    %t = metal.thread_id x
    %b = metal.block_id x
    %i = kernel.apply [64 * b + t](b = %b, t = %t)
    %in = arith.cmpi slt, %i, %n : index
    scf.if %in {{
      %v = kernel.load %x[%i] : {pointer("f32")} -> f32
      %w = arith.addf %v, %v : f32
      kernel.store %w, %y[%i] : f32, {pointer("f32")}
    }}
    """,
)


class Standin:
    """Metal, as far as the driver uses it."""

    def __init__(self) -> None:
        self.gpu = MslDriver()
        self.failing = False
        self.options: list[str] = []
        self.pools = 0

    # what the module Metal has

    def MTLCreateSystemDefaultDevice(self) -> Any:
        return self

    def MTLSizeMake(self, *extents: int) -> tuple[int, ...]:
        return extents

    @property
    def MTLCompileOptions(self) -> Any:
        return _Options(self)

    @contextlib.contextmanager
    def pool(self):
        self.pools += 1
        yield

    # the device

    def name(self) -> str:
        return "Standin M0"

    def supportsFamily_(self, family: int) -> bool:
        return family <= 1008

    def newCommandQueue(self) -> Any:
        return _Queue(self)

    def newBufferWithLength_options_(self, nbytes: int, options: int) -> Any:
        return _Buffer(self, nbytes) if nbytes < 1 << 40 and options == 0 else None

    def newLibraryWithSource_options_error_(self, text: str, options: Any, error: None) -> Any:
        try:
            return _Library(self, self.gpu.load(text.encode())), None
        except TargetError as complaint:
            return None, complaint

    def newComputePipelineStateWithFunction_error_(self, function: Any, error: None) -> Any:
        return function, None

    def recommendedMaxWorkingSetSize(self) -> int:
        return 1000

    def currentAllocatedSize(self) -> int:
        return 300


class _Options:
    def __init__(self, standin: Standin):
        self.standin = standin

    def alloc(self) -> Any:
        return self

    init = alloc

    def respondsToSelector_(self, name: str) -> bool:
        return name == "setMathMode:"

    def setMathMode_(self, mode: int) -> None:
        self.standin.options.append(f"math mode {mode}")


class _Buffer:
    def __init__(self, standin: Standin, nbytes: int):
        self.address = standin.gpu.alloc(nbytes)

    def contents(self) -> Any:
        return self

    def as_buffer(self, nbytes: int) -> Any:
        return (ctypes.c_uint8 * nbytes).from_address(self.address)


class _Library:
    def __init__(self, standin: Standin, module: int):
        self.standin, self.module = standin, module

    def newFunctionWithName_(self, name: str) -> Any:
        return _Pipeline(self.standin.gpu.function(self.module, name, 0))


class _Pipeline:
    def __init__(self, handle: int):
        self.handle = handle

    def threadExecutionWidth(self) -> int:
        return 32

    def maxTotalThreadsPerThreadgroup(self) -> int:
        return 64


class _Queue:
    def __init__(self, standin: Standin):
        self.standin = standin

    def commandBuffer(self) -> Any:
        return _CommandBuffer(self.standin)


class _CommandBuffer:
    """Also its own encoder."""

    def __init__(self, standin: Standin):
        self.standin = standin
        self.work: list[tuple[Any, dict[int, bytes], tuple[int, ...], tuple[int, ...]]] = []
        self.state = 0
        self.arguments: dict[int, bytes] = {}

    def computeCommandEncoder(self) -> Any:
        return self

    def setComputePipelineState_(self, pipeline: _Pipeline) -> None:
        self.pipeline = pipeline

    def setBuffer_offset_atIndex_(self, buffer: _Buffer | None, offset: int, index: int) -> None:
        self.arguments[index] = (buffer.address + offset if buffer else 0).to_bytes(8, "little")

    def setBytes_length_atIndex_(self, data: bytes, length: int, index: int) -> None:
        assert len(data) == length
        self.arguments[index] = bytes(data)

    def dispatchThreadgroups_threadsPerThreadgroup_(self, grid: tuple[int, ...], block: tuple[int, ...]) -> None:
        self.work.append((self.pipeline, dict(self.arguments), grid, block))

    def endEncoding(self) -> None:
        self.state = 1

    def commit(self) -> None:
        assert self.state == 1
        self.state = 2

    def waitUntilCompleted(self) -> None:
        assert self.state >= 2
        launch = metal.LAUNCH(self.standin.gpu.launch_address)
        for pipeline, arguments, grid, block in self.work:
            words = ctypes.create_string_buffer(b"".join(arguments[n] for n in range(len(arguments))))
            params = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(words) + 8 * n for n in range(len(arguments))))
            assert launch(pipeline.handle, *grid, *block, 0, None, params, None) == 0
        self.work = []
        self.state = 5 if self.standin.failing else 4

    def status(self) -> int:
        return self.state

    def error(self) -> str:
        return "the GPU hangs"


@pytest.fixture
def standin() -> Standin:
    return Standin()


@pytest.fixture
def driver(standin: Standin) -> MetalDriver:
    return MetalDriver(standin, standin.pool)


def launch(driver: MetalDriver, function: int, grid: int, stream: int, *arguments: int, threads: int = 64) -> int:
    words = (ctypes.c_int64 * len(arguments))(*arguments)
    params = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(words) + 8 * n for n in range(len(arguments))))
    return metal.LAUNCH(driver.launch_address)(function, grid, 1, 1, threads, 1, 1, 0, stream, params, None)


@needs_clang
def test_work_runs_in_order_when_somebody_waits(driver: MetalDriver, standin: Standin) -> None:
    module = driver.load(MslDevice(SCALE).text.encode())
    assert standin.options == ["math mode 0"]
    function = driver.function(module, "f", 0)
    x, y = random(150, "f32"), np.zeros(100, np.float32)
    source, target = driver.alloc(600), driver.alloc(400)
    driver.upload(source, x)
    stream = driver.new_stream()
    # The second launch reads what the first one wrote; both start inside their buffers.
    assert launch(driver, function, 2, stream, source + 4 * 50, target, 100) == 0
    assert launch(driver, function, 1, stream, target, target + 4 * 20, 20) == 0
    event = driver.record(stream)
    assert not driver.is_done(event)
    driver.download(y, target, stream)
    expected = 2 * x[50:]
    expected[20:40] = 2 * expected[:20]
    np.testing.assert_array_equal(y, expected)
    assert driver.is_done(event)
    driver.wait_on_stream(0, event)
    driver.free_event(event)
    driver.free_stream(stream)
    driver.free(source)
    driver.fill(target, 8, 255)
    driver.copy(target + 8, target, 8)
    driver.download(y, target)
    assert np.isnan(y[:4]).all() and not np.isnan(y[4:]).any()
    driver.unload(module)


@needs_clang
def test_what_goes_wrong_is_explained(driver: MetalDriver, standin: Standin) -> None:
    with pytest.raises(TargetError, match="Metal does not take the code: clang refuses"):
        driver.load(MslDevice(SCALE).text.replace("a0[", "b0[").encode())
    module = driver.load(MslDevice(SCALE).text.encode())
    with pytest.raises(TargetError, match="no kernel 'g'"):
        driver.function(module, "g", 0)
    function = driver.function(module, "f", 0)
    address = driver.alloc(64)
    assert launch(driver, function, 1, 0, address + 64, address, 1) == metal.LAUNCH_FAILED
    assert driver.explain(metal.LAUNCH_FAILED) == f"0x{address + 64:x} is in no allocation"
    assert launch(driver, function, 1, 0, address, address, 1, threads=128) == metal.LAUNCH_FAILED
    assert driver.explain(metal.LAUNCH_FAILED) == "kernel 'f' takes 64 threads in a block on Standin M0, not 128"
    assert launch(driver, function, 1, 0, 0, address, 0) == 0  # nothing is read
    standin.failing = True
    with pytest.raises(RuntimeFault, match="Standin M0: the GPU hangs"):
        driver.synchronize()
    with pytest.raises(RuntimeFault, match="has no memory for"):
        driver.alloc(1 << 41)
    with pytest.raises(TargetError, match="records no graphs"):
        driver.begin_capture(0)


@needs_clang
def test_the_device_is_described(driver: MetalDriver) -> None:
    assert (driver.name, driver.label, driver.device, driver.arch) == ("metal", "executed", "Standin M0", "apple8")
    assert driver.supports("apple7") and driver.supports("apple8")
    assert not driver.supports("apple9") and not driver.supports("sm_90a")
    assert driver.memory_info() == (700, 1000)


@pytest.mark.skipif(sys.platform == "darwin", reason="says what is missing elsewhere")
def test_elsewhere_it_says_what_is_missing() -> None:
    with pytest.raises(TargetError, match="runs on macOS only"):
        open_driver("metal", "device.msl")

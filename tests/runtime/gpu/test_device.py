"""Calls on something that behaves like a GPU: streams, arrays of other libraries, memory."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import rlx
from rlx_runtime.gpu import dlpack
from rlx_runtime.gpu import driver as drivers
from rlx_runtime.gpu.memory import release
from tests.runtime.gpu.conftest import PretendedDevice
from tests.runtime.gpu.models import EMULATE, TABLE, WEIGHT, cached, floats, lookup, scaled


@pytest.fixture
def exe(device: PretendedDevice) -> rlx.Executable:
    return rlx.compile(scaled(), "cuda", EMULATE, weights={"w": WEIGHT})


class Interface:
    """An array of another library that knows `__cuda_array_interface__`."""

    def __init__(self, device: PretendedDevice, array: np.ndarray, offset: int = 0, strides=None, stream: int | None = None):
        self.address = device.alloc(array.nbytes + offset)
        device.upload(self.address + offset, array)
        self.held = {"shape": array.shape, "typestr": array.dtype.str, "data": (self.address + offset, False), "version": 3,
                     "strides": strides, "stream": stream}  # fmt: skip

    @property
    def __cuda_array_interface__(self):
        return self.held


class Shared(Interface):
    """… and DLPack."""

    where = (2, 0)

    def __dlpack_device__(self):
        return self.where

    def __dlpack__(self, *, stream=None):
        self.stream = stream
        return dlpack.make(self.held["data"][0], self.held["shape"], np.dtype(self.held["typestr"]), self.where, self)


@pytest.mark.parametrize("kind", [Interface, Shared])
def test_arrays_of_other_libraries_are_used_in_place(exe, device: PretendedDevice, kind) -> None:
    x = floats(3, 7)
    given = kind(device, x, stream=9)
    exe(x)
    device.log.clear()
    y, z = exe(given)
    assert not [line for line in device.log if "load" in line], "something was copied"
    frame_stream = next(line for line in device.log if line.endswith(" waits")).split()[1]
    assert f"stream {frame_stream} waits" in device.log and "stream 0 waits" in device.log
    if kind is Shared:
        assert str(given.stream) == frame_stream
    else:
        assert "record 9" in device.log
    np.testing.assert_array_equal(y.to_numpy(), x * WEIGHT)
    np.testing.assert_array_equal(z.to_numpy(), x + WEIGHT)
    out = kind(device, np.zeros((3, 7), np.float32))
    assert exe(y, out=(out, None))[0] is out
    found = np.empty((3, 7), np.float32)
    device.download(found, out.address)
    np.testing.assert_array_equal(found, x * WEIGHT * WEIGHT)


def test_refused_device_arrays(exe, device: PretendedDevice) -> None:
    x = floats(3, 7)
    for code, given in (
        ("alignment", Interface(device, x, offset=4)),
        ("layout", Interface(device, x, strides=(4, 12))),
        ("dtype", Interface(device, x.astype(np.float64))),
        ("dtype", Shared(device, x.astype(np.int32))),
    ):
        with pytest.raises(rlx.BindError) as caught:
            exe(given)
        assert caught.value.code == code
    elsewhere = Shared(device, x)
    elsewhere.where = (2, 1)
    with pytest.raises(rlx.BindError, match="device"):
        exe(elsewhere)
    np.testing.assert_array_equal(exe(Interface(device, x, strides=(28, 4)))[1].to_numpy(), x + WEIGHT)


def test_the_array_interface_of_results(exe, device: PretendedDevice) -> None:
    x = floats(2, 7)
    y, _ = exe(exe.to_device(x))
    held = y.__cuda_array_interface__
    assert (held["shape"], held["typestr"], held["data"][0] % 16) == ((2, 7), "<f4", 0)
    assert y.__dlpack_device__() == (2, 0)
    described = dlpack.read(y.__dlpack__(stream=-1), "y")
    assert (described.address, described.shape, described.dtype) == (y.address, (2, 7), np.float32)
    with pytest.raises(BufferError):
        y.__dlpack__(copy=True)


@pytest.mark.parametrize("name", ["bool", "i8", "u16", "f64", "bf16", "f8e4m3fn", "f8e5m2"])
def test_dlpack_types(name: str) -> None:
    from rlx_runtime.dtypes import numpy_dtype

    found = dlpack.read(dlpack.make(64, (2, 3), numpy_dtype(name), (1, 0), None), "x")
    assert (found.dtype, found.shape, found.is_contiguous) == (numpy_dtype(name), (2, 3), True)


def test_a_capsule_keeps_memory_until_its_consumer_lets_go(exe, device: PretendedDevice) -> None:
    exe(exe.to_device(floats(2, 7)))
    y, z = exe(exe.to_device(floats(2, 7)))
    address = y.address
    capsule = y.__dlpack__()
    y.wait()
    exe(floats(2, 7))
    del y, z
    gc.collect()
    assert address in device.live
    del capsule
    gc.collect()
    assert address not in device.live


def test_memory_is_given_back(device: PretendedDevice) -> None:
    exe = rlx.compile(cached(), "cuda", EMULATE)
    state = exe.new_state()
    for length in (1, 4, 2):
        exe(floats(1, 2, length, 3), P=1, state=state)
        exe(exe.to_device(floats(1, 2, length, 3)), P=1, state=state).to_numpy()
    steady = len(device.live)
    for _ in range(20):
        exe(exe.to_device(floats(1, 2, 4, 3)), P=2, state=state).to_numpy()
    gc.collect()
    assert len(device.live) <= steady
    del exe, state
    gc.collect()
    assert not device.live


def test_the_device_is_full(exe, device: PretendedDevice) -> None:
    x = floats(3, 7)
    exe(x)
    device.limit = sum(device.live.values())
    with pytest.raises(rlx.RuntimeFault) as caught:
        exe.to_device(x)
    assert caught.value.code == "device-memory"
    np.testing.assert_array_equal(exe(x)[0], x * WEIGHT)


def test_weights_are_uploaded_once(device: PretendedDevice) -> None:
    exe = rlx.compile(lookup(), "cuda", EMULATE, weights={"table": TABLE})
    exe(np.array([1]))
    device.log.clear()
    exe(np.array([2]))
    exe.specialize(N=1, codegen=False)(np.array([3]))
    assert f"upload {TABLE.nbytes}" not in device.log
    assert device.log.count("upload 8") == 2


def test_memory_is_used_again_behind_the_work_that_uses_it(monkeypatch: pytest.MonkeyPatch, device: PretendedDevice) -> None:
    device.reuses_memory = True
    exe = rlx.compile(scaled(), "cuda", EMULATE, weights={"w": WEIGHT})
    x = exe.to_device(floats(3, 7))
    exe(x)[0].wait()
    address = exe(x)[0].address
    allocated = len(device.live)
    device.finished = False
    device.log.clear()
    y, z = exe(x)
    assert address in (y.address, z.address), "the calls are on one stream: nothing has to wait"
    assert len(device.live) == allocated and not [line for line in device.log if "waits" in line]
    del y, z
    exe.submit(x, stream=33)
    assert "stream 33 waits" in device.log
    assert len(device.live) == allocated
    lent, device.log[:] = exe(x)[0], []
    capsule = lent.__dlpack__(stream=44)
    del lent
    gc.collect()
    assert "record 44" not in device.log
    del capsule
    gc.collect()
    assert "record 44" in device.log
    np.testing.assert_array_equal(exe(x.to_numpy())[0], x.to_numpy() * WEIGHT)
    del x
    kept = len(device.live)
    release(device)
    assert len(device.live) < kept
    device.limit = sum(device.live.values()) + 3 * 2048
    for rows in (1, 20, 40, 64, 3, 30):  # what is kept of one size makes room for another
        exe(floats(rows, 7))


def test_inputs_of_others_live_until_the_call_is_done(exe, device: PretendedDevice) -> None:
    exe(floats(3, 7))
    device.finished = False
    given = Shared(device, floats(3, 7))
    watched = weakref.ref(given)
    exe(given)
    del given
    gc.collect()
    assert watched() is not None
    device.finished = True
    exe(floats(3, 7))
    gc.collect()
    assert watched() is None


def test_code_for_another_architecture(device: PretendedDevice) -> None:
    device.arch = "sm_80"
    exe = rlx.compile(scaled(), "cuda", EMULATE).bind({"w": WEIGHT})
    assert exe.label == "compiled only"
    with pytest.raises(rlx.TargetError, match="the code is for sm_90a, and the device is pretended device"):
        exe(floats(3, 7))


def test_a_launch_that_fails(exe, device: PretendedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    signature = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, *[ctypes.c_uint32] * 7, *[ctypes.c_void_p] * 3)
    launch = signature(lambda *_: 719)
    device.launch_address = ctypes.cast(launch, ctypes.c_void_p).value or 0
    with pytest.raises(rlx.RuntimeFault, match="launch failed with error 719") as caught:
        rlx.compile(scaled(), "cuda", EMULATE, weights={"w": WEIGHT})(floats(3, 7))
    assert caught.value.code == "launch"


class Recorder(PretendedDevice):
    """Records launches instead of doing them while it captures, and replays what it recorded."""

    graphs = True

    def __init__(self, dialect: str) -> None:
        import ctypes

        super().__init__(dialect)
        signature = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, *[ctypes.c_uint32] * 7, *[ctypes.c_void_p] * 3)
        real = signature(self.launch_address)

        def launch(function, *rest):
            *sizes, stream, params, extra = rest
            if self.recording is None:
                return real(function, *sizes, stream, params, extra)
            kept = (ctypes.c_int64 * 8)(*[ctypes.c_int64.from_address(place).value for place in self.places(params, function)])
            table = (ctypes.c_void_p * 8)(*[ctypes.addressof(kept) + 8 * i for i in range(8)])
            self.recording.append((kept, table, lambda: real(function, *sizes, stream, ctypes.addressof(table), extra)))
            return 0

        self.recording: list | None = None
        self.recorded: dict[int, list] = {}
        self.counts: dict[int, int] = {}
        self._callback = signature(launch)
        self.launch_address = ctypes.cast(self._callback, ctypes.c_void_p).value or 0

    def places(self, params: int, function: int) -> list[int]:
        import ctypes

        count = self.counts[function]
        return [ctypes.c_int64.from_address(params + 8 * i).value for i in range(count)]

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        found = super().function(module, name, shared_bytes)
        self.counts[found] = self.arguments[name]
        return found

    def begin_capture(self, stream: int) -> None:
        self.recording = []

    def end_capture(self, stream: int) -> int:
        number = 1 + self.log.count("recorded")
        self.recorded[number], self.recording = self.recording or [], None
        self.log.append("recorded")
        return number

    def launch_graph(self, graph: int, stream: int) -> None:
        self.log.append("replayed")
        for _, _, again in self.recorded[graph]:
            assert again() == 0

    def free_graph(self, graph: int) -> None:
        self.log.append("freed")
        del self.recorded[graph]


def test_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder("cuda")
    monkeypatch.setattr(drivers, "_open", lambda dialect, simulated: recorder)
    plain = rlx.compile(cached(), "cuda", EMULATE)
    recorder.arguments = {k["name"]: len(k["arguments"]) for k in plain.manifest["device"]["kernels"]}
    assert plain.manifest["device"]["launch_dims"] == [0], "a runtime dim reaches kernels through memory"
    exe = plain.with_graphs()
    state, wanted = exe.new_state(), np.zeros((1, 2, 16, 3), np.float32)
    for past in range(8):
        x = floats(1, 2, 2, 3, seed=past)
        np.testing.assert_array_equal(exe(x, P=past, state=state), x * x)
        wanted[:, :, past : past + 2] = x
        np.testing.assert_array_equal(state["k"].to_numpy(), wanted)
    assert (recorder.log.count("recorded"), recorder.log.count("replayed")) == (1, 7)
    for length in (1, 3, 4):
        for _ in range(3):
            exe(floats(1, 2, length, 3), P=0, state=state)
    assert recorder.log.count("recorded") == 4
    for _ in range(12):
        exe(exe.to_device(floats(1, 2, 1, 3)), P=0, state=exe.new_state())
    del exe, plain, state
    gc.collect()
    assert not recorder.recorded


def test_no_graphs() -> None:
    with pytest.raises(rlx.TargetError, match="records no graphs"):
        rlx.compile(cached(), "cuda", EMULATE).with_graphs()

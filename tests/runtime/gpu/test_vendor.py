"""What the drivers of NVIDIA and AMD say to their libraries, with a library that only writes it down."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

import rlx
from rlx_runtime.gpu import cuda, hip, vendor

LOG = b"ptxas fatal: Unresolved extern function"


class Function:
    """One function of a library; takes what ctypes' functions take."""

    def __init__(self, library: Library, name: str) -> None:
        self.library, self.name = library, name
        self.argtypes: Any = None
        self.restype: Any = None

    def __call__(self, *arguments: Any) -> Any:
        if self.argtypes is not None:
            assert len(arguments) == len(self.argtypes), self.name
        return self.library.called(self.name, arguments)


class Library:
    """Answers as a library would on a machine with one device of compute capability `capability`."""

    def __init__(self, missing: str = "", capability: tuple[int, int] = (9, 0), version: int = 12040, **errors: int) -> None:
        self.missing, self.errors, self.version, self.capability = missing, errors, version, capability
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._functions: dict[str, Function] = {}
        self._handles = 0x1000

    def __getattr__(self, name: str) -> Function:
        if not name.startswith(("cu", "hip")) or name == self.missing:
            raise AttributeError(name)
        return self._functions.setdefault(name, Function(self, name))

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def called(self, name: str, arguments: tuple[Any, ...]) -> Any:
        self.calls.append((name, arguments))
        if name in self.errors:
            if name.endswith("ModuleLoadDataEx") and name.startswith("cu"):
                ctypes.memmove(arguments[4][0], LOG, len(LOG))
            return self.errors[name]
        if name in ("cuGetErrorName", "cuGetErrorString"):
            arguments[1]._obj.value = b"CUDA_ERROR_SOMETHING" if name.endswith("Name") else b"it broke"
        elif name == "hipGetErrorString":
            return b"it broke"
        elif name in ("cuDeviceGetCount", "hipGetDeviceCount"):
            arguments[0]._obj.value = 1
        elif name.endswith("DriverGetVersion"):
            arguments[0]._obj.value = self.version
        elif name == "cuDeviceGetName":
            arguments[0].value = b"NVIDIA H200"
        elif name == "cuDeviceGetAttribute":
            arguments[0]._obj.value = self.capability[arguments[1] - 75]
        elif name == "hipGetDeviceProperties":
            arguments[0][0:10] = b"AMD MI300X"
            arguments[0][1160:1171] = b"gfx942:sram"
        elif arguments and hasattr(arguments[0], "_obj") and isinstance(arguments[0]._obj, ctypes.c_void_p):
            self._handles += 0x100
            arguments[0]._obj.value = self._handles
        elif name.endswith("EndCapture"):
            arguments[1]._obj.value = 0x77
        return 0


def opened(monkeypatch: pytest.MonkeyPatch, kind: type[vendor.VendorDriver], library: Library) -> vendor.VendorDriver:
    monkeypatch.setattr(kind, "_open", lambda self: library)
    monkeypatch.setattr(vendor.ctypes, "cast", lambda *_: ctypes.c_void_p(0xABC))
    return kind()



@pytest.mark.parametrize(("kind", "version"), [(cuda.CudaDriver, 12040), (hip.HipDriver, 60000000)])
def test_what_is_called(monkeypatch: pytest.MonkeyPatch, kind: type[vendor.VendorDriver], version: int) -> None:
    library = Library(version=version)
    driver = opened(monkeypatch, kind, library)
    assert (driver.label, driver.launch_address) == ("executed", 0xABC)
    assert (driver.device, driver.arch) == (("NVIDIA H200", "sm_90a") if driver.name == "cuda" else ("AMD MI300X", "gfx942"))
    library.calls.clear()
    array = np.arange(6, dtype=np.float32)
    address, stream = driver.alloc(24), driver.new_stream()
    driver.upload(address, array, stream)
    driver.fill(address, 24, 255, stream)
    driver.copy(address, address + 64, 24, stream)
    driver.download(array, address, stream)
    event = driver.record(stream)
    driver.wait_on_stream(0, event)
    assert driver.is_done(event)
    driver.wait(event)
    driver.begin_capture(stream)
    graph = driver.end_capture(stream)
    driver.launch_graph(graph, stream)
    module = driver.load(b"code")
    driver.function(module, "map_0", 200 << 10)
    for release in (lambda: driver.free_graph(graph), lambda: driver.free_event(event), lambda: driver.unload(module),
                    lambda: driver.free(address)):  # fmt: skip
        release()
    driver.free_stream(stream)
    assert driver.new_stream() == stream  # kept: events of a stream that is destroyed cannot be asked
    named = {role for role, symbol in kind.symbols.items() if symbol in library.names()}
    assert set(kind.symbols) - named == {"init", "device_count", "driver_version", "memory_info"}
    if driver.name == "cuda":
        assert next(rest for name, rest in library.calls if name == "cuFuncSetAttribute")[1:] == (8, 200 << 10)
    uploaded = next(rest for name, rest in library.calls if name == kind.symbols["upload"])
    assert uploaded == (address, array.ctypes.data, 24, stream)


def test_events_that_are_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(cuEventQuery=600)
    assert not opened(monkeypatch, cuda.CudaDriver, library).is_done(5)
    library.errors["cuEventQuery"] = 700
    with pytest.raises(rlx.RuntimeFault, match="NVIDIA H200: cuEventQuery: CUDA_ERROR_SOMETHING: it broke"):
        opened(monkeypatch, cuda.CudaDriver, library).is_done(5)


@pytest.mark.parametrize(
    ("library", "code", "text"),
    [
        (Library(cuInit=100), "no-device", "no NVIDIA device"),
        (Library(cuInit=999), "no-driver", "does not start: CUDA_ERROR_SOMETHING"),
        (Library(version=11030), "old-driver", "version 11030"),
        (Library(missing="cuGraphInstantiateWithFlags"), "old-driver", "lacks cuGraphInstantiateWithFlags"),
    ],
)
def test_what_is_missing(monkeypatch: pytest.MonkeyPatch, library: Library, code: str, text: str) -> None:
    with pytest.raises(rlx.TargetError, match=text) as caught:
        opened(monkeypatch, cuda.CudaDriver, library)
    assert caught.value.code == code


def test_refused_code_and_full_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = opened(monkeypatch, cuda.CudaDriver, Library(cuModuleLoadDataEx=218, cuMemAlloc_v2=2, cuModuleGetFunction=500))
    with pytest.raises(rlx.TargetError, match=r"(?s)refuses the PTX.*Unresolved extern"):
        driver.load(b"ptx")
    with pytest.raises(rlx.RuntimeFault) as caught:
        driver.alloc(1 << 40)
    assert caught.value.code == "device-memory"
    with pytest.raises(rlx.TargetError, match="no kernel 'f'"):
        driver.function(1, "f", 0)
    assert "it broke" in driver.explain(719)


@pytest.mark.parametrize(
    ("capability", "runs", "refused"),
    [
        ((9, 0), ("sm_80", "sm_90", "sm_90a"), ("sm_100", "sm_100a", "sm_120", "gfx942", "")),
        ((8, 9), ("sm_80", "sm_86", "sm_89"), ("sm_90", "sm_90a")),
        ((10, 3), ("sm_90", "sm_100", "sm_100f", "sm_103a"), ("sm_90a", "sm_100a", "sm_120")),
    ],
)
def test_architectures(monkeypatch: pytest.MonkeyPatch, capability, runs, refused) -> None:
    driver = opened(monkeypatch, cuda.CudaDriver, Library(capability=capability))
    assert all(driver.supports(arch) for arch in runs)
    assert not any(driver.supports(arch) for arch in refused)

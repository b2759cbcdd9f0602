"""NVIDIA GPUs through libcuda, the driver's own library: nothing of the CUDA toolkit is needed."""

from __future__ import annotations

import ctypes
import re
from ctypes import byref, c_char_p, c_int, c_void_p
from typing import Any, ClassVar

from rlx_runtime.gpu.dlpack import CUDA
from rlx_runtime.gpu.vendor import VendorDriver

_MAJOR, _MINOR = 75, 76
"""CUdevice_attribute of the compute capability."""
_MAX_DYNAMIC_SHARED = 8
"""CUfunction_attribute."""
_PLAIN_SHARED = 48 << 10
"""Bytes of shared memory that need no permission."""


class CudaDriver(VendorDriver):
    """One NVIDIA GPU, in its primary context, which other libraries of the process share."""

    name = "cuda"
    maker = "NVIDIA"
    libraries = ("libcuda.so.1", "libcuda.so")
    launch_symbol = "cuLaunchKernel"
    not_ready = 600
    wrong_code: ClassVar = {
        209: "the code is for another architecture",
        222: "the driver is too old for this PTX",
        218: "the driver's compiler refuses the PTX",
    }
    least_version = 11040  # cuGraphInstantiateWithFlags
    dlpack_type = CUDA
    symbols: ClassVar = {
        "init": "cuInit",
        "device_count": "cuDeviceGetCount",
        "driver_version": "cuDriverGetVersion",
        "alloc": "cuMemAlloc_v2",
        "free": "cuMemFree_v2",
        "upload": "cuMemcpyHtoDAsync_v2",
        "download": "cuMemcpyDtoHAsync_v2",
        "copy": "cuMemcpyDtoDAsync_v2",
        "fill": "cuMemsetD8Async",
        "memory_info": "cuMemGetInfo_v2",
        "load": "cuModuleLoadDataEx",
        "unload": "cuModuleUnload",
        "function": "cuModuleGetFunction",
        "new_stream": "cuStreamCreate",
        "synchronize": "cuStreamSynchronize",
        "new_event": "cuEventCreate",
        "record": "cuEventRecord",
        "query": "cuEventQuery",
        "wait": "cuEventSynchronize",
        "wait_on_stream": "cuStreamWaitEvent",
        "free_event": "cuEventDestroy_v2",
        "begin_capture": "cuStreamBeginCapture_v2",
        "end_capture": "cuStreamEndCapture",
        "instantiate": "cuGraphInstantiateWithFlags",
        "free_recording": "cuGraphDestroy",
        "launch_graph": "cuGraphLaunch",
        "free_graph": "cuGraphExecDestroy",
    }

    def _choose_device(self) -> None:
        device, context = c_int(), c_void_p()
        self._checked("cuDeviceGet", byref(device), self.ordinal)
        text = ctypes.create_string_buffer(256)
        self._checked("cuDeviceGetName", text, len(text), device)
        self.device = text.value.decode()
        found = []
        for attribute in (_MAJOR, _MINOR):
            value = c_int()
            self._checked("cuDeviceGetAttribute", byref(value), attribute, device)
            found.append(value.value)
        self.capability = (found[0], found[1])
        self.arch = f"sm_{found[0]}{found[1]}" + ("a" if found[0] == 9 else "")
        self._checked("cuDevicePrimaryCtxRetain", byref(context), device)
        self._context = context
        self._set_current = self._symbol("cuCtxSetCurrent")
        self._set_current.argtypes = (c_void_p,)
        self.activate()

    def _checked(self, symbol: str, *arguments: Any) -> None:
        self._check(self._symbol(symbol)(*arguments), symbol)

    def activate(self) -> None:
        self._check(self._set_current(self._context), "cuCtxSetCurrent")

    def supports(self, arch: str) -> bool:
        """Code for sm_90 runs on 9.0 and later, for sm_90a on 9.0 alone, for sm_100f on 10.x from 10.0 on."""
        parsed = re.fullmatch(r"sm_(\d+)(\d)([af]?)", arch)
        if parsed is None:
            return False
        wanted, kind = (int(parsed[1]), int(parsed[2])), parsed[3]
        if kind == "a":
            return self.capability == wanted
        return self.capability >= wanted and (not kind or self.capability[0] == wanted[0])

    def _error_text(self, error: int) -> str:
        parts = []
        for symbol in ("cuGetErrorName", "cuGetErrorString"):
            text = c_char_p()
            function = self._symbol(symbol)
            function.argtypes = (c_int, ctypes.POINTER(c_char_p))
            if not function(error, byref(text)) and text.value:
                parts.append(text.value.decode())
        return ": ".join(parts) or f"error {error}"

    def _allow_shared(self, function: int, nbytes: int) -> None:
        if nbytes > _PLAIN_SHARED:
            set_attribute = self._symbol("cuFuncSetAttribute")
            set_attribute.argtypes = (c_void_p, c_int, c_int)
            self._check(set_attribute(function, _MAX_DYNAMIC_SHARED, nbytes), "cuFuncSetAttribute")


def open_driver() -> CudaDriver:
    """The first device; `CUDA_VISIBLE_DEVICES` chooses another. TargetError without driver or device."""
    return CudaDriver()

"""AMD GPUs through libamdhip64."""

from __future__ import annotations

import ctypes
import re
from ctypes import c_char_p, c_int
from typing import Any, ClassVar

from rlx_runtime.gpu.dlpack import ROCM
from rlx_runtime.gpu.vendor import VendorDriver

_PROPERTIES_BYTES = 8192
"""More than any version of hipDeviceProp_t."""


class HipDriver(VendorDriver):
    """One AMD GPU."""

    name = "rocm"
    maker = "AMD"
    libraries = ("libamdhip64.so", "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5")
    launch_symbol = "hipModuleLaunchKernel"
    not_ready = 600
    wrong_code: ClassVar = {209: "the code is for another architecture"}
    least_version = 50000000  # ROCm 5: hipGraphInstantiateWithFlags
    dlpack_type = ROCM
    symbols: ClassVar = {
        "init": "hipInit",
        "device_count": "hipGetDeviceCount",
        "driver_version": "hipDriverGetVersion",
        "alloc": "hipMalloc",
        "free": "hipFree",
        "upload": "hipMemcpyHtoDAsync",
        "download": "hipMemcpyDtoHAsync",
        "copy": "hipMemcpyDtoDAsync",
        "fill": "hipMemsetD8Async",
        "memory_info": "hipMemGetInfo",
        "load": "hipModuleLoadDataEx",
        "unload": "hipModuleUnload",
        "function": "hipModuleGetFunction",
        "new_stream": "hipStreamCreateWithFlags",
        "synchronize": "hipStreamSynchronize",
        "new_event": "hipEventCreateWithFlags",
        "record": "hipEventRecord",
        "query": "hipEventQuery",
        "wait": "hipEventSynchronize",
        "wait_on_stream": "hipStreamWaitEvent",
        "free_event": "hipEventDestroy",
        "begin_capture": "hipStreamBeginCapture",
        "end_capture": "hipStreamEndCapture",
        "instantiate": "hipGraphInstantiateWithFlags",
        "free_recording": "hipGraphDestroy",
        "launch_graph": "hipGraphLaunch",
        "free_graph": "hipGraphExecDestroy",
    }

    def _choose_device(self) -> None:
        self._set_device = self._symbol("hipSetDevice")
        self._set_device.argtypes = (c_int,)
        self.activate()
        properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        self._check(self._symbol("hipGetDeviceProperties")(properties, self.ordinal), "hipGetDeviceProperties")
        # Where the architecture stands differs from version to version; what it looks like does not.
        arch = re.search(rb"gfx[0-9a-f]+", properties.raw)
        self.device = properties.value.decode("utf-8", "replace") or self.device
        self.arch = arch[0].decode() if arch else ""

    def activate(self) -> None:
        self._check(self._set_device(self.ordinal), "hipSetDevice")

    def supports(self, arch: str) -> bool:
        """A code object runs on the architecture that it was linked for."""
        return arch == self.arch

    def _error_text(self, error: int) -> str:
        function = self._symbol("hipGetErrorString")
        function.restype = c_char_p
        text = function(c_int(error))
        return text.decode() if text else f"error {error}"

    def _load_options(self, options: Any, values: Any) -> tuple[Any, ...]:
        return 0, None, None  # a code object is linked already: there is no log


def open_driver() -> HipDriver:
    """The first device; `HIP_VISIBLE_DEVICES` chooses another. TargetError without driver or device."""
    return HipDriver()

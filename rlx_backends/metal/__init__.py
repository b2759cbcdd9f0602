"""The backend of Apple GPUs: kernels become Metal Shading Language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlx_backends.gpu.backend import GpuBackend

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from rlx_backends.gpu.target import GpuTarget


class MetalBackend(GpuBackend):
    """Target "metal"."""

    name = "metal"
    device_code = "device.msl"
    device_texts = ("msl",)

    def device_text(self, stage: str, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> str:
        """The device code of a kernel module."""
        from rlx_backends.metal.emit import emit

        return emit(module)

    def device_objects(self, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> Mapping[str, bytes]:
        """`device.msl`, which the driver of the device compiles when it is loaded."""
        from rlx_backends.metal.compile import compile_device

        return compile_device(module)


BACKEND = MetalBackend()

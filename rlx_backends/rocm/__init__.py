"""The backend of AMD GPUs: kernels become a code object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlx_backends.gpu.backend import GpuBackend

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from rlx_backends.gpu.target import GpuTarget


class RocmBackend(GpuBackend):
    """Target "rocm"."""

    name = "rocm"
    device_code = "device.hsaco"
    device_texts = ("llvm", "amdgcn")
    binaries = ("hsaco",)

    def device_text(self, stage: str, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> str:
        """LLVM IR of the kernels, or the assembly made from it."""
        from rlx_backends.rocm.compile import assembly
        from rlx_backends.rocm.emit import emit

        return emit(module, target) if stage == "llvm" else assembly(module, target)

    def binary(self, stage: str, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> bytes:
        """The code object."""
        return self.device_objects(module, target, options)[self.device_code]

    def device_objects(self, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> Mapping[str, bytes]:
        """`device.hsaco` and `device.s`."""
        from rlx_backends.rocm.compile import device_objects

        return device_objects(module, target, options)


BACKEND = RocmBackend()

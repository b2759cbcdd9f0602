"""The backend of NVIDIA GPUs: kernels become PTX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlx_backends.gpu.backend import GpuBackend
from rlx_runtime.errors import TargetError

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from rlx_backends.gpu.target import GpuTarget


class CudaBackend(GpuBackend):
    """Target "cuda"."""

    name = "cuda"
    device_code = "device.ptx"
    device_texts = ("llvm", "ptx")
    binaries = ("cubin",)

    def device_text(self, stage: str, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> str:
        """LLVM IR of the kernels, or the PTX made from it."""
        from rlx_backends.cuda.compile import ptx
        from rlx_backends.cuda.emit import emit

        return emit(module, target) if stage == "llvm" else ptx(module, target)

    def binary(self, stage: str, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> bytes:
        """Machine code, by ptxas or nvJitLink."""
        from rlx_backends.cuda.compile import assemblers, cubin, ptx

        found = assemblers()
        if not found:
            raise TargetError(
                "machine code for NVIDIA GPUs needs an assembler",
                code="no-assembler",
                hint="put ptxas on the PATH, or install the PyPI packages nvidia-nvjitlink and cuda-bindings",
            )
        return cubin(ptx(module, target), target, found[0])

    def device_objects(self, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> Mapping[str, bytes]:
        """`device.ptx`."""
        from rlx_backends.cuda.compile import device_objects

        return device_objects(module, target, options)


BACKEND = CudaBackend()

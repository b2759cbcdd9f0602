"""NVIDIA's architectures as LLVM knows them."""

from __future__ import annotations

from rlx_backends.gpu.target import GpuTarget
from rlx_backends.support.llvm_codegen import Machine

TRIPLE = "nvptx64-nvidia-cuda"
SPACES = {"global": 1, "shared": 3, "private": 0, "constant": 1}
"""LLVM's address spaces. What the host passes as `constant` lies in global memory; `.const` is the module's own."""
CONST = 4
"""The address space `.const`, for tables of the module."""


def machine(target: GpuTarget) -> Machine:
    """The architecture, with the oldest PTX version that knows it: it loads wherever the GPU runs."""
    return Machine(TRIPLE, target.name)

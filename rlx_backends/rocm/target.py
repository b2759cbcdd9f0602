"""AMD's architectures as LLVM knows them."""

from __future__ import annotations

from rlx_backends.gpu.target import GpuTarget
from rlx_backends.support.llvm_codegen import Machine

TRIPLE = "amdgcn-amd-amdhsa"
SPACES = {"global": 1, "shared": 3, "private": 5, "constant": 4}
"""LLVM's address spaces; `constant` is global memory that nobody writes during the kernel."""
CONSTANT = 4
CODE_OBJECT_VERSION = 5


def machine(target: GpuTarget) -> Machine:
    """The architecture; code objects are loaded at any address."""
    return Machine(TRIPLE, target.name, reloc="pic")


def is_rdna(arch: str) -> bool:
    """Whether an architecture is of the line for graphics: subgroups of 32, other moves between lanes."""
    return not arch.startswith("gfx9")

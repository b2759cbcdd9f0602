"""An interpreter of AMDGCN assembly: the text that LLVM writes for AMD GPUs (gfx9 with waves of 64, gfx11 and gfx12 of 32)."""

from rlx_runtime.emulators.gcn.driver import GcnDriver, open_driver

__all__ = ["GcnDriver", "open_driver"]

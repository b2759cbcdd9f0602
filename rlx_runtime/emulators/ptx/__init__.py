"""An interpreter of PTX: the text that LLVM writes for NVIDIA GPUs."""

from rlx_runtime.emulators.ptx.driver import PtxDriver, open_driver

__all__ = ["PtxDriver", "open_driver"]

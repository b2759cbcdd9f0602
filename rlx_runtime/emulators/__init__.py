"""Drivers that stand in for a device: what a kernel's text computes, on any machine.

`ptx` interprets the PTX that LLVM writes for NVIDIA GPUs, `gcn` the assembly that it writes for AMD GPUs, `msl` runs Metal
through a C++ shim. All are drivers (see `rlx_runtime.gpu.driver`) with the label "emulated". They say what the code means, and
nothing of its speed.
"""

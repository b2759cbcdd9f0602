"""The launch simulator: kernels of the GPU dialects as code for the host CPU.

It compiles every kernel of a module, whatever GPU it is for, to one function that runs a whole grid: `compile_kernels`. A thread
that may have to wait becomes an LLVM coroutine, so that barriers and the collective ops of subgroups mean what they mean on
the device; kernels without them become loops. `rlx_runtime.gpu.simulator` runs the object.
"""

from rlx_backends.gpu.simulator.compile import compile_kernels

__all__ = ["compile_kernels"]

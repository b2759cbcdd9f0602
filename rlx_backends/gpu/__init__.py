"""What the backends of GPUs share: one lowering of every form, parameterized by facts; the entry that launches kernels.

`schedules/` has one module per form, as on the CPU. A kernel is written at the level of one thread: the ids of block and thread
take the place of the team, and `GpuKernelBuilder` makes the ops of the target's own dialect. The backends add how the
kernels become code.
"""

from rlx_backends.gpu.backend import GpuBackend
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.target import GpuTarget

__all__ = ["GpuBackend", "GpuKernelBuilder", "GpuTarget"]

"""What the dialects `cuda`, `rocm` and `metal` share: facts of GPUs, and the base classes of their ops.

This is no dialect of its own. The shared lowering of forms asks `dialect_of(target)` for the op classes of a target, so that a
kernel holds the ops of its target from the start.
"""

from rlx_dialects.gpu.facts import GpuFacts, MatrixShape, architectures, facts_for
from rlx_dialects.gpu.ops import AXES, KernelOp, facts_around
from rlx_dialects.gpu.table import GpuOps, dialect_of

__all__ = [
    "AXES", "GpuFacts", "GpuOps", "KernelOp", "MatrixShape", "architectures", "dialect_of", "facts_around", "facts_for",
]  # fmt: skip

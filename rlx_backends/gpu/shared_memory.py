"""Where the shared memory of a kernel lies: every allocation one after the other, each at a multiple of its alignment."""

from __future__ import annotations

from dataclasses import dataclass

from rlx_dialects.gpu import KernelOp
from rlx_dialects.gpu.ops import SharedOp
from rlx_dialects.kernel.types import ptr_type


@dataclass(frozen=True)
class SharedLayout:
    """`offsets` of the allocations in bytes, in the order of the kernel's text; `total` bytes, `align` of the first byte.

    `dynamic`: it is more than a kernel has without asking. Such a kernel takes all its shared memory at the launch.
    """

    offsets: dict[SharedOp, int]
    total: int
    align: int
    dynamic: bool

    @property
    def launch_bytes(self) -> int:
        """What a launch asks for: memory that the code declares itself is not counted."""
        return self.total if self.dynamic else 0


def shared_layout(kernel: KernelOp) -> SharedLayout:
    """The shared memory of a kernel."""
    offsets: dict[SharedOp, int] = {}
    total, widest = 0, 1
    for op in kernel.body.walk():
        if isinstance(op, SharedOp):
            align = ptr_type(op.result).align.data
            widest = max(widest, align)
            offsets[op] = -(-total // align) * align
            total = offsets[op] + op.bytes
    facts = kernel.facts
    return SharedLayout(offsets, total, widest, facts is not None and total > facts.shared_default)

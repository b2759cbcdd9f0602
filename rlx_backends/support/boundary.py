"""The memory that the call passes to a program, and the symbol of its team's size."""

from __future__ import annotations

from xdsl.ir import Operation

from rlx_dialects.lir import ConstantOp, DimInputOp, ProgramOp
from rlx_dialects.lir.structure import BOUNDARY

THREADS = "threads"
"""The symbol of the team size in arena expressions."""


def boundary(program: ProgramOp) -> list[Operation]:
    """Buffers that the call passes, in the order of the manifest's list."""
    return [op for op in program.block.ops if isinstance(op, (*BOUNDARY, ConstantOp)) and not isinstance(op, DimInputOp)]

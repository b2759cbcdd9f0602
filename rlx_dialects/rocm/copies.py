"""Asynchronous copies of the `rocm` dialect: from global memory to the local data share without registers (CDNA 3 and 4)."""

from __future__ import annotations

from xdsl.dialects.builtin import I64, IntegerAttr, i64
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def, traits_def
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.gpu.ops import PTR, facts_around
from rlx_dialects.kernel.types import INDEX, ptr_type

_WIDTHS = {"gfx942": (4,), "gfx950": (4, 12, 16)}


@irdl_op_definition
class LoadToLdsOp(IRDLOperation):
    """`global_load_lds`: each lane's `bytes` go to the wavefront's `%d[%i]` plus lane · bytes. A barrier orders it.

    ```mlir
    rocm.load_to_lds %d[%i], %s[%j] bytes 4 : !kernel.ptr<f32, shared>, !kernel.ptr<f32, global>
    ```
    """

    name = "rocm.load_to_lds"
    target = operand_def(PTR)
    target_index = operand_def(INDEX)
    source = operand_def(PTR)
    source_index = operand_def(INDEX)
    bytes = prop_def(IntegerAttr[I64])
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = (
        "$target `[` $target_index `]` `,` $source `[` $source_index `]` `bytes` $bytes attr-dict "
        "`:` type($target) `,` type($source)"
    )

    def __init__(
        self,
        target: SSAValue | Operation,
        target_index: SSAValue | Operation,
        source: SSAValue | Operation,
        source_index: SSAValue | Operation,
        size: int,
    ):
        super().__init__(operands=[target, target_index, source, source_index], properties={"bytes": IntegerAttr(size, i64)})

    def verify_(self) -> None:
        if (spaces := (ptr_type(self.target).space.data, ptr_type(self.source).space.data)) != ("shared", "global"):
            raise VerifyException(f"a copy goes from global to shared memory, found {spaces[1]} to {spaces[0]}")
        facts = facts_around(self)
        if facts is not None and self.bytes.value.data not in _WIDTHS.get(facts.arch, ()):
            raise VerifyException(f"{facts.arch} has no {self.name} of {self.bytes.value.data} bytes")


COPIES = [LoadToLdsOp]

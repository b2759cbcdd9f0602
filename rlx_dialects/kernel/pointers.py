"""Pointers: arithmetic on them, scratch, prefetches."""

from __future__ import annotations

from xdsl.dialects.builtin import I64, IntegerAttr, UnitAttr, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    BaseAttr,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import MemoryReadEffect, Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.kernel.types import INDEX, PtrType, byte_size, ptr, ptr_type

PTR = BaseAttr(PtrType)


@irdl_op_definition
class OffsetOp(IRDLOperation):
    """`result = p + index` elements. The alignment of the result type is the author's promise.

    ```mlir
    %q = kernel.offset %p, %i : !kernel.ptr<f32, global, align 64> -> !kernel.ptr<f32, global>
    ```
    """

    name = "kernel.offset"
    ptr = operand_def(PTR)
    index = operand_def(INDEX)
    result = result_def(PTR)
    traits = traits_def(Pure())
    assembly_format = "$ptr `,` $index attr-dict `:` type($ptr) `->` type($result)"

    def __init__(self, pointer: SSAValue | Operation, index: SSAValue | Operation, align: int | None = None):
        source = ptr_type(SSAValue.get(pointer))
        super().__init__(operands=[pointer, index], result_types=[ptr(source.element_type, source.space.data, align)])

    def verify_(self) -> None:
        source, result = ptr_type(self.ptr), ptr_type(self.result)
        if (source.element_type, source.space) != (result.element_type, result.space):
            raise VerifyException(f"an offset keeps element type and address space, found {source} -> {result}")


@irdl_op_definition
class PtrCastOp(IRDLOperation):
    """The same address seen as pointing to another element type.

    ```mlir
    %words = kernel.ptr_cast %p : !kernel.ptr<bf16, global, align 64> to !kernel.ptr<i32, global, align 64>
    ```
    """

    name = "kernel.ptr_cast"
    ptr = operand_def(PTR)
    result = result_def(PTR)
    traits = traits_def(Pure())
    assembly_format = "$ptr attr-dict `:` type($ptr) `to` type($result)"

    def __init__(self, pointer: SSAValue | Operation, element: Attribute, align: int | None = None):
        source = ptr_type(SSAValue.get(pointer))
        result = ptr(element, source.space.data, source.align.data if align is None else align)
        super().__init__(operands=[pointer], result_types=[result])

    def verify_(self) -> None:
        source, result = ptr_type(self.ptr), ptr_type(self.result)
        if source.space != result.space:
            raise VerifyException(f"a cast keeps the address space, found {source} to {result}")


@irdl_op_definition
class PrefetchOp(IRDLOperation):
    """Asks for the cache line of `p[i]`. Locality 3 keeps it in all levels, 0 is for data used once.

    ```mlir
    kernel.prefetch %p[%i] locality 0 : !kernel.ptr<f32, global>
    ```
    """

    name = "kernel.prefetch"
    ptr = operand_def(PTR)
    index = operand_def(INDEX)
    locality = prop_def(IntegerAttr[I64])
    write = opt_prop_def(UnitAttr)
    # A hint: it changes nothing, but a pure op without results would be removed as dead.
    traits = traits_def(MemoryReadEffect())
    assembly_format = "$ptr `[` $index `]` `locality` $locality (`write` $write^)? attr-dict `:` type($ptr)"

    def __init__(self, pointer: SSAValue | Operation, index: SSAValue | Operation, locality: int, write: bool = False):
        super().__init__(
            operands=[pointer, index],
            properties={"locality": IntegerAttr(locality, i64), "write": UnitAttr() if write else None},
        )

    def verify_(self) -> None:
        if not 0 <= self.locality.value.data <= 3:
            raise VerifyException(f"locality is 0, 1, 2 or 3, found {self.locality.value.data}")


@irdl_op_definition
class AllocaOp(IRDLOperation):
    """Scratch of `size` elements, not initialized, that lives as long as the call of the function.

    ```mlir
    %scratch = kernel.alloca 1024 : !kernel.ptr<f32, private, align 64>
    ```
    """

    name = "kernel.alloca"
    size = prop_def(IntegerAttr[I64])
    result = result_def(PTR)
    traits = traits_def(MemoryReadEffect())
    assembly_format = "$size attr-dict `:` type($result)"

    def __init__(self, size: int, element: Attribute, align: int = 64):
        super().__init__(properties={"size": IntegerAttr(size, i64)}, result_types=[ptr(element, "private", align)])

    def verify_(self) -> None:
        type_ = ptr_type(self.result)
        if type_.space.data != "private":
            raise VerifyException(f"an alloca is private, found address space '{type_.space.data}'")
        if not 1 <= self.size.value.data * byte_size(type_.element_type) <= 1 << 20:
            raise VerifyException(f"an alloca takes 1 byte to 1 MiB, found {self.size.value.data} of {type_.element_type}")

"""Memory: loads and stores, contiguous, strided and by vectors of indices.

Indices and strides count elements. An access `%p[%i]` of a 1-D vector touches `p[i … i+N-1]`; with `stride %s` it touches
`p[i + r·s]` for r < N. A 2-D access has a row stride: `p[i + r·s + c]`. Lanes whose mask is false are not touched; a load
fills them with `else`, or zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import UnitAttr, VectorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    BaseAttr,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser, UnresolvedOperand
from xdsl.printer import Printer
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.kernel.types import (
    INDEX,
    PtrType,
    element_of,
    is_integer,
    mask_of,
    ptr_type,
    shape_of,
    vector,
    verify_value_type,
)

PTR = BaseAttr(PtrType)


def _optional(parser: Parser, keyword: str) -> UnresolvedOperand | None:
    return parser.parse_unresolved_operand() if parser.parse_optional_keyword(keyword) else None


def _resolve(parser: Parser, operand: UnresolvedOperand | None, type_: Attribute) -> SSAValue | None:
    return None if operand is None else parser.resolve_operand(operand, type_)


def _print_optional(printer: Printer, keyword: str, operand: SSAValue | None) -> None:
    if operand is not None:
        printer.print_string(f" {keyword} ")
        printer.print_operand(operand)


def _print_place(printer: Printer, pointer: SSAValue, index: SSAValue) -> None:
    printer.print_operand(pointer)
    with printer.in_square_brackets():
        printer.print_operand(index)


def _parse_place(parser: Parser) -> tuple[UnresolvedOperand, UnresolvedOperand]:
    pointer = parser.parse_unresolved_operand()
    with parser.in_square_brackets():
        return pointer, parser.parse_unresolved_operand()


def _parse_ptr_type(parser: Parser) -> PtrType:
    at = parser.pos
    type_ = parser.parse_type()
    if not isinstance(type_, PtrType):
        parser.raise_error("expected a !kernel.ptr type", at)
    return type_


def _verify_access(pointer: SSAValue, value: Attribute, stride: SSAValue | None, mask: SSAValue | None) -> None:
    verify_value_type(value, "the accessed value")
    pointee = ptr_type(pointer).element_type
    if element_of(value) != pointee:
        raise VerifyException(f"the pointer is to {pointee}, but the accessed value has element type {element_of(value)}")
    rank = len(shape_of(value))
    if rank == 2 and stride is None:
        raise VerifyException(f"an access of {value} needs 'stride', the distance of its rows in elements")
    if rank == 0 and (stride is not None or mask is not None):
        raise VerifyException("a scalar access takes neither 'stride' nor 'mask'; use scf.if")
    if mask is not None and mask.type != mask_of(value):
        raise VerifyException(f"the mask of an access of {value} has type {mask_of(value)}, found {mask.type}")


@irdl_op_definition
class LoadOp(IRDLOperation):
    """`result[r, c] = mask[r, c] ? p[i + r·stride + c] : fill`; scalars and 1-D vectors likewise (see the head of the file).

    A strided 1-D load is a column: its lanes are loaded one by one and packed only where a vector is needed, so that
    `kernel.outer_fma` splats each lane straight from memory. `nontemporal` says that the data will not be used again soon.

    ```mlir
    %s = kernel.load %p[%i] : !kernel.ptr<f32, global> -> f32
    %row = kernel.load %p[%i] mask %m else %zero : !kernel.ptr<f32, global> -> vector<16xf32>
    %column = kernel.load %p[%i] stride %ld : !kernel.ptr<f32, global> -> vector<8xf32>
    %tile = kernel.load %p[%i] stride %ld nontemporal : !kernel.ptr<f32, global> -> vector<8x32xf32>
    ```
    """

    name = "kernel.load"
    ptr = operand_def(PTR)
    index = operand_def(INDEX)
    stride = opt_operand_def(INDEX)
    mask = opt_operand_def()
    fill = opt_operand_def()
    nontemporal = opt_prop_def(UnitAttr)
    result = result_def()
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect())

    def __init__(
        self,
        pointer: SSAValue | Operation,
        index: SSAValue | Operation,
        shape: Sequence[int] = (),
        *,
        stride: SSAValue | Operation | None = None,
        mask: SSAValue | Operation | None = None,
        fill: SSAValue | Operation | None = None,
        nontemporal: bool = False,
        result_type: Attribute | None = None,
    ):
        element = ptr_type(SSAValue.get(pointer)).element_type
        super().__init__(
            operands=[pointer, index, stride, mask, fill],
            properties={"nontemporal": UnitAttr() if nontemporal else None},
            result_types=[result_type or vector(element, shape)],
        )

    @classmethod
    def parse(cls, parser: Parser) -> LoadOp:
        pointer, index = _parse_place(parser)
        stride, mask, fill = (_optional(parser, word) for word in ("stride", "mask", "else"))
        nontemporal = parser.parse_optional_keyword("nontemporal") is not None
        parser.parse_punctuation(":")
        pointer_type = _parse_ptr_type(parser)
        parser.parse_punctuation("->")
        result = parser.parse_type()
        return cls(
            parser.resolve_operand(pointer, pointer_type),
            parser.resolve_operand(index, INDEX),
            stride=_resolve(parser, stride, INDEX),
            mask=_resolve(parser, mask, mask_of(result)),
            fill=_resolve(parser, fill, element_of(result)),
            nontemporal=nontemporal,
            result_type=result,
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        _print_place(printer, self.ptr, self.index)
        _print_optional(printer, "stride", self.stride)
        _print_optional(printer, "mask", self.mask)
        _print_optional(printer, "else", self.fill)
        printer.print_string(" nontemporal : " if self.nontemporal else " : ")
        printer.print_attribute(self.ptr.type)
        printer.print_string(" -> ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        _verify_access(self.ptr, self.result.type, self.stride, self.mask)
        _verify_fill(self.fill, self.mask, self.result.type)


@irdl_op_definition
class StoreOp(IRDLOperation):
    """`p[i + r·stride + c] = value[r, c]` where the mask is true; scalars and 1-D vectors likewise.

    ```mlir
    kernel.store %s, %p[%i] : f32, !kernel.ptr<f32, global>
    kernel.store %row, %p[%i] mask %m : vector<16xf32>, !kernel.ptr<f32, global>
    kernel.store %tile, %p[%i] stride %ld nontemporal : vector<8x32xf32>, !kernel.ptr<f32, global>
    ```
    """

    name = "kernel.store"
    value = operand_def()
    ptr = operand_def(PTR)
    index = operand_def(INDEX)
    stride = opt_operand_def(INDEX)
    mask = opt_operand_def()
    nontemporal = opt_prop_def(UnitAttr)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryWriteEffect())

    def __init__(
        self,
        value: SSAValue | Operation,
        pointer: SSAValue | Operation,
        index: SSAValue | Operation,
        *,
        stride: SSAValue | Operation | None = None,
        mask: SSAValue | Operation | None = None,
        nontemporal: bool = False,
    ):
        super().__init__(
            operands=[value, pointer, index, stride, mask],
            properties={"nontemporal": UnitAttr() if nontemporal else None},
        )

    @classmethod
    def parse(cls, parser: Parser) -> StoreOp:
        value = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        pointer, index = _parse_place(parser)
        stride, mask = (_optional(parser, word) for word in ("stride", "mask"))
        nontemporal = parser.parse_optional_keyword("nontemporal") is not None
        parser.parse_punctuation(":")
        value_type = parser.parse_type()
        parser.parse_punctuation(",")
        pointer_type = _parse_ptr_type(parser)
        return cls(
            parser.resolve_operand(value, value_type),
            parser.resolve_operand(pointer, pointer_type),
            parser.resolve_operand(index, INDEX),
            stride=_resolve(parser, stride, INDEX),
            mask=_resolve(parser, mask, mask_of(value_type)),
            nontemporal=nontemporal,
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.value)
        printer.print_string(", ")
        _print_place(printer, self.ptr, self.index)
        _print_optional(printer, "stride", self.stride)
        _print_optional(printer, "mask", self.mask)
        printer.print_string(" nontemporal : " if self.nontemporal else " : ")
        printer.print_attribute(self.value.type)
        printer.print_string(", ")
        printer.print_attribute(self.ptr.type)

    def verify_(self) -> None:
        _verify_access(self.ptr, self.value.type, self.stride, self.mask)


@irdl_op_definition
class GatherOp(IRDLOperation):
    """`result[l] = mask[l] ? p[indices[l]] : fill` for a 1-D vector of indices.

    ```mlir
    %v = kernel.gather %p[%indices] mask %m else %zero : !kernel.ptr<f32, global>, vector<16xindex> -> vector<16xf32>
    ```
    """

    name = "kernel.gather"
    ptr = operand_def(PTR)
    indices = operand_def(BaseAttr(VectorType))
    mask = opt_operand_def()
    fill = opt_operand_def()
    result = result_def()
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect())

    def __init__(
        self,
        pointer: SSAValue | Operation,
        indices: SSAValue | Operation,
        *,
        mask: SSAValue | Operation | None = None,
        fill: SSAValue | Operation | None = None,
        result_type: Attribute | None = None,
    ):
        element = ptr_type(SSAValue.get(pointer)).element_type
        result_type = result_type or vector(element, shape_of(SSAValue.get(indices).type))
        super().__init__(operands=[pointer, indices, mask, fill], result_types=[result_type])

    @classmethod
    def parse(cls, parser: Parser) -> GatherOp:
        pointer, indices = _parse_place(parser)
        mask, fill = (_optional(parser, word) for word in ("mask", "else"))
        parser.parse_punctuation(":")
        pointer_type = _parse_ptr_type(parser)
        parser.parse_punctuation(",")
        indices_type = parser.parse_type()
        parser.parse_punctuation("->")
        result = parser.parse_type()
        return cls(
            parser.resolve_operand(pointer, pointer_type),
            parser.resolve_operand(indices, indices_type),
            mask=_resolve(parser, mask, mask_of(result)),
            fill=_resolve(parser, fill, element_of(result)),
            result_type=result,
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        _print_place(printer, self.ptr, self.indices)
        _print_optional(printer, "mask", self.mask)
        _print_optional(printer, "else", self.fill)
        printer.print_string(" : ")
        printer.print_attribute(self.ptr.type)
        printer.print_string(", ")
        printer.print_attribute(self.indices.type)
        printer.print_string(" -> ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        _verify_access(self.ptr, self.result.type, None, self.mask)
        _verify_indices(self.indices, self.result.type)
        _verify_fill(self.fill, self.mask, self.result.type)


@irdl_op_definition
class ScatterOp(IRDLOperation):
    """`p[indices[l]] = value[l]` where the mask is true, in the order of the lanes: of equal indices the last one wins.

    ```mlir
    kernel.scatter %v, %p[%indices] mask %m : vector<16xf32>, !kernel.ptr<f32, global>, vector<16xindex>
    ```
    """

    name = "kernel.scatter"
    value = operand_def(BaseAttr(VectorType))
    ptr = operand_def(PTR)
    indices = operand_def(BaseAttr(VectorType))
    mask = opt_operand_def()
    traits = traits_def(MemoryWriteEffect())

    def __init__(
        self,
        value: SSAValue | Operation,
        pointer: SSAValue | Operation,
        indices: SSAValue | Operation,
        *,
        mask: SSAValue | Operation | None = None,
    ):
        super().__init__(operands=[value, pointer, indices, mask])

    @classmethod
    def parse(cls, parser: Parser) -> ScatterOp:
        value = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        pointer, indices = _parse_place(parser)
        mask = _optional(parser, "mask")
        parser.parse_punctuation(":")
        value_type = parser.parse_type()
        parser.parse_punctuation(",")
        pointer_type = _parse_ptr_type(parser)
        parser.parse_punctuation(",")
        indices_type = parser.parse_type()
        return cls(
            parser.resolve_operand(value, value_type),
            parser.resolve_operand(pointer, pointer_type),
            parser.resolve_operand(indices, indices_type),
            mask=_resolve(parser, mask, mask_of(value_type)),
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.value)
        printer.print_string(", ")
        _print_place(printer, self.ptr, self.indices)
        _print_optional(printer, "mask", self.mask)
        printer.print_string(" : ")
        printer.print_list((self.value.type, self.ptr.type, self.indices.type), printer.print_attribute)

    def verify_(self) -> None:
        _verify_access(self.ptr, self.value.type, None, self.mask)
        _verify_indices(self.indices, self.value.type)


def _verify_fill(fill: SSAValue | None, mask: SSAValue | None, value: Attribute) -> None:
    if fill is None:
        return
    if mask is None:
        raise VerifyException("'else' without 'mask': there is no lane to fill")
    if fill.type != element_of(value):
        raise VerifyException(f"the fill value of {value} has type {element_of(value)}, found {fill.type}")


def _verify_indices(indices: SSAValue, value: Attribute) -> None:
    shape = shape_of(value)
    if len(shape) != 1 or shape_of(indices.type) != shape or not is_integer(element_of(indices.type)):
        raise VerifyException(f"{value} needs a vector of {shape[0] if shape else 'N'} integer indices, found {indices.type}")

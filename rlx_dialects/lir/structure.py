"""Programs and buffers: what is planned, and where everything lies.

A program's one block is its schedule. Boundary buffers are named in the manifest; temporaries are `lir.alloc` before planning and
`lir.slot` after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, StringAttr, SymbolNameConstraint, UnitAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import (
    IsolatedFromAbove,
    MemoryReadEffect,
    MemoryWriteEffect,
    NoTerminator,
    Pure,
    SymbolOpInterface,
)
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr
from rlx_dialects.lir.types import ARENA_ALIGNMENT, BufferType
from rlx_dialects.rlx.syntax import parse_dim_expr
from rlx_dialects.rlx.types import DimExprAttr


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """A planned program: `@main` runs per call, `@prepare` once when weights are bound.

    Attributes `rlx.dims` and `rlx.constraints` declare the symbols; `arena` (after planning) is the arena's size in bytes.

    ```mlir
    lir.program @main attributes {rlx.dims = [#rlx.dim<B in [1, 64]>]} {
      %x = lir.input @x : !lir.buffer<B x 8 x f32>
      %y = lir.output @y : !lir.buffer<B x 8 x f32>
      lir.copy %x to %y : !lir.buffer<B x 8 x f32>, !lir.buffer<B x 8 x f32>
    }
    ```
    """

    name = "lir.program"
    sym_name = prop_def(SymbolNameConstraint())
    arena = opt_prop_def(DimExprAttr)
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove(), NoTerminator(), SymbolOpInterface())

    def __init__(self, name: str, body: Region | None = None, attributes: dict[str, Attribute] | None = None):
        super().__init__(
            properties={"sym_name": StringAttr(name)}, regions=[body or Region(Block())], attributes=attributes or {}
        )

    @property
    def block(self) -> Block:
        return self.body.block

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name = parser.parse_symbol_name().data
        arena = None
        if parser.parse_optional_keyword("arena"):
            parser.parse_punctuation("(")
            arena = DimExprAttr(parse_dim_expr(parser))
            parser.parse_punctuation(")")
        attributes = parser.parse_optional_attr_dict_with_keyword()
        op = cls(name, parser.parse_region(), dict(attributes.data) if attributes else {})
        if not op.body.blocks:
            op.body.add_block(Block())
        if arena is not None:
            op.arena = arena
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        if self.arena is not None:
            printer.print_string(f" arena({self.arena.data})")
        if self.attributes:
            printer.print_string(" attributes ")
            printer.print_attr_dict(self.attributes)
        printer.print_string(" ")
        printer.print_region(self.body, print_empty_block=False)


def _parse_buffer_type(parser: Parser) -> BufferType:
    start = parser.pos
    kind = parser.parse_type()
    if not isinstance(kind, BufferType):
        parser.raise_error(f"expected a !lir.buffer, found {kind}", start, parser.pos)
    return kind


class _Leaf(IRDLOperation):
    """`lir.<kind> @name : type`: a buffer (or dim) that the caller provides."""

    sym_name = prop_def(StringAttr)
    result = result_def(BufferType)

    def __init__(self, name: str, kind: BufferType):
        super().__init__(properties={"sym_name": StringAttr(name)}, result_types=[kind])

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        name = parser.parse_symbol_name().data
        parser.parse_punctuation(":")
        return cls(name, _parse_buffer_type(parser))

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(" : ")
        printer.print_attribute(self.result.type)


@irdl_op_definition
class InputOp(_Leaf):
    """A run-time input, read only.

    ```mlir
    %x = lir.input @x : !lir.buffer<B x 8 x f32>
    ```
    """

    name = "lir.input"


@irdl_op_definition
class OutputOp(_Leaf):
    """A result's buffer: every output is a buffer of its own, fully written when the program ends.

    ```mlir
    %y = lir.output @y : !lir.buffer<B x 8 x f32>
    ```
    """

    name = "lir.output"


@irdl_op_definition
class ParamOp(_Leaf):
    """A weight as the user binds it, row-major, used where it lies.

    ```mlir
    %w = lir.param @w : !lir.buffer<8 x 16 x f32>
    ```
    """

    name = "lir.param"


@irdl_op_definition
class PackedOp(_Leaf):
    """A derived weight: an output of `@prepare`, an operand of `@main`; its type carries the layout.

    ```mlir
    %w = lir.packed @"w.0" : !lir.buffer<8 x 16 x f32, #lir.layout<(k, n) -> (n floordiv 16, k, n mod 16) in [1, 8, 16]>>
    ```
    """

    name = "lir.packed"


@irdl_op_definition
class StateOp(_Leaf):
    """A state's buffer: read and updated in place, in program order.

    ```mlir
    %k = lir.state @k0 : !lir.buffer<B x 4 x 128 x 8 x bf16>
    ```
    """

    name = "lir.state"


@irdl_op_definition
class DimInputOp(_Leaf):
    """The i64 scalar that binds a symbol, readable as a buffer of rank 0.

    ```mlir
    %p = lir.dim_input @P : !lir.buffer<i64>
    ```
    """

    name = "lir.dim_input"


@irdl_op_definition
class AllocOp(IRDLOperation):
    """A temporary, not placed yet. `per_thread` scratch exists once for each thread of the team.

    ```mlir
    %t = lir.alloc : !lir.buffer<B x 8 x f32>
    ```
    """

    name = "lir.alloc"
    per_thread = opt_prop_def(UnitAttr)
    result = result_def(BufferType)
    traits = traits_def()
    assembly_format = "(`per_thread` $per_thread^)? attr-dict `:` type($result)"

    def __init__(self, kind: BufferType, *, per_thread: bool = False):
        super().__init__(properties={"per_thread": UnitAttr() if per_thread else None}, result_types=[kind])


@irdl_op_definition
class SlotOp(IRDLOperation):
    """A temporary at a byte offset of the arena, valid for all dims in range. `per_thread` slots repeat for each thread `stride`
    bytes apart.

    ```mlir
    %t = lir.slot at(B * 64) : !lir.buffer<B x 8 x f32>
    %s = lir.slot at(0) per_thread(4096) : !lir.buffer<1024 x f32>
    ```
    """

    name = "lir.slot"
    offset = prop_def(DimExprAttr)
    stride = opt_prop_def(DimExprAttr)
    result = result_def(BufferType)

    def __init__(self, offset: DimExpr, kind: BufferType, stride: DimExpr | None = None):
        super().__init__(
            properties={"offset": DimExprAttr(offset), "stride": None if stride is None else DimExprAttr(stride)},
            result_types=[kind],
        )

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        def expr() -> DimExpr:
            parser.parse_punctuation("(")
            value = parse_dim_expr(parser)
            parser.parse_punctuation(")")
            return value

        parser.parse_keyword("at")
        offset = expr()
        stride = expr() if parser.parse_optional_keyword("per_thread") else None
        parser.parse_punctuation(":")
        return cls(offset, _parse_buffer_type(parser), stride)

    def print(self, printer: Printer) -> None:
        printer.print_string(f" at({self.offset.data})")
        if self.stride is not None:
            printer.print_string(f" per_thread({self.stride.data})")
        printer.print_string(" : ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        offset = self.offset.data
        if offset.is_const and (offset.value < 0 or offset.value % ARENA_ALIGNMENT):
            raise VerifyException(f"slot offset {offset} is not a non-negative multiple of {ARENA_ALIGNMENT}")


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A small literal in memory.

    ```mlir
    %c = lir.constant dense<[1.0, 2.0]> : tensor<2xf32> to !lir.buffer<2 x f32>
    ```
    """

    name = "lir.constant"
    value = prop_def(DenseIntOrFPElementsAttr)
    result = result_def(BufferType)
    traits = traits_def(Pure())
    assembly_format = "$value `to` type($result) attr-dict"

    def __init__(self, value: DenseIntOrFPElementsAttr, kind: BufferType):
        super().__init__(properties={"value": value}, result_types=[kind])


@irdl_op_definition
class ViewOp(IRDLOperation):
    """The same storage under another shape: element i of the one is element i of the other (row-major), starting `offset`
    elements in.

    ```mlir
    %v = lir.view %t : !lir.buffer<B x 8 x f32> to !lir.buffer<(B * 8) x f32>
    ```
    """

    name = "lir.view"
    source = operand_def(BufferType)
    offset = opt_prop_def(DimExprAttr)
    result = result_def(BufferType)
    traits = traits_def(Pure())

    def __init__(self, source: SSAValue, kind: BufferType, offset: DimExpr | None = None):
        super().__init__(
            operands=[source],
            properties={"offset": None if offset is None else DimExprAttr(offset)},
            result_types=[kind],
        )

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        source = parser.parse_unresolved_operand()
        offset = None
        if parser.parse_optional_keyword("from"):
            offset = parse_dim_expr(parser)
        parser.parse_punctuation(":")
        kind = parser.parse_type()
        parser.parse_keyword("to")
        target = parser.parse_type()
        if not isinstance(kind, BufferType) or not isinstance(target, BufferType):
            parser.raise_error(f"a view is of a !lir.buffer, found {kind} to {target}")
        return cls(parser.resolve_operand(source, kind), target, offset)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.source)
        if self.offset is not None:
            printer.print_string(f" from {self.offset.data}")
        printer.print_string(" : ")
        printer.print_attribute(self.source.type)
        printer.print_string(" to ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        source, target = self.source.type, self.result.type
        assert isinstance(source, BufferType)
        assert isinstance(target, BufferType)
        if source.element_type != target.element_type:
            raise VerifyException(f"a view keeps the element type, found {source.element_type} and {target.element_type}")
        if self.offset is None and source.elements != target.elements:
            raise VerifyException(f"a whole view keeps the element count, found {source.elements} and {target.elements}")


@irdl_op_definition
class CopyOp(IRDLOperation):
    """All elements of one buffer into another of the same shape; at the boundary it is what a returned input costs.

    ```mlir
    lir.copy %x to %y : !lir.buffer<B x 8 x f32>, !lir.buffer<B x 8 x f32>
    ```
    """

    name = "lir.copy"
    source = operand_def(BufferType)
    target = operand_def(BufferType)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = "$source `to` $target attr-dict `:` type($source) `,` type($target)"

    def __init__(self, source: SSAValue, target: SSAValue):
        super().__init__(operands=[source, target])

    def verify_(self) -> None:
        source, target = self.source.type, self.target.type
        assert isinstance(source, BufferType)
        assert isinstance(target, BufferType)
        if source.dims != target.dims or source.element_type != target.element_type:
            raise VerifyException(f"copy between different shapes or types: {source} and {target}")


BOUNDARY: tuple[type[_Leaf], ...] = (InputOp, OutputOp, ParamOp, PackedOp, StateOp, DimInputOp)
"""Buffers that the caller provides."""


def root_buffer(value: SSAValue) -> SSAValue:
    """The storage behind a chain of views."""
    while isinstance(value.owner, ViewOp):
        value = value.owner.source
    return value


def programs(module: Operation) -> Sequence[ProgramOp]:
    """The programs of a module in order."""
    return [op for region in module.regions for block in region.blocks for op in block.ops if isinstance(op, ProgramOp)]


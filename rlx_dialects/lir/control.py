"""Control flow of a schedule: `lir.if` and `lir.while`."""

from __future__ import annotations

from typing import Self

from xdsl.dialects.builtin import IntegerAttr, IntegerType
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, prop_def, region_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsTerminator, NoTerminator
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.lir.types import BufferType


def _check_flag(op: Operation, flag: SSAValue) -> None:
    kind = flag.type
    assert isinstance(kind, BufferType)
    if kind.element_type != IntegerType(1) or not kind.elements.is_const or kind.elements.value != 1:
        raise VerifyException(f"'{op.name}' needs a flag of one bool element, found {kind}")


@irdl_op_definition
class ConditionOp(IRDLOperation):
    """Ends a while's condition: go on while the flag is true.

    ```mlir
    lir.condition %flag : !lir.buffer<1 x i1>
    ```
    """

    name = "lir.condition"
    flag = operand_def(BufferType)
    traits = traits_def(IsTerminator())
    assembly_format = "$flag attr-dict `:` type($flag)"

    def verify_(self) -> None:
        _check_flag(self, self.flag)


@irdl_op_definition
class IfOp(IRDLOperation):
    """Run one of two schedules. Both write their results to buffers from outside; all workers read the flag after a barrier.

    ```mlir
    lir.if %flag {
      lir.copy %x to %y : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
    } else {
      lir.copy %z to %y : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
    } : !lir.buffer<1 x i1>
    ```
    """

    name = "lir.if"
    flag = operand_def(BufferType)
    then_body = region_def("single_block")
    else_body = region_def("single_block")
    traits = traits_def(NoTerminator())

    def __init__(self, flag: SSAValue, then_body: Region, else_body: Region):
        super().__init__(operands=[flag], regions=[then_body, else_body])

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        flag = parser.parse_unresolved_operand()
        bodies = [parser.parse_region()]
        bodies.append(parser.parse_region() if parser.parse_optional_keyword("else") else Region(Block()))
        for body in bodies:
            if not body.blocks:
                body.add_block(Block())
        parser.parse_punctuation(":")
        return cls(parser.resolve_operand(flag, parser.parse_type()), *bodies)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.flag)
        printer.print_string(" ")
        printer.print_region(self.then_body, print_empty_block=False)
        if self.else_body.block.ops:
            printer.print_string(" else ")
            printer.print_region(self.else_body, print_empty_block=False)
        printer.print_string(" : ")
        printer.print_attribute(self.flag.type)

    def verify_(self) -> None:
        _check_flag(self, self.flag)


@irdl_op_definition
class WhileOp(IRDLOperation):
    """Repeat `do` while the condition's flag is true; more than `limit` rounds is a RuntimeFault.

    Carried values are buffers from outside that `do` rewrites (a round's new value is copied in at its end, unless every read
    comes before the write).

    ```mlir
    lir.while limit(1000) {
      lir.condition %flag : !lir.buffer<1 x i1>
    } do {
      lir.copy %next to %carry : !lir.buffer<8 x f32>, !lir.buffer<8 x f32>
    }
    ```
    """

    name = "lir.while"
    limit = prop_def(IntegerAttr)
    condition = region_def("single_block")
    body = region_def("single_block")
    traits = traits_def(NoTerminator())

    def __init__(self, limit: int, condition: Region, body: Region):
        super().__init__(properties={"limit": IntegerAttr(limit, 64)}, regions=[condition, body])

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        parser.parse_keyword("limit")
        parser.parse_punctuation("(")
        limit = parser.parse_integer(allow_boolean=False)
        parser.parse_punctuation(")")
        condition = parser.parse_region()
        parser.parse_keyword("do")
        body = parser.parse_region()
        if not body.blocks:
            body.add_block(Block())
        return cls(limit, condition, body)

    def print(self, printer: Printer) -> None:
        printer.print_string(f" limit({self.limit.value.data}) ")
        printer.print_region(self.condition, print_empty_block=False)
        printer.print_string(" do ")
        printer.print_region(self.body, print_empty_block=False)

    def verify_(self) -> None:
        if not isinstance(self.condition.block.last_op, ConditionOp):
            raise VerifyException("a while's condition must end in lir.condition")
        if self.limit.value.data < 0:
            raise VerifyException(f"a while's limit is not negative, found {self.limit.value.data}")

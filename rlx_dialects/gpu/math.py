"""Base class of math functions that a target has as instructions, under its own names and with its own error."""

from __future__ import annotations

from xdsl.ir import Operation, SSAValue
from xdsl.irdl import IRDLOperation, operand_def, result_def, traits_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.kernel.types import element_of
from rlx_dialects.rlx import dtypes


class UnaryMathOp(IRDLOperation):
    """A function of f32, of a scalar or of every lane of a vector."""

    value = operand_def()
    result = result_def()
    traits = traits_def(Pure())

    def __init__(self, value: SSAValue | Operation):
        value = SSAValue.get(value)
        super().__init__(operands=[value], result_types=[value.type])

    @classmethod
    def parse(cls, parser: Parser) -> UnaryMathOp:
        value = parser.parse_unresolved_operand()
        parser.parse_punctuation(":")
        return cls(parser.resolve_operand(value, parser.parse_type()))

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.value)
        printer.print_string(" : ")
        printer.print_attribute(self.value.type)

    def verify_(self) -> None:
        if element_of(self.value.type) != dtypes.dtype("f32") or self.result.type != self.value.type:
            raise VerifyException(f"{self.name} takes and gives f32, found {self.value.type} and {self.result.type}")

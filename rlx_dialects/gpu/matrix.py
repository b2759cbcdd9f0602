"""Base classes of the matrix ops that a subgroup does together: load, fill, multiply and accumulate, store.

All threads of a subgroup take part, with the same operands. Element (r, c) of a fragment lies at `p[i + r·stride + c]`, or
transposed at `p[i + c·stride + r]`.
"""

from __future__ import annotations

from xdsl.dialects.builtin import UnitAttr
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import BaseAttr, IRDLOperation, operand_def, opt_prop_def, result_def, traits_def
from xdsl.parser import Parser, UnresolvedOperand
from xdsl.printer import Printer
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.gpu.facts import GpuFacts, MatrixShape
from rlx_dialects.gpu.ops import PTR, facts_around
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.types import INDEX, ptr_type
from rlx_dialects.rlx import dtypes

FRAGMENT = BaseAttr(FragmentType)
CONVERGENT = (MemoryReadEffect(), MemoryWriteEffect())
"""Ops that all threads of a subgroup run together stay where they are."""


def operand_names(kind: FragmentType) -> tuple[str, ...]:
    """The operand types of matrix instructions that a fragment's elements may go through: f32 also as tf32."""
    name = dtypes.dtype_name(kind.element_type)
    return ("f32", "tf32") if name == "f32" else (name,)


def fits(facts: GpuFacts, kind: FragmentType) -> bool:
    """Whether some matrix instruction of an architecture takes such a fragment."""

    def matches(shape: MatrixShape) -> bool:
        if shape.family != kind.family.data:
            return False
        if kind.role.data == "c":
            return (shape.m, shape.n) == kind.shape and dtypes.dtype_name(kind.element_type) == shape.accumulator
        wanted = (shape.m, shape.k) if kind.role.data == "a" else (shape.k, shape.n)
        return wanted == kind.shape and shape.operand in operand_names(kind)

    return any(map(matches, facts.matrix))


def verify_fragment(op: Operation, value: SSAValue) -> FragmentType:
    """The type of a fragment; VerifyException if the architecture around has none such."""
    kind = value.type
    assert isinstance(kind, FragmentType)
    facts = facts_around(op)
    if facts is not None and not fits(facts, kind):
        raise VerifyException(f"{facts.arch} has no matrix instruction that takes {kind}")
    return kind


def _place(parser: Parser) -> tuple[UnresolvedOperand, UnresolvedOperand, UnresolvedOperand, bool]:
    pointer = parser.parse_unresolved_operand()
    with parser.in_square_brackets():
        index = parser.parse_unresolved_operand()
    parser.parse_keyword("stride")
    stride = parser.parse_unresolved_operand()
    return pointer, index, stride, parser.parse_optional_keyword("transposed") is not None


class FragmentLoadOp(IRDLOperation):
    """A fragment from memory."""

    ptr = operand_def(PTR)
    index = operand_def(INDEX)
    stride = operand_def(INDEX)
    transposed = opt_prop_def(UnitAttr)
    result = result_def(FRAGMENT)
    traits = traits_def(*CONVERGENT)

    def __init__(
        self,
        pointer: SSAValue | Operation,
        index: SSAValue | Operation,
        stride: SSAValue | Operation,
        result_type: FragmentType,
        *,
        transposed: bool = False,
    ):
        super().__init__(
            operands=[pointer, index, stride],
            properties={"transposed": UnitAttr() if transposed else None},
            result_types=[result_type],
        )

    @classmethod
    def parse(cls, parser: Parser) -> FragmentLoadOp:
        pointer, index, stride, transposed = _place(parser)
        parser.parse_punctuation(":")
        pointer_type = parser.parse_type()
        parser.parse_punctuation("->")
        kind = parser.parse_type()
        if not isinstance(kind, FragmentType):
            parser.raise_error(f"expected a !kernel.fragment, found {kind}")
        return cls(
            parser.resolve_operand(pointer, pointer_type),
            parser.resolve_operand(index, INDEX),
            parser.resolve_operand(stride, INDEX),
            kind,
            transposed=transposed,
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        _print_place(printer, self.ptr, self.index, self.stride, self.transposed is not None)
        printer.print_string(" : ")
        printer.print_attribute(self.ptr.type)
        printer.print_string(" -> ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        kind = verify_fragment(self, self.result)
        if ptr_type(self.ptr).element_type != kind.element_type:
            raise VerifyException(f"the memory holds {ptr_type(self.ptr).element_type}, the fragment {kind.element_type}")


class FragmentStoreOp(IRDLOperation):
    """A fragment to memory."""

    value = operand_def(FRAGMENT)
    ptr = operand_def(PTR)
    index = operand_def(INDEX)
    stride = operand_def(INDEX)
    transposed = opt_prop_def(UnitAttr)
    traits = traits_def(*CONVERGENT)

    def __init__(
        self,
        value: SSAValue | Operation,
        pointer: SSAValue | Operation,
        index: SSAValue | Operation,
        stride: SSAValue | Operation,
        *,
        transposed: bool = False,
    ):
        super().__init__(
            operands=[value, pointer, index, stride], properties={"transposed": UnitAttr() if transposed else None}
        )

    @classmethod
    def parse(cls, parser: Parser) -> FragmentStoreOp:
        value = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        pointer, index, stride, transposed = _place(parser)
        parser.parse_punctuation(":")
        kind = parser.parse_type()
        parser.parse_punctuation(",")
        return cls(
            parser.resolve_operand(value, kind),
            parser.resolve_operand(pointer, parser.parse_type()),
            parser.resolve_operand(index, INDEX),
            parser.resolve_operand(stride, INDEX),
            transposed=transposed,
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.value)
        printer.print_string(", ")
        _print_place(printer, self.ptr, self.index, self.stride, self.transposed is not None)
        printer.print_string(" : ")
        printer.print_list([self.value.type, self.ptr.type], printer.print_attribute)

    def verify_(self) -> None:
        kind = verify_fragment(self, self.value)
        if ptr_type(self.ptr).element_type != kind.element_type:
            raise VerifyException(f"the memory holds {ptr_type(self.ptr).element_type}, the fragment {kind.element_type}")


class FragmentFillOp(IRDLOperation):
    """A fragment of equal elements."""

    value = operand_def()
    result = result_def(FRAGMENT)
    traits = traits_def(*CONVERGENT)

    def __init__(self, value: SSAValue | Operation, result_type: FragmentType):
        super().__init__(operands=[value], result_types=[result_type])

    @classmethod
    def parse(cls, parser: Parser) -> FragmentFillOp:
        value = parser.parse_unresolved_operand()
        parser.parse_punctuation(":")
        element = parser.parse_type()
        parser.parse_punctuation("->")
        kind = parser.parse_type()
        if not isinstance(kind, FragmentType):
            parser.raise_error(f"expected a !kernel.fragment, found {kind}")
        return cls(parser.resolve_operand(value, element), kind)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.value)
        printer.print_string(" : ")
        printer.print_attribute(self.value.type)
        printer.print_string(" -> ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        kind = verify_fragment(self, self.result)
        if self.value.type != kind.element_type:
            raise VerifyException(f"a fragment of {kind.element_type} is filled with {self.value.type}")


class MultiplyOp(IRDLOperation):
    """`a · b + c`: one matrix instruction, or as many as make up the shape of one."""

    a = operand_def(FRAGMENT)
    b = operand_def(FRAGMENT)
    c = operand_def(FRAGMENT)
    result = result_def(FRAGMENT)
    traits = traits_def(*CONVERGENT)

    def __init__(self, a: SSAValue | Operation, b: SSAValue | Operation, c: SSAValue | Operation):
        super().__init__(operands=[a, b, c], result_types=[SSAValue.get(c).type])

    @classmethod
    def parse(cls, parser: Parser) -> MultiplyOp:
        at = parser.pos
        operands = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_unresolved_operand)
        parser.parse_punctuation(":")
        types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        a, b, c = parser.resolve_operands(operands, types, at)
        return cls(a, b, c)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_list(self.operands, printer.print_operand)
        printer.print_string(" : ")
        printer.print_list([value.type for value in self.operands], printer.print_attribute)

    def verify_(self) -> None:
        a, b, c = (verify_fragment(self, value) for value in self.operands)
        roles = a.role.data, b.role.data, c.role.data
        if roles != ("a", "b", "c"):
            raise VerifyException(f"the operands are fragments a, b and c, found {', '.join(roles)}")
        (m, k), (k2, n) = a.shape, b.shape
        if k != k2 or c.shape != (m, n) or len({a.family, b.family, c.family}) != 1:
            raise VerifyException(f"{a} times {b} is not {c}")
        if self.result.type != c:
            raise VerifyException(f"the result is a {c}, found {self.result.type}")
        facts = facts_around(self)
        shapes = facts.matrix if facts is not None else ()
        known = [s for s in shapes if s.family == a.family.data and (s.m, s.n, s.k) == (m, n, k)]
        if facts is not None and not any(
            s.operand in operand_names(a) and s.operand in operand_names(b) and s.accumulator == dtypes.dtype_name(c.element_type)
            for s in known
        ):
            raise VerifyException(f"{facts.arch} has no {a.family.data} of {a}, {b} and {c}")


def _print_place(printer: Printer, pointer: SSAValue, index: SSAValue, stride: SSAValue, transposed: bool) -> None:
    printer.print_operand(pointer)
    printer.print_string("[")
    printer.print_operand(index)
    printer.print_string("] stride ")
    printer.print_operand(stride)
    if transposed:
        printer.print_string(" transposed")

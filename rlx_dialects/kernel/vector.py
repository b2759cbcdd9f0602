"""Vectors: making and rearranging them, and the products of register tiles.

Element-wise arithmetic on vectors is `arith` and `math`; what those lack on vectors is in `elementwise`.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, DenseArrayBase, IntegerAttr, IntegerType, StringAttr, VectorType, f32, i32, i64
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
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.kernel.types import INDEX, element_of, is_float, is_integer, mask_of, shape_of, vector, verify_value_type

VECTOR = BaseAttr(VectorType)
DOT_KINDS = {"bf16": f32, "f16": f32, "s8s8": i32, "u8s8": i32}


@irdl_op_definition
class BroadcastOp(IRDLOperation):
    """Repeats a scalar in all lanes, or a 1-D vector in a tile: `as row` `t[r, c] = v[c]`, `as column` `t[r, c] = v[r]`.

    ```mlir
    %v = kernel.broadcast %s : f32 -> vector<8x32xf32>
    %rows = kernel.broadcast %bias as row : vector<32xf32> -> vector<8x32xf32>
    %columns = kernel.broadcast %scale as column : vector<8xf32> -> vector<8x32xf32>
    ```
    """

    name = "kernel.broadcast"
    source = operand_def()
    role = opt_prop_def(StringAttr, prop_name="as")
    result = result_def(VECTOR)
    traits = traits_def(Pure())

    def __init__(self, source: SSAValue | Operation, shape: Sequence[int], role: str | None = None):
        source = SSAValue.get(source)
        super().__init__(
            operands=[source],
            properties={"as": None if role is None else StringAttr(role)},
            result_types=[vector(element_of(source.type), shape)],
        )

    @classmethod
    def parse(cls, parser: Parser) -> BroadcastOp:
        source = parser.parse_unresolved_operand()
        role = parser.parse_identifier(" (row or column)") if parser.parse_optional_keyword("as") else None
        parser.parse_punctuation(":")
        source_type = parser.parse_type()
        parser.parse_punctuation("->")
        return cls.create(
            operands=[parser.resolve_operand(source, source_type)],
            properties={} if role is None else {"as": StringAttr(role)},
            result_types=[parser.parse_type()],
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.source)
        printer.print_string(f" as {self.role.data} : " if self.role else " : ")
        printer.print_attribute(self.source.type)
        printer.print_string(" -> ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        source, shape = self.source.type, shape_of(self.result.type)
        verify_value_type(self.result.type, "the result")
        if element_of(source) != element_of(self.result.type):
            raise VerifyException(f"a broadcast keeps the element type, found {source} -> {self.result.type}")
        if not shape_of(source):
            if self.role is not None:
                raise VerifyException("a scalar is broadcast without 'as'")
            return
        role = self.role.data if self.role else "missing"
        kept = {"row": shape[-1:], "column": shape[:1]}.get(role)
        if kept is None or len(shape) != 2:
            raise VerifyException(f"a 1-D vector is broadcast 'as row' or 'as column' of a 2-D one; 'as' is {role}")
        if shape_of(source) != kept:
            raise VerifyException(f"{source} as {role} of {self.result.type}: the {role} has {kept[0]} elements")


@irdl_op_definition
class OuterFmaOp(IRDLOperation):
    """`result[m, n] = fma(a[m], b[n], acc[m, n])`: one rank-1 update of a register tile.

    ```mlir
    %t = kernel.outer_fma %a, %b, %acc : vector<8xf32>, vector<32xf32>, vector<8x32xf32>
    ```
    """

    name = "kernel.outer_fma"
    a = operand_def(VECTOR)
    b = operand_def(VECTOR)
    acc = operand_def(VECTOR)
    result = result_def(VECTOR)
    traits = traits_def(Pure())

    def __init__(self, a: SSAValue | Operation, b: SSAValue | Operation, acc: SSAValue | Operation):
        super().__init__(operands=[a, b, acc], result_types=[SSAValue.get(acc).type])

    @classmethod
    def parse(cls, parser: Parser) -> OuterFmaOp:
        return cls(*_parse_operands(parser, 3))

    def print(self, printer: Printer) -> None:
        _print_operands(printer, self.operands)

    def verify_(self) -> None:
        (m, n), types = _tile_shape(self.acc.type), (self.a.type, self.b.type, self.acc.type)
        if not is_float(element_of(self.acc.type)) or len({element_of(t) for t in types}) != 1:
            raise VerifyException("a, b and acc have one float element type; kernel.outer_dot widens")
        if shape_of(self.a.type) != (m,) or shape_of(self.b.type) != (n,):
            raise VerifyException(
                f"the tile {self.acc.type} needs {m} elements of a and {n} of b, found {self.a.type} and {self.b.type}"
            )
        _verify_same(self.acc, self.result)


@irdl_op_definition
class OuterDotOp(IRDLOperation):
    """`result[m, n] = acc[m, n] + Σ_k a[m, k] · b[n, k]` where the short k lies inside one 32-bit word of a and of b.

    | kind | a word holds | acc |
    |---|---|---|
    | bf16 f16 | 2 floats, the first in the low half | f32 |
    | s8s8 u8s8 | 4 bytes, the first lowest; a is signed or unsigned, b signed | i32, exact modulo 2^32 |

    The order of the float sum over k, and whether denormals count, is the target's choice.

    ```mlir
    %t = kernel.outer_dot bf16 %a, %b, %acc : vector<8xi32>, vector<32xi32>, vector<8x32xf32>
    ```
    """

    name = "kernel.outer_dot"
    kind = prop_def(StringAttr)
    a = operand_def(VECTOR)
    b = operand_def(VECTOR)
    acc = operand_def(VECTOR)
    result = result_def(VECTOR)
    traits = traits_def(Pure())

    def __init__(self, kind: str, a: SSAValue | Operation, b: SSAValue | Operation, acc: SSAValue | Operation):
        super().__init__(
            operands=[a, b, acc], properties={"kind": StringAttr(kind)}, result_types=[SSAValue.get(acc).type]
        )

    @classmethod
    def parse(cls, parser: Parser) -> OuterDotOp:
        return cls(parser.parse_identifier(" (kind of product)"), *_parse_operands(parser, 3))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.kind.data}")
        _print_operands(printer, self.operands)

    def verify_(self) -> None:
        m, n = _tile_shape(self.acc.type)
        sums = DOT_KINDS.get(self.kind.data)
        if sums is None:
            raise VerifyException(f"no product '{self.kind.data}'; there are: {', '.join(DOT_KINDS)}")
        if element_of(self.acc.type) != sums:
            raise VerifyException(f"'{self.kind.data}' accumulates in {sums}, found {self.acc.type}")
        if self.a.type != vector(i32, (m,)) or self.b.type != vector(i32, (n,)):
            raise VerifyException(
                f"the tile {self.acc.type} needs {m} words of a and {n} of b, found {self.a.type} and {self.b.type}"
            )
        _verify_same(self.acc, self.result)


@irdl_op_definition
class TransposeOp(IRDLOperation):
    """`result[c, r] = source[r, c]`; a square of the native width is a network of shuffles.

    ```mlir
    %t = kernel.transpose %v : vector<16x8xf32> -> vector<8x16xf32>
    ```
    """

    name = "kernel.transpose"
    source = operand_def(VECTOR)
    result = result_def(VECTOR)
    traits = traits_def(Pure())
    assembly_format = "$source attr-dict `:` type($source) `->` type($result)"

    def __init__(self, source: SSAValue | Operation):
        source = SSAValue.get(source)
        super().__init__(operands=[source], result_types=[vector(element_of(source.type), shape_of(source.type)[::-1])])

    def verify_(self) -> None:
        rows, columns = _tile_shape(self.source.type)
        if self.result.type != vector(element_of(self.source.type), (columns, rows)):
            raise VerifyException(f"the transpose of {self.source.type} is not {self.result.type}")


@irdl_op_definition
class IotaOp(IRDLOperation):
    """`result[l] = l` for a 1-D vector of integers or index.

    ```mlir
    %lanes = kernel.iota : vector<16xindex>
    ```
    """

    name = "kernel.iota"
    result = result_def(VECTOR)
    traits = traits_def(Pure())
    assembly_format = "attr-dict `:` type($result)"

    def __init__(self, size: int, element: Attribute = INDEX):
        super().__init__(result_types=[vector(element, (size,))])

    def verify_(self) -> None:
        if len(shape_of(self.result.type)) != 1 or not is_integer(element_of(self.result.type)):
            raise VerifyException(f"iota makes a 1-D vector of integers, found {self.result.type}")


@irdl_op_definition
class MaskOp(IRDLOperation):
    """`result[l] = l < n`, or `result[r, c] = r < n0 and c < n1`. A count may be negative (no lane) or beyond the end (all).

    ```mlir
    %m = kernel.mask %n : vector<16xi1>
    %tile = kernel.mask %rows, %columns : vector<8x32xi1>
    ```
    """

    name = "kernel.mask"
    counts = var_operand_def(INDEX)
    result = result_def(VECTOR)
    traits = traits_def(Pure())
    assembly_format = "$counts attr-dict `:` type($result)"

    def __init__(self, counts: Sequence[SSAValue | Operation], shape: Sequence[int]):
        super().__init__(operands=[counts], result_types=[vector(IntegerType(1), shape)])

    def verify_(self) -> None:
        shape = shape_of(self.result.type)
        if self.result.type != mask_of(self.result.type) or len(shape) != len(self.counts) or len(shape) > 2:
            raise VerifyException(f"{len(self.counts)} counts make a {len(self.counts)}-D vector of i1, found {self.result.type}")


@irdl_op_definition
class ShuffleOp(IRDLOperation):
    """`result[l] = concat(a, b)[pattern[l]]` of two 1-D vectors of one type; the pattern is static.

    ```mlir
    %interleaved = kernel.shuffle %a, %b [0, 4, 1, 5, 2, 6, 3, 7] : vector<4xi8> -> vector<8xi8>
    ```
    """

    name = "kernel.shuffle"
    a = operand_def(VECTOR)
    b = operand_def(VECTOR)
    pattern = prop_def(DenseArrayBase[I64])
    result = result_def(VECTOR)
    traits = traits_def(Pure())

    def __init__(self, a: SSAValue | Operation, b: SSAValue | Operation, pattern: Sequence[int]):
        super().__init__(
            operands=[a, b],
            properties={"pattern": DenseArrayBase.from_list(i64, list(pattern))},
            result_types=[vector(element_of(SSAValue.get(a).type), (len(pattern),))],
        )

    @property
    def lanes(self) -> tuple[int, ...]:
        return tuple(int(lane) for lane in self.pattern.get_values())

    @classmethod
    def parse(cls, parser: Parser) -> ShuffleOp:
        a = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        b = parser.parse_unresolved_operand()
        pattern = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)
        parser.parse_punctuation(":")
        type_ = parser.parse_type()
        parser.parse_punctuation("->")
        return cls.create(
            operands=[parser.resolve_operand(a, type_), parser.resolve_operand(b, type_)],
            properties={"pattern": DenseArrayBase.from_list(i64, pattern)},
            result_types=[parser.parse_type()],
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_list(self.operands, printer.print_operand)
        printer.print_string(f" [{', '.join(map(str, self.lanes))}] : ")
        printer.print_attribute(self.a.type)
        printer.print_string(" -> ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        shape = shape_of(self.a.type)
        if len(shape) != 1 or self.a.type != self.b.type:
            raise VerifyException(f"shuffle takes two 1-D vectors of one type, found {self.a.type} and {self.b.type}")
        if any(not 0 <= lane < 2 * shape[0] for lane in self.lanes):
            raise VerifyException(f"the pattern {list(self.lanes)} leaves the {2 * shape[0]} lanes of both vectors")
        if self.result.type != vector(element_of(self.a.type), (len(self.lanes),)):
            raise VerifyException(f"{len(self.lanes)} lanes of {element_of(self.a.type)} are not {self.result.type}")


@irdl_op_definition
class ExtractOp(IRDLOperation):
    """Element `at` of a 1-D vector, or row `at` of a tile; `at` is static.

    ```mlir
    %first = kernel.extract %v[0] : vector<16xf32>
    %row = kernel.extract %t[3] : vector<8x32xf32>
    ```
    """

    name = "kernel.extract"
    source = operand_def(VECTOR)
    at = prop_def(IntegerAttr)
    result = result_def()
    traits = traits_def(Pure())

    def __init__(self, source: SSAValue | Operation, at: int):
        source = SSAValue.get(source)
        super().__init__(
            operands=[source],
            properties={"at": IntegerAttr(at, i64)},
            result_types=[vector(element_of(source.type), shape_of(source.type)[1:])],
        )

    @classmethod
    def parse(cls, parser: Parser) -> ExtractOp:
        source = parser.parse_unresolved_operand()
        with parser.in_square_brackets():
            at = parser.parse_integer()
        parser.parse_punctuation(":")
        return cls(parser.resolve_operand(source, parser.parse_type()), at)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.source)
        printer.print_string(f"[{self.at.value.data}] : ")
        printer.print_attribute(self.source.type)

    def verify_(self) -> None:
        _verify_at(self.at, self.source.type)


@irdl_op_definition
class InsertOp(IRDLOperation):
    """`into` with element `at` (1-D) or row `at` (2-D) replaced; `at` is static.

    ```mlir
    %v1 = kernel.insert %s, %v[0] : f32, vector<16xf32>
    %t1 = kernel.insert %row, %t[3] : vector<32xf32>, vector<8x32xf32>
    ```
    """

    name = "kernel.insert"
    value = operand_def()
    into = operand_def(VECTOR)
    at = prop_def(IntegerAttr)
    result = result_def(VECTOR)
    traits = traits_def(Pure())

    def __init__(self, value: SSAValue | Operation, into: SSAValue | Operation, at: int):
        super().__init__(
            operands=[value, into], properties={"at": IntegerAttr(at, i64)}, result_types=[SSAValue.get(into).type]
        )

    @classmethod
    def parse(cls, parser: Parser) -> InsertOp:
        value = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        into = parser.parse_unresolved_operand()
        with parser.in_square_brackets():
            at = parser.parse_integer()
        parser.parse_punctuation(":")
        value_type = parser.parse_type()
        parser.parse_punctuation(",")
        into_type = parser.parse_type()
        return cls(parser.resolve_operand(value, value_type), parser.resolve_operand(into, into_type), at)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_list(self.operands, printer.print_operand)
        printer.print_string(f"[{self.at.value.data}] : ")
        printer.print_list(self.operand_types, printer.print_attribute)

    def verify_(self) -> None:
        _verify_at(self.at, self.into.type)
        expected = vector(element_of(self.into.type), shape_of(self.into.type)[1:])
        if self.value.type != expected:
            raise VerifyException(f"{self.into.type} takes a {expected} at one place, found {self.value.type}")
        _verify_same(self.into, self.result)


def _parse_operands(parser: Parser, count: int) -> list[SSAValue]:
    """`%a, %b : type, type`"""
    at = parser.pos
    operands = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_unresolved_operand)
    parser.parse_punctuation(":")
    types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
    if len(operands) != count or len(types) != count:
        parser.raise_error(f"expected {count} operands and {count} types", at)
    return list(parser.resolve_operands(operands, types, at))


def _print_operands(printer: Printer, operands: Sequence[SSAValue]) -> None:
    printer.print_string(" ")
    printer.print_list(operands, printer.print_operand)
    printer.print_string(" : ")
    printer.print_list([operand.type for operand in operands], printer.print_attribute)


def _tile_shape(type_: Attribute) -> tuple[int, int]:
    shape = shape_of(type_)
    if len(shape) != 2:
        raise VerifyException(f"expected a 2-D vector, found {type_}")
    return shape[0], shape[1]


def _verify_at(at: IntegerAttr, type_: Attribute) -> None:
    shape = shape_of(type_)
    if not 0 <= at.value.data < shape[0]:
        raise VerifyException(f"place {at.value.data} is outside the {shape[0]} of {type_}")


def _verify_same(value: SSAValue, result: SSAValue) -> None:
    if value.type != result.type:
        raise VerifyException(f"the result has type {value.type}, found {result.type}")

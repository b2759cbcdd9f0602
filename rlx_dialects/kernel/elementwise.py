"""Element-wise operations that `arith` has for scalars only, and index arithmetic from dim expressions.

All take scalars, 1-D and 2-D vectors alike; shapes are equal, nothing is broadcast silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import ArrayAttr, StringAttr
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr
from rlx_dialects.kernel.types import (
    INDEX,
    bit_size,
    element_of,
    is_float,
    is_integer,
    mask_of,
    shape_of,
    vector,
    verify_value_type,
)
from rlx_dialects.rlx import DimExprAttr
from rlx_dialects.rlx.syntax import parse_dim_expr

FLOAT_PREDICATES = ("oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno")
INT_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
CASTS = ("extf", "truncf", "sitofp", "uitofp", "fptosi", "fptoui", "extsi", "extui", "trunci", "bitcast")


@irdl_op_definition
class CmpOp(IRDLOperation):
    """`result = lhs <predicate> rhs`, element-wise. Floats take the predicates of `arith.cmpf`, integers those of `arith.cmpi`.

    ```mlir
    %m = kernel.cmp olt %a, %b : vector<16xf32>
    %n = kernel.cmp slt %i, %j : vector<16xindex>
    ```
    """

    name = "kernel.cmp"
    predicate = prop_def(StringAttr)
    lhs = operand_def()
    rhs = operand_def()
    result = result_def()
    traits = traits_def(Pure())

    def __init__(self, predicate: str, lhs: SSAValue | Operation, rhs: SSAValue | Operation):
        super().__init__(
            operands=[lhs, rhs],
            properties={"predicate": StringAttr(predicate)},
            result_types=[mask_of(SSAValue.get(lhs).type)],
        )

    @classmethod
    def parse(cls, parser: Parser) -> CmpOp:
        predicate = parser.parse_identifier(" (comparison predicate)")
        lhs = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        rhs = parser.parse_unresolved_operand()
        parser.parse_punctuation(":")
        type_ = parser.parse_type()
        return cls(predicate, parser.resolve_operand(lhs, type_), parser.resolve_operand(rhs, type_))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.predicate.data} ")
        printer.print_list(self.operands, printer.print_operand)
        printer.print_string(" : ")
        printer.print_attribute(self.lhs.type)

    def verify_(self) -> None:
        verify_value_type(self.lhs.type, "the left side")
        if self.lhs.type != self.rhs.type:
            raise VerifyException(f"a comparison takes equal types, found {self.lhs.type} and {self.rhs.type}")
        known = FLOAT_PREDICATES if is_float(element_of(self.lhs.type)) else INT_PREDICATES
        if self.predicate.data not in known:
            raise VerifyException(
                f"no predicate '{self.predicate.data}' of {element_of(self.lhs.type)}; there are: {', '.join(known)}"
            )
        if self.result.type != mask_of(self.lhs.type):
            raise VerifyException(f"the result has type {mask_of(self.lhs.type)}, found {self.result.type}")


@irdl_op_definition
class SelectOp(IRDLOperation):
    """`result = mask ? lhs : rhs`, element-wise. (`arith.select` chooses whole values by one `i1`.)

    ```mlir
    %r = kernel.select %m, %a, %b : vector<16xf32>
    ```
    """

    name = "kernel.select"
    mask = operand_def()
    lhs = operand_def()
    rhs = operand_def()
    result = result_def()
    traits = traits_def(Pure())

    def __init__(self, mask: SSAValue | Operation, lhs: SSAValue | Operation, rhs: SSAValue | Operation):
        super().__init__(operands=[mask, lhs, rhs], result_types=[SSAValue.get(lhs).type])

    @classmethod
    def parse(cls, parser: Parser) -> SelectOp:
        at = parser.pos
        operands = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_unresolved_operand)
        parser.parse_punctuation(":")
        type_ = parser.parse_type()
        return cls(*parser.resolve_operands(operands, [mask_of(type_), type_, type_], at))

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_list(self.operands, printer.print_operand)
        printer.print_string(" : ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        verify_value_type(self.lhs.type, "the left side")
        if not self.lhs.type == self.rhs.type == self.result.type:
            raise VerifyException(f"a select takes equal types, found {self.lhs.type} and {self.rhs.type}")
        if self.mask.type != mask_of(self.lhs.type):
            raise VerifyException(f"the mask has type {mask_of(self.lhs.type)}, found {self.mask.type}")


@irdl_op_definition
class CastOp(IRDLOperation):
    """Converts elements: extf, truncf (round to nearest even), sitofp, uitofp, fptosi, fptoui, extsi, extui, trunci, bitcast.

    Float to integer truncates towards zero and saturates at the ends of the integer's range; NaN gives 0. `index` is a
    64-bit integer; `bitcast` keeps the bits of equally wide elements.

    ```mlir
    %f = kernel.cast sitofp %i : vector<16xi32> to vector<16xf32>
    %w = kernel.cast extf %h : vector<8x32xbf16> to vector<8x32xf32>
    ```
    """

    name = "kernel.cast"
    kind = prop_def(StringAttr)
    source = operand_def()
    result = result_def()
    traits = traits_def(Pure())

    def __init__(self, kind: str, source: SSAValue | Operation, element: Attribute):
        source = SSAValue.get(source)
        super().__init__(
            operands=[source],
            properties={"kind": StringAttr(kind)},
            result_types=[vector(element, shape_of(source.type))],
        )

    @classmethod
    def parse(cls, parser: Parser) -> CastOp:
        kind = parser.parse_identifier(" (kind of cast)")
        source = parser.parse_unresolved_operand()
        parser.parse_punctuation(":")
        source_type = parser.parse_type()
        parser.parse_keyword("to")
        return cls.create(
            operands=[parser.resolve_operand(source, source_type)],
            properties={"kind": StringAttr(kind)},
            result_types=[parser.parse_type()],
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.kind.data} ")
        printer.print_operand(self.source)
        printer.print_string(" : ")
        printer.print_attribute(self.source.type)
        printer.print_string(" to ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        verify_value_type(self.source.type, "the operand")
        verify_value_type(self.result.type, "the result")
        kind, source, result = self.kind.data, element_of(self.source.type), element_of(self.result.type)
        if kind not in CASTS:
            raise VerifyException(f"unknown cast '{kind}'; there are: {', '.join(CASTS)}")
        if shape_of(self.source.type) != shape_of(self.result.type):
            raise VerifyException(f"a cast keeps the shape, found {self.source.type} to {self.result.type}")
        grows = bit_size(result) - bit_size(source)
        fits = {
            "extf": is_float(source) and is_float(result) and grows > 0,
            "truncf": is_float(source) and is_float(result) and grows < 0,
            "sitofp": is_integer(source) and is_float(result),
            "uitofp": is_integer(source) and is_float(result),
            "fptosi": is_float(source) and is_integer(result),
            "fptoui": is_float(source) and is_integer(result),
            "extsi": is_integer(source) and is_integer(result) and grows > 0,
            "extui": is_integer(source) and is_integer(result) and grows > 0,
            "trunci": is_integer(source) and is_integer(result) and grows < 0,
            "bitcast": grows == 0,
        }[kind]
        if not fits:
            raise VerifyException(f"'{kind}' does not convert {source} to {result}")


@irdl_op_definition
class ApplyOp(IRDLOperation):
    """The value of a dim expression over named `index` operands, scalars or vectors; scalars meet all lanes of a vector.

    Division and remainder round towards minus infinity; divisors are positive.

    ```mlir
    %at = kernel.apply [S * i + (j floordiv 4)](i = %i, S = %s, j = %j)
    %lanes = kernel.apply [i mod 3](i = %iv : vector<16xindex>)
    ```
    """

    name = "kernel.apply"
    expr = prop_def(DimExprAttr)
    names = prop_def(ArrayAttr[StringAttr])
    values = var_operand_def()
    result = result_def()
    traits = traits_def(Pure())

    def __init__(self, expr: DimExpr, values: Mapping[str, SSAValue | Operation]):
        operands = [SSAValue.get(value) for value in values.values()]
        super().__init__(
            operands=[operands],
            properties={"expr": DimExprAttr(expr), "names": ArrayAttr([StringAttr(name) for name in values])},
            result_types=[_joined(operands)],
        )

    @classmethod
    def parse(cls, parser: Parser) -> ApplyOp:
        with parser.in_square_brackets():
            expr = parse_dim_expr(parser)

        def binding() -> tuple[str, SSAValue]:
            name = parser.parse_identifier(" (symbol of the expression)")
            parser.parse_punctuation("=")
            value = parser.parse_unresolved_operand()
            type_ = parser.parse_type() if parser.parse_optional_punctuation(":") else INDEX
            return name, parser.resolve_operand(value, type_)

        at = parser.pos
        bindings = parser.parse_comma_separated_list(parser.Delimiter.PAREN, binding)
        if len(dict(bindings)) != len(bindings):
            parser.raise_error("a symbol is bound twice", at)
        return cls(expr, dict(bindings))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" [{self.expr.data}]")

        def binding(item: tuple[StringAttr, SSAValue]) -> None:
            printer.print_string(f"{item[0].data} = ")
            printer.print_operand(item[1])
            if item[1].type != INDEX:
                printer.print_string(" : ")
                printer.print_attribute(item[1].type)

        with printer.in_parens():
            printer.print_list(list(zip(self.names.data, self.values)), binding)

    def verify_(self) -> None:
        names = [name.data for name in self.names.data]
        if len(names) != len(self.values) or len(set(names)) != len(names):
            raise VerifyException(f"{len(self.values)} values need as many different names, found {names}")
        if missing := self.expr.data.symbols.difference(names):
            raise VerifyException(f"'{self.expr.data}' uses {', '.join(sorted(missing))}, which no operand binds")
        if self.result.type != _joined(self.values):
            raise VerifyException(f"the result has type {_joined(self.values)}, found {self.result.type}")


def _joined(values: Sequence[SSAValue]) -> Attribute:
    joined: Attribute = INDEX
    for value in values:
        if element_of(value.type) != INDEX or (shape_of(value.type) and joined not in (INDEX, value.type)):
            raise VerifyException(f"the operands are index or vectors of index of one shape, found {value.type}")
        if shape_of(value.type):
            joined = value.type
    return joined

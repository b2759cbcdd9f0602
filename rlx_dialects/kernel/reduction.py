"""Reductions of vectors: by a named kind, or by a combine region over tuples."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import StringAttr, VectorType
from xdsl.ir import Attribute, Operation, Region, SSAValue
from xdsl.irdl import (
    BaseAttr,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import HasParent, IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.kernel.types import element_of, is_float, shape_of, vector

VECTOR = BaseAttr(VectorType)
FLOAT_KINDS = ("add", "mul", "maximumf", "minimumf", "maxnumf", "minnumf")
INT_KINDS = ("add", "mul", "maxsi", "minsi", "maxui", "minui", "and", "or", "xor")


@irdl_op_definition
class ReduceOp(IRDLOperation):
    """Combines lanes: a 1-D vector to a scalar, a tile `over columns` (one value per row), `over rows` or to a scalar.

    Floats: add, mul, maximumf, minimumf (NaN wins), maxnumf, minnumf (NaN loses); the order of the sum is the target's, and
    the same for every run. Integers: add, mul, maxsi, minsi, maxui, minui, and, or, xor.

    ```mlir
    %s = kernel.reduce add %v : vector<16xf32> -> f32
    %rows = kernel.reduce maximumf %t over columns : vector<8x32xf32> -> vector<8xf32>
    %columns = kernel.reduce add %t over rows : vector<8x32xf32> -> vector<32xf32>
    ```
    """

    name = "kernel.reduce"
    source = operand_def(VECTOR)
    kind = prop_def(StringAttr)
    over = opt_prop_def(StringAttr)
    result = result_def()
    traits = traits_def(Pure())

    def __init__(self, kind: str, source: SSAValue | Operation, over: str | None = None):
        source = SSAValue.get(source)
        super().__init__(
            operands=[source],
            properties={"kind": StringAttr(kind), "over": None if over is None else StringAttr(over)},
            result_types=[vector(element_of(source.type), _reduced_shape(source.type, over))],
        )

    @classmethod
    def parse(cls, parser: Parser) -> ReduceOp:
        kind = parser.parse_identifier(" (kind of reduction)")
        source = parser.parse_unresolved_operand()
        over = parser.parse_identifier(" (columns or rows)") if parser.parse_optional_keyword("over") else None
        parser.parse_punctuation(":")
        source_type = parser.parse_type()
        parser.parse_punctuation("->")
        return cls.create(
            operands=[parser.resolve_operand(source, source_type)],
            properties={"kind": StringAttr(kind)} | ({} if over is None else {"over": StringAttr(over)}),
            result_types=[parser.parse_type()],
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.kind.data} ")
        printer.print_operand(self.source)
        printer.print_string(f" over {self.over.data} : " if self.over else " : ")
        printer.print_attribute(self.source.type)
        printer.print_string(" -> ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        element = element_of(self.source.type)
        kinds = FLOAT_KINDS if is_float(element) else INT_KINDS
        if self.kind.data not in kinds:
            raise VerifyException(f"no reduction '{self.kind.data}' of {element}; there are: {', '.join(kinds)}")
        over = self.over.data if self.over else None
        if over not in (None, "columns", "rows") or (over and len(shape_of(self.source.type)) != 2):
            raise VerifyException(f"'over columns' and 'over rows' take a 2-D vector, found 'over {over}' of {self.source.type}")
        expected = vector(element, _reduced_shape(self.source.type, over))
        if self.result.type != expected:
            raise VerifyException(f"the result has type {expected}, found {self.result.type}")


@irdl_op_definition
class ReduceWithOp(IRDLOperation):
    """Reduces a tuple of equally shaped vectors over their last dim with a combine region (Welford, argmax, logsumexp).

    The region takes the scalars of two partial results, first tuple then second, and yields the combined tuple. It must be
    associative and commutative: the order in which lanes meet is the target's. It may use values from outside.

    ```mlir
    %best, %at = kernel.reduce_with (%v, %i) : vector<16xf32>, vector<16xi64> {
    ^bb0(%a: f32, %ai: i64, %b: f32, %bi: i64):
      %keep = arith.cmpf oge, %a, %b : f32
      %x = arith.select %keep, %a, %b : f32
      %xi = arith.select %keep, %ai, %bi : i64
      kernel.yield %x, %xi : f32, i64
    }
    ```
    """

    name = "kernel.reduce_with"
    sources = var_operand_def(VECTOR)
    results_ = var_result_def()
    body = region_def("single_block")
    traits = traits_def(Pure())

    def __init__(self, sources: Sequence[SSAValue | Operation], body: Region):
        values = [SSAValue.get(source) for source in sources]
        super().__init__(
            operands=[values],
            result_types=[[vector(element_of(v.type), shape_of(v.type)[:-1]) for v in values]],
            regions=[body],
        )

    @classmethod
    def parse(cls, parser: Parser) -> ReduceWithOp:
        at = parser.pos
        sources = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        parser.parse_punctuation(":")
        types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        return cls(parser.resolve_operands(sources, types, at), parser.parse_region())

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        with printer.in_parens():
            printer.print_list(self.sources, printer.print_operand)
        printer.print_string(" : ")
        printer.print_list(self.sources.types, printer.print_attribute)
        printer.print_string(" ")
        printer.print_region(self.body)

    def verify_(self) -> None:
        if not self.sources or len({shape_of(t) for t in self.sources.types}) != 1:
            raise VerifyException("reduce_with takes one or more vectors of one shape")
        elements = tuple(element_of(t) for t in self.sources.types)
        if self.body.block.arg_types != elements * 2:
            raise VerifyException(f"the combine region takes the scalars {', '.join(map(str, elements))} twice")
        last = self.body.block.last_op
        if not isinstance(last, YieldOp) or last.operand_types != elements:
            raise VerifyException(f"the combine region ends in kernel.yield of {', '.join(map(str, elements))}")


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends the region of `kernel.reduce_with`."""

    name = "kernel.yield"
    values = var_operand_def()
    traits = traits_def(IsTerminator(), HasParent(ReduceWithOp), Pure())
    assembly_format = "$values `:` type($values) attr-dict"

    def __init__(self, *values: SSAValue | Operation):
        super().__init__(operands=[values])


def _reduced_shape(type_: Attribute, over: str | None) -> tuple[int, ...]:
    shape = shape_of(type_)
    return shape[:1] if over == "columns" else shape[1:] if over == "rows" else ()

"""What may stand inside a form's regions, beside `arith` and `math` scalar ops.

`lir.each` and `lir.fold` are the stages of a `lir.reduce`; `lir.index` and `lir.read` reach iteration indices and whole buffers;
`lir.product` ends a contract's body, `lir.yield` every other region.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, IndexType, IntegerType, StringAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
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
from xdsl.traits import IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr
from rlx_dialects.lir.types import BufferType, RowType
from rlx_dialects.rlx.syntax import parse_dim_expr
from rlx_dialects.rlx.types import DimExprAttr

OOB_POLICIES = ("error", "clamp", "fill")


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a region and gives its values.

    ```mlir
    lir.yield %a, %b : f32, f32
    ```
    """

    name = "lir.yield"
    values = var_operand_def()
    traits = traits_def(IsTerminator())
    assembly_format = "($values^ `:` type($values))? attr-dict"

    def __init__(self, *values: SSAValue):
        super().__init__(operands=[values])


@irdl_op_definition
class ProductOp(IRDLOperation):
    """Ends a contract's body: accumulator i gains `lhs[i] * rhs[i]` (fused multiply-add in the accumulator's type).

    ```mlir
    lir.product (%a, %b), (%a, %c) : f32
    ```
    """

    name = "lir.product"
    lhs = var_operand_def()
    rhs = var_operand_def()
    traits = traits_def(IsTerminator())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(self, pairs: Sequence[tuple[SSAValue, SSAValue]]):
        super().__init__(operands=[[a for a, _ in pairs], [b for _, b in pairs]])

    @classmethod
    def parse(cls, parser: Parser) -> ProductOp:
        def pair():
            parser.parse_punctuation("(")
            a = parser.parse_unresolved_operand()
            parser.parse_punctuation(",")
            b = parser.parse_unresolved_operand()
            parser.parse_punctuation(")")
            return a, b

        pairs = [pair()]
        while parser.parse_optional_punctuation(","):
            pairs.append(pair())
        parser.parse_punctuation(":")
        kind = parser.parse_type()
        return cls([(parser.resolve_operand(a, kind), parser.resolve_operand(b, kind)) for a, b in pairs])

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        for position, (a, b) in enumerate(zip(self.lhs, self.rhs, strict=True)):
            printer.print_string(", (" if position else "(")
            printer.print_operand(a)
            printer.print_string(", ")
            printer.print_operand(b)
            printer.print_string(")")
        printer.print_string(" : ")
        printer.print_attribute(self.lhs[0].type)

    def verify_(self) -> None:
        if not self.lhs or len(self.lhs) != len(self.rhs):
            raise VerifyException(f"product needs pairs, found {len(self.lhs)} left and {len(self.rhs)} right factors")
        kinds = {value.type for value in self.operands}
        if len(kinds) != 1:
            raise VerifyException(f"all factors of a product have one type, found {', '.join(sorted(map(str, kinds)))}")


@irdl_op_definition
class IndexOp(IRDLOperation):
    """The current value of an expression over iteration dims and symbols of the program.

    ```mlir
    %k = lir.index P + k
    ```
    """

    name = "lir.index"
    expr = prop_def(DimExprAttr)
    result = result_def(IndexType())
    traits = traits_def(Pure())

    def __init__(self, expr: DimExpr):
        super().__init__(properties={"expr": DimExprAttr(expr)}, result_types=[IndexType()])

    @classmethod
    def parse(cls, parser: Parser) -> IndexOp:
        return cls(parse_dim_expr(parser))

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.expr.data}")


@irdl_op_definition
class ReadOp(IRDLOperation):
    """One element of a whole-buffer operand at computed indices (gather).

    Indices are `index`, `i64` or `i32`. Out of range: `oob(error)` faults with the op's location, `oob(clamp)` takes the nearest
    valid index, `oob(fill)` gives `fill`.

    ```mlir
    %t = lir.read %table[%id, %c] oob(error) : !lir.buffer<100 x 8 x f32>, i64, index
    ```
    """

    name = "lir.read"
    source = operand_def(BufferType)
    indices = var_operand_def()
    oob = prop_def(StringAttr)
    fill = opt_prop_def(Attribute)
    result = result_def()

    def __init__(self, source: SSAValue, indices: Sequence[SSAValue], oob: str = "error", fill: Attribute | None = None):
        assert isinstance(source.type, BufferType)
        super().__init__(
            operands=[source, indices],
            properties={"oob": StringAttr(oob), "fill": fill},
            result_types=[source.type.scalar_type],
        )

    @classmethod
    def parse(cls, parser: Parser) -> ReadOp:
        source = parser.parse_unresolved_operand()
        indices = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_unresolved_operand)
        parser.parse_keyword("oob")
        parser.parse_punctuation("(")
        policy = parser.parse_identifier()
        parser.parse_punctuation(")")
        fill = parser.parse_attribute() if policy == "fill" else None
        parser.parse_punctuation(":")
        kind = parser.parse_type()
        if not isinstance(kind, BufferType):
            parser.raise_error(f"lir.read takes a !lir.buffer, found {kind}")
        kinds = [parser.parse_type() for _ in indices if parser.parse_punctuation(",")]
        values = [parser.resolve_operand(i, t) for i, t in zip(indices, kinds, strict=True)]
        return cls(parser.resolve_operand(source, kind), values, policy, fill)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.source)
        printer.print_string("[")
        printer.print_list(self.indices, printer.print_operand)
        printer.print_string(f"] oob({self.oob.data})")
        if self.fill is not None:
            printer.print_string(" ")
            printer.print_attribute(self.fill)
        printer.print_string(" : ")
        printer.print_list([self.source.type, *(i.type for i in self.indices)], printer.print_attribute)

    def verify_(self) -> None:
        kind = self.source.type
        assert isinstance(kind, BufferType)
        if len(self.indices) != kind.rank:
            raise VerifyException(f"{len(self.indices)} indices into a buffer of rank {kind.rank}")
        for index in self.indices:
            if not is_index(index.type):
                raise VerifyException(f"an index is index, i64 or i32, found {index.type}")
        if self.oob.data not in OOB_POLICIES:
            raise VerifyException(f"oob policy '{self.oob.data}' is not one of {', '.join(OOB_POLICIES)}")
        if (self.oob.data == "fill") != (self.fill is not None):
            raise VerifyException("oob(fill) takes a fill value, the other policies none")
        if self.fill is not None and getattr(self.fill, "type", None) != kind.scalar_type:
            raise VerifyException(f"reads {kind.scalar_type} elements, but its fill value is {self.fill}")
        if self.result.type != kind.scalar_type:
            raise VerifyException(f"reads {kind.scalar_type} elements, but the result is {self.result.type}")


def is_index(kind: Attribute) -> bool:
    """Whether a value of this type may index a buffer inside a region."""
    return isinstance(kind, IndexType) or kind in (IntegerType(64), IntegerType(32))


def _element(kind: Attribute) -> Attribute:
    return kind.element_type if isinstance(kind, RowType) else kind


@irdl_op_definition
class EachOp(IRDLOperation):
    """A pointwise stage of a `lir.reduce`: a new row value from row values. Per-row scalars may be used directly.

    ```mlir
    %s = lir.each(%x, %r) {
    ^bb0(%a: f32, %b: f32):
      %t = arith.addf %a, %b : f32
      lir.yield %t : f32
    } : (!lir.row<f32>, !lir.row<f32>) -> !lir.row<f32>
    ```
    """

    name = "lir.each"
    rows = var_operand_def(RowType)
    outs = var_result_def(RowType)
    body = region_def("single_block")
    traits = traits_def(Pure())

    def __init__(self, rows: Sequence[SSAValue], body: Region, results: Sequence[Attribute]):
        super().__init__(operands=[rows], regions=[body], result_types=[results])

    @classmethod
    def parse(cls, parser: Parser) -> EachOp:
        rows = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        body = parser.parse_region()
        parser.parse_punctuation(":")
        ins = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_type)
        parser.parse_punctuation("->")
        outs = [parser.parse_type()]
        while parser.parse_optional_punctuation(","):
            outs.append(parser.parse_type())
        return cls(parser.resolve_operands(rows, ins, parser.pos), body, outs)

    def print(self, printer: Printer) -> None:
        printer.print_operands(self.rows)
        printer.print_string(" ")
        printer.print_region(self.body)
        printer.print_string(" : (")
        printer.print_list([r.type for r in self.rows], printer.print_attribute)
        printer.print_string(") -> ")
        printer.print_list([r.type for r in self.outs], printer.print_attribute)

    def verify_(self) -> None:
        check_region(self, self.body, [_element(r.type) for r in self.rows], [_element(r.type) for r in self.outs], "each")


@irdl_op_definition
class FoldOp(IRDLOperation):
    """A folding stage of a `lir.reduce`: one scalar tuple per row.

    `body` takes (accumulators…, elements…) and yields new accumulators; `combine` merges two accumulator tuples, so a fold may be
    split over lanes and threads. `init` is the identity of `combine`. The order of combination is by shape only, never by thread
    count.

    ```mlir
    %m = lir.fold(%s) init [0.0 : f32] {
    ^bb0(%acc: f32, %e: f32):
      %n = arith.addf %acc, %e : f32
      lir.yield %n : f32
    } combine {
    ^bb0(%a: f32, %b: f32):
      %n = arith.addf %a, %b : f32
      lir.yield %n : f32
    } : (!lir.row<f32>) -> f32
    ```
    """

    name = "lir.fold"
    rows = var_operand_def(RowType)
    outs = var_result_def()
    init = prop_def(ArrayAttr)
    body = region_def("single_block")
    combine = region_def("single_block")
    traits = traits_def(Pure())

    def __init__(
        self, rows: Sequence[SSAValue], init: Sequence[Attribute], body: Region, combine: Region, results: Sequence[Attribute]
    ):
        super().__init__(
            operands=[rows], properties={"init": ArrayAttr(init)}, regions=[body, combine], result_types=[results]
        )

    @classmethod
    def parse(cls, parser: Parser) -> FoldOp:
        rows = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        parser.parse_keyword("init")
        init = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_attribute)
        body = parser.parse_region()
        parser.parse_keyword("combine")
        combine = parser.parse_region()
        parser.parse_punctuation(":")
        ins = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_type)
        parser.parse_punctuation("->")
        outs = [parser.parse_type()]
        while parser.parse_optional_punctuation(","):
            outs.append(parser.parse_type())
        return cls(parser.resolve_operands(rows, ins, parser.pos), init, body, combine, outs)

    def print(self, printer: Printer) -> None:
        printer.print_operands(self.rows)
        printer.print_string(" init ")
        printer.print_attribute(self.init)
        printer.print_string(" ")
        printer.print_region(self.body)
        printer.print_string(" combine ")
        printer.print_region(self.combine)
        printer.print_string(" : (")
        printer.print_list([r.type for r in self.rows], printer.print_attribute)
        printer.print_string(") -> ")
        printer.print_list([r.type for r in self.outs], printer.print_attribute)

    def verify_(self) -> None:
        kinds = [r.type for r in self.outs]
        if len(self.init.data) != len(kinds):
            raise VerifyException(f"{len(kinds)} accumulators but {len(self.init.data)} initial values")
        for value, kind in zip(self.init.data, kinds, strict=True):
            if getattr(value, "type", None) != kind:
                raise VerifyException(f"initial value {value} is not of the accumulator's type {kind}")
        check_region(self, self.body, [*kinds, *(_element(r.type) for r in self.rows)], kinds, "fold body")
        check_region(self, self.combine, [*kinds, *kinds], kinds, "fold combine")


def check_region(op: Operation, region: Region, args: Sequence[Attribute], yields: Sequence[Attribute], what: str) -> None:
    """A region has one block with these argument types and ends in a `lir.yield` of these types."""
    block = region.blocks.first
    if block is None:
        raise VerifyException(f"{what} is empty")
    found = [arg.type for arg in block.args]
    if found != list(args):
        raise VerifyException(f"{what} takes ({types_text(args)}), but its block has ({types_text(found)})")
    check_yield(block, yields, what)


def check_yield(block: Block, yields: Sequence[Attribute], what: str) -> None:
    last = block.last_op
    if not isinstance(last, YieldOp):
        raise VerifyException(f"{what} must end in lir.yield")
    given = [value.type for value in last.values]
    if given != list(yields):
        raise VerifyException(f"{what} yields ({types_text(given)}), needs ({types_text(yields)})")


def types_text(kinds: Sequence[Attribute]) -> str:
    """Types as messages show them."""
    return ", ".join(map(str, kinds))

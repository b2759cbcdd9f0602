"""Types and attributes of LIR: buffers with layouts, row values, iteration dims, accesses, schedules.

A buffer's *shape* is logical. Its *layout* maps logical indices to physical ones; without one the physical index is the logical
index. Physical elements are row-major over the physical shape, so an element's place is one dimension expression:
`BufferType.offset(indices)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from xdsl.dialects.builtin import DictionaryAttr, IntegerType, NoneAttr, StringAttr
from xdsl.ir import Attribute, Data, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, DimLike, as_expr, const
from rlx_dialects.rlx import dtypes
from rlx_dialects.rlx.symbols import ConstraintAttr
from rlx_dialects.rlx.syntax import parse_dim_expr
from rlx_dialects.rlx.types import ShapeAttr, parse_shape_and_element, shape_text

ARENA_ALIGNMENT = 64
"""Bytes; every slot starts at a multiple."""


@irdl_attr_definition
class NamesAttr(Data[tuple[str, ...]]):
    """Names of index variables: `#lir.names<[k, n]>`."""

    name = "lir.names"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[str, ...]:
        with parser.in_angle_brackets():
            return tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_identifier))

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<[{', '.join(self.data)}]>")


@irdl_attr_definition
class LayoutAttr(ParametrizedAttribute):
    """Where elements lie: `#lir.layout<(k, n) -> (n floordiv 32, k, n mod 32) in [24, 384, 32]>`.

    `(k, n)` names the logical indices; the second list gives the physical ones; `in` the physical shape, which may pad. The map
    must be one-to-one on the logical shape and stay inside the physical one.
    """

    name = "lir.layout"

    names: NamesAttr
    physical: ShapeAttr
    extents: ShapeAttr

    @classmethod
    def get(cls, names: Iterable[str], physical: Iterable[DimLike], extents: Iterable[DimLike]) -> LayoutAttr:
        return cls(NamesAttr(tuple(names)), ShapeAttr(tuple(map(as_expr, physical))), ShapeAttr(tuple(map(as_expr, extents))))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            names = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_identifier)
            parser.parse_punctuation("->")
            physical = parser.parse_comma_separated_list(parser.Delimiter.PAREN, lambda: parse_dim_expr(parser))
            parser.parse_keyword("in")
            extents = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_dim_expr(parser))
        return NamesAttr(tuple(names)), ShapeAttr(tuple(physical)), ShapeAttr(tuple(extents))

    def print_parameters(self, printer: Printer) -> None:
        names, physical, extents = (", ".join(map(str, part.data)) for part in (self.names, self.physical, self.extents))
        printer.print_string(f"<({names}) -> ({physical}) in [{extents}]>")

    def verify(self) -> None:
        if len(self.physical.data) != len(self.extents.data):
            raise VerifyException(
                f"layout has {len(self.physical.data)} physical indices but {len(self.extents.data)} physical extents"
            )
        if len(set(self.names.data)) != len(self.names.data):
            raise VerifyException(f"layout names an index twice: ({', '.join(self.names.data)})")


@irdl_attr_definition
class BufferType(ParametrizedAttribute, TypeAttribute):
    """Memory of a shape, an element type and a layout: `!lir.buffer<B x 384 x f32>`, `!lir.buffer<768 x 64 x f32,
    #lir.layout<…>>`."""

    name = "lir.buffer"

    shape: ShapeAttr
    element_type: Attribute
    layout: LayoutAttr | NoneAttr

    @property
    def dims(self) -> tuple[DimExpr, ...]:
        return self.shape.data

    @property
    def rank(self) -> int:
        return len(self.shape.data)

    @property
    def physical_dims(self) -> tuple[DimExpr, ...]:
        return self.layout.extents.data if isinstance(self.layout, LayoutAttr) else self.shape.data

    @property
    def elements(self) -> DimExpr:
        """Physical elements, padding included."""
        total = const(1)
        for dim in self.physical_dims:
            total = total * dim
        return total

    @property
    def size_bytes(self) -> DimExpr:
        bits = dtypes.bit_width(self.element_type)
        return self.elements * (bits // 8) if bits >= 8 else (self.elements * bits + 7) // 8

    @property
    def scalar_type(self) -> Attribute:
        """The type of an element inside a region: unsigned integers become signless, the op says how to read them."""
        return scalar_type(self.element_type)

    def physical_indices(self, indices: Sequence[DimExpr]) -> tuple[DimExpr, ...]:
        if not isinstance(self.layout, LayoutAttr):
            return tuple(indices)
        env: Mapping[str, DimExpr] = dict(zip(self.layout.names.data, indices, strict=True))
        return tuple(expr.substitute(env) for expr in self.layout.physical.data)

    def offset(self, indices: Sequence[DimExpr]) -> DimExpr:
        """Element offset of logical `indices` from the start of the buffer."""
        result = const(0)
        for index, extent in zip(self.physical_indices(indices), self.physical_dims, strict=True):
            result = result * extent + index
        return result

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            dims, element_type = parse_shape_and_element(parser)
            layout = parser.parse_attribute() if parser.parse_optional_punctuation(",") else NoneAttr()
        return ShapeAttr(dims), element_type, layout

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(shape_text(self.dims))
            printer.print_attribute(self.element_type)
            if isinstance(self.layout, LayoutAttr):
                printer.print_string(", ")
                printer.print_attribute(self.layout)

    def verify(self) -> None:
        if not dtypes.is_dtype(self.element_type):
            raise VerifyException(f"'{self.element_type}' is not an element type; known: {', '.join(dtypes.BY_NAME)}")
        if isinstance(self.layout, LayoutAttr) and len(self.layout.names.data) != self.rank:
            raise VerifyException(f"a layout of {len(self.layout.names.data)} indices on a buffer of rank {self.rank}")


def scalar_type(element_type: Attribute) -> Attribute:
    if isinstance(element_type, IntegerType) and dtypes.is_unsigned_int(element_type):
        return IntegerType(element_type.width.data)
    return element_type


@lru_cache(maxsize=65536)
def _buffer(dims: tuple[DimExpr, ...], element_type: Attribute, layout: LayoutAttr | NoneAttr) -> BufferType:
    return BufferType(ShapeAttr(dims), element_type, layout)


def buffer(dims: Iterable[DimLike], element_type: Attribute | str, layout: LayoutAttr | None = None) -> BufferType:
    """Interned constructor; `element_type` is an IR type or an API dtype name."""
    element = dtypes.dtype(element_type) if isinstance(element_type, str) else element_type
    return _buffer(tuple(map(as_expr, dims)), element, layout or NoneAttr())


@irdl_attr_definition
class RowType(ParametrizedAttribute, TypeAttribute):
    """One value per position of a `lir.reduce`'s axis, for the current row: `!lir.row<f32>`."""

    name = "lir.row"

    element_type: Attribute


@irdl_attr_definition
class IterAttr(ParametrizedAttribute):
    """One iteration dim: `#lir.iter<k : P + S in [0, P + q + 1)>`. `extent` is its full range; bounds narrow it, affine in outer
    dims."""

    name = "lir.iter"

    symbol: StringAttr
    group: StringAttr
    extent: ShapeAttr
    bounds: ShapeAttr

    @classmethod
    def get(cls, symbol: str, group: str, extent: DimLike, bounds: tuple[DimLike, DimLike] | None = None) -> IterAttr:
        limits = tuple(map(as_expr, bounds)) if bounds else ()
        return cls(StringAttr(symbol), StringAttr(group), ShapeAttr((as_expr(extent),)), ShapeAttr(limits))

    @property
    def dim(self) -> DimExpr:
        return self.extent.data[0]

    @property
    def range(self) -> tuple[DimExpr, DimExpr]:
        """Half-open range actually visited."""
        return (self.bounds.data[0], self.bounds.data[1]) if self.bounds.data else (const(0), self.dim)

    def text(self) -> str:
        limits = f" in [{self.bounds.data[0]}, {self.bounds.data[1]})" if self.bounds.data else ""
        return f"{self.symbol.data} : {self.dim}{limits}"

    @classmethod
    def parse_in_group(cls, parser: AttrParser, group: str) -> IterAttr:
        symbol = parser.parse_identifier(" (iteration dim)")
        parser.parse_punctuation(":")
        extent = parse_dim_expr(parser)
        bounds = None
        if parser.parse_optional_keyword("in"):
            parser.parse_punctuation("[")
            lower = parse_dim_expr(parser)
            parser.parse_punctuation(",")
            bounds = (lower, parse_dim_expr(parser))
            parser.parse_punctuation(")")
        return cls.get(symbol, group, extent, bounds)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            group = parser.parse_identifier()
            parsed = cls.parse_in_group(parser, group)
        return parsed.parameters

    def print_parameters(self, printer: Printer) -> None:
        printer.print_string(f"<{self.group.data} {self.text()}>")


@irdl_attr_definition
class AccessAttr(ParametrizedAttribute):
    """How a form reaches an operand.

    `#lir.access<[m, k]>`: one element per point, at these logical indices. `#lir.access<[n, p + r - 1] else 0.0 : f32>`: the
    same, with `fill` where an index is out of range. `#lir.access<whole>`: the region gets the buffer itself and reads it with
    `lir.read`.
    """

    name = "lir.access"

    indices: ShapeAttr | NoneAttr
    fill: Attribute

    @classmethod
    def get(cls, indices: Iterable[DimLike] | None, fill: Attribute | None = None) -> AccessAttr:
        shape = NoneAttr() if indices is None else ShapeAttr(tuple(map(as_expr, indices)))
        # An integer attribute of 0 counts as false.
        return cls(shape, NoneAttr() if fill is None else fill)

    @property
    def is_whole(self) -> bool:
        return isinstance(self.indices, NoneAttr)

    @property
    def exprs(self) -> tuple[DimExpr, ...]:
        return self.indices.data if isinstance(self.indices, ShapeAttr) else ()

    @property
    def is_guarded(self) -> bool:
        return not isinstance(self.fill, NoneAttr)

    @property
    def symbols(self) -> frozenset[str]:
        return frozenset().union(*(expr.symbols for expr in self.exprs))

    @classmethod
    def parse_suffix(cls, parser: AttrParser) -> AccessAttr:
        """What follows the operand's name in a form: `[i, j]`, `[i, j] else 0.0 : f32`, or nothing."""
        exprs = parser.parse_optional_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_dim_expr(parser))
        fill = parser.parse_attribute() if exprs is not None and parser.parse_optional_keyword("else") else None
        return cls.get(exprs, fill)

    def print_suffix(self, printer: Printer) -> None:
        if self.is_whole:
            return
        printer.print_string(f"[{', '.join(map(str, self.exprs))}]")
        if self.is_guarded:
            printer.print_string(" else ")
            printer.print_attribute(self.fill)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            whole = parser.parse_optional_keyword("whole")
            parsed = cls.get(None) if whole else cls.parse_suffix(parser)
        return parsed.parameters

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            if self.is_whole:
                printer.print_string("whole")
            self.print_suffix(printer)


@irdl_attr_definition
class ScheduleAttr(ParametrizedAttribute):
    """One way to run a form: `#lir.schedule<"packed" {tile = [8, 32]}>`, optionally only `when` a condition on dims holds.

    A form carries an ordered list; the entry takes the first whose condition holds, so the last has none.
    """

    name = "lir.schedule"

    kind: StringAttr
    params: DictionaryAttr
    condition: ConstraintAttr | NoneAttr

    @classmethod
    def get(
        cls, kind: str, params: Mapping[str, Attribute] | None = None, condition: ConstraintAttr | None = None
    ) -> ScheduleAttr:
        return cls(StringAttr(kind), DictionaryAttr(dict(params or {})), condition or NoneAttr())

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            kind = parser.parse_str_literal()
            params = DictionaryAttr(parser.parse_optional_dictionary_attr_dict())
            condition = parser.parse_attribute() if parser.parse_optional_keyword("when") else NoneAttr()
        return StringAttr(kind), params, condition

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string_literal(self.kind.data)
            if self.params.data:
                printer.print_string(" ")
                printer.print_attr_dict(self.params.data)
            if isinstance(self.condition, ConstraintAttr):
                printer.print_string(" when ")
                printer.print_attribute(self.condition)

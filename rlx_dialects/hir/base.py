"""What all HIR ops share: inference, verification, construction and one regular assembly.

An op declares operands, properties and results with IRDL and defines `infer`, a total function from its operand types,
its properties and the facts about dims to its result types. The constructor asks `infer`, the verifier compares with it:
a result type in text is a statement that is checked, never a source.

The assembly is that of MIR, generated from the declaration; a group of required operands may stand behind a keyword:

    %results = hir.name %required, %operands, optional %c, group %d, %e(property = value, flag) {attributes} : (types) -> types
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from xdsl.dialects.builtin import (
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    UnitAttr,
    f64,
    i64,
)
from xdsl.ir import Attribute, OpResult, SSAValue, SSAValues
from xdsl.irdl import IRDLOperation, OptOperandDef, OptPropertyDef, VarOperandDef, traits_def
from xdsl.parser import Parser, UnresolvedOperand
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimLike, as_expr
from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.infer import NO_FACTS
from rlx_dialects.mir.attributes import ints_text, parse_ints, parse_real, real_text
from rlx_dialects.rlx import DimExprAttr, ShapeAttr, StateType, TensorType, facts_of
from rlx_dialects.rlx.syntax import parse_dim_expr

_SEGMENTS = "operandSegmentSizes"
Operands = Sequence[SSAValue | Sequence[SSAValue] | None]


class HirOp(IRDLOperation):
    """Base of all HIR ops. `GROUPS` gathers required operands behind a keyword: `query %w, %b`."""

    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    traits = traits_def(Pure())

    def _init(
        self, operands: Operands, properties: Mapping[str, Attribute | None], facts: Facts | None, results: int = 1
    ) -> None:
        """Build with inferred result types; VerifyException says what does not fit, and leaves no use behind."""
        given = {name: value for name, value in properties.items() if value is not None}
        placeholders = [UnitAttr()] * results
        IRDLOperation.__init__(self, operands=operands, properties=given, result_types=placeholders)
        try:
            types = self.infer(NO_FACTS if facts is None else facts)
        except VerifyException:
            self.drop_all_references()
            raise
        self.results = SSAValues(OpResult(result_type, self, index) for index, result_type in enumerate(types))

    @abstractmethod
    def infer(self, facts: Facts) -> Sequence[TensorType | StateType]:
        """The result types; VerifyException where operands and properties do not fit together."""

    def verify_(self) -> None:
        facts = facts_of(self)
        for index, (result, inferred) in enumerate(zip(self.results, self.infer(facts), strict=True)):
            if result.type != inferred and not _equal_types(facts, result.type, inferred):
                name = f"result {index}" if len(self.results) > 1 else "the result"
                raise VerifyException(f"{name} is declared {result.type}, but the operands make it {inferred}")

    # -- assembly

    @classmethod
    def parse(cls, parser: Parser) -> HirOp:
        layout = _layout(cls)
        position = parser.pos
        operands = layout.parse_operands(parser)
        properties = layout.parse_properties(parser)
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":", f" before the type of '{cls.name}'")
        function_type = parser.parse_function_type()
        definition = cls.get_irdl_definition()
        segments = [operands.get(name, []) for name, _ in definition.operands]
        flat = parser.resolve_operands([value for segment in segments for value in segment], function_type.inputs.data, position)
        resolved = iter(flat)
        built: list[Sequence[SSAValue]] = [[next(resolved) for _ in segment] for segment in segments]
        if len(function_type.outputs.data) != len(definition.results):
            parser.raise_error(f"'{cls.name}' has {len(definition.results)} result(s)", position, parser.pos)
        return cls.build(
            operands=built, result_types=list(function_type.outputs.data), properties=properties, attributes=attributes
        )

    def print(self, printer: Printer) -> None:
        layout = _layout(type(self))
        separator = " "
        for keyword, names in layout.operand_groups:
            values = [value for name in names for value in _values(self, name)]
            if values:
                printer.print_string(separator + (f"{keyword} " if keyword else ""))
                printer.print_list(values, printer.print_operand)
                separator = ", "
        parts = []
        for name in layout.properties:
            value = self.properties.get(name)
            if value is not None and value != layout.defaults.get(name):
                parts.append(name if isinstance(value, UnitAttr) else f"{name} = {_text(value)}")
        if parts:
            printer.print_string(f"({', '.join(parts)})")
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_function_type(self.operand_types, self.result_types)


def _values(op: HirOp, name: str) -> Sequence[SSAValue]:
    value = getattr(op, name)
    if value is None:
        return ()
    return (value,) if isinstance(value, SSAValue) else tuple(value)


def _equal_types(facts: Facts, a: Attribute, b: Attribute) -> bool:
    """Whether two types are equal given what is known of the dims."""
    if type(a) is not type(b) or not isinstance(a, TensorType | StateType) or not isinstance(b, TensorType | StateType):
        return False
    if a.element_type != b.element_type or a.rank != b.rank:
        return False
    return all(facts.prove_eq(p, q) is True for p, q in zip(a.dims, b.dims, strict=True))


class _Layout(NamedTuple):
    """Which operands and properties stand where in the text of one op class."""

    name: str
    operand_groups: tuple[tuple[str, tuple[str, ...]], ...]
    """(keyword, operand names) in the order of the text; the first has no keyword and holds the positional ones."""
    variadic: bool
    optional: frozenset[str]
    properties: dict[str, type[Attribute]]
    defaults: dict[str, Attribute]
    required: tuple[str, ...]

    def parse_operands(self, parser: Parser) -> dict[str, list[UnresolvedOperand]]:
        position = parser.pos
        groups = dict(self.operand_groups)
        found: dict[str, list[UnresolvedOperand]] = {keyword: [] for keyword in groups}
        keyword = ""
        more = True
        while more:
            word = parser.parse_optional_keyword_in(groups)
            if word is not None:
                if found[word]:
                    parser.raise_error(f"'{word}' is given twice")
                keyword = word
            value = parser.parse_optional_unresolved_operand()
            if value is None:
                if keyword or position != parser.pos:
                    parser.raise_error("operand expected")
                break
            found[keyword].append(value)
            more = parser.parse_optional_punctuation(",") is not None
        operands: dict[str, list[UnresolvedOperand]] = {}
        for keyword, names in self.operand_groups:
            values = found[keyword]
            if not keyword and self.variadic:
                operands[names[0]] = values
                continue
            if len(values) != len(names) and not (not values and keyword in self.optional):
                where = f"after '{keyword}'" if keyword else "by position"
                wanted = f"{len(names)} operand(s) {where} ({', '.join(names)})" if names else f"no operand {where}"
                parser.raise_error(f"'{self.name}' takes {wanted}, found {len(values)}", position, parser.pos)
            operands |= {name: [value] for name, value in zip(names, values)}
        return operands

    def parse_properties(self, parser: Parser) -> dict[str, Attribute]:
        position = parser.pos
        found: dict[str, Attribute] = {}

        def one() -> None:
            name = parser.parse_identifier(" (property name)")
            if name not in self.properties or name in found:
                known = ", ".join(self.properties) or "none"
                problem = "is given twice" if name in found else f"is not a property of '{self.name}'; it has: {known}"
                parser.raise_error(f"'{name}' {problem}")
            kind = self.properties[name]
            if kind is not UnitAttr:
                parser.parse_punctuation("=")
            found[name] = _parse_value(parser, kind)

        parser.parse_optional_comma_separated_list(parser.Delimiter.PAREN, one)
        missing = [name for name in self.required if name not in found]
        if missing:
            parser.raise_error(f"'{self.name}' needs the property '{missing[0]}'", position, parser.pos)
        return found


@lru_cache(maxsize=256)
def _layout(cls: type[HirOp]) -> _Layout:
    definition = cls.get_irdl_definition()
    grouped = {name for names in cls.GROUPS.values() for name in names}
    optional = [name for name, kind in definition.operands if isinstance(kind, OptOperandDef)]
    positional = tuple(name for name, _ in definition.operands if name not in grouped and name not in optional)
    variadic = any(isinstance(kind, VarOperandDef) and not isinstance(kind, OptOperandDef) for _, kind in definition.operands)
    groups = (("", positional), *cls.GROUPS.items(), *((name, (name,)) for name in optional))
    properties = {name: kind for name, kind in definition.properties.items() if name != _SEGMENTS}
    defaults = {name: kind.default_value for name, kind in properties.items() if kind.default_value is not None}
    required = tuple(name for name, kind in properties.items() if name not in defaults and not isinstance(kind, OptPropertyDef))
    kinds = {name: _kind(kind) for name, kind in properties.items()}
    return _Layout(cls.name, groups, variadic, frozenset(optional), kinds, defaults, required)


def _kind(definition: Any) -> type[Attribute]:
    """The attribute class of a property, `Attribute` where it may be any."""
    bases = definition.constr.get_bases()
    return next(iter(bases)) if bases and len(bases) == 1 else Attribute


def _parse_value(parser: Parser, kind: type[Attribute]) -> Attribute:
    if kind is UnitAttr:
        return UnitAttr()
    if kind is StringAttr:
        return StringAttr(parser.parse_identifier())
    if kind is IntegerAttr:
        return integer(parser.parse_integer(allow_boolean=False))
    if kind is FloatAttr:
        return number(parse_real(parser))
    if kind is DimExprAttr:
        return DimExprAttr(parse_dim_expr(parser))
    if kind is ShapeAttr:
        return ShapeAttr(tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_dim_expr(parser))))
    if kind is DenseArrayBase:
        return integers(parse_ints(parser))
    return parser.parse_type()


def _text(value: Attribute) -> str:
    match value:
        case StringAttr():
            return value.data
        case IntegerAttr():
            return str(value.value.data)
        case FloatAttr():
            return real_text(value.value.data)
        case ShapeAttr():
            return f"[{', '.join(map(str, value.data))}]"
        case DenseArrayBase():
            return ints_text(as_ints(value))
        case DimExprAttr():
            return str(value.data)
        case _:
            return str(value)


# -- attributes from Python values


@lru_cache(maxsize=4096)
def integer(value: int) -> IntegerAttr:
    return IntegerAttr(value, i64)


def integers(values: Sequence[int]) -> DenseArrayBase:
    return DenseArrayBase.from_list(i64, list(values))


def as_ints(value: DenseArrayBase) -> tuple[int, ...]:
    """The inverse of `integers`."""
    return tuple(value.get_values())  # pyright: ignore[reportAttributeAccessIssue]


@lru_cache(maxsize=4096)
def number(value: float) -> FloatAttr:
    return FloatAttr(value, f64)


def dim(value: DimLike) -> DimExprAttr:
    return DimExprAttr(as_expr(value))


def shape(values: Sequence[DimLike]) -> ShapeAttr:
    return ShapeAttr(tuple(map(as_expr, values)))

"""What all MIR ops share: one syntax, one way to infer results, one verifier.

```
mir.NAME %a, %b, mask %m(axis = 1, keepdims) : (T, T, T) -> T
```
Required operands come first, by position; an optional one is preceded by its name. Properties follow in parentheses in the
order of their declaration: integers, `[lists]`, numbers, words, dim expressions; a flag is its bare name. Ops whose operands
and results all have one type (`UniformOp`) print it once, `: T`, as do ops without operands.

An op's `infer` is the one statement of its shape rule. It takes the operand types and the properties as plain Python
values and returns the result type, or a tuple of them, or raises VerifyException. The constructor uses it to make the
results, the verifier to check them: a printed result type is never trusted. Where a result type carries information of
its own (the dtype of a cast, the shape of a reshape), `given` reads it back for `infer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeAlias, cast

from xdsl.dialects.builtin import DenseArrayBase, IntAttr, StringAttr, UnitAttr, i32
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    BaseAttr,
    IRDLOperation,
    OptOperandDef,
    OptPropertyDef,
    VarOperandDef,
    traits_def,
)
from xdsl.parser import Parser, UnresolvedOperand
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import as_expr
from rlx_dialects.mir.attributes import DenseAttr, IntsAttr, RealAttr, ints_text, parse_ints, parse_real, real_text
from rlx_dialects.mir.shapes import UNPROVED, Known, Need, Shaped
from rlx_dialects.rlx import DimExprAttr, ShapeAttr, StateType, TensorType, facts_of
from rlx_dialects.rlx.syntax import parse_dim_expr

TENSOR = BaseAttr(TensorType)
STATE = BaseAttr(StateType)
TENSOR_OR_STATE = TENSOR | STATE

Value: TypeAlias = SSAValue | Operation
Types: TypeAlias = Shaped | tuple[Shaped, ...]


@dataclass(frozen=True)
class _Codec:
    """How one class of attribute is made from a Python value, read from text and printed."""

    make: Callable[[Any], Attribute]
    parse: Callable[[Parser], Attribute]
    text: Callable[[Any], str]


_CODECS: dict[type[Attribute], _Codec] = {
    IntAttr: _Codec(IntAttr, lambda p: IntAttr(p.parse_integer()), lambda a: str(a.data)),
    IntsAttr: _Codec(lambda v: IntsAttr(tuple(v)), lambda p: IntsAttr(parse_ints(p)), lambda a: ints_text(a.data)),
    RealAttr: _Codec(lambda v: RealAttr(float(v)), lambda p: RealAttr(parse_real(p)), lambda a: real_text(a.data)),
    StringAttr: _Codec(StringAttr, lambda p: StringAttr(p.parse_identifier()), lambda a: a.data),
    DimExprAttr: _Codec(lambda v: DimExprAttr(as_expr(v)), lambda p: DimExprAttr(parse_dim_expr(p)), lambda a: str(a.data)),
    ShapeAttr: _Codec(
        lambda v: ShapeAttr(tuple(map(as_expr, v))),
        lambda p: ShapeAttr(tuple(p.parse_comma_separated_list(p.Delimiter.SQUARE, lambda: parse_dim_expr(p)))),
        lambda a: f"[{', '.join(map(str, a.data))}]",
    ),
    UnitAttr: _Codec(lambda v: UnitAttr(), lambda p: UnitAttr(), lambda a: ""),
    DenseAttr: _Codec(DenseAttr, lambda p: DenseAttr(DenseAttr.parse_parameter(p)), lambda a: f'<"0x{a.data.hex()}">'),
}


@cache
def _properties(cls: type[MirOp]) -> dict[str, tuple[type[Attribute], bool]]:
    """Property name -> (attribute class, optional), in order of declaration."""
    found: dict[str, tuple[type[Attribute], bool]] = {}
    for name, definition in cls.get_irdl_definition().properties.items():
        if name != AttrSizedOperandSegments.attribute_name:
            found[name] = (cast(BaseAttr, definition.constr).attr, isinstance(definition, OptPropertyDef))
    return found


@cache
def _operand_kinds(cls: type[MirOp]) -> tuple[tuple[str, str], ...]:
    """(operand name, 'one' | 'optional' | 'many') in order."""
    return tuple(
        (name, "optional" if isinstance(d, OptOperandDef) else "many" if isinstance(d, VarOperandDef) else "one")
        for name, d in cls.get_irdl_definition().operands
    )


@cache
def _has_segments(cls: type[MirOp]) -> bool:
    return any(isinstance(option, AttrSizedOperandSegments) for option in cls.get_irdl_definition().options)


class MirOp(IRDLOperation):
    """Base of every MIR op: pure, tensors (and state values) in, tensors out."""

    traits = traits_def(Pure())
    UNIFORM: ClassVar[bool] = False

    def _build(self, *operands: Value | Sequence[Value] | None, known: Known = UNPROVED, **params: Any) -> None:
        """Set up the op from operands (None for an absent optional one) and Python values of `infer`'s parameters."""
        groups: list[tuple[SSAValue, ...]] = []
        types: list[Any] = []
        for operand, (_, kind) in zip(operands, _operand_kinds(type(self)), strict=True):
            many = () if operand is None else tuple(operand) if isinstance(operand, Sequence) else (operand,)
            values = tuple(SSAValue.get(value) for value in many)
            groups.append(values)
            if kind == "many":
                types += (value.type for value in values)
            else:
                types.append(values[0].type if values else None)
        properties: dict[str, Attribute] = {}
        for name, (attr, _) in _properties(type(self)).items():
            if (value := params.get(name)) is not None and value is not False:
                properties[name] = _CODECS[attr].make(value)
        # infer sees what a reader of the op would see: the values after conversion, None where a property is absent.
        params |= self._property_values(properties)
        if _has_segments(type(self)):
            properties[AttrSizedOperandSegments.attribute_name] = _segments(groups)
        inferred = type(self).infer(known, *types, **params)
        Operation.__init__(
            self,
            operands=[value for group in groups for value in group],
            result_types=inferred if isinstance(inferred, tuple) else (inferred,),
            properties=properties,
        )

    @staticmethod
    def infer(known: Known, *operands: Any, **params: Any) -> Types:
        """The result type(s) for operand types and properties; every op has its own."""
        raise NotImplementedError

    def given(self) -> dict[str, Any]:
        """What `infer` needs beyond operands and properties because only the result type says it."""
        return {}

    def params(self) -> dict[str, Any]:
        """The properties as Python values; None (False for a flag) where absent."""
        return self._property_values(self.properties)

    @classmethod
    def _property_values(cls, properties: dict[str, Attribute]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, (attr, _) in _properties(cls).items():
            found = properties.get(name)
            values[name] = found is not None if attr is UnitAttr else None if found is None else cast(Any, found).data
        return values

    def check(self, known: Known) -> None:
        """Compare the results with what `infer` gives; VerifyException where they differ."""
        types: list[Any] = []
        for name, kind in _operand_kinds(type(self)):
            value = getattr(self, name)
            if kind == "many":
                types += (v.type for v in value)
            else:
                types.append(None if value is None else value.type)
        inferred = type(self).infer(known, *types, **self.params(), **self.given())
        inferred = inferred if isinstance(inferred, tuple) else (inferred,)
        for result, wanted in zip(self.results, inferred, strict=True):
            found = result.type
            if found is wanted:
                continue
            if type(found) is not type(wanted) or cast(Shaped, found).element_type != wanted.element_type:
                raise VerifyException(f"the result type is {found}, but the operands give {wanted}")
            known.same_dims(cast(Shaped, found).dims, wanted.dims, f"the result type is {found}, but the operands give {wanted}")

    def verify_(self) -> None:
        self.check(Known(facts_of(self)))

    def needs(self) -> list[Need]:
        """The inequalities this op relies on and the facts in scope leave open."""
        known = Known(facts_of(self))
        self.check(known)
        return known.needs

    # -- syntax

    @classmethod
    def parse(cls, parser: Parser) -> MirOp:
        position = parser.pos
        unresolved, sizes = cls._parse_operands(parser)
        properties = cls._parse_properties(parser)
        if _has_segments(cls):
            properties[AttrSizedOperandSegments.attribute_name] = DenseArrayBase.from_list(i32, sizes)
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        if (function := parser.parse_optional_function_type()) is not None:
            types, results = function.inputs.data, function.outputs.data
        else:
            # Ops without operands name their result; in uniform ones that is the type of the operands too.
            result = parser.parse_type()
            types, results = [result] * len(unresolved) if cls.UNIFORM else [], [result]
        operands = parser.resolve_operands(unresolved, types, position)
        return cls.create(operands=operands, result_types=results, properties=properties, attributes=attributes)

    @classmethod
    def _parse_operands(cls, parser: Parser) -> tuple[list[UnresolvedOperand], list[int]]:
        """The operands in order of definition, and how many each definition has."""
        kinds = _operand_kinds(cls)
        positional: list[UnresolvedOperand] = []
        named: dict[str, UnresolvedOperand] = {}
        optional = [name for name, kind in kinds if kind == "optional"]
        while kinds:
            name = parser.parse_optional_keyword_in(optional) if optional else None
            if name is None:
                positional.append(parser.parse_unresolved_operand())
            else:
                named[name] = parser.parse_unresolved_operand()
            if parser.parse_optional_punctuation(",") is None:
                break
        required = sum(kind == "one" for _, kind in kinds)
        many = any(kind == "many" for _, kind in kinds)
        if len(positional) < required or (len(positional) > required and not many):
            parser.raise_error(f"{cls.name} takes {required} operands by position, found {len(positional)}")
        rest = iter(positional)
        ordered: list[UnresolvedOperand] = []
        sizes: list[int] = []
        for name, kind in kinds:
            group = [next(rest)] if kind == "one" else list(rest) if kind == "many" else [named[name]] if name in named else []
            ordered += group
            sizes.append(len(group))
        return ordered, sizes

    @classmethod
    def _parse_properties(cls, parser: Parser) -> dict[str, Attribute]:
        table = _properties(cls)
        found: dict[str, Attribute] = {}

        def one() -> None:
            name = parser.parse_identifier(" (property name)")
            if name not in table or name in found:
                problem = "is given twice" if name in found else f"is not a property of {cls.name}; it has: {', '.join(table)}"
                parser.raise_error(f"'{name}' {problem}")
            attr, _ = table[name]
            if attr is not UnitAttr:
                parser.parse_punctuation("=")
            found[name] = _CODECS[attr].parse(parser)

        parser.parse_optional_comma_separated_list(parser.Delimiter.PAREN, one)
        missing = [name for name, (_, optional) in table.items() if not optional and name not in found]
        if missing:
            parser.raise_error(f"{cls.name} needs the property '{missing[0]}'")
        return {name: found[name] for name in table if name in found}

    def print(self, printer: Printer) -> None:
        separator = " "
        for name, kind in _operand_kinds(type(self)):
            value = getattr(self, name)
            for operand in () if value is None else value if kind == "many" else (value,):
                printer.print_string(separator + (f"{name} " if kind == "optional" else ""))
                printer.print_operand(operand)
                separator = ", "
        parts = []
        for name, (attr, _) in _properties(type(self)).items():
            if (found := self.properties.get(name)) is not None:
                parts.append(name if attr is UnitAttr else f"{name} = {_CODECS[attr].text(found)}")
        if parts:
            printer.print_string(f"({', '.join(parts)})")
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        result = self.results[0].type
        # Operands of a uniform op may differ in text (S and T, stated equal); then all types are printed.
        if not self.operands or (self.UNIFORM and all(operand.type == result for operand in self.operands)):
            printer.print_attribute(result)
        else:
            printer.print_operation_type(self)


class UniformOp(MirOp):
    """An op whose operands and results all have one type, which is printed once."""

    UNIFORM: ClassVar[bool] = True


def _segments(groups: Sequence[Sequence[SSAValue]]) -> Attribute:
    return DenseArrayBase.from_list(i32, [len(group) for group in groups])

"""`!rlx.tensor` and `!rlx.state`: what values are, at HIR and MIR."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from xdsl.ir import Attribute, Data, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, DimLike, as_expr
from rlx_dialects.rlx import dtypes
from rlx_dialects.rlx.syntax import dim_text, parse_dim_atom, parse_dim_expr


@irdl_attr_definition
class ShapeAttr(Data[tuple[DimExpr, ...]]):
    """A list of dimension expressions: `#rlx.shape<[B, (P + S), 64]>`."""

    name = "rlx.shape"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[DimExpr, ...]:
        with parser.in_angle_brackets():
            return tuple(
                parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_dim_expr(parser))
            )

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<[{', '.join(map(str, self.data))}]>")


@irdl_attr_definition
class DimExprAttr(Data[DimExpr]):
    """One dimension expression as an attribute: `#rlx.expr<P + S>`."""

    name = "rlx.expr"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> DimExpr:
        with parser.in_angle_brackets():
            return parse_dim_expr(parser)

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<{self.data}>")


def parse_shape_and_element(parser: AttrParser) -> tuple[tuple[DimExpr, ...], Attribute]:
    """`B x (P + S) x 64 x f32`, without the angle brackets."""
    dims: list[DimExpr] = []
    while True:
        # A parenthesis opens an expression here; asked first, the type parser would read a function type.
        if parser.parse_optional_punctuation("("):
            dims.append(parse_dim_expr(parser))
            parser.parse_punctuation(")", " after a dimension expression")
        elif (element_type := parser.parse_optional_type()) is not None:
            return tuple(dims), element_type
        else:
            dims.append(parse_dim_atom(parser))
        parser.parse_keyword("x", " between dimensions of a shape")


def shape_text(dims: Iterable[DimExpr]) -> str:
    return "".join(f"{dim_text(dim)} x " for dim in dims)


class _Shaped(ParametrizedAttribute, TypeAttribute):
    shape: ShapeAttr
    element_type: Attribute

    @property
    def dims(self) -> tuple[DimExpr, ...]:
        return self.shape.data

    @property
    def rank(self) -> int:
        return len(self.shape.data)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            dims, element_type = parse_shape_and_element(parser)
        return ShapeAttr(dims), element_type

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(shape_text(self.dims))
            printer.print_attribute(self.element_type)

    def verify(self) -> None:
        if not dtypes.is_dtype(self.element_type):
            raise VerifyException(f"'{self.element_type}' is not an element type; known: {', '.join(dtypes.BY_NAME)}")
        for dim in self.dims:
            if dim.is_const and dim.value < 0:
                raise VerifyException(f"dimension {dim} is negative")


@irdl_attr_definition
class TensorType(_Shaped):
    """A dense value of known dtype and symbolic shape: `!rlx.tensor<B x (P + S) x 768 x f32>`; rank 0 is `!rlx.tensor<f32>`."""

    name = "rlx.tensor"

    # Declared in both classes: xDSL compares and hashes an attribute by the fields of its own class only.
    shape: ShapeAttr
    element_type: Attribute


@irdl_attr_definition
class StateType(_Shaped):
    """The value of a state argument (KV cache, SSM state): `!rlx.state<B x 8 x C x 128 x bf16>`.

    Value semantics in HIR and MIR.
    """

    name = "rlx.state"

    shape: ShapeAttr
    element_type: Attribute


@lru_cache(maxsize=65536)
def _tensor(dims: tuple[DimExpr, ...], element_type: Attribute) -> TensorType:
    return TensorType(ShapeAttr(dims), element_type)


@lru_cache(maxsize=4096)
def _state(dims: tuple[DimExpr, ...], element_type: Attribute) -> StateType:
    return StateType(ShapeAttr(dims), element_type)


def tensor(dims: Iterable[DimLike], element_type: Attribute | str) -> TensorType:
    """Interned constructor; `element_type` is an IR type or an API dtype name."""
    return _tensor(
        tuple(map(as_expr, dims)), dtypes.dtype(element_type) if isinstance(element_type, str) else element_type
    )


def state(dims: Iterable[DimLike], element_type: Attribute | str) -> StateType:
    """Interned constructor of `!rlx.state`."""
    return _state(tuple(map(as_expr, dims)), dtypes.dtype(element_type) if isinstance(element_type, str) else element_type)


def tensor_type(value: SSAValue) -> TensorType:
    """The tensor type of a value; VerifyException if it has another type."""
    if not isinstance(value.type, TensorType):
        raise VerifyException(f"expected a !rlx.tensor, found {value.type}")
    return value.type


def shaped_type(value: SSAValue) -> TensorType | StateType:
    """The tensor or state type of a value; VerifyException if it has another type."""
    if not isinstance(value.type, TensorType | StateType):
        raise VerifyException(f"expected a !rlx.tensor or !rlx.state, found {value.type}")
    return value.type

"""Literals. Weights are parameters; a constant is small."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from xdsl.dialects.builtin import PackableType
from xdsl.ir import Attribute
from xdsl.irdl import irdl_op_definition, prop_def, result_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.mir.attributes import DenseAttr, parse_hex, parse_number, real_text
from rlx_dialects.mir.base import TENSOR, MirOp
from rlx_dialects.mir.shapes import Known, type_text
from rlx_dialects.rlx import TensorType, dtypes, tensor

PRINTED_ELEMENTS = 64
"""Longer constants print as one string of hexadecimal digits."""


def element_bytes(element_type: Attribute) -> int:
    """Bytes of one element in a constant; i4 and i1 take one each."""
    return max(1, dtypes.bit_width(element_type) // 8)


def pack(values: Iterable[Any], element_type: Attribute) -> bytes:
    """Little-endian bytes of Python numbers; floats are rounded to nearest even, OverflowError if an integer does not fit."""
    if dtypes.is_float(element_type):
        assert isinstance(element_type, PackableType)
        return b"".join(_pack_float(float(value), element_type) for value in values)
    size = element_bytes(element_type)
    if element_type == dtypes.BOOL:
        return bytes(int(bool(value)) for value in values)
    bits, signed = dtypes.bit_width(element_type), dtypes.is_signed_int(element_type)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    packed = bytearray()
    for value in values:
        if not low <= int(value) <= high:
            raise OverflowError(f"{value} does not fit {element_type}, whose range is [{low}, {high}]")
        packed += int(value).to_bytes(size, "little", signed=signed)
    return bytes(packed)


def unpack(data: bytes, element_type: Attribute) -> list[Any]:
    """The inverse of `pack`."""
    if dtypes.is_float(element_type):
        assert isinstance(element_type, PackableType)
        return list(element_type.unpack(data, len(data) // element_bytes(element_type)))
    if element_type == dtypes.BOOL:
        return [bool(byte) for byte in data]
    size, signed = element_bytes(element_type), dtypes.is_signed_int(element_type)
    return [int.from_bytes(data[i : i + size], "little", signed=signed) for i in range(0, len(data), size)]


@irdl_op_definition
class ConstantOp(MirOp):
    """Elements known at compile time, at most 64 KiB, of a static shape. Elements all equal are kept once (a splat).

    ```mlir
    %c = mir.constant dense<[1.0, 2.5]> : !rlx.tensor<2 x f32>
    ```
    """

    name = "mir.constant"
    MAX_BYTES: ClassVar[int] = 1 << 16

    value = prop_def(DenseAttr)
    result = result_def(TENSOR)

    def __init__(self, data: bytes, result_type: TensorType):
        """Little-endian `data` of the elements of `result_type` in row-major order, or of one element for all."""
        size = element_bytes(result_type.element_type)
        if len(data) > size and data == data[:size] * (len(data) // size):
            data = data[:size]
        self._build(value=data, result_type=result_type)

    @classmethod
    def of(cls, values: Any, dtype: str | Attribute) -> ConstantOp:
        """From a number or nested lists of numbers."""
        shape: list[int] = []
        level = values
        while isinstance(level, Sequence):
            shape.append(len(level))
            if not level:
                break
            level = level[0]
        result_type = tensor(shape, dtype)
        return cls(pack(_flatten(values, shape), result_type.element_type), result_type)

    @staticmethod
    def infer(known: Known, value: bytes, result_type: TensorType) -> TensorType:
        if not all(dim.is_const for dim in result_type.dims):
            raise VerifyException(f"a constant has a static shape, found {type_text(result_type)}; broadcast a scalar instead")
        if len(value) > ConstantOp.MAX_BYTES:
            raise VerifyException(f"a constant has at most {ConstantOp.MAX_BYTES} bytes, found {len(value)}; make it a parameter")
        size = element_bytes(result_type.element_type)
        count = math.prod(dim.value for dim in result_type.dims)
        if len(value) not in (size, size * count):
            raise VerifyException(f"{type_text(result_type)} has {size * count} bytes (or {size} as a splat), found {len(value)}")
        return result_type

    def given(self) -> dict[str, Any]:
        return {"result_type": self.result.type}

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(dim.value for dim in self.result.type.dims)

    def is_splat(self) -> bool:
        """Are all elements the same one?"""
        return len(self.value.data) == element_bytes(self.result.type.element_type)

    def elements(self) -> list[Any]:
        """The stored elements as Python numbers: one if a splat, else all in row-major order."""
        return unpack(self.value.data, self.result.type.element_type)

    @classmethod
    def parse(cls, parser: Parser) -> ConstantOp:
        parser.parse_keyword("dense")
        parser.parse_punctuation("<")
        text = parser.parse_optional_str_literal()
        values, shape = ([], None) if text is not None else _parse_literal(parser)
        parser.parse_punctuation(">")
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        result_type = parser.parse_type()
        if not isinstance(result_type, TensorType):
            parser.raise_error(f"a constant is a !rlx.tensor, found {result_type}")
        if text is not None:
            data = parse_hex(parser, text)
        else:
            if shape and list(result_type.dims) != shape:
                parser.raise_error(f"the literal has shape {shape}, but the type is {result_type}")
            try:
                data = pack(values, result_type.element_type)
            except OverflowError as error:
                parser.raise_error(str(error))
        op = cls.create(result_types=[result_type], properties={"value": DenseAttr(data)}, attributes=attributes)
        return op

    def print(self, printer: Printer) -> None:
        values = self.elements()
        show = _shower(self.result.type.element_type)
        if len(values) > PRINTED_ELEMENTS or any(v != v and _odd_nan(v, self.result.type.element_type) for v in values):
            literal = f'"0x{self.value.data.hex()}"'
        elif len(values) == 1 and (self.is_splat() or not self.shape):
            literal = show(values[0])
        else:
            literal = _nested([show(value) for value in values], self.shape)
        printer.print_string(f" dense<{literal}>")
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.result.type)


def _pack_float(value: float, element_type: PackableType[float]) -> bytes:
    try:
        return element_type.pack((value,))
    except OverflowError:
        # struct refuses what rounds to infinity; IEEE does not.
        return element_type.pack((math.copysign(math.inf, value),))


def _odd_nan(value: float, element_type: Attribute) -> bool:
    return pack([math.nan], element_type) != pack([value], element_type)


def _flatten(values: Any, shape: Sequence[int]) -> list[Any]:
    if not shape:
        if isinstance(values, Sequence):
            raise ValueError("nested lists of a constant must be rectangular")
        return [values]
    if not isinstance(values, Sequence) or len(values) != shape[0]:
        raise ValueError("nested lists of a constant must be rectangular")
    return [leaf for value in values for leaf in _flatten(value, shape[1:])]


def _parse_literal(parser: Parser) -> tuple[list[Any], list[int]]:
    """Values in row-major order and the shape of the nesting ([] for a scalar or splat)."""
    rows = parser.parse_optional_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_literal(parser))
    if rows is None:
        if (word := parser.parse_optional_boolean()) is not None:
            return [word], []
        return [parse_number(parser)], []
    if any(shape != rows[0][1] for _, shape in rows):
        parser.raise_error("the rows of the literal differ in shape")
    return [value for values, _ in rows for value in values], [len(rows), *(rows[0][1] if rows else [])]


def _shower(element_type: Attribute) -> Any:
    """The text of one element, which packs to the same bytes."""
    if element_type == dtypes.BOOL:
        return lambda value: "true" if value else "false"
    if not dtypes.is_float(element_type):
        return str

    def show(value: float) -> str:
        # Smaller types print exactly: the shortest text of 448 in f8 would be 450.
        if math.isfinite(value) and dtypes.dtype_name(element_type) == "f32":
            for digits in range(1, 10):
                short = float(f"{value:.{digits}g}")
                if pack([short], element_type) == pack([value], element_type):
                    return real_text(short)
        return real_text(value)

    return show


def _nested(texts: list[str], shape: Sequence[int]) -> str:
    if not shape:
        return texts[0]
    step = len(texts) // shape[0] if shape[0] else 0
    return f"[{', '.join(_nested(texts[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0]))}]"


OPS = (ConstantOp,)

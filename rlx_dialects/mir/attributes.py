"""The attributes MIR ops carry: integers, reals and literal data. Dims and shapes are those of the `rlx` dialect."""

from __future__ import annotations

import math
import struct

from xdsl.ir import Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer


@irdl_attr_definition
class IntsAttr(Data[tuple[int, ...]]):
    """A list of integers (axes, permutations, strides): `#mir.ints<[0, 2, 1]>`."""

    name = "mir.ints"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[int, ...]:
        with parser.in_angle_brackets():
            return parse_ints(parser)

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<{ints_text(self.data)}>")


@irdl_attr_definition
class RealAttr(Data[float]):
    """A number known at compile time (eps, scale): `#mir.real<0.125>`. Equality is equality of bits."""

    name = "mir.real"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> float:
        with parser.in_angle_brackets():
            return parse_real(parser)

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<{real_text(self.data)}>")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RealAttr) and struct.pack("<d", self.data) == struct.pack("<d", other.data)

    def __hash__(self) -> int:
        return hash(struct.pack("<d", self.data))


@irdl_attr_definition
class DenseAttr(Data[bytes]):
    """Little-endian elements of a constant; its op's result type says what they are. One element for many is a splat."""

    name = "mir.dense"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> bytes:
        with parser.in_angle_brackets():
            return parse_hex(parser, parser.parse_str_literal())

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f'<"0x{self.data.hex()}">')


def parse_hex(parser: AttrParser, text: str) -> bytes:
    try:
        if text.startswith("0x"):
            return bytes.fromhex(text[2:])
    except ValueError:
        pass
    parser.raise_error("expected a string of hexadecimal digits that starts with 0x")


def parse_ints(parser: AttrParser) -> tuple[int, ...]:
    return tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer))


def ints_text(values: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, values))}]"


def parse_number(parser: AttrParser) -> int | float:
    """An integer, a float, `inf`, `-inf` or `nan`."""
    negative = parser.parse_optional_punctuation("-") is not None
    word = parser.parse_optional_keyword("inf") or parser.parse_optional_keyword("nan")
    value = float(word) if word else parser.parse_number()
    return -value if negative else value


def parse_real(parser: AttrParser) -> float:
    return float(parse_number(parser))


def real_text(value: float) -> str:
    """The shortest text that reads back to the same double, in MLIR's grammar (a point before an exponent)."""
    if not math.isfinite(value):
        return str(value)
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return text if "." in mantissa else f"{mantissa}.0{e}{exponent}"

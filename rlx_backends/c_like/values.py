"""How kernel values become values of a C-like language: kinds of elements, pieces of vectors, constants.

A *kind* names an element type inside the emitter: `f32`, `f16`, `bool`, `u8` … `u64`, `i64`, and `i8` … `i32` for signed views.
Integers are held unsigned, so that their arithmetic wraps; `index` is held as `i64`, whose arithmetic never leaves its range.
f16 is held as itself; bf16 and f8 are held as their bits; all of them meet everything else through f32.

A vector of N lanes is a list of pieces: as many native widths as fit, then powers of two for the rest; a piece of one lane is a
scalar. A tile is the pieces of its rows, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float8E4M3FNType,
    Float8E5M2Type,
    Float16Type,
    Float32Type,
    IndexType,
    IntegerType,
)
from xdsl.ir import Attribute

from rlx_dialects.kernel.types import shape_of

_FLOATS: dict[type[Attribute], str] = {
    Float32Type: "f32",
    Float16Type: "f16",
    BFloat16Type: "u16",
    Float8E4M3FNType: "u8",
    Float8E5M2Type: "u8",
}
_BITS: dict[type[Attribute], type] = {
    BFloat16Type: ml_dtypes.bfloat16,
    Float8E4M3FNType: ml_dtypes.float8_e4m3fn,
    Float8E5M2Type: ml_dtypes.float8_e5m2,
}
SIZES = {"f32": 4, "f16": 2, "bool": 1, "u8": 1, "u16": 2, "u32": 4, "u64": 8, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
"""Kind -> bytes."""
LANES = "xyzw"


class UnsupportedTypeError(Exception):
    """A type that the language has no values of; the emitter adds the op and its place."""


@dataclass(slots=True)
class Value:
    """A kernel value: the kind of its elements, its shape, and the names (or constants) of the pieces that hold it.

    `widths` are the lanes of the pieces of one row; a scalar is one piece of width 0. `lanes` are the elements of a 1-D vector as
    scalars where they are at hand; `registers` is empty if nothing needs them packed.
    """

    kind: str
    shape: tuple[int, ...]
    widths: tuple[int, ...]
    registers: list[str]
    lanes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.shape[0] if len(self.shape) == 2 else 1

    def row(self, index: int) -> list[str]:
        per_row = len(self.widths)
        return self.registers[index * per_row : (index + 1) * per_row]


def kind_of(type_: Attribute) -> str:
    """The kind that an element type is held as. UnsupportedTypeError for f64 and what is no element."""
    if isinstance(type_, IndexType):
        return "i64"
    if isinstance(type_, IntegerType):
        return "bool" if type_.width.data == 1 else f"u{type_.width.data}"
    found = _FLOATS.get(type(type_))
    if found is None:
        raise UnsupportedTypeError(f"the language has no {type_}")
    return found


def memory_kind(type_: Attribute) -> str:
    """The kind of an element in memory: a bool is a byte."""
    kind = kind_of(type_)
    return "u8" if kind == "bool" else kind


def signed(kind: str) -> str:
    """The kind that sees an integer as signed."""
    return "i" + kind[1:]


def unsigned(kind: str) -> str:
    return "u" + kind[1:]


def is_integer_kind(kind: str) -> bool:
    return kind[0] in "ui"


def bits_of(kind: str) -> int:
    return 1 if kind == "bool" else 8 * SIZES[kind]


@lru_cache(maxsize=1024)
def widths_of(lanes: int, native: int) -> tuple[int, ...]:
    """The pieces of a row of `lanes` elements."""
    pieces = [native] * (lanes // native)
    rest = lanes % native
    while rest:
        piece = 1 << (rest.bit_length() - 1)
        pieces.append(piece)
        rest -= piece
    return tuple(pieces)


def lane_starts(widths: Sequence[int]) -> list[int]:
    """The first lane of each piece."""
    starts, at = [], 0
    for width in widths:
        starts.append(at)
        at += width
    return starts


def rows_of(type_: Attribute) -> int:
    shape = shape_of(type_)
    return shape[0] if len(shape) == 2 else 1


def rounded_f32(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def narrow_bits(value: float, type_: Attribute) -> int:
    """The bits of a constant of a float type that is held as bits."""
    dtype = np.dtype(_BITS[type(type_)])
    with np.errstate(over="ignore", invalid="ignore"):
        return int(np.asarray(value, dtype=dtype).view(f"uint{8 * dtype.itemsize}"))


def held_as_bits(type_: Attribute) -> bool:
    return type(type_) in _BITS


def is_narrow(type_: Attribute) -> bool:
    """Floats that compute in f32."""
    return type(type_) in _BITS or isinstance(type_, Float16Type)

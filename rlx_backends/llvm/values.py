"""How kernel values become LLVM values: types, native registers, constants.

A vector of N lanes is a list of pieces: as many native widths as fit, then powers of two for the rest. The native width is a
number of lanes, the same for every element type, so that a cast maps pieces one to one; LLVM splits pieces of wide elements.
A tile is the pieces of its rows, row by row.
"""

from __future__ import annotations

import struct
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
    Float64Type,
    IndexType,
    IntegerType,
)
from xdsl.ir import Attribute

from rlx_dialects.kernel.types import element_of, shape_of

_FLOATS: dict[type[Attribute], str] = {
    Float64Type: "double",
    Float32Type: "float",
    # Narrow floats travel as their bits; arithmetic widens them. LLVM would call a library where the CPU lacks instructions.
    Float16Type: "i16",
    BFloat16Type: "i16",
    Float8E4M3FNType: "i8",
    Float8E5M2Type: "i8",
}
INTRINSIC_SUFFIX = {"double": "f64", "float": "f32", "half": "f16", "ptr": "p0"}
INTRINSIC_SUFFIX |= {f"ptr addrspace({space})": f"p{space}" for space in range(1, 8)}
_NARROW: dict[type[Attribute], type] = {
    Float16Type: np.float16,
    BFloat16Type: ml_dtypes.bfloat16,
    Float8E4M3FNType: ml_dtypes.float8_e4m3fn,
    Float8E5M2Type: ml_dtypes.float8_e5m2,
}
SIZES = {"double": 8, "float": 4, "ptr": 8, "i64": 8, "i32": 4, "i16": 2, "i8": 1, "i1": 1}


@dataclass(slots=True)
class Value:
    """A kernel value: its LLVM element type, its shape, and the registers (or constants) that hold it.

    `widths` are the lanes of the pieces of one row; 0 stands for a scalar. `lanes` are the elements of a 1-D vector as scalars
    where they are at hand; `registers` is empty if nothing needs them packed.
    """

    type: str
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


def llvm_type(type_: Attribute) -> str:
    """The LLVM type of an element. (That of a pointer depends on the target: `FunctionEmitter.type_of`.)"""
    if isinstance(type_, IndexType):
        return "i64"
    if isinstance(type_, IntegerType):
        return f"i{type_.width.data}"
    return _FLOATS[type(type_)]


def pointer_type(space: int) -> str:
    """An LLVM pointer into address space number `space`."""
    return f"ptr addrspace({space})" if space else "ptr"


def register_type(element: str, width: int) -> str:
    return f"<{width} x {element}>" if width else element


def suffix(element: str, width: int) -> str:
    """The mangled type in an intrinsic's name: `v16f32`, `i64`."""
    name = INTRINSIC_SUFFIX.get(element, element)
    return f"v{width}{name}" if width else name


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


def pieces_of(type_: Attribute, native: int) -> tuple[str, tuple[int, ...], tuple[int, ...], int]:
    """(LLVM element type, shape, widths of a row, number of registers) of a kernel type."""
    shape = shape_of(type_)
    element = llvm_type(element_of(type_))
    if not shape:
        return element, (), (0,), 1
    widths = widths_of(shape[-1], native)
    return element, shape, widths, len(widths) * (shape[0] if len(shape) == 2 else 1)


def lane_starts(widths: Sequence[int]) -> list[int]:
    """The first lane of each piece."""
    starts, at = [], 0
    for width in widths:
        starts.append(at)
        at += width
    return starts


# -- constants


def float_literal(value: float, element: str) -> str:
    """A float as LLVM writes it exactly: hexadecimal bits (of the double for `float`)."""
    if element == "double":
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    with np.errstate(over="ignore"):
        rounded = float(np.float32(value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"


def literal(value: float, type_: Attribute) -> str:
    """A scalar constant of a kernel element type."""
    element = llvm_type(type_)
    if (narrow := _NARROW.get(type(type_))) is not None:
        with np.errstate(over="ignore"):
            return str(int(np.asarray(value, dtype=narrow).view(element.replace("i", "int"))))
    if element == "i1":
        return "true" if value else "false"
    return str(int(value)) if element[0] == "i" else float_literal(value, element)


def is_literal(register: str) -> bool:
    return register[0] != "%"


def splat(scalar: str, element: str, width: int) -> str:
    """A constant in all lanes."""
    return f"splat ({element} {scalar})" if width else scalar


def vector_literal(values: Sequence[str], element: str) -> str:
    """A constant vector."""
    return "<" + ", ".join(f"{element} {value}" for value in values) + ">"


def index_vector(lanes: Sequence[int]) -> str:
    """The pattern operand of shufflevector; -1 is a lane that does not matter."""
    return f"<{len(lanes)} x i32> <" + ", ".join(f"i32 {lane}" if lane >= 0 else "i32 poison" for lane in lanes) + ">"

"""Fragments of matrices in LLVM text: which lane holds which element, and how they come from memory and go there.

An `Isa` gives the layout of each kind of fragment and the instruction that multiplies; loads, fills and stores follow from the
layout alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

from rlx_backends.gpu.llvm_isa import Isa
from rlx_backends.gpu.llvm_subgroups import whole_subgroups
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import is_literal, llvm_type, register_type
from rlx_dialects.gpu.matrix import FragmentFillOp, FragmentLoadOp, FragmentStoreOp, MultiplyOp
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.types import byte_size, ptr_type

VECTOR_BYTES = 16
"""The widest access that scalars are joined for."""


class Bits(NamedTuple):
    """A part of the lane's number: `(lane >> shift & (2^count - 1)) * scale`."""

    shift: int
    count: int
    scale: int

    def of(self, lane: int) -> int:
        return (lane >> self.shift & ((1 << self.count) - 1)) * self.scale


@dataclass(frozen=True)
class Layout:
    """Element i of a lane lies in row `rows[i]` + `lane_rows` of the lane, and so do columns. `width` elements share a register,
    the first in its lowest bits; 0: every element is a scalar.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    lane_rows: tuple[Bits, ...]
    lane_columns: tuple[Bits, ...]
    width: int

    @property
    def registers(self) -> int:
        return len(self.rows) // max(1, self.width)

    def transposed(self) -> Layout:
        """Rows and columns exchanged."""
        return Layout(self.columns, self.rows, self.lane_columns, self.lane_rows, self.width)

    def elements(self, lane: int) -> list[tuple[int, int]]:
        """(row, column) of each element of a lane."""
        row = sum(bits.of(lane) for bits in self.lane_rows)
        column = sum(bits.of(lane) for bits in self.lane_columns)
        return [(row + r, column + c) for r, c in zip(self.rows, self.columns, strict=True)]


def registers_of(isa: Isa, kind: FragmentType) -> tuple[str, int, int]:
    """What `TargetEmission.fragments` asks."""
    layout = isa.fragment(kind)
    return llvm_type(kind.element_type), layout.width, layout.registers


# -- where elements lie in memory


def lane_part(f: FunctionEmitter, number: str, parts: Sequence[Bits]) -> str:
    """The sum of parts of the lane's number, as a word."""
    total = "0"
    for shift, count, scale in parts:
        part = f.emit(f"lshr i32 {number}, {shift}") if shift else number
        part = f.emit(f"and i32 {part}, {(1 << count) - 1}")
        part = f.emit(f"mul nuw nsw i32 {part}, {scale}") if scale > 1 else part
        total = part if total == "0" else f.emit(f"add nuw nsw i32 {total}, {part}")
    return total


def multiply_add(f: FunctionEmitter, a: str, b: str, c: str) -> str:
    """`a * b + c` of indices; any may be a literal."""
    if is_literal(a) and is_literal(b):
        product = str(int(a) * int(b))
    else:
        product = "0" if "0" in (a, b) else f.emit(f"mul nsw i64 {a}, {b}")
    if product == "0":
        return c
    return product if c == "0" else f.emit(f"add nsw i64 {product}, {c}")


class Place:
    """Where the elements of this lane lie: `major` strides and `minor` elements from the start of the fragment."""

    def __init__(
        self, isa: Isa, f: FunctionEmitter, op: FragmentLoadOp | FragmentStoreOp, major: Sequence[Bits], minor: Sequence[Bits]
    ):
        self.f = f
        type_ = ptr_type(op.ptr)
        self.memory, self.size = llvm_type(type_.element_type), byte_size(type_.element_type)
        self.kind = f.type_of(type_)
        self.stride = f.scalar(op.stride)
        kind = op.result.type if isinstance(op, FragmentLoadOp) else op.value.type
        assert isinstance(kind, FragmentType)
        number = isa.member(f, op, kind)
        parts = [lane_part(f, number, bits) for bits in (major, minor)]
        far, near = ("0" if part == "0" else f.emit(f"zext nneg i32 {part} to i64") for part in parts)
        # What only the lane decides comes first: it is the same for all fragments of a matrix.
        start = f.address(f.scalar(op.ptr), self.memory, multiply_add(f, far, self.stride, near), self.kind)
        self.start = f.address(start, self.memory, f.scalar(op.index), self.kind)
        self.stride_multiple = f.alignment.of(op.stride)
        self.multiple = gcd(f.alignment.of(op.index), *(bits.scale for bits in minor))
        self.multiple = gcd(self.multiple, self.stride_multiple) if major else self.multiple
        self.align = type_.align.data

    def at(self, major: int, minor: int) -> tuple[str, int]:
        """The address of an element, and its alignment."""
        offset = multiply_add(self.f, str(major), self.stride, str(minor))
        multiple = gcd(self.multiple, minor, major * self.stride_multiple)
        address = self.f.address(self.start, self.memory, offset, self.kind)
        return address, gcd(self.align, multiple * self.size) if multiple else self.align


def _runs(layout: Layout, size: int) -> list[tuple[int, int]]:
    """(first element, count) of elements that lie side by side in memory and are moved at once: powers of two of them."""
    limit = layout.width or max(1, VECTOR_BYTES // size)
    places = list(zip(layout.rows, layout.columns, strict=True))
    runs: list[tuple[int, int]] = []
    first = 0
    while first < len(places):
        row, column = places[first]
        count = 1
        while 2 * count <= limit and first % (2 * count) == 0:
            if places[first : first + 2 * count] != [(row, column + i) for i in range(2 * count)]:
                break
            count *= 2
        runs.append((first, count))
        first += count
    return runs


# -- handlers


def load(isa: Isa, f: FunctionEmitter, op: FragmentLoadOp) -> None:
    whole_subgroups(isa, f, op)
    registers = isa.load_fragment(f, op)
    if registers is None:
        registers = _load(isa, f, op)
    kind = op.result.type
    assert isinstance(kind, FragmentType)
    if isa.fragment(kind).width == 0:
        registers = [isa.operand(f, kind, register) for register in registers]
    f.define(op.result, registers)


def _load(isa: Isa, f: FunctionEmitter, op: FragmentLoadOp) -> list[str]:
    kind = op.result.type
    assert isinstance(kind, FragmentType)
    layout = isa.fragment(kind)
    if op.transposed is not None:
        layout = layout.transposed()
    place = Place(isa, f, op, layout.lane_rows, layout.lane_columns)
    scalars: list[str] = []
    whole: dict[int, str] = {}
    for first, count in _runs(layout, place.size):
        address, align = place.at(layout.rows[first], layout.columns[first])
        width = count if count > 1 else 0
        register = f.emit(f"load {register_type(place.memory, width)}, {place.kind} {address}, align {align}")
        if count == layout.width:
            whole[first] = register
            scalars += [""] * count
        elif not width:
            scalars.append(register)
        else:
            type_ = register_type(place.memory, width)
            scalars += [f.emit(f"extractelement {type_} {register}, i64 {i}") for i in range(count)]
    if not layout.width:
        return scalars
    starts = range(0, len(scalars), layout.width)
    return [
        whole[start] if start in whole else f.pack(scalars[start : start + layout.width], place.memory, [layout.width])[0]
        for start in starts
    ]


def store(isa: Isa, f: FunctionEmitter, op: FragmentStoreOp) -> None:
    whole_subgroups(isa, f, op)
    kind = op.value.type
    assert isinstance(kind, FragmentType)
    layout = isa.fragment(kind)
    if op.transposed is not None:
        layout = layout.transposed()
    place = Place(isa, f, op, layout.lane_rows, layout.lane_columns)
    registers = f[op.value].registers
    for first, count in _runs(layout, place.size):
        address, align = place.at(layout.rows[first], layout.columns[first])
        width = count if count > 1 else 0
        if count == layout.width:
            register = registers[first // layout.width]
        else:
            scalars = [_element(f, registers, layout, place.memory, first + i) for i in range(count)]
            register = f.pack(scalars, place.memory, [width])[0] if width else scalars[0]
        f.line(f"store {register_type(place.memory, width)} {register}, {place.kind} {address}, align {align}")


def _element(f: FunctionEmitter, registers: Sequence[str], layout: Layout, element: str, number: int) -> str:
    if not layout.width:
        return registers[number]
    register, at = divmod(number, layout.width)
    return f.emit(f"extractelement {register_type(element, layout.width)} {registers[register]}, i64 {at}")


def fill(isa: Isa, f: FunctionEmitter, op: FragmentFillOp) -> None:
    kind = op.result.type
    assert isinstance(kind, FragmentType)
    element, width, count = registers_of(isa, kind)
    scalar = f.scalar(op.value)
    if not width:
        scalar = isa.operand(f, kind, scalar)
    f.define(op.result, [f.splat(scalar, element, width)] * count)


def multiply(isa: Isa, f: FunctionEmitter, op: MultiplyOp) -> None:
    whole_subgroups(isa, f, op)
    f.define(op.result, isa.multiply(f, op))

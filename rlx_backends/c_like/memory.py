"""Loads, stores and pointers.

A piece of a vector is accessed at once where it is aligned for it, or where the language has vectors in memory that need the
alignment of one element only; else in halves. Masked accesses go lane by lane and touch no other lane's place.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

from xdsl.dialects.builtin import i1
from xdsl.ir import Operation, SSAValue

from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.c_like.language import is_literal
from rlx_backends.c_like.values import SIZES, lane_starts, memory_kind
from rlx_dialects.kernel.memory import GatherOp, LoadOp, ScatterOp, StoreOp
from rlx_dialects.kernel.pointers import AllocaOp, OffsetOp, PrefetchOp, PtrCastOp
from rlx_dialects.kernel.types import ptr_type
from rlx_dialects.kernel.vector import BroadcastOp, ExtractOp, OuterDotOp, OuterFmaOp


def wants_lanes_only(value: SSAValue) -> bool:
    """Whether every use takes single elements, so that no register needs to hold the vector."""
    for use in value.uses:
        user = use.operation
        if isinstance(user, OuterFmaOp | OuterDotOp) and user.a is value and user.b is not value:
            continue
        if isinstance(user, BroadcastOp) and user.role is not None and user.role.data == "column":
            continue
        if not isinstance(user, ExtractOp):
            return False
    return True


class _Access:
    """The rows of one access: pointers to them, and how they are aligned."""

    def __init__(self, f: FunctionEmitter, pointer: SSAValue, index: SSAValue, stride: SSAValue | None):
        self.f, self.pointer = f, pointer
        type_ = ptr_type(pointer)
        self.kind = memory_kind(type_.element_type)
        self.size = SIZES[self.kind]
        private = type_.space.data == "private"  # lies as its declaration says: like its elements
        self.base_align = self.size if private else gcd(type_.align.data, f.alignment.of(index) * self.size)
        self.stride = f.scalar(stride) if stride is not None else None
        self.stride_multiple = f.alignment.of(stride) * self.size if stride is not None else 0
        start = f.scalar(index)
        first = f.scalar(pointer)
        self._rows = {0: first if start == "0L" else f.let_typed(f.pointer_type(pointer), f"{first} + {start}")}

    def row(self, row: int) -> str:
        """A pointer to the first element of a row."""
        if self.stride is None:
            return self._rows[0]
        if row not in self._rows:
            offset = self.stride if row == 1 else f"{self.stride} * {row}L"
            self._rows[row] = self.f.let_typed(self.f.pointer_type(self.pointer), f"{self._rows[0]} + {offset}")
        return self._rows[row]

    def align(self, row: int, lane: int) -> int:
        return gcd(self.base_align, self.stride_multiple * row, lane * self.size)


def _vector_place(f: FunctionEmitter, access: _Access, row: int, lane: int, width: int) -> str | None:
    """Some lanes in memory as one value; None if there is no such access."""
    at = access.row(row) + (f" + {lane}" if lane else "")
    place = f"({at})" if lane else at
    type_ = ptr_type(access.pointer)
    if access.align(row, lane) % (width * access.size) == 0:
        return f"*({f.pointer_type(access.pointer, width)}){place}"
    if access.kind in f.language.packed:
        const = "const " if access.pointer in f.constants else ""
        return f"*({f.language.space_names[type_.space.data]} {const}{f.language.packed_name(access.kind, width)}*){place}"
    return None


def _load(f: FunctionEmitter, access: _Access, row: int, lane: int, width: int) -> str:
    """An expression for some neighbouring elements."""
    if width <= 1:
        return f"{access.row(row)}[{lane}]"
    place = _vector_place(f, access, row, lane, width)
    if place is not None:
        return f.construct(access.kind, width, place) if "packed_" in place else place
    half = width // 2
    return f.construct(
        access.kind, width, _load(f, access, row, lane, half), _load(f, access, row, lane + half, half)
    )


def _store(f: FunctionEmitter, access: _Access, row: int, lane: int, width: int, value: str) -> None:
    if width <= 1:
        f.line(f"{access.row(row)}[{lane}] = {value};")
        return
    value = value if value.isidentifier() else f.let_typed(f.language.type_name(access.kind, width), value)
    place = _vector_place(f, access, row, lane, width)
    if place is not None:
        packed = "packed_" in place
        f.line(f"{place} = {f'{f.language.packed_name(access.kind, width)}({value})' if packed else value};")
        return
    half = width // 2
    low, high = ("xy", "zw") if half == 2 else ("x", "y")
    for part, at in ((low, lane), (high, lane + half)):
        _store(f, access, row, at, half, f.let(access.kind, half, f"{value}.{part}"))


def from_memory(f: FunctionEmitter, pointer: SSAValue, expression: str, width: int) -> str:
    """A name for what was loaded; bools are bytes in memory."""
    if ptr_type(pointer).element_type == i1:
        return f.let("bool", width, f.language.compare(width, "!=", expression, f.integer(0, "u8", width)))
    return f.let(memory_kind(ptr_type(pointer).element_type), width, expression)


def to_memory(f: FunctionEmitter, pointer: SSAValue, register: str, width: int) -> str:
    return f.construct("u8", width, register) if ptr_type(pointer).element_type == i1 else register


def _fill(f: FunctionEmitter, fill: SSAValue | None, pointer: SSAValue) -> str:
    """The scalar of masked lanes, as it lies in memory."""
    if fill is None:
        return f.language.literal(0, ptr_type(pointer).element_type) if ptr_type(pointer).element_type != i1 else "uchar(0)"
    return f.let(memory_kind(ptr_type(pointer).element_type), 0, to_memory(f, pointer, f.scalar(fill), 0))


def load(f: FunctionEmitter, op: LoadOp) -> None:
    kind, shape, widths = f.form(op.result)
    if len(shape) == 1 and op.stride is not None:
        _load_column(f, op, shape[0])
        return
    if not shape:
        f.define(op.result, [from_memory(f, op.ptr, f"{f.scalar(op.ptr)}[{f.scalar(op.index)}]", 0)])
        return
    access = _Access(f, op.ptr, op.index, op.stride)
    registers: list[str] = []
    masks = f.packed(op.mask) if op.mask is not None else None
    fill = _fill(f, op.fill, op.ptr) if masks else ""
    for i in range(len(widths) * (shape[0] if len(shape) == 2 else 1)):
        row, piece = divmod(i, len(widths))
        width, start = widths[piece], lane_starts(widths)[piece]
        if masks is None:
            registers.append(from_memory(f, op.ptr, _load(f, access, row, start, width), width))
            continue
        mask = f.let("bool", width, masks[i])
        lanes = [
            f.choose(0, f.lane_of(mask, width, lane), f"{access.row(row)}[{start + lane}]", fill) for lane in range(max(1, width))
        ]
        text = f.construct(access.kind, width, *lanes) if width > 1 else lanes[0]
        registers.append(from_memory(f, op.ptr, f"({text})" if kind == "bool" and width <= 1 else text, width))
    f.define(op.result, registers)


def _load_column(f: FunctionEmitter, op: LoadOp, rows: int) -> None:
    access = _Access(f, op.ptr, op.index, op.stride)
    mask = f.lanes_of(f[op.mask]) if op.mask is not None else None
    fill = _fill(f, op.fill, op.ptr) if mask else ""
    lanes: list[str] = []
    for row in range(rows):
        one = f"{access.row(row)}[0]"
        lanes.append(from_memory(f, op.ptr, f"({f.choose(0, mask[row], one, fill)})" if mask else one, 0))
    f.define_lanes(op.result, lanes, packed=not wants_lanes_only(op.result))


def store(f: FunctionEmitter, op: StoreOp) -> None:
    value = f[op.value]
    registers = f.packed(op.value)
    if not value.shape:
        f.line(f"{f.scalar(op.ptr)}[{f.scalar(op.index)}] = {to_memory(f, op.ptr, registers[0], 0)};")
        return
    access = _Access(f, op.ptr, op.index, op.stride)
    if len(value.shape) == 1 and op.stride is not None:
        mask = f.lanes_of(f[op.mask]) if op.mask is not None else None
        for row, lane in enumerate(f.lanes_of(value)):
            text = f"{access.row(row)}[0] = {to_memory(f, op.ptr, lane, 0)};"
            f.line(f"if ({mask[row]}) {text}" if mask else text)
        return
    masks = f.packed(op.mask) if op.mask is not None else None
    for i, register in enumerate(registers):
        row, piece = divmod(i, len(value.widths))
        width, start = value.widths[piece], lane_starts(value.widths)[piece]
        if masks is None:
            _store(f, access, row, start, width, to_memory(f, op.ptr, register, width))
            continue
        register, mask = _named(f, register, value.kind, width), _named(f, masks[i], "bool", width)
        for lane in range(max(1, width)):
            one = to_memory(f, op.ptr, f.lane_of(register, width, lane), 0)
            f.line(f"if ({f.lane_of(mask, width, lane)}) {access.row(row)}[{start + lane}] = {one};")


def _named(f: FunctionEmitter, register: str, kind: str, width: int) -> str:
    """A register that a component can be taken of."""
    return register if width <= 1 or register.isidentifier() else f.let_typed(f.language.type_name(kind, width), register)


def gather(f: FunctionEmitter, op: GatherOp) -> None:
    pointer = f.scalar(op.ptr)
    mask = f.lanes_of(f[op.mask]) if op.mask is not None else None
    fill = _fill(f, op.fill, op.ptr) if mask else ""
    lanes: list[str] = []
    for number, index in enumerate(_indices(f, op.indices)):
        one = f"{pointer}[{index}]"
        lanes.append(from_memory(f, op.ptr, f"({f.choose(0, mask[number], one, fill)})" if mask else one, 0))
    f.define_lanes(op.result, lanes)


def scatter(f: FunctionEmitter, op: ScatterOp) -> None:
    pointer = f.scalar(op.ptr)
    mask = f.lanes_of(f[op.mask]) if op.mask is not None else None
    for number, (index, lane) in enumerate(zip(_indices(f, op.indices), f.lanes_of(f[op.value]))):
        text = f"{pointer}[{index}] = {to_memory(f, op.ptr, lane, 0)};"
        f.line(f"if ({mask[number]}) {text}" if mask else text)


def _indices(f: FunctionEmitter, indices: SSAValue) -> list[str]:
    kind = f[indices].kind
    return [lane if is_literal(lane) else f.as_signed(lane, kind, 0) for lane in f.lanes_of(f[indices])]


def offset(f: FunctionEmitter, op: OffsetOp) -> None:
    f.define(op.result, [f.let_typed(f.pointer_type(op.result), f"{f.scalar(op.ptr)} + {f.scalar(op.index)}")])


def ptr_cast(f: FunctionEmitter, op: PtrCastOp) -> None:
    type_ = f.pointer_type(op.result)
    f.define(op.result, [f.let_typed(type_, f"({type_}){f.scalar(op.ptr)}")])


def prefetch(f: FunctionEmitter, op: PrefetchOp) -> None:
    """Nothing: the languages have no such hint."""


def alloca(f: FunctionEmitter, op: AllocaOp) -> None:
    """An array of this thread, made at the start of the function: it lives as long as the call."""
    name = f.fresh("scratch")
    kind = memory_kind(ptr_type(op.result).element_type)
    f.prologue.append(f"  {f.language.type_name(kind)} {name}[{op.size.value.data}];")
    f.define(op.result, [name])


HANDLERS: dict[type[Operation], Callable[..., None]] = {
    LoadOp: load,
    StoreOp: store,
    GatherOp: gather,
    ScatterOp: scatter,
    OffsetOp: offset,
    PtrCastOp: ptr_cast,
    PrefetchOp: prefetch,
    AllocaOp: alloca,
}

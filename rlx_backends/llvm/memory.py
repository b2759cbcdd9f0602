"""Loads, stores and pointers."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from typing import NamedTuple

from xdsl.dialects.builtin import i1
from xdsl.ir import Operation, SSAValue

from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import (
    SIZES,
    is_literal,
    lane_starts,
    llvm_type,
    register_type,
    splat,
    suffix,
)
from rlx_dialects.kernel.memory import GatherOp, LoadOp, ScatterOp, StoreOp
from rlx_dialects.kernel.pointers import AllocaOp, OffsetOp, PrefetchOp, PtrCastOp
from rlx_dialects.kernel.types import byte_size, element_of, ptr_type, shape_of
from rlx_dialects.kernel.vector import BroadcastOp, ExtractOp, MaskOp, OuterDotOp, OuterFmaOp

_ZERO = {"float": "0.0", "double": "0.0"}


def wants_lanes_only(value: SSAValue) -> bool:
    """Whether every use takes single elements, so that no register needs to hold the vector."""
    for use in value.uses:
        user = use.operation
        if isinstance(user, OuterFmaOp | OuterDotOp) and user.a is value and user.b is not value:
            continue
        if isinstance(user, BroadcastOp) and user.role is not None and user.role.data == "column":
            continue
        if isinstance(user, ExtractOp):
            continue
        return False
    return True


class Place(NamedTuple):
    """Where a piece lies: the register of its address, that register's type, and what divides the address."""

    address: str
    kind: str
    align: int


class _Access:
    """The pieces of one access: their addresses and alignments."""

    def __init__(self, f: FunctionEmitter, pointer: SSAValue, index: SSAValue, stride: SSAValue | None):
        self.f = f
        self.pointer, self.index = f.scalar(pointer), f.scalar(index)
        type_ = ptr_type(pointer)
        self.kind = f.type_of(type_)
        self.memory = "i8" if type_.element_type == i1 else llvm_type(type_.element_type)
        self.size = byte_size(type_.element_type)
        self.base_align = gcd(type_.align.data, f.alignment.of(index) * self.size)
        self.stride = f.scalar(stride) if stride is not None else None
        self.stride_multiple = f.alignment.of(stride) * self.size if stride is not None else 0
        self._rows: dict[int, str] = {}

    def row(self, row: int) -> str:
        """The address of the first element of a row."""
        f = self.f
        if row == 0 or self.stride is None:
            if 0 not in self._rows:
                self._rows[0] = f.address(self.pointer, self.memory, self.index, self.kind)
            return self._rows[0]
        if row not in self._rows:
            if is_literal(self.stride):
                self._rows[row] = f.address(self.row(0), self.memory, str(int(self.stride) * row), self.kind)
            else:
                offset = f.emit(f"mul nsw i64 {self.stride}, {row}") if row > 1 else self.stride
                self._rows[row] = f.address(self.row(0), self.memory, offset, self.kind)
        return self._rows[row]

    def place(self, row: int, lane: int) -> Place:
        """Where one piece begins."""
        align = gcd(self.base_align, self.stride_multiple * row, lane * self.size)
        return Place(self.f.address(self.row(row), self.memory, str(lane), self.kind), self.kind, align)


def load_piece(
    f: FunctionEmitter, memory: str, width: int, place: Place, mask: str | None, fill: str, nontemporal: bool
) -> str:
    """One native load, masked or not. `memory` is the element type in memory."""
    address, kind, align = place
    type_ = register_type(memory, width)
    if mask is None:
        hint = ", !nontemporal !0" if nontemporal and align >= SIZES[memory] * max(width, 1) else ""
        return f.emit(f"load {type_}, {kind} {address}, align {align}{hint}")
    name = f"llvm.masked.load.{suffix(memory, width)}.{suffix(kind, 0)}"
    f.module.declare(name, type_, [kind, register_type("i1", width), type_])
    return f.emit(
        f"call {type_} @{name}({kind} align {align} {address}, {register_type('i1', width)} {mask}, {type_} {fill})"
    )


def load_register(
    f: FunctionEmitter, op: LoadOp, access: _Access, row: int, lane: int, width: int, mask: str | None, fill: str
) -> str:
    register = load_piece(f, access.memory, width, access.place(row, lane), mask, fill, op.nontemporal is not None)
    return from_memory(f, op.ptr, register, width)


def from_memory(f: FunctionEmitter, pointer: SSAValue, register: str, width: int) -> str:
    if ptr_type(pointer).element_type == i1:
        return f.emit(f"icmp ne {register_type('i8', width)} {register}, {splat('0', 'i8', width)}")
    return register


def to_memory(f: FunctionEmitter, pointer: SSAValue, register: str, width: int) -> str:
    if ptr_type(pointer).element_type == i1:
        return f.emit(f"zext {register_type('i1', width)} {register} to {register_type('i8', width)}")
    return register


def load_plan(f: FunctionEmitter, op: LoadOp, masked: bool = True) -> Callable[[int], str]:
    """A function that loads register number i of a contiguous load; without `masked`, all lanes are known to be on."""
    _, _, widths, _ = f.pieces(op.result)
    access = _Access(f, op.ptr, op.index, op.stride)
    starts = lane_starts(widths)
    masks = f[op.mask].registers if op.mask is not None and masked else None
    fill = _fill(f, op.fill, access.memory)

    def load(i: int) -> str:
        row, piece = divmod(i, len(widths))
        width = widths[piece]
        mask = masks[i] if masks is not None else None
        return load_register(f, op, access, row, starts[piece], width, mask, fill(width) if mask else "")

    return load


def _fill(f: FunctionEmitter, fill: SSAValue | None, memory: str) -> Callable[[int], str]:
    """The register of fill values for a width; made where it is first needed."""
    scalar = _ZERO.get(memory, "0") if fill is None else f.scalar(fill)
    if fill is not None and fill.type == i1:
        scalar = str(int(scalar == "true")) if is_literal(scalar) else f.emit(f"zext i1 {scalar} to i8")
    made: dict[int, str] = {}

    def at(width: int) -> str:
        if width not in made:
            made[width] = f.splat(scalar, memory, width)
        return made[width]

    return at


def load(f: FunctionEmitter, op: LoadOp) -> None:
    element, shape, widths, count = f.pieces(op.result)
    if len(shape) == 1 and op.stride is not None:
        _load_column(f, op, element, shape[0], widths)
        return
    if op.mask is not None and f.target.branch_on_masks:
        _load_by_branch(f, op, op.mask, count)
        return
    plan = load_plan(f, op)
    f.define(op.result, [plan(i) for i in range(count)])


def _all_on(f: FunctionEmitter, mask: SSAValue) -> str:
    """An `i1`: whether a mask is true in all lanes."""
    tests: list[str] = []
    if isinstance(mask.owner, MaskOp):
        for count, lanes in zip(mask.owner.counts, shape_of(mask.type)):
            tests.append(f.emit(f"icmp sge i64 {f.scalar(count)}, {lanes}"))
    else:
        value = f[mask]
        for i, register in enumerate(value.registers):
            width = value.widths[i % len(value.widths)]
            bits = f.emit(f"bitcast {register_type('i1', width)} {register} to i{width}")
            tests.append(f.emit(f"icmp eq i{width} {bits}, -1"))
    total = tests[0]
    for more in tests[1:]:
        total = f.emit(f"and i1 {total}, {more}")
    return total


def _load_by_branch(f: FunctionEmitter, op: LoadOp, mask: SSAValue, count: int) -> None:
    """Plain loads where all lanes are on, masked ones elsewhere."""
    whole, part, done = f.label("whole"), f.label("part"), f.label("done")
    f.branch_if(_all_on(f, mask), whole, part)
    ends: list[tuple[list[str], str]] = []
    for label, masked in ((whole, False), (part, True)):
        f.start_block(label)
        plan = load_plan(f, op, masked)
        ends.append(([plan(i) for i in range(count)], f.block))
        f.branch(done)
    f.start_block(done)
    registers = f.phis(op.result)
    f.lines += f.phi_lines(op.result, registers, ends)
    f.define(op.result, registers)


def _load_column(f: FunctionEmitter, op: LoadOp, element: str, rows: int, widths: tuple[int, ...]) -> None:
    access = _Access(f, op.ptr, op.index, op.stride)
    if op.mask is None:
        lanes = [load_register(f, op, access, row, 0, 0, None, "") for row in range(rows)]
    else:
        # A masked column is rare: one lane at a time through masked loads of width 1.
        mask, fill = f[op.mask], _fill(f, op.fill, access.memory)
        lanes = []
        for row in range(rows):
            one = f.emit(f"insertelement <1 x i1> poison, i1 {f.lane(mask, row)}, i64 0")
            register = load_register(f, op, access, row, 0, 1, one, fill(1))
            lanes.append(f.emit(f"extractelement {register_type(element, 1)} {register}, i64 0"))
    f.define(op.result, [] if wants_lanes_only(op.result) else f.pack(lanes, element, widths), lanes)


def store(f: FunctionEmitter, op: StoreOp) -> None:
    if len(f[op.value].shape) == 1 and op.stride is not None:
        _store_column(f, op, _Access(f, op.ptr, op.index, op.stride))
    elif op.mask is not None and f.target.branch_on_masks:
        whole, part, done = f.label("whole"), f.label("part"), f.label("done")
        f.branch_if(_all_on(f, op.mask), whole, part)
        for label, masked in ((whole, False), (part, True)):
            f.start_block(label)
            _store_pieces(f, op, masked)
            f.branch(done)
        f.start_block(done)
    else:
        _store_pieces(f, op, op.mask is not None)


def _store_pieces(f: FunctionEmitter, op: StoreOp, masked: bool) -> None:
    value = f[op.value]
    access = _Access(f, op.ptr, op.index, op.stride)
    masks = f[op.mask].registers if op.mask is not None and masked else None
    starts = lane_starts(value.widths)
    for i, register in enumerate(value.registers):
        row, piece = divmod(i, len(value.widths))
        width = value.widths[piece]
        register = to_memory(f, op.ptr, register, width)
        mask = masks[i] if masks is not None else None
        store_piece(f, access.memory, width, register, access.place(row, starts[piece]), mask, op.nontemporal is not None)


def store_piece(
    f: FunctionEmitter, memory: str, width: int, register: str, place: Place, mask: str | None, nontemporal: bool
) -> None:
    address, kind, align = place
    type_ = register_type(memory, width)
    if mask is None:
        # An unaligned streaming store would be taken apart into words.
        hint = ", !nontemporal !0" if nontemporal and align >= SIZES[memory] * max(width, 1) else ""
        f.line(f"store {type_} {register}, {kind} {address}, align {align}{hint}")
        return
    name = f"llvm.masked.store.{suffix(memory, width)}.{suffix(kind, 0)}"
    f.module.declare(name, "void", [type_, kind, register_type("i1", width)])
    f.line(f"call void @{name}({type_} {register}, {kind} align {align} {address}, {register_type('i1', width)} {mask})")


def _store_column(f: FunctionEmitter, op: StoreOp, access: _Access) -> None:
    value = f[op.value]
    mask = f[op.mask] if op.mask is not None else None
    for row in range(value.shape[0]):
        lane = to_memory(f, op.ptr, f.lane(value, row), 0)
        place = access.place(row, 0)
        if mask is None:
            store_piece(f, access.memory, 0, lane, place, None, False)
            continue
        type_ = register_type(access.memory, 1)
        one = f.emit(f"insertelement {type_} poison, {access.memory} {lane}, i64 0")
        chosen = f.emit(f"insertelement <1 x i1> poison, i1 {f.lane(mask, row)}, i64 0")
        store_piece(f, access.memory, 1, one, place, chosen, False)


def _addresses(f: FunctionEmitter, pointer: SSAValue, memory: str, indices: SSAValue, register: str, width: int) -> str:
    index_type = register_type(llvm_type(element_of(indices.type)), width)
    return f.emit(f"getelementptr {memory}, {f.type_of(pointer.type)} {f.scalar(pointer)}, {index_type} {register}")


def gather(f: FunctionEmitter, op: GatherOp) -> None:
    _, _, widths, _ = f.pieces(op.result)
    type_ = ptr_type(op.ptr)
    kind, memory = f.type_of(type_), "i8" if type_.element_type == i1 else llvm_type(type_.element_type)
    fill = _fill(f, op.fill, memory)
    masks = f[op.mask].registers if op.mask is not None else None
    registers = []
    for i, width in enumerate(widths):
        addresses = _addresses(f, op.ptr, memory, op.indices, f[op.indices].registers[i], width)
        result, mask_type, pointers = register_type(memory, width), register_type("i1", width), register_type(kind, width)
        name = f"llvm.masked.gather.{suffix(memory, width)}.{suffix(kind, width)}"
        f.module.declare(name, result, [pointers, mask_type, result])
        mask = masks[i] if masks is not None else splat("true", "i1", width)
        call = f"call {result} @{name}({pointers} align {SIZES[memory]} {addresses}, {mask_type} {mask}, {result} {fill(width)})"
        registers.append(from_memory(f, op.ptr, f.emit(call), width))
    f.define(op.result, registers)


def scatter(f: FunctionEmitter, op: ScatterOp) -> None:
    value = f[op.value]
    type_ = ptr_type(op.ptr)
    kind, memory = f.type_of(type_), "i8" if type_.element_type == i1 else llvm_type(type_.element_type)
    masks = f[op.mask].registers if op.mask is not None else None
    for i, width in enumerate(value.widths):
        register = to_memory(f, op.ptr, value.registers[i], width)
        addresses = _addresses(f, op.ptr, memory, op.indices, f[op.indices].registers[i], width)
        data, mask_type, pointers = register_type(memory, width), register_type("i1", width), register_type(kind, width)
        name = f"llvm.masked.scatter.{suffix(memory, width)}.{suffix(kind, width)}"
        f.module.declare(name, "void", [data, pointers, mask_type])
        mask = masks[i] if masks is not None else splat("true", "i1", width)
        f.line(f"call void @{name}({data} {register}, {pointers} align {SIZES[memory]} {addresses}, {mask_type} {mask})")


def offset(f: FunctionEmitter, op: OffsetOp) -> None:
    element = llvm_type(ptr_type(op.ptr).element_type)
    f.define(op.result, [f.address(f.scalar(op.ptr), element, f.scalar(op.index), f.type_of(op.ptr.type))])


def ptr_cast(f: FunctionEmitter, op: PtrCastOp) -> None:
    f.define(op.result, [f.scalar(op.ptr)])


def prefetch(f: FunctionEmitter, op: PrefetchOp) -> None:
    element = llvm_type(ptr_type(op.ptr).element_type)
    kind = f.type_of(op.ptr.type)
    address = f.address(f.scalar(op.ptr), element, f.scalar(op.index), kind)
    write, locality = int(op.write is not None), op.locality.value.data
    arguments = [(kind, address), ("i32", str(write)), ("i32", str(locality)), ("i32", "1")]
    f.intrinsic(f"llvm.prefetch.{suffix(kind, 0)}", "void", arguments)


def alloca(f: FunctionEmitter, op: AllocaOp) -> None:
    """All scratch is made at the start of the function, so that a loop does not grow the stack."""
    type_ = ptr_type(op.result)
    element = "i8" if type_.element_type == i1 else llvm_type(type_.element_type)
    register = f.fresh()
    space = f.target.spaces.get(type_.space.data, 0)
    where = f", addrspace({space})" if space else ""
    f.allocas.append(f"  {register} = alloca [{op.size.value.data} x {element}], align {type_.align.data}{where}")
    f.define(op.result, [register])


def is_contiguous(op: Operation) -> bool:
    """A load whose registers are independent pieces of memory."""
    return isinstance(op, LoadOp) and (op.stride is None or len(shape_of(op.result.type)) == 2)


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

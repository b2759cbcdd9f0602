"""Vectors: constants, broadcasts, register tiles, rearrangement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, FloatAttr, IntegerAttr, f16
from xdsl.ir import Operation

from rlx_backends.c_like import casts
from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.c_like.values import lane_starts
from rlx_dialects.kernel.types import element_of, shape_of
from rlx_dialects.kernel.vector import (
    BroadcastOp,
    ExtractOp,
    InsertOp,
    IotaOp,
    MaskOp,
    OuterDotOp,
    OuterFmaOp,
    ShuffleOp,
    TransposeOp,
)


def constant(f: FunctionEmitter, op: arith.ConstantOp) -> None:
    kind, shape, widths = f.form(op.result)
    element = element_of(op.result.type)
    attr = op.value
    if isinstance(attr, IntegerAttr | FloatAttr):
        f.define(op.result, [f.language.literal(attr.value.data, element)])
        return
    if not isinstance(attr, DenseIntOrFPElementsAttr):
        raise f.error(op, f"cannot emit the constant {attr}")
    elements = [f.language.literal(value, element) for value in attr.get_values()]  # pyright: ignore[reportArgumentType]
    rows = shape[0] if len(shape) == 2 else 1
    if attr.is_splat():
        f.define(op.result, [f.splat(elements[0], kind, width) for width in widths] * rows)
        return
    registers: list[str] = []
    for row in range(rows):
        registers += f.pack(elements[row * shape[-1] : (row + 1) * shape[-1]], kind, widths)
    f.define(op.result, registers, elements if len(shape) == 1 else None)


def broadcast(f: FunctionEmitter, op: BroadcastOp) -> None:
    source = f[op.source]
    kind, shape, widths = f.form(op.result)
    rows = shape[0] if len(shape) == 2 else 1
    if not source.shape:
        row = _splat_row(f, source.registers[0], kind, widths)
        f.define(op.result, row * rows, source.registers * shape[0] if len(shape) == 1 else None)
    elif op.role is not None and op.role.data == "row":
        f.define(op.result, f.packed(op.source) * rows)
    else:
        f.define(op.result, [name for row in range(rows) for name in _splat_row(f, f.lane(source, row), kind, widths)])


def _splat_row(f: FunctionEmitter, scalar: str, kind: str, widths: Sequence[int]) -> list[str]:
    """A scalar in all lanes of a row: one name per distinct width."""
    made = {width: f.let(kind, width, f.splat(scalar, kind, width)) for width in dict.fromkeys(widths)}
    return [made[width] for width in widths]


def outer_fma(f: FunctionEmitter, op: OuterFmaOp) -> None:
    a, b, acc = f[op.a], f[op.b], f[op.acc]
    type_ = element_of(op.acc.type)
    narrow = casts.is_narrow(type_)
    columns, lanes = f.packed(op.b), f.lanes_of(a)
    f.packed(op.acc)
    if narrow:
        columns = [f.let("f32", width, casts.widen(f, register, type_, width)) for register, width in zip(columns, b.widths)]
        lanes = [f.let("f32", 0, casts.widen(f, lane, type_, 0)) for lane in lanes]
    registers: list[str] = []
    for row in range(acc.rows):
        splats = _splat_row(f, lanes[row], "f32", acc.widths)
        for piece, total in enumerate(acc.row(row)):
            width = acc.widths[piece]
            if narrow:
                total = f.let("f32", width, casts.widen(f, total, type_, width))
            total = f.let("f32", width, f"fma({splats[piece]}, {columns[piece]}, {total})")
            registers.append(f.let(acc.kind, width, casts.narrow(f, total, type_, width)) if narrow else total)
    f.define(op.result, registers)


def outer_dot(f: FunctionEmitter, op: OuterDotOp) -> None:
    """Takes the words apart."""
    b, acc = f[op.b], f[op.acc]
    kind = op.kind.data
    parts = 2 if acc.kind == "f32" else 4
    f.packed(op.acc)
    b_parts = [
        [_part(f, kind, "b", part, register, width) for part in range(parts)]
        for register, width in zip(f.packed(op.b), b.widths)
    ]
    registers: list[str] = []
    for row, lane in enumerate(f.lanes_of(f[op.a])):
        a_parts = [_splat_row(f, _part(f, kind, "a", part, lane, 0), acc.kind, acc.widths) for part in range(parts)]
        for piece, total in enumerate(acc.row(row)):
            width = acc.widths[piece]
            for part in range(parts):
                x, y = a_parts[part][piece], b_parts[piece][part]
                total = f.let(acc.kind, width, f"fma({x}, {y}, {total})" if acc.kind == "f32" else f"{total} + {x} * {y}")
            registers.append(total)
    f.define(op.result, registers)


def _part(f: FunctionEmitter, kind: str, side: str, part: int, words: str, width: int) -> str:
    """A name for element number `part` of each 32-bit word, widened to 32 bits."""
    if kind == "bf16":
        high = f"{words} << 16u" if part == 0 else f"{words} & 4294901760u"
        return f.let("f32", width, f.language.bitcast("f32", width, high))
    if kind == "f16":
        low = words if part == 0 else f"{words} >> 16u"
        half = f.language.bitcast("f16", width, f.construct("u16", width, low))
        return f.let("f32", width, casts.widen(f, half, f16, width))
    high = words if part == 3 else f"({words} << {24 - 8 * part}u)"
    if side == "b" or kind == "s8s8":
        return f.let("u32", width, f.construct("u32", width, f"{f.construct('i32', width, high)} >> 24"))
    return f.let("u32", width, f"{high} >> 24u")


def iota(f: FunctionEmitter, op: IotaOp) -> None:
    kind, shape, _ = f.form(op.result)
    f.define_lanes(op.result, [f.language.integer_literal(lane, kind) for lane in range(shape[0])])


def mask(f: FunctionEmitter, op: MaskOp) -> None:
    _, shape, widths = f.form(op.result)
    columns = _count_mask(f, f.scalar(op.counts[-1]), widths)
    if len(shape) == 1:
        f.define(op.result, columns)
        return
    rows = f.scalar(op.counts[0])
    registers: list[str] = []
    for row in range(shape[0]):
        inside = f.compare(0, ">", rows, f.language.integer_literal(row, "i64"))
        for register, width in zip(columns, widths):
            registers.append(f.let("bool", width, f"{f.let('bool', width, f.splat(inside, 'bool', width))} & {register}"))
    f.define(op.result, registers)


def _count_mask(f: FunctionEmitter, count: str, widths: Sequence[int]) -> list[str]:
    """lane < count"""
    registers: list[str] = []
    for start, width in zip(lane_starts(widths), widths):
        lanes = [f"{count} > {start + lane}L" for lane in range(max(1, width))]
        registers.append(f.let("bool", width, f.construct("bool", width, *lanes) if width > 1 else lanes[0]))
    return registers


def transpose(f: FunctionEmitter, op: TransposeOp) -> None:
    source = f[op.source]
    rows, columns = shape_of(op.source.type)
    kind, _, widths = f.form(op.result)
    f.packed(op.source)
    grid: list[list[str]] = []
    for row in range(rows):
        lanes: list[str] = []
        for register, width in zip(source.row(row), source.widths):
            named = f.let_typed(f.language.type_name(kind, width), register) if not register.isidentifier() else register
            lanes += [f.lane_of(named, width, lane) for lane in range(max(1, width))]
        grid.append(lanes)
    registers: list[str] = []
    for column in range(columns):
        registers += f.pack([grid[row][column] for row in range(rows)], kind, widths)
    f.define(op.result, registers)


def shuffle(f: FunctionEmitter, op: ShuffleOp) -> None:
    lanes = [*f.lanes_of(f[op.a]), *f.lanes_of(f[op.b])]
    f.define_lanes(op.result, [lanes[lane] for lane in op.lanes])


def extract(f: FunctionEmitter, op: ExtractOp) -> None:
    source, at = f[op.source], op.at.value.data
    if len(source.shape) == 2:
        f.define(op.result, source.row(at))
    else:
        f.define(op.result, [f.let(source.kind, 0, f.lane(source, at))])


def insert(f: FunctionEmitter, op: InsertOp) -> None:
    into, at = f[op.into], op.at.value.data
    if len(into.shape) == 2:
        registers = list(f.packed(op.into))
        per_row = len(into.widths)
        registers[at * per_row : (at + 1) * per_row] = f.packed(op.value)
        f.define(op.result, registers)
    else:
        lanes = list(f.lanes_of(into))
        lanes[at] = f.scalar(op.value)
        f.define_lanes(op.result, lanes)


HANDLERS: dict[type[Operation], Callable[..., None]] = {
    arith.ConstantOp: constant,
    BroadcastOp: broadcast,
    OuterFmaOp: outer_fma,
    OuterDotOp: outer_dot,
    IotaOp: iota,
    MaskOp: mask,
    TransposeOp: transpose,
    ShuffleOp: shuffle,
    ExtractOp: extract,
    InsertOp: insert,
}

"""Vectors: constants, broadcasts, register tiles, rearrangement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, FloatAttr, IntegerAttr, f16
from xdsl.ir import Operation

from rlx_backends.llvm import casts
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import (
    is_literal,
    lane_starts,
    literal,
    register_type,
    splat,
    vector_literal,
)
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
    element, shape, widths, _ = f.pieces(op.result)
    scalar_type = element_of(op.result.type)
    attr = op.value
    if isinstance(attr, IntegerAttr | FloatAttr):
        f.define(op.result, [literal(attr.value.data, scalar_type)])
        return
    if not isinstance(attr, DenseIntOrFPElementsAttr):
        raise f.error(op, f"cannot emit the constant {attr}")
    elements = [literal(value, scalar_type) for value in attr.get_values()]  # pyright: ignore[reportArgumentType]
    if attr.is_splat():
        registers = [splat(elements[0], element, width) for width in widths]
        f.define(op.result, registers * (shape[0] if len(shape) == 2 else 1))
        return
    registers = []
    for row in range(shape[0] if len(shape) == 2 else 1):
        for start, width in zip(lane_starts(widths), widths):
            at = row * shape[-1] + start
            registers.append(vector_literal(elements[at : at + width], element))
    f.define(op.result, registers, elements if len(shape) == 1 else None)


def broadcast(f: FunctionEmitter, op: BroadcastOp) -> None:
    source = f[op.source]
    element, shape, widths, _ = f.pieces(op.result)
    rows = shape[0] if len(shape) == 2 else 1
    if not source.shape:
        row = _splat_row(f, source.registers[0], element, widths)
        lanes = source.registers * shape[0] if len(shape) == 1 and is_literal(source.registers[0]) else None
        f.define(op.result, row * rows, lanes)
    elif op.role is not None and op.role.data == "row":
        f.define(op.result, source.registers * rows)
    else:
        registers: list[str] = []
        for row in range(rows):
            registers += _splat_row(f, f.lane(source, row), element, widths)
        f.define(op.result, registers)


def _splat_row(f: FunctionEmitter, scalar: str, element: str, widths: Sequence[int]) -> list[str]:
    """A scalar in all lanes of a row: one register per distinct width."""
    made = {width: f.splat(scalar, element, width) for width in dict.fromkeys(widths)}
    return [made[width] for width in widths]


def outer_fma(f: FunctionEmitter, op: OuterFmaOp) -> None:
    a, b, acc = f[op.a], f[op.b], f[op.acc]
    type_ = element_of(op.acc.type)
    narrow = casts.is_narrow(type_)
    columns, lanes = list(b.registers), [f.lane(a, row) for row in range(acc.rows)]
    if narrow:
        columns = [casts.widen(f, register, type_, width) for register, width in zip(columns, b.widths)]
        lanes = [casts.widen(f, lane, type_, 0) for lane in lanes]
    element = "float" if narrow else acc.type
    registers: list[str] = []
    for row in range(acc.rows):
        splats = _splat_row(f, lanes[row], element, acc.widths)
        for piece, total in enumerate(acc.row(row)):
            width = acc.widths[piece]
            if narrow:
                total = casts.widen(f, total, type_, width)
            total = f.elementwise_intrinsic(f.target.fma, element, width, splats[piece], columns[piece], total)
            registers.append(casts.narrow(f, total, type_, width) if narrow else total)
    f.define(op.result, registers)


def outer_dot(f: FunctionEmitter, op: OuterDotOp) -> None:
    """Without an instruction of the target (its handler comes first): take the words apart."""
    a, b, acc = f[op.a], f[op.b], f[op.acc]
    kind = op.kind.data
    parts = 2 if acc.type == "float" else 4
    b_parts = [
        [_part(f, kind, "b", part, register, width) for part in range(parts)] for register, width in zip(b.registers, b.widths)
    ]
    registers: list[str] = []
    for row in range(acc.rows):
        words = _splat_row(f, f.lane(a, row), "i32", acc.widths)
        a_parts = {
            width: [_part(f, kind, "a", part, word, width) for part in range(parts)] for word, width in zip(words, acc.widths)
        }
        for piece, total in enumerate(acc.row(row)):
            width = acc.widths[piece]
            for part in range(parts):
                x, y = a_parts[width][part], b_parts[piece][part]
                if acc.type == "float":
                    total = f.elementwise_intrinsic(f.target.fma, "float", width, x, y, total)
                else:
                    type_ = register_type("i32", width)
                    total = f.emit(f"add {type_} {total}, {f.emit(f'mul {type_} {x}, {y}')}")
            registers.append(total)
    f.define(op.result, registers)


def _part(f: FunctionEmitter, kind: str, side: str, part: int, words: str, width: int) -> str:
    """Element number `part` of each 32-bit word, widened to 32 bits."""
    type_ = register_type("i32", width)

    def word(value: int) -> str:
        return splat(str(value), "i32", width)

    if kind == "bf16":
        high = f.emit(f"shl {type_} {words}, {word(16)}") if part == 0 else f.emit(f"and {type_} {words}, {word(-65536)}")
        return f.emit(f"bitcast {type_} {high} to {register_type('float', width)}")
    if kind == "f16":
        low = words if part == 0 else f.emit(f"lshr {type_} {words}, {word(16)}")
        return casts.widen(f, f.emit(f"trunc {type_} {low} to {register_type('i16', width)}"), f16, width)
    high = words if part == 3 else f.emit(f"shl {type_} {words}, {word(24 - 8 * part)}")
    signed = side == "b" or kind == "s8s8"
    return f.emit(f"{'ashr' if signed else 'lshr'} {type_} {high}, {word(24)}")


def iota(f: FunctionEmitter, op: IotaOp) -> None:
    element, shape, widths, _ = f.pieces(op.result)
    registers = [
        vector_literal([str(start + lane) for lane in range(width)], element) for start, width in zip(lane_starts(widths), widths)
    ]
    f.define(op.result, registers, [str(lane) for lane in range(shape[0])])


def mask(f: FunctionEmitter, op: MaskOp) -> None:
    _, shape, widths, _ = f.pieces(op.result)
    columns = _count_mask(f, f.scalar(op.counts[-1]), shape[-1], widths)
    if len(shape) == 1:
        f.define(op.result, columns)
        return
    rows = f.scalar(op.counts[0])
    registers: list[str] = []
    for row in range(shape[0]):
        inside = f.emit(f"icmp sgt i64 {rows}, {row}")
        for register, width in zip(columns, widths):
            type_ = register_type("i1", width)
            registers.append(f.emit(f"select i1 {inside}, {type_} {register}, {type_} {splat('false', 'i1', width)}"))
    f.define(op.result, registers)


def _count_mask(f: FunctionEmitter, count: str, lanes: int, widths: Sequence[int]) -> list[str]:
    """lane < count, compared in 32 bits after clamping the count."""
    if is_literal(count):
        n = int(count)
        return [
            vector_literal(["true" if start + lane < n else "false" for lane in range(width)], "i1")
            for start, width in zip(lane_starts(widths), widths)
        ]
    low = f.elementwise_intrinsic("smax", "i64", 0, count, "0")
    clamped = f.elementwise_intrinsic("smin", "i64", 0, low, str(lanes))
    narrow = f.emit(f"trunc i64 {clamped} to i32")
    registers = []
    for start, width in zip(lane_starts(widths), widths):
        all_lanes = vector_literal([str(start + lane) for lane in range(width)], "i32")
        registers.append(f.emit(f"icmp ult {register_type('i32', width)} {all_lanes}, {f.splat(narrow, 'i32', width)}"))
    return registers


def transpose(f: FunctionEmitter, op: TransposeOp) -> None:
    """Blocks of native width, each by a network: log2 rounds of interleaving row i with row i + half."""
    source = f[op.source]
    rows, columns = shape_of(op.source.type)
    element, _, result_widths, _ = f.pieces(op.result)
    result: list[list[str]] = [[] for _ in range(columns)]
    for row_start, row_width in zip(lane_starts(result_widths), result_widths):
        for piece, (column_start, column_width) in enumerate(zip(lane_starts(source.widths), source.widths)):
            block = [source.row(row_start + row)[piece] for row in range(row_width)]
            for i, register in enumerate(_transpose_block(f, block, element, column_width)):
                result[column_start + i].append(register)
    assert len(result[0]) == len(result_widths) and rows == sum(result_widths)
    f.define(op.result, [register for row in result for register in row])


def _transpose_block(f: FunctionEmitter, rows: list[str], element: str, width: int) -> list[str]:
    """`len(rows)` registers of `width` lanes -> `width` registers of `len(rows)` lanes; both powers of two."""
    if len(rows) == width == 1:
        return rows
    size = max(len(rows), width)
    wide = [f.resize(row, element, width, size) for row in rows] + ["poison"] * (size - len(rows))
    half = size // 2
    low = [lane for i in range(half) for lane in (i, size + i)]
    high = [lane + half for lane in low]
    for _ in range(size.bit_length() - 1):
        following: list[str] = []
        for i in range(half):
            following += [
                f.shuffle(wide[i], wide[i + half], element, size, low) if wide[i] != "poison" else "poison",
                f.shuffle(wide[i], wide[i + half], element, size, high) if wide[i] != "poison" else "poison",
            ]
        wide = following
    return [f.resize(row, element, size, len(rows)) for row in wide[:width]]


def concat(f: FunctionEmitter, registers: Sequence[str], widths: Sequence[int], element: str) -> str:
    """All lanes of a 1-D vector in one register, as wide as it takes."""
    total, width = registers[0], widths[0]
    for register, more in zip(registers[1:], widths[1:]):
        wide = f.resize(register, element, more, width)
        total = f.shuffle(total, wide, element, width, range(width + more))
        width += more
    return total


def shuffle(f: FunctionEmitter, op: ShuffleOp) -> None:
    a, b = f[op.a], f[op.b]
    lanes, size = op.lanes, a.shape[0]
    element, _, widths, _ = f.pieces(op.result)
    left = concat(f, a.registers, a.widths, element)
    right = left if op.a is op.b else concat(f, b.registers, b.widths, element)
    registers = [
        f.shuffle(left, right, element, size, lanes[start : start + width]) for start, width in zip(lane_starts(widths), widths)
    ]
    f.define(op.result, registers)


def extract(f: FunctionEmitter, op: ExtractOp) -> None:
    source, at = f[op.source], op.at.value.data
    if len(source.shape) == 2:
        f.define(op.result, source.row(at))
    else:
        f.define(op.result, [f.lane(source, at)])


def insert(f: FunctionEmitter, op: InsertOp) -> None:
    into, value, at = f[op.into], f[op.value], op.at.value.data
    registers = list(into.registers)
    if len(into.shape) == 2:
        per_row = len(into.widths)
        registers[at * per_row : (at + 1) * per_row] = value.registers
    else:
        piece = max(i for i, start in enumerate(lane_starts(into.widths)) if start <= at)
        type_, lane = register_type(into.type, into.widths[piece]), at - lane_starts(into.widths)[piece]
        registers[piece] = f.emit(
            f"insertelement {type_} {registers[piece]}, {into.type} {value.registers[0]}, i64 {lane}"
        )
    f.define(op.result, registers)


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

"""Reductions: pieces meet pairwise in a tree, then halves of one register; the order depends on the shape alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith
from xdsl.ir import Operation, SSAValue

from rlx_backends.llvm import casts
from rlx_backends.llvm.arithmetic import ELEMENTWISE, emit_elementwise, extremum
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.memory import wants_lanes_only
from rlx_backends.llvm.values import register_type
from rlx_dialects.gpu.ops import SubgroupReduceOp
from rlx_dialects.kernel.reduction import ReduceOp, ReduceWithOp
from rlx_dialects.kernel.types import element_of, is_float

_FLOAT: dict[str, type[Operation]] = {
    "maximumf": arith.MaximumfOp,
    "minimumf": arith.MinimumfOp,
    "maxnumf": arith.MaxnumfOp,
    "minnumf": arith.MinnumfOp,
}
_INT_INTRINSICS = {"maxsi": "smax", "minsi": "smin", "maxui": "umax", "minui": "umin"}

Tuple = list[str]
Combine = Callable[[Tuple, Tuple, int], Tuple]
"""`(first, second, width) -> combined` on tuples of registers of one width."""


def combiner(f: FunctionEmitter, op: ReduceOp | SubgroupReduceOp, element: str) -> Combine:
    """How a reduction by a named kind combines two registers of LLVM type `element`."""
    kind = op.kind.data
    floats = is_float(element_of(op.source.type))

    def combine(first: Tuple, second: Tuple, width: int) -> Tuple:
        registers = [first[0], second[0]]
        if kind in _FLOAT:
            emit = extremum(greater=kind.startswith("max"), keep_nan=kind in ("maximumf", "minimumf"))
            return [emit(f, op, element, width, registers)]
        if kind in _INT_INTRINSICS:
            return [f.elementwise_intrinsic(_INT_INTRINSICS[kind], element, width, *registers)]
        instruction = ("f" if floats else "") + kind
        return [f.emit(f"{instruction} {register_type(element, width)} {registers[0]}, {registers[1]}")]

    return combine


def tree(values: Sequence[Tuple], combine: Combine, width: int) -> Tuple:
    """Neighbours meet until one is left."""
    level = list(values)
    while len(level) > 1:
        level = [
            combine(level[i], level[i + 1], width) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)
        ]
    return level[0]


def across(
    f: FunctionEmitter, pieces: Sequence[Tuple], widths: Sequence[int], elements: Sequence[str], combine: Combine
) -> Tuple:
    """All lanes of a row to scalars. `pieces[i]` is a tuple of registers of width `widths[i]`."""
    by_width: dict[int, list[Tuple]] = {}
    for piece, width in zip(pieces, widths):
        by_width.setdefault(width, []).append(piece)
    current, width = tree(by_width[widths[0]], combine, widths[0]), widths[0]
    while width > 1:
        half = width // 2
        if half == 1:  # the last step is on scalars
            first, second = ([_lane(f, r, element, width, lane) for r, element in zip(current, elements)] for lane in (0, 1))
        else:
            first = [f.resize(r, element, width, half) for r, element in zip(current, elements)]
            second = [f.shuffle(r, r, element, width, range(half, width)) for r, element in zip(current, elements)]
        width = 0 if half == 1 else half
        current = combine(first, second, width)
        # Smaller pieces of the row join when the running tuple has shrunk to their width.
        for piece in by_width.pop(half, []):
            if half == 1:
                piece = [_lane(f, r, element, 1, 0) for r, element in zip(piece, elements)]
            current = combine(current, piece, width)
    return [_lane(f, r, element, 1, 0) for r, element in zip(current, elements)] if width == 1 else current


def _lane(f: FunctionEmitter, register: str, element: str, width: int, lane: int) -> str:
    return f.emit(f"extractelement {register_type(element, width)} {register}, i64 {lane}")


def reduce(f: FunctionEmitter, op: ReduceOp) -> None:
    """Narrow floats are reduced in f32 and rounded once, at the end."""
    source, type_ = f[op.source], element_of(op.source.type)
    narrow = casts.is_narrow(type_)
    element = "float" if narrow else source.type
    combine = combiner(f, op, element)
    rows = [list(zip(source.row(row), source.widths)) for row in range(source.rows)]
    tuples = [[[casts.widen(f, r, type_, width) if narrow else r] for r, width in row] for row in rows]
    over = op.over.data if op.over else None
    _, _, widths, _ = f.pieces(op.result)
    if over == "rows":
        pieces = [tree([row[i] for row in tuples], combine, width)[0] for i, width in enumerate(source.widths)]
        f.define(op.result, [casts.narrow(f, r, type_, width) if narrow else r for r, width in zip(pieces, widths)])
        return
    if over is None:
        tuples = [[tree([row[i] for row in tuples], combine, width) for i, width in enumerate(source.widths)]]
    lanes = [_scalar(f, op, row, source.widths, element, combine) for row in tuples]
    if narrow:
        lanes = [casts.narrow(f, lane, type_, 0) for lane in lanes]
    if over is None:
        f.define(op.result, lanes)
    else:
        f.define(op.result, [] if wants_lanes_only(op.result) else f.pack(lanes, source.type, widths), lanes)


def _scalar(
    f: FunctionEmitter, op: ReduceOp, pieces: list[Tuple], widths: Sequence[int], element: str, combine: Combine
) -> str:
    if element == "i1" and op.kind.data in ("and", "or"):
        return _any_or_all(f, [piece[0] for piece in pieces], widths, op.kind.data)
    return across(f, pieces, widths, [element], combine)[0]


def _any_or_all(f: FunctionEmitter, masks: Sequence[str], widths: Sequence[int], kind: str) -> str:
    """Masks as integers: none is zero, all is minus one."""
    results = []
    for mask, width in zip(masks, widths):
        bits = f.emit(f"bitcast <{width} x i1> {mask} to i{width}")
        results.append(
            f.emit(f"icmp ne i{width} {bits}, 0") if kind == "or" else f.emit(f"icmp eq i{width} {bits}, -1")
        )
    total = results[0]
    for more in results[1:]:
        total = f.emit(f"{kind} i1 {total}, {more}")
    return total


def reduce_with(f: FunctionEmitter, op: ReduceWithOp) -> None:
    sources = [f[source] for source in op.sources]
    elements = [source.type for source in sources]
    block = op.body.block
    last = block.last_op
    assert last is not None
    first = sources[0]

    def combine(left: Tuple, right: Tuple, width: int) -> Tuple:
        # The region speaks of scalars; its ops run on registers of any width.
        local: dict[SSAValue, str] = dict(zip(block.args, [*left, *right]))

        def register(value: SSAValue, inner: Operation) -> str:
            if value in local:
                return local[value]
            outside = f.values.get(value)
            if outside is None or outside.shape:
                raise f.error(inner, "the combine region uses a vector from outside")
            return f.splat(outside.registers[0], outside.type, width)

        for inner in block.ops:
            if inner is last:
                break
            if isinstance(inner, arith.ConstantOp):
                f.module.emit_op(f, inner)
                continue
            if type(inner) not in ELEMENTWISE:
                raise f.error(inner, "not an element-wise op, so it cannot stand in a combine region")
            operands = [register(operand, inner) for operand in inner.operands]
            local[inner.results[0]] = emit_elementwise(f, inner, width, operands)
        return [register(value, last) for value in last.operands]

    results: list[list[str]] = [[] for _ in sources]
    for row in range(first.rows):
        pieces = [list(piece) for piece in zip(*(source.row(row) for source in sources))]
        for result, scalar in zip(results, across(f, pieces, first.widths, elements, combine)):
            result.append(scalar)
    for result, lanes, element in zip(op.results, results, elements):
        if len(first.shape) == 1:
            f.define(result, lanes)
        else:
            f.define(result, f.pack(lanes, element, f.pieces(result)[2]), lanes)


HANDLERS: dict[type[Operation], Callable[..., None]] = {ReduceOp: reduce, ReduceWithOp: reduce_with}

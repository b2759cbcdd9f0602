"""Reductions: pieces meet pairwise in a tree, then halves of one piece; the order depends on the shape alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith
from xdsl.ir import Operation, SSAValue

from rlx_backends.c_like import casts
from rlx_backends.c_like.arithmetic import ELEMENTWISE, emit_elementwise
from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.c_like.memory import wants_lanes_only
from rlx_dialects.kernel.reduction import ReduceOp, ReduceWithOp
from rlx_dialects.kernel.types import element_of, is_float

KINDS: dict[str, tuple[type[Operation], type[Operation]]] = {
    "add": (arith.AddiOp, arith.AddfOp),
    "mul": (arith.MuliOp, arith.MulfOp),
    "maximumf": (arith.MaximumfOp, arith.MaximumfOp),
    "minimumf": (arith.MinimumfOp, arith.MinimumfOp),
    "maxnumf": (arith.MaxnumfOp, arith.MaxnumfOp),
    "minnumf": (arith.MinnumfOp, arith.MinnumfOp),
    "maxsi": (arith.MaxSIOp, arith.MaxSIOp),
    "minsi": (arith.MinSIOp, arith.MinSIOp),
    "maxui": (arith.MaxUIOp, arith.MaxUIOp),
    "minui": (arith.MinUIOp, arith.MinUIOp),
    "and": (arith.AndIOp, arith.AndIOp),
    "or": (arith.OrIOp, arith.OrIOp),
    "xor": (arith.XOrIOp, arith.XOrIOp),
}
"""Kind of reduction -> the op that combines two integers, two floats."""

Tuple = list[str]
Combine = Callable[[Tuple, Tuple, int], Tuple]
"""`(first, second, width) -> combined` on tuples of names of one width."""


def combine_two(f: FunctionEmitter, op: Operation, kind: str, floats: bool, held: str, width: int, x: str, y: str) -> str:
    """A name for the combination of two values; floats are f32 here."""
    emit = ELEMENTWISE[KINDS[kind][floats]]
    return f.let(held, width, emit(f, op, held, width, [x, y]))


def tree(values: Sequence[Tuple], combine: Combine, width: int) -> Tuple:
    """Neighbours meet until one is left."""
    level = list(values)
    while len(level) > 1:
        level = [combine(level[i], level[i + 1], width) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
    return level[0]


def across(
    f: FunctionEmitter, pieces: Sequence[Tuple], widths: Sequence[int], kinds: Sequence[str], combine: Combine
) -> Tuple:
    """All lanes of a row to scalars. `pieces[i]` is a tuple of names of width `widths[i]`."""
    by_width: dict[int, list[Tuple]] = {}
    for piece, width in zip(pieces, widths):
        by_width.setdefault(max(1, width), []).append(piece)
    width = max(1, widths[0])
    current = tree(by_width.pop(width), combine, width)
    while width > 1:
        half = width // 2
        low, high = ("xy", "zw") if half == 2 else ("x", "y")
        named = [_named(f, name, kind, width) for name, kind in zip(current, kinds)]
        first = [f.let(kind, half, f"{name}.{low}") for name, kind in zip(named, kinds)]
        second = [f.let(kind, half, f"{name}.{high}") for name, kind in zip(named, kinds)]
        width = half
        current = combine(first, second, width)
        # Smaller pieces of the row join when the running tuple has shrunk to their width.
        for piece in by_width.pop(width, []):
            current = combine(current, piece, width)
    return current


def _named(f: FunctionEmitter, register: str, kind: str, width: int) -> str:
    return register if register.isidentifier() else f.let_typed(f.language.type_name(kind, width), register)


def reduce(f: FunctionEmitter, op: ReduceOp) -> None:
    """Narrow floats are reduced in f32 and rounded once, at the end."""
    source, type_ = f[op.source], element_of(op.source.type)
    f.packed(op.source)
    narrow = casts.is_narrow(type_)
    held = "f32" if narrow else source.kind

    def combine(first: Tuple, second: Tuple, width: int) -> Tuple:
        return [combine_two(f, op, op.kind.data, is_float(type_), held, width, first[0], second[0])]

    def rounded(name: str, width: int) -> str:
        return f.let(source.kind, width, casts.narrow(f, name, type_, width)) if narrow else name

    rows = [list(zip(source.row(row), source.widths)) for row in range(source.rows)]
    tuples = [[[f.let("f32", w, casts.widen(f, r, type_, w)) if narrow else r] for r, w in row] for row in rows]
    over = op.over.data if op.over else None
    if over == "rows":
        pieces = [tree([row[i] for row in tuples], combine, width)[0] for i, width in enumerate(source.widths)]
        f.define(op.result, [rounded(name, width) for name, width in zip(pieces, source.widths)])
        return
    if over is None:
        tuples = [[tree([row[i] for row in tuples], combine, width) for i, width in enumerate(source.widths)]]
    lanes = [rounded(across(f, row, source.widths, [held], combine)[0], 0) for row in tuples]
    if over is None:
        f.define(op.result, lanes)
    else:
        f.define_lanes(op.result, lanes, packed=not wants_lanes_only(op.result))


def reduce_with(f: FunctionEmitter, op: ReduceWithOp) -> None:
    sources = [f[source] for source in op.sources]
    for source in op.sources:
        f.packed(source)
    kinds = [source.kind for source in sources]
    block = op.body.block
    last = block.last_op
    assert last is not None
    first = sources[0]

    def combine(left: Tuple, right: Tuple, width: int) -> Tuple:
        # The region speaks of scalars; its ops run on pieces of any width.
        local: dict[SSAValue, str] = dict(zip(block.args, [*left, *right]))

        def register(value: SSAValue, inner: Operation) -> str:
            if value in local:
                return local[value]
            outside = f.values.get(value)
            if outside is None or outside.shape:
                raise f.error(inner, "the combine region uses a vector from outside")
            return f.let(outside.kind, width, f.splat(outside.registers[0], outside.kind, width))

        for inner in block.ops:
            if inner is last:
                break
            if isinstance(inner, arith.ConstantOp):
                f.module.emit_op(f, inner)
                continue
            if type(inner) not in ELEMENTWISE:
                raise f.error(inner, "not an element-wise op, so it cannot stand in a combine region")
            local[inner.results[0]] = emit_elementwise(f, inner, width, [register(value, inner) for value in inner.operands])
        return [register(value, last) for value in last.operands]

    results: list[list[str]] = [[] for _ in sources]
    for row in range(first.rows):
        pieces = [list(piece) for piece in zip(*(source.row(row) for source in sources))]
        for result, scalar in zip(results, across(f, pieces, first.widths, kinds, combine)):
            result.append(scalar)
    for result, lanes in zip(op.results, results):
        if len(first.shape) == 1:
            f.define(result, lanes)
        else:
            f.define_lanes(result, lanes)


HANDLERS: dict[type[Operation], Callable[..., None]] = {ReduceOp: reduce, ReduceWithOp: reduce_with}

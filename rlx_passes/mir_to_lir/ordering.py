"""Lowering rules: running sums become `lir.scan`, positions of extremes `lir.reduce`, sorting `lir.sort`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import StringAttr, i64
from xdsl.ir import Operation, Region, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.lir import FoldOp, IterAttr, ScanOp, SortOp
from rlx_dialects.rlx import dtypes
from rlx_passes.mir_to_lir.lowering import Lowering, RowBuilder, Scalars, accesses, syms, tensor_of
from rlx_passes.mir_to_lir.rows import identity_of
from rlx_passes.support.region_builder import RegionBuilder, compute_type, scalar_constant


def _at(dims: Sequence[DimExpr], axis: int, index: DimExpr) -> list[DimExpr]:
    return [*dims[:axis], index, *dims[axis + 1 :]]


def cumsum(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.CumsumOp)
    kind, axis = tensor_of(op.x), op.axis.data
    names = low.names(kind.rank)
    place, extent = syms(names), kind.dims[axis]
    rows = [(n, d) for i, (n, d) in enumerate(zip(names, kind.dims, strict=True)) if i != axis]
    row = [sym(n) for n, _ in rows]
    element = kind.element_type
    # The carry of floats narrower than f32 stays in f32.
    held = compute_type(element) if dtypes.is_float(element) else element
    start, end = (low.alloc([d for _, d in rows], held, hint) for hint in ("zero", "total"))
    low.map(rows, [], [(start, row)], lambda b, _: [b.constant(0, held)])
    step = extent - 1 - sym(names[axis]) if op.reverse is not None else sym(names[axis])
    at = _at(place, axis, step)
    source = low.buffer(op.x)
    body = RegionBuilder([v.type.scalar_type for v in (start, source)])  # pyright: ignore[reportAttributeAccessIssue]
    carry, value = body.args
    total = body.binary("add", carry, body.convert(value, held))
    given = carry if op.exclusive is not None else total
    region = body.region(total, body.convert(given, element))
    iters = [*(IterAttr.get(n, "parallel", d) for n, d in rows), IterAttr.get(names[axis], "sequential", extent)]
    low.emit(
        ScanOp(
            iters,
            accesses([(source, at)]),
            accesses([(low.new(op.result), at), (end, row)]),
            [region],
            extra=accesses([(start, row)]),
            label=low.label,
        )
    )


def arg_extreme(low: Lowering, op: Operation) -> None:
    """A fold over (value, position): the better value, of equals the smaller position; NaN beats everything."""
    assert isinstance(op, mir.ArgMaxOp | mir.ArgMinOp)
    kind, axis = tensor_of(op.x), op.axis.data
    names = low.names(kind.rank)
    place = syms(names)
    rows = [(n, d) for i, (n, d) in enumerate(zip(names, kind.dims, strict=True)) if i != axis]
    out = [e if i != axis else const(0) for i, e in enumerate(place) if op.keepdims is not None or i != axis]
    element = kind.element_type
    unsigned, is_float = dtypes.is_unsigned_int(element), dtypes.is_float(element)
    better = "gt" if isinstance(op, mir.ArgMaxOp) else "lt"

    def choose(b: RegionBuilder, held: Scalars, given: Scalars) -> list[SSAValue]:
        """The better of two (value, position) pairs; the order of the pairs does not matter."""
        wins = b.compare(better, given[0], held[0], unsigned=unsigned)
        ties = b.compare("eq", given[0], held[0], unsigned=unsigned)
        if is_float:
            nan_given, nan_held = b.compare("ne", given[0], given[0]), b.compare("ne", held[0], held[0])
            number = b.compare("eq", held[0], held[0])
            wins = b.binary("or", wins, b.binary("and", nan_given, number))
            ties = b.binary("or", ties, b.binary("and", nan_given, nan_held))
        earlier = b.compare("lt", given[1], held[1])
        take = b.binary("or", wins, b.binary("and", ties, earlier))
        return [b.select(take, new, old) for new, old in zip(given, held, strict=True)]

    def body(b: RowBuilder, args: Scalars) -> list[SSAValue]:
        row = args[0]
        wide = compute_type(element)
        if row.type.element_type != wide:  # pyright: ignore[reportAttributeAccessIssue]
            row = b.each([row], lambda r, v: r.widen(v[0]))
        where = b.each([row], lambda r, v: r.index(sym(names[axis]), i64))
        regions: list[Region] = []
        for _ in range(2):
            inner = RegionBuilder([wide, i64, wide, i64])
            regions.append(inner.region(*choose(inner, inner.args[:2], inner.args[2:])))
        # Nothing found yet is at the last of all positions.
        start = [
            scalar_constant(identity_of("max" if better == "gt" else "min", element), wide),
            scalar_constant(2**63 - 1, i64),
        ]
        fold = FoldOp([row, where], start, *regions, [wide, i64])  # pyright: ignore[reportCallIssue]
        b.block.add_op(fold)
        return [fold.results[1]]

    low.reduce(rows, [(names[axis], kind.dims[axis])], [(low.buffer(op.x), place)], [(low.new(op.result), out)], body)


def sort(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.SortOp | mir.TopKOp)
    kind, axis = tensor_of(op.x), op.axis.data
    limit = op.k.data if isinstance(op, mir.TopKOp) else kind.dims[axis]
    descending = isinstance(op, mir.TopKOp) or op.descending is not None
    *names, kept = low.names(kind.rank + 1)
    place = syms(names)
    rows = [(n, d) for i, (n, d) in enumerate(zip(names, kind.dims, strict=True)) if i != axis]
    iters = [*(IterAttr.get(n, "parallel", d) for n, d in rows), IterAttr.get(names[axis], "reduce", kind.dims[axis])]
    iters.append(IterAttr.get(kept, "limit", limit))
    out = _at(place, axis, sym(kept))
    order = "descending" if descending else "ascending"
    low.emit(
        SortOp(
            iters,
            accesses([(low.buffer(op.x), place)]),
            accesses([(low.new(op.values), out), (low.new(op.indices), out)]),
            [Region()],
            params={"order": StringAttr(order)},
            label=low.label,
        )
    )


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    mir.CumsumOp: cumsum,
    mir.ArgMaxOp: arg_extreme,
    mir.ArgMinOp: arg_extreme,
    mir.SortOp: sort,
    mir.TopKOp: sort,
}

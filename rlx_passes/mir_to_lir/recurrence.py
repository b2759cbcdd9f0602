"""Lowering rules: recurrences are `lir.scan`, every element of the state a carry of its own point."""

from __future__ import annotations

import math as pymath
from collections.abc import Callable

from xdsl.dialects import math
from xdsl.ir import Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.lir import IterAttr, ReadOp, ScanOp
from rlx_passes.mir_to_lir.lowering import Lowering, Read, RowBuilder, Scalars, accesses, argument, syms, tensor_of
from rlx_passes.support.region_builder import RegionBuilder, compute_type


def _start(low: Lowering, initial: SSAValue | None, state: SSAValue) -> SSAValue:
    """The state before the first step, in the compute type: zero, or the initial value."""
    kind = tensor_of(state)
    wide = compute_type(kind.element_type)
    target = low.alloc(kind.dims, wide, "start")
    names = low.names(kind.rank)
    dims = list(zip(names, kind.dims, strict=True))
    at = syms(names)
    if initial is None:
        low.map(dims, [], [(target, at)], lambda b, _: [b.constant(0.0, wide)])
    else:
        low.map(dims, [(low.buffer(initial), at)], [(target, at)], lambda b, args: [b.widen(args[0])])
    return target


def _rounded(low: Lowering, end: SSAValue, state: SSAValue) -> None:
    """The last state, from the compute type to its own."""
    kind = tensor_of(state)
    names = low.names(kind.rank)
    at = syms(names)
    dims = list(zip(names, kind.dims, strict=True))
    low.map(dims, [(end, at)], [(low.new(state), at)], lambda b, args: [b.convert(args[0], kind.element_type)])


def selective_scan(low: Lowering, op: Operation) -> None:
    """A scan that gives the state after each step, then its product with c, summed."""
    assert isinstance(op, mir.SelectiveScanOp)
    x, result = tensor_of(op.x), tensor_of(op.result)
    batch, steps, channels = x.dims
    size = tensor_of(op.a).dims[1]
    wide = compute_type(x.element_type)
    start = _start(low, op.initial, op.state)
    states = low.alloc((batch, steps, channels, size), wide, "states")
    end = low.alloc((batch, channels, size), wide, "end")
    i, d, n, t = low.names(4)
    at = [sym(i), sym(t), sym(d)]
    reads: list[Read] = [
        (low.buffer(op.x), at),
        (low.buffer(op.delta), at),
        (low.buffer(op.a), syms([d, n])),
        (low.buffer(op.b), syms([i, t, n])),
    ]
    body = RegionBuilder([wide, *map(argument, reads)])
    h, given, delta, a, b = (body.widen(v) for v in body.args)
    kept = body.binary("mul", body.math(math.ExpOp, body.binary("mul", delta, a)), h)
    new = body.binary("add", kept, body.binary("mul", body.binary("mul", delta, given), b))
    parallel = [IterAttr.get(name, "parallel", extent) for name, extent in ((i, batch), (d, channels), (n, size))]
    low.emit(
        ScanOp(
            [*parallel, IterAttr.get(t, "sequential", steps)],
            accesses(reads),
            accesses([(states, syms([i, t, d, n])), (end, syms([i, d, n]))]),
            [body.region(new, new)],
            extra=accesses([(start, syms([i, d, n]))]),
            label=low.label,
        )
    )

    def summed(r: RowBuilder, args: Scalars) -> list[SSAValue]:
        products = r.each(list(args), lambda e, v: e.binary("mul", v[0], e.widen(v[1])))
        return [r.convert(r.fold("add", products, 0.0), result.element_type)]

    rows = [(i, batch), (t, steps), (d, channels)]
    ins: list[Read] = [(states, syms([i, t, d, n])), (low.buffer(op.c), syms([i, t, n]))]
    low.reduce(rows, [(n, size)], ins, [(low.new(op.result), at)], summed)
    _rounded(low, end, op.state)


def gated_delta(low: Lowering, op: Operation) -> None:
    """A point for each column of the state: its elements are carries, and no column needs another."""
    assert isinstance(op, mir.GatedDeltaOp)
    q, result = tensor_of(op.q), tensor_of(op.result)
    batch, steps, heads, extent = q.dims
    size = extent.value
    wide = compute_type(q.element_type)
    start = _start(low, op.initial, op.state)
    end = low.alloc((batch, heads, extent, extent), wide, "end")
    i, h, j, t = low.names(4)
    rows = syms([i, t, h])
    reads: list[Read] = [
        (low.buffer(op.v), [*rows, sym(j)]),
        (low.buffer(op.g), rows),
        (low.buffer(op.beta), rows),
        (low.buffer(op.q), None),
        (low.buffer(op.k), None),
    ]
    body = RegionBuilder([*[wide] * size, *map(argument, reads)])
    state, (value, gate, beta), (queries, keys) = body.args[:size], body.args[size:-2], body.args[-2:]
    place = [body.index(e) for e in rows]

    def element(source: SSAValue, n: int) -> SSAValue:
        read = ReadOp(source, [*place, body.index(const(n))], "clamp", None)
        return body.widen(body.add_op(read))

    def summed(values: list[SSAValue]) -> SSAValue:
        total = values[0]
        for each in values[1:]:
            total = body.binary("add", total, each)
        return total

    decay = body.math(math.ExpOp, body.widen(gate))
    kept = [body.binary("mul", decay, s) for s in state]
    k = [element(keys, n) for n in range(size)]
    change = body.binary("sub", body.widen(value), summed([body.binary("mul", a, s) for a, s in zip(k, kept, strict=True)]))
    change = body.binary("mul", change, body.widen(beta))
    new = [body.binary("add", s, body.binary("mul", a, change)) for a, s in zip(k, kept, strict=True)]
    total = summed([body.binary("mul", element(queries, n), s) for n, s in enumerate(new)])
    y = body.binary("mul", total, body.constant(1 / pymath.sqrt(size), wide))
    region = body.region(*new, body.convert(y, result.element_type))

    def column(buffer: SSAValue) -> list[Read]:
        return [(buffer, _column(i, h, n, j)) for n in range(size)]

    parallel = [IterAttr.get(name, "parallel", d) for name, d in ((i, batch), (h, heads), (j, extent))]
    low.emit(
        ScanOp(
            [*parallel, IterAttr.get(t, "sequential", steps)],
            accesses(reads),
            accesses([(low.new(op.result), [*rows, sym(j)]), *column(end)]),
            [region],
            extra=accesses(column(start)),
            label=low.label,
        )
    )
    _rounded(low, end, op.state)


def _column(i: str, h: str, n: int, j: str) -> list[DimExpr]:
    return [sym(i), sym(h), const(n), sym(j)]


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    mir.SelectiveScanOp: selective_scan,
    mir.GatedDeltaOp: gated_delta,
}

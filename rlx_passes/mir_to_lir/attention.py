"""Lowering rules: attention becomes `lir.attention`; rope a table over (position, pair) and a map that turns the pairs."""

from __future__ import annotations

import math as pymath
from collections.abc import Callable

from xdsl.dialects import math
from xdsl.dialects.builtin import Float64Type, f32, f64
from xdsl.ir import Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, const, floordiv, maximum, minimum, sym
from rlx_dialects.lir import IterAttr
from rlx_dialects.mir.attention import head_axis, sequence_axis
from rlx_dialects.rlx import dtypes
from rlx_passes.mir_to_lir.lowering import Lowering, Read, Scalars, syms, tensor_of
from rlx_passes.support.region_builder import RegionBuilder


def attention(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.AttentionOp)
    q, k, v = tensor_of(op.q), tensor_of(op.k), tensor_of(op.v)
    layout = op.layout.data
    s, h = sequence_axis(layout), head_axis(layout)
    names = [name if name not in low.reserved else name + "_" for name in ("b", "h", "q", "k", "d", "e")]
    batch, head, query, key, dot, value = syms(names)
    group = floordiv(q.dims[h], k.dims[h])
    keys = op.keys

    def place(sequence: DimExpr, heads: DimExpr, last: DimExpr) -> list[DimExpr]:
        return [batch, sequence, heads, last] if layout == "bshd" else [batch, heads, sequence, last]

    parallel = [IterAttr.get(names[0], "parallel", q.dims[0]), IterAttr.get(names[1], "parallel", q.dims[h])]
    parallel.append(IterAttr.get(names[2], "parallel", q.dims[s]))
    bounds = None
    if op.kind.data in ("causal", "sliding"):
        facts = low.facts.with_iteration({names[2]: q.dims[s]})
        position = op.first_position + query
        lower = facts.simplify(maximum(0, position - op.window.data)) if op.window is not None else const(0)
        bounds = (lower, facts.simplify(minimum(position + 1, keys)))
    iters = [
        *parallel,
        IterAttr.get(names[3], "reduce", keys, bounds),
        IterAttr.get(names[4], "dot", q.dims[3]),
        IterAttr.get(names[5], "value", v.dims[3]),
    ]
    shared = floordiv(head, group)
    ins: list[Read] = [
        (low.buffer(op.q), place(query, head, dot)),
        (low.buffer(op.k), place(key, shared, dot)),
        (low.buffer(op.v), place(key, shared, value)),
    ]
    extra: list[Read] = []
    if op.mask is not None:
        dims = tensor_of(op.mask).dims
        at = (
            [batch, key]
            if op.kind.data == "custom"
            else [const(0) if dim == 1 else e for dim, e in zip(dims, (batch, head, query, key), strict=True)]
        )
        extra.append((low.buffer(op.mask), at))

    def score(b: RegionBuilder, value: SSAValue, others: Scalars) -> SSAValue:
        if op.softcap is not None:
            cap = b.constant(op.softcap.data, value.type)
            value = b.binary("mul", cap, b.math(math.TanhOp, b.binary("div", value, cap)))
        if op.kind.data == "bias":
            return b.binary("add", value, b.convert(others[0], value.type))
        if op.kind.data == "custom":
            mask = b.widen(others[0])
            keep = mask
            if mask.type != dtypes.BOOL:
                number = b.convert(mask, f32)
                keep = b.compare("ge", number, b.constant(0.5, f32))
            return b.select(keep, value, b.constant(-pymath.inf, value.type))
        return value

    kind = f64 if isinstance(q.element_type, Float64Type) else f32
    out: Read = (low.new(op.result), place(query, head, value))
    low.attention(iters, ins, out, op.scale.data, score, extra, kind)


def rope(low: Lowering, op: Operation) -> None:
    """First cos and sin of every (sequence index, pair), then each pair of every head is turned by them."""
    assert isinstance(op, mir.RopeOp)
    kind = tensor_of(op.x)
    layout = op.layout.data
    s = sequence_axis(layout)
    half, rotated = op.n_rot.data // 2, op.n_rot.data
    compute = f64 if isinstance(kind.element_type, Float64Type) else f32
    length = kind.dims[s]
    names = low.names(4)
    sequence, pair = names[s], names[3]
    cosines = low.alloc((length, half), compute, "cos")
    sines = low.alloc((length, half), compute, "sin")

    def angles(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
        # theta^(-2i/n) is exp2 of a linear function of i; f64 keeps the product with a large position exact enough.
        exponent = b.binary("mul", b.index(sym(pair), f64), b.constant(-2.0 / rotated * pymath.log2(op.theta.data), f64))
        angle = b.binary("mul", b.index(op.first_position + sym(sequence), f64), b.math(math.Exp2Op, exponent))
        return [b.convert(b.math(f, angle), compute) for f in (math.CosOp, math.SinOp)]

    table = [sym(sequence), sym(pair)]
    low.map([(sequence, length), (pair, half)], [], [(cosines, table), (sines, table)], angles)

    source, target = low.buffer(op.x), low.new(op.result)
    outer = [*syms(names[:3])]
    first, second = [*outer, sym(pair)], [*outer, sym(pair) + half]

    def turn(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
        x, y, c, t = (b.widen(a) for a in args)
        left = b.binary("sub", b.binary("mul", c, x), b.binary("mul", t, y))
        right = b.binary("add", b.binary("mul", t, x), b.binary("mul", c, y))
        return [b.convert(left, kind.element_type), b.convert(right, kind.element_type)]

    dims = list(zip(names[:3], kind.dims[:3], strict=True))
    reads: list[Read] = [(source, first), (source, second), (cosines, table), (sines, table)]
    low.map([*dims, (pair, half)], reads, [(target, first), (target, second)], turn)
    if kind.dims[3] != rotated:
        place = [*outer, sym(pair) + rotated]
        low.map([*dims, (pair, kind.dims[3] - rotated)], [(source, place)], [(target, place)], lambda b, args: [args[0]])


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {mir.AttentionOp: attention, mir.RopeOp: rope}

"""Lowering rules: reductions, softmax and norms become `lir.reduce`. Statistics are in f32 (f64 for f64)."""

from __future__ import annotations

import math as pymath
from collections.abc import Callable, Sequence

from xdsl.dialects import arith, math
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Attribute, Operation, Region, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.lir import FoldOp
from rlx_dialects.rlx import dtypes
from rlx_passes.mir_to_lir.lowering import Lowering, RowBuilder, Scalars, product, syms, tensor_of
from rlx_passes.support.region_builder import RegionBuilder, compute_type, scalar_constant

_FOLDS: dict[type[Operation], str] = {
    mir.ReduceSumOp: "add",
    mir.ReduceMeanOp: "add",
    mir.ReduceProdOp: "mul",
    mir.ReduceMaxOp: "max",
    mir.ReduceMinOp: "min",
}


def identity_of(kind: str, element: Attribute) -> float | int:
    """The value that does not change a fold."""
    if kind in ("add", "mul"):
        return 0 if kind == "add" else 1
    if dtypes.is_float(element):
        return -pymath.inf if kind == "max" else pymath.inf
    if element == dtypes.BOOL:
        return 0 if kind == "max" else 1
    bits = dtypes.bit_width(element)
    if dtypes.is_unsigned_int(element):
        return 0 if kind == "max" else 2**bits - 1
    return -(2 ** (bits - 1)) if kind == "max" else 2 ** (bits - 1) - 1


def mean_of(b: RowBuilder, total: SSAValue, count: DimExpr) -> SSAValue:
    """total / count; a static count is a constant factor's division."""
    n = b.constant(count.value, total.type) if count.is_const else b.index(count, total.type)
    return b.binary("div", total, n)


def reduce(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.ReduceOp)
    source, result = tensor_of(op.x), tensor_of(op.result)
    axes = op.axes.data
    names = low.names(source.rank)
    place = syms(names)
    keeps = op.keepdims is not None
    out = [const(0) if i in axes else e for i, e in enumerate(place) if keeps or i not in axes]
    rows = [(n, d) for i, (n, d) in enumerate(zip(names, source.dims, strict=True)) if i not in axes]
    inner = [(names[i], source.dims[i]) for i in axes]
    kind = _FOLDS[type(op)]

    def body(b: RowBuilder, args: Scalars) -> list[SSAValue]:
        row = args[0]
        if not inner:
            return [row]
        element = compute_type(source.element_type)
        if element != row.type.element_type:  # pyright: ignore[reportAttributeAccessIssue]
            row = b.each([row], lambda r, v: r.widen(v[0]))
        total = b.fold(kind, row, identity_of(kind, source.element_type), unsigned=dtypes.is_unsigned_int(source.element_type))
        if isinstance(op, mir.ReduceMeanOp):
            total = mean_of(b, total, product([d for _, d in inner]))
        return [b.convert(total, result.element_type)]

    low.reduce(rows, inner, [(low.buffer(op.x), place)], [(low.new(op.result), out)], body)


def _widened(b: RowBuilder, row: SSAValue) -> SSAValue:
    element = row.type.element_type  # pyright: ignore[reportAttributeAccessIssue]
    return row if compute_type(element) == element else b.each([row], lambda r, v: r.widen(v[0]))


def _largest_number(b: RowBuilder, row: SSAValue) -> SSAValue:
    """The largest element, NaN left out: a softmax need not look for it here, since it comes back in the exponentials."""
    element = row.type.element_type  # pyright: ignore[reportAttributeAccessIssue]
    quick = arith.FastMathFlagsAttr([FastMathFlag.NO_NANS])
    regions: list[Region] = []
    for _ in range(2):
        inner = RegionBuilder([element, element])
        held, given = inner.args
        regions.append(inner.region(inner.add_op(arith.MaxnumfOp(given, held, quick))))
    return b.add_op(FoldOp([row], [scalar_constant(-pymath.inf, element)], *regions, [element]))  # pyright: ignore[reportCallIssue]


def softmax(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.SoftmaxOp)
    kind = tensor_of(op.x)
    axis = op.axis.data
    names = low.names(kind.rank)
    place = syms(names)
    dims = list(zip(names, kind.dims, strict=True))

    def body(b: RowBuilder, args: Scalars) -> list[SSAValue]:
        x = _widened(b, args[0])
        top = _largest_number(b, x)
        lowest = b.constant(-pymath.inf, top.type)
        # A row of -inf only: subtract 0 instead of -inf, and divide by 1 instead of 0, so that it comes out as zeros.
        shift = b.select(b.compare("eq", top, lowest), b.constant(0.0, top.type), top)
        e = b.each([x], lambda r, v: r.math(math.ExpOp, r.binary("sub", v[0], shift)))
        total = b.fold("add", e, 0.0)
        total = b.select(b.compare("eq", total, b.constant(0.0, total.type)), b.constant(1.0, total.type), total)
        inverse = b.binary("div", b.constant(1.0, total.type), total)
        return [b.each([e], lambda r, v: r.convert(r.binary("mul", v[0], inverse), kind.element_type))]

    low.reduce(
        [d for i, d in enumerate(dims) if i != axis],
        [dims[axis]],
        [(low.buffer(op.x), place)],
        [(low.new(op.result), place)],
        body,
    )


def norm(low: Lowering, op: Operation) -> None:
    """layer_norm, rms_norm and their residual forms, which also give the sum."""
    residual = isinstance(op, mir.ResidualLayerNormOp | mir.ResidualRmsNormOp)
    centered = isinstance(op, mir.LayerNormOp | mir.ResidualLayerNormOp)
    values = list(op.operands)
    kind = tensor_of(values[0])
    eps: float = op.eps.data  # pyright: ignore[reportAttributeAccessIssue]
    names = low.names(kind.rank)
    place = syms(names)
    dims = list(zip(names, kind.dims, strict=True))
    count = kind.dims[-1]
    sums = 2 if residual else 1
    ins = [(low.buffer(v), place) for v in values[:sums]] + [(low.buffer(v), [sym(names[-1])]) for v in values[sums:]]
    outs = [(low.new(result), place) for result in op.results]

    def body(b: RowBuilder, args: Scalars) -> list[SSAValue]:
        rows = [_widened(b, a) for a in args]
        x = rows[0]
        given: list[SSAValue] = []
        if residual:
            x = b.each(rows[:2], lambda r, v: r.binary("add", v[0], v[1]))
            exact = compute_type(kind.element_type) == kind.element_type
            given = [x if exact else b.each([x], lambda r, v: r.convert(v[0], kind.element_type))]
        if centered:
            mean = mean_of(b, b.fold("add", x, 0.0), count)
            x = b.each([x], lambda r, v: r.binary("sub", v[0], mean))
        square = b.each([x], lambda r, v: r.binary("mul", v[0], v[0]))
        variance = mean_of(b, b.fold("add", square, 0.0), count)
        inverse = b.math(math.RsqrtOp, b.binary("add", variance, b.constant(eps, variance.type)))
        params: Sequence[SSAValue] = rows[sums:]

        def scaled(r: RegionBuilder, v: Scalars) -> SSAValue:
            y = r.binary("mul", r.binary("mul", v[0], inverse), v[1])
            return r.convert(r.binary("add", y, v[2]) if centered else y, kind.element_type)

        return [*given, b.each([x, *params], scaled)]

    low.reduce(dims[:-1], [dims[-1]], ins, outs, body)


def channel_norms(low: Lowering, op: Operation) -> None:
    """group_norm and channel_norm: rows of some channels and places, scale and bias by channel."""
    assert isinstance(op, mir.GroupNormOp | mir.ChannelNormOp)
    kind = tensor_of(op.x)
    groups = op.groups.data if isinstance(op, mir.GroupNormOp) else 1
    batch, group, within, *rest = low.names(kind.rank + 1)
    share = kind.dims[1] if groups == 1 else kind.dims[1] // groups
    channel = sym(within) if groups == 1 else sym(group) * share + sym(within)
    place = [sym(batch), channel, *syms(rest)]
    spatial = list(zip(rest, kind.dims[2:], strict=True))
    whole = isinstance(op, mir.GroupNormOp)
    rows = [(batch, kind.dims[0]), *([(group, const(groups))] if groups > 1 else []), *([] if whole else spatial)]
    axes = [(within, share), *(spatial if whole else [])]
    count = product([d for _, d in axes])

    def body(b: RowBuilder, args: Scalars) -> list[SSAValue]:
        x, scale, bias = (_widened(b, a) for a in args)
        mean = mean_of(b, b.fold("add", x, 0.0), count)
        centered = b.each([x], lambda r, v: r.binary("sub", v[0], mean))
        square = b.each([centered], lambda r, v: r.binary("mul", v[0], v[0]))
        variance = mean_of(b, b.fold("add", square, 0.0), count)
        inverse = b.math(math.RsqrtOp, b.binary("add", variance, b.constant(op.eps.data, variance.type)))

        def scaled(r: RegionBuilder, v: Scalars) -> SSAValue:
            y = r.binary("add", r.binary("mul", r.binary("mul", v[0], inverse), v[1]), v[2])
            return r.convert(y, kind.element_type)

        return [b.each([centered, scale, bias], scaled)]

    params = [(low.buffer(v), [channel]) for v in (op.scale, op.bias)]
    low.reduce(rows, axes, [(low.buffer(op.x), place), *params], [(low.new(op.result), place)], body)


def batch_norm(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.BatchNormOp)
    kind = tensor_of(op.x)
    names = low.names(kind.rank)

    def body(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
        x, scale, bias, mean, variance = (b.widen(a) for a in args)
        inverse = b.math(math.RsqrtOp, b.binary("add", variance, b.constant(op.eps.data, variance.type)))
        y = b.binary("mul", b.binary("mul", b.binary("sub", x, mean), inverse), scale)
        return [b.convert(b.binary("add", y, bias), kind.element_type)]

    params = [(low.buffer(v), [sym(names[1])]) for v in (op.scale, op.bias, op.mean, op.variance)]
    dims = list(zip(names, kind.dims, strict=True))
    low.map(dims, [(low.buffer(op.x), syms(names)), *params], [(low.new(op.result), syms(names))], body)


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    **dict.fromkeys(_FOLDS, reduce),
    mir.SoftmaxOp: softmax,
    mir.GroupNormOp: channel_norms,
    mir.ChannelNormOp: channel_norms,
    mir.BatchNormOp: batch_norm,
    **dict.fromkeys((mir.LayerNormOp, mir.RmsNormOp, mir.ResidualLayerNormOp, mir.ResidualRmsNormOp), norm),
}

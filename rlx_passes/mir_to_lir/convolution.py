"""Lowering rules: convolutions are contracts over guarded reads, pooling reduces over windows, padding and resizing are maps."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, const, maximum, minimum, sym
from rlx_dialects.mir.convolution import PoolOp
from rlx_dialects.rlx import dtypes
from rlx_passes.mir_to_lir.lowering import Lowering, Read, RowBuilder, Scalars, product, syms, tensor_of
from rlx_passes.mir_to_lir.rows import identity_of
from rlx_passes.support.region_builder import RegionBuilder, compute_type, scalar_constant


def conv(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.ConvOp)
    w, result = tensor_of(op.w), tensor_of(op.result)
    strides, dilation, groups = op.strides.data, op.dilation.data, op.groups.data
    before = op.padding.data[::2]
    count = len(strides)
    n, o, *p = low.names(2 + count, "o")
    c, *r = low.names(1 + count, "k")
    place = [sym(a) * s + sym(b) * d - f for a, b, s, d, f in zip(p, r, strides, dilation, before)]
    share = w.dims[1]
    channel = sym(c) if groups == 1 else sym(o) // (result.dims[1] // groups) * share + sym(c)
    source = _read(low, op.x, [sym(n), channel, *place], any(op.padding.data))
    reduced = list(zip([c, *r], (share, *w.dims[2:])))
    _contract(low, op, source, (low.buffer(op.w), [sym(o), sym(c), *syms(r)]), [n, o, *p], reduced)


def _read(low: Lowering, value: SSAValue, at: list[DimExpr], guarded: bool, fill: float = 0) -> Read:
    """An access of `value`; guarded where it may leave the tensor."""
    if not guarded:
        return low.buffer(value), at
    return low.buffer(value), at, scalar_constant(fill, tensor_of(value).element_type)


def _contract(
    low: Lowering, op: Operation, x: Read, w: Read, names: list[str], reduced: list[tuple[str, DimExpr]]
) -> None:
    result = tensor_of(op.results[0])
    low.contract(
        list(zip(names, result.dims, strict=True)),
        reduced,
        [x, w],
        [(low.new(op.results[0]), syms(names))],
        lambda r, args: [(r.widen(args[0]), r.widen(args[1]))],
        lambda r, sums, _: [r.convert(sums[0], result.element_type)],
    )


def conv_transpose(low: Lowering, op: Operation) -> None:
    """x spread out with zeros between its elements, then a convolution with the mirrored kernel."""
    assert isinstance(op, mir.ConvTransposeOp)
    x, w = tensor_of(op.x), tensor_of(op.w)
    strides, dilation, groups = op.strides.data, op.dilation.data, op.groups.data
    before = op.padding.data[::2]
    source = low.buffer(op.x)
    if any(stride > 1 for stride in strides):
        dims = (*x.dims[:2], *(d * s for d, s in zip(x.dims[2:], strides)))
        spread = low.alloc(dims, x.element_type, "spread")
        names = low.names(x.rank)
        inner = list(zip(names[2:], strides))

        def body(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
            value = args[0]
            for name, stride in inner:
                if stride > 1:
                    rest = b.index(sym(name) % stride)
                    on = b.compare("eq", rest, b.constant(0, rest.type))
                    value = b.select(on, value, b.constant(0, value.type))
            return [value]

        at = [*syms(names[:2]), *(sym(name) // stride for name, stride in inner)]
        low.map(list(zip(names, dims, strict=True)), [(source, at)], [(spread, syms(names))], body)
        source = spread
    n, o, *p = low.names(2 + len(strides), "o")
    c, *r = low.names(1 + len(strides), "k")
    place = [sym(a) + f - sym(b) * d for a, b, d, f in zip(p, r, dilation, before)]
    each = w.dims[1]
    share = x.dims[1] // groups
    channel = sym(c) if groups == 1 else sym(o) // each * share + sym(c)
    column = sym(o) if groups == 1 else sym(o) % each
    reduced = list(zip([c, *r], (share, *w.dims[2:])))
    guarded: Read = (source, [sym(n), channel, *place], scalar_constant(0, x.element_type))
    _contract(low, op, guarded, (low.buffer(op.w), [channel, column, *syms(r)]), [n, o, *p], reduced)


def pool(low: Lowering, op: Operation) -> None:
    assert isinstance(op, PoolOp)
    x, result = tensor_of(op.x), tensor_of(op.results[0])
    element = x.element_type
    is_max = isinstance(op, mir.MaxPoolOp)
    names = low.names(x.rank, "o")
    inner = low.names(x.rank - 2, "k")
    sizes, strides, dilation, padding = op.window.data, op.strides.data, op.dilation.data, op.padding.data
    place = [sym(a) * s + sym(b) * d - f for a, b, s, d, f in zip(names[2:], inner, strides, dilation, padding[::2])]
    fill = identity_of("max" if is_max else "add", element)
    source = _read(low, op.x, [*syms(names[:2]), *place], any(padding), fill)

    def body(b: RowBuilder, args: Scalars) -> list[SSAValue]:
        row = args[0]
        wide = compute_type(element)
        if row.type.element_type != wide:  # pyright: ignore[reportAttributeAccessIssue]
            row = b.each([row], lambda r, v: r.widen(v[0]))
        total = b.fold("max" if is_max else "add", row, fill, unsigned=dtypes.is_unsigned_int(element))
        if isinstance(op, mir.AvgPoolOp):
            count = product([const(size) for size in sizes])
            if op.count_padding is None:
                count = product([_inside(*given) for given in zip(names[2:], sizes, strides, dilation, padding[::2], x.dims[2:])])
            divisor = b.constant(count.value, wide) if count.is_const else b.index(count, wide)
            total = b.binary("div", total, divisor)
        return [b.convert(total, result.element_type)]

    rows = list(zip(names, result.dims, strict=True))
    axes = list(zip(inner, map(const, sizes), strict=True))
    low.reduce(rows, axes, [source], [(low.new(op.results[0]), syms(names))], body)


def _inside(name: str, size: int, stride: int, step: int, before: int, extent: DimExpr) -> DimExpr:
    """How many elements of the window at `name` lie in [0, extent)."""
    start = sym(name) * stride - before
    first = maximum((step - 1 - start) // step, 0)  # the smallest r with start + r·step >= 0
    end = minimum((extent - start + step - 1) // step, size)
    return maximum(end - first, 0)


def pad(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.PadOp)
    x, result = tensor_of(op.x), tensor_of(op.result)
    names = low.names(x.rank)
    at = [sym(name) - before if before else sym(name) for name, before in zip(names, op.low.data)]
    read = _read(low, op.x, at, True, op.value.data)
    if op.mode.data != "constant":
        padded = [before + after > 0 for before, after in zip(op.low.data, op.high.data)]
        find = _clamped if op.mode.data == "edge" else _mirrored
        read = (low.buffer(op.x), [find(e, d) if grown else e for e, d, grown in zip(at, x.dims, padded)])
    low.map(list(zip(names, result.dims, strict=True)), [read], [(low.new(op.result), syms(names))], lambda b, args: [args[0]])


def _clamped(index: DimExpr, extent: DimExpr) -> DimExpr:
    return minimum(maximum(index, 0), extent - 1)


def _mirrored(index: DimExpr, extent: DimExpr) -> DimExpr:
    """|index|, and 2·(extent - 1) - index beyond the end; clamped, which changes nothing but is plain to see."""
    inside = maximum(index, -index)
    return _clamped(minimum(inside, (extent - 1) * 2 - inside), extent)


def resize(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.ResizeOp)
    x, result = tensor_of(op.x), tensor_of(op.result)
    names = low.names(x.rank)
    dims = list(zip(names, result.dims, strict=True))
    target = [(low.new(op.result), syms(names))]
    factors = op.scale.data
    if op.mode.data == "nearest":
        at = [*syms(names[:2]), *(sym(name) // factor for name, factor in zip(names[2:], factors))]
        low.map(dims, [(low.buffer(op.x), at)], target, lambda b, args: [args[0]])
        return
    # The corners of the cell that a point lies in, each axis low or high.
    corners: list[list[DimExpr]] = [syms(names[:2])]
    for name, factor, extent in zip(names[2:], factors, x.dims[2:]):
        below = _below(name, factor)
        sides = [_clamped(below, extent), _clamped(below + 1, extent)] if factor > 1 else [sym(name)]
        corners = [[*corner, side] for corner in corners for side in sides]

    def body(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
        values = [b.widen(arg) for arg in args]
        for name, factor in list(zip(names[2:], factors))[::-1]:
            if factor == 1:
                continue
            # (2·p + 1 - factor) / (2·factor) less the whole cells below; beyond the outermost centers both corners are one.
            rest = (sym(name) * 2 + 1 - factor) % (2 * factor)
            weight = b.binary("div", b.index(rest, values[0].type), b.constant(2.0 * factor, values[0].type))
            pairs = zip(values[::2], values[1::2], strict=True)
            values = [b.binary("add", low_, b.binary("mul", weight, b.binary("sub", high, low_))) for low_, high in pairs]
        return [b.convert(values[0], result.element_type)]

    low.map(dims, [(low.buffer(op.x), corner) for corner in corners], target, body)


def _below(name: str, factor: int) -> DimExpr:
    """The element whose center lies at or before that of `name`: floor((p + 1/2) / factor - 1/2)."""
    return (sym(name) * 2 + 1 - factor) // (2 * factor)


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    mir.ConvOp: conv,
    mir.ConvTransposeOp: conv_transpose,
    mir.MaxPoolOp: pool,
    mir.AvgPoolOp: pool,
    mir.PadOp: pad,
    mir.ResizeOp: resize,
}

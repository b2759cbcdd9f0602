"""Where a piece of vector code stands: which loop symbol runs along the lanes, and how operands are loaded and stored there.

A `Site` says what the iteration dims are, as expressions over loop symbols, and which symbols are spread over lanes: none
(scalar code), one (a vector) or two (a register tile, rows then columns). Values that do not depend on the lanes stay scalar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from xdsl.dialects import arith
from xdsl.dialects.builtin import i1
from xdsl.ir import SSAValue

from rlx_backends.support.kernel_builder import Index, KernelBuilder, Operand
from rlx_dialects.dims import DimExpr, as_expr
from rlx_dialects.kernel.memory import GatherOp, ScatterOp
from rlx_dialects.kernel.types import shape_of
from rlx_dialects.lir import BufferType


@dataclass(frozen=True)
class Site:
    """`lanes` are (symbol, size) pairs; `counts` how many lanes of each hold a point, None for all of them."""

    point: Mapping[str, DimExpr] = field(default_factory=dict)
    lanes: tuple[tuple[str, int], ...] = ()
    counts: tuple[Index | None, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(size for _, size in self.lanes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.lanes)

    def place(self, expr: DimExpr) -> DimExpr:
        """An expression over iteration dims in terms of loop symbols."""
        return expr.substitute(self.point)

    def scalar(self) -> Site:
        """The first lane alone."""
        return replace(self, lanes=(), counts=())

    def only(self, axis: int) -> Site:
        """A tile's rows (0) or columns (1) as a vector."""
        return replace(self, lanes=self.lanes[axis : axis + 1], counts=self.counts[axis : axis + 1])


def mask_of(b: KernelBuilder, site: Site) -> SSAValue | None:
    """The lanes that hold a point; None if all do."""
    if all(count is None for count in site.counts):
        return None
    counts = [size if count is None else count for count, size in zip(site.counts, site.shape, strict=True)]
    return b.mask(counts, site.shape)


def both(b: KernelBuilder, *masks: SSAValue | None) -> SSAValue | None:
    """The conjunction of masks of one shape."""
    result: SSAValue | None = None
    for mask in masks:
        if mask is not None:
            result = mask if result is None else b.value(arith.AndIOp(result, mask))
    return result


def negated(b: KernelBuilder, mask: SSAValue) -> SSAValue:
    shape = shape_of(mask.type)
    return b.value(arith.XOrIOp(mask, b.splat(-1, i1, shape)))


def full(b: KernelBuilder, value: SSAValue, site: Site) -> SSAValue:
    """A value of a site in all lanes: scalars are broadcast."""
    return b.broadcast(value, site.shape) if site.lanes and not shape_of(value.type) else value


def guard(
    b: KernelBuilder, indices: Sequence[DimExpr], dims: Sequence[DimExpr], site: Site
) -> tuple[SSAValue | None, SSAValue | None]:
    """(scalar condition, mask) under which `indices`, over loop symbols, lie in a shape; None for what is always so."""
    condition: SSAValue | None = None
    mask: SSAValue | None = None
    name, size = site.lanes[0] if site.lanes else ("", 0)
    for index, extent in zip(indices, dims, strict=True):
        low = b.facts.prove_le(0, index) is not True
        high = b.facts.prove_lt(index, extent) is not True
        if name not in index.symbols:
            if low:
                condition = both(b, condition, b.test("sge", b.at(index), 0))
            if high:
                condition = both(b, condition, b.test("slt", b.at(index), b.at(extent)))
        elif (step := index.coefficient(name)) is not None and step == 1:
            if high:
                mask = both(b, mask, b.mask([b.at(extent - index)], (size,)))
            if low:
                mask = both(b, mask, negated(b, b.mask([b.at(-index)], (size,))))
        else:
            lanes = b.lanes_at(index, name, size)
            if low:
                mask = both(b, mask, b.cmp("sge", lanes, b.broadcast(b.index(0), (size,))))
            if high:
                mask = both(b, mask, b.cmp("slt", lanes, b.broadcast(b.at(extent), (size,))))
    return condition, mask


def load_place(
    b: KernelBuilder,
    pointer: SSAValue,
    offset: DimExpr,
    site: Site,
    mask: SSAValue | None = None,
    fill: SSAValue | None = None,
) -> SSAValue:
    """The elements at `offset` (over loop symbols) of a vector or scalar site; `mask` in addition to the site's counts."""
    if not site.lanes:
        return b.load(pointer, b.at(offset))
    (name, size), shape = site.lanes[0], site.shape
    step = offset.coefficient(name) if name in offset.symbols else as_expr(0)
    if step == 0 and mask is None:
        return b.load(pointer, b.at(offset))
    mask = both(b, mask, mask_of(b, site))
    fill = fill if mask is not None else None
    if step is None or step == 0:
        lanes = b.lanes_at(offset, name, size) if step is None else b.broadcast(b.at(offset), shape)
        return b.value(GatherOp(pointer, lanes, mask=mask, fill=fill))
    stride = None if step == 1 else b.at(step)
    return b.load(pointer, b.at(offset), shape, stride=stride, mask=mask, fill=fill)


def load(b: KernelBuilder, operand: Operand, site: Site) -> SSAValue:
    """What the form's region receives of an operand: its elements at the site's points, a scalar where they are all one."""
    offset = b.offset_of(operand, site.point)
    if len(site.lanes) == 2:
        return _load_tile(b, operand, offset, site)
    if not operand.access.is_guarded:
        return load_place(b, operand.pointer, offset, site)
    indices = [b.facts.simplify(site.place(e)) for e in operand.access.exprs]
    fill = b.attribute(operand.access.fill)
    return load_guarded(b, operand.pointer, operand.kind, offset, indices, site, fill)


def load_guarded(
    b: KernelBuilder,
    pointer: SSAValue,
    kind: BufferType,
    offset: DimExpr,
    indices: Sequence[DimExpr],
    site: Site,
    fill: SSAValue,
) -> SSAValue:
    """`load_place`, with `fill` where an index leaves the shape of the buffer; nothing outside is touched."""
    varies = bool(site.lanes) and any(site.names[0] in e.symbols for e in (offset, *indices))
    if not varies:
        site = site.scalar()
    condition, mask = guard(b, indices, kind.dims, site)
    if not varies:
        if condition is None:
            return load_place(b, pointer, offset, site)
        return b.when(condition, lambda: [load_place(b, pointer, offset, site)], lambda: [fill])[0]
    if condition is not None:
        size = site.shape[0]
        count = size if site.counts[0] is None else site.counts[0]
        site = replace(site, counts=(b.pick(condition, count, 0),))
    return load_place(b, pointer, offset, site, mask, fill)


def tile_steps(b: KernelBuilder, operand: Operand, site: Site) -> tuple[DimExpr, DimExpr] | None:
    """(row, column) strides of an operand if a tile of it can be loaded or stored at once, else None."""
    if operand.access.is_guarded:
        return None
    offset = b.offset_of(operand, site.point)
    rows, columns = (offset.coefficient(name) for name in site.names)
    if rows is None or columns is None or columns not in (0, 1) or rows.symbols & set(site.names):
        return None
    return rows, columns


def _load_tile(b: KernelBuilder, operand: Operand, offset: DimExpr, site: Site) -> SSAValue:
    steps = tile_steps(b, operand, site)
    assert steps is not None, "the schedule asks tile_steps first"
    rows, columns = steps
    if columns == 0:
        value = load_place(b, operand.pointer, offset, site.only(0))
        return b.broadcast(value, site.shape, "column") if shape_of(value.type) else value
    if rows == 0:
        return b.broadcast(load_place(b, operand.pointer, offset, site.only(1)), site.shape, "row")
    return b.load(operand.pointer, b.at(offset), site.shape, stride=b.at(rows), mask=mask_of(b, site))


def store(b: KernelBuilder, operand: Operand, value: SSAValue, site: Site) -> None:
    """Write a result's elements at the site's points."""
    offset = b.offset_of(operand, site.point)
    if not site.lanes:
        b.store(value, operand.pointer, b.at(offset))
        return
    value = full(b, value, site)
    mask = mask_of(b, site)
    if len(site.lanes) == 2:
        steps = tile_steps(b, operand, site)
        assert steps is not None and steps[1] == 1, "the schedule asks tile_steps first"
        b.store(value, operand.pointer, b.at(offset), stride=b.at(steps[0]), mask=mask)
        return
    name, size = site.lanes[0]
    step = offset.coefficient(name)
    if step is None:
        b.op(ScatterOp(value, operand.pointer, b.lanes_at(offset, name, size), mask=mask))
        return
    b.store(value, operand.pointer, b.at(offset), stride=None if step == 1 else b.at(step), mask=mask)

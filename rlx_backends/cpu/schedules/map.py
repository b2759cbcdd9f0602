"""Schedules of `lir.map`.

`vector`: one dim runs along vectors, chosen so that results are written contiguously and most operands read so; all other
dims are rows. Neighbouring dims that lie in memory as one are one loop. The team shares a rows × columns rectangle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
from xdsl.ir import SSAValue

from rlx_backends.base import Pack, Scratch
from rlx_backends.support.kernel_builder import KernelBuilder, Operand
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sharing import Split
from rlx_backends.support.sites import Site, load, store
from rlx_backends.support.spaces import Dim, Space, int_param, lanes_for, rows_of, text_param, widest
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, MapOp, ScheduleAttr

UNROLL = 2
"""Native vectors in flight; more of them spill in long regions."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """One schedule: the dim of least cost along the vectors."""
    space = Space(form, facts)
    dims = space.collapse([it.symbol.data for it in form.group("parallel")])
    lanes = min(UNROLL * target.vector_bits // 8 // widest(form), target.vector_bits // 8)
    if not dims:
        return [ScheduleAttr.get("vector", {"dim": StringAttr(""), "lanes": IntegerAttr(1, i64)})]
    best = min(reversed(dims), key=lambda dim: _cost(space, dim, lanes))
    lanes = lanes_for(best.extent, lanes, space.facts)
    return [ScheduleAttr.get("vector", {"dim": StringAttr(best.name), "lanes": IntegerAttr(lanes, i64)})]


def _cost(space: Space, dim: Dim, lanes: int) -> float:
    """Accesses for each point, in vectors; a strided one takes as many as there are lanes."""
    size = space.size(dim.extent)
    lanes = lanes_for(const(size), lanes, space.facts)
    reads = len(space.form.ins)
    cost = 1.0
    steps = [(i, space.step(i, dim.name)) for i, offset in enumerate(space.offsets) if offset is not None]
    steps += [(0, step) for step in space.read_steps(dim.name)]
    for operand, step in steps:
        weight = 1.5 if operand >= reads else 1.0
        if step is None:
            cost += 1.5 * weight * lanes
        elif step == 0:
            cost += 0.25
        else:
            cost += weight * (1 if step == 1 else lanes)
    return cost * (-(-size // lanes)) / size


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: a map reads every element about once."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """None."""
    return ()


def split(form: FormOp, schedule: ScheduleAttr, facts: Facts) -> Split | None:
    """The rows; vectors where all is one row."""
    dims = Space(form, facts).collapse([it.symbol.data for it in form.group("parallel")])
    lanes = int_param(schedule, "lanes")
    if lanes > 1 and len(dims) == 1:
        return dims[0].members, lanes
    along = text_param(schedule, "dim") if lanes > 1 else ""
    return tuple(name for dim in dims if dim.name != along for name in dim.members), 1


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Rows × vectors; the last vector of a row is masked."""
    assert isinstance(form, MapOp)
    b = kernel
    space = Space(form, b.facts)
    dims = space.collapse([it.symbol.data for it in form.group("parallel")])
    name, lanes = text_param(schedule, "dim"), int_param(schedule, "lanes")
    along = next((dim for dim in dims if dim.name == name), None)
    rows = [dim for dim in dims if dim is not along]
    point: dict[str, DimExpr] = {it.symbol.data: const(0) for it in form.group("parallel")}
    for dim in dims:
        del point[dim.name]
    body = _Body(b, form, point)
    count = b.at(rows_of(rows))
    if along is None or lanes == 1:
        lower_row, upper_row = b.partition(count if along is None else b.at(rows_of(dims)))
        b.for_points([(dim.name, dim.extent) for dim in dims], lower_row, upper_row, lambda: body.scalar())
        return
    extent = b.at(along.extent)
    size = b.known(extent)
    if size is not None and size <= lanes:
        lower_row, upper_row = b.partition(count)
        lower_lane, upper_lane = b.index(0), extent
    else:
        lower_row, upper_row, lower_lane, upper_lane = b.partition_2d(count, extent, (1, lanes))
    exact = b.facts.divisor(along.extent) % lanes == 0

    def row() -> None:
        body.row(along.name, lanes, lower_lane, upper_lane, exact)

    b.for_points([(dim.name, dim.extent) for dim in rows], lower_row, upper_row, row)


class _Body:
    """The map's region at a row, a vector or a point."""

    def __init__(self, b: KernelBuilder, form: MapOp, point: dict[str, DimExpr]):
        self.b = b
        self.block = form.body.block
        self.point = point
        self.whole, self.elements = block_args(self.block.args, b.ins)

    def _varies(self, operand: Operand, name: str) -> bool:
        exprs = [self.b.offset_of(operand, self.point)]
        if operand.access.is_guarded:
            exprs += operand.access.exprs
        return any(name in expr.symbols for expr in exprs)

    def _write(self, values: Sequence[SSAValue], site: Site) -> None:
        for operand, value in zip(self.b.outs, values, strict=True):
            store(self.b, operand, value, site)

    def scalar(self) -> None:
        site = Site(self.point)
        region = Region(self.b, self.block, self.whole)
        self._write(region.run({arg: load(self.b, operand, site) for arg, operand in self.elements.items()}, site), site)

    def row(self, name: str, lanes: int, lower: SSAValue, upper: SSAValue, exact: bool) -> None:
        b = self.b
        lower_known, upper_known = b.known(lower), b.known(upper)
        vector = Site(self.point, ((name, lanes),), (None,))
        varying = {arg: operand for arg, operand in self.elements.items() if self._varies(operand, name)}
        fixed = {arg: operand for arg, operand in self.elements.items() if arg not in varying}
        region = Region(b, self.block, self.whole)
        region.invariants({arg: load(b, operand, vector.scalar()) for arg, operand in fixed.items()}, vector)

        def chunk(count: SSAValue | None = None) -> None:
            site = Site(self.point, vector.lanes, (count,))
            self._write(region.run({arg: load(b, operand, site) for arg, operand in varying.items()}, site), site)

        if lower_known is not None and upper_known is not None and upper_known - lower_known <= lanes:
            b.bind(name, lower)
            chunk(None if upper_known - lower_known == lanes else b.sub(upper, lower))
            return
        if exact:
            b.for_dim(name, lower, upper, lanes, chunk)
            return
        end = b.whole(upper, lanes)
        b.for_dim(name, lower, end, lanes, chunk)

        def tail() -> None:
            b.bind(name, end)
            chunk(b.sub(upper, end))

        b.when(b.test("slt", end, upper), tail)

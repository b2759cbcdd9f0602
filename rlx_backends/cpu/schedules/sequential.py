"""Schedules of the forms with order in them: `lir.scan`, `lir.sort`, `lir.scatter`. Simple code, correct for every shape.

* scan, `lanes`: a vector of neighbouring parallel points steps through the sequential dim together, carries in registers.
* sort, `select` for a short limit: a sorted list of the best so far; `merge` otherwise: stable merge sort of positions.
* scatter, `owner`: every thread owns a share of the destinations and applies, in order, the updates that fall there, so that the result is that of one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
from xdsl.ir import SSAValue

from rlx_backends.base import Pack, Scratch
from rlx_backends.cpu.schedules import scatter_updates, sort_rows
from rlx_backends.support.kernel_builder import KernelBuilder, total
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, full, load, store
from rlx_backends.support.spaces import Space, int_param, lanes_for, text_param, widest
from rlx_dialects.dims import const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, ScanOp, ScatterOp, ScheduleAttr, SortOp


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """One schedule for each form."""
    if isinstance(form, SortOp):
        return [ScheduleAttr.get(sort_rows.kind_of(form, facts))]
    if isinstance(form, ScatterOp):
        return [ScheduleAttr.get("owner", {"lanes": IntegerAttr(target.vector_bits // 8 // widest(form), i64)})]
    assert isinstance(form, ScanOp)
    space = Space(form, facts)
    lanes = target.vector_bits // 8 // widest(form)
    best, name = _cost(space, "", 1), ""
    for it in form.group("parallel"):
        cost = _cost(space, it.symbol.data, lanes_for(it.dim, lanes, space.facts))
        if cost < best:
            best, name = cost, it.symbol.data
    lanes = lanes_for(form.extents[name], lanes, space.facts) if name else 1
    return [ScheduleAttr.get("lanes", {"dim": StringAttr(name), "lanes": IntegerAttr(lanes, i64)})]


def _cost(space: Space, name: str, lanes: int) -> float:
    """Steps of the recurrence and accesses for each point."""
    if not name:
        return 4.0 + len(space.offsets)
    size = space.size(space.extents[name])
    cost = 4.0
    for number, offset in enumerate(space.offsets):
        step = const(0) if offset is None else space.step(number, name)
        cost += 1 if step in (0, 1) else 1.5 * lanes
    return cost * (-(-size // lanes)) / size


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """Positions being sorted."""
    return sort_rows.scratch(form, schedule) if isinstance(form, SortOp) else ()


def partition(form: FormOp, schedule: ScheduleAttr, facts: Facts) -> tuple[str, ...]:
    """Unknown."""
    return ()


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Rows are shared by the team; a scatter's destinations are."""
    if isinstance(form, SortOp):
        sort_rows.lower(kernel, form, schedule)
    elif isinstance(form, ScatterOp):
        scatter_updates.lower(kernel, form, int_param(schedule, "lanes"))
    else:
        assert isinstance(form, ScanOp)
        _scan(kernel, form, schedule)


def _scan(b: KernelBuilder, form: ScanOp, schedule: ScheduleAttr) -> None:
    name, lanes = text_param(schedule, "dim"), int_param(schedule, "lanes")
    points = [(it.symbol.data, it.dim) for it in form.group("parallel")]
    rows = [point for point in points if point[0] != name]
    (sequence,) = form.group("sequential")
    block = form.body.block
    carries = len(form.extra)
    whole, elements = block_args(block.args[carries:], b.ins)

    def run(site: Site) -> None:
        starts = [full(b, load(b, operand, site), site) for operand in b.extra]

        def step(*carried: SSAValue) -> Sequence[SSAValue]:
            args = dict(zip(block.args, carried, strict=False)) | {arg: load(b, operand, site) for arg, operand in elements.items()}
            values = Region(b, block, whole).run(args, site)
            for operand, value in zip(b.outs, values[carries:], strict=False):
                store(b, operand, value, site)
            return [full(b, value, site) for value in values[:carries]]

        lower_step, upper_step = sequence.range
        ends = b.for_dim(sequence.symbol.data, b.at(lower_step), b.at(upper_step), 1, step, starts)
        for operand, value in zip(b.outs[len(b.outs) - carries :], ends, strict=True):
            store(b, operand, value, site)

    if not name or lanes == 1:
        first, end = b.partition(b.at(total(extent for _, extent in points)))
        b.for_points(points, first, end, lambda: run(Site()))
        return
    extent = form.extents[name]
    exact = b.facts.divisor(extent) % lanes == 0
    row_from, row_to, lane_from, lane_to = b.partition_2d(b.at(total(e for _, e in rows)), b.at(extent), (1, lanes))

    def vector() -> None:
        run(Site({}, ((name, lanes),), (None if exact else b.sub(lane_to, b.index(b.env[name])),)))

    b.for_points(rows, row_from, row_to, lambda: b.for_dim(name, lane_from, lane_to, lanes, vector))

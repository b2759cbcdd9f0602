"""Schedules of `lir.reduce`.

* `lanes`: vectors run along the last reduce dim of one row; a row is read once per dependence level of its folds, from the first-level cache after the
  first time.
* `rows`: vectors run over neighbouring rows where the axis itself is not contiguous; each lane is a row of its own.

A row value that is dear to compute (a function, a division) and needed again after a fold is kept in per-thread scratch. Results are written in the last
pass over a row, after everything at that place is read, so a result may lie where an operand was. Folds combine lanes in a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64

from rlx_backends.base import Pack, Scratch
from rlx_backends.cpu.schedules.reduce_rows import RowKernel, kept_rows
from rlx_backends.support.kernel_builder import KernelBuilder, total
from rlx_backends.support.spaces import Space, int_param, lanes_for, text_param, widest
from rlx_dialects.dims import const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, ReduceOp, ScheduleAttr

UNROLL = 4
"""Native vectors in flight: independent sums hide the latency of the addition."""
UNROLL_ROWS = 2


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """`lanes` if the axis is read contiguously at least as well as any parallel dim, else `rows`."""
    space = Space(form, facts)
    native = target.vector_bits // 8 // widest(form)
    axes = [it.symbol.data for it in form.group("reduce")]
    along = [(axes[-1], native * UNROLL)] if axes else []
    bounded = any(it.bounds.data for it in form.iters.data)  # pyright: ignore[reportAttributeAccessIssue]
    if not bounded:
        along += [(it.symbol.data, native * UNROLL_ROWS) for it in form.group("parallel")]
    costs = [(_cost(space, name, lanes, name in axes), position) for position, (name, lanes) in enumerate(along)]
    if not costs:
        return [ScheduleAttr.get("lanes", {"dim": StringAttr(""), "lanes": IntegerAttr(1, i64)})]
    name, lanes = along[min(costs)[1]]
    lanes = lanes_for(space.extents[name], lanes, space.facts)
    kind = "lanes" if name in axes else "rows"
    return [ScheduleAttr.get(kind, {"dim": StringAttr(name), "lanes": IntegerAttr(lanes, i64)})]


def _cost(space: Space, name: str, lanes: int, is_axis: bool) -> float:
    """Accesses for each point, in vectors."""
    size = space.size(space.extents[name])
    lanes = lanes_for(const(size), lanes, space.facts)
    cost = 1.0 + (0.5 * lanes / max(size, 1) if is_axis else 0.0)
    for number, offset in enumerate(space.offsets):
        step = None if offset is None else space.step(number, name)
        if offset is None or step == 0:
            cost += 0.25
        else:
            cost += 1 if step == 1 else 1.5 * lanes
    cost += sum(1 if step in (0, 1) else 1.5 * lanes for step in space.read_steps(name))
    return cost * (-(-size // lanes)) / size


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """A row for each value that is kept (all lanes of it in `rows`)."""
    assert isinstance(form, ReduceOp)
    points = total(it.dim for it in form.group("reduce"))
    lanes = int_param(schedule, "lanes")
    # Whole vectors are stored, so the row is padded.
    elements = points * lanes if schedule.kind.data == "rows" else points + lanes
    return [Scratch(elements, value.type.element_type) for value in kept_rows(form)]  # pyright: ignore[reportAttributeAccessIssue]


def partition(form: FormOp, schedule: ScheduleAttr, facts: Facts) -> tuple[str, ...]:
    """Rows in contiguous shares."""
    if schedule.kind.data != "lanes":
        return ()
    return ("rows", str(total(it.dim for it in form.group("parallel"))))


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Rows are shared by the team."""
    assert isinstance(form, ReduceOp)
    b = kernel
    name, lanes = text_param(schedule, "dim"), int_param(schedule, "lanes")
    rows = [(it.symbol.data, it.dim) for it in form.group("parallel")]
    if schedule.kind.data == "lanes":
        lower_row, upper_row = b.partition(b.at(total(extent for _, extent in rows)))
        b.for_points(rows, lower_row, upper_row, lambda: RowKernel(b, form, None, (name, lanes)).write())
        return
    others = [(n, extent) for n, extent in rows if n != name]
    extent = form.extents[name]
    count = b.at(total(e for _, e in others))
    row_from, row_to, lane_from, lane_to = b.partition_2d(count, b.at(extent), (1, lanes))
    exact = b.facts.divisor(extent) % lanes == 0

    def vector() -> None:
        rest = None if exact else b.sub(lane_to, b.index(b.env[name]))
        RowKernel(b, form, (name, lanes, rest), None).write()

    b.for_points(others, row_from, row_to, lambda: b.for_dim(name, lane_from, lane_to, lanes, vector))



"""Schedules of `lir.reduce`.

* `registers`: the reduce dim runs along vectors and the whole row is one of them, masked at its end: memory is read once.
* `rows`: the reduce dim runs along vectors, in as many passes over the row as folds depend on each other; dear values are kept
  in scratch.
* `columns`: a parallel dim runs along vectors (or none does), the reduce dims are loops; every lane is a row.

Neighbouring dims that lie in memory as one are one loop. The order of a fold depends on the shape alone: the team shares rows,
never one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64

from rlx_backends.base import Pack, Scratch
from rlx_backends.cpu.schedules.columns import for_columns
from rlx_backends.cpu.schedules.reduce_rows import RowKernel
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.row_stages import RowStages, element_type, is_row
from rlx_backends.support.sharing import Split
from rlx_backends.support.sites import Site
from rlx_backends.support.spaces import Clashes, Dim, Space, int_param, lanes_for, rows_of, text_param, widest
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, IterAttr, ReduceOp, ScheduleAttr
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

LIGHT, HEAVY = 4, 2
"""Native vectors in flight: as many as hide the latency of an addition; with long chains (exp) two, more of them spill."""
ACROSS = 8.0
"""What combining the lanes of a fold costs, in vector accesses."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """One schedule: the dim of least cost along the vectors. LowerError for bounds on a parallel dim."""
    assert isinstance(form, ReduceOp)
    for it in form.group("parallel"):
        if it.bounds.data:
            raise LowerError(f"'{form.name}' with bounds on parallel dim '{it.symbol.data}'", location=location_of(form))
    space = Space(form, facts)
    parallel, axes = _dims(space, "parallel"), _dims(space, "reduce")
    stages = RowStages(form)
    native = target.vector_bits // 8 // widest(form)
    light, heavy = (min(n * native, target.vector_bits // 8) for n in (LIGHT, HEAVY))
    is_heavy = any(stages.is_heavy(k) for k in range(stages.passes))
    across = heavy if is_heavy else light
    costs = [(_cost(space, axis, light, stages, inside=True), True, axis) for axis in axes if _may_be_innermost(form, axis, axes)]
    costs += [(_cost(space, dim, across, stages, inside=False), False, dim) for dim in reversed(parallel)]
    if not costs:
        return [_schedule("columns", "", lanes=1)]
    _, inside, best = min(costs, key=lambda entry: entry[0])
    if not inside:
        return [_schedule("columns", best.name, lanes=lanes_for(best.extent, across, space.facts))]
    if len(axes) == 1 and best.extent.is_const and not _is_bounded(form, best):
        size = best.extent.value
        lanes = -(-size // native) * native if size > native else lanes_for(best.extent, native, space.facts)
        carried = max(RowStages(form, Clashes(space)).carried(), 1)
        registers = (32 if target.vector_bits == 512 else 16) * 3 // 4
        if 0 < size and lanes * carried <= registers * native:
            return [_schedule("registers", best.name, lanes=lanes)]
    light, heavy = (lanes_for(best.extent, n, space.facts) for n in (light, heavy))
    return [_schedule("rows", best.name, lanes=light, heavy=heavy)]


def _schedule(kind: str, dim: str, **numbers: int) -> ScheduleAttr:
    return ScheduleAttr.get(kind, {"dim": StringAttr(dim), **{key: IntegerAttr(n, i64) for key, n in numbers.items()}})


def _dims(space: Space, group: str) -> list[Dim]:
    return space.collapse([it.symbol.data for it in space.form.group(group)])


def _iter(form: FormOp, dim: Dim) -> IterAttr:
    return next(it for it in form.iters.data if isinstance(it, IterAttr) and it.symbol.data == dim.name)


def _is_bounded(form: FormOp, dim: Dim) -> bool:
    return bool(_iter(form, dim).bounds.data)


def _may_be_innermost(form: FormOp, axis: Dim, axes: Sequence[Dim]) -> bool:
    return not any(axis.name in bound.symbols for other in axes for bound in _iter(form, other).range)


def _cost(space: Space, dim: Dim, lanes: int, stages: RowStages, *, inside: bool) -> float:
    """Vector accesses for each point; a strided one takes as many as there are lanes. `inside`: the row runs along vectors."""
    size = space.size(dim.extent)
    lanes = lanes_for(const(size), lanes, space.facts)
    needed = [value for number in range(stages.passes) for value in stages.needed(number)]
    times = {arg.index: needed.count(arg) for arg in stages.block.args if is_row(arg)}
    times |= {len(space.form.ins) + i: 1 for i, value in enumerate(stages.results) if is_row(value)}
    steps = [(space.step(operand, dim.name), count) for operand, count in times.items()]
    cost = 1.0
    for step, count in (*steps, *((step, 1) for step in space.read_steps(dim.name))):
        cost += count * (1.5 * lanes if step is None else 0.25 if step == 0 else 1 if step == 1 else lanes)
    across = ACROSS * sum(map(len, stages.folds)) if inside else 0.0
    return (cost * -(-size // lanes) + across) / size


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: a reduce reads its operands about once."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """A row (for `columns`: of vectors) for each value that is kept between passes."""
    assert isinstance(form, ReduceOp)
    if schedule.kind.data == "registers":
        return ()
    elements: DimExpr = rows_of(_dims(Space(form, facts), "reduce"))
    if schedule.kind.data == "columns":
        elements = elements * int_param(schedule, "lanes")
    return [Scratch(elements, element_type(value)) for value in RowStages(form).kept]


def split(form: FormOp, schedule: ScheduleAttr, facts: Facts) -> Split | None:
    """The rows, where each is one thread's alone."""
    if schedule.kind.data == "columns":
        return None
    return tuple(name for dim in _dims(Space(form, facts), "parallel") for name in dim.members), 1


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Rows for each thread, or a rectangle of rows × columns."""
    assert isinstance(form, ReduceOp)
    b = kernel
    space = Space(form, b.facts)
    parallel, axes = _dims(space, "parallel"), _dims(space, "reduce")
    point: dict[str, DimExpr] = {it.symbol.data: const(0) for it in form.iters.data if isinstance(it, IterAttr)}
    for dim in (*parallel, *axes):
        del point[dim.name]
    kind, name, lanes = schedule.kind.data, text_param(schedule, "dim"), int_param(schedule, "lanes")
    stages = RowStages(form, Clashes(space) if kind == "registers" else None)
    loops = [
        (axis.name, *_iter(form, axis).range) if _is_bounded(form, axis) else (axis.name, const(0), axis.extent) for axis in axes
    ]
    extents = {axis.name: axis.extent for axis in axes}
    if kind != "columns":
        loops.sort(key=lambda loop: loop[0] == name)
        rows = RowKernel(b, form, stages, point, loops, extents, (lanes, int_param(schedule, "heavy", lanes)))
        count = rows_of(parallel)
        lower_row, upper_row = b.partition(b.at(count))
        b.for_points([(dim.name, dim.extent) for dim in parallel], lower_row, upper_row, lambda: rows.emit(Site(point)))
        return
    rows = RowKernel(b, form, stages, point, loops, extents, None)
    for_columns(b, point, parallel, name, lanes, rows.emit)

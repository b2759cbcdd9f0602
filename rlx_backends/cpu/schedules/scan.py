"""The schedule of `lir.scan`: `steps`.

The sequential dim is a loop that carries the recurrence; a parallel dim runs along vectors, so that every lane is a recurrence of
its own, or none does. The team shares the parallel points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
from xdsl.ir import SSAValue

from rlx_backends.cpu.schedules.columns import for_columns
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.regions import Region, Values, block_args
from rlx_backends.support.row_stages import is_dear
from rlx_backends.support.sites import Site, full, load, store
from rlx_backends.support.spaces import Dim, Space, int_param, lanes_for, text_param, widest
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, IterAttr, ScanOp, ScheduleAttr
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

LIGHT, HEAVY = 4, 2
"""Native vectors in flight: enough to hide the latency of a step; with functions in the step two, more of them spill."""
LATENCY = 4.0
"""What a step of a lone recurrence waits for the one before, in accesses."""


def choose(form: FormOp, target: Any, facts: Facts) -> ScheduleAttr:
    """The parallel dim of least cost along the vectors. LowerError for bounds on a parallel dim."""
    assert isinstance(form, ScanOp)
    for it in form.group("parallel"):
        if it.bounds.data:
            raise LowerError(f"'{form.name}' with bounds on parallel dim '{it.symbol.data}'", location=location_of(form))
    space = Space(form, facts)
    native = target.vector_bits // 8 // widest(form)
    heavy = any(is_dear(op) for op in form.body.block.ops)
    lanes = min((HEAVY if heavy else LIGHT) * native, target.vector_bits // 8)
    bounds = {name for it in form.group("sequential") for bound in it.range for name in bound.symbols}
    dims = [dim for dim in _parallel(space) if not bounds & set(dim.members)]
    costs = [(_cost(space, dim, lanes), dim) for dim in reversed(dims)]
    alone = 1.0 + LATENCY + sum(offset is not None for offset in space.offsets)
    cost, best = min(costs, key=lambda entry: entry[0], default=(alone, None))
    if best is None or cost >= alone:
        return ScheduleAttr.get("steps", {"dim": StringAttr(""), "lanes": IntegerAttr(1, i64)})
    lanes = lanes_for(best.extent, lanes, space.facts)
    return ScheduleAttr.get("steps", {"dim": StringAttr(best.name), "lanes": IntegerAttr(lanes, i64)})


def _parallel(space: Space) -> list[Dim]:
    return space.collapse([it.symbol.data for it in space.form.group("parallel")])


def _cost(space: Space, dim: Dim, lanes: int) -> float:
    """Accesses and waiting for each step, in vectors; a strided access takes as many as there are lanes."""
    size = space.size(dim.extent)
    lanes = lanes_for(const(size), lanes, space.facts)
    steps = [space.step(i, dim.name) for i, offset in enumerate(space.offsets) if offset is not None]
    cost = 1.0 + LATENCY
    for step in (*steps, *space.read_steps(dim.name)):
        cost += 1.5 * lanes if step is None else 0.25 if step == 0 else 1 if step == 1 else lanes
    return cost * -(-size // lanes) / size


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """A loop over the sequential dim at each point or vector of the parallel dims."""
    assert isinstance(form, ScanOp)
    b = kernel
    space = Space(form, b.facts)
    parallel = _parallel(space)
    point: dict[str, DimExpr] = {it.symbol.data: const(0) for it in form.group("parallel")}
    for dim in parallel:
        del point[dim.name]
    (step,) = form.group("sequential")
    name, lanes = text_param(schedule, "dim"), int_param(schedule, "lanes")
    for_columns(b, point, parallel, name, lanes, lambda site: _steps(b, form, step, site))


def _steps(b: KernelBuilder, form: ScanOp, step: IterAttr, site: Site) -> None:
    block = form.body.block
    count = len(b.extra)
    lower, upper = step.range
    whole, elements = block_args(block.args[count:], b.ins)
    region = Region(b, block, whole)
    name = step.symbol.data
    fixed = {arg: operand for arg, operand in elements.items() if name not in operand.access.symbols}
    known: Values = {arg: load(b, operand, site) for arg, operand in fixed.items()}
    carries = [full(b, load(b, operand, site), site) for operand in b.extra]

    def run(*carried: SSAValue) -> Sequence[SSAValue]:
        args: Values = dict(zip(block.args[:count], carried, strict=True))
        args |= {arg: load(b, operand, site) for arg, operand in elements.items() if arg not in fixed}
        values = [full(b, value, site) for value in region.run(args, site, known)]
        for operand, value in zip(b.outs, values[count:], strict=False):
            store(b, operand, value, site)
        return values[:count]

    carries = b.for_dim(name, b.at(lower), b.at(upper), 1, run, carries)
    for operand, value in zip(b.outs[len(b.outs) - count :], carries, strict=True):
        store(b, operand, value, site)

"""Schedules of `lir.map` on GPUs.

`vector`: a thread computes `lanes` neighbouring points along one dim, chosen so that results are written contiguously and
most operands read so; neighbouring threads have neighbouring vectors. Blocks cover rows × vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
from xdsl.ir import SSAValue

from rlx_backends.base import Pack, Scratch
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, load, store
from rlx_backends.support.spaces import Dim, Space, int_param, lanes_for, rows_of, text_param, widest
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, MapOp, ScheduleAttr

THREADS = 256


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """One schedule: the dim of least cost along the threads, as many lanes as one access takes where rows allow it."""
    space = Space(form, facts)
    dims = space.collapse([it.symbol.data for it in form.group("parallel")])
    if not dims:
        return [ScheduleAttr.get("vector", {"dim": StringAttr(""), "lanes": IntegerAttr(1, i64)})]
    best = min(reversed(dims), key=lambda dim: _jumps(space, dim))
    lanes = lanes_for(best.extent, max(1, target.facts.vector_bytes // widest(form)), space.facts)
    while lanes > 1 and space.facts.divisor(best.extent) % lanes:
        lanes //= 2  # a vector that would be cut short at the end of a row is no vector
    return [ScheduleAttr.get("vector", {"dim": StringAttr(best.name), "lanes": IntegerAttr(lanes, i64)})]


def _jumps(space: Space, dim: Dim) -> float:
    """How many accesses do not move by one element or none along a dim; results count more."""
    reads = len(space.form.ins)
    steps = [(i, space.step(i, dim.name)) for i, offset in enumerate(space.offsets) if offset is not None]
    steps += [(0, step) for step in space.read_steps(dim.name)]
    return sum((1.5 if operand >= reads else 1.0) for operand, step in steps if step is None or step not in (0, 1))


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: a map reads every element about once."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """None."""
    return ()


def lower(kernel: GpuKernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """One vector for each thread."""
    assert isinstance(form, MapOp)
    b = kernel
    space = Space(form, b.facts)
    dims = space.collapse([it.symbol.data for it in form.group("parallel")])
    name, lanes = text_param(schedule, "dim"), int_param(schedule, "lanes")
    along = next((dim for dim in dims if dim.name == name), None)
    point: dict[str, DimExpr] = {it.symbol.data: const(0) for it in form.group("parallel")}
    for dim in dims:
        del point[dim.name]
    # The dim along the threads is the innermost of the points, counted in vectors.
    loops = [(dim.name, dim.extent) for dim in dims if dim is not along]
    if along is not None:
        step = b.fresh("vector")
        vectors = (along.extent + (lanes - 1)) // lanes
        b.declare({step: vectors})
        loops.append((step, vectors))
        point[along.name] = sym(step) * lanes
    count = rows_of(dim for dim in dims if dim is not along) * (loops[-1][1] if along is not None else 1)
    b.launch([(b.grid_extent(count) + (THREADS - 1)) // THREADS], [THREADS])
    first = b.add(b.mul(b.block_at(), THREADS), b.thread())

    def points() -> None:
        b.for_points(loops, first, b.add(first, 1), lambda: _emit(b, form, point, name if lanes > 1 else "", lanes))

    b.when(b.test("slt", first, b.at(count)), points)


def _emit(b: GpuKernelBuilder, form: MapOp, point: dict[str, DimExpr], name: str, lanes: int) -> None:
    """The region at this thread's vector."""
    if name:
        place = point.pop(name)
        b.declare({name: form.extents[name]})
        b.bind(name, b.at(place))
    site = Site(point, ((name, lanes),), (None,)) if name else Site(point)
    whole, elements = block_args(form.body.block.args, b.ins)
    region = Region(b, form.body.block, whole)
    values: list[SSAValue] = region.run({arg: load(b, operand, site) for arg, operand in elements.items()}, site)
    for operand, value in zip(b.outs, values, strict=True):
        store(b, operand, value, site)

"""The schedule of `lir.scan` on GPUs: `steps`.

A thread takes a recurrence: a loop over the sequential dim that carries its state in registers. Neighbouring threads have
neighbouring recurrences along dim `dim`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import SSAValue

from rlx_backends.base import Pack, Scratch
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.map import jumps, parallel_dims
from rlx_backends.support.regions import Region, Values, block_args
from rlx_backends.support.sites import Site, load, store
from rlx_backends.support.spaces import Space, rows_of, text_param
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, IterAttr, ScanOp, ScheduleAttr
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

UNROLL = 4
"""Steps whose operands are loaded at once."""
THREADS = 64
"""A recurrence waits for itself: few threads to a block, so that all multiprocessors have some."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """The parallel dim along which memory is contiguous. LowerError for bounds on a parallel dim."""
    assert isinstance(form, ScanOp)
    for it in form.group("parallel"):
        if it.bounds.data:
            raise LowerError(f"'{form.name}' with bounds on parallel dim '{it.symbol.data}'", location=location_of(form))
    space = Space(form, facts)
    best = min(reversed(parallel_dims(space)), key=lambda dim: jumps(space, dim), default=None)
    return [ScheduleAttr.get("steps", {"dim": StringAttr("" if best is None else best.name)})]


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: elements are read once."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """None."""
    return ()


def lower(kernel: GpuKernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """A loop over the sequential dim at each parallel point."""
    assert isinstance(form, ScanOp)
    b = kernel
    dims = parallel_dims(Space(form, b.facts))
    dims.sort(key=lambda dim: dim.name == text_param(schedule, "dim"))
    point: dict[str, DimExpr] = {it.symbol.data: const(0) for it in form.group("parallel")}
    for dim in dims:
        del point[dim.name]
    count = rows_of(dims)
    b.launch([(b.grid_extent(count) + (THREADS - 1)) // THREADS], [THREADS])
    place = b.add(b.mul(b.block_at(), THREADS), b.thread())
    (step,) = form.group("sequential")

    def recurrence() -> None:
        b.bind_point([(dim.name, dim.extent) for dim in dims], place)
        _steps(b, form, step, Site(point))

    b.when(b.test("slt", place, b.at(count)), recurrence)


def _steps(b: GpuKernelBuilder, form: ScanOp, step: IterAttr, site: Site) -> None:
    block = form.body.block
    count = len(b.extra)
    lower, upper = step.range
    whole, elements = block_args(block.args[count:], b.ins)
    region = Region(b, block, whole)
    name = step.symbol.data
    fixed = {arg: operand for arg, operand in elements.items() if name not in operand.access.symbols}
    known: Values = {arg: load(b, operand, site) for arg, operand in fixed.items()}
    carries = [load(b, operand, site) for operand in b.extra]

    varying = {arg: operand for arg, operand in elements.items() if arg not in fixed}

    def run(places: Sequence[SSAValue], carried: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """Steps at these places: all loads first, since none of them waits for the carries."""
        sites: list[Site] = []
        for place in places:
            symbol = b.fresh(name)
            b.declare({symbol: step.dim})
            b.bind(symbol, place)
            sites.append(Site({**site.point, name: sym(symbol)}))
        loaded: list[Values] = [{arg: load(b, operand, at) for arg, operand in varying.items()} for at in sites]
        for at, args in zip(sites, loaded, strict=True):
            values = region.run({**args, **dict(zip(block.args[:count], carried, strict=True))}, at, known)
            for operand, value in zip(b.outs, values[count:], strict=False):
                store(b, operand, value, at)
            carried = values[:count]
        return carried

    first, last = b.at(lower), b.at(upper)
    end = b.add(first, b.whole(b.maximum(b.sub(last, first), 0), UNROLL))
    carries = b.loop(first, end, UNROLL, lambda i, *carried: run([b.add(i, u) for u in range(UNROLL)], carried), carries)
    carries = b.loop(end, last, 1, lambda i, *carried: run([i], carried), carries)
    for operand, value in zip(b.outs[len(b.outs) - count :], carries, strict=True):
        store(b, operand, value, site)

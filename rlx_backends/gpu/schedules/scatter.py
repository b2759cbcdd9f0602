"""Schedules of `lir.scatter` on GPUs. Equal destinations combine in iteration order: every element of the result belongs to one
thread, which visits all points in order and updates what is its own. No atomics, so the same bits in every run.

* `columns`: an iteration dim is itself an index of the result, so its points never meet: neighbouring threads have neighbouring
  points of it, and visit the other dims; `shares` threads divide the destinations of a column.
* `destinations`: `shares` threads divide the elements of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
from xdsl.ir import SSAValue

from rlx_backends.base import Pack, Scratch
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.support.regions import Region, Values
from rlx_backends.support.scatter_points import Destination, ScatterPoints, column_dim
from rlx_backends.support.sites import Site, both, load
from rlx_backends.support.spaces import Space, int_param, text_param
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, ScatterOp, ScheduleAttr
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

COLUMNS, SHARES = 32, 8
"""Threads of a block along the columns and along the shares."""
THREADS = 128
"""Threads of a block where there are no columns."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """`columns` along a dim that lies contiguously in the result, if there is one."""
    assert isinstance(form, ScatterOp)
    space = Space(form, facts)
    kind = form.outs[0].type
    elements = space.size(kind.elements)  # pyright: ignore[reportAttributeAccessIssue]
    name = column_dim(form, facts)
    # Every thread reads every index: no more threads than keep the multiprocessors busy.
    busy = target.facts.multiprocessors * THREADS
    if name is None:
        return [_schedule("destinations", "", _power(min(busy, elements), THREADS))]
    columns = max(1, space.size(form.extents[name]))
    return [_schedule("columns", name, _power(min(busy, elements) // columns, SHARES))]


def _power(wanted: int, unit: int) -> int:
    """A power of two from `unit` up, the largest that is not above the wanted number."""
    while unit * 2 <= wanted:
        unit *= 2
    return unit


def _schedule(kind: str, dim: str, shares: int) -> ScheduleAttr:
    return ScheduleAttr.get(kind, {"dim": StringAttr(dim), "shares": IntegerAttr(shares, i64)})


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: elements are read at places that data decides."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """None."""
    return ()


def lower(kernel: GpuKernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """See the head of the file."""
    assert isinstance(form, ScatterOp)
    b, name, shares = kernel, text_param(schedule, "dim"), int_param(schedule, "shares")
    columns = schedule.kind.data == "columns"
    unit = SHARES if columns else THREADS
    if shares % unit or schedule.kind.data not in ("columns", "destinations") or (columns and name not in form.extents):
        raise LowerError(f"no schedule {schedule} of a scatter", code="bad-schedule", location=location_of(form))
    points = _Points(b, form)
    if not columns:
        b.launch([shares // THREADS], [THREADS])
        points.visit(b.add(b.mul(b.block_at(), THREADS), b.thread()), shares, "")
        return
    extent = form.extents[name]
    b.launch([(b.grid_extent(extent) + (COLUMNS - 1)) // COLUMNS, shares // SHARES], [COLUMNS, SHARES])
    column = b.add(b.mul(b.block_at(), COLUMNS), b.thread())
    share = b.add(b.mul(b.block_at("y"), SHARES), b.thread("y"))

    def visit() -> None:
        b.bind(name, column)
        points.visit(share, shares, name)

    b.when(b.test("slt", column, b.at(extent)), visit)


class _Points(ScatterPoints):
    b: GpuKernelBuilder

    def visit(self, share: SSAValue, shares: int, column: str) -> None:
        """All points in order, but for dim `column`, which is bound."""
        b = self.b
        reports = b.test("eq", share, 0)  # one thread, so that the first bad index in order is the one that is reported
        if column:
            reports = both(b, reports, b.test("eq", b.at(sym(column)), 0))

        def point() -> None:
            region = Region(b, self.block, self.whole)
            args: Values = {arg: load(b, operand, Site()) for arg, operand in self.elements.items()}
            place = self.destination(region, args, reports)

            def update() -> None:
                def write() -> None:
                    (value,) = region.run(args, Site(), wanted=[self.value])
                    at = b.at(place.offset)
                    if self.form.combine.data != "set":
                        value = self.combined(b.load(self.out.pointer, at), value)
                    b.store(value, self.out.pointer, at)

                mine = b.test("eq", b.apply(sym("d") % shares, {"d": b.at(self._key(place, column))}), share)
                b.when(mine, write)

            self.when(place.inside, update)

        b.for_all([loop for loop in self.loops if loop[0] != column], point)

    def _key(self, place: Destination, column: str) -> DimExpr:
        """What tells destinations apart; of a column, the other indices: their sum is enough to divide them."""
        if not column:
            return place.offset
        key = const(0)
        for index in place.indices:
            if column not in index.symbols:
                key = key + index
        return key

"""Schedules of `lir.scatter`. Equal destinations combine in iteration order, whatever the size of the team.

* `columns`: an iteration dim is itself an index of the result, so its points never meet: it runs along vectors and the team
  shares it; the other dims are loops in order.
* `destinations`: every thread visits all points in order and updates the elements of its own share of the result.
"""

from __future__ import annotations

from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
from xdsl.ir import SSAValue

from rlx_backends.cpu.schedules.columns import along
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.regions import Region, Values
from rlx_backends.support.scatter_points import ScatterPoints, column_dim
from rlx_backends.support.sites import Site, both, full, load, load_place, mask_of
from rlx_backends.support.spaces import int_param, text_param, widest
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, ScatterOp, ScheduleAttr

UNROLL = 2
"""Native vectors in flight."""


def choose(form: FormOp, target: Any, facts: Facts) -> ScheduleAttr:
    """`columns` along a dim that lies contiguously in the result, if there is one."""
    assert isinstance(form, ScatterOp)
    name = column_dim(form, facts)
    if name is None:
        return ScheduleAttr.get("destinations")
    lanes = min(UNROLL * target.vector_bits // 8 // widest(form), target.vector_bits // 8)
    return ScheduleAttr.get("columns", {"dim": StringAttr(name), "lanes": IntegerAttr(lanes, i64)})


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """See the head of the file."""
    assert isinstance(form, ScatterOp)
    scatter = _Scatter(kernel, form)
    if schedule.kind.data == "columns":
        scatter.columns(text_param(schedule, "dim"), int_param(schedule, "lanes"))
    else:
        scatter.destinations()


class _Scatter(ScatterPoints):
    """The loops of both schedules."""

    def columns(self, name: str, lanes: int) -> None:
        """The indices are computed and checked once for all columns."""
        b = self.b
        extent = self.form.extents[name]
        lower, upper = b.partition(b.at(extent), lanes)
        exact = b.facts.divisor(extent) % lanes == 0

        def row() -> None:
            region = Region(b, self.block, self.whole)
            fixed = {arg: operand for arg, operand in self.elements.items() if name not in operand.access.symbols}
            known: Values = {arg: load(b, operand, Site()) for arg, operand in fixed.items()}
            place = self.destination(region, known)
            region.invariants(known, Site({}, ((name, lanes),), (None,)))

            def chunk(count: SSAValue | None) -> None:
                site = Site({}, ((name, lanes),), (count,))
                args: Values = {arg: load(b, operand, site) for arg, operand in self.elements.items() if arg not in fixed}
                (value,) = region.run(args, site, wanted=[self.value])
                value = full(b, value, site)
                if self.form.combine.data != "set":
                    value = self.combined(load_place(b, self.out.pointer, place.offset, site), value)
                b.store(value, self.out.pointer, b.at(place.offset), mask=mask_of(b, site))

            self.when(place.inside, lambda: along(b, name, lower, upper, lanes, exact, chunk))

        b.for_all([loop for loop in self.loops if loop[0] != name], row)

    def destinations(self) -> None:
        """A point whose destination is another thread's is left before its value is computed."""
        b = self.b
        lower, upper = b.partition(b.at(self.out.kind.elements))

        def visit() -> None:
            region = Region(b, self.block, self.whole)
            args: Values = {arg: load(b, operand, Site()) for arg, operand in self.elements.items()}
            place = self.destination(region, args)

            def update() -> None:
                at = b.at(place.offset)

                def write() -> None:
                    (value,) = region.run(args, Site(), wanted=[self.value])
                    if self.form.combine.data != "set":
                        value = self.combined(b.load(self.out.pointer, at), value)
                    b.store(value, self.out.pointer, at)

                self.when(both(b, b.test("sge", at, lower), b.test("slt", at, upper)), write)

            self.when(place.inside, update)

        b.for_all(self.loops, visit)

"""Sorting positions of a row: a list of the best for short limits, merge sort otherwise. Stable; NaN last in either direction."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import i1, i64
from xdsl.ir import SSAValue

from rlx_backends.base import Scratch
from rlx_backends.support.kernel_builder import Index, KernelBuilder, total
from rlx_backends.support.regions import Region
from rlx_backends.support.sites import Site, load, store
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import INDEX, is_float
from rlx_dialects.lir import ScheduleAttr, SortOp
from rlx_dialects.rlx import dtypes

SELECT_LIMIT = 64
"""Longest list that is kept sorted by insertion."""
MAX_PASSES = 31
"""Extents are below 2^31."""


def kind_of(form: SortOp, facts: Facts) -> str:
    high = facts.bounds(form.group("limit")[0].dim)[1]
    return "select" if high is not None and high <= SELECT_LIMIT else "merge"


def scratch(form: SortOp, schedule: ScheduleAttr) -> Sequence[Scratch]:
    """Positions; the merge sort has two sets of them."""
    if schedule.kind.data == "select":
        return [Scratch(form.group("limit")[0].dim, i64)]
    extent = form.group("reduce")[0].dim
    return [Scratch(extent, i64), Scratch(extent, i64)]


def lower(b: KernelBuilder, form: SortOp, schedule: ScheduleAttr) -> None:
    """Rows are shared by the team."""
    rows = [(it.symbol.data, it.dim) for it in form.group("parallel")]
    first, end = b.partition(b.at(total(extent for _, extent in rows)))
    b.for_points(rows, first, end, lambda: _Row(b, form).write(schedule.kind.data))


class _Row:
    def __init__(self, b: KernelBuilder, form: SortOp):
        self.b = b
        self.form = form
        (axis,), (limit,) = form.group("reduce"), form.group("limit")
        self.axis, self.size = axis.symbol.data, b.at(axis.dim)
        self.limit, self.kept = limit.symbol.data, b.at(limit.dim)
        self.order = form.order.data
        self.positions = b.scratch[0]

    def write(self, kind: str) -> None:
        b = self.b
        if kind == "select":
            b.when(b.test("sgt", self.kept, 0), self._select)
        else:
            self._merge_sort()

        def result(t: SSAValue) -> None:
            b.bind(self.limit, t)
            position = b.load(self.positions, t)
            b.bind(self.axis, b.cast("bitcast", position, INDEX))
            values = [load(b, operand, Site()) for operand in b.ins]
            for operand, value in zip(b.outs, [*values, position], strict=False):
                store(b, operand, value, Site())

        b.loop(0, self.kept, 1, result)

    # -- order

    def _key(self, position: SSAValue) -> SSAValue:
        b = self.b
        b.bind(self.axis, position)
        return load(b, b.ins[0], Site())

    def _before(self, first: SSAValue, second: SSAValue) -> SSAValue:
        """Whether the key at position `first` must stand before the one at `second`."""
        b = self.b
        x, y = self._key(first), self._key(second)
        if self.order == "opaque":
            block = self.form.comparator.block
            return Region(b, block).run(dict(zip(block.args, (x, y), strict=True)), Site())[0]
        descending = self.order == "descending"
        if is_float(x.type):
            number = b.cmp("ogt" if descending else "olt", x, y)
            only_second_is_nan = b.value(arith.AndIOp(b.cmp("uno", y, y), b.cmp("ord", x, x)))
            return b.value(arith.OrIOp(number, only_second_is_nan))
        kind = b.ins[0].kind.element_type
        sign = "u" if dtypes.is_unsigned_int(kind) or kind == dtypes.BOOL else "s"
        return b.cmp(sign + ("gt" if descending else "lt"), x, y)

    def _stored(self, where: SSAValue, at: Index) -> SSAValue:
        return self.b.cast("bitcast", self.b.load(where, at), INDEX)

    def _store(self, position: SSAValue, where: SSAValue, at: Index) -> None:
        self.b.store(self.b.cast("bitcast", position, i64), where, at)

    # -- a short list of the best

    def _select(self) -> None:
        b, best = self.b, self.positions

        def element(j: SSAValue, count: SSAValue) -> Sequence[SSAValue]:
            room = b.test("slt", count, self.kept)
            last = b.sub(count, 1)
            enters = b.when(room, lambda: [b.constant(-1, i1)], lambda: [self._before(j, self._stored(best, last))])[0]

            def insert() -> Sequence[SSAValue]:
                def ahead(p: SSAValue, found: SSAValue) -> Sequence[SSAValue]:
                    return [b.pick(self._before(j, self._stored(best, p)), found, b.add(found, 1))]

                (place,) = b.loop(0, count, 1, ahead, [b.index(0)])
                grown = b.minimum(b.add(count, 1), self.kept)

                def shift(s: SSAValue) -> None:
                    to = b.sub(b.sub(grown, 1), s)
                    b.store(b.load(best, b.sub(to, 1)), best, to)

                b.loop(0, b.sub(b.sub(grown, 1), place), 1, shift)
                self._store(j, best, place)
                return [grown]

            return b.when(enters, insert, lambda: [count])

        b.loop(0, self.size, 1, element, [b.index(0)])

    # -- merge sort

    def _merge_sort(self) -> None:
        b, size = self.b, self.size
        source, target = b.scratch
        b.loop(0, size, 1, lambda j: self._store(j, source, j))

        def merge(low: SSAValue, width: SSAValue) -> None:
            middle = b.minimum(b.add(low, width), size)
            high = b.minimum(b.add(middle, width), size)

            def place(at: SSAValue, left: SSAValue, right: SSAValue) -> Sequence[SSAValue]:
                x = self._stored(source, b.minimum(left, b.sub(middle, 1)))
                y = self._stored(source, b.minimum(right, b.sub(high, 1)))
                no_left = b.test("sge", left, middle)
                wins = b.value(arith.OrIOp(no_left, self._before(y, x)))
                takes_right = b.value(arith.AndIOp(b.test("slt", right, high), wins))
                self._store(b.pick(takes_right, y, x), target, at)
                return [b.pick(takes_right, left, b.add(left, 1)), b.pick(takes_right, b.add(right, 1), right)]

            b.loop(low, high, 1, place, [low, middle])

        def level(_: SSAValue, width: SSAValue) -> Sequence[SSAValue]:
            def run() -> None:
                b.loop(0, size, b.add(width, width), lambda low: merge(low, width))
                b.loop(0, size, 1, lambda j: b.store(b.load(target, j), source, j))

            b.when(b.test("slt", width, size), run)
            return [b.add(width, width)]

        high = b.facts.bounds(self.form.group("reduce")[0].dim)[1]
        passes = MAX_PASSES if high is None else min(MAX_PASSES, max(0, (high - 1).bit_length()))
        b.loop(0, passes, 1, level, [b.index(1)])

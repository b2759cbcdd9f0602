"""Schedules of `lir.sort`: each thread sorts rows of its own, in scratch, as keys with the positions they came from.

* `merge`: a stable merge sort from the bottom up.
* `select`: for a small static limit, the best so far in order; an element enters by insertion if it stands before the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.ir import SSAValue

from rlx_backends.base import Scratch
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.regions import as_index
from rlx_backends.support.sites import Site, both, load, store
from rlx_backends.support.sort_keys import SortKeys, key_type, sort_extent
from rlx_backends.support.spaces import TYPICAL_EXTENT, int_param
from rlx_dialects.dims import const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, ScheduleAttr, SortOp

SELECTED = 64
"""The largest limit for which insertion beats sorting everything."""


def choose(form: FormOp, target: Any, facts: Facts) -> ScheduleAttr:
    """`select` if a few of many are kept."""
    assert isinstance(form, SortOp)
    limit, extent = sort_extent(form, "limit"), sort_extent(form, "reduce")
    if limit.is_const and 0 < limit.value <= SELECTED:
        high = facts.bounds(extent)[1]
        if 4 * limit.value <= (TYPICAL_EXTENT if high is None else high):
            return ScheduleAttr.get("select", {"limit": IntegerAttr(limit.value, i64)})
    return ScheduleAttr.get("merge")


def scratch(form: SortOp, schedule: ScheduleAttr) -> Sequence[Scratch]:
    """Keys and positions: of those selected, or of a row twice."""
    elements = const(int_param(schedule, "limit")) if schedule.kind.data == "select" else sort_extent(form, "reduce") * 2
    return [Scratch(elements, key_type(form)), Scratch(elements, i64)]


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Rows are shared by the team."""
    assert isinstance(form, SortOp)
    b = kernel
    rows = [(it.symbol.data, it.dim) for it in form.group("parallel")]
    extent = b.at(sort_extent(form, "reduce"))
    count = b.index(1)
    for _, dim in rows:
        count = b.mul(count, b.at(dim))
    lower_row, upper_row = b.partition(count)
    row = _Row(b, form, extent)
    if schedule.kind.data == "select":
        b.for_points(rows, lower_row, upper_row, lambda: row.select(int_param(schedule, "limit")))
    else:
        b.for_points(rows, lower_row, upper_row, row.merge)


class _Row:
    """One row of `extent` elements."""

    def __init__(self, b: KernelBuilder, form: SortOp, extent: SSAValue):
        self.b = b
        self.form = form
        self.extent = extent
        self.keys, self.places = b.scratch
        self.axis = form.group("reduce")[0].symbol.data
        keys = SortKeys(b, form)
        self.key, self.stands_before = keys.here, keys.stands_before

    def _load(self, at: SSAValue) -> SSAValue:
        return self.b.load(self.keys, at)

    def _place(self, at: SSAValue) -> SSAValue:
        return self.b.load(self.places, at)

    def _store(self, key: SSAValue, place: SSAValue, at: SSAValue) -> None:
        self.b.store(key, self.keys, at)
        self.b.store(place, self.places, at)

    def _write(self, start: SSAValue) -> None:
        """The results, from the sorted positions at `start` in scratch."""
        b = self.b
        limit = self.form.group("limit")[0]

        def element() -> None:
            place = self._place(b.add(start, b.index(b.env[limit.symbol.data])))
            b.bind(self.axis, as_index(b, place))
            values = [load(b, operand, Site()) for operand in b.ins]
            for operand, value in zip(b.outs, [*values, place], strict=False):
                store(b, operand, value, Site())

        b.for_dim(limit.symbol.data, b.index(0), b.minimum(b.at(limit.dim), self.extent), 1, element)

    # -- merge sort

    def merge(self) -> None:
        """Runs of 1, 2, 4, … elements are merged in pairs, from one half of the scratch to the other."""
        b = self.b

        def fill() -> None:
            j = b.index(b.env[self.axis])
            self._store(self.key(), b.cast("bitcast", j, i64), j)

        b.for_dim(self.axis, b.index(0), self.extent, 1, fill)

        def level(width: SSAValue, source: SSAValue) -> list[SSAValue]:
            target = b.sub(self.extent, source)
            twice = b.add(width, width)

            def pair(start: SSAValue) -> None:
                middle, end = b.minimum(b.add(start, width), self.extent), b.minimum(b.add(start, twice), self.extent)
                self._merge_pair(start, middle, end, source, target)

            b.loop(0, self.extent, twice, pair)
            return [twice, target]

        init = [b.index(1), b.index(0)]
        _, start = b.repeat(init, lambda width, _: b.test("slt", width, self.extent), level)
        self._write(start)

    def _merge_pair(self, start: SSAValue, middle: SSAValue, end: SSAValue, source: SSAValue, target: SSAValue) -> None:
        b = self.b
        last_left, last_right = b.sub(middle, 1), b.sub(end, 1)

        def step(at: SSAValue, left: SSAValue, right: SSAValue) -> list[SSAValue]:
            i, j = b.add(source, b.minimum(left, last_left)), b.add(source, b.minimum(right, last_right))
            first, second = self._load(i), self._load(j)
            ahead = b.value(arith.OrIOp(b.test("sge", left, middle), self.stands_before(second, first)))
            is_right = both(b, b.test("slt", right, end), ahead)
            assert is_right is not None
            self._store(b.select(is_right, second, first), self._place(b.pick(is_right, j, i)), b.add(target, at))
            return [b.add(left, b.pick(is_right, 0, 1)), b.add(right, b.pick(is_right, 1, 0))]

        b.loop(start, end, 1, step, [start, middle])

    # -- selection

    def select(self, limit: int) -> None:
        """The first `limit` in order; each further element is compared with the last of them."""
        b = self.b

        def element() -> None:
            j = b.index(b.env[self.axis])
            key = self.key()
            held = b.minimum(j, limit)
            last = self._load(b.maximum(b.sub(held, 1), 0))
            enters = b.value(arith.OrIOp(b.test("slt", j, limit), self.stands_before(key, last)))
            b.when(enters, lambda: self._insert(key, b.cast("bitcast", j, i64), b.minimum(j, limit - 1)))

        b.for_dim(self.axis, b.index(0), self.extent, 1, element)
        self._write(b.index(0))

    def _insert(self, key: SSAValue, place: SSAValue, hole: SSAValue) -> None:
        """Move what must stand after `key` up by one, from the hole down, and put it there."""
        b = self.b

        def moves(at: SSAValue) -> SSAValue:
            below = self._load(b.maximum(b.sub(at, 1), 0))
            result = both(b, b.test("sgt", at, 0), self.stands_before(key, below))
            assert result is not None
            return result

        def move(at: SSAValue) -> list[SSAValue]:
            below = b.sub(at, 1)
            self._store(self._load(below), self._place(below), at)
            return [below]

        (at,) = b.repeat([hole], moves, move)
        self._store(key, place, at)

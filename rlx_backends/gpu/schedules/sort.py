"""Schedules of `lir.sort` on GPUs: a block sorts a row. Keys carry the positions they came from, which decide between equals.

* `select`: for a small static limit: as many rounds, each of which finds the first element after the one found before.
* `digits`: for longer limits, `size` at most: digit by digit the key of the last one that is wanted, then a sort of those.
* `shared`: all elements in shared memory, in a bitonic network; `size` is how many a row has at most.
* `scratch`: the same in scratch memory, for rows of any length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr, i32, i64
from xdsl.ir import SSAValue

from rlx_backends.base import Pack, Scratch
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder, launch_bound
from rlx_backends.gpu.schedules.sort_digits import BINS, Digits, fits, shared_bytes
from rlx_backends.gpu.schedules.sort_network import Network
from rlx_backends.gpu.schedules.teams import BlockTeam, LaneTeam, Partial
from rlx_backends.support.kernel_builder import total
from rlx_backends.support.sites import Site, both, load, negated, store
from rlx_backends.support.sort_keys import SortKeys, key_type, sort_extent
from rlx_backends.support.spaces import int_param
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import INDEX, byte_size
from rlx_dialects.lir import FormOp, ScheduleAttr, SortOp
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

ROUNDS, LONG_ROUNDS = 8, 2
"""The largest limit for which rounds of selection beat a network; and the search by digits, in a row longer than LONG."""
LONG = 256
SHARED_BYTES = 32768
"""Shared memory that a row may take."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """`select` if a few are kept, `digits` if some of a long row, `shared` if a row certainly fits."""
    assert isinstance(form, SortOp)
    limit, extent = sort_extent(form, "limit"), sort_extent(form, "reduce")
    high, most = facts.bounds(extent)[1], facts.bounds(limit)[1]
    gpu = target.facts
    memory = min(SHARED_BYTES, gpu.shared_default)
    long = high is None or high > LONG
    digits = long and fits(form) and most is not None and most > 0 and shared_bytes(most) <= memory
    if limit.is_const and limit.value <= (LONG_ROUNDS if digits else ROUNDS) and (high is None or high > gpu.subgroup):
        return [_schedule("select", team=_team(gpu, high))]
    if digits and most is not None and (high is None or 2 * most <= high):
        return [_schedule("digits", team=_team(gpu, high), size=most)]
    team = _team(gpu, None if high is None else (high + 1) // 2)
    width = byte_size(key_type(form)) + byte_size(i32)
    if high is not None and 0 < high * width <= memory:
        return [_schedule("shared", team=team, size=high)]
    return [_schedule("scratch", team=team)]


def _team(gpu: Any, elements: int | None) -> int:
    """Threads for a row: a power of two from the subgroup's size up."""
    team = gpu.subgroup
    while team < gpu.max_threads and (elements is None or team < elements):
        team *= 2
    return team


def _schedule(kind: str, **numbers: int) -> ScheduleAttr:
    return ScheduleAttr.get(kind, {key: IntegerAttr(n, i64) for key, n in numbers.items()})


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: elements are read once, or at places that data decides."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """Keys and positions of all rows."""
    assert isinstance(form, SortOp)
    if schedule.kind.data != "scratch":
        return ()
    rows = [it.dim for it in form.group("parallel")]
    elements = sort_extent(form, "reduce")
    for extent in rows:
        elements = elements * extent
    elements = launch_bound(form, facts, elements)
    return [Scratch(elements, key_type(form), per_thread=False), Scratch(elements, i32, per_thread=False)]


def lower(kernel: GpuKernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """A block for each row."""
    assert isinstance(form, SortOp)
    b, kind, team = kernel, schedule.kind.data, int_param(schedule, "team")
    limit, extent = sort_extent(form, "limit"), sort_extent(form, "reduce")
    most = extent if kind == "shared" else limit
    high, size = b.facts.bounds(most)[1], int_param(schedule, "size", 0)
    wrong = kind not in ("select", "digits", "shared", "scratch") or team % b.gpu.subgroup or team & (team - 1)
    wrong = wrong or (kind == "select" and not limit.is_const) or (kind == "digits" and (team < BINS or not fits(form)))
    if wrong or (kind in ("shared", "digits") and (high is None or high > size)):
        raise LowerError(f"no schedule {schedule} of a sort", code="bad-schedule", location=location_of(form))
    dims = [(it.symbol.data, it.dim) for it in form.group("parallel")]
    count = total(extent for _, extent in dims)
    bound = b.grid_extent(count)
    b.launch([bound], [team])

    def row() -> None:
        b.bind_point(dims, b.block_at())
        _Row(b, form, kind, team, size).sort()

    if bound == count:
        row()
    else:
        b.when(b.test("slt", b.block_at(), b.at(count)), row)


class _Row:
    """The row whose parallel dims are bound."""

    def __init__(self, b: GpuKernelBuilder, form: SortOp, kind: str, team: int, size: int):
        self.b = b
        self.form = form
        self.team = team
        self.keys = SortKeys(b, form)
        self.axis = form.group("reduce")[0].symbol.data
        self.limit = form.group("limit")[0]
        self.extent = b.at(sort_extent(form, "reduce"))
        self.wanted = b.minimum(b.at(self.limit.dim), self.extent)
        self.kind = kind
        self.size = size
        if kind == "shared":
            self.key_memory, self.place_memory = b.shared(size, self.keys.type), b.shared(size, i32)
        elif kind == "scratch":
            start = b.mul(b.block_at(), self.extent)
            self.key_memory, self.place_memory = (b.offset(pointer, start) for pointer in b.scratch)

    def sort(self) -> None:
        if self.kind == "select":
            self._select()
        elif self.kind == "digits":
            self._digits(self.size)
        else:
            self._network()

    def _before(self, first: Sequence[SSAValue], second: Sequence[SSAValue]) -> SSAValue:
        """Whether a (key, position) stands before another: a total order."""
        b = self.b
        (key, place), (other, its) = first, second
        tie = both(b, negated(b, self.keys.stands_before(other, key)), b.cmp("slt", place, its))
        assert tie is not None
        return b.value(arith.OrIOp(self.keys.stands_before(key, other), tie))

    def _write(self, at: SSAValue, place: SSAValue) -> None:
        """Result number `at` comes from a position of the row."""
        b = self.b
        b.bind(self.limit.symbol.data, at)
        b.bind(self.axis, b.cast("extsi", place, INDEX))
        values = [load(b, operand, Site()) for operand in b.ins]
        for operand, value in zip(b.outs, [*values, b.cast("extsi", place, i64)], strict=False):
            store(b, operand, value, Site())

    # -- selection

    def _select(self) -> None:
        b = self.b
        lanes = b.gpu.subgroup
        team = BlockTeam(b, self.team) if self.team > lanes else LaneTeam(b, lanes, b.thread())
        nothing = [b.constant(0, self.keys.type), b.constant(-1, i32)]
        none = nothing[1]

        def merge(first: Sequence[SSAValue], second: Sequence[SSAValue]) -> list[SSAValue]:
            better = self._before(second, first)
            there = both(b, b.cmp("sgt", second[1], none), b.value(arith.OrIOp(b.cmp("eq", first[1], none), better)))
            assert there is not None
            return [b.value(arith.SelectOp(there, s, f)) for f, s in zip(first, second, strict=True)]

        def find(at: SSAValue, *last: SSAValue) -> Sequence[SSAValue]:
            def visit(*best: SSAValue) -> Sequence[SSAValue]:
                found = [self.keys.here(), b.narrow(b.index(b.env[self.axis]))]
                later = b.value(arith.OrIOp(b.cmp("eq", last[1], none), self._before(last, found)))
                merged = merge(best, found)
                return [b.value(arith.SelectOp(later, m, o)) for m, o in zip(merged, best, strict=True)]

            best = b.for_dim(self.axis, team.member, self.extent, self.team, visit, nothing)
            (first,) = team.combine([Partial(list(best), merge)])
            team.meet()
            b.when(b.test("eq", b.thread(), 0), lambda: self._write(at, first[1]))
            return first

        b.loop(0, self.wanted, 1, find, nothing)

    # -- networks

    def _network(self) -> None:
        b = self.b

        def fill() -> None:
            at = b.index(b.env[self.axis])
            b.store(self.keys.here(), self.key_memory, at)
            b.store(b.narrow(at), self.place_memory, at)

        b.for_dim(self.axis, b.thread(), self.extent, self.team, fill)
        b.barrier()
        Network(b, self.team, b.narrow(self.extent), [self.key_memory, self.place_memory], self._before).sort()
        b.loop(b.thread(), self.wanted, self.team, lambda at: self._write(at, b.load(self.place_memory, at)))

    def _digits(self, limit: int) -> None:
        b = self.b
        numbers = Digits(b, self.form, self.team, limit, self.extent, self.wanted).sort()
        b.loop(b.thread(), self.wanted, self.team, lambda at: self._write(at, b.cast("trunci", b.load(numbers, at), i32)))

"""`lir.attention` of few queries over many keys: a block for each query, its keys split over the threads.

A few neighbouring threads (a group) share a key: each has some elements of the query and of the result. Every group goes
through its keys with a softmax of its own; at the end they meet in shared memory, in order.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Sequence

from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.attention_softmax import Scores, higher, inverse, power, safe_top
from rlx_backends.gpu.schedules.contract_inner import converted
from rlx_backends.gpu.schedules.staging import reading
from rlx_backends.support.kernel_builder import Operand, total
from rlx_backends.support.sites import Site, full, load, store
from rlx_backends.support.spaces import int_param
from rlx_dialects.dims import DimExpr, floordiv, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.gpu import GpuFacts
from rlx_dialects.lir import AttentionOp, IterAttr, ScheduleAttr

THREADS = 256
UNROLL = 4
"""Keys of a group that are on their way at a time."""
MAX_VECTORS = 8
"""Vectors of a row that one thread has at most."""
KEY, LANE = "split.key", "split.lane"


def groups_of(form: AttentionOp, gpu: GpuFacts, facts: Facts) -> dict[str, int] | None:
    """Elements that a thread reads of keys and of values at a time, threads of a group; None for rows of no static size."""
    (key,), (dot,), (value,) = form.group("reduce"), form.group("dot"), form.group("value")
    if not dot.dim.is_const or not value.dim.is_const:
        return None
    facts = facts.with_iteration(form.extents)

    def lanes(number: int, along: IterAttr) -> int:
        accesses = [(form.ins[number].type, form.in_accesses[number])]
        name, other = along.symbol.data, key.symbol.data
        how = reading(facts, accesses, (key.dim, along.dim), lambda s, d: {other: s, name: d}, gpu.vector_bytes)
        return how.lanes if how.along == "depth" else 1

    keys, values = lanes(1, dot), lanes(2, value)
    vectors = max(dot.dim.value // keys, value.dim.value // values, 1)
    threads = 1
    while threads < min(vectors, 32):
        threads *= 2
    if -(-vectors // threads) > MAX_VECTORS:
        return None
    return {"keys": keys, "values": values, "threads": threads}


def lower(kernel: GpuKernelBuilder, form: AttentionOp, schedule: ScheduleAttr) -> None:
    """Write the kernel: `threads` of a group, `keys` and `values` elements read at a time."""
    _Split(kernel, form, schedule).write()


class _Row:
    """Elements of an operand's row that this thread has: vector i is number `i · threads + member`.

    Places beyond the end are read at the last vector.
    """

    def __init__(self, b: GpuKernelBuilder, name: str, along: IterAttr, lanes: int, threads: int, member: SSAValue):
        self.b, self.lanes = b, lanes
        self.dim = along.symbol.data
        self.units = floordiv(along.dim, lanes)
        self.count = -(-self.units.value // threads)
        self.padded = self.count * threads
        self.exact = self.units.value == self.padded
        self.symbols = [f"{name}.{i}" for i in range(self.count)]
        b.declare(dict.fromkeys(self.symbols, self.units) | {f"{name}.lane": lanes})
        self.lane = f"{name}.lane"
        b.bind(self.lane, 0)
        self.places = [b.add(member, i * threads) for i in range(self.count)]
        for symbol, place in zip(self.symbols, self.places, strict=True):
            b.bind(symbol, place if self.exact else b.minimum(place, b.at(self.units - 1)))

    def load(self, operand: Operand, point: dict[str, DimExpr], kind: object) -> list[SSAValue]:
        """The vectors of the row at a point, as scores are."""
        b = self.b
        found: list[SSAValue] = []
        for symbol in self.symbols:
            place = sym(symbol) if self.lanes == 1 else sym(symbol) * self.lanes + sym(self.lane)
            site = Site(
                {**point, self.dim: place}, ((self.lane, self.lanes),) if self.lanes > 1 else (), (None,) * (self.lanes > 1)
            )
            found.append(converted(b, full(b, load(b, operand, site), site), kind))  # pyright: ignore[reportArgumentType]
        return found

    def cleared(self, values: Sequence[SSAValue], kind: object) -> list[SSAValue]:
        """0 beyond the end of the row."""
        if self.exact:
            return list(values)
        b, shape = self.b, (self.lanes,) if self.lanes > 1 else ()
        found: list[SSAValue] = []
        for value, place in zip(values, self.places, strict=True):
            inside = b.test("slt", place, b.at(self.units))
            mask = b.broadcast(inside, shape) if shape else inside
            found.append(b.select(mask, value, b.splat(0.0, kind, shape)))  # pyright: ignore[reportArgumentType]
        return found


class _Split:
    def __init__(self, b: GpuKernelBuilder, form: AttentionOp, schedule: ScheduleAttr):
        self.b, self.form = b, form
        self.threads = int_param(schedule, "threads")
        self.groups = THREADS // self.threads
        self.points = [(it.symbol.data, it.dim) for it in form.group("parallel")]
        (key,), (dot,), (value,) = form.group("reduce"), form.group("dot"), form.group("value")
        self.scores = Scores(b, form, {})
        self.kind = self.scores.kind
        thread = {"t": b.thread()}
        self.member, self.group = b.apply(sym("t") % self.threads, thread), b.apply(sym("t") // self.threads, thread)
        self.key = key.symbol.data
        b.declare({KEY: key.dim})
        self.row = _Row(b, "dot", dot, int_param(schedule, "keys"), self.threads, self.member)
        self.out = _Row(b, "value", value, int_param(schedule, "values"), self.threads, self.member)
        self.values = value
        self.width = self.out.padded * self.out.lanes
        self.tops, self.weights, self.factors = (b.shared(self.groups, self.kind) for _ in range(3))
        self.sums = b.shared(self.groups * self.width, self.kind)

    def write(self) -> None:
        b = self.b
        count = total(extent for _, extent in self.points)
        grid = b.grid_extent(count)
        b.launch([grid], [THREADS])

        def block() -> None:
            b.bind_point(self.points, b.block_at())
            self._block()

        if grid == count:
            block()
        else:
            b.when(b.test("slt", b.block_at(), b.at(count)), block)

    def _block(self) -> None:
        b = self.b
        low, high = self.scores.keys()
        query = self.row.cleared(self.row.load(b.ins[0], {}, self.kind), self.kind)
        shape = (self.out.lanes,) if self.out.lanes > 1 else ()
        none, lowest = b.constant(0.0, self.kind), b.constant(-pymath.inf, self.kind)
        start = [lowest, none, *(b.splat(0.0, self.kind, shape) for _ in range(self.out.count))]

        def keys(first: SSAValue, top: SSAValue, weight: SSAValue, *sums: SSAValue) -> Sequence[SSAValue]:
            return self._keys(first, high, query, top, weight, sums)

        top, weight, *sums = b.loop(low, high, self.groups * UNROLL, keys, start)
        self._meet(top, weight, sums)

    def _keys(
        self,
        first: SSAValue,
        high: SSAValue,
        query: Sequence[SSAValue],
        top: SSAValue,
        weight: SSAValue,
        sums: Sequence[SSAValue],
    ) -> Sequence[SSAValue]:
        """The next keys of this thread's group; all groups take part in each step, for the sake of shuffles."""
        b = self.b
        loaded: list[tuple[SSAValue, list[SSAValue]]] = []
        last = b.sub(high, 1)
        for u in range(UNROLL):
            place = b.add(b.add(first, self.group), u * self.groups)
            b.bind(KEY, b.minimum(place, last))
            point = {self.key: sym(KEY)}
            keys = self.row.load(b.ins[1], point, self.kind)
            values = self.out.load(b.ins[2], point, self.kind)
            score = self.scores.final(self._dot(query, keys), Site(point))
            seen = b.test("slt", place, high)
            loaded.append((b.select(seen, score, b.constant(-pymath.inf, self.kind)), values))
        new = top
        for score, _ in loaded:
            new = higher(b, new, score)
        safe = safe_top(b, new)
        shrink = power(b, top, safe)
        weight = b.mulf(weight, shrink)
        shape = (self.out.lanes,) if self.out.lanes > 1 else ()
        now = [b.mulf(value, b.splat(shrink, self.kind, shape)) for value in sums]
        for score, values in loaded:
            each = power(b, score, safe)
            weight = b.addf(weight, each)
            now = [b.fma(b.splat(each, self.kind, shape), value, acc) for value, acc in zip(values, now, strict=True)]
        return [new, weight, *now]

    def _dot(self, query: Sequence[SSAValue], key: Sequence[SSAValue]) -> SSAValue:
        b = self.b
        acc = b.mulf(query[0], key[0])
        for x, y in zip(query[1:], key[1:], strict=True):
            acc = b.fma(x, y, acc)
        total_ = b.reduce("add", acc) if self.row.lanes > 1 else acc
        distance = 1
        while distance < self.threads:
            total_ = b.addf(total_, b.shuffle("xor", total_, distance))
            distance *= 2
        return total_

    # -- what the groups have in common

    def _meet(self, top: SSAValue, weight: SSAValue, sums: Sequence[SSAValue]) -> None:
        b = self.b

        def first() -> None:
            b.store(top, self.tops, self.group)
            b.store(weight, self.weights, self.group)

        b.when(b.test("eq", self.member, 0), first)
        for place, value in zip(self.out.places, sums, strict=True):
            start = b.add(b.mul(self.group, self.width), b.mul(place, self.out.lanes))
            b.store(value, self.sums, start)
        b.barrier()
        lowest, none = b.constant(-pymath.inf, self.kind), b.constant(0.0, self.kind)

        def raise_top(g: SSAValue, found: SSAValue) -> Sequence[SSAValue]:
            return [higher(b, found, b.load(self.tops, g))]

        (highest,) = b.loop(0, self.groups, 1, raise_top, [lowest])
        safe = safe_top(b, highest)

        def shrink() -> None:
            b.store(power(b, b.load(self.tops, b.thread()), safe), self.factors, b.thread())

        b.when(b.test("slt", b.thread(), self.groups), shrink)
        b.barrier()

        def add_weight(g: SSAValue, found: SSAValue) -> Sequence[SSAValue]:
            return [b.fma(b.load(self.weights, g), b.load(self.factors, g), found)]

        (weights,) = b.loop(0, self.groups, 1, add_weight, [none])
        factor = inverse(b, weights)
        (out,) = b.outs

        def result(e: SSAValue) -> None:
            def add(g: SSAValue, found: SSAValue) -> Sequence[SSAValue]:
                return [b.fma(b.load(self.sums, b.add(b.mul(g, self.width), e)), b.load(self.factors, g), found)]

            (value,) = b.loop(0, self.groups, 1, add, [none])
            b.bind(self.values.symbol.data, e)
            store(b, out, converted(b, b.mulf(value, factor), out.kind.scalar_type), Site())

        b.loop(b.thread(), b.at(self.values.dim), THREADS, result)

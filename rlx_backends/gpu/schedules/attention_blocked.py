"""`lir.attention` by blocks: a block of threads has some queries of one head and goes through the keys, a tile at a time.

Scores of a tile are a product of slices in shared memory, as in `contract_tiled`. Eight neighbouring threads share a query:
maxima go round by shuffles, each thread sums the weights of its own keys and has its part of the query's result in
registers. Weights reach the product with the values through shared memory, where the values take the place of the keys.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.attention_softmax import Scores, higher, inverse, power, safe_top
from rlx_backends.gpu.schedules.contract_inner import GROUP, FmaStep, Slice, converted
from rlx_backends.gpu.schedules.staging import Point, Reading, Stage, reading, stride_of
from rlx_backends.support.kernel_builder import Operand, total
from rlx_backends.support.sites import Site, both, load, negated, store
from rlx_backends.support.spaces import int_param
from rlx_dialects.dims import DimExpr, ceildiv, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.gpu import GpuFacts
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import AttentionOp, ScheduleAttr

ACROSS = 8
"""Neighbouring threads that share a query."""
THREADS = 128
KEYS = ACROSS * GROUP
"""Keys of a tile."""
SUMS = 64
"""Registers that a thread may have for results."""
SLICE = 64
"""Depth of a slice where queries and keys are not held whole."""
MAX_VALUES = 128
"""Values of a slice."""
QUERY_TILE, KEY_TILE, ROW, KEY, LANE, OUT = "tile.query", "tile.key", "end.row", "end.key", "end.lane", "end.value"


@dataclass(frozen=True)
class Tile:
    """Queries of a thread, depth of a slice, values of a slice."""

    rows: int
    depth: int
    values: int

    @property
    def queries(self) -> int:
        return self.rows * THREADS // ACROSS

    def bytes(self, kind_bytes: int) -> int:
        """Shared memory: queries, keys or values, weights."""
        keys, values = self.depth * stride_of(KEYS), KEYS * stride_of(self.values)
        return kind_bytes * ((self.depth + KEYS) * stride_of(self.queries) + max(keys, values))


def tiles_of(form: AttentionOp, gpu: GpuFacts, facts: Facts) -> list[Tile]:
    """Tiles that fit registers and shared memory, most queries first; none for results of no static size, or too long ones."""
    (dot,), (value,) = form.group("dot"), form.group("value")
    if not value.dim.is_const:
        return []
    kind_bytes = byte_size(form.body.block.args[0].type)
    columns = -(-max(value.dim.value, 1) // KEYS) * KEYS
    high = facts.bounds(dot.dim)[1] if dot.dim.is_const else None
    whole = None if high is None else -(-max(high, 1) // 8) * 8
    depths = [SLICE] if whole is None else [whole, SLICE] if whole > SLICE else [whole]
    parts = -(-columns // MAX_VALUES)
    values = -(-columns // (parts * KEYS)) * KEYS
    found: list[Tile] = []
    for rows in (4, 2, 1):
        if rows * parts * values // ACROSS * max(1, kind_bytes // 4) > SUMS:
            continue
        tiles = (Tile(rows, depth, values) for depth in depths)
        found += [tile for tile in tiles if tile.bytes(kind_bytes) <= gpu.shared_default][:1]
    return found


def lower(kernel: GpuKernelBuilder, form: AttentionOp, schedule: ScheduleAttr) -> None:
    """Write the kernel: `rows` queries of a thread, slices of `depth` and of `values`."""
    tile = Tile(*(int_param(schedule, name) for name in ("rows", "depth", "values")))
    _Blocked(kernel, form, tile).write()


class _Blocked:
    def __init__(self, b: GpuKernelBuilder, form: AttentionOp, tile: Tile):
        self.b, self.form, self.tile = b, form, tile
        *outer, query = form.group("parallel")
        (key,), (dot,), (value,) = form.group("reduce"), form.group("dot"), form.group("value")
        self.outer = [(it.symbol.data, it.dim) for it in outer]
        self.names = {"query": query.symbol.data, "key": key.symbol.data, "dot": dot.symbol.data, "value": value.symbol.data}
        self.queries, self.keys, self.depth, self.columns = query.dim, key.dim, dot.dim, value.dim
        self.query_tiles = ceildiv(self.queries, tile.queries)
        self.slices = ceildiv(self.depth, tile.depth)
        self.value_slices = -(-self.columns.value // tile.values)
        b.declare({QUERY_TILE: self.query_tiles, ROW: self.queries, KEY_TILE: ceildiv(self.keys, KEYS), LANE: GROUP,
                   KEY: ceildiv(self.keys, GROUP), OUT: ceildiv(self.columns, GROUP)})  # fmt: skip
        b.bind(LANE, 0)
        self.point = {self.names["query"]: sym(ROW), self.names["key"]: sym(KEY) * GROUP + sym(LANE)}
        self.scores = Scores(b, form, {self.names["query"]: sym(ROW)})
        self.kind = self.scores.kind
        self.products = FmaStep(b, (tile.queries, KEYS), (tile.rows, GROUP), [self.kind])
        self.sums = FmaStep(b, (tile.queries, tile.values), (tile.rows, tile.values // ACROSS), [self.kind])
        self.query = self._stage("query", b.ins[0], ("query", "dot"), tile.queries, tile.depth)
        self.key = self._stage("key", b.ins[1], ("key", "dot"), KEYS, tile.depth)
        self.value = self._stage("value", b.ins[2], ("value", "key"), tile.values, KEYS)
        self.weight_stride = stride_of(tile.queries)
        self.queries_at = self.query.shared(self.kind)
        self.keys_at = b.shared(max(self.key.size, self.value.size), self.kind)
        self.weights_at = b.shared(KEYS * self.weight_stride, self.kind)

    # -- operands

    def _place(self, axes: tuple[str, str]) -> Point:
        side, depth = (self.names[axis] for axis in axes)
        return lambda s, d: {side: s, depth: d}

    def _stage(self, name: str, operand: Operand, axes: tuple[str, str], side: int, depth: int) -> Stage:
        b = self.b
        extents = {"query": self.queries, "key": self.keys, "dot": self.depth, "value": self.columns}
        both_extents = extents[axes[0]], extents[axes[1]]
        how: Reading = reading(
            b.facts, [(operand.kind, operand.access)], both_extents, self._place(axes), b.gpu.vector_bytes
        )  # fmt: skip
        return Stage(b, name, both_extents, (side, depth), THREADS, how)

    def _copy(self, stage: Stage, operand: Operand, axes: tuple[str, str], slice_: SSAValue, pointer: SSAValue) -> None:
        b = self.b
        values = stage.fetch(slice_, self._place(axes), lambda site: converted(b, load(b, operand, site), self.kind))
        stage.park(values, pointer, b.index(0))

    # -- structure

    def write(self) -> None:
        b = self.b
        tiles = [*self.outer, (QUERY_TILE, self.query_tiles)]
        count = total(extent for _, extent in tiles)
        grid = b.grid_extent(count)
        b.launch([grid], [THREADS])

        def block() -> None:
            b.bind_point(tiles, b.block_at())
            if self.names["query"] in self.form.group("reduce")[0].range[1].symbols:
                # Later queries see more keys under the usual bounds: they begin first.
                b.bind(QUERY_TILE, b.sub(b.at(self.query_tiles - 1), b.at(sym(QUERY_TILE))))
            self._block()

        if grid == count:
            block()
        else:
            b.when(b.test("slt", b.block_at(), b.at(count)), block)

    def _block(self) -> None:
        b, tile = self.b, self.tile
        tile_at = b.at(sym(QUERY_TILE))
        first = b.mul(tile_at, tile.queries)
        self.query.at(tile_at)
        if self.slices == 1:
            self._copy(self.query, b.ins[0], ("query", "dot"), b.index(0), self.queries_at)
        low, high = self._range(first)
        last = b.at(self.queries - 1)
        self.rows = [b.add(b.add(first, self.sums.place[0]), r) for r in range(tile.rows)]
        self.inside = [b.minimum(row, last) for row in self.rows]
        self.limits = [self._limits(row) for row in self.inside]
        none, lowest = b.constant(0.0, self.kind), b.constant(-pymath.inf, self.kind)
        start = [lowest] * tile.rows + [none] * tile.rows
        for _ in range(self.value_slices):
            start += self.sums.start()
        ends = b.for_dim(KEY_TILE, low, high, 1, self._tile, start)
        self._finish(ends[tile.rows : 2 * tile.rows], ends[2 * tile.rows :])

    def _limits(self, row: SSAValue) -> tuple[SSAValue, SSAValue]:
        self.b.bind(ROW, row)
        return self.scores.keys()

    def _range(self, first: SSAValue) -> tuple[SSAValue, SSAValue]:
        """The tiles of keys that any query of the block sees: from, to."""
        b, tile = self.b, self.tile
        b.bind(ROW, b.minimum(first, b.at(self.queries - 1)))
        low, high = self.scores.keys()
        if any(ROW in bound.symbols for bound in self.scores.bounds):

            def widen(i: SSAValue, low: SSAValue, high: SSAValue) -> Sequence[SSAValue]:
                b.bind(ROW, b.minimum(b.add(b.add(first, b.lane()), i), b.at(self.queries - 1)))
                lower, upper = self.scores.keys()
                return [b.minimum(low, lower), b.maximum(high, upper)]

            low, high = b.loop(0, tile.queries, b.gpu.subgroup, widen, [low, high])
            low, high = b.subgroup_reduce("minsi", low), b.subgroup_reduce("maxsi", high)
        return b.apply(sym("n") // KEYS, {"n": low}), b.apply(ceildiv(sym("n"), KEYS), {"n": high})

    # -- one tile of keys

    def _tile(self, *carried: SSAValue) -> Sequence[SSAValue]:
        b, count = self.b, self.tile.rows
        tops, weights, sums = carried[:count], carried[count : 2 * count], list(carried[2 * count :])
        number = b.at(sym(KEY_TILE))
        self.key.at(number)
        raw = self._scores()
        new_tops: list[SSAValue] = []
        new_weights: list[SSAValue] = []
        groups = self.sums.groups[1]
        b.bind(KEY, b.add(b.mul(number, ACROSS), b.apply(sym("c") // GROUP, {"c": self.products.place[1]})))
        for r in range(count):
            score = self._score(raw[r], r)
            top = b.reduce("maxnumf", score)
            top = higher(b, tops[r], self._across("max", top))
            safe = safe_top(b, top)
            shrink = power(b, tops[r], safe)
            weight = power(b, score, b.broadcast(safe, (GROUP,)))
            place = b.add(b.mul(self.products.place[1], self.weight_stride), b.add(self.products.place[0], r))
            b.store(weight, self.weights_at, place, stride=self.weight_stride)
            new_tops.append(top)
            new_weights.append(b.fma(weights[r], shrink, b.reduce("add", weight)))
            factor = b.broadcast(shrink, (GROUP,))
            for part in range(self.value_slices):
                for group in range(groups):
                    at = (part * count + r) * groups + group
                    sums[at] = b.mulf(sums[at], factor)
        each = count * groups
        for part in range(self.value_slices):
            self.value.at(b.index(part))
            b.barrier()
            self._copy(self.value, b.ins[2], ("value", "key"), number, self.keys_at)
            b.barrier()
            left = Slice(self.weights_at, b.index(0), self.weight_stride, 0)
            right = Slice(self.keys_at, b.index(0), self.value.stride, 1)
            now = self.sums.slice(sums[part * each : (part + 1) * each], [(left, right)], KEYS, [left, right])
            sums[part * each : (part + 1) * each] = now
        return [*new_tops, *new_weights, *sums]

    def _scores(self) -> Sequence[SSAValue]:
        """Products of this thread's queries and keys: a vector of keys for each query."""
        b = self.b
        left = Slice(self.queries_at, b.index(0), self.query.stride, 0)
        right = Slice(self.keys_at, b.index(0), self.key.stride, 1)

        def slice_(number: SSAValue, *sums: SSAValue) -> Sequence[SSAValue]:
            b.barrier()
            if self.slices != 1:
                self._copy(self.query, b.ins[0], ("query", "dot"), number, self.queries_at)
            self._copy(self.key, b.ins[1], ("key", "dot"), number, self.keys_at)
            b.barrier()
            return self.products.slice(sums, [(left, right)], self.tile.depth, [left, right])

        return b.loop(0, b.at(self.slices), 1, slice_, self.products.start())

    def _score(self, raw: SSAValue, row: int) -> SSAValue:
        """The final scores of a query, −inf for keys that it does not see."""
        b = self.b
        b.bind(ROW, self.inside[row])
        first = b.at(sym(KEY) * GROUP)
        exact = b.facts.divisor(self.keys) % KEYS == 0
        count = None if exact else b.sub(b.at(self.keys), first)
        score = self.scores.final(raw, Site(self.point, ((LANE, GROUP),), (count,)))
        lower, upper = self.limits[row]
        unbounded = self.scores.unbounded
        mask = None if unbounded and exact else b.mask([b.sub(upper, first)], (GROUP,))
        if b.known(lower) != 0:
            mask = both(b, mask, negated(b, b.mask([b.sub(lower, first)], (GROUP,))))
        return score if mask is None else b.select(mask, score, b.splat(-pymath.inf, self.kind, (GROUP,)))

    def _across(self, how: str, value: SSAValue) -> SSAValue:
        """The maximum or sum over the threads that share a query."""
        b = self.b
        for distance in (1, 2, 4):
            other = b.shuffle("xor", value, distance)
            value = higher(b, value, other) if how == "max" else b.addf(value, other)
        return value

    # -- results

    def _finish(self, weights: Sequence[SSAValue], sums: Sequence[SSAValue]) -> None:
        b, groups = self.b, self.sums.groups[1]
        factors = [b.broadcast(inverse(b, self._across("sum", weight)), (GROUP,)) for weight in weights]
        first = b.apply(sym("c") // GROUP, {"c": self.sums.place[1]})
        exact = b.facts.divisor(self.queries) % self.tile.queries == 0
        for r, row in enumerate(self.rows):

            def write(r: int = r, row: SSAValue = row) -> None:
                b.bind(ROW, row)
                for part in range(self.value_slices):
                    for group in range(groups):
                        at = (part * len(self.rows) + r) * groups + group
                        unit = b.add(first, (part * self.tile.values + group * self.sums.apart[1]) // GROUP)
                        self._store(unit, b.mulf(sums[at], factors[r]))

            if exact:
                write()
            else:
                b.when(b.test("slt", row, b.at(self.queries)), write)

    def _store(self, unit: SSAValue, value: SSAValue) -> None:
        b = self.b
        (out,) = b.outs

        def put() -> None:
            b.bind(OUT, unit)
            place: DimExpr = sym(OUT) * GROUP + sym(LANE)
            count = None if self.columns.value % GROUP == 0 else b.at(self.columns - sym(OUT) * GROUP)
            site = Site({**self.point, self.names["value"]: place}, ((LANE, GROUP),), (count,))
            store(b, out, converted(b, value, out.kind.scalar_type), site)

        b.when(b.test("slt", unit, b.at(ceildiv(self.columns, GROUP))), put)

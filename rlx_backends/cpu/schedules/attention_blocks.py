"""The code of blocked attention: transposing keys, score tiles, softmax of rows, weighted values."""

from __future__ import annotations

import math as pymath
from collections.abc import Sequence

from xdsl.dialects import arith, math
from xdsl.ir import SSAValue

from rlx_backends.cpu.schedules.tiles import COLUMN, DEPTH, PANEL, ROW, Source, plain_source, sum_products
from rlx_backends.support.kernel_builder import Index, KernelBuilder, Operand, total
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, load, store, tile_steps
from rlx_backends.support.spaces import int_param
from rlx_dialects.dims import DimExpr, ceildiv, sym
from rlx_dialects.kernel.pointers import AllocaOp
from rlx_dialects.kernel.types import element_of, shape_of
from rlx_dialects.kernel.vector import ExtractOp, TransposeOp
from rlx_dialects.lir import AttentionOp, ScheduleAttr, YieldOp
from rlx_dialects.rlx import dtypes

ROWS = 8
SQUARE = 16
TILES = (8, 4, 2, 1)
CHUNK, FIRST = "tile.chunk", "tile.first"
"""Symbols of the first key of the chunk, and of the first row of the tile."""
LOG2_E = pymath.log2(pymath.e)


def lower(kernel: KernelBuilder, form: AttentionOp, schedule: ScheduleAttr) -> None:
    """Write the whole kernel."""
    _Attention(kernel, form, schedule).write()


class _Attention:
    def __init__(self, b: KernelBuilder, form: AttentionOp, schedule: ScheduleAttr):
        self.b = b
        self.form = form
        self.kind = form.body.block.args[0].type
        self.width, self.chunk = int_param(schedule, "width"), int_param(schedule, "chunk")
        self.several = bool(int_param(schedule, "several"))
        *outer, query = form.group("parallel")
        self.outer = [(it.symbol.data, it.dim) for it in outer]
        self.query, self.queries = query.symbol.data, query.dim
        (key,), (dot,), (value,) = (form.group(group) for group in ("reduce", "dot", "value"))
        self.key, self.keys, self.range = key.symbol.data, key.dim, key.range
        self.dot, self.depth = dot.symbol.data, dot.dim
        self.value, self.columns = value.symbol.data, value.dim
        self.bounded = bool(key.bounds.data)
        self.scale = float(form.scale.value.data)
        block = form.body.block
        self.whole, self.extras = block_args(block.args[1:], b.extra)
        # Scores without a region or bounds need no touch between the product and the exponential, but for the last keys.
        last = block.last_op
        self.plain = isinstance(last, YieldOp) and last.values[0] is block.args[0] and not self.bounded and self.scale > 0
        self.region = Region(b, block, self.whole)
        b.declare({ROW: self.queries, FIRST: self.queries, CHUNK: self.keys, DEPTH: 1 << 30, COLUMN: self.width, PANEL: 1 << 20})
        b.bind(COLUMN, 0)
        self.keys_t, self.scores = b.scratch[:2]
        self.results, self.tops, self.sums = b.scratch[2:] if self.several else (None, None, None)
        self.factors = b.value(AllocaOp(ROWS, self.kind))
        self.query_operand, self.key_operand, self.value_operand = b.ins
        (self.out,) = b.outs
        self.column_mask: SSAValue | None = None

    # -- structure

    def write(self) -> None:
        b = self.b
        tiles = ceildiv(self.queries, ROWS)
        heads = total(extent for _, extent in self.outer)
        head_from, head_to, tile_from, tile_to = b.partition_2d(b.at(heads), b.at(tiles), (1, 1), "rows")
        first = b.mul(tile_from, ROWS)
        end = b.minimum(b.mul(tile_to, ROWS), b.at(self.queries))
        b.for_points(self.outer, head_from, head_to, lambda: self._head(first, end))

    def _head(self, first: SSAValue, end: SSAValue) -> None:
        b = self.b
        if not self.several:
            b.bind(CHUNK, 0)
            self._transpose_keys(b.at(self.keys))
            b.for_tiles(first, end, TILES, lambda row, size: self._tile(row, size, b.at(self.keys)))
            return
        b.for_dim(ROW, first, end, 1, self._start_row)

        def chunk() -> None:
            size = b.minimum(b.at(self.keys - sym(CHUNK)), self.chunk)
            self._transpose_keys(size)
            b.for_tiles(first, end, TILES, lambda row, rows: self._tile(row, rows, size))

        b.for_dim(CHUNK, 0, b.at(self.keys), self.chunk, chunk)
        b.for_tiles(first, end, TILES, self._finish)

    def _start_row(self) -> None:
        """No keys seen: the maximum is −inf, the sum and the result are zero."""
        b = self.b
        assert self.results is not None and self.tops is not None and self.sums is not None
        results = self.results
        b.store(b.constant(-pymath.inf, self.kind), self.tops, b.at(sym(ROW)))
        b.store(b.constant(0.0, self.kind), self.sums, b.at(sym(ROW)))

        def columns() -> None:
            self._set_mask()
            b.store(b.splat(0.0, self.kind, (self.width,)), results, b.at(sym(ROW) * self.columns + sym(PANEL)), mask=self.column_mask)

        b.for_dim(PANEL, 0, b.at(self.columns), self.width, columns)

    # -- keys

    def _transpose_keys(self, size: SSAValue) -> None:
        """`keys_t[d][k - chunk] = key(k, d)`, in the type of the scores."""
        b = self.b
        operand = self.key_operand
        site = Site({}, ((self.key, SQUARE), (self.dot, SQUARE)), (None, None))
        steps = tile_steps(b, operand, site)
        end = b.add(b.at(sym(CHUNK)), size)
        place = sym(self.dot) * self.chunk + sym(self.key) - sym(CHUNK)
        if steps is None or steps[1] != 1:
            def vector() -> None:
                here = Site({}, ((self.key, self.width),), (b.sub(end, b.index(b.env[self.key])),))
                value = self._converted(load(b, operand, here))
                value = value if shape_of(value.type) else b.broadcast(value, (self.width,))
                b.store(value, self.keys_t, b.at(place))

            b.for_dim(
                self.key,
                b.at(sym(CHUNK)),
                end,
                self.width,
                lambda: b.for_dim(self.dot, 0, b.at(self.depth), 1, vector),
            )
            return
        exact = b.facts.divisor(self.depth) % SQUARE == 0

        def squares(rest: SSAValue | None) -> None:
            def square() -> None:
                inside = None if exact else b.at(self.depth - sym(self.dot))
                value = self._converted(load(b, operand, Site({}, site.lanes, (rest, inside))))
                # The scratch has whole squares, so rows beyond the last d are written too.
                b.store(b.value(TransposeOp(value)), self.keys_t, b.at(place), stride=b.index(self.chunk))

            b.for_dim(self.dot, 0, b.at(self.depth), SQUARE, square)

        whole = b.apply(sym("lo") + (sym("hi") - sym("lo")) // SQUARE * SQUARE, {"lo": b.at(sym(CHUNK)), "hi": end})
        b.for_dim(self.key, b.at(sym(CHUNK)), whole, SQUARE, lambda: squares(None))
        b.for_dim(self.key, whole, end, SQUARE, lambda: squares(b.sub(end, b.index(b.env[self.key]))))

    def _converted(self, value: SSAValue) -> SSAValue:
        """In the type of the scores."""
        source = element_of(value.type)
        if source == self.kind:
            return value
        wider = dtypes.bit_width(source) < dtypes.bit_width(self.kind)
        return self.b.cast("extf" if wider else "truncf", value, self.kind)

    # -- one tile of queries

    def _limits(self, row: DimExpr, size: Index) -> tuple[SSAValue, SSAValue]:
        """Keys of the chunk that a query may see: from, to, relative to the chunk."""
        b = self.b
        lower, upper = (bound.substitute({self.query: row}) - sym(CHUNK) for bound in self.range)
        return b.maximum(b.at(lower), 0), b.minimum(b.at(upper), size)

    def _tile(self, row: SSAValue, rows: int, size: SSAValue) -> None:
        b = self.b
        b.bind(FIRST, row)
        b.bind(ROW, row)
        if not self.bounded:
            self._tile_between(row, rows, size, b.index(0), size)
            return

        def widen(i: SSAValue, low: SSAValue, high: SSAValue) -> Sequence[SSAValue]:
            b.bind(ROW, b.add(row, i))
            first, end = self._limits(sym(ROW), size)
            return [b.minimum(low, first), b.maximum(high, end)]

        low, high = b.loop(0, rows, 1, widen, [size, b.index(0)])
        low = b.apply(sym("lo") // self.width * self.width, {"lo": low})
        if not self.several:
            self._tile_between(row, rows, size, low, high)
            return
        b.when(b.test("slt", low, high), lambda: self._tile_between(row, rows, size, low, high))

    def _tile_between(self, row: SSAValue, rows: int, size: SSAValue, low: SSAValue, high: SSAValue) -> None:
        """Keys from `low`, a multiple of the width, to `high`, both relative to the chunk."""
        self._score(rows, low, high)
        self.b.loop(0, rows, 1, lambda i: self._row(i, row, size, low, high))
        self._weighted(rows, low, high)

    def _score(self, rows: int, low: SSAValue, high: SSAValue) -> None:
        """`scores[row][k] = Σ_d query · key`; in a plain attention −inf beyond the last key."""
        b = self.b
        point = {self.query: sym(ROW), self.dot: sym(DEPTH)}
        left = self._operand_source(self.query_operand, point, ROW)
        right = plain_source(b, self.keys_t, sym(DEPTH) * self.chunk + sym(PANEL) + sym(COLUMN), COLUMN)
        shape = (rows, self.width)

        def block(count: SSAValue | None) -> None:
            zero = b.splat(0.0, self.kind, shape)
            tile = sum_products(b, left, right, shape, 0, b.at(self.depth), zero)
            if count is not None and self.plain:
                tile = b.select(b.mask([rows, count], shape), tile, b.splat(-pymath.inf, self.kind, shape))
            b.store(tile, self.scores, b.at(sym(PANEL)), stride=self.chunk)

        if not self.plain:
            b.for_dim(PANEL, low, high, self.width, lambda: block(None))
            return
        whole = b.apply(sym("hi") // self.width * self.width, {"hi": high})
        b.for_dim(PANEL, low, whole, self.width, lambda: block(None))
        b.for_dim(PANEL, whole, high, self.width, lambda: block(b.sub(high, b.index(b.env[PANEL]))))

    def _operand_source(self, operand: Operand, point: dict[str, DimExpr], along: str) -> Source:
        """Elements of an operand in the type of the scores."""
        b = self.b
        source = plain_source(b, operand.pointer, b.offset_of(operand, point), along, self._mask if along == COLUMN else None)
        return source.then(self._converted)

    def _mask(self) -> SSAValue | None:
        return self.column_mask

    def _row(self, i: SSAValue, row: SSAValue, size: SSAValue, low: SSAValue, high: SSAValue) -> None:
        """Scores of one query to weights 2^((score − top)·log₂e), their sum, and what the result so far shrinks by."""
        b, width = self.b, self.width
        b.bind(ROW, b.add(row, i))
        base = b.mul(i, self.chunk)
        minus_inf = b.constant(-pymath.inf, self.kind)
        factor = LOG2_E * (self.scale if self.plain else 1.0)
        first, end = (low, high) if self.plain else self._limits(sym(ROW), size)

        def final(top: SSAValue) -> Sequence[SSAValue]:
            scores = b.load(self.scores, b.add(base, b.index(b.env[PANEL])), (width,))
            if not self.plain:
                scores = self._final_scores(scores, first, end)
                b.store(scores, self.scores, b.add(base, b.index(b.env[PANEL])))
            return [b.value(arith.MaximumfOp(top, scores))]

        (tops,) = b.for_dim(PANEL, low, high, width, final, [b.splat(-pymath.inf, self.kind, (width,))])
        top = b.reduce("maximumf", tops)
        old = minus_inf
        if self.several:
            assert self.tops is not None
            old = b.load(self.tops, b.at(sym(ROW)))
            top = b.value(arith.MaximumfOp(top, old))
            b.store(top, self.tops, b.at(sym(ROW)))
        # Without any key so far: 2^(−inf − 0) = 0, where −inf − −inf would be NaN.
        safe = b.select(b.cmp("oeq", top, minus_inf), b.constant(0.0, self.kind), top)
        log2_top = b.mulf(safe, b.constant(factor, self.kind))
        shift = b.splat(b.value(arith.NegfOp(log2_top)), self.kind, (width,))
        slope = b.splat(factor, self.kind, (width,))

        def weigh(total: SSAValue) -> Sequence[SSAValue]:
            place = b.add(base, b.index(b.env[PANEL]))
            weights = b.value(math.Exp2Op(b.fma(b.load(self.scores, place, (width,)), slope, shift)))
            b.store(weights, self.scores, place)
            return [b.addf(total, weights)]

        (parts,) = b.for_dim(PANEL, low, high, width, weigh, [b.splat(0.0, self.kind, (width,))])
        weight = b.reduce("add", parts)
        if not self.several:
            b.store(self._inverse(weight), self.factors, i)
            return
        assert self.sums is not None
        shrink = b.value(math.Exp2Op(b.fma(old, b.constant(factor, self.kind), b.value(arith.NegfOp(log2_top)))))
        total = b.fma(b.load(self.sums, b.at(sym(ROW))), shrink, weight)
        b.store(total, self.sums, b.at(sym(ROW)))
        b.store(shrink, self.factors, i)

    def _final_scores(self, scores: SSAValue, first: SSAValue, end: SSAValue) -> SSAValue:
        """Scaled, through the score region, −inf outside [first, end)."""
        b, width = self.b, self.width
        panel = b.index(b.env[PANEL])
        b.bind(self.key, b.add(panel, b.at(sym(CHUNK))))
        point = {self.query: sym(ROW)}
        site = Site(point, ((self.key, width),), (b.sub(end, panel),))
        scaled = b.mulf(scores, b.splat(self.scale, self.kind, (width,)))
        args = {self.form.body.block.args[0]: scaled}
        args |= {arg: load(b, operand, site) for arg, operand in self.extras.items()}
        (value,) = self.region.run(args, site)
        inside = b.mask([b.sub(end, panel)], (width,))
        outside = b.splat(-pymath.inf, self.kind, (width,))
        value = b.select(inside, value, outside)
        if self.bounded and self.range[0] != 0:
            value = b.select(b.mask([b.sub(first, panel)], (width,)), outside, value)
        return value

    def _inverse(self, weight: SSAValue) -> SSAValue:
        """1 / weight, 0 for a row without keys."""
        b = self.b
        zero = b.constant(0.0, self.kind)
        return b.select(b.cmp("oeq", weight, zero), zero, b.divf(b.constant(1.0, self.kind), weight))

    # -- values

    def _weighted(self, rows: int, low: SSAValue, high: SSAValue) -> None:
        """The tile's weights times the values; stored, or added to what the chunks before gave."""
        b = self.b
        shape = (rows, self.width)
        left = plain_source(b, self.scores, (sym(ROW) - sym(FIRST)) * self.chunk + sym(DEPTH), ROW)
        point = {self.key: sym(DEPTH) + sym(CHUNK), self.value: sym(PANEL) + sym(COLUMN)}
        right = self._operand_source(self.value_operand, point, COLUMN)

        def columns() -> None:
            self._set_mask()
            if not self.several:
                tile = sum_products(b, left, right, shape, low, high, b.splat(0.0, self.kind, shape))
                self._store_scaled(tile, rows)
                return
            assert self.results is not None
            place = b.at(sym(FIRST) * self.columns + sym(PANEL))
            mask = self._tile_mask(rows)
            before = b.load(self.results, place, shape, stride=b.at(self.columns), mask=mask)
            shrink = b.broadcast(b.load(self.factors, 0, (rows,)), shape, "column")
            tile = sum_products(b, left, right, shape, low, high, b.mulf(before, shrink))
            b.store(tile, self.results, place, stride=b.at(self.columns), mask=mask)

        b.bind(ROW, b.index(b.env[FIRST]))
        b.for_dim(PANEL, 0, b.at(self.columns), self.width, columns)

    def _set_mask(self) -> None:
        b = self.b
        self.column_mask = None
        if b.facts.divisor(self.columns) % self.width:
            self.column_mask = b.mask([b.at(self.columns - sym(PANEL))], (self.width,))

    def _tile_mask(self, rows: int) -> SSAValue | None:
        if self.b.facts.divisor(self.columns) % self.width == 0:
            return None
        return self.b.mask([rows, self.b.at(self.columns - sym(PANEL))], (rows, self.width))

    def _store_scaled(self, tile: SSAValue, rows: int) -> None:
        """Times the factors of the rows, to the result."""
        b = self.b
        shape = (rows, self.width)
        tile = b.mulf(tile, b.broadcast(b.load(self.factors, 0, (rows,)), shape, "column"))
        exact = b.facts.divisor(self.columns) % self.width == 0
        count = None if exact else b.at(self.columns - sym(PANEL))
        point = {self.query: sym(ROW), self.value: sym(PANEL) + sym(COLUMN)}
        site = Site(point, ((ROW, rows), (COLUMN, self.width)), (None, count))
        element = self.out.kind.scalar_type
        if element != self.kind:
            wider = dtypes.bit_width(element) > dtypes.bit_width(self.kind)
            tile = b.cast("extf" if wider else "truncf", tile, element)
        steps = tile_steps(b, self.out, site)
        if steps is not None and steps[1] == 1:
            store(b, self.out, tile, site)
            return
        first = b.index(b.env[ROW])
        for i in range(rows):
            b.bind(ROW, b.add(first, i))
            store(b, self.out, b.value(ExtractOp(tile, i)), site.only(1))
        b.bind(ROW, first)

    def _finish(self, row: SSAValue, rows: int) -> None:
        """The results of all chunks, divided by the sums of the weights."""
        b = self.b
        assert self.results is not None and self.sums is not None
        sums, results = self.sums, self.results

        def factor(i: SSAValue) -> None:
            b.store(self._inverse(b.load(sums, b.add(row, i))), self.factors, i)

        b.loop(0, rows, 1, factor)
        b.bind(ROW, row)
        b.bind(FIRST, row)

        def columns() -> None:
            place = b.at(sym(FIRST) * self.columns + sym(PANEL))
            tile = b.load(results, place, (rows, self.width), stride=b.at(self.columns), mask=self._tile_mask(rows))
            self._store_scaled(tile, rows)

        b.for_dim(PANEL, 0, b.at(self.columns), self.width, columns)


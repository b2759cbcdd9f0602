"""The code of blocked attention: transposing keys, score tiles, softmax of rows, weighted values."""

from __future__ import annotations

import math as pymath
from collections.abc import Sequence

from xdsl.dialects import arith
from xdsl.ir import SSAValue

from rlx_backends.cpu.schedules.attention_softmax import CHUNK, NO_NANS, ROWS, Rows, Softmax
from rlx_backends.cpu.schedules.tiles import CACHE_LINE, COLUMN, DEPTH, PANEL, ROW, Source, plain_source, sum_products, unravel
from rlx_backends.support.kernel_builder import KernelBuilder, Operand, total
from rlx_backends.support.sites import Site, load, store, tile_steps
from rlx_backends.support.spaces import int_param, text_param
from rlx_dialects.dims import DimExpr, ceildiv, const, sym
from rlx_dialects.kernel.pointers import PrefetchOp
from rlx_dialects.kernel.types import byte_size, element_of, shape_of
from rlx_dialects.kernel.vector import ExtractOp, TransposeOp
from rlx_dialects.lir import AttentionOp, ScheduleAttr
from rlx_dialects.rlx import dtypes

SQUARE = 16
TILES = (8, 4, 2, 1)
FIRST, HEAD = "tile.first", "tile.head"
"""Symbols of the first row of the tile, and of the shared head where its group makes the rows."""


def lower(kernel: KernelBuilder, form: AttentionOp, schedule: ScheduleAttr) -> None:
    """Write the whole kernel."""
    _Attention(kernel, form, schedule).write()


def rows_of(form: AttentionOp, schedule: ScheduleAttr) -> Rows:
    """Rows are queries; or, for a single query, the heads of a group that share keys."""
    *outer, query = [(it.symbol.data, it.dim) for it in form.group("parallel")]
    if schedule.kind.data != "single":
        return Rows(tuple(outer), query[1], {query[0]: sym(ROW)})
    head, group = text_param(schedule, "head"), int_param(schedule, "group", 1)
    shared = tuple((HEAD, extent // group) if name == head else (name, extent) for name, extent in outer)
    place = {head: sym(HEAD) * group + sym(ROW)} if head else {}
    return Rows(shared, const(group), {query[0]: const(0), **place})


class _Attention:
    def __init__(self, b: KernelBuilder, form: AttentionOp, schedule: ScheduleAttr):
        self.b = b
        self.form = form
        self.kind = form.body.block.args[0].type
        self.width, self.chunk = int_param(schedule, "width"), int_param(schedule, "chunk")
        self.several = bool(int_param(schedule, "several"))
        self.rows = rows_of(form, schedule)
        self.single = schedule.kind.data == "single"
        self.queries = self.rows.count
        (key,), (dot,), (value,) = (form.group(group) for group in ("reduce", "dot", "value"))
        self.key, self.keys, self.range = key.symbol.data, key.dim, key.range
        self.dot, self.depth = dot.symbol.data, dot.dim
        self.padded_depth = ceildiv(self.depth, SQUARE) * SQUARE
        self.value, self.columns = value.symbol.data, value.dim
        b.declare({name: extent for name, extent in self.rows.outer if name == HEAD})
        b.declare({ROW: self.queries, FIRST: self.queries, CHUNK: self.keys, DEPTH: 1 << 30, COLUMN: self.width, PANEL: 1 << 20})
        b.bind(COLUMN, 0)
        self.keys_t, self.scores = b.scratch[:2]
        self.results, self.tops, self.sums = b.scratch[2:] if self.several else (None, None, None)
        running = (self.tops, self.sums) if self.tops is not None and self.sums is not None else None
        self.softmax = Softmax(b, form, schedule, self.scores, running, self.rows)
        self.factors = self.softmax.factors
        self.query_operand, self.key_operand, self.value_operand = b.ins
        (self.out,) = b.outs
        self.column_mask: SSAValue | None = None

    # -- structure

    def write(self) -> None:
        b = self.b
        tiles = ceildiv(self.queries, ROWS)
        heads = total(extent for _, extent in self.rows.outer)
        if self.single:
            head_from, head_to = b.partition(b.at(heads))
            b.for_points(self.rows.outer, head_from, head_to, lambda: self._head(b.index(0), b.at(self.queries)))
            return
        head_from, head_to, tile_from, tile_to = b.partition_2d(b.at(heads), b.at(tiles), (1, 1), "rows")
        first = b.mul(tile_from, ROWS)
        end = b.minimum(b.mul(tile_to, ROWS), b.at(self.queries))
        b.for_points(self.rows.outer, head_from, head_to, lambda: self._head(first, end))

    def _head(self, first: SSAValue, end: SSAValue) -> None:
        b = self.b
        exact = b.facts.divisor(self.queries) % ROWS == 0
        b.bind(ROW, 0)
        if not self.several:
            b.bind(CHUNK, 0)
            self._transpose_keys(b.at(self.keys))
            b.for_tiles(first, end, TILES, lambda row, size: self._tile(row, size, b.at(self.keys)), exact=exact)
            return
        b.for_dim(ROW, first, end, 1, self._start_row)

        def chunk() -> None:
            size = b.minimum(b.at(self.keys - sym(CHUNK)), self.chunk)
            self._transpose_keys(size)
            b.for_tiles(first, end, TILES, lambda row, rows: self._tile(row, rows, size), exact=exact)

        b.for_dim(CHUNK, 0, b.at(self.keys), self.chunk, chunk)
        b.for_tiles(first, end, TILES, self._finish, exact=exact)

    def _start_row(self) -> None:
        """No keys seen: the maximum is −inf, the sum and the result are zero."""
        b = self.b
        assert self.results is not None and self.tops is not None and self.sums is not None
        results = self.results
        b.store(b.constant(-pymath.inf, self.kind), self.tops, b.at(sym(ROW)))
        b.store(b.constant(0.0, self.kind), self.sums, b.at(sym(ROW)))

        def columns() -> None:
            self._set_mask()
            b.store(
                b.splat(0.0, self.kind, (self.width,)), results, b.at(sym(ROW) * self.columns + sym(PANEL)), mask=self.column_mask
            )

        b.for_dim(PANEL, 0, b.at(self.columns), self.width, columns)

    # -- keys

    def _transpose_keys(self, size: SSAValue) -> None:
        """`keys_t[(k - chunk) / width][d][(k - chunk) mod width] = scale · key(k, d)`, in the type of the scores."""
        b, square_size = self.b, min(SQUARE, self.width)
        operand = self.key_operand
        site = Site(self.rows.point, ((self.key, square_size), (self.dot, square_size)), (None, None))
        steps = tile_steps(b, operand, site)
        end = b.add(b.at(sym(CHUNK)), size)
        key = sym(self.key) - sym(CHUNK)
        place = key // self.width * (self.padded_depth * self.width) + sym(self.dot) * self.width + key % self.width
        if steps is None or steps[1] != 1:

            def vector() -> None:
                here = Site(self.rows.point, ((self.key, self.width),), (b.sub(end, b.index(b.env[self.key])),))
                value = self._scaled(self._converted(load(b, operand, here)))
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
        exact = b.facts.divisor(self.depth) % square_size == 0

        def squares(rest: SSAValue | None) -> None:
            def square() -> None:
                if self.single and rest is None:
                    self._ask_ahead(square_size)
                inside = None if exact else b.at(self.depth - sym(self.dot))
                value = self._scaled(self._converted(load(b, operand, Site(self.rows.point, site.lanes, (rest, inside)))))
                # The scratch has whole squares, so rows beyond the last d are written too.
                b.store(b.value(TransposeOp(value)), self.keys_t, b.at(place), stride=self.width)

            b.for_dim(self.dot, 0, b.at(self.depth), square_size, square)

        whole = b.whole(end, square_size)
        b.for_dim(self.key, b.at(sym(CHUNK)), whole, square_size, lambda: squares(None))
        b.for_dim(self.key, whole, end, square_size, lambda: squares(b.sub(end, b.index(b.env[self.key]))))

    def _ask_ahead(self, count: int) -> None:
        """Prefetch the keys of the square after next, and the values of this one's keys: nothing is used twice from memory."""
        b = self.b
        ahead = b.offset_of(self.key_operand, {**self.rows.point, self.key: sym(self.key) + 2 * count})
        values = b.offset_of(self.value_operand, {**self.rows.point, self.value: sym(self.dot)})
        for operand, offset in ((self.key_operand, ahead), (self.value_operand, values)):
            step = offset.coefficient(self.key)
            for i in range(count if step is not None else 0):
                b.op(PrefetchOp(operand.pointer, b.at(offset + step * i), 2))  # pyright: ignore[reportOptionalOperand]

    def _scaled(self, keys: SSAValue) -> SSAValue:
        """Keys times the scale of the scores: they are fewer than the scores."""
        scale = float(self.form.scale.value.data)
        return keys if scale == 1.0 else self.b.mulf(keys, self.b.splat(scale, self.kind, shape_of(keys.type)))

    def _converted(self, value: SSAValue) -> SSAValue:
        """In the type of the scores."""
        source = element_of(value.type)
        if source == self.kind:
            return value
        wider = dtypes.bit_width(source) < dtypes.bit_width(self.kind)
        return self.b.cast("extf" if wider else "truncf", value, self.kind)

    # -- one tile of queries

    def _tile(self, row: SSAValue, rows: int, size: SSAValue) -> None:
        b = self.b
        b.bind(FIRST, row)
        b.bind(ROW, row)
        if not self.single and not self.several:
            self._ask_for_next(rows)
        if not self.softmax.bounded:
            high = size if self.keys is self.softmax.bounds[1] else self.softmax.limits(size)[1]
            self._tile_between(row, rows, size, b.index(0), high)
            return

        def widen(i: SSAValue, low: SSAValue, high: SSAValue) -> Sequence[SSAValue]:
            b.bind(ROW, b.add(row, i))
            first, end = self.softmax.limits(size)
            return [b.minimum(low, first), b.maximum(high, end)]

        low, high = b.loop(0, rows, 1, widen, [size, b.index(0)])
        low = b.whole(low, self.width)
        if not self.several:
            self._tile_between(row, rows, size, low, high)
            return
        b.when(b.test("slt", low, high), lambda: self._tile_between(row, rows, size, low, high))

    def _ask_for_next(self, rows: int) -> None:
        """Prefetch this tile's share of the next head's queries, keys and values: rows of one head lie far apart, where no
        processor looks for them, and another core may have written them.
        """
        b = self.b
        place = const(0)
        for name, extent in self.rows.outer:
            place = place * extent + sym(name)
        following = unravel(place + 1, self.rows.outer)
        point = {**self.rows.point, **following, self.key: sym(ROW)}
        for operand, name in ((self.query_operand, self.dot), (self.key_operand, self.dot), (self.value_operand, self.value)):
            size = self.depth if name == self.dot else self.columns
            offset = b.offset_of(operand, {**point, name: sym(COLUMN)})
            if not size.is_const or offset.coefficient(COLUMN) != 1 or offset.coefficient(ROW) is None:
                continue
            each = byte_size(operand.kind.scalar_type)
            first = b.offset(operand.pointer, b.at(offset))
            for row in range(rows):
                for start in range(0, size.value, max(1, CACHE_LINE // each)):
                    b.op(PrefetchOp(first, b.at(offset.coefficient(ROW) * row + start), 2))  # pyright: ignore[reportOptionalOperand]

    def _tile_between(self, row: SSAValue, rows: int, size: SSAValue, low: SSAValue, high: SSAValue) -> None:
        """Keys from `low`, a multiple of the width, to `high`, both relative to the chunk."""
        tops = self._score(rows, low, high)
        self.softmax.rows(row, rows, size, low, high, tops)
        self._weighted(rows, low, high)

    def _score(self, rows: int, low: SSAValue, high: SSAValue) -> SSAValue | None:
        """`scores[row][k] = Σ_d query · key`, where queries share their keys with all that follows until the exponential;
        then the largest so far in each lane are returned.
        """
        b, softmax = self.b, self.softmax
        point = {**self.rows.point, self.dot: sym(DEPTH)}
        left = self._operand_source(self.query_operand, point, ROW)
        first = sym(PANEL) * self.padded_depth + sym(DEPTH) * self.width + sym(COLUMN)
        parts = range(0, self.width, softmax.lanes)
        rights = [plain_source(b, self.keys_t, first + part, COLUMN) for part in parts]
        shape = (rows, softmax.lanes)

        def block(tops: Sequence[SSAValue], partial: bool) -> Sequence[SSAValue]:
            zero = b.splat(0.0, self.kind, shape)
            for part, tile in zip(
                parts, sum_products(b, left, rights, shape, 0, b.at(self.depth), [zero] * len(parts)), strict=True
            ):
                panel = b.add(b.index(b.env[PANEL]), part)
                if softmax.tiled:
                    tile = softmax.final(tile, shape, panel, None, b.sub(high, panel) if partial else None)
                    tops = [b.value(arith.MaximumfOp(tops[0], tile, NO_NANS))]
                b.store(tile, self.scores, panel, stride=softmax.stride)
            return tops

        if not softmax.tiled:
            b.for_dim(PANEL, low, high, self.width, lambda: block((), False))
            return None
        whole = b.whole(high, self.width)
        tops = b.for_dim(PANEL, low, whole, self.width, lambda t: block([t], False), [b.splat(-pymath.inf, self.kind, shape)])
        return b.for_dim(PANEL, whole, high, self.width, lambda t: block([t], True), tops)[0]

    def _operand_source(self, operand: Operand, point: dict[str, DimExpr], along: str) -> Source:
        """Elements of an operand in the type of the scores."""
        b = self.b
        source = plain_source(b, operand.pointer, b.offset_of(operand, point), along, self._mask if along == COLUMN else None)
        return source.then(self._converted)

    def _mask(self) -> SSAValue | None:
        return self.column_mask

    # -- values

    def _weighted(self, rows: int, low: SSAValue, high: SSAValue) -> None:
        """The tile's weights times the values; stored, or added to what the chunks before gave."""
        b = self.b
        shape = (rows, self.width)
        left = plain_source(b, self.scores, (sym(ROW) - sym(FIRST)) * self.softmax.stride + sym(DEPTH), ROW)
        point = {**self.rows.point, self.key: sym(DEPTH) + sym(CHUNK), self.value: sym(PANEL) + sym(COLUMN)}
        right = self._operand_source(self.value_operand, point, COLUMN)

        def columns() -> None:
            self._set_mask()
            if not self.several:
                (tile,) = sum_products(b, left, [right], shape, low, high, [b.splat(0.0, self.kind, shape)])
                self._store_scaled(tile, rows)
                return
            assert self.results is not None
            place = b.at(sym(FIRST) * self.columns + sym(PANEL))
            mask = self._tile_mask(rows)
            before = b.load(self.results, place, shape, stride=b.at(self.columns), mask=mask)
            shrink = b.broadcast(b.load(self.factors, 0, (rows,)), shape, "column")
            (tile,) = sum_products(b, left, [right], shape, low, high, [b.mulf(before, shrink)])
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
        point = {**self.rows.point, self.value: sym(PANEL) + sym(COLUMN)}
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

        b.store(self.softmax.inverse(b.load(sums, row, (rows,)), (rows,)), self.factors, 0)
        b.bind(ROW, row)
        b.bind(FIRST, row)

        def columns() -> None:
            place = b.at(sym(FIRST) * self.columns + sym(PANEL))
            tile = b.load(results, place, (rows, self.width), stride=b.at(self.columns), mask=self._tile_mask(rows))
            self._store_scaled(tile, rows)

        b.for_dim(PANEL, 0, b.at(self.columns), self.width, columns)

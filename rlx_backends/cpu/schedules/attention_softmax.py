"""Softmax of a tile of attention scores in scratch: maxima, then weights 2^((score − top)·log₂e) and their sums.

Where the queries of a tile see the same keys, scores are final and their maxima known as they leave the registers of the
product: what the score region computes from keys alone is computed once for all rows, and scores are stored once. Then four
queries at a time become weights, so that their chains of operations fill each other's latencies. Queries with bounds of their
own, or regions that look up values, go one by one, in a pass of their own.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects import arith, math
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import SSAValue

from rlx_backends.cpu.schedules.tiles import PANEL, ROW
from rlx_backends.support.kernel_builder import Index, KernelBuilder
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, load, tile_steps
from rlx_backends.support.spaces import int_param
from rlx_dialects.dims import DimExpr, sym
from rlx_dialects.kernel.pointers import AllocaOp
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import AttentionOp, IndexOp, ReadOp, ScheduleAttr

ROWS = 8
"""Queries of the tallest tile."""
GROUP = 4
CHUNK = "tile.chunk"
"""Symbol of the first key of the chunk."""
LOG2_E = pymath.log2(pymath.e)
NO_NANS = arith.FastMathFlagsAttr([FastMathFlag.NO_NANS])


@dataclass(frozen=True)
class Rows:
    """What the rows of a tile are: `count` of them for each of the `outer` points; `point` gives the iteration dims in
    terms of ROW.
    """

    outer: tuple[tuple[str, DimExpr], ...]
    count: DimExpr
    point: Mapping[str, DimExpr]


def score_stride(chunk: int) -> int:
    """Elements from one row of scores to the next: rows a power of two apart would share sets of the first-level cache."""
    return chunk + 16


class Softmax:
    """`factors` receive what each row of the tile is to be multiplied by: with one chunk 1 / sum, with several the
    shrinking of what came before.
    """

    def __init__(
        self,
        b: KernelBuilder,
        form: AttentionOp,
        schedule: ScheduleAttr,
        scores: SSAValue,
        running: tuple[SSAValue, SSAValue] | None,
        rows: Rows,
    ):
        self.b = b
        self.block = form.body.block
        self.kind = self.block.args[0].type
        self.scores = scores
        self.running = running
        self.stride = score_stride(int_param(schedule, "chunk"))
        (key,) = form.group("reduce")
        self.point = rows.point
        self.key = key.symbol.data
        self.bounds = tuple(b.facts.simplify(bound.substitute(rows.point)) for bound in key.range)
        # Bounds that are the same for all rows of a tile only shorten its range.
        self.bounded = self.bounds[0] != 0 or ROW in self.bounds[1].symbols
        self.whole, self.extras = block_args(self.block.args[1:], b.extra)
        self.region = Region(b, self.block, self.whole)
        self.lanes = b.target.vector_bits // 8 // byte_size(self.kind)
        self.tiled = self._is_tiled()
        self.factors = b.value(AllocaOp(ROWS, self.kind))
        self.shifts = b.value(AllocaOp(ROWS, self.kind)) if self.tiled else None

    def _is_tiled(self) -> bool:
        if self.bounded or self.whole or any(isinstance(op, ReadOp | IndexOp) for op in self.block.ops):
            return False
        site = Site(self.point, ((ROW, GROUP), (self.key, self.lanes)), (None, None))
        return all(tile_steps(self.b, operand, site) is not None for operand in self.extras.values())

    def limits(self, size: Index) -> tuple[SSAValue, SSAValue]:
        """Keys of the chunk that the row at ROW may see: from, to, relative to the chunk."""
        b = self.b
        lower, upper = (bound - sym(CHUNK) for bound in self.bounds)
        return b.maximum(b.at(lower), 0), b.minimum(b.at(upper), size)

    def inverse(self, sums: SSAValue, shape: tuple[int, ...]) -> SSAValue:
        """1 / sum, 0 for a row without keys."""
        b = self.b
        zero, one = b.splat(0.0, self.kind, shape), b.splat(1.0, self.kind, shape)
        return b.select(b.cmp("oeq", sums, zero), zero, b.divf(one, sums))

    def rows(self, row: SSAValue, count: int, size: SSAValue, low: SSAValue, high: SSAValue, tops: SSAValue | None) -> None:
        """Turn the scores of `count` queries from `row` on into weights, over the keys from `low` to `high` of the chunk.
        `tops`: the largest of each lane, where `tiled`.
        """
        b = self.b
        if tops is None:
            b.loop(0, count, 1, lambda i: self._single(i, row, size, low, high))
            return
        shifts, shape = self.shifts, (count,)
        assert shifts is not None
        b.bind(ROW, row)
        top, old = self._top(b.reduce("maxnumf", tops, "columns"), shape)
        shift = self._shift(top, shape)
        b.store(shift, shifts, 0)
        group = min(count, GROUP)

        def weigh(i: SSAValue) -> None:
            of_group = b.load(shifts, i, (group,))
            tile = (group, self.lanes)
            weight = self._weigh(b.mul(i, self.stride), b.broadcast(of_group, tile, "column"), tile, low, high)
            b.store(b.reduce("add", weight, "columns"), self.factors, i)

        b.loop(0, count, group, weigh)
        self._finish(b.load(self.factors, 0, shape), old, shift, 0, shape)

    def _single(self, i: SSAValue, row: SSAValue, size: SSAValue, low: SSAValue, high: SSAValue) -> None:
        """One query with keys or look-ups of its own: final scores and their maximum, then weights."""
        b = self.b
        b.bind(ROW, b.add(row, i))
        base = b.mul(i, self.stride)
        shape = (2 * self.lanes,)
        first, end = self.limits(size) if self.bounded else (low, high)

        def raise_top(top: SSAValue, partial: bool) -> Sequence[SSAValue]:
            panel = b.index(b.env[PANEL])
            place = b.add(base, panel)
            until = b.sub(end, panel) if partial else None
            scores = self.final(b.load(self.scores, place, shape), shape, panel, first, until)
            b.store(scores, self.scores, place)
            return [b.value(arith.MaximumfOp(top, scores, NO_NANS))]

        whole = low if self.bounded else b.whole(high, shape[-1])
        (tops,) = b.for_dim(PANEL, low, whole, shape[-1], lambda t: raise_top(t, False), [b.splat(-pymath.inf, self.kind, shape)])
        (tops,) = b.for_dim(PANEL, whole, high, shape[-1], lambda t: raise_top(t, True), [tops])
        top, old = self._top(b.reduce("maxnumf", tops), ())
        shift = self._shift(top, ())
        weight = b.reduce("add", self._weigh(base, b.broadcast(shift, shape), shape, low, high))
        self._finish(weight, old, shift, i, ())

    def _top(self, top: SSAValue, shape: tuple[int, ...]) -> tuple[SSAValue, SSAValue | None]:
        """The largest so far and the largest of the chunks before."""
        if self.running is None:
            return top, None
        b = self.b
        old = b.load(self.running[0], b.at(sym(ROW)), shape)
        top = b.value(arith.MaximumfOp(top, old, NO_NANS))
        b.store(top, self.running[0], b.at(sym(ROW)))
        return top, old

    def _shift(self, top: SSAValue, shape: tuple[int, ...]) -> SSAValue:
        """−top · log₂e. Without any key so far 0: 2^(−inf − 0) = 0, where −inf − −inf would be NaN."""
        b = self.b
        lowest, zero = b.splat(-pymath.inf, self.kind, shape), b.splat(0.0, self.kind, shape)
        safe = b.select(b.cmp("oeq", top, lowest), zero, top)
        return b.value(arith.NegfOp(b.mulf(safe, b.splat(LOG2_E, self.kind, shape))))

    def _weigh(self, base: SSAValue, shift: SSAValue, shape: tuple[int, ...], low: SSAValue, high: SSAValue) -> SSAValue:
        """Scores from `base` on become weights; returns their sums by lanes."""
        b = self.b
        stride = self.stride if len(shape) == 2 else None
        slope = b.splat(LOG2_E, self.kind, shape)

        def weigh(total: SSAValue) -> Sequence[SSAValue]:
            place = b.add(base, b.index(b.env[PANEL]))
            weights = b.value(math.Exp2Op(b.fma(b.load(self.scores, place, shape, stride=stride), slope, shift)))
            b.store(weights, self.scores, place, stride=stride)
            return [b.addf(total, weights)]

        return b.for_dim(PANEL, low, high, shape[-1], weigh, [b.splat(0.0, self.kind, shape)])[0]

    def _finish(self, weight: SSAValue, old: SSAValue | None, shift: SSAValue, place: Index, shape: tuple[int, ...]) -> None:
        """The factors of the rows from `weight`, the sums of this chunk's weights."""
        b = self.b
        if self.running is None or old is None:
            b.store(self.inverse(weight, shape), self.factors, place)
            return
        shrink = b.value(math.Exp2Op(b.fma(old, b.splat(LOG2_E, self.kind, shape), shift)))
        sums = b.load(self.running[1], b.at(sym(ROW)), shape)
        b.store(b.fma(sums, shrink, weight), self.running[1], b.at(sym(ROW)))
        b.store(shrink, self.factors, place)

    def final(
        self, scores: SSAValue, shape: tuple[int, ...], panel: SSAValue, first: SSAValue | None, count: SSAValue | None
    ) -> SSAValue:
        """Scores at the keys from `panel` of the chunk on through the score region; −inf after `count` keys, if it is given,
        and before `first`, where rows have bounds of their own.
        """
        b = self.b
        b.bind(self.key, b.add(panel, b.at(sym(CHUNK))))
        lanes = ((ROW, shape[0]), (self.key, shape[1])) if len(shape) == 2 else ((self.key, shape[0]),)
        site = Site(self.point, lanes, (None, count) if len(shape) == 2 else (count,))
        args = {self.block.args[0]: scores} | {arg: load(b, operand, site) for arg, operand in self.extras.items()}
        (value,) = self.region.run(args, site)
        if count is None:
            return value
        outside = b.splat(-pymath.inf, self.kind, shape)
        value = b.select(b.mask([*shape[:-1], count], shape), value, outside)
        if first is not None and self.bounded and self.bounds[0] != 0:
            value = b.select(b.mask([b.sub(first, panel)], shape), outside, value)
        return value

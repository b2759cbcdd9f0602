"""Softmax of a tile of attention scores in scratch: maxima, then weights 2^((score − top)·log₂e) and their sums.

Four queries at a time where they see the same keys: their chains of operations fill each other's latencies, and what the
score region computes from keys alone is computed once for all. Queries with bounds of their own, or regions that look up
values, go one by one.
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
from rlx_dialects.lir import AttentionOp, IndexOp, ReadOp, ScheduleAttr, YieldOp

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
        self.scale = float(form.scale.value.data)
        self.whole, self.extras = block_args(self.block.args[1:], b.extra)
        self.region = Region(b, self.block, self.whole)
        last = self.block.last_op
        # Scores without a region or bounds need no touch between the product and the exponential, but for the last keys.
        self.plain = isinstance(last, YieldOp) and last.values[0] is self.block.args[0] and not self.bounded and self.scale > 0
        self.lanes = b.target.vector_bits // 8 // byte_size(self.kind)
        self.tiled = self._is_tiled()
        self.factors = b.value(AllocaOp(ROWS, self.kind))

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

    def rows(self, row: SSAValue, count: int, size: SSAValue, low: SSAValue, high: SSAValue) -> None:
        """Turn the scores of `count` queries from `row` on into weights, over the keys from `low` to `high` of the chunk."""
        group = min(count, GROUP) if self.tiled else 1
        shape = (group, self.lanes) if self.tiled else (2 * self.lanes,)
        self.b.loop(0, count, group, lambda i: self._group(i, row, shape, size, low, high))

    # -- one group

    def _over_rows(self, values: SSAValue, shape: tuple[int, ...]) -> SSAValue:
        """A number per row in all columns."""
        return self.b.broadcast(values, shape, "column" if len(shape) == 2 else None)

    def _group(self, i: SSAValue, row: SSAValue, shape: tuple[int, ...], size: SSAValue, low: SSAValue, high: SSAValue) -> None:
        b = self.b
        b.bind(ROW, b.add(row, i))
        base = b.mul(i, self.stride)
        stride = self.stride if len(shape) == 2 else None
        numbers, over = shape[:-1], "columns" if len(shape) == 2 else None
        first, end = (low, high) if not self.bounded else self.limits(size)

        def place() -> SSAValue:
            return b.add(base, b.index(b.env[PANEL]))

        def raise_top(top: SSAValue, partial: bool) -> Sequence[SSAValue]:
            scores = b.load(self.scores, place(), shape, stride=stride)
            if not self.plain:
                scores = self._final(scores, shape, first, end, partial)
                b.store(scores, self.scores, place(), stride=stride)
            return [b.value(arith.MaximumfOp(top, scores, NO_NANS))]

        whole = high
        if not self.plain:
            whole = low if self.bounded else b.whole(high, shape[-1])
        (tops,) = b.for_dim(PANEL, low, whole, shape[-1], lambda t: raise_top(t, False), [b.splat(-pymath.inf, self.kind, shape)])
        if not self.plain:
            (tops,) = b.for_dim(PANEL, whole, high, shape[-1], lambda t: raise_top(t, True), [tops])
        top = b.reduce("maxnumf", tops, over)
        old: SSAValue | None = None
        if self.running is not None:
            old = b.load(self.running[0], b.at(sym(ROW)), numbers)
            top = b.value(arith.MaximumfOp(top, old, NO_NANS))
            b.store(top, self.running[0], b.at(sym(ROW)))
        factor = LOG2_E * (self.scale if self.plain else 1.0)
        slope = b.splat(factor, self.kind, numbers)
        # Without any key so far: 2^(−inf − 0) = 0, where −inf − −inf would be NaN.
        lowest = b.splat(-pymath.inf, self.kind, numbers)
        safe = b.select(b.cmp("oeq", top, lowest), b.splat(0.0, self.kind, numbers), top)
        shift = b.value(arith.NegfOp(b.mulf(safe, slope)))
        shifts, slopes = self._over_rows(shift, shape), b.splat(factor, self.kind, shape)

        def weigh(total: SSAValue) -> Sequence[SSAValue]:
            weights = b.value(math.Exp2Op(b.fma(b.load(self.scores, place(), shape, stride=stride), slopes, shifts)))
            b.store(weights, self.scores, place(), stride=stride)
            return [b.addf(total, weights)]

        (parts,) = b.for_dim(PANEL, low, high, shape[-1], weigh, [b.splat(0.0, self.kind, shape)])
        weight = b.reduce("add", parts, over)
        if self.running is None or old is None:
            b.store(self.inverse(weight, numbers), self.factors, i)
            return
        shrink = b.value(math.Exp2Op(b.fma(old, slope, shift)))
        sums = b.load(self.running[1], b.at(sym(ROW)), numbers)
        b.store(b.fma(sums, shrink, weight), self.running[1], b.at(sym(ROW)))
        b.store(shrink, self.factors, i)

    def _final(self, scores: SSAValue, shape: tuple[int, ...], first: SSAValue, end: SSAValue, partial: bool) -> SSAValue:
        """Scaled and through the score region; `partial` blocks are −inf outside [first, end)."""
        b = self.b
        panel = b.index(b.env[PANEL])
        b.bind(self.key, b.add(panel, b.at(sym(CHUNK))))
        count = b.sub(end, panel) if partial else None
        lanes = ((ROW, shape[0]), (self.key, shape[1])) if len(shape) == 2 else ((self.key, shape[0]),)
        site = Site(self.point, lanes, (None, count) if len(shape) == 2 else (count,))
        scaled = b.mulf(scores, b.splat(self.scale, self.kind, shape))
        args = {self.block.args[0]: scaled} | {arg: load(b, operand, site) for arg, operand in self.extras.items()}
        (value,) = self.region.run(args, site)
        if count is None:
            return value
        outside = b.splat(-pymath.inf, self.kind, shape)
        value = b.select(b.mask([*shape[:-1], count], shape), value, outside)
        if self.bounded and self.bounds[0] != 0:
            value = b.select(b.mask([b.sub(first, panel)], shape), outside, value)
        return value

"""Scores of attention and their online softmax: what is done to one score, and how running maxima and sums go on.

Weights are `2^((score − top) · log₂e)`. Where no key was seen the top is −inf and 0 is subtracted: −inf − −inf is no number.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Mapping

from xdsl.dialects import arith, math
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, load
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.kernel.types import element_of, shape_of
from rlx_dialects.lir import AttentionOp

LOG2_E = pymath.log2(pymath.e)
_NO_NANS = arith.FastMathFlagsAttr([FastMathFlag.NO_NANS])


def higher(b: GpuKernelBuilder, x: SSAValue, y: SSAValue) -> SSAValue:
    """The higher of two tops. A score that is no number may be dropped here: its weight is none either."""
    return b.value(arith.MaximumfOp(x, y, _NO_NANS))


class Scores:
    """The score region of an attention, and the bounds of its keys. `point` gives iteration dims in other symbols."""

    def __init__(self, b: GpuKernelBuilder, form: AttentionOp, point: Mapping[str, DimExpr] | None = None):
        self.b = b
        self.block = form.body.block
        self.kind = self.block.args[0].type
        self.scale = float(form.scale.value.data)
        whole, self.extras = block_args(self.block.args[1:], b.extra)
        self.region = Region(b, self.block, whole)
        (key,) = form.group("reduce")
        self.key = key.symbol.data
        self.extent = key.dim
        self.bounds = tuple(bound.substitute(point or {}) for bound in key.range)

    def keys(self) -> tuple[SSAValue, SSAValue]:
        """The first key that the row here sees, and the one after the last."""
        b = self.b
        lower, upper = (b.facts.simplify(bound) for bound in self.bounds)
        start = b.at(lower) if b.facts.prove_le(0, lower) else b.maximum(b.at(lower), 0)
        end = b.at(upper) if b.facts.prove_le(upper, self.extent) else b.minimum(b.at(upper), b.at(self.extent))
        return start, end

    def final(self, raw: SSAValue, site: Site) -> SSAValue:
        """Dot products (scalar or of the site's shape) scaled and through the score region."""
        b = self.b
        scaled = raw if self.scale == 1.0 else b.mulf(raw, b.splat(self.scale, self.kind, shape_of(raw.type)))
        args = {self.block.args[0]: scaled} | {arg: load(b, operand, site) for arg, operand in self.extras.items()}
        return self.region.run(args, site)[0]

    @property
    def unbounded(self) -> bool:
        """Whether every row sees all keys."""
        return self.bounds[0] == const(0) and self.bounds[1] == self.extent


def safe_top(b: GpuKernelBuilder, top: SSAValue) -> SSAValue:
    """What is subtracted from scores: the top, 0 where there is none yet."""
    kind, shape = element_of(top.type), shape_of(top.type)
    lowest = b.splat(-pymath.inf, kind, shape)
    return b.select(b.cmp("oeq", top, lowest), b.splat(0.0, kind, shape), top)


def power(b: GpuKernelBuilder, score: SSAValue, top: SSAValue) -> SSAValue:
    """The weight of a score under a top that is a number."""
    slope = b.splat(LOG2_E, element_of(score.type), shape_of(score.type))
    return b.value(math.Exp2Op(b.mulf(b.subf(score, top), slope)))


def weigh(b: GpuKernelBuilder, top: SSAValue, score: SSAValue) -> tuple[SSAValue, SSAValue, SSAValue]:
    """(new top, the factor by which what came before shrinks, the weight of the score)."""
    new = higher(b, top, score)
    safe = safe_top(b, new)
    return new, power(b, top, safe), power(b, score, safe)


def inverse(b: GpuKernelBuilder, weights: SSAValue) -> SSAValue:
    """1 / sum of weights; 0 for a row without keys."""
    kind, shape = element_of(weights.type), shape_of(weights.type)
    none, one = b.splat(0.0, kind, shape), b.splat(1.0, kind, shape)
    return b.select(b.cmp("oeq", weights, none), none, b.divf(one, weights))

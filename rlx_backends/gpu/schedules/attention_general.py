"""`lir.attention` with one thread for each result: correct for every attention, but each computes its row's scores again."""

from __future__ import annotations

import math as pymath
from collections.abc import Sequence

from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.attention_softmax import Scores, inverse, weigh
from rlx_backends.gpu.schedules.contract_inner import converted
from rlx_backends.support.kernel_builder import total
from rlx_backends.support.sites import Site, load, store
from rlx_dialects.lir import AttentionOp

THREADS = 128


def lower(kernel: GpuKernelBuilder, form: AttentionOp) -> None:
    """Threads run along the values of a row."""
    b = kernel
    scores = Scores(b, form)
    query, key, value = b.ins
    kind, site = scores.kind, Site()
    points = [(it.symbol.data, it.dim) for group in ("parallel", "value") for it in form.group(group)]
    (dot,) = form.group("dot")
    count = total(extent for _, extent in points)
    b.launch([(b.grid_extent(count) + (THREADS - 1)) // THREADS], [THREADS])
    first = b.add(b.mul(b.block_at(), THREADS), b.thread())

    def product(acc: SSAValue) -> Sequence[SSAValue]:
        return [b.fma(converted(b, load(b, query, site), kind), converted(b, load(b, key, site), kind), acc)]

    def step(top: SSAValue, weights: SSAValue, acc: SSAValue) -> Sequence[SSAValue]:
        (raw,) = b.for_dim(dot.symbol.data, 0, b.at(dot.dim), 1, product, [b.constant(0.0, kind)])
        score = scores.final(raw, site)
        new, shrink, weight = weigh(b, top, score)
        acc = b.fma(weight, converted(b, load(b, value, site), kind), b.mulf(acc, shrink))
        return [new, b.fma(weights, shrink, weight), acc]

    def element() -> None:
        b.bind_point(points, first)
        start, end = scores.keys()
        init = [b.constant(-pymath.inf, kind), b.constant(0.0, kind), b.constant(0.0, kind)]
        _, weights, acc = b.for_dim(scores.key, start, end, 1, step, init)
        result = b.mulf(acc, inverse(b, weights))
        store(b, b.outs[0], converted(b, result, b.outs[0].kind.scalar_type), site)

    b.when(b.test("slt", first, b.at(count)), element)

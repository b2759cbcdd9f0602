"""Schedule of `lir.attention`: `blocked`.

A task is a run of queries of one head. The keys of the head are transposed into per-thread scratch, a chunk of up to 512 at a
time; scores of a tile of queries go to scratch that stays in the first-level cache, are turned into weights row by row, and
weight the values straight from where they lie. With one chunk the result is divided by the sum of the weights as it is
stored; with several, running maxima, sums and results are kept in scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, i64

from rlx_backends.base import Pack, Scratch
from rlx_backends.cpu.schedules import attention_blocks
from rlx_backends.cpu.schedules.attention_softmax import ROWS, score_stride
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.spaces import int_param
from rlx_dialects.dims import DimExpr, ceildiv, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import AttentionOp, FormOp, ScheduleAttr

MAX_CHUNK = 512
"""Keys whose scores fit the first-level cache for eight queries (16 KB)."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """One schedule; `chunk` keys at a time, `width` columns of a tile, `chunks` 1 where all keys are one chunk."""
    assert isinstance(form, AttentionOp)
    kind = form.body.block.args[0].type
    width = 2 * target.vector_bits // 8 // byte_size(kind)
    keys = form.group("reduce")[0].dim
    high = facts.bounds(keys)[1]
    chunk = MAX_CHUNK if high is None else min(MAX_CHUNK, -(-max(high, 1) // width) * width)
    several = high is None or high > chunk
    params = {"width": width, "chunk": chunk, "several": int(several)}
    return [ScheduleAttr.get("blocked", {name: IntegerAttr(value, i64) for name, value in params.items()})]


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """Transposed keys, scores of a tile; with several chunks also results, maxima and sums of all queries."""
    assert isinstance(form, AttentionOp)
    kind = form.body.block.args[0].type
    chunk = int_param(schedule, "chunk")
    square = attention_blocks.SQUARE
    depth: DimExpr = ceildiv(form.group("dot")[0].dim, square) * square
    needs = [Scratch(depth * chunk, kind), Scratch(const(ROWS * score_stride(chunk)), kind)]
    if int_param(schedule, "several"):
        queries = form.group("parallel")[-1].dim
        needs += [Scratch(queries * form.group("value")[0].dim, kind), Scratch(queries, kind), Scratch(queries, kind)]
    return needs


def partition(form: FormOp, schedule: ScheduleAttr, facts: Facts) -> tuple[str, ...]:
    """Unknown: the rectangle depends on the size of the team."""
    return ()


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Heads × runs of queries are shared by the team."""
    assert isinstance(form, AttentionOp)
    attention_blocks.lower(kernel, form, schedule)

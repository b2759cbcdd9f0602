"""Schedules of `lir.attention`: `blocked`, and `single` for one query over cached keys, where the heads that share keys are the
rows of a tile, and keys and values are asked for ahead of their use.

A task is a run of queries of one head. The keys of the head are transposed into per-thread scratch, a chunk of up to 512 at a
time; scores of a tile of queries go to scratch that stays in the first-level cache, are turned into weights row by row, and
weight the values straight from where they lie. With one chunk the result is divided by the sum of the weights as it is
stored; with several, running maxima, sums and results are kept in scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
from xdsl.ir import Attribute

from rlx_backends.base import Pack, Scratch
from rlx_backends.cpu.schedules import attention_blocks
from rlx_backends.cpu.schedules.attention_softmax import ROWS, score_stride
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.sharing import Split
from rlx_backends.support.spaces import int_param
from rlx_dialects.dims import DimExpr, ceildiv, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import AttentionOp, FormOp, ScheduleAttr
from rlx_dialects.rlx import ConstraintAttr

MAX_CHUNK = 512
"""Keys whose scores fit the first-level cache for eight queries (16 KB)."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """`chunk` keys at a time, `width` columns of a tile, `chunks` 1 where all keys are one chunk."""
    assert isinstance(form, AttentionOp)
    kind = form.body.block.args[0].type
    width = 2 * target.vector_bits // 8 // byte_size(kind)
    keys = form.group("reduce")[0].dim
    high = facts.bounds(keys)[1]
    chunk = MAX_CHUNK if high is None else min(MAX_CHUNK, -(-max(high, 1) // width) * width)
    several = high is None or high > chunk
    numbers = {"width": width, "chunk": chunk, "several": int(several)}
    params: dict[str, Attribute] = {name: IntegerAttr(value, i64) for name, value in numbers.items()}
    blocked = ScheduleAttr.get("blocked", params)
    queries = form.group("parallel")[-1].dim
    low, high = facts.bounds(queries)
    if queries == keys or (low is not None and low > 1):
        return [blocked]
    shared = shared_heads(form, facts)
    if shared is not None:
        params = {**params, "head": StringAttr(shared[0]), "group": IntegerAttr(shared[1], i64)}
    if low == high:
        return [ScheduleAttr.get("single", params)]
    return [ScheduleAttr.get("single", params, ConstraintAttr.get(queries, "==", const(1))), blocked]


def shared_heads(form: AttentionOp, facts: Facts) -> tuple[str, int] | None:
    """(head dim, heads of a group) if keys and values are read by groups of heads."""
    accesses = form.in_accesses[1:]
    for it in form.group("parallel")[:-1]:
        head = it.symbol.data
        found = {group for access in accesses for expr in access.exprs for group in _divisors(expr, head)}
        for group in found:
            inner, outer = "head.inner", "head.outer"
            known = facts.with_iteration({outer: it.dim // group, inner: group})
            place = {head: sym(outer) * group + sym(inner)}
            exprs = [known.simplify(expr.substitute(place)) for access in accesses for expr in access.exprs]
            if facts.divisor(it.dim) % group == 0 and not any(inner in expr.symbols for expr in exprs):
                return head, group
    return None


def _divisors(expr: DimExpr, name: str) -> set[int]:
    """Constants that `expr` divides the symbol `name` by."""
    return {
        atom[2].value
        for monomial, _ in expr.terms
        for atom in monomial
        if atom[0] == "floordiv" and atom[1] == sym(name) and atom[2].is_const
    }


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
        queries = attention_blocks.rows_of(form, schedule).count
        needs += [Scratch(queries * form.group("value")[0].dim, kind), Scratch(queries, kind), Scratch(queries, kind)]
    return needs


def split(form: FormOp, schedule: ScheduleAttr, facts: Facts) -> Split | None:
    """The heads of all batches, which a team whose size divides their number shares whole."""
    assert isinstance(form, AttentionOp)
    return tuple(name for name, _ in attention_blocks.rows_of(form, schedule).outer if name in form.extents), 1


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Heads × runs of queries are shared by the team."""
    assert isinstance(form, AttentionOp)
    attention_blocks.lower(kernel, form, schedule)

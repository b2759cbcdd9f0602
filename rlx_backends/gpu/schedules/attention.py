"""Schedules of `lir.attention` on GPUs.

* `blocked`: a block of threads has some queries of one head; keys and values pass by in shared memory.
* `split`: a block for each query, its keys split over the threads; for few queries.
* `general`: correct for every attention: one thread for each result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.ir import Attribute

from rlx_backends.base import Pack, Scratch
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder, runtime_symbols
from rlx_backends.gpu.schedules import attention_blocked, attention_general, attention_split
from rlx_backends.support.kernel_builder import total
from rlx_dialects.dims import const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import AttentionOp, FormOp, ScheduleAttr
from rlx_dialects.rlx import ConstraintAttr

FEW_QUERIES = 4


def _numbers(kind: str, numbers: Mapping[str, int], condition: ConstraintAttr | None = None) -> ScheduleAttr:
    params: dict[str, Attribute] = {name: IntegerAttr(number, i64) for name, number in numbers.items()}
    return ScheduleAttr.get(kind, params, condition)


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """`split` for few queries, `blocked` for more, with fewer queries of a block where there are not many in all."""
    assert isinstance(form, AttentionOp)
    queries, keys = form.group("parallel")[-1].dim, form.group("reduce")[0].dim
    runtime = runtime_symbols(form)
    low, high = facts.bounds(queries)
    found: list[ScheduleAttr] = []
    split = attention_split.groups_of(form, target.facts, facts)
    if split is not None and high is not None and high <= FEW_QUERIES:
        return [_numbers("split", split)]
    conditional = not queries.symbols & runtime
    if split is not None and conditional and (low or 0) <= FEW_QUERIES and queries != keys:
        found.append(_numbers("split", split, ConstraintAttr.get(queries, "<=", const(FEW_QUERIES))))
    tiles = attention_blocked.tiles_of(form, target.facts, facts)
    if not tiles:
        return [*found, ScheduleAttr.get("general")]
    large, small = _blocked(tiles[0]), _blocked(tiles[-1])
    rows = total(it.dim for it in form.group("parallel"))
    enough = tiles[0].queries * target.facts.multiprocessors
    least, most = facts.bounds(rows)
    if (most is not None and most <= enough) or small == large:
        return [*found, _numbers("blocked", small)]
    if (least or 0) > enough or rows.symbols & runtime:
        return [*found, _numbers("blocked", large)]
    condition = ConstraintAttr.get(rows, "<=", const(enough))
    return [*found, _numbers("blocked", small, condition), _numbers("blocked", large)]


def _blocked(tile: attention_blocked.Tile) -> dict[str, int]:
    return {"rows": tile.rows, "depth": tile.depth, "values": tile.values}


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """None."""
    return ()


def lower(kernel: GpuKernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Write the kernel for the schedule's kind."""
    assert isinstance(form, AttentionOp)
    if schedule.kind.data == "blocked":
        attention_blocked.lower(kernel, form, schedule)
    elif schedule.kind.data == "split":
        attention_split.lower(kernel, form, schedule)
    else:
        attention_general.lower(kernel, form)

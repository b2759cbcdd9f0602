"""Schedules of `lir.contract`.

* `packed`: register tiles of MR rows × NR columns; weights lie as `[N/NR][K][NR]`. Panels are the outer loop, so each weight
  comes from memory once; every row tile asks for its share of the next panel. Any K and N: the packed layout pads N.
* `skinny`: the same layout for at most four rows: the weights stream by.
* `plain`: the same tiles where no operand is a weight.
* `general`: correct for every contract: points in turn, vectors along the last reduce dim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.ir import Operation

from rlx_backends.base import Pack, Scratch
from rlx_backends.cpu.schedules import contract_general, contract_tile
from rlx_backends.cpu.schedules.contract_plan import (
    SKINNY_ROWS,
    ContractPlan,
    block_rows,
    decode,
    element_bytes,
    encode,
    extent_of,
    ints_of,
    packable,
    padded_depth,
    plan_of,
    reduce_names,
    tile_of,
)
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.sharing import Split
from rlx_backends.support.spaces import Space, int_param
from rlx_dialects.dims import DimExpr, ceildiv, const, floordiv, mod, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import BufferType, ContractOp, FormOp, LayoutAttr, PackedOp, ParamOp, ProgramOp, ScheduleAttr
from rlx_dialects.rlx import ConstraintAttr

TILED = ("packed", "skinny", "plain")
HOT, STREAMED = 2, 0
"""Prefetch locality of weights that stay in the last-level cache, and of those that do not."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """`packed` (with `skinny` for few rows) where a factor is a weight, else `plain`; `general` where no tile fits."""
    assert isinstance(form, ContractOp)
    plan = plan_of(form, facts)
    if plan is None:
        return [ScheduleAttr.get("general")]
    tile = tile_of(form, plan, target, facts)
    params = {**encode(plan, tile), "block": IntegerAttr(block_rows(form, plan, tile, target, facts), i64)}
    weights = [i for f in plan.factors if f.along_columns for i in f.operands if packable(form, i, plan.columns)]
    if not weights:
        return [ScheduleAttr.get("plain", params)]
    locality = HOT if _weight_bytes(form) <= target.l3_bytes else STREAMED
    rows = extent_of(form, plan.rows)
    size = Space(form, facts).size(rows)
    # One line of the next panel for each K_UNROLL steps covers it in eight row tiles; fewer tiles take more.
    lines = max(1, min(4, -(-8 * tile[0] * 2 // max(size, 1))))
    params |= {"prefetch": IntegerAttr(locality, i64), "lines": IntegerAttr(lines, i64)}
    packed = ScheduleAttr.get("packed", params)
    if plan.batch:
        return [packed]
    low, high = facts.bounds(rows)
    few = {**params, "tile": encode(plan, (SKINNY_ROWS, tile[1]))["tile"]}
    if high is not None and high <= SKINNY_ROWS:
        return [ScheduleAttr.get("skinny", few)]
    if low is not None and low <= SKINNY_ROWS:
        return [ScheduleAttr.get("skinny", few, ConstraintAttr.get(rows, "<=", const(SKINNY_ROWS))), packed]
    return [packed]


def _weight_bytes(form: FormOp) -> int:
    """Bytes of all weights of the program, as far as they are known."""
    program: Operation | None = form
    while program is not None and not isinstance(program, ProgramOp):
        program = program.parent_op()
    total = 0
    for op in program.block.ops if isinstance(program, ProgramOp) else ():
        kind = op.results[0].type if isinstance(op, ParamOp | PackedOp) else None
        if isinstance(kind, BufferType) and kind.size_bytes.is_const:
            total += kind.size_bytes.value
    return total


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """Weights along the columns as `[N/NR][K][NR]`."""
    if schedule.kind.data not in ("packed", "skinny"):
        return ()
    assert isinstance(form, ContractOp)
    plan = decode(form, schedule, facts)
    width = ints_of(schedule.params.data["tile"])[1]
    wanted: dict[int, Pack] = {}
    for factor in plan.factors:
        for number in factor.operands if factor.along_columns else ():
            if packable(form, number, plan.columns):
                wanted[number] = _pack(form, number, plan, width)
    return list(wanted.values())


def _pack(form: ContractOp, number: int, plan: ContractPlan, width: int) -> Pack:
    names = [*reduce_names(form), *plan.columns]
    dims = [form.extents[name] for name in names]
    axes = [f"a{position}" for position in range(len(names))]
    depth_axes, column_axes = axes[: -len(plan.columns)], axes[-len(plan.columns) :]

    def linear(chosen: Sequence[str]) -> DimExpr:
        place = const(0)
        for axis in chosen:
            place = place * dims[axes.index(axis)] + sym(axis)
        return place

    depth, columns = extent_of(form, reduce_names(form)), extent_of(form, plan.columns)
    column = linear(column_axes)
    layout = LayoutAttr.get(
        axes, [floordiv(column, width), linear(depth_axes), mod(column, width)], [ceildiv(columns, width), depth, const(width)]
    )
    return Pack(number, tuple(dims), tuple(sym(name) for name in names), layout)


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """For each factor that is not read where it lies: a block of rows, or a panel."""
    if schedule.kind.data not in TILED:
        return ()
    assert isinstance(form, ContractOp)
    plan = decode(form, schedule, facts)
    width = ints_of(schedule.params.data["tile"])[1]
    depth = extent_of(form, reduce_names(form))
    stride = padded_depth(depth, element_bytes(plan))
    block = int_param(schedule, "block", 0)
    needs = [Scratch(stride * block, f.value.type) for f in plan.copied_rows]
    return [*needs, *(Scratch(depth * width, f.value.type) for f in plan.panels)]


def split(form: FormOp, schedule: ScheduleAttr, facts: Facts) -> Split | None:
    """The rows of tiles: a team whose size divides their number shares nothing else."""
    if schedule.kind.data not in ("packed", "plain"):
        return None
    assert isinstance(form, ContractOp)
    plan = decode(form, schedule, facts)
    return None if plan.batch else (plan.rows, ints_of(schedule.params.data["tile"])[0])


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Write the kernel for the schedule's kind."""
    assert isinstance(form, ContractOp)
    if schedule.kind.data in TILED:
        contract_tile.lower(kernel, form, schedule)
    else:
        contract_general.lower(kernel, form)

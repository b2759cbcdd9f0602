"""Schedules of `lir.contract` on GPUs.

* `tiled`: a block of threads computes a tile of rows × columns from slices of the depth in shared memory. Any index maps,
  guarded or divided ones too, prologues, several accumulators, symbolic extents.
* `matrix`: the same with matrix instructions, for operands of 16 bits.
* `rows`: at most eight rows: the other factor streams by once.
* `general`: correct for every contract: one thread for each result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, StringAttr, i64
from xdsl.ir import Attribute

from rlx_backends.base import Pack, Scratch
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder, runtime_symbols
from rlx_backends.gpu.schedules import contract_general, contract_matrix, contract_rows, contract_tiled
from rlx_backends.gpu.schedules.contract_plan import ContractPlan, plan_of, reading_of
from rlx_backends.gpu.schedules.staging import stride_of
from rlx_backends.support.spaces import Space, rows_of
from rlx_dialects.dims import const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.gpu import GpuFacts
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import BufferType, ContractOp, FormOp, ScheduleAttr
from rlx_dialects.rlx import ConstraintAttr

TILES = (
    (128, 128, 8, 8, 8),
    (128, 64, 8, 8, 4),
    (64, 64, 16, 4, 4),
    (64, 32, 16, 4, 4),
    (32, 32, 16, 4, 4),
)
"""Rows, columns and depth of a tile, rows and columns of a thread; largest first."""
REGISTERS = 64
"""32-bit registers that the sums of a thread may take."""
FEW_ROWS = (1, 8)
"""Rows that stay in registers."""
MAX_ROWS = 16
"""Rows that stay in registers where their number is known."""
SEGMENTS = (128, 64, 32)
"""Bytes of a row of columns that neighbouring threads read: fewer where that would leave multiprocessors without work."""
IN_FLIGHT = 448
"""Threads that a multiprocessor needs for its share of the bandwidth."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """`rows` for few rows, `tiled` for more: a smaller tile where the larger one leaves multiprocessors without work."""
    assert isinstance(form, ContractOp)
    plan = plan_of(form, facts)
    if plan is None:
        return [ScheduleAttr.get("general")]
    rows = plan.rows.extent
    low, high = facts.bounds(rows)
    conditional = not rows.symbols & runtime_symbols(form)
    found: list[ScheduleAttr] = []
    if high is not None and low == high <= MAX_ROWS:
        return [_rows(form, plan, max(1, high), target.facts, facts)]
    for count in FEW_ROWS:
        if high is not None and high <= count:
            return [*found, _rows(form, plan, count, target.facts, facts)]
        if conditional and (low or 0) <= count and plan.columns.dims:
            found.append(_rows(form, plan, count, target.facts, facts, ConstraintAttr.get(rows, "<=", const(count))))
    matrix = contract_matrix.choose(form, plan, target.facts, facts, conditional)
    return [*found, *(matrix or _tiles(form, plan, target.facts, facts, conditional))]


def _rows(
    form: ContractOp, plan: ContractPlan, rows: int, gpu: GpuFacts, facts: Facts, condition: ConstraintAttr | None = None
) -> ScheduleAttr:
    """The column factor is read as it lies; fewer columns for a block where there would be too few blocks."""
    space = Space(form, facts)
    readings = [reading_of(form, plan, right, facts, gpu.vector_bytes) for _, right in plan.pairs]
    along = readings[0].along if plan.columns.dims else "depth"
    lanes = min((r.lanes for r in readings if r.along == along), default=1)
    words = len(plan.pairs) * max(1, plan.element_bytes // 4)
    while lanes > 1 and rows * lanes * words > REGISTERS:
        lanes //= 2
    threads, span = contract_rows.THREADS, gpu.subgroup
    columns, batch = space.size(plan.columns.extent), max(1, space.size(rows_of(plan.batch)))

    def blocks() -> int:
        width = threads // span if along == "depth" else span * lanes
        return -(-columns // width) * batch

    if along == "depth":
        while span < threads and (threads // span > columns or blocks() < gpu.multiprocessors):
            span *= 2
    else:
        operands = {number for _, right in plan.pairs for number in right.operands}
        bytes_each = lanes * min((byte_size(_element(form, number)) for number in operands), default=4)
        for number, segment in enumerate(SEGMENTS):
            span = max(1, min(span, segment // bytes_each))
            if blocks() << number >= gpu.multiprocessors:
                break
        # Larger blocks where there are too few, as far as registers and depth go.
        most = gpu.max_threads if rows * lanes * words <= 16 else threads
        depth = space.size(plan.depth.extent)
        while (
            threads * 2 <= most
            and blocks() * threads < IN_FLIGHT * gpu.multiprocessors
            and threads * 2 // span * contract_rows.GROUP <= depth
        ):
            threads *= 2
    numbers = {"rows": rows, "lanes": lanes, "span": span, "threads": threads}
    params: dict[str, Attribute] = {name: IntegerAttr(number, i64) for name, number in numbers.items()}
    return ScheduleAttr.get("rows", {**params, "along": StringAttr(along)}, condition)


def _element(form: ContractOp, number: int) -> Attribute:
    kind = form.ins[number].type
    assert isinstance(kind, BufferType)
    return kind.scalar_type


def _tiles(form: ContractOp, plan: ContractPlan, gpu: GpuFacts, facts: Facts, conditional: bool) -> list[ScheduleAttr]:
    """At most two tiles: the largest that fits, and a smaller one for rows that do not fill the device with it."""
    space = Space(form, facts)
    rows, columns = plan.rows.extent, plan.columns.extent
    batch = max(1, space.size(rows_of(plan.batch)))
    words = len(plan.pairs) * max(1, plan.element_bytes // 4)
    sides = [f.along_columns for f in plan.factors]

    def fits(tile: tuple[int, ...]) -> bool:
        shared = sum(2 * tile[2] * stride_of(tile[side]) * plan.element_bytes for side in sides)
        return tile[3] * tile[4] * words <= REGISTERS and shared <= gpu.shared_default

    def needed(tile: tuple[int, ...], position: int, extent: Any) -> bool:
        high = facts.bounds(extent)[1]
        return high is None or position == len(TILES) - 1 or tile[position] // 2 < max(high, 1)

    allowed = [t for t in TILES if fits(t)] or [TILES[-1]]
    allowed = [t for t in allowed if needed(t, 0, rows) and needed(t, 1, columns)] or [TILES[-1]]
    low, high = facts.bounds(rows)

    def limit(tile: tuple[int, ...]) -> int:
        """Rows up to which blocks of a tile do not reach every multiprocessor."""
        wide = -(-space.size(columns) // tile[1]) * batch
        return tile[0] * (-(-gpu.multiprocessors // wide) - 1)

    large, small = allowed[0], next((t for t in allowed if t[0] * t[1] <= 64 * 64), allowed[-1])
    if small == large or (low or 0) > limit(large):
        return [_tile(large)]
    if high is not None and high <= limit(large):
        return [_tile(small)]
    if not conditional:
        return [_tile(large)]
    return [_tile(small, ConstraintAttr.get(rows, "<=", const(limit(large)))), _tile(large)]


def _tile(tile: tuple[int, ...], condition: ConstraintAttr | None = None) -> ScheduleAttr:
    lists = {"tile": tile[:3], "thread": tile[3:]}
    params: dict[str, Attribute] = {name: DenseArrayBase.from_list(i64, list(sizes)) for name, sizes in lists.items()}
    return ScheduleAttr.get("tiled", params, condition)


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: operands are read where they lie."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """None."""
    return ()


def lower(kernel: GpuKernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Write the kernel for the schedule's kind."""
    assert isinstance(form, ContractOp)
    if schedule.kind.data == "matrix":
        contract_matrix.lower(kernel, form, schedule)
    elif schedule.kind.data == "tiled":
        contract_tiled.lower(kernel, form, schedule)
    elif schedule.kind.data == "rows":
        contract_rows.lower(kernel, form, schedule)
    else:
        contract_general.lower(kernel, form)

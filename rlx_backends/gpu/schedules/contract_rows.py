"""`lir.contract` of few rows: the column factor, usually weights, streams by once, in vectors; every row stays in registers.

Along the depth, `span` threads (whole subgroups) share a column and combine by reductions of subgroups; along the columns,
`span` threads lie next to each other, and the threads of a block share the depth. What the subgroups of a block have is
summed in shared memory, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.contract_epilogue import Epilogue
from rlx_backends.gpu.schedules.contract_inner import accumulator_kind, multiply, zero
from rlx_backends.gpu.schedules.contract_plan import ContractPlan, Factor, batch_point, plan_of
from rlx_backends.support.kernel_builder import total
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, full, load
from rlx_backends.support.spaces import int_param, text_param
from rlx_dialects.dims import DimExpr, ceildiv, floordiv, sym
from rlx_dialects.kernel.types import is_float
from rlx_dialects.kernel.vector import ExtractOp
from rlx_dialects.lir import ContractOp, ScheduleAttr

THREADS = 256
UNROLL = 4
"""Vectors of weights that a thread has on their way."""
ROW_TILE, COLUMN_TILE, COLUMN, DEPTH, LANE = "tile.row", "tile.column", "row.column", "row.depth", "row.lane"


def lower(kernel: GpuKernelBuilder, form: ContractOp, schedule: ScheduleAttr) -> None:
    """Write the kernel: `rows` in registers, `along` the depth or the columns ("side"), `lanes` of a vector, `span` threads."""
    plan = plan_of(form, kernel.facts)
    assert plan is not None, "choose gives rows to what has a plan"
    _Rows(kernel, form, schedule, plan).write()


class _Rows:
    def __init__(self, b: GpuKernelBuilder, form: ContractOp, schedule: ScheduleAttr, plan: ContractPlan):
        self.b, self.form, self.plan = b, form, plan
        self.rows, self.lanes, self.span = (int_param(schedule, name) for name in ("rows", "lanes", "span"))
        self.deep = text_param(schedule, "along") == "depth"
        self.parts = self.span if self.deep else THREADS // self.span
        """Threads that share the depth of one column."""
        self.width = THREADS // self.span if self.deep else self.span * self.lanes
        """Columns of a block."""
        self.sums_of = THREADS // b.gpu.subgroup // (self.width if self.deep else 1)
        """Sums of one column that meet in shared memory."""
        self.kinds = [accumulator_kind(left.value.type) for left, _ in plan.pairs]
        self.batch, self.point = batch_point(b, plan)
        columns, depth = plan.columns.extent, plan.depth.extent
        self.row_tiles, self.column_tiles = ceildiv(plan.rows.extent, self.rows), ceildiv(columns, self.width)
        self.units = floordiv(depth, self.lanes) if self.deep else depth
        self.column_units = columns if self.deep else floordiv(columns, self.lanes)
        row_names = {f"row.{r}": plan.rows.extent for r in range(self.rows)}
        b.declare({ROW_TILE: self.row_tiles, COLUMN_TILE: self.column_tiles, COLUMN: self.column_units, DEPTH: self.units,
                   LANE: self.lanes, **row_names})  # fmt: skip
        b.bind(LANE, 0)
        self.epilogue = Epilogue(b, form, plan, self.point, 1)
        whole, self.elements = block_args(form.body.block.args, b.ins)
        self.region = Region(b, form.body.block, whole)
        partial = self.sums_of * self.rows * self.width
        self.memory = [b.shared(partial, kind) for kind in self.kinds]

    def write(self) -> None:
        b = self.b
        tiles = [*self.batch, (ROW_TILE, self.row_tiles), (COLUMN_TILE, self.column_tiles)]
        count = total(extent for _, extent in tiles)
        grid = b.grid_extent(count)
        b.launch([grid], [THREADS])

        def block() -> None:
            b.bind_point(tiles, b.block_at())
            self._block()

        if grid == count:
            block()
        else:
            b.when(b.test("slt", b.block_at(), b.at(count)), block)

    def _block(self) -> None:
        b = self.b
        thread = {"t": b.thread()}
        by_span, in_span = b.apply(sym("t") // self.span, thread), b.apply(sym("t") % self.span, thread)
        place, part = (by_span, in_span) if self.deep else (in_span, by_span)
        column = b.add(b.mul(b.at(sym(COLUMN_TILE)), self.width // (1 if self.deep else self.lanes)), place)
        b.bind(COLUMN, b.minimum(column, b.at(self.column_units - 1)))
        first = b.mul(b.at(sym(ROW_TILE)), self.rows)
        for r in range(self.rows):
            b.bind(f"row.{r}", b.minimum(b.add(first, r), b.at(self.plan.rows.extent - 1)))
        sums = self._sums(part)
        if self.deep:
            self._share_deep(sums, place, part)
        else:
            self._share_wide(sums, place)
        b.barrier()
        self._finish(first)

    # -- sums

    def _sums(self, part: SSAValue) -> Sequence[SSAValue]:
        """This thread's sums: for each accumulator and row a vector."""
        b, parts = self.b, self.parts
        shape = (self.lanes,) if self.lanes > 1 else ()
        start = [zero(b, pair[0].value.type, shape) for pair in self.plan.pairs for _ in range(self.rows)]
        count = b.apply(ceildiv(sym("n") - sym("p"), parts), {"n": b.at(self.units), "p": part})
        unrolled = b.whole(b.maximum(count, 0), UNROLL)

        def step(unroll: int) -> Callable[..., Sequence[SSAValue]]:
            def body(i: SSAValue, *sums: SSAValue) -> Sequence[SSAValue]:
                for u in range(unroll):
                    b.bind(DEPTH, b.add(part, b.mul(b.add(i, u), parts)))
                    sums = tuple(self._step(sums))
                return sums

            return body

        sums = b.loop(0, unrolled, UNROLL, step(UNROLL), start)
        return b.loop(unrolled, count, 1, step(1), sums)

    def _step(self, sums: Sequence[SSAValue]) -> list[SSAValue]:
        b = self.b
        values: dict[tuple[Factor, int], SSAValue] = {}
        for factor in self.plan.factors:
            for r in range(1 if factor.along_columns else self.rows):
                values[factor, r] = self._value(factor, r)
        now: list[SSAValue] = []
        for number, (left, right) in enumerate(self.plan.pairs):
            now += [
                multiply(b, values[left, r], values[right, 0], sums[number * self.rows + r]) for r in range(self.rows)
            ]  # fmt: skip
        return now

    def _value(self, factor: Factor, row: int) -> SSAValue:
        b, plan = self.b, self.plan
        vector = sym(LANE) if self.lanes > 1 else DimExpr(())
        depth = sym(DEPTH) * self.lanes + vector if self.deep else sym(DEPTH)
        side = sym(f"row.{row}")
        if factor.along_columns:
            side = sym(COLUMN) if self.deep else sym(COLUMN) * self.lanes + vector
        point = {**self.point, **plan.side(factor).point(side), **plan.depth.point(depth)}
        site = Site(point, ((LANE, self.lanes),), (None,)) if self.lanes > 1 else Site(point)
        args = {arg: load(b, operand, site) for arg, operand in self.elements.items() if operand.number in factor.operands}
        return full(b, self.region.run(args, site, wanted=[factor.value])[0], site)

    # -- what the threads of a block have in common

    def _share_deep(self, sums: Sequence[SSAValue], column: SSAValue, part: SSAValue) -> None:
        """Sums over subgroups: one number for each row."""
        b = self.b
        totals = [b.subgroup_reduce("add", b.reduce("add", value) if self.lanes > 1 else value) for value in sums]
        number = b.apply(sym("p") // b.gpu.subgroup, {"p": part})

        def put() -> None:
            for i, value in enumerate(totals):
                accumulator, row = divmod(i, self.rows)
                place = b.add(b.mul(b.add(b.mul(number, self.rows), row), self.width), column)
                b.store(value, self.memory[accumulator], place)

        b.when(b.test("eq", b.lane(), 0), put)

    def _share_wide(self, sums: Sequence[SSAValue], place: SSAValue) -> None:
        """Sums over the threads of a subgroup that have the same columns."""
        b = self.b
        lanes = [[value] if self.lanes == 1 else [b.value(ExtractOp(value, i)) for i in range(self.lanes)] for value in sums]
        distance = self.span
        while distance < b.gpu.subgroup:
            lanes = [[self._add(value, b.shuffle("xor", value, distance)) for value in vector] for vector in lanes]
            distance *= 2

        def put() -> None:
            for i, vector in enumerate(lanes):
                accumulator, row = divmod(i, self.rows)
                start = b.mul(b.add(b.mul(b.subgroup(), self.rows), row), self.width)
                start = b.add(start, b.mul(place, self.lanes))
                for lane, value in enumerate(vector):
                    b.store(value, self.memory[accumulator], b.add(start, lane))

        b.when(b.test("slt", b.lane(), self.span), put)

    def _add(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self.b.addf(x, y) if is_float(x.type) else self.b.add(x, y)

    def _finish(self, first: SSAValue) -> None:
        """One result after another for each thread."""
        b, count = self.b, self.rows * self.width

        def result(item: SSAValue) -> None:
            row, column = b.apply(sym("i") // self.width, {"i": item}), b.apply(sym("i") % self.width, {"i": item})

            def add(number: SSAValue, *sums: SSAValue) -> Sequence[SSAValue]:
                place = b.add(b.mul(number, count), item)
                return [self._add(value, b.load(p, place)) for value, p in zip(sums, self.memory, strict=True)]

            first_sums = [b.load(pointer, item) for pointer in self.memory]
            sums = b.loop(1, self.sums_of, 1, add, first_sums)
            at = b.add(b.mul(b.at(sym(COLUMN_TILE)), self.width), column)
            self.epilogue.row(b.add(first, row), [(at, sums)])

        b.loop(b.thread(), count, THREADS, result)

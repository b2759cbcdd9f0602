"""`lir.contract` of few rows: the column factor, usually weights, streams by once, in vectors; every row stays in registers.

Along the depth, `span` threads (whole subgroups) share a column and combine by reductions of subgroups; along the columns,
`span` threads lie next to each other, and the threads of a block share the depth: each takes several neighbouring depths at
a time, so that it reads the rows in vectors and has as many vectors of the columns on their way. What the subgroups of a
block have is summed in shared memory, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.contract_epilogue import Epilogue
from rlx_backends.gpu.schedules.contract_inner import accumulator_kind, converted, multiply, zero
from rlx_backends.gpu.schedules.contract_plan import ContractPlan, Factor, batch_point, plan_of
from rlx_backends.support.kernel_builder import total
from rlx_backends.support.regions import Region, block_args, needed_ops
from rlx_backends.support.sites import Site, full, load
from rlx_backends.support.spaces import int_param, text_param
from rlx_dialects.dims import DimExpr, ceildiv, const, floordiv, mod, sym
from rlx_dialects.kernel.types import is_float
from rlx_dialects.kernel.vector import ExtractOp
from rlx_dialects.lir import ContractOp, ReadOp, ScheduleAttr

THREADS = 256
"""Threads of a block where the schedule does not say."""
UNROLL = 4
"""Vectors along the depth that a thread has on their way."""
GROUP = 8
"""Neighbouring depths of a thread whose vectors lie along the columns, all on their way at once."""
ROW_TILE, COLUMN_TILE, COLUMN, DEPTH, LANE = "tile.row", "tile.column", "row.column", "row.depth", "row.lane"
DEPTHS, STEP = "row.depths", "row.step"


def lower(kernel: GpuKernelBuilder, form: ContractOp, schedule: ScheduleAttr) -> None:
    """Write the kernel: `rows` in registers, `along` the depth or the columns ("side"), `lanes` of a vector, `span` threads.

    Of the block's `threads`, that many are neighbours.
    """
    plan = plan_of(form, kernel.facts)
    assert plan is not None, "choose gives rows to what has a plan"
    _Rows(kernel, form, schedule, plan).write()


class _Rows:
    def __init__(self, b: GpuKernelBuilder, form: ContractOp, schedule: ScheduleAttr, plan: ContractPlan):
        self.b, self.form, self.plan = b, form, plan
        self.rows, self.lanes, self.span = (int_param(schedule, name) for name in ("rows", "lanes", "span"))
        self.threads = int_param(schedule, "threads", THREADS)
        self.deep = text_param(schedule, "along") == "depth"
        self.parts = self.span if self.deep else self.threads // self.span
        """Threads that share the depth of one column."""
        self.width = self.threads // self.span if self.deep else self.span * self.lanes
        """Columns of a block."""
        self.sums_of = self.threads // b.gpu.subgroup // (self.width if self.deep else 1)
        """Sums of one column that meet in shared memory."""
        self.kinds = [accumulator_kind(left.value.type) for left, _ in plan.pairs]
        self.batch, self.point = batch_point(b, plan)
        columns, depth = plan.columns.extent, plan.depth.extent
        self.row_tiles, self.column_tiles = ceildiv(plan.rows.extent, self.rows), ceildiv(columns, self.width)
        self.units = floordiv(depth, self.lanes) if self.deep else depth
        self.column_units = columns if self.deep else floordiv(columns, self.lanes)
        row_names = {f"row.{r}": plan.rows.extent for r in range(self.rows)}
        b.declare({ROW_TILE: self.row_tiles, COLUMN_TILE: self.column_tiles, COLUMN: self.column_units, DEPTH: self.units,
                   LANE: self.lanes, DEPTHS: floordiv(depth, GROUP), STEP: GROUP, **row_names})  # fmt: skip
        b.bind(LANE, 0)
        b.bind(STEP, 0)
        gathered = [isinstance(op, ReadOp) for f in plan.factors for op in needed_ops(form.body.block, [f.value])]
        self.grouped = not self.deep and not any(gathered)
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
        b.launch([grid], [self.threads])

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
        start = [zero(b, p[0].value.type, self.shape) for p in self.plan.pairs for _ in range(self.rows)]
        sums = self._grouped(part, start) if self.grouped else self._sums(part, b.index(0), start)
        if self.deep:
            self._share_deep(sums, place, part)
        else:
            self._share_wide(sums, place)
        b.barrier()
        self._finish(first)

    # -- sums

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.lanes,) if self.lanes > 1 else ()

    def _grouped(self, part: SSAValue, start: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """This thread's sums over groups of neighbouring depths: for each accumulator and row a vector."""
        b, parts = self.b, self.parts
        depth = self.plan.depth.extent
        groups = floordiv(depth, GROUP)
        count = b.apply(ceildiv(sym("n") - sym("p"), parts), {"n": b.at(groups), "p": part})

        def body(i: SSAValue, *sums: SSAValue) -> Sequence[SSAValue]:
            b.bind(DEPTHS, b.add(part, b.mul(i, parts)))
            now = list(sums)
            columns = {f: [self._column(f, sym(DEPTHS) * GROUP + u) for u in range(GROUP)]
                       for f in self.plan.factors if f.along_columns}  # fmt: skip
            rows = {(f, r): self._row_vector(f, r) for f in self.plan.factors if not f.along_columns for r in range(self.rows)}
            for number, (left, right) in enumerate(self.plan.pairs):
                for u in range(GROUP):
                    for r in range(self.rows):
                        at = number * self.rows + r
                        value = b.value(ExtractOp(rows[left, r], u))
                        value = b.broadcast(value, self.shape) if self.lanes > 1 else value
                        now[at] = multiply(b, value, columns[right][u], now[at])
            return now

        sums = b.loop(0, b.maximum(count, 0), 1, body, start)
        if b.facts.simplify(mod(depth, GROUP)) == const(0):
            return sums
        return self._sums(part, b.at(groups * GROUP), sums)

    def _column(self, factor: Factor, depth: DimExpr) -> SSAValue:
        vector = sym(LANE) if self.lanes > 1 else DimExpr(())
        value = self._factor(factor, sym(COLUMN) * self.lanes + vector, depth, LANE, self.lanes)
        return self._summed(value, factor)

    def _row_vector(self, factor: Factor, row: int) -> SSAValue:
        value = self._factor(factor, sym(f"row.{row}"), sym(DEPTHS) * GROUP + sym(STEP), STEP, GROUP)
        return self._summed(value, factor)

    def _summed(self, value: SSAValue, factor: Factor) -> SSAValue:
        """In the type that products are summed in, once for all that multiply it."""
        kind = accumulator_kind(factor.value.type)
        return converted(self.b, value, kind) if is_float(kind) else value

    def _sums(self, part: SSAValue, first: SSAValue, start: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """`start` and the products of every `parts`-th depth from `first` on."""
        b, parts = self.b, self.parts
        part = b.add(first, part)
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
        vector = sym(LANE) if self.lanes > 1 else DimExpr(())
        depth = sym(DEPTH) * self.lanes + vector if self.deep else sym(DEPTH)
        side = sym(f"row.{row}")
        if factor.along_columns:
            side = sym(COLUMN) if self.deep else sym(COLUMN) * self.lanes + vector
        return self._factor(factor, side, depth, LANE, self.lanes)

    def _factor(self, factor: Factor, side: DimExpr, depth: DimExpr, lane: str, lanes: int) -> SSAValue:
        """A factor's values where symbol `lane` runs along the lanes of a vector."""
        b, plan = self.b, self.plan
        point = {**self.point, **plan.side(factor).point(side), **plan.depth.point(depth)}
        site = Site(point, ((lane, lanes),), (None,)) if lanes > 1 else Site(point)
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

        b.loop(b.thread(), count, self.threads, result)

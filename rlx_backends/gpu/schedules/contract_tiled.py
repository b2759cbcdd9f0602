"""`lir.contract` by blocks: a block of threads computes a tile of rows × columns, from slices of the depth in shared memory.

While a slice is worked on, the next one travels to registers, and from there to the other half of shared memory: one
barrier for each slice. The order of every sum is that of the depth, whatever the tile.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.contract_epilogue import Epilogue
from rlx_backends.gpu.schedules.contract_inner import GROUP, FmaStep, Slice, accumulator_kind, converted
from rlx_backends.gpu.schedules.contract_plan import ContractPlan, Factor, batch_point, ints_param, plan_of, reading_of
from rlx_backends.gpu.schedules.staging import Point, Read, Stage
from rlx_backends.support.kernel_builder import total
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, load
from rlx_dialects.dims import ceildiv, sym
from rlx_dialects.kernel.types import is_float
from rlx_dialects.lir import ContractOp, ScheduleAttr

ROW_TILE, COLUMN_TILE, SLICE = "tile.row", "tile.column", "tile.slice"


def lower(kernel: GpuKernelBuilder, form: ContractOp, schedule: ScheduleAttr) -> None:
    """Write the kernel of a tile schedule: `tile` is rows, columns, depth; `thread` rows, columns."""
    plan = plan_of(form, kernel.facts)
    assert plan is not None, "choose gives tiles to what has a plan"
    _Tiled(kernel, form, schedule, plan).write()


class _Tiled:
    def __init__(self, b: GpuKernelBuilder, form: ContractOp, schedule: ScheduleAttr, plan: ContractPlan):
        self.b, self.form, self.plan = b, form, plan
        height, width, self.deep = ints_param(schedule, "tile")
        self.tile = height, width
        rows, columns = ints_param(schedule, "thread")
        self.inner = FmaStep(b, self.tile, (rows, columns), [left.value.type for left, _ in plan.pairs])
        self.batch, self.point = batch_point(b, plan)
        self.row_tiles, self.column_tiles = ceildiv(plan.rows.extent, height), ceildiv(plan.columns.extent, width)
        self.slices = ceildiv(plan.depth.extent, self.deep)
        self.exact = b.facts.divisor(plan.rows.extent) % height == 0 and b.facts.divisor(plan.columns.extent) % width == 0
        b.declare({ROW_TILE: self.row_tiles, COLUMN_TILE: self.column_tiles, SLICE: self.slices})
        self.epilogue = Epilogue(b, form, plan, self.point, GROUP)
        whole, self.elements = block_args(form.body.block.args, b.ins)
        self.region = Region(b, form.body.block, whole)
        self.stages: dict[Factor, Stage] = {}
        for number, factor in enumerate(plan.factors):
            how = reading_of(form, plan, factor, b.facts, b.gpu.vector_bytes)
            extents = plan.side(factor).extent, plan.depth.extent
            size = self.tile[factor.along_columns], self.deep
            self.stages[factor] = Stage(b, f"in{number}", extents, size, self.inner.threads, how)
        self.memory = {f: stage.shared(accumulator_kind(f.value.type), 2) for f, stage in self.stages.items()}

    def write(self) -> None:
        """Blocks go along the rows first: neighbours share the columns' factor, usually weights."""
        b = self.b
        tiles = [*self.batch, (COLUMN_TILE, self.column_tiles), (ROW_TILE, self.row_tiles)]
        count = total(extent for _, extent in tiles)
        grid = b.grid_extent(count)
        b.launch([grid], [self.inner.threads])

        def block() -> None:
            b.bind_point(tiles, b.block_at())
            self._tile()

        if grid == count:
            block()
        else:
            b.when(b.test("slt", b.block_at(), b.at(count)), block)

    def _tile(self) -> None:
        b = self.b
        row, column = b.at(sym(ROW_TILE)), b.at(sym(COLUMN_TILE))
        for factor, stage in self.stages.items():
            stage.at(column if factor.along_columns else row)
        start = self.inner.start()
        if b.facts.prove_lt(0, self.plan.depth.extent):
            sums: Sequence[SSAValue] = self._sums(start)
        else:
            some = b.test("slt", 0, b.at(self.plan.depth.extent))
            sums = b.when(some, lambda: self._sums(start), lambda: start)
        self._finish(row, column, sums)

    def _finish(self, row: SSAValue, column: SSAValue, sums: Sequence[SSAValue]) -> None:
        b = self.b
        first_row, first_column = b.mul(row, self.tile[0]), b.mul(column, self.tile[1] // GROUP)
        for place, pieces in self.inner.results(sums):
            moved = [(b.add(first_column, at), values) for at, values in pieces]
            self.epilogue.row(b.add(first_row, place), moved, exact=self.exact)

    # -- slices

    def _sums(self, start: Sequence[SSAValue]) -> Sequence[SSAValue]:
        b = self.b
        self._park(self._fetch(b.index(0)), b.index(0))
        b.barrier()
        last = b.at(self.slices - 1)

        def slice_(number: SSAValue, *sums: SSAValue) -> Sequence[SSAValue]:
            b.bind(SLICE, number)
            if self.slices == 1:
                return self._multiply(sums, b.index(0))
            # After the last slice it is fetched once more, which no one reads.
            fetched = self._fetch(b.minimum(b.add(number, 1), last))
            now = self._multiply(sums, b.at(sym(SLICE) % 2))
            self._park(fetched, b.at((sym(SLICE) + 1) % 2))
            b.barrier()
            return now

        return b.loop(0, b.at(self.slices), 1, slice_, start)

    def _fetch(self, number: SSAValue) -> dict[Factor, list[SSAValue]]:
        return {f: stage.fetch(number, self._place(f), self._read(f)) for f, stage in self.stages.items()}

    def _park(self, fetched: dict[Factor, list[SSAValue]], half: SSAValue) -> None:
        for factor, values in fetched.items():
            stage = self.stages[factor]
            stage.park(values, self.memory[factor], self.b.mul(half, stage.size))

    def _place(self, factor: Factor) -> Point:
        plan = self.plan
        return lambda side, depth: {**self.point, **plan.side(factor).point(side), **plan.depth.point(depth)}

    def _read(self, factor: Factor) -> Read:
        b = self.b

        def read(site: Site) -> SSAValue:
            args = {arg: load(b, operand, site) for arg, operand in self.elements.items() if operand.number in factor.operands}
            value = self.region.run(args, site, wanted=[factor.value])[0]
            kind = factor.value.type
            return converted(b, value, accumulator_kind(kind)) if is_float(kind) else value

        return read

    def _multiply(self, sums: Sequence[SSAValue], half: SSAValue) -> list[SSAValue]:
        b = self.b
        slices = {
            factor: Slice(self.memory[factor], b.mul(half, stage.size), stage.stride, int(factor.along_columns))
            for factor, stage in self.stages.items()
        }
        pairs = [(slices[left], slices[right]) for left, right in self.plan.pairs]
        return self.inner.slice(sums, pairs, self.deep, list(slices.values()))

"""`lir.contract` by matrix instructions: subgroups multiply fragments of slices in shared memory, sums stay in registers.

A block computes a tile of rows × columns; each subgroup has a part of it, as a grid of fragments. Slices of the depth come to
shared memory while the ones before are multiplied: by asynchronous copies in a ring of slots where the target has them and the
factor lies in memory as it is, else through registers into one of two halves. At the end sums pass through shared memory, one
row of fragments at a time, so that threads write whole vectors. Operands of 16 bits, sums in f32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, f32, i64
from xdsl.ir import Attribute, SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.contract_epilogue import Epilogue
from rlx_backends.gpu.schedules.contract_matrix_stage import ROW_PAD, MatrixStage
from rlx_backends.gpu.schedules.contract_plan import ContractPlan, Factor, batch_point, ints_param, plan_of, reading_of
from rlx_backends.gpu.schedules.staging import Point, Read
from rlx_backends.support.kernel_builder import Operand, total
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, load
from rlx_backends.support.spaces import Space, int_param, rows_of
from rlx_dialects.cuda.copies import CpAsyncCommitOp, CpAsyncWaitOp
from rlx_dialects.dims import ceildiv, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.gpu import GpuFacts
from rlx_dialects.gpu.facts import MatrixShape
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.types import byte_size, element_of
from rlx_dialects.lir import ContractOp, ScheduleAttr
from rlx_dialects.rlx import ConstraintAttr, dtypes

ROW_TILE, COLUMN_TILE, SLICE = "tile.row", "tile.column", "tile.slice"
OPERANDS = ("bf16", "f16")
TILES = ((128, 128, 32), (64, 64, 32))
"""Rows, columns and depths of a tile, the largest first."""
END_PAD = 4
"""Elements between the rows of sums in shared memory."""
MIN_DEPTH = 8


def operand_of(factor: Factor) -> SSAValue:
    """The narrow value that a factor is, or is widened from."""
    owner = factor.value.owner
    if isinstance(owner, arith.ExtFOp) and dtypes.bit_width(element_of(owner.input.type)) == 16:
        return owner.input
    return factor.value


def shape_for(plan: ContractPlan, gpu: GpuFacts) -> MatrixShape | None:
    """The matrix instruction for a product; None where there is none."""
    names = {dtypes.dtype_name(operand_of(factor).type) for factor in plan.factors}
    if len(names) != 1 or not names <= set(OPERANDS) or len(plan.pairs) > 2:
        return None
    found = [s for s in gpu.matrix if s.operand in names and s.accumulator == "f32" and s.family != "wgmma"]
    return max(found, key=lambda shape: (shape.k, -shape.m), default=None)


# -- choice


def choose(form: ContractOp, plan: ContractPlan, gpu: GpuFacts, facts: Facts, conditional: bool) -> list[ScheduleAttr]:
    """At most two tiles: the largest that fits, and a smaller one for rows that leave multiprocessors without work with it.

    Nothing where no matrix instruction takes the operands, or too little is summed.
    """
    shape = shape_for(plan, gpu)
    deep = facts.bounds(plan.depth.extent)[1]
    if shape is None or not plan.rows.dims or not plan.columns.dims or (deep is not None and deep < MIN_DEPTH):
        return []
    made = [each for tile in TILES if (each := _schedule(plan, gpu, shape, tile)) is not None]
    if not made:
        return []
    space = Space(form, facts)
    rows, batch = plan.rows.extent, max(1, space.size(rows_of(plan.batch)))
    large, small = made[0], made[-1]
    low, high = facts.bounds(rows)
    height, width, _ = ints_param(large, "tile")
    wide = -(-space.size(plan.columns.extent) // width) * batch
    limit = max(height // 2, height * (-(-gpu.multiprocessors // wide) - 1))
    if small == large or (low or 0) > limit:
        return [large]
    if high is not None and high <= limit:
        return [small]
    if not conditional:
        return [large]
    return [ScheduleAttr.get(small.kind.data, small.params.data, ConstraintAttr.get(rows, "<=", const(limit))), large]


def _schedule(plan: ContractPlan, gpu: GpuFacts, shape: MatrixShape, tile: tuple[int, int, int]) -> ScheduleAttr | None:
    """A tile, with less columns if there are two accumulators; None if shared memory does not hold it.

    Parts of 64 × 64 read least of shared memory for each product. WMMA has them in smaller ones, as its operands take more
    registers.
    """
    side, width, depth = tile[0], tile[1] // len(plan.pairs), tile[2]
    grid = (2, 4) if side > 64 and shape.family == "wmma" else (2, 2)
    per = side // grid[0], width // grid[1]
    if per[0] % shape.m or per[1] % shape.n:
        return None
    ends = grid[0] * grid[1] * shape.m * (per[1] + END_PAD) * 4 * len(plan.pairs)
    sides = [width if f.along_columns else side for f in plan.factors]
    # A matrix that lies across has longer rows, and fewer.
    slot = 2 * sum(max(size * (depth + ROW_PAD), (size + ROW_PAD) * depth) for size in sides)
    most = gpu.shared_max // 2 if gpu.async_copy else gpu.shared_max
    slots = next((count for count in ((4, 3, 2) if gpu.async_copy else (2,)) if count * slot + ends <= most), None)
    if slots is None:
        return None
    lists = {"tile": (side, width, depth), "grid": grid, "fragment": (shape.m, shape.n, shape.k)}
    params: dict[str, Attribute] = {name: DenseArrayBase.from_list(i64, list(sizes)) for name, sizes in lists.items()}
    return ScheduleAttr.get("matrix", {**params, "slots": IntegerAttr(slots, i64)})


# -- the kernel


def lower(kernel: GpuKernelBuilder, form: ContractOp, schedule: ScheduleAttr) -> None:
    """Write the kernel: `tile` is rows, columns, depth; `grid` subgroups along rows and columns; `fragment` an instruction's
    m, n, k; `slots` the slices in shared memory.
    """
    plan = plan_of(form, kernel.facts)
    assert plan is not None and shape_for(plan, kernel.gpu) is not None, "choose gives this to what has such operands"
    _Matrix(kernel, form, schedule, plan).write()


class _Matrix:
    def __init__(self, b: GpuKernelBuilder, form: ContractOp, schedule: ScheduleAttr, plan: ContractPlan):
        self.b, self.form, self.plan = b, form, plan
        height, width, self.deep = ints_param(schedule, "tile")
        self.tile, self.grid = (height, width), ints_param(schedule, "grid")
        self.m, self.n, self.k = ints_param(schedule, "fragment")
        self.slots = int_param(schedule, "slots")
        self.part = height // self.grid[0], width // self.grid[1]
        """Rows and columns of a subgroup."""
        self.count = self.part[0] // self.m, self.part[1] // self.n
        """Fragments of a subgroup along rows and columns."""
        self.threads = self.grid[0] * self.grid[1] * b.gpu.subgroup
        element = operand_of(plan.factors[0]).type
        name = dtypes.dtype_name(element)
        family = next(s.family for s in b.gpu.matrix if (s.m, s.n, s.k, s.operand) == (self.m, self.n, self.k, name))
        self.kinds = {
            "a": FragmentType.get(self.m, self.k, element, "a", family),
            "b": FragmentType.get(self.k, self.n, element, "b", family),
            "c": FragmentType.get(self.m, self.n, f32, "c", family),
        }
        self.batch, self.point = batch_point(b, plan)
        self.row_tiles, self.column_tiles = ceildiv(plan.rows.extent, height), ceildiv(plan.columns.extent, width)
        self.slices = ceildiv(plan.depth.extent, self.deep)
        b.declare({ROW_TILE: self.row_tiles, COLUMN_TILE: self.column_tiles, SLICE: self.slices})
        self.lanes = min(8, max(2, 16 // min(byte_size(operand.kind.scalar_type) for operand in b.outs)))
        while self.m * self.part[1] % (self.lanes * b.gpu.subgroup):
            self.lanes //= 2
        """Columns that a thread writes at once."""
        self.epilogue = Epilogue(b, form, plan, self.point, self.lanes)
        whole, self.elements = block_args(form.body.block.args, b.ins)
        self.region = Region(b, form.body.block, whole)
        self.stages: dict[Factor, MatrixStage] = {}
        for number, factor in enumerate(plan.factors):
            how = reading_of(form, plan, factor, b.facts, b.gpu.vector_bytes)
            extents, size = (plan.side(factor).extent, plan.depth.extent), (self.tile[factor.along_columns], self.deep)
            self.stages[factor] = MatrixStage(b, f"in{number}", extents, size, self.threads, how)
        self.copied = self._copied()
        if len(self.copied) < len(self.stages):
            self.copied, self.slots = {}, 2
        self.memory = {f: b.shared(self.slots * stage.size, element) for f, stage in self.stages.items()}
        self.end_stride = self.part[1] + END_PAD
        end = self.grid[0] * self.grid[1] * self.m * self.end_stride
        self.ends = [b.shared(end, f32) for _ in plan.pairs]

    def _copied(self) -> dict[Factor, Operand]:
        """The factors that lie in memory as they are multiplied, in vectors of 16 bytes."""
        found: dict[Factor, Operand] = {}
        for factor, stage in self.stages.items():
            operand = self.elements.get(operand_of(factor))
            if operand is None or operand.access.is_guarded or self.b.gpu.async_copy not in ("cp_async", "tma"):
                continue
            if stage.lanes * byte_size(operand.kind.scalar_type) == 16:
                found[factor] = operand
        return found

    def write(self) -> None:
        """Blocks go along the rows first: neighbours share the columns' factor, usually weights."""
        b = self.b
        tiles = [*self.batch, (COLUMN_TILE, self.column_tiles), (ROW_TILE, self.row_tiles)]
        count = total(extent for _, extent in tiles)
        grid = b.grid_extent(count)
        b.launch([grid], [self.threads])
        group = {"g": b.subgroup()}
        self.row = b.mul(b.apply(sym("g") // self.grid[1], group), self.part[0])
        self.column = b.mul(b.apply(sym("g") % self.grid[1], group), self.part[1])

        def block() -> None:
            b.bind_point(tiles, b.block_at())
            self._tile()

        if grid == count:
            block()
        else:
            b.when(b.test("slt", b.block_at(), b.at(count)), block)

    def _tile(self) -> None:
        b, ops = self.b, self.b.ops
        row, column = b.at(sym(ROW_TILE)), b.at(sym(COLUMN_TILE))
        for factor, stage in self.stages.items():
            stage.at(column if factor.along_columns else row)
        none = b.value(ops.matrix_fill(b.constant(0.0, f32), self.kinds["c"]))
        start = [none] * (len(self.plan.pairs) * self.count[0] * self.count[1])
        sums = self._copied_sums if self.copied else self._parked_sums
        if b.facts.prove_lt(0, self.plan.depth.extent):
            found: Sequence[SSAValue] = sums(start)
        else:
            some = b.test("slt", 0, b.at(self.plan.depth.extent))
            found = b.when(some, lambda: sums(start), lambda: start)
        self._finish(row, column, found)

    # -- slices

    def _parked_sums(self, start: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """While a slice is multiplied, the next one travels to registers, and from there to the other half."""
        b = self.b
        self._park(b.index(0), b.index(0))
        b.barrier()
        last = b.at(self.slices - 1)

        def slice_(number: SSAValue, *sums: SSAValue) -> Sequence[SSAValue]:
            b.bind(SLICE, number)
            if self.slices == 1:
                return self._multiply(sums, b.index(0))
            # After the last slice it is fetched once more, which no one reads.
            fetched = self._fetch(b.minimum(b.add(number, 1), last))
            now = self._multiply(sums, b.at(sym(SLICE) % 2))
            self._store(fetched, b.at((sym(SLICE) + 1) % 2))
            b.barrier()
            return now

        return b.loop(0, b.at(self.slices), 1, slice_, start)

    def _copied_sums(self, start: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """A ring of slots: copies run ahead by all but one of them. A slot is filled anew after all threads have left it."""
        b, ahead = self.b, self.slots - 1
        last = b.at(self.slices - 1)

        def copy(number: SSAValue, slot: SSAValue) -> None:
            for factor, operand in self.copied.items():
                stage = self.stages[factor]
                stage.copy(number, self._place(factor), operand, self.memory[factor], b.mul(slot, stage.size))
            b.op(CpAsyncCommitOp())

        for number in range(ahead):
            copy(b.minimum(number, last), b.index(number))

        def slice_(number: SSAValue, *sums: SSAValue) -> Sequence[SSAValue]:
            b.bind(SLICE, number)
            b.op(CpAsyncWaitOp(ahead - 1))
            b.barrier()
            # Beyond the last slice it is copied once more, which no one reads.
            copy(b.minimum(b.add(number, ahead), last), b.at((sym(SLICE) + ahead) % self.slots))
            return self._multiply(sums, b.at(sym(SLICE) % self.slots))

        found = b.loop(0, b.at(self.slices), 1, slice_, start)
        b.op(CpAsyncWaitOp(0))
        return found

    def _park(self, number: SSAValue, half: SSAValue) -> None:
        self._store(self._fetch(number), half)

    def _fetch(self, number: SSAValue) -> dict[Factor, list[SSAValue]]:
        return {f: stage.fetch(number, self._place(f), self._read(f)) for f, stage in self.stages.items()}

    def _store(self, fetched: dict[Factor, list[SSAValue]], half: SSAValue) -> None:
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
            return self.region.run(args, site, wanted=[operand_of(factor)])[0]

        return read

    # -- products

    def _multiply(self, sums: Sequence[SSAValue], slot: SSAValue) -> list[SSAValue]:
        """The sums after a slice: of each pair, row of fragments and fragment."""
        b, now = self.b, list(sums)
        for depth in range(0, self.deep, self.k):
            loaded = {factor: self._fragments(factor, slot, depth) for factor in self.stages}
            at = 0
            for left, right in self.plan.pairs:
                for x, y in product(loaded[left], loaded[right]):
                    now[at] = b.value(b.ops.matrix_multiply(x, y, now[at]))
                    at += 1
        return now

    def _fragments(self, factor: Factor, slot: SSAValue, depth: int) -> list[SSAValue]:
        """The fragments of a factor that this subgroup multiplies, at one depth of a slice."""
        b, stage, across = self.b, self.stages[factor], factor.along_columns
        first, step = (self.column, self.n) if across else (self.row, self.m)
        # An operand a has the depth along its rows, b along its columns.
        transposed = stage.deep == across
        base = b.mul(slot, stage.size)
        found: list[SSAValue] = []
        for number in range(self.count[across]):
            side = b.add(first, number * step)
            place = b.add(b.mul(side, stage.stride), depth) if stage.deep else b.add(side, depth * stage.stride)
            kind = self.kinds["b" if across else "a"]
            made = b.ops.matrix_load(
                self.memory[factor], b.add(base, place), b.index(stage.stride), kind, transposed=transposed
            )
            found.append(b.value(made))
        return found

    # -- the end

    def _finish(self, row: SSAValue, column: SSAValue, sums: Sequence[SSAValue]) -> None:
        """Each subgroup has its own part of shared memory for one row of fragments."""
        b, width = self.b, self.part[1] // self.lanes
        count = self.count[0] * self.count[1]
        base = b.mul(b.subgroup(), self.m * self.end_stride)
        first_row = b.add(b.mul(row, self.tile[0]), self.row)
        vector = {"c": b.add(b.mul(column, self.tile[1]), self.column)}
        first_column = b.apply(sym("c") // self.lanes, vector)
        for i in range(self.count[0]):
            for pair, memory in enumerate(self.ends):
                for j in range(self.count[1]):
                    value = sums[pair * count + i * self.count[1] + j]
                    b.op(b.ops.matrix_store(value, memory, b.add(base, j * self.n), b.index(self.end_stride)))
            b.subgroup_barrier()
            for item in range(self.m * width // b.gpu.subgroup):
                place = {"p": b.add(b.lane(), item * b.gpu.subgroup)}
                at_row, at_column = b.apply(sym("p") // width, place), b.apply(sym("p") % width, place)
                index = b.add(base, b.add(b.mul(at_row, self.end_stride), b.mul(at_column, self.lanes)))
                shape = (self.lanes,) if self.lanes > 1 else ()
                values = [b.load(memory, index, shape) for memory in self.ends]
                to = b.add(b.add(first_row, i * self.m), at_row)
                self.epilogue.row(to, [(b.add(first_column, at_column), values)])
            if i + 1 < self.count[0]:
                b.subgroup_barrier()


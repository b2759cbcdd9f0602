"""Schedules of `lir.reduce` on GPUs.

* `rows`: a team of threads takes a row: some lanes of a subgroup, a subgroup, or a block. Neighbouring threads have neighbouring
  vectors of it along reduce dim `dim`.
* `columns`: neighbouring threads have neighbouring rows, along parallel dim `dim`; a team of threads of the block may share each.

Either keeps a row in registers where its extent is static and small enough (`steps` vectors for each thread): memory is read
once. Else the row is read again in every pass; dear values are computed again rather than stored. The order of a fold depends on
the shape and the architecture alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log2
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64

from rlx_backends.base import Pack, Scratch
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder, runtime_symbols
from rlx_backends.gpu.schedules.reduce_rows import Axes, RowKernel
from rlx_backends.gpu.schedules.teams import BlockTeam, ColumnTeam, LaneTeam, Team, shared_bytes
from rlx_backends.support.kernel_builder import can_fault
from rlx_backends.support.row_stages import RowStages, is_row
from rlx_backends.support.sites import Site
from rlx_backends.support.spaces import Clashes, Dim, Space, int_param, rows_of, text_param
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import BufferType, FormOp, IterAttr, ReduceOp, ScheduleAttr
from rlx_dialects.rlx import ConstraintAttr
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

BLOCK = 128
"""Threads of a block of several rows."""
COLUMNS = 32
"""Columns of a block whose columns have teams, or a quarter: as many as fill a sector."""
SHARED_BYTES = 32768
"""Shared memory that a block may take to combine."""
REGISTERS = 96
"""32-bit registers that the values of a row may take."""
STEPS = 32
"""Vectors of a row that a thread keeps at most; code grows with them."""
SECTOR = 32
"""Bytes that memory moves at least."""
RESIDENT_THREADS = 1536
"""Threads of a multiprocessor that hide each other's latency."""
LATENCY, LOOP, ISSUE, SHUFFLE, BARRIER = 600e-9, 40e-9, 10e-9, 15e-9, 80e-9
"""Seconds: a load; a step of a loop of loads; a further load in flight; a step of combining; a barrier with its stores."""
ALONE = 4
"""How many times its share of the bandwidth a multiprocessor gets while others are idle."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """The cheapest; vectors along a symbolic row on condition that they fit. LowerError for bounds on a parallel dim."""
    assert isinstance(form, ReduceOp)
    for it in form.group("parallel"):
        if it.bounds.data:
            raise LowerError(f"'{form.name}' with bounds on parallel dim '{it.symbol.data}'", location=location_of(form))
    return _Choice(form, target, facts).best()


class _Choice:
    """Estimates of time."""

    def __init__(self, form: ReduceOp, target: Any, facts: Facts):
        self.form = form
        self.gpu = target.facts
        self.space = Space(form, facts)
        self.parallel, self.axes = dims_of(self.space, "parallel"), dims_of(self.space, "reduce")
        self.stages = RowStages(form)
        self.rows = self.space.size(rows_of(self.parallel)) if self.parallel else 1
        self.points = [self.space.size(axis.extent) for axis in self.axes]
        self.kinds = [out.type for folds in self.stages.folds for fold in folds for out in fold.outs]

    def best(self) -> list[ScheduleAttr]:
        found: list[tuple[float, ScheduleAttr]] = []
        for axis in reversed(self.axes):
            if may_be_last(self.form, axis, self.axes):
                lanes = self._lanes(axis.name, bool(self._bounded()))
                found += self._rows(axis, lanes if self._fits(axis.extent, lanes) else 1)
        for dim in reversed(self.parallel):
            lanes = self._lanes(dim.name, bool(self._bounded()))
            while not self._fits(dim.extent, lanes) or self.rows // lanes < self.gpu.multiprocessors * BLOCK:
                if lanes == 1:
                    break
                lanes //= 2
            found += self._columns(dim, lanes)
        if not self.parallel:
            found += self._columns(None, 1)
        chosen = min(found, key=lambda entry: entry[0])[1]
        return [*self._vectors_if(chosen), chosen]

    def _vectors_if(self, chosen: ScheduleAttr) -> list[ScheduleAttr]:
        """`chosen` with vectors, where the extent of a row allows them."""
        if chosen.kind.data != "rows" or int_param(chosen, "lanes") > 1:
            return []
        axis = next(axis for axis in self.axes if axis.name == text_param(chosen, "dim"))
        extent, lanes = axis.extent, self._lanes(axis.name, bool(self._bounded()))
        if lanes == 1 or extent.is_const or extent.symbols & runtime_symbols(self.form):
            return []
        other = min(self._rows(axis, lanes), key=lambda entry: entry[0])[1]
        return [ScheduleAttr.get("rows", other.params.data, ConstraintAttr.get(extent % lanes, "==", const(0)))]

    def _bounded(self) -> list[Dim]:
        return [axis for axis in self.axes if iter_of(self.form, axis).bounds.data]

    def _fits(self, extent: DimExpr, lanes: int) -> bool:
        return self.space.facts.divisor(extent) % lanes == 0

    # -- accesses

    def _lanes(self, name: str, bounded: bool) -> int:
        """As many as one access takes, if every row operand moves by one element or none along a dim."""
        sizes = [1]
        for operand in self._operands():
            step = self.space.step(operand, name)
            if step is None or step not in (0, 1):
                return 1
            if step == 1:
                kind = self.space.operands[operand][0].type
                assert isinstance(kind, BufferType)
                sizes.append(byte_size(kind.scalar_type))
        return 1 if bounded or len(sizes) == 1 else max(1, self.gpu.vector_bytes // max(sizes))

    def _operands(self) -> dict[int, int]:
        """The operands and results that are rows, and in how many passes a loop touches each."""
        needed = [value for number in range(self.stages.passes) for value in self.stages.needed(number, kept={})]
        times = {arg.index: needed.count(arg) for arg in self.stages.block.args if is_row(arg)}
        results = [len(self.form.ins) + i for i, value in enumerate(self.stages.results) if is_row(value)]
        return times | dict.fromkeys(results, 1)

    def _traffic(self, name: str, run: int, again: bool) -> float:
        """Bytes that memory moves for each point; `run` elements are touched at once along dim `name`. Reading `again` in every
        pass mostly finds caches.
        """
        moved = 0.0
        for operand, times in self._operands().items():
            size = byte_size(self._kind(operand))
            step = self.space.step(operand, name)
            if step is not None and step == 0:
                continue
            apart = SECTOR / size if step is None or not step.is_const else min(SECTOR / size, abs(step.value))
            waste = max(1.0, SECTOR / (run * size)) if step is not None and step == 1 else apart
            moved += size * waste * (1.0 + (0.3 * (times - 1) if again else 0.0))
        return moved + sum(SECTOR / 4 for step in self.space.read_steps(name) if step is None or step not in (0, 1))

    # -- candidates

    def _steps(self, vectors: int | None, team: int, lanes: int) -> int:
        """Vectors of a row for each member if they fit into registers, else 0."""
        if vectors is None or self._bounded():
            return 0
        steps = -(-vectors // team)
        if can_fault(self.form) and steps * team != vectors:
            return 0  # a vector that is not there would be read as another one
        carried = max(RowStages(self.form, Clashes(self.space)).carried(), 1)
        return steps if steps <= STEPS and steps * lanes * carried <= REGISTERS else 0

    def _time(self, traffic: float, vectors: int, team: int, steps: int, threads: int, blocks: float, barriers: int) -> float:
        """Seconds: what a thread waits for, as often as threads must wait for their turn, and what memory takes."""
        each = -(-vectors // team)
        passes = max(1, self.stages.passes)
        wait = LATENCY + each * ISSUE if steps else passes * (LATENCY + each * LOOP)
        if team > 1:
            wait += len(self.kinds) * log2(team) * SHUFFLE + barriers * passes * BARRIER
        turns = max(1.0, threads / (self.gpu.multiprocessors * RESIDENT_THREADS))
        share = min(1.0, ALONE * blocks / self.gpu.multiprocessors)
        return wait * turns + traffic * self.rows * self._typical() / (self.gpu.bandwidth * share)

    def _static(self, lanes: int = 1) -> int | None:
        count = rows_of(self.axes)
        return count.value // lanes if count.is_const else None

    def _typical(self) -> int:
        count = 1
        for size in self.points:
            count *= size
        return count

    def _teams(self, vectors: int, limit: int) -> Iterator[int]:
        team = 1
        while team <= limit:
            yield team
            if team >= vectors:
                return
            team *= 2

    def _rows(self, last: Dim, lanes: int) -> list[tuple[float, ScheduleAttr]]:
        found: list[tuple[float, ScheduleAttr]] = []
        vectors, static = max(1, self._typical() // lanes), self._static(lanes)
        for team in self._teams(vectors, self.gpu.max_threads):
            if shared_bytes(team, 0, self.kinds, self.gpu.subgroup) > self.gpu.shared_default:
                continue
            steps = self._steps(static, team, lanes)
            run = lanes * team if vectors > team else SECTOR
            traffic = self._traffic(last.name, run, again=not steps)
            rows = 1 if team > self.gpu.subgroup else max(1, BLOCK // team)
            barriers = int(team > self.gpu.subgroup)
            time = self._time(traffic, vectors, team, steps, self.rows * team, self.rows / rows, barriers)
            found.append((time, schedule("rows", last.name, team=team, rows=rows, lanes=lanes, steps=steps)))
        return found

    def _kind(self, operand: int) -> Any:
        kind = self.space.operands[operand][0].type
        assert isinstance(kind, BufferType)
        return kind.scalar_type

    def _columns(self, dim: Dim | None, lanes: int) -> list[tuple[float, ScheduleAttr]]:
        found: list[tuple[float, ScheduleAttr]] = []
        points, static = self._typical(), self._static()
        name = "" if dim is None else dim.name
        for width in (COLUMNS, COLUMNS // 4):
            for team in self._teams(points, self.gpu.max_threads // width):
                taken = shared_bytes(team, width * lanes, self.kinds, self.gpu.subgroup)
                if team > 1 and (not self.axes or taken > min(self.gpu.shared_default, SHARED_BYTES)):
                    continue
                steps = self._steps(static, team, lanes) if self.axes else 0
                traffic = self._traffic(name, (width if team > 1 else BLOCK) * lanes, again=not steps)
                columns = width if team > 1 else BLOCK
                threads = self.rows // lanes * team
                time = self._time(traffic, points, team, steps, threads, threads / (columns * team), int(log2(team)))
                found.append((time, schedule("columns", name, team=team, columns=columns, lanes=lanes, steps=steps)))
        return found


def schedule(kind: str, dim: str, **numbers: int) -> ScheduleAttr:
    return ScheduleAttr.get(kind, {"dim": StringAttr(dim), **{key: IntegerAttr(n, i64) for key, n in numbers.items()}})


def dims_of(space: Space, group: str) -> list[Dim]:
    """The dims of a group, joined where they lie in memory as one."""
    return space.collapse([it.symbol.data for it in space.form.group(group)])


def iter_of(form: FormOp, dim: Dim) -> IterAttr:
    return next(it for it in form.iters.data if isinstance(it, IterAttr) and it.symbol.data == dim.name)


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: a reduce reads its operands about once."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """None."""
    return ()


def lower(kernel: GpuKernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Teams of rows, or of columns."""
    assert isinstance(form, ReduceOp)
    _Lowering(kernel, form, schedule).emit()


class _Lowering:
    def __init__(self, b: GpuKernelBuilder, form: ReduceOp, schedule: ScheduleAttr):
        self.b = b
        self.form = form
        space = Space(form, b.facts)
        self.parallel, dims = dims_of(space, "parallel"), dims_of(space, "reduce")
        self.point: dict[str, DimExpr] = {it.symbol.data: const(0) for it in form.iters.data if isinstance(it, IterAttr)}
        for dim in (*self.parallel, *dims):
            del self.point[dim.name]
        self.kind = schedule.kind.data
        self.team, self.lanes = int_param(schedule, "team"), int_param(schedule, "lanes")
        self.rows, self.columns = int_param(schedule, "rows", 1), int_param(schedule, "columns", BLOCK)
        name, steps = text_param(schedule, "dim"), int_param(schedule, "steps", 0)
        self.across = next((dim for dim in self.parallel if dim.name == name and self.kind == "columns"), None)
        ranges = {dim.name: iter_of(form, dim).range for dim in dims if iter_of(form, dim).bounds.data}
        self.axes = Axes(ordered(dims, name), self.lanes if self.kind == "rows" else 1, ranges, steps)
        self._check()
        self.stages = RowStages(form, Clashes(space) if steps else None)
        self.stages.kept = {}

    def _check(self) -> None:
        """A forced schedule must be one that covers every point."""
        b, team = self.b, self.team
        steps, lanes = self.axes.steps, self.axes.lanes
        wrong = ""
        if team < 1 or team & (team - 1) or team * max(self.rows, 1) > b.gpu.max_threads:
            wrong = f"a team of {team} threads"
        elif self.kind == "rows" and team > b.gpu.subgroup and self.rows > 1:
            wrong = f"{self.rows} rows of {team} threads in a block"
        elif self.kind == "rows" and 1 < team < b.gpu.subgroup and self.rows * team % b.gpu.subgroup:
            wrong = f"{self.rows} rows of {team} threads, which are no whole subgroups"
        elif self.kind == "columns" and team > 1 and (team * self.columns > b.gpu.max_threads or not self.axes.dims):
            wrong = f"columns of {team} threads"
        elif self.kind not in ("rows", "columns") or (self.kind == "rows" and not self.axes.dims):
            wrong = f"kind '{self.kind}'"
        elif steps:
            count = rows_of(self.axes.dims)
            if not count.is_const or self.axes.ranges or steps != -(-count.value // (lanes * team)):
                wrong = f"{steps} steps of {team} threads for {count} points"
        if wrong:
            raise LowerError(f"no schedule of '{self.form.name}': {wrong}", code="bad-schedule", location=location_of(self.form))

    def emit(self) -> None:
        if self.kind == "columns":
            self._columns()
        elif self.team > self.b.gpu.subgroup:
            self._blocks()
        else:
            self._lanes()

    def _row(self, team: Team, across: Site, exists: Any = None) -> None:
        RowKernel(self.b, self.form, self.stages, self.axes, team, across, exists).emit()

    def _bind_row(self, place: Any) -> Site:
        self.b.bind_point([(dim.name, dim.extent) for dim in self.parallel], place)
        return Site(self.point)

    # -- rows

    def _blocks(self) -> None:
        """A block for each row."""
        b = self.b
        count = rows_of(self.parallel)
        bound = b.grid_extent(count)
        b.launch([bound], [self.team])

        def row() -> None:
            self._row(BlockTeam(b, self.team), self._bind_row(b.block_at()))

        if bound == count:
            row()
        else:
            b.when(b.test("slt", b.block_at(), b.at(count)), row)

    def _lanes(self) -> None:
        """Some rows for each block, some lanes for each row."""
        b, team, rows = self.b, self.team, self.rows
        count = rows_of(self.parallel)
        bound = b.grid_extent(count)
        b.launch([(bound + (rows - 1)) // rows], [team, rows])
        row = b.block_at() if rows == 1 else b.add(b.mul(b.block_at(), rows), b.thread("y"))
        whole = bound == count and b.facts.divisor(count) % rows == 0
        members = Team(b) if team == 1 else LaneTeam(b, team, b.thread())
        together = max(1, b.gpu.subgroup // team) if team > 1 else 1
        if whole or together == 1:
            first, exists = row, None
        else:
            # Rows of one subgroup stay together, since its lanes combine values: one past the end is the last one again.
            first = b.sub(row, b.apply(sym("y") % together, {"y": b.thread("y")}))
            exists = b.test("slt", row, b.at(count))
            row = b.minimum(row, b.sub(b.at(count), 1))
        if whole:
            self._row(members, self._bind_row(row))
        else:
            b.when(b.test("slt", first, b.at(count)), lambda: self._row(members, self._bind_row(row), exists))

    # -- columns

    def _columns(self) -> None:
        """Neighbouring columns for the threads along x, members of a team along y."""
        b, lanes, team = self.b, self.lanes, self.team
        dims = [(dim.name, dim.extent) for dim in self.parallel if dim is not self.across]
        if self.across is not None:
            vector = b.fresh("vector") if lanes > 1 else self.across.name
            dims.append((vector, self.across.extent // lanes))
            b.declare({vector: self.across.extent // lanes} if lanes > 1 else {})
        count = const(1)
        for _, extent in dims:
            count = count * extent
        threads = self.columns
        b.launch([(b.grid_extent(count) + (threads - 1)) // threads], [threads, team] if team > 1 else [threads])
        start = b.mul(b.block_at(), threads)
        place = b.add(start, b.thread())
        exists = None if team == 1 else b.test("slt", place, b.at(count))

        def column() -> None:
            b.bind_point(dims, place if team == 1 else b.minimum(place, b.sub(b.at(count), 1)))
            site = Site(self.point)
            if self.across is not None and lanes > 1:
                name = self.across.name
                b.multiples[name] = lanes
                b.bind(name, b.mul(b.at(sym(dims[-1][0])), lanes))
                site = Site(self.point, ((name, lanes),), (None,))
            self._row(Team(b) if team == 1 else ColumnTeam(b, threads, team), site, exists)

        b.when(b.test("slt", place if team == 1 else start, b.at(count)), column)


def ordered(dims: Sequence[Dim], last: str) -> list[Dim]:
    """Reduce dims with the one named `last` innermost."""
    return sorted(dims, key=lambda dim: dim.name == last)


def may_be_last(form: FormOp, axis: Dim, axes: Sequence[Dim]) -> bool:
    """Whether no bound of another reduce dim depends on this one."""
    return not any(axis.name in bound.symbols for other in axes for bound in iter_of(form, other).range)

"""Schedules of `lir.map` on GPUs.

* `vector`: a thread computes `lanes` neighbouring points along dim `dim`, chosen so that results are written contiguously and
  most operands read so; neighbouring threads have neighbouring vectors, `points` times (once if it is not there).
* `tile`: for operands that lie transposed: a block computes a square of points of dims `dim` and `across`. What is contiguous
  along `across` is read along it into shared memory and taken from there along `dim`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.dialects.builtin import IntegerAttr, StringAttr, i64
from xdsl.ir import SSAValue

from rlx_backends.base import Pack, Scratch
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder, runtime_symbols
from rlx_backends.support.kernel_builder import total
from rlx_backends.support.regions import Region, Values, block_args
from rlx_backends.support.sites import Site, both, load, store
from rlx_backends.support.spaces import Dim, Space, int_param, rows_of, text_param
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import BufferType, FormOp, MapOp, ScheduleAttr
from rlx_dialects.rlx import ConstraintAttr
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

THREADS = 256
POINTS = 4
"""The most vectors of a thread, where rows allow short ones only."""
TILE, ROWS = 32, 8
"""Points of a tile along each dim; threads along `across`, or rows that are in flight at once."""


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """The dim of least cost along the threads, with as many lanes as one access takes: on condition that rows hold whole
    vectors where that is not certain.
    """
    space = Space(form, facts)
    dims = parallel_dims(space)
    if not dims:
        return [_vector("", 1)]
    best = min(reversed(dims), key=lambda dim: jumps(space, dim))
    across = _transposed_along(space, dims, best)
    if across is not None:
        return [ScheduleAttr.get("tile", {"dim": StringAttr(best.name), "across": StringAttr(across.name)})]
    lanes = _lanes(space, best, target.facts.vector_bytes)
    high = space.facts.bounds(rows_of(dims))[1]
    while lanes > 1 and high is not None and high // lanes < target.facts.multiprocessors * THREADS:
        lanes //= 2  # rather one more thread than one more element
    rest = space.facts.divisor(best.extent)
    if len(dims) == 1 or rest % lanes == 0:
        return [_vector(best.name, lanes)]
    fallback = lanes
    while rest % fallback:
        fallback //= 2  # a vector across the end of a row would not lie in one piece
    narrow = _vector(best.name, fallback, points=min(POINTS, lanes // fallback))
    if best.extent.is_const or best.extent.symbols & runtime_symbols(form):
        return [narrow]
    return [_vector(best.name, lanes, ConstraintAttr.get(best.extent % lanes, "==", const(0))), narrow]


def _vector(dim: str, lanes: int, condition: ConstraintAttr | None = None, points: int = 1) -> ScheduleAttr:
    params = {"dim": StringAttr(dim), "lanes": IntegerAttr(lanes, i64)}
    return ScheduleAttr.get("vector", params | ({"points": IntegerAttr(points, i64)} if points > 1 else {}), condition)


def parallel_dims(space: Space) -> list[Dim]:
    """The dims of the form, joined where they lie in memory as one."""
    return space.collapse([it.symbol.data for it in space.form.group("parallel")])


def _steps(space: Space, dim: Dim) -> list[tuple[int, DimExpr | None]]:
    """(operand, step along a dim) of everything that has one."""
    return [(i, space.step(i, dim.name)) for i, offset in enumerate(space.offsets) if offset is not None]


def jumps(space: Space, dim: Dim) -> float:
    """How many accesses do not move by one element or none along a dim; results count more."""
    reads = len(space.form.ins)
    steps = _steps(space, dim) + [(0, step) for step in space.read_steps(dim.name)]
    return sum((1.5 if operand >= reads else 1.0) for operand, step in steps if step is None or step not in (0, 1))


def _lanes(space: Space, dim: Dim, vector_bytes: int) -> int:
    """Elements of one access of the widest buffer that is contiguous along the dim."""
    sizes = [byte_size(_kind(space, operand).scalar_type) for operand, step in _steps(space, dim) if step == 1]
    return max(1, vector_bytes // max(sizes)) if sizes else 1


def _kind(space: Space, operand: int) -> BufferType:
    kind = space.operands[operand][0].type
    assert isinstance(kind, BufferType)
    return kind


def _transposed_along(space: Space, dims: Sequence[Dim], best: Dim) -> Dim | None:
    """The dim along which operands are contiguous that jump along `best`, if a tile of both is worth it."""
    if space.size(best.extent) < TILE // 2 or any(
        step is None or step not in (0, 1) for operand, step in _steps(space, best) if operand >= len(space.form.ins)
    ):
        return None
    others = [dim for dim in dims if dim is not best and space.size(dim.extent) >= TILE // 2]
    return next((dim for dim in others if _transposed(space, best.name, dim.name)), None)


def _transposed(space: Space, name: str, across: str) -> list[int]:
    """The operands that jump along `name` and are contiguous along `across`."""
    found: list[int] = []
    for operand in range(len(space.form.ins)):
        if space.offsets[operand] is None or space.operands[operand][1].is_guarded:
            continue
        step = space.step(operand, name)
        if step is not None and step not in (0, 1) and space.step(operand, across) == 1:
            found.append(operand)
    return found


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: a map reads every element about once."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """None."""
    return ()


def lower(kernel: GpuKernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """One vector for each thread, or one tile for each block."""
    assert isinstance(form, MapOp)
    space = Space(form, kernel.facts)
    dims = {dim.name: dim for dim in parallel_dims(space)}
    point: dict[str, DimExpr] = {it.symbol.data: const(0) for it in form.group("parallel") if it.symbol.data not in dims}
    name, across = text_param(schedule, "dim"), text_param(schedule, "across")
    wanted = {n for n in (name, across) if n} - set(dims)
    if wanted or schedule.kind.data not in ("vector", "tile") or (schedule.kind.data == "tile" and name in ("", across)):
        raise LowerError(
            f"no schedule {schedule} of a map over ({', '.join(dims)})", code="bad-schedule", location=location_of(form)
        )
    if schedule.kind.data == "tile":
        others = [dim for dim in dims.values() if dim.name not in (name, across)]
        _Tile(kernel, form, space, dims[name], dims[across], point).lower(others)
    else:
        _Vectors(kernel, form, list(dims.values()), dims.get(name), point).lower()


class _Body:
    """The map's region at a site."""

    def __init__(self, b: GpuKernelBuilder, form: MapOp):
        self.b = b
        self.block = form.body.block
        self.whole, self.elements = block_args(self.block.args, b.ins)

    def emit(self, site: Site, known: Values | None = None) -> None:
        """`known` are operands that are there already."""
        self.compute(site, self.loaded(site, known))

    def loaded(self, site: Site, known: Values | None = None) -> Values:
        args = dict(known or {})
        return args | {arg: load(self.b, operand, site) for arg, operand in self.elements.items() if arg not in args}

    def compute(self, site: Site, args: Values) -> None:
        values: list[SSAValue] = Region(self.b, self.block, self.whole).run(args, site)
        for operand, value in zip(self.b.outs, values, strict=True):
            store(self.b, operand, value, site)


class _Vectors:
    """A vector, or `points` of them in whole blocks, for each thread."""

    def __init__(self, b: GpuKernelBuilder, form: MapOp, dims: Sequence[Dim], along: Dim | None, point: dict[str, DimExpr]):
        self.b = b
        self.body = _Body(b, form)
        self.dims = dims
        self.along = along
        self.point = point
        self.lanes, self.points = int_param(b.schedule, "lanes"), int_param(b.schedule, "points", 1)
        self.loops = [(dim.name, dim.extent) for dim in dims if dim is not along]
        if along is not None:
            self.loops.append((along.name, (along.extent + (self.lanes - 1)) // self.lanes))

    def lower(self) -> None:
        """The last vector of a row that is the whole space may be cut short; rows of a larger space hold whole vectors."""
        b = self.b
        count = total(extent for _, extent in self.loops)
        size = THREADS * self.points
        b.launch([(b.grid_extent(count) + (size - 1)) // size], [THREADS])
        start = b.mul(b.block_at(), size)
        place, end = b.add(start, b.thread()), b.at(count)
        if self.points == 1:
            b.when(b.test("slt", place, end), lambda: self._one(place))
            return

        def together() -> None:
            sites = [self._site(b.add(place, u * THREADS)) for u in range(self.points)]
            for site, args in [(site, self.body.loaded(site)) for site in sites]:
                self.body.compute(site, args)

        def apart() -> None:
            b.loop(place, end, THREADS, self._one)

        b.when(b.test("sle", b.add(start, size), end), together, apart)

    def _site(self, place: SSAValue) -> Site:
        """At vector number `place`, which is whole, under symbols of its own."""
        b, along, lanes = self.b, self.along, self.lanes
        names = {name: b.fresh(name) for name, _ in self.loops}
        b.declare({names[dim.name]: dim.extent for dim in self.dims})
        point = {**self.point, **{name: sym(symbol) for name, symbol in names.items()}}
        if along is None or lanes == 1:
            b.bind_point([(names[name], extent) for name, extent in self.loops], place)
            return Site(point)
        vector, symbol = b.fresh("vector"), names[along.name]
        b.declare({vector: self.loops[-1][1]})
        b.bind_point([*((names[name], extent) for name, extent in self.loops[:-1]), (vector, self.loops[-1][1])], place)
        b.multiples[symbol] = lanes
        b.bind(symbol, b.mul(b.at(sym(vector)), lanes))
        return Site(point, ((symbol, lanes),), (None,))

    def _one(self, place: SSAValue) -> None:
        b, along = self.b, self.along
        site = self._site(place)
        if along is None or not site.lanes or len(self.dims) > 1 or b.facts.divisor(along.extent) % self.lanes == 0:
            self.body.emit(site)
            return
        (symbol,) = site.names
        start, end = b.at(sym(symbol)), b.at(along.extent)
        whole = b.test("sle", b.add(start, self.lanes), end)
        b.when(
            whole,
            lambda: self.body.emit(site),
            lambda: b.for_dim(symbol, start, end, 1, lambda: self.body.emit(site.scalar())) and None,
        )


@dataclass
class _Tile:
    """A tile of TILE × TILE points for each block of TILE × ROWS threads."""

    b: GpuKernelBuilder
    form: MapOp
    space: Space
    along: Dim
    across: Dim
    point: dict[str, DimExpr]

    def lower(self, others: Sequence[Dim]) -> None:
        b = self.b
        squares = {dim: (dim.extent + (TILE - 1)) // TILE for dim in (self.across, self.along)}
        loops = [(dim.name, dim.extent) for dim in others]
        starts = {dim: b.fresh("square") for dim in squares}
        b.declare({starts[dim]: extent for dim, extent in squares.items()})
        loops += [(starts[dim], extent) for dim, extent in squares.items()]
        count = const(1)
        for _, extent in loops:
            count = count * extent
        bound = b.grid_extent(count)
        b.launch([bound], [TILE, ROWS])

        def square() -> None:
            b.bind_point(loops, b.block_at())
            self._square({dim: b.mul(b.at(sym(name)), TILE) for dim, name in starts.items()})

        if bound == count:
            square()
        else:
            b.when(b.test("slt", b.block_at(), b.at(count)), square)

    def _square(self, starts: dict[Dim, SSAValue]) -> None:
        b = self.b
        body = _Body(b, self.form)
        numbers = _transposed(self.space, self.along.name, self.across.name)
        tiled = {arg: operand for arg, operand in body.elements.items() if operand.number in numbers}
        places: dict[SSAValue, SSAValue] = {}
        for arg, operand in tiled.items():
            places[arg] = b.shared(TILE * (TILE + 1), operand.kind.scalar_type)  # a column more: no two rows in one bank
        column = b.thread()

        def each(fast: Dim, slow: Dim, visit: Any) -> None:
            """Points of the square with the threads along `fast`: `visit(row of the square, site)`."""
            for start in range(0, TILE, ROWS):
                row = b.add(b.thread("y"), start)
                names = {dim: b.fresh(dim.name) for dim in (fast, slow)}
                b.declare({names[dim]: dim.extent for dim in names})
                inside: SSAValue | None = None
                for dim, place in ((fast, column), (slow, row)):
                    at = b.add(starts[dim], place)
                    b.bind(names[dim], at)
                    if b.facts.divisor(dim.extent) % TILE:
                        inside = both(b, inside, b.test("slt", at, b.at(dim.extent)))
                site = Site({**self.point, **{dim.name: sym(name) for dim, name in names.items()}})
                if inside is None:
                    visit(row, site)
                else:
                    b.when(inside, lambda row=row, site=site: visit(row, site))

        def fetch(row: SSAValue, site: Site) -> None:
            for arg, operand in tiled.items():
                b.store(load(b, operand, site), places[arg], b.add(b.mul(row, TILE + 1), column))

        def compute(row: SSAValue, site: Site) -> None:
            at = b.add(b.mul(column, TILE + 1), row)
            body.emit(site, {arg: b.load(place, at) for arg, place in places.items()})

        each(self.across, self.along, fetch)
        b.barrier()
        each(self.along, self.across, compute)

"""The rows of a `lir.reduce`: passes over a row, or over a vector of rows, by a team of threads.

The points of a row, in row-major order and counted in vectors, are dealt to the members in turn: member m has m, m + size, and
so on, so that neighbouring threads touch neighbouring memory. A row in registers is dealt once, and every value is loaded and
computed once; any other row is read again in each pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.ir import Block, BlockArgument, SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.teams import Partial, Team
from rlx_backends.support.kernel_builder import Operand
from rlx_backends.support.regions import Region, Values, block_args
from rlx_backends.support.row_stages import RowStages, combine_kinds, is_row
from rlx_backends.support.sites import Site, both, full, load, store
from rlx_backends.support.spaces import Dim, rows_of
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.kernel.types import shape_of
from rlx_dialects.kernel.vector import ExtractOp
from rlx_dialects.lir import EachOp, FoldOp, ReduceOp

LIGHT, HEAVY = 4, 2
"""Vectors whose loads are in flight at once in a loop; with long chains (exp) fewer, more of them spill."""


@dataclass(frozen=True)
class Axes:
    """The reduce dims, outermost first; vectors of `lanes` run along the last. `ranges` are the bounds of dims that have any.

    `steps`: how many vectors of the row a member keeps in registers; 0 if the row is walked in a loop.
    """

    dims: Sequence[Dim]
    lanes: int = 1
    ranges: Mapping[str, tuple[DimExpr, DimExpr]] | None = None
    steps: int = 0

    @property
    def counted(self) -> list[tuple[str, DimExpr]]:
        """Names and extents, the last in vectors."""
        pairs = [(dim.name, dim.extent) for dim in self.dims]
        return [*pairs[:-1], (pairs[-1][0], pairs[-1][1] // self.lanes)] if pairs else []


@dataclass
class _Step:
    """One vector of a member's row: where it is, whether it exists (None: always), and the row's values there."""

    site: Site
    exists: SSAValue | None
    rows: Values


_Body = Callable[..., Sequence[SSAValue]]


class RowKernel:
    """Emits the passes at a row. `exists`: whether the row does (None: certainly); only then it is written."""

    def __init__(
        self,
        b: GpuKernelBuilder,
        form: ReduceOp,
        stages: RowStages,
        axes: Axes,
        team: Team,
        across: Site,
        exists: SSAValue | None,
    ):
        self.b = b
        self.stages = stages
        self.axes = axes
        self.team = team
        self.across = across
        self.exists = exists
        whole, elements = block_args(form.body.block.args, b.ins)
        self.row_args: dict[SSAValue, Operand] = {arg: operand for arg, operand in elements.items() if is_row(arg)}
        self.scalar_args = {arg: operand for arg, operand in elements.items() if not is_row(arg)}
        self.top = Region(b, form.body.block, whole)
        self.regions = {op: Region(b, op.body.block, whole) for op in stages.stages}
        self.combines = {op: Region(b, op.combine.block, whole) for op in stages.stages if isinstance(op, FoldOp)}

    # -- one row

    def emit(self) -> None:
        """All passes, then what is one value for each row."""
        b, stages = self.b, self.stages
        self.known: Values = {arg: load(b, operand, self.across) for arg, operand in self.scalar_args.items()}
        self._scalars(0)
        self.steps = self._dealt() if self.axes.steps else []
        for number in range(stages.passes):
            self._pass(number)
            self._scalars(number + 1)
        due = [(operand, value) for operand, value in zip(b.outs, stages.results, strict=True) if not is_row(value)]
        if not due:
            return
        values = [self._scalar(value) for _, value in due]
        if self.team.size > 1 and not any(stages.folds):
            self.team.meet()
        first = b.test("eq", self.team.member, 0) if self.team.size > 1 else None
        self._store([operand for operand, _ in due], values, self.across, first)

    def _scalars(self, level: int) -> None:
        """What follows from the folds so far."""
        wanted = [value for value in self.stages.scalars if self.stages.level[value] == level]
        if wanted:
            self.known |= zip(wanted, self.top.run(self.known, self.across, wanted=wanted), strict=True)

    def _scalar(self, value: SSAValue) -> SSAValue:
        """A scalar result; an index expression is made here."""
        return self.known[value] if value in self.known else self.top.run(self.known, self.across, wanted=[value])[0]

    def _store(
        self, operands: Sequence[Operand], values: Sequence[SSAValue], site: Site, condition: SSAValue | None
    ) -> None:
        """All values are there before the first store, since it may go where an operand lies."""

        def write() -> None:
            for operand, value in zip(operands, values, strict=True):
                store(self.b, operand, value, site)

        condition = both(self.b, condition, self.exists)
        if condition is None:
            write()
        else:
            self.b.when(condition, write)

    # -- where the points of the row are

    def _site(self, names: Mapping[str, str]) -> Site:
        """At the vector (or point) that the symbols `names`, by reduce dim, are bound to."""
        point = {**self.across.point, **{name: sym(symbol) for name, symbol in names.items() if name != symbol}}
        if self.across.lanes:
            return Site(point, self.across.lanes, self.across.counts)
        if self.axes.lanes == 1:
            return Site(point)
        return Site(point, ((names[self.axes.dims[-1].name], self.axes.lanes),), (None,))

    def _step(self, place: SSAValue, exists: SSAValue | None = None, lower: SSAValue | None = None) -> _Step:
        """The vector of this number, under symbols of its own; with `lower` it counts along the last dim alone, from there."""
        b, lanes = self.b, self.axes.lanes
        names = {dim.name: b.fresh(dim.name) for dim in self.axes.dims}
        b.declare({names[dim.name]: dim.extent for dim in self.axes.dims})
        counted = [(names[name], extent) for name, extent in self.axes.counted]
        last, extent = counted[-1]
        if lower is not None:
            b.multiples[last] = lanes
            b.bind(last, b.add(lower, b.mul(place, lanes)))
            names = {name: symbol if symbol == last else name for name, symbol in names.items()}
        elif lanes > 1:
            vector = b.fresh("vector")
            b.declare({vector: extent})
            b.bind_point([*counted[:-1], (vector, extent)], place)
            b.multiples[last] = lanes
            b.bind(last, b.mul(b.at(sym(vector)), lanes))
        else:
            b.bind_point(counted, place)
        return _Step(self._site(names), exists, {})

    def _dealt(self) -> list[_Step]:
        """This member's vectors of a row in registers."""
        b, size = self.b, self.team.size
        count = rows_of(self.axes.dims).value // self.axes.lanes
        steps: list[_Step] = []
        for number in range(self.axes.steps):
            place = b.add(self.team.member, number * size)
            exists = None
            if (number + 1) * size > count:
                exists = b.test("slt", place, count)
                place = b.pick(exists, place, 0)  # a vector that is not there is the first one, and goes nowhere
            steps.append(self._step(place, exists))
        return steps

    def _walk(self, body: _Body, init: Sequence[SSAValue], unroll: int) -> tuple[SSAValue, ...]:
        """`body(steps, *carried)` at this member's vectors, `unroll` at a time while there are as many."""
        b, axes = self.b, self.axes
        if not axes.dims:
            return tuple(body([_Step(self._site({}), None, {})], *init))
        if not axes.ranges:
            count = rows_of(axes.dims) // axes.lanes
            return self._strided(b.at(count), None, body, init, unroll)
        ranges: list[tuple[str, DimExpr, DimExpr]] = []
        for dim in axes.dims:
            low, high = axes.ranges.get(dim.name, (const(0), dim.extent))
            ranges.append((dim.name, low, high))
        _, lower, upper = ranges[-1]

        def inner(*carried: SSAValue) -> Sequence[SSAValue]:
            count = b.maximum(b.sub(b.at(upper), b.at(lower)), 0)  # a range may end before it begins
            return self._strided(count, b.at(lower), body, carried, unroll)

        return b.for_all(ranges[:-1], inner, init)

    def _strided(
        self, count: SSAValue, lower: SSAValue | None, body: _Body, carried: Sequence[SSAValue], unroll: int
    ) -> tuple[SSAValue, ...]:
        """Vectors member, member + size, … below `count`."""
        b, size, start = self.b, self.team.size, self.b.index(self.team.member)
        known = b.known(count)
        if known is not None and known < 2 * unroll * size:
            unroll = 1

        def run(number: int) -> Callable[..., Sequence[SSAValue]]:
            def vectors(place: SSAValue, *values: SSAValue) -> Sequence[SSAValue]:
                return body([self._step(b.add(place, u * size), lower=lower) for u in range(number)], *values)

            return vectors

        if unroll > 1:
            stride = unroll * size
            carried = b.loop(start, b.sub(count, stride - size), stride, run(unroll), carried)
            done = (sym("n") - sym("m") + (size - 1)) // stride * stride
            start = b.add(start, b.apply(done, {"n": count, "m": start}))
        return b.loop(start, count, size, run(1), carried)

    # -- one pass

    def _pass(self, number: int) -> None:
        b, stages, folds = self.b, self.stages, self.stages.folds[number]
        if not self.across.lanes:
            everywhere = Site(self.across.point, tuple((dim.name, 1) for dim in self.axes.dims), (None,) * len(self.axes.dims))
            for op in (*stages.each_ops(number), *folds):
                self.regions[op].invariants(dict(self.known), everywhere)
        shape = self.across.shape or ((self.axes.lanes,) if self.axes.lanes > 1 else ())
        start = [b.splat(b.attribute(value), value.type, shape) for fold in folds for value in fold.init.data]  # pyright: ignore[reportAttributeAccessIssue]
        if self.axes.steps:
            self._finish(folds, self._vectors(number, self.steps, start))
            return

        unroll = HEAVY if stages.is_heavy(number) else LIGHT
        self._finish(folds, self._walk(lambda steps, *carried: self._vectors(number, steps, carried), start, unroll))

    def _vectors(self, number: int, steps: Sequence[_Step], carried: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """A pass over some vectors: all loads, then folds, then stores; returns the accumulators."""
        arguments = [value for value in self.stages.needed(number) if isinstance(value, BlockArgument)]
        for step in steps:
            for value in arguments:
                self._row(value, step)
        for step in steps:
            carried = self._folds(number, step, carried)
        for step in steps:
            self._write(number, step)
        return carried

    # -- one vector

    def _folds(self, number: int, step: _Step, carried: Sequence[SSAValue]) -> list[SSAValue]:
        """The accumulators of the pass's folds after this vector."""
        accumulators: list[SSAValue] = []
        for fold in self.stages.folds[number]:
            old = list(carried[len(accumulators) :][: len(fold.init.data)])
            elements = [self._row(row, step) for row in fold.rows]
            args: Values = dict(zip(fold.body.block.args, [*old, *elements], strict=True))
            new = [full(self.b, value, step.site) for value in self.regions[fold].run(args, step.site, self.known)]
            if step.exists is not None:
                new = [self.b.value(arith.SelectOp(step.exists, n, o)) for n, o in zip(new, old, strict=True)]
            accumulators += new
        return accumulators

    def _write(self, number: int, step: _Step) -> None:
        due = [
            (operand, value)
            for operand, value, written in zip(self.b.outs, self.stages.results, self.stages.writes, strict=True)
            if is_row(value) and written == number
        ]
        if due:
            values = [self._row(value, step) for _, value in due]
            self._store([operand for operand, _ in due], values, step.site, step.exists)

    def _row(self, value: SSAValue, step: _Step) -> SSAValue:
        """A row value at a vector: known, loaded or computed."""
        found = step.rows.get(value)
        if found is not None:
            return found
        op = value.owner
        if isinstance(op, Block):
            step.rows[value] = load(self.b, self.row_args[value], step.site)
        else:
            assert isinstance(op, EachOp)
            elements = [self._row(row, step) for row in op.rows]
            args: Values = dict(zip(op.body.block.args, elements, strict=True))
            step.rows |= zip(op.outs, self.regions[op].run(args, step.site, self.known), strict=True)
        return step.rows[value]

    # -- ends of folds

    def _finish(self, folds: Sequence[FoldOp], ends: Sequence[SSAValue]) -> None:
        """What all members have folded, in every member."""
        if not folds:
            return
        partials: list[Partial] = []
        position = 0
        for fold in folds:
            accumulators = list(ends[position : position + len(fold.init.data)])
            position += len(accumulators)
            kinds = combine_kinds(fold)
            merge = self._merge(fold)
            if not self.across.lanes and self.axes.lanes > 1:
                accumulators = self._lanes(accumulators, kinds, merge)
            partials.append(Partial(accumulators, merge, kinds))
        for fold, values in zip(folds, self.team.combine(partials), strict=True):
            self.known |= zip(fold.outs, values, strict=True)

    def _merge(self, fold: FoldOp) -> Callable[[Sequence[SSAValue], Sequence[SSAValue]], list[SSAValue]]:
        def merge(first: Sequence[SSAValue], second: Sequence[SSAValue]) -> list[SSAValue]:
            args: Values = dict(zip(fold.combine.block.args, [*first, *second], strict=True))
            return [full(self.b, v, self.across) for v in self.combines[fold].run(args, self.across, self.known)]

        return merge

    def _lanes(
        self, values: list[SSAValue], kinds: list[str] | None, merge: Callable[..., list[SSAValue]]
    ) -> list[SSAValue]:
        """The lanes of a member's accumulators in one."""
        b = self.b
        if kinds is not None:
            return [b.reduce(kind, value) for kind, value in zip(kinds, values, strict=True)]
        (size,) = shape_of(values[0].type)
        parts = [[b.value(ExtractOp(value, lane)) for value in values] for lane in range(size)]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [merge(parts[i], parts[i + half]) for i in range(half)]
        return parts[0]

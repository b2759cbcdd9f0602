"""The rows of a `lir.reduce`: passes over one row, or over as many rows as a vector has lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.ir import Block, SSAValue
from xdsl.ir import Region as IrRegion

from rlx_backends.cpu.schedules.columns import along
from rlx_backends.support.kernel_builder import KernelBuilder, Operand
from rlx_backends.support.regions import Region, Values, block_args
from rlx_backends.support.row_stages import RowStages, combine_kinds, is_row, merged_elements
from rlx_backends.support.sites import Site, full, load, load_place, mask_of, store
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.kernel.reduction import ReduceWithOp, YieldOp
from rlx_dialects.kernel.types import shape_of
from rlx_dialects.lir import EachOp, FoldOp, ReduceOp

Loop = tuple[str, DimExpr, DimExpr]
"""(symbol, lower, upper) of a reduce dim."""
Accumulators = list[SSAValue]


class RowKernel:
    """Emits the passes over a row. `loops` are the reduce dims, outermost first, with their `extents`.

    `lanes`: how many elements of the last of them run along vectors in a light and in a heavy pass; None if the lanes are rows
    (or there are none).
    """

    def __init__(
        self,
        b: KernelBuilder,
        form: ReduceOp,
        stages: RowStages,
        point: Mapping[str, DimExpr],
        loops: Sequence[Loop],
        extents: Mapping[str, DimExpr],
        lanes: tuple[int, int] | None,
    ):
        self.b = b
        self.form = form
        self.stages = stages
        self.point = point
        self.loops = list(loops)
        self.extents = extents
        self.lanes = lanes
        self.whole, elements = block_args(form.body.block.args, b.ins)
        self.row_args: dict[SSAValue, Operand] = {arg: operand for arg, operand in elements.items() if is_row(arg)}
        self.scalar_args = {arg: operand for arg, operand in elements.items() if not is_row(arg)}
        self.scratch: dict[SSAValue, SSAValue] = dict(zip(stages.kept, b.scratch, strict=True))
        self.resident = b.schedule.kind.data == "registers"

    # -- one row

    def emit(self, across: Site) -> None:
        """All passes at the row (or rows) `across`."""
        b, stages = self.b, self.stages
        self.across = across
        self.top = Region(b, self.form.body.block, self.whole)
        self.regions = {op: Region(b, op.body.block, self.whole) for op in stages.stages}
        self.known: Values = {arg: load(b, operand, across) for arg, operand in self.scalar_args.items()}
        self.rows: Values = {}
        self._scalars(0)
        for number in range(stages.passes):
            self._pass(number)
            self._scalars(number + 1)
        for operand, value in zip(b.outs, stages.results, strict=True):
            if not is_row(value):
                store(b, operand, self._scalar(value), across)

    def _scalars(self, level: int) -> None:
        """What follows from the folds so far."""
        wanted = [value for value in self.stages.scalars if self.stages.level[value] == level]
        if wanted:
            self.known |= zip(wanted, self.top.run(self.known, self.across, wanted=wanted), strict=True)

    def _scalar(self, value: SSAValue) -> SSAValue:
        """A scalar result; an index expression is made here."""
        return self.known[value] if value in self.known else self.top.run(self.known, self.across, wanted=[value])[0]

    # -- one pass

    def _pass(self, number: int) -> None:
        b, folds = self.b, self.stages.folds[number]
        if self.lanes is not None:
            everywhere = Site(self.point, tuple((name, 1) for name, _, _ in self.loops), (None,) * len(self.loops))
            for op in (*self.stages.each_ops(number), *folds):
                self.regions[op].invariants(dict(self.known), everywhere)
        if self.resident:
            self._resident_pass(number)
            return
        width = 0 if self.lanes is None else self.lanes[self.stages.is_heavy(number)]
        shape = self.across.shape if self.lanes is None else (width,)
        start = [b.splat(b.attribute(value), value.type, shape) for fold in folds for value in fold.init.data]  # pyright: ignore[reportAttributeAccessIssue]
        if self.lanes is None:
            ends = b.for_all(self.loops, lambda *carried: self._chunk(number, self.across, carried), start)
        else:
            name, lower, upper = self.loops[-1]
            exact = b.facts.divisor(upper - lower) % width == 0

            def inner(*carried: SSAValue) -> Sequence[SSAValue]:
                def vector(count: SSAValue | None, *values: SSAValue) -> Sequence[SSAValue]:
                    return self._chunk(number, Site(self.point, ((name, width),), (count,)), values)

                return along(b, name, b.at(lower), b.at(upper), width, exact, vector, carried)

            ends = b.for_all(self.loops[:-1], inner, start)
        self._finish(folds, ends)

    # -- one vector or point

    def _chunk(self, number: int, site: Site, carried: Sequence[SSAValue]) -> list[SSAValue]:
        """The stages of a pass at `site`; returns the accumulators after it."""
        b, stages = self.b, self.stages
        rows: Values = {}
        accumulators: list[SSAValue] = []
        position = 0
        mask = mask_of(b, site) if self.lanes is not None else None
        for fold in stages.folds[number]:
            old = list(carried[position : position + len(fold.init.data)])
            position += len(old)
            new = self._folded(fold, old, number, site, rows)
            accumulators += [b.select(mask, n, o) if mask is not None else n for n, o in zip(new, old, strict=True)]
        for value, first in stages.kept.items():
            if first == number:
                self._keep(value, self._row(value, number, site, rows), site)
        self._write(number, site, rows)
        return accumulators

    def _folded(self, fold: FoldOp, old: Accumulators, number: int, site: Site, rows: Values) -> Accumulators:
        block = fold.body.block
        elements = [self._row(row, number, site, rows) for row in fold.rows]
        args: Values = dict(zip(block.args, [*old, *elements], strict=True))
        return [full(self.b, value, site) for value in self.regions[fold].run(args, site, self.known)]

    def _write(self, number: int, site: Site, rows: Values) -> None:
        """Row results: all values first, since a store may go where an operand lies."""
        due = [
            (operand, value)
            for operand, value, written in zip(self.b.outs, self.stages.results, self.stages.writes, strict=True)
            if is_row(value) and written == number
        ]
        values = [self._row(value, number, site, rows) for _, value in due]
        for (operand, _), value in zip(due, values, strict=True):
            store(self.b, operand, value, site)

    def _row(self, value: SSAValue, number: int, site: Site, rows: Values) -> SSAValue:
        """A row value at `site`: loaded, computed, or taken from what an earlier pass kept."""
        found = rows.get(value)
        if found is not None:
            return found
        op = value.owner
        if isinstance(op, Block):
            rows[value] = load(self.b, self.row_args[value], site)
        elif self.stages.kept.get(value, number) != number:
            rows[value] = self._kept(value, site)
        else:
            assert isinstance(op, EachOp)
            elements = [self._row(row, number, site, rows) for row in op.rows]
            args: Values = dict(zip(op.body.block.args, elements, strict=True))
            results = self.regions[op].run(args, site, self.known)
            rows |= zip(op.outs, results, strict=True)
        return rows[value]

    # -- kept values

    def _place(self) -> DimExpr:
        """The number of the current point of the row in scratch."""
        place = const(0)
        for name, _, _ in self.loops:
            place = place * self.extents[name] + sym(name)
        return place * (self.across.shape[0] if self.across.lanes else 1)

    def _keep(self, value: SSAValue, made: SSAValue, site: Site) -> None:
        b = self.b
        mask = mask_of(b, site) if self.lanes is not None else None
        b.store(full(b, made, site), self.scratch[value], b.at(self._place()), mask=mask)

    def _kept(self, value: SSAValue, site: Site) -> SSAValue:
        b = self.b
        if self.lanes is not None:
            return load_place(b, self.scratch[value], self._place(), site)
        return b.load(self.scratch[value], b.at(self._place()), site.shape)

    # -- ends of folds

    def _finish(self, folds: Sequence[FoldOp], ends: Sequence[SSAValue]) -> None:
        position = 0
        for fold in folds:
            accumulators = list(ends[position : position + len(fold.init.data)])
            position += len(accumulators)
            if self.lanes is not None:
                accumulators = self._across_lanes(fold, accumulators)
            self.known |= zip(fold.outs, accumulators, strict=True)

    def _across_lanes(self, fold: FoldOp, accumulators: Accumulators) -> Accumulators:
        b = self.b
        if shape_of(accumulators[0].type) == ():
            return accumulators
        kinds = combine_kinds(fold)
        if kinds is not None:
            return [b.reduce(kind, value) for kind, value in zip(kinds, accumulators, strict=True)]
        source = fold.combine.block
        block = Block(arg_types=[arg.type for arg in source.args])
        values = dict(self.known) | dict(zip(source.args, block.args, strict=True))
        last = source.last_op
        assert last is not None
        for op in source.ops:
            if op is not last:
                block.add_op(op.clone(values))
        block.add_op(YieldOp(*(values[value] for value in last.operands)))
        return list(b.op(ReduceWithOp(accumulators, IrRegion(block))).results)

    # -- a row in registers

    def _resident_pass(self, number: int) -> None:
        """A pass over a row that is one vector: values stay in `rows`, folds take them at once."""
        b = self.b
        assert self.lanes is not None
        name, lower, upper = self.loops[-1]
        lanes, size = self.lanes[0], upper.value
        b.bind(name, b.at(lower))
        site = Site(self.point, ((name, lanes),), (None if size == lanes else size,))
        mask = mask_of(b, site)
        for fold in self.stages.folds[number]:
            merged = merged_elements(fold)
            start: Accumulators = []
            if merged is None or mask is not None:
                start = [full(b, b.attribute(value), site) for value in fold.init.data]
            if merged is None:
                new = self._folded(fold, start, number, site, self.rows)
            else:
                elements = [self._row(row, number, site, self.rows) for row in fold.rows]
                args: Values = dict(zip(fold.body.block.args[len(fold.init.data) :], elements, strict=True))
                new = [full(b, v, site) for v in self.regions[fold].run(args, site, self.known, wanted=merged)]
            if mask is not None:
                new = [b.select(mask, value, old) for value, old in zip(new, start, strict=True)]
            self.known |= zip(fold.outs, self._across_lanes(fold, new), strict=True)
        self._write(number, site, self.rows)

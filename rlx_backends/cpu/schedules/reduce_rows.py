"""The work of `lir.reduce` on one row, or on one vector of rows: passes over the axis, driven by what the results need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith, math
from xdsl.ir import Block, Operation, Region, SSAValue

from rlx_backends.support import regions
from rlx_backends.support.kernel_builder import Index, KernelBuilder
from rlx_backends.support.regions import block_args
from rlx_backends.support.sites import Site, full, load, mask_of, store
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.kernel.reduction import ReduceWithOp, YieldOp
from rlx_dialects.lir import EachOp, FoldOp, ReduceOp, RowType
from rlx_dialects.lir import YieldOp as LirYieldOp

REDUCTIONS: dict[type[Operation], str] = {
    arith.AddfOp: "add",
    arith.MulfOp: "mul",
    arith.MaximumfOp: "maximumf",
    arith.MinimumfOp: "minimumf",
    arith.MaxnumfOp: "maxnumf",
    arith.MinnumfOp: "minnumf",
    arith.AddiOp: "add",
    arith.MuliOp: "mul",
    arith.MaxSIOp: "maxsi",
    arith.MinSIOp: "minsi",
    arith.MaxUIOp: "maxui",
    arith.MinUIOp: "minui",
    arith.AndIOp: "and",
    arith.OrIOp: "or",
    arith.XOrIOp: "xor",
}
LAST_PASS = 1 << 30

Chunk = Callable[[Site, dict[SSAValue, SSAValue], Sequence[SSAValue]], Sequence[SSAValue]]
"""Code at one place of the axis: (site, row values known there, carried values) to the next carried values."""


# -- what depends on what


def captures(op: EachOp | FoldOp) -> list[SSAValue]:
    """Values of the form's own block that a stage's region uses."""
    block = op.parent_block()
    found = dict.fromkeys(
        value
        for inner in op.walk()
        if inner is not op
        for value in inner.operands
        if value.owner is block or (isinstance(value.owner, Operation) and value.owner.parent_block() is block)
    )
    return list(found)


def _inputs(op: Operation) -> list[SSAValue]:
    return [*op.operands, *captures(op)] if isinstance(op, EachOp | FoldOp) else list(op.operands)


def folds_behind(value: SSAValue) -> list[FoldOp]:
    """The folds that a value depends on, in the order of the block."""
    found: set[Operation] = set()
    pending = [value]
    while pending:
        owner = pending.pop().owner
        if isinstance(owner, Operation) and owner not in found:
            found.add(owner)
            pending += _inputs(owner)
    block = value.owner.parent_block() if isinstance(value.owner, Operation) else None
    return [op for op in block.ops if isinstance(op, FoldOp) and op in found] if block is not None else []


def levels(form: ReduceOp) -> dict[FoldOp, int]:
    """The pass over the row in which each fold is computed: one after the last fold that it needs."""
    level: dict[FoldOp, int] = {}
    for op in form.body.block.ops:
        if isinstance(op, FoldOp):
            behind = [fold for value in _inputs(op) for fold in folds_behind(value)]
            level[op] = 1 + max((level[fold] for fold in behind), default=0)
    return level


def _is_dear(op: EachOp) -> bool:
    return any(isinstance(inner, arith.DivfOp) or inner.name.startswith(math.Math.name + ".") for inner in op.walk())


def kept_rows(form: ReduceOp) -> list[SSAValue]:
    """Results of stages with functions or divisions in them that more than one pass needs."""
    level = levels(form)
    last = form.body.block.last_op
    assert last is not None
    kept: list[SSAValue] = []
    for op in form.body.block.ops:
        if not isinstance(op, EachOp) or not _is_dear(op):
            continue
        for result in op.outs:
            passes = {level[fold] for fold in level if _uses_row(fold, result, kept)}
            if any(value is result or _reaches(value, result, kept) for value in last.operands):
                passes.add(LAST_PASS)
            if len(passes) > 1:
                kept.append(result)
    return kept


def _uses_row(fold: FoldOp, row: SSAValue, kept: Sequence[SSAValue]) -> bool:
    return any(value is row or _reaches(value, row, kept) for value in fold.operands)


def _reaches(value: SSAValue, row: SSAValue, kept: Sequence[SSAValue]) -> bool:
    """Whether computing `value` at one place of the axis computes `row` there."""
    owner = value.owner
    if value in kept or not isinstance(owner, EachOp):
        return False
    return any(operand is row or _reaches(operand, row, kept) for operand in owner.operands)


# -- code


class RowKernel:
    """`rows` = (dim, lanes, count) spreads neighbouring rows over lanes; `axis` = (dim, lanes) spreads the last reduce dim."""

    def __init__(
        self, b: KernelBuilder, form: ReduceOp, rows: tuple[str, int, Index | None] | None, axis: tuple[str, int] | None
    ):
        self.b = b
        self.form = form
        self.block = form.body.block
        self.axis = axis
        self.site = Site({}, (rows[:2],), (rows[2],)) if rows else Site()
        self.lanes = rows[1] if rows else 1
        self.whole, self.elements = block_args(self.block.args, b.ins)
        self.scalars: dict[SSAValue, SSAValue] = {}
        self.region = regions.Region(b, self.block, self.whole)
        self.folds = [op for op in self.block.ops if isinstance(op, FoldOp)]
        self.done: set[FoldOp] = set()
        self.scratch = dict(zip(kept_rows(form), b.scratch, strict=True))
        self.stored: set[SSAValue] = set()

    def write(self) -> None:
        """All results of the row."""
        last = self.block.last_op
        assert last is not None
        pairs = list(zip(self.b.outs, last.operands, strict=True))
        for value in last.operands:
            for fold in folds_behind(value):
                self._fold(fold)
        rows = [(operand, value) for operand, value in pairs if isinstance(value.type, RowType)]
        singles = [(operand, self._scalar(value)) for operand, value in pairs if not isinstance(value.type, RowType)]
        if rows:
            self._prepare([value for _, value in rows])

            def chunk(site: Site, known: dict[SSAValue, SSAValue], carried: Sequence[SSAValue]) -> Sequence[SSAValue]:
                values = [self._row(value, site, known) for _, value in rows]
                for (operand, _), value in zip(rows, values, strict=True):
                    store(self.b, operand, value, site)
                return ()

            self._pass(chunk, [])
        for operand, value in singles:
            store(self.b, operand, value, self.site)

    # -- values of the whole row

    def _scalar(self, value: SSAValue) -> SSAValue:
        """A value that is one number per row: a scalar, or a vector over the rows."""
        found = self.scalars.get(value)
        if found is not None:
            return found
        needed = [value, *(v for op in regions.needed_ops(self.block, [value], self.scalars) for v in op.operands)]
        for operand in needed:
            if operand in self.elements and operand not in self.scalars:
                self.scalars[operand] = load(self.b, self.elements[operand], self.site)
        if value not in self.scalars:
            self.scalars[value] = self.region.run(self.scalars, self.site, wanted=[value])[0]
        return self.scalars[value]

    def _prepare(self, rows: Sequence[SSAValue]) -> None:
        """Compute what stages behind these rows capture, before the loop over the axis."""
        pending, seen = list(rows), set[SSAValue]()
        while pending:
            value = pending.pop()
            owner = value.owner
            if value in seen or value in self.stored or not isinstance(owner, EachOp | FoldOp):
                continue
            seen.add(value)
            for captured in captures(owner):
                if captured not in self.whole:
                    self._scalar(captured)
            pending += owner.operands

    def _fold(self, fold: FoldOp) -> None:
        """Compute a fold and all others that can be computed in the same pass."""
        if fold in self.done:
            return
        for value in _inputs(fold):
            for before in folds_behind(value):
                self._fold(before)
        ready = [f for f in self.folds if f not in self.done and all(g in self.done for v in _inputs(f) for g in folds_behind(v))]
        b = self.b
        self._prepare([result for f in ready for result in f.outs[:1]])
        shape = (self.axis[1],) if self.axis and self.axis[1] > 1 else self.site.shape
        starts = [b.splat(b.attribute(value), result.type, shape) for f in ready for value, result in zip(f.init, f.outs, strict=True)]

        def chunk(site: Site, known: dict[SSAValue, SSAValue], carried: Sequence[SSAValue]) -> Sequence[SSAValue]:
            left, made = list(carried), list[SSAValue]()
            mask = mask_of(b, site) if self.axis and site.lanes else None
            for f in ready:
                accs, left = left[: len(f.outs)], left[len(f.outs) :]
                elements = [self._row(row, site, known) for row in f.rows]
                block = f.body.block
                args = dict(zip(block.args, [*accs, *elements], strict=True))
                new = [full(b, v, site) for v in regions.Region(b, block, self.whole).run(args, site, outer=self.scalars)]
                made += new if mask is None else [b.select(mask, n, a) for n, a in zip(new, accs, strict=True)]
            return made

        ends = list(self._pass(chunk, starts))
        for f in ready:
            parts, ends = ends[: len(f.outs)], ends[len(f.outs) :]
            if self.axis and self.axis[1] > 1:
                parts = self._across_lanes(f, parts)
            self.scalars |= dict(zip(f.outs, parts, strict=True))
            self.done.add(f)

    def _across_lanes(self, fold: FoldOp, parts: Sequence[SSAValue]) -> Sequence[SSAValue]:
        b = self.b
        ops = [op for op in fold.combine.block.ops if not isinstance(op, LirYieldOp)]
        if len(ops) == 1 and len(parts) == 1 and set(ops[0].operands) == set(fold.combine.block.args):
            kind = REDUCTIONS.get(type(ops[0]))
            if kind is not None:
                return [b.reduce(kind, parts[0])]
        kinds = [value.type for value in fold.outs]
        block = Block(arg_types=kinds * 2)
        mapping: dict[SSAValue, SSAValue] = dict(zip(fold.combine.block.args, block.args, strict=True))
        mapping |= self.scalars
        for op in fold.combine.block.ops:
            if isinstance(op, LirYieldOp):
                block.add_op(YieldOp(*(mapping[value] for value in op.values)))
            else:
                block.add_op(op.clone(mapping))
        made = ReduceWithOp(parts, Region(block))
        b.op(made)
        return list(made.results)

    # -- values along the axis

    def _row(self, value: SSAValue, site: Site, known: dict[SSAValue, SSAValue]) -> SSAValue:
        """A row value at a place of the axis; `known` are those computed at this place already."""
        found = known.get(value)
        if found is not None:
            return found
        b = self.b
        if value in self.elements:
            known[value] = load(b, self.elements[value], site)
        elif value in self.stored:
            known[value] = b.load(self.scratch[value], b.at(self._kept_place()), site.shape)
        else:
            stage = value.owner
            assert isinstance(stage, EachOp)
            block = stage.body.block
            args = {arg: self._row(row, site, known) for arg, row in zip(block.args, stage.rows, strict=True)}
            results = regions.Region(b, block, self.whole).run(args, site, outer=self.scalars)
            known |= dict(zip(stage.outs, results, strict=True))
            for result in stage.outs:
                if result in self.scratch and result not in self.stored:
                    b.store(full(b, known[result], site), self.scratch[result], b.at(self._kept_place()))
        return known[value]

    def _kept_place(self) -> DimExpr:
        place = const(0)
        for it in self.form.group("reduce"):
            place = place * it.dim + sym(it.symbol.data)
        return place * self.lanes

    def _pass(self, chunk: Chunk, carried: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """Once over the axis."""
        b = self.b
        computed: set[SSAValue] = set()

        def run(site: Site, values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            known: dict[SSAValue, SSAValue] = {}
            result = chunk(site, known, values)
            computed.update(known)
            return result

        reduce = self.form.group("reduce")
        outer = [(it.symbol.data, *it.range) for it in (reduce[:-1] if self.axis else reduce)]

        def inner(*values: SSAValue) -> Sequence[SSAValue]:
            if self.axis is None or not reduce:
                return run(self.site, values)
            name, lanes = self.axis
            lower, upper = reduce[-1].range
            size = upper - lower
            if lanes == 1:
                return b.for_dim(name, b.at(lower), b.at(upper), 1, lambda *v: run(Site(), v), values)
            end, full_site = b.at(lower + size // lanes * lanes), Site({}, (self.axis,), (None,))
            values = b.for_dim(name, b.at(lower), end, lanes, lambda *v: run(full_site, v), values)
            if b.facts.divisor(size) % lanes == 0:
                return values

            def tail(*values: SSAValue) -> Sequence[SSAValue]:
                count = b.sub(b.at(upper), b.index(b.env[name]))
                return run(Site({}, full_site.lanes, (count,)), values)

            return b.for_dim(name, end, b.at(upper), lanes, tail, values)

        result = b.for_all(outer, inner, carried)
        self.stored |= computed & set(self.scratch)
        return result


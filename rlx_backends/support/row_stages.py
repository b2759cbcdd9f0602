"""The stages of a `lir.reduce` in passes over the row.

A value's level is how many folds lie before it on the longest way. Pass k reads the row once: it computes what has level k from
the operands, feeds the folds of that level, and the last pass writes the row results. Pointwise stages are cheap enough to be
computed again in a later pass; the dear ones (exp, division, reads at computed places) are kept: in scratch, or in registers
where the whole row is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from xdsl.dialects import arith, math
from xdsl.ir import Attribute, Block, BlockArgument, Operation, SSAValue

from rlx_dialects.lir import EachOp, FoldOp, IndexOp, ReadOp, ReduceOp, RowType, YieldOp

DEAR = (
    arith.DivfOp,
    arith.DivSIOp,
    arith.DivUIOp,
    arith.RemSIOp,
    arith.RemUIOp,
    arith.FloorDivSIOp,
    arith.CeilDivSIOp,
    arith.CeilDivUIOp,
    ReadOp,
)
"""Ops that take longer on a vector than storing it and loading it again; so do all of `math` but `CHEAP_MATH`."""
CHEAP_MATH = (
    math.FmaOp,
    math.AbsFOp,
    math.AbsIOp,
    math.CopySignOp,
    math.FloorOp,
    math.CeilOp,
    math.TruncOp,
    math.RoundOp,
    math.RoundEvenOp,
)

KINDS: dict[type[Operation], str] = {
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
"""What `kernel.reduce` calls the ops it knows."""


def is_dear(op: Operation) -> bool:
    """Whether an op of a region is worth keeping the result of."""
    return isinstance(op, DEAR) or (op.name.startswith("math.") and not isinstance(op, CHEAP_MATH))


def is_row(value: SSAValue) -> bool:
    return isinstance(value.type, RowType)


def element_type(value: SSAValue) -> Attribute:
    """The type of a row's elements."""
    assert isinstance(value.type, RowType)
    return value.type.element_type


def captures(op: Operation) -> list[SSAValue]:
    """What the regions of a stage use from outside, in order of use."""
    inside = [block for region in op.regions for block in region.blocks]
    found: dict[SSAValue, None] = {}
    for region in op.regions:
        for nested in region.walk():
            for value in nested.operands:
                home = value.owner if isinstance(value.owner, Block) else value.owner.parent_block()
                if home not in inside:
                    found[value] = None
    return list(found)


class RowStages:
    """The live ops of a reduce's region by pass.

    With `clashes` the whole row stays in registers: every stage is computed once, nothing is kept elsewhere, and result number r
    is written as soon as its value is there, unless `clashes(r, a)` for an operand a that a later pass is the first to load: the
    two may share memory.
    """

    def __init__(self, form: ReduceOp, clashes: Callable[[int, int], bool] | None = None):
        self.block = form.body.block
        last = self.block.last_op
        assert isinstance(last, YieldOp)
        self.results = list(last.values)
        self.level: dict[SSAValue, int] = dict.fromkeys(self.block.args, 0)
        live = self._live()
        self.stages: list[EachOp | FoldOp] = []
        self.scalars: list[SSAValue] = []
        """Results of the live scalar ops but `lir.index`, which is made where it is used."""
        deepest = 0
        for op in self.block.ops:
            if op is last or op not in live:
                continue
            level = max((self.level[value] for value in _dependences(op)), default=0)
            if isinstance(op, FoldOp):
                deepest = max(deepest, level + 1)
                level += 1
            self.level |= dict.fromkeys(op.results, level)
            if isinstance(op, EachOp | FoldOp):
                self.stages.append(op)
            elif not isinstance(op, IndexOp):
                self.scalars += op.results
        rows = [self.level[value] + 1 for value in self.results if is_row(value)]
        self.passes = max([deepest, *rows], default=0)
        self.folds = [self._folds_of(k) for k in range(self.passes)]
        self.writes = [self.passes - 1] * len(self.results)
        """The pass that writes each row result."""
        self.kept: dict[SSAValue, int] = {}
        """Dear row values that a later pass needs, and the pass that computes them."""
        if clashes is None:
            self.kept = self._kept()
        else:
            self._write_early(clashes)

    def _live(self) -> set[Operation]:
        live: set[Operation] = set()
        pending: list[SSAValue] = list(self.results)
        while pending:
            owner = pending.pop().owner
            if isinstance(owner, Operation) and owner not in live:
                live.add(owner)
                pending += _dependences(owner)
        return live

    def _folds_of(self, level: int) -> list[FoldOp]:
        return [op for op in self.stages if isinstance(op, FoldOp) and self.level[op.outs[0]] == level + 1]

    def roots(self, number: int) -> list[SSAValue]:
        """The row values that pass `number` exists for: operands of its folds, and the results that it writes."""
        results = [value for value, written in zip(self.results, self.writes, strict=True) if is_row(value) and written == number]
        return [row for fold in self.folds[number] for row in fold.rows] + results

    def needed(
        self, number: int, roots: Sequence[SSAValue] | None = None, kept: dict[SSAValue, int] | None = None
    ) -> list[SSAValue]:
        """The row values computed or loaded in a pass, operands included; what an earlier pass kept is not computed."""
        kept = self.kept if kept is None else kept
        found: dict[SSAValue, None] = {}
        pending = list(self.roots(number) if roots is None else roots)
        while pending:
            value = pending.pop()
            if value in found:
                continue
            found[value] = None
            if isinstance(value.owner, EachOp) and kept.get(value, number) == number:
                pending += value.owner.rows
        return list(found)

    def each_ops(self, number: int) -> list[EachOp]:
        """The pointwise stages that pass `number` computes."""
        computed = {v for v in self.needed(number) if self.kept.get(v, number) == number}
        return [op for op in self.stages if isinstance(op, EachOp) and not computed.isdisjoint(op.outs)]

    def _kept(self) -> dict[SSAValue, int]:
        dear = [op for op in self.stages if isinstance(op, EachOp) and any(map(is_dear, op.body.block.ops))]
        everything = [set(self.needed(k, kept={})) for k in range(self.passes)]
        kept: dict[SSAValue, int] = {}
        for op in dear:
            for value in op.outs:
                passes = [k for k, values in enumerate(everything) if value in values]
                if len(passes) > 1:
                    kept[value] = passes[0]
        # A value that only a kept one was needed for is not needed again.
        used = {v for k in range(self.passes) for v in self.needed(k, kept=kept) if kept.get(v, k) != k}
        return {value: first for value, first in kept.items() if value in used}

    def is_heavy(self, number: int) -> bool:
        """Whether a pass computes enough for each vector that wide steps would not fit into registers."""
        blocks = [op.body.block for op in (*self.each_ops(number), *self.folds[number])]
        return any(is_dear(op) for block in blocks for op in block.ops)

    def _spans(self) -> dict[SSAValue, tuple[int, int]]:
        """Row values -> the first and the last pass that needs them, if every stage is computed once."""
        spans: dict[SSAValue, tuple[int, int]] = {}
        for number in range(self.passes):
            pending = list(self.roots(number))
            while pending:
                value = pending.pop()
                if value not in spans and isinstance(value.owner, EachOp):
                    pending += value.owner.rows
                spans[value] = spans.get(value, (number, number))[0], number
        return spans

    def _write_early(self, clashes: Callable[[int, int], bool]) -> None:
        loaded = {value.index: first for value, (first, _) in self._spans().items() if isinstance(value, BlockArgument)}
        for position, value in enumerate(self.results):
            level = self.level[value]
            if is_row(value) and not any(first > level and clashes(position, arg) for arg, first in loaded.items()):
                self.writes[position] = level

    def carried(self) -> int:
        """The most row values that are alive between two passes if every stage is computed once."""
        spans = self._spans().values()
        return max((sum(first <= k < last for first, last in spans) for k in range(self.passes)), default=0)


def _dependences(op: Operation) -> Iterator[SSAValue]:
    yield from op.operands
    yield from captures(op)


# -- folds


def combine_kinds(fold: FoldOp) -> list[str] | None:
    """For each accumulator the `kernel.reduce` that merges lanes as `combine` does; None if it is not one of each alone."""
    block = fold.combine.block
    last = block.last_op
    assert isinstance(last, YieldOp)
    count = len(fold.init.data)
    kinds: list[str] = []
    for position, value in enumerate(last.values):
        op = value.owner
        if not isinstance(op, Operation) or type(op) not in KINDS:
            return None
        if set(op.operands) != {block.args[position], block.args[count + position]}:
            return None
        kinds.append(KINDS[type(op)])
    return kinds


def merged_elements(fold: FoldOp) -> list[SSAValue] | None:
    """For each accumulator the value that one known op of the body, the same as `combine`'s, merges into it; None if the body
    does more.
    """
    kinds = combine_kinds(fold)
    block = fold.body.block
    last = block.last_op
    assert isinstance(last, YieldOp)
    if kinds is None:
        return None
    elements: list[SSAValue] = []
    for kind, accumulator, value in zip(kinds, block.args, last.values, strict=False):
        op = value.owner
        if not isinstance(op, Operation) or KINDS.get(type(op)) != kind or op.parent_block() is not block:
            return None
        if len(list(accumulator.uses)) != 1 or len(list(value.uses)) != 1 or accumulator not in op.operands:
            return None
        others = [operand for operand in op.operands if operand is not accumulator]
        if len(others) != 1 or _is_accumulator(others[0], fold):
            return None
        elements.append(others[0])
    return elements


def _is_accumulator(value: SSAValue, fold: FoldOp) -> bool:
    return isinstance(value, BlockArgument) and value.block is fold.body.block and value.index < len(fold.init.data)

"""The bodies of forms on whole grids: scalar operations, `lir.index`, `lir.read`, and the stages `lir.each` and `lir.fold`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from xdsl.ir import Block, Operation, SSAValue

from rlx_dialects.lir.regions import EachOp, FoldOp, IndexOp, ReadOp, YieldOp
from rlx_dialects.lir.semantics.buffers import Buffer, Grid
from rlx_dialects.lir.semantics.scalars import Array, compute_dtype, evaluate, literal, scalar_dtype, unsigned
from rlx_dialects.rlx.dtypes import BOOL

Value = Array | Buffer

_MONOIDS: dict[str, np.ufunc] = {
    "arith.addf": np.add,
    "arith.addi": np.add,
    "arith.mulf": np.multiply,
    "arith.muli": np.multiply,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "arith.maxsi": np.maximum,
    "arith.minsi": np.minimum,
    "arith.maxui": np.maximum,
    "arith.minui": np.minimum,
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
}


class Evaluator:
    """Runs the operations of a region over a grid. Values of outer regions stay visible in inner ones."""

    def __init__(self, grid: Grid, wide: bool, values: Mapping[SSAValue, Value] | None = None):
        self.grid = grid
        self.wide = wide
        self.values: dict[SSAValue, Value] = dict(values or {})

    def run(self, block: Block, args: Sequence[Value]) -> list[Array]:
        """The operands of the block's terminator, as arrays."""
        self.values.update(zip(block.args, args, strict=True))
        last = block.last_op
        assert last is not None
        for op in block.ops:
            if op is not last:
                self.step(op)
        return [self.array(value) for value in last.operands]

    def array(self, value: SSAValue) -> Array:
        found = self.values[value]
        assert not isinstance(found, Buffer)
        return found

    def step(self, op: Operation) -> None:
        if isinstance(op, IndexOp):
            results = [self.grid.values(op.expr.data)]
        elif isinstance(op, ReadOp):
            results = [self.read(op)]
        elif isinstance(op, EachOp):
            results = Evaluator(self.grid, self.wide, self.values).run(op.body.block, [self.array(row) for row in op.rows])
        elif isinstance(op, FoldOp):
            results = self.fold(op)
        else:
            results = evaluate(op, [self.array(operand) for operand in op.operands], self.wide)
        self.values.update(zip(op.results, results, strict=True))

    def read(self, op: ReadOp) -> Array:
        source = self.values[op.source]
        assert isinstance(source, Buffer)
        fill = None if op.fill is None else literal(op.fill, self.wide)
        indices = [self.array(index).astype(np.int64) for index in op.indices]
        return source.read_at(op, indices, op.oob.data, fill, self.grid.mask, "index")

    # -- folds

    def fold(self, op: FoldOp) -> list[Array]:
        axes = self.grid.axes("reduce")
        rows = [self.array(row) for row in op.rows]
        init = [literal(value, self.wide).reshape((1,) * len(self.grid.names)) for value in op.init.data]
        steps = _monoid_steps(op)
        if steps is not None:
            return self._fold_monoids(op, steps, rows, init, axes)
        return self._fold_in_order(op, rows, init, axes)

    def _fold_monoids(
        self, op: FoldOp, steps: list[tuple[Operation, SSAValue]], rows: list[Array], init: list[Array], axes: tuple[int, ...]
    ) -> list[Array]:
        block = op.body.block
        inner = Evaluator(self.grid, self.wide, self.values)
        inner.values.update(zip(block.args[len(init) :], rows, strict=True))
        skipped = {step for step, _ in steps}
        for nested in block.ops:
            if nested not in skipped and not isinstance(nested, YieldOp):
                inner.step(nested)
        results: list[Array] = []
        for (step, value), start in zip(steps, init, strict=True):
            ufunc = _MONOIDS[step.name]
            dtype = scalar_dtype(value.type, self.wide)
            elements = inner.array(value).astype(compute_dtype(dtype), copy=False)
            start = start.astype(elements.dtype)
            if step.name.endswith("ui"):
                elements, start = unsigned(elements), unsigned(start)
            elif ufunc is np.add and elements.dtype == np.float32:
                # NumPy sums in pairs along the innermost axis only; f64 keeps long sums over other axes exact enough.
                elements, start = elements.astype(np.float64), start.astype(np.float64)
            shape = [n if axis in axes else m for axis, (n, m) in enumerate(zip(self.grid.shape, elements.shape, strict=True))]
            mask = self.grid.mask
            if mask is not None:
                shape = list(np.broadcast_shapes(shape, mask.shape))
                elements = np.where(mask, elements, start)
            elements = np.broadcast_to(elements, shape)
            total = ufunc.reduce(elements, axis=axes, keepdims=True, initial=start.flat[0])
            results.append(np.asarray(total).astype(compute_dtype(dtype)).astype(dtype, copy=False))
        return results

    def _fold_in_order(self, op: FoldOp, rows: list[Array], init: list[Array], axes: tuple[int, ...]) -> list[Array]:
        accumulators = init
        for point in np.ndindex(*(self.grid.shape[axis] for axis in axes)):
            at = dict(zip(axes, point, strict=True))
            lows = {axis: self.grid.ranges[axis][0] + position for axis, position in at.items()}
            grid = self.grid.narrowed({axis: (low, low + 1) for axis, low in lows.items()})
            elements = [_slice(row, at) for row in rows]
            updated = Evaluator(grid, self.wide, self.values).run(op.body.block, [*accumulators, *elements])
            if grid.mask is not None:
                updated = [np.where(grid.mask, new, old) for new, old in zip(updated, accumulators, strict=True)]
            accumulators = updated
        return accumulators


def _slice(row: Array, at: Mapping[int, int]) -> Array:
    return row[tuple(slice(at[a], at[a] + 1) if a in at and n > 1 else slice(None) for a, n in enumerate(row.shape))]


def _monoid_steps(op: FoldOp) -> list[tuple[Operation, SSAValue]] | None:
    """For each accumulator the operation that merges an element into it, and the element, if that is all the body does with
    it."""
    block = op.body.block
    last = block.last_op
    assert isinstance(last, YieldOp)
    count = len(op.init.data)
    steps: list[tuple[Operation, SSAValue]] = []
    for accumulator, given in zip(block.args[:count], last.values, strict=True):
        step = given.owner
        if not isinstance(step, Operation) or step.name not in _MONOIDS or accumulator.type == BOOL:
            return None
        if accumulator not in step.operands or len(list(accumulator.uses)) != 1 or len(list(given.uses)) != 1:
            return None
        others = [operand for operand in step.operands if operand is not accumulator]
        if len(others) != 1 or others[0] in block.args[:count]:
            return None
        steps.append((step, others[0]))
    return steps

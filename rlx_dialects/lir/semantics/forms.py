"""The forms on arrays. Large grids run in tiles, so that a form needs memory for a tile and not for all its points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from xdsl.ir import Block, SSAValue

from rlx_dialects.lir.form import FormOp
from rlx_dialects.lir.forms import AttentionOp, ContractOp, MapOp, ReduceOp
from rlx_dialects.lir.regions import IndexOp
from rlx_dialects.lir.semantics.buffers import Buffer, Grid, fault
from rlx_dialects.lir.semantics.regions import Evaluator, Value
from rlx_dialects.lir.semantics.scalars import Array, compute_dtype, literal, scalar_dtype
from rlx_dialects.lir.sequential import ScanOp, ScatterOp, SortOp
from rlx_dialects.lir.types import AccessAttr, IterAttr

TILE = 1 << 24
"""Elements of the largest array that a form may make at once."""


def run_form(op: FormOp, buffers: Mapping[SSAValue, Buffer], dims: Mapping[str, int], *, wide: bool = False) -> None:
    """Run one form on `buffers`, which hold its operands. RuntimeFault carries the location of the operation at fault."""
    with np.errstate(all="ignore"):
        _RUNNERS[type(op)](_Form(op, buffers, dims, wide))


def run_copy(source: Buffer, target: Buffer) -> None:
    target.fill(source.logical())


class _Form:
    """One form with its operands' buffers."""

    def __init__(self, op: FormOp, buffers: Mapping[SSAValue, Buffer], dims: Mapping[str, int], wide: bool):
        self.op = op
        self.ins = [(buffers[v], a) for v, a in zip(op.ins, op.in_accesses, strict=True)]
        self.extra = [(buffers[v], a) for v, a in zip(op.extra, op.extra_accesses, strict=True)]
        self.outs = [(buffers[v], a) for v, a in zip(op.outs, op.out_accesses, strict=True)]
        self.wide = wide
        self.grid = Grid([it for it in op.iters.data if isinstance(it, IterAttr)], dims)

    def read(self, operands: Sequence[tuple[Buffer, AccessAttr]], grid: Grid) -> list[Value]:
        return [
            buffer
            if access.is_whole
            else buffer.read(self.op, access.exprs, grid, literal(access.fill, self.wide) if access.is_guarded else None)
            for buffer, access in operands
        ]

    def array(self, operand: tuple[Buffer, AccessAttr], grid: Grid) -> Array:
        (value,) = self.read([operand], grid)
        assert not isinstance(value, Buffer)
        return value

    def write(self, grid: Grid, values: Sequence[Array]) -> None:
        # An in-place result may lie where a later result's value is only a view of: own all values before the first write.
        owned = [value if value.base is None or len(values) == 1 else value.copy() for value in values]
        for (buffer, access), value in zip(self.outs, owned, strict=True):
            buffer.write(self.op, access.exprs, grid, value)

    def evaluate(self, grid: Grid, block: Block, args: Sequence[Value]) -> list[Array]:
        return Evaluator(grid, self.wide).run(block, args)

    def tiles(self, *groups: str) -> Any:
        axes = [axis for group in groups for axis in self.grid.axes(group)]
        return self.grid.tiles(axes, math.ceil(math.prod(self.grid.shape) / TILE))

    def single(self, group: str) -> int:
        return self.grid.axes(group)[0]


def _run_map(form: _Form) -> None:
    for grid in form.tiles("parallel"):
        form.write(grid, form.evaluate(grid, form.op.regions[0].block, form.read(form.ins, grid)))


def _run_contract(form: _Form) -> None:
    op, grid = form.op, form.grid
    assert isinstance(op, ContractOp)
    axes = grid.axes("reduce")
    sums: list[Array] = []
    for tile in grid.tiles(axes, math.ceil(_largest_value(form, op.body.block) / TILE)):
        factors = form.evaluate(tile, op.body.block, form.read(form.ins, tile))
        count = len(factors) // 2
        pairs = zip(factors[:count], factors[count:], strict=True)
        partial = [_sum_products(a, b, axes, tile.shape, tile.mask) for a, b in pairs]
        sums = [a + b for a, b in zip(sums, partial, strict=True)] if sums else partial
    kinds = [scalar_dtype(value.type, form.wide) for value in op.product.lhs]
    sums = [total.astype(kind) for total, kind in zip(sums, kinds, strict=True)]
    rest = grid.collapsed(axes)
    form.write(rest, form.evaluate(rest, op.epilogue.block, [*sums, *form.read(form.extra, rest)]))


def _largest_value(form: _Form, block: Block) -> int:
    """Elements of the largest array that the body of a contract makes."""
    names = form.grid.names
    uses: dict[SSAValue, frozenset[str]] = {}
    for arg, (_, access) in zip(block.args, form.ins, strict=True):
        uses[arg] = access.symbols & frozenset(names)
    for op in block.ops:
        used = frozenset().union(*(uses[operand] for operand in op.operands))
        if isinstance(op, IndexOp):
            used = op.expr.data.symbols & frozenset(names)
        for result in op.results:
            uses[result] = used
    extents = dict(zip(names, form.grid.shape, strict=True))
    return max(math.prod(extents[name] for name in used) for used in uses.values())


def _sum_products(a: Array, b: Array, axes: Sequence[int], shape: Sequence[int], mask: Array | None = None) -> Array:
    """Σ over `axes` of a·b where `mask` admits, axes kept with length 1; the narrow floats in f32. Matrix products do the
    work."""
    dtype = compute_dtype(a.dtype)
    # A body without operands gives scalars.
    a, b = (value.astype(dtype, copy=False).reshape((1,) * (len(shape) - value.ndim) + value.shape) for value in (a, b))
    if 0 in shape:
        full = np.broadcast_shapes(a.shape, b.shape)
        return np.zeros([1 if axis in axes else n for axis, n in enumerate(full)], dtype)
    if mask is not None:
        a, b = np.where(mask, a, dtype.type(0)), np.where(mask, b, dtype.type(0))
    for axis in axes:
        if a.shape[axis] == 1 and b.shape[axis] == 1:
            a = a * dtype.type(shape[axis])
        elif b.shape[axis] == 1:
            a = a.sum(axis=axis, keepdims=True)
        elif a.shape[axis] == 1:
            b = b.sum(axis=axis, keepdims=True)
    rank = len(shape)
    inner = [x for x in axes if a.shape[x] > 1]
    batch = [x for x in range(rank) if x not in axes and a.shape[x] > 1 and b.shape[x] > 1]
    rows = [x for x in range(rank) if x not in axes and x not in batch and b.shape[x] == 1]
    columns = [x for x in range(rank) if x not in axes and x not in batch and x not in rows]
    sizes = [max(p, q) for p, q in zip(a.shape, b.shape, strict=True)]

    def matrices(value: Array, first: list[int], second: list[int]) -> Array:
        ones = [x for x in range(rank) if x not in (*batch, *first, *second)]
        moved = value.transpose([*batch, *first, *second, *ones])
        return moved.reshape([math.prod(sizes[x] for x in part) for part in (batch, first, second)])

    product = np.matmul(matrices(a, rows, inner), matrices(b, inner, columns))
    order = [*batch, *rows, *columns, *axes]
    shaped = product.reshape([1 if x in axes else sizes[x] for x in order])
    return shaped.transpose([order.index(x) for x in range(rank)])


def _run_attention(form: _Form) -> None:
    op = form.op
    assert isinstance(op, AttentionOp)
    key, dot, value = (form.single(group) for group in ("reduce", "dot", "value"))
    points = math.prod(n for axis, n in enumerate(form.grid.shape) if axis not in (dot, value))
    for grid in form.grid.tiles(form.grid.axes("parallel"), math.ceil(points / TILE)):
        query_key = grid.collapsed((value,))
        scores_grid = grid.collapsed((dot, value))
        kind = scalar_dtype(op.body.block.args[0].type, form.wide)
        query, keys = (form.array(operand, query_key).astype(kind) for operand in form.ins[:2])
        values = form.array(form.ins[2], grid.collapsed((dot,))).astype(kind)
        scores = _sum_products(query, keys, (dot,), query_key.shape) * kind.type(op.scale.value.data)
        (scores,) = form.evaluate(scores_grid, op.body.block, [scores, *form.read(form.extra, scores_grid)])
        scores = np.broadcast_to(scores, np.broadcast_shapes(scores.shape, scores_grid.shape))
        if scores_grid.mask is not None:
            scores = np.where(scores_grid.mask, scores, kind.type(-np.inf))
        top = scores.max(axis=key, keepdims=True, initial=-np.inf)
        weights = np.exp(scores - np.where(np.isneginf(top), 0, top)).astype(kind)
        total = weights.sum(axis=key, keepdims=True)
        weights = (weights / np.where(total == 0, 1, total)).astype(kind)
        result = _sum_products(weights, values, (key,), grid.collapsed((dot,)).shape)
        buffer, access = form.outs[0]
        buffer.write(op, access.exprs, grid.collapsed((dot, key)), result.astype(buffer.scalar))


def _run_scan(form: _Form) -> None:
    axis = form.single("sequential")
    block = form.op.regions[0].block
    low, high = form.grid.ranges[axis]
    once = form.grid.collapsed((axis,))
    carries = [form.array(operand, once) for operand in form.extra]
    outputs = form.outs[: len(form.outs) - len(carries)]
    for position in range(low, high):
        grid = form.grid.narrowed({axis: (position, position + 1)})
        results = form.evaluate(grid, block, [*carries, *form.read(form.ins, grid)])
        new = results[: len(carries)]
        # The values of this step may be views of what the writes below change.
        new = [np.array(value) for value in new]
        if grid.mask is not None:
            new = [np.where(grid.mask, value, old) for value, old in zip(new, carries, strict=True)]
        for (buffer, access), value in zip(outputs, [np.array(v) for v in results[len(carries) :]], strict=True):
            buffer.write(form.op, access.exprs, grid, value)
        carries = new
    for (buffer, access), value in zip(form.outs[len(outputs) :], carries, strict=True):
        buffer.write(form.op, access.exprs, once, np.array(value))


def _run_sort(form: _Form) -> None:
    op = form.op
    assert isinstance(op, SortOp)
    axis, limit = form.single("reduce"), form.single("limit")
    grid = form.grid.collapsed((limit,))
    if form.grid.shape[limit] > grid.shape[axis]:
        raise fault(op, f"keeps {form.grid.shape[limit]} of {grid.shape[axis]} elements", "limit")
    values = [np.broadcast_to(form.array(operand, grid), grid.shape) for operand in form.ins]
    order = _order(form, values[0], axis)
    order = np.take(order, np.arange(form.grid.shape[limit]), axis=axis)
    sorted_values = [np.take_along_axis(value, order, axis=axis) for value in values]
    results = [np.swapaxes(value, axis, limit) for value in [*sorted_values, order.astype(np.int64)][: len(form.outs)]]
    form.write(form.grid.collapsed((axis,)), [np.array(value) for value in results])


def _order(form: _Form, keys: Array, axis: int) -> Array:
    """Positions in sorted order along `axis`."""
    op = form.op
    assert isinstance(op, SortOp)
    if op.order.data == "opaque":
        return _order_by_comparator(form, keys, axis)
    if keys.dtype.kind not in "iub":
        keys = keys.astype(np.float32) if keys.dtype.itemsize < 4 else keys
        keys = -keys if op.order.data == "descending" else keys  # a NaN stays one, and NumPy puts those last
    elif op.order.data == "descending":
        keys = ~keys
    return np.argsort(keys, axis=axis, kind="stable")


def _order_by_comparator(form: _Form, keys: Array, axis: int) -> Array:
    op = form.op
    assert isinstance(op, SortOp)
    count = keys.shape[axis]
    moved = np.moveaxis(keys, axis, -1)
    first, second = np.broadcast_arrays(moved[..., :, None], moved[..., None, :])
    (before,) = form.evaluate(form.grid, op.comparator.block, [first, second])
    before = np.broadcast_to(before, first.shape)
    # i stands before j if the comparator says so, or if it says nothing and i came first.
    earlier = np.arange(count)[:, None] < np.arange(count)
    wins = before | (~before & ~np.swapaxes(before, -1, -2) & earlier)
    places = wins.sum(axis=-2)
    order = np.argsort(places, axis=-1, kind="stable")
    return np.moveaxis(order, -1, axis)


_COMBINE: dict[str, np.ufunc] = {"add": np.add, "max": np.maximum, "min": np.minimum}


def _run_scatter(form: _Form) -> None:
    op, grid = form.op, form.grid
    assert isinstance(op, ScatterOp)
    buffer, _ = form.outs[0]
    *indices, values = form.evaluate(grid, op.body.block, form.read(form.ins, grid))
    shape = grid.shape
    kept = np.broadcast_to(True if grid.mask is None else grid.mask, shape)
    for dim, (index, extent) in enumerate(zip(indices, buffer.shape, strict=True)):
        outside = kept & ((index < 0) | (index >= extent))
        if op.oob.data == "error" and outside.any():
            value = int(np.broadcast_to(index, shape)[outside].flat[0])
            raise fault(op, f"writes index {value} of dim {dim}, which has extent {extent}", "index")
        kept = kept & ~outside
    chosen = [np.broadcast_to(index, shape)[kept].astype(np.int64) for index in indices]
    given = np.broadcast_to(values, shape)[kept]
    offsets = np.broadcast_to(buffer.offsets(chosen), given.shape)
    if op.combine.data == "set":
        buffer.scatter(offsets, given)
        return
    places, inverse = np.unique(offsets, return_inverse=True)
    held = buffer.gather(places)
    total = held.astype(compute_dtype(held.dtype))
    _COMBINE[op.combine.data].at(total, inverse.reshape(-1), given.astype(total.dtype))
    buffer.scatter(places, total.astype(held.dtype))


def _run_reduce(form: _Form) -> None:
    assert isinstance(form.op, ReduceOp)
    axes = form.grid.axes("reduce")
    for grid in form.tiles("parallel"):
        values = form.evaluate(grid, form.op.body.block, form.read(form.ins, grid))
        scalars = grid.collapsed(axes)
        rows = {form.grid.names[axis] for axis in axes}
        owned = [value if value.base is None or len(values) == 1 else value.copy() for value in values]
        for (buffer, access), value in zip(form.outs, owned, strict=True):
            buffer.write(form.op, access.exprs, grid if access.symbols & rows else scalars, value)


_RUNNERS: dict[type[FormOp], Callable[[_Form], None]] = {
    MapOp: _run_map,
    ReduceOp: _run_reduce,
    ContractOp: _run_contract,
    AttentionOp: _run_attention,
    ScanOp: _run_scan,
    SortOp: _run_sort,
    ScatterOp: _run_scatter,
}

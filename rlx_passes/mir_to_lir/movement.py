"""Lowering rules: data movement becomes views and maps that compute nothing, which later fuse into their readers' index maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import i64
from xdsl.ir import Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimLike, const, sym
from rlx_dialects.lir import ReadOp
from rlx_dialects.rlx import dtypes
from rlx_passes.mir_to_lir.lowering import Lowering, Scalars, syms, tensor_of
from rlx_passes.support.region_builder import RegionBuilder, scalar_constant


def move(low: Lowering, op: Operation, source: SSAValue, indices: Callable[[list[str]], Sequence[DimLike]]) -> None:
    """`result[i…] = source[indices(i…)]`."""
    result = op.results[0]
    kind = tensor_of(result)
    names = low.names(kind.rank)
    dims = list(zip(names, kind.dims, strict=True))
    low.map(dims, [(low.buffer(source), indices(names))], [(low.new(result), syms(names))], lambda b, args: [args[0]])


def broadcast(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.BroadcastOp)
    source, result = tensor_of(op.x), tensor_of(op.result)
    axes = op.result_axes
    move(
        low,
        op,
        op.x,
        lambda names: [
            const(0) if source.dims[i] == 1 and result.dims[axis] != 1 else sym(names[axis]) for i, axis in enumerate(axes)
        ],
    )


def reshape(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.ReshapeOp)
    low.bind(op.result, low.view(low.buffer(op.x), tensor_of(op.result).dims))


def transpose(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.TransposeOp)
    perm = op.perm.data
    move(low, op, op.x, lambda names: [sym(names[perm.index(axis)]) for axis in range(len(perm))])


def slice_(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.SliceOp)
    starts, steps = op.starts.data, op.steps
    move(low, op, op.x, lambda names: [start + sym(n) * step for start, n, step in zip(starts, names, steps, strict=True)])


def concat(low: Lowering, op: Operation) -> None:
    """Each input is written to its part of the result."""
    assert isinstance(op, mir.ConcatOp)
    axis = op.axis.data
    target = low.new(op.result)
    offset = const(0)
    for value in op.inputs:
        kind = tensor_of(value)
        names = low.names(kind.rank)
        place = [sym(n) + offset if i == axis else sym(n) for i, n in enumerate(names)]
        dims = list(zip(names, kind.dims, strict=True))
        low.map(dims, [(low.buffer(value), syms(names))], [(target, place)], lambda b, args: [args[0]])
        offset = offset + kind.dims[axis]


def gather(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.GatherOp)
    result, ids = tensor_of(op.result), tensor_of(op.indices)
    names = low.names(result.rank)
    policy = op.oob.data
    fill = scalar_constant(op.fill.data if op.fill is not None else 0, result.element_type) if policy == "fill" else None

    def body(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
        index, table = args
        if dtypes.bit_width(ids.element_type) < 32:
            index = b.convert(index, i64, unsigned_source=dtypes.is_unsigned_int(ids.element_type))
        rest = [b.index(sym(n)) for n in names[ids.rank :]]
        read = ReadOp(table, [index, *rest], policy, fill)
        if low.op is not None:
            read.location = low.op.location
        return [b.add_op(read)]

    reads = [(low.buffer(op.indices), syms(names[: ids.rank])), (low.buffer(op.table), None)]
    low.map(list(zip(names, result.dims, strict=True)), reads, [(low.new(op.result), syms(names))], body)


def iota(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.IotaOp)
    (name,) = low.names(1)
    kind = tensor_of(op.result)
    low.map([(name, kind.dims[0])], [], [(low.new(op.result), [sym(name)])], lambda b, _: [b.index(sym(name), kind.element_type)])


def dim_value(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.DimValueOp)
    kind = tensor_of(op.result)
    expr = op.expr.data
    low.map([], [], [(low.new(op.result), [])], lambda b, _: [b.index(expr, kind.element_type)])


def cache_update(low: Lowering, op: Operation) -> None:
    """Written in place: the new state value is the state's own buffer."""
    assert isinstance(op, mir.CacheUpdateOp)
    kind = tensor_of(op.new)
    names = low.names(kind.rank)
    axis, at = op.axis.data, op.at.data
    place = [at + sym(n) if i == axis else sym(n) for i, n in enumerate(names)]
    target = low.buffer(op.state)
    dims = list(zip(names, kind.dims, strict=True))
    low.map(dims, [(low.buffer(op.new), syms(names))], [(target, place)], lambda b, args: [args[0]])
    low.bind(op.result, target)


def state_read(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.StateReadOp)
    move(low, op, op.state, syms)


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    mir.BroadcastOp: broadcast,
    mir.ReshapeOp: reshape,
    mir.TransposeOp: transpose,
    mir.SliceOp: slice_,
    mir.ConcatOp: concat,
    mir.GatherOp: gather,
    mir.IotaOp: iota,
    mir.DimValueOp: dim_value,
    mir.CacheUpdateOp: cache_update,
    mir.StateReadOp: state_read,
}

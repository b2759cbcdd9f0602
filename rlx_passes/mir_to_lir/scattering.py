"""Lowering rules: lookups at computed places are maps that read, writes at computed places are `lir.scatter`."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects.builtin import StringAttr, i64
from xdsl.ir import Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import const, sym
from rlx_dialects.lir import IterAttr, ReadOp, ScatterOp
from rlx_dialects.rlx import dtypes
from rlx_passes.mir_to_lir.lowering import Lowering, Scalars, accesses, syms, tensor_of
from rlx_passes.support.region_builder import RegionBuilder


def _index(b: RegionBuilder, value: SSAValue, element: object) -> SSAValue:
    return b.convert(value, i64, unsigned_source=dtypes.is_unsigned_int(element))  # pyright: ignore[reportArgumentType]


def _read(low: Lowering, b: RegionBuilder, source: SSAValue, at: list[SSAValue], policy: str) -> SSAValue:
    read = ReadOp(source, at, policy, None)
    if low.op is not None:
        read.location = low.op.location
    return b.add_op(read)


def take(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.TakeOp)
    result, ids, axis = tensor_of(op.result), tensor_of(op.indices), op.axis.data
    names = low.names(result.rank)
    before, middle, after = names[:axis], names[axis : axis + ids.rank], names[axis + ids.rank :]

    def body(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
        index = _index(b, args[0], ids.element_type)
        at = [*(b.index(sym(n)) for n in before), index, *(b.index(sym(n)) for n in after)]
        return [_read(low, b, args[1], at, op.oob.data)]

    reads = [(low.buffer(op.indices), syms(middle)), (low.buffer(op.x), None)]
    low.map(list(zip(names, result.dims, strict=True)), reads, [(low.new(op.result), syms(names))], body)


def gather_nd(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.GatherNdOp)
    result, ids = tensor_of(op.result), tensor_of(op.indices)
    count = ids.dims[-1].value
    names = low.names(result.rank)
    outer, rest = names[: ids.rank - 1], names[ids.rank - 1 :]

    def body(b: RegionBuilder, args: Scalars) -> list[SSAValue]:
        at = [_index(b, arg, ids.element_type) for arg in args[:count]]
        return [_read(low, b, args[count], [*at, *(b.index(sym(n)) for n in rest)], op.oob.data)]

    reads = [(low.buffer(op.indices), [*syms(outer), const(d)]) for d in range(count)]
    low.map(
        list(zip(names, result.dims, strict=True)),
        [*reads, (low.buffer(op.x), None)],
        [(low.new(op.result), syms(names))],
        body,
    )


def scatter(low: Lowering, op: Operation) -> None:
    """The result starts as x (or zero), then takes the updates in order."""
    assert isinstance(op, mir.ScatterOp | mir.ScatterAddOp)
    result, updates, ids = tensor_of(op.result), tensor_of(op.updates), tensor_of(op.indices)
    target = low.new(op.result)
    names = low.names(result.rank)
    dims = list(zip(names, result.dims, strict=True))
    if isinstance(op, mir.ScatterOp):
        low.map(dims, [(low.buffer(op.x), syms(names))], [(target, syms(names))], lambda b, args: [args[0]])
    else:
        low.map(dims, [], [(target, syms(names))], lambda b, _: [b.constant(0, target.type.scalar_type)])  # pyright: ignore[reportAttributeAccessIssue]
    reads = [(low.buffer(op.updates), syms(names)), (low.buffer(op.indices), [sym(names[0])])]
    body = RegionBuilder([value.type.scalar_type for value, _ in reads])  # pyright: ignore[reportAttributeAccessIssue]
    value, row = body.args
    index = _index(body, row, ids.element_type)
    region = body.region(index, *(body.index(sym(n), i64) for n in names[1:]), value)
    combine = op.combine.data if isinstance(op, mir.ScatterOp) else "add"
    low.emit(
        ScatterOp(
            [IterAttr.get(n, "parallel", d) for n, d in zip(names, updates.dims, strict=True)],
            accesses(reads),
            accesses([(target, None)]),
            [region],
            params={"combine": StringAttr(combine), "oob": StringAttr(op.oob.data)},
            label=low.label,
        )
    )


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    mir.TakeOp: take,
    mir.GatherNdOp: gather_nd,
    mir.ScatterOp: scatter,
    mir.ScatterAddOp: scatter,
}

"""Lowering rules: matrix products become `lir.contract`, with everything pointwise around them in the epilogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import i64
from xdsl.ir import Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, sym
from rlx_dialects.lir import ReadOp
from rlx_dialects.rlx import dtypes
from rlx_passes.mir_to_lir.lowering import Lowering, Read, Scalars, product, syms, tensor_of
from rlx_passes.support.region_builder import RegionBuilder, compute_type


def _rows(low: Lowering, value: SSAValue, rhs_rank: int) -> tuple[SSAValue, tuple[DimExpr, ...]]:
    """A left operand or result as its contract sees it: against a rank-2 right side all leading axes are one."""
    dims = tensor_of(value).dims
    if rhs_rank == 2 and len(dims) > 2:
        dims = (product(dims[:-1]), dims[-1])
    return low.view(low.buffer(value), dims), dims


def matmul_like(
    low: Lowering,
    op: Operation,
    x: SSAValue,
    weights: Sequence[SSAValue],
    extra: Sequence[tuple[SSAValue, str]],
    epilogue: Callable[[RegionBuilder, Scalars, Scalars], SSAValue],
) -> None:
    """`epilogue(x·w₀, x·w₁, …, extra…)`; an extra is a bias ("column") or has the result's shape ("full")."""
    rank = tensor_of(weights[0]).rank
    result = op.results[0]
    element = tensor_of(result).element_type
    low.new(result)
    lhs, lhs_dims = _rows(low, x, rank)
    out, out_dims = _rows(low, result, rank)
    batch = low.names(len(out_dims) - 2, "b")
    m, n, k = "m", "n", "k"
    for name in (m, n, k):
        if name in low.reserved:
            m, n, k = low.names(3, "m")
            break
    b = syms(batch)
    row, column, inner = syms([m, n, k])
    reads: list[Read] = [(lhs, [*b, row, inner])]
    reads += [(low.buffer(w), [*(b if rank > 2 else []), inner, column]) for w in weights]
    extras: list[Read] = [
        (low.buffer(v), [column]) if kind == "column" else (_rows(low, v, rank)[0], [*b, row, column]) for v, kind in extra
    ]

    def products(r: RegionBuilder, args: Scalars) -> list[tuple[SSAValue, SSAValue]]:
        left = r.widen(args[0])
        return [(left, r.widen(w)) for w in args[1:]]

    def end(r: RegionBuilder, sums: Scalars, others: Scalars) -> list[SSAValue]:
        return [r.convert(epilogue(r, sums, [r.widen(v) for v in others]), element)]

    low.contract(
        list(zip([*batch, m, n], out_dims, strict=True)),
        [(k, lhs_dims[-1])],
        reads,
        [(out, [*b, row, column])],
        products,
        end,
        extras,
    )


def matmul(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.MatmulOp)
    matmul_like(low, op, op.lhs, [op.rhs], [], lambda r, sums, _: sums[0])


def matmul_bias_act(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.MatmulBiasActOp)
    extra = [(v, kind) for v, kind in ((op.bias, "column"), (op.residual, "full")) if v is not None]

    def epilogue(r: RegionBuilder, sums: Scalars, others: Scalars) -> SSAValue:
        value = sums[0]
        for other in others:
            value = r.binary("add", value, other)
        return r.activation(op.activation.data, value)

    matmul_like(low, op, op.x, [op.w], extra, epilogue)


def swiglu_matmul(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.SwigluMatmulOp)
    matmul_like(low, op, op.x, [op.up, op.gate], [], lambda r, sums, _: r.binary("mul", r.activation("silu", sums[1]), sums[0]))


def dot_general(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.DotGeneralOp)
    lhs, rhs, result = tensor_of(op.lhs), tensor_of(op.rhs), tensor_of(op.result)
    names = low.names(result.rank)
    batch, left = names[: len(op.lhs_batch.data)], names[len(op.lhs_batch.data) :]
    left, right = left[: len(op.lhs_free)], left[len(op.lhs_free) :]
    inner = low.names(len(op.lhs_contracting.data), "k")
    lhs_at = _places(lhs.rank, (op.lhs_batch.data, batch), (op.lhs_free, left), (op.lhs_contracting.data, inner))
    rhs_at = _places(rhs.rank, (op.rhs_batch.data, batch), (op.rhs_free, right), (op.rhs_contracting.data, inner))
    low.contract(
        list(zip(names, result.dims, strict=True)),
        [(name, lhs.dims[axis]) for name, axis in zip(inner, op.lhs_contracting.data, strict=True)],
        [(low.buffer(op.lhs), lhs_at), (low.buffer(op.rhs), rhs_at)],
        [(low.new(op.result), syms(names))],
        lambda r, args: [(r.widen(args[0]), r.widen(args[1]))],
        lambda r, sums, _: [r.convert(sums[0], result.element_type)],
    )


def _places(rank: int, *groups: tuple[Sequence[int], Sequence[str]]) -> list[DimExpr]:
    """The index of each axis, from groups of axes and the names of their dims."""
    found = {axis: sym(name) for axes, names in groups for axis, name in zip(axes, names, strict=True)}
    return [found[axis] for axis in range(rank)]


def grouped_matmul(low: Lowering, op: Operation) -> None:
    """The matrix of a row is read where its index says."""
    assert isinstance(op, mir.GroupedMatmulOp)
    x, result = tensor_of(op.x), tensor_of(op.result)
    m, n, k = low.names(3, "m")
    unsigned = dtypes.is_unsigned_int(tensor_of(op.indices).element_type)

    def products(r: RegionBuilder, args: Scalars) -> list[tuple[SSAValue, SSAValue]]:
        row = r.convert(args[1], i64, unsigned_source=unsigned)
        read = ReadOp(args[2], [row, r.index(sym(k)), r.index(sym(n))], "error", None)
        if low.op is not None:
            read.location = low.op.location
        return [(r.widen(args[0]), r.widen(r.add_op(read)))]

    low.contract(
        [(m, result.dims[0]), (n, result.dims[1])],
        [(k, x.dims[1])],
        [(low.buffer(op.x), syms([m, k])), (low.buffer(op.indices), [sym(m)]), (low.buffer(op.w), None)],
        [(low.new(op.result), syms([m, n]))],
        products,
        lambda r, sums, _: [r.convert(sums[0], result.element_type)],
    )


def lora_matmul(low: Lowering, op: Operation) -> None:
    """x · a, its product with b, and x · w with that added at the end."""
    assert isinstance(op, mir.LoraMatmulOp)
    element = tensor_of(op.result).element_type
    rank = tensor_of(op.a).dims[1]
    _, (rows, depth) = _rows(low, op.x, 2)
    columns = tensor_of(op.w).dims[1]
    x = low.view(low.buffer(op.x), (rows, depth))
    narrow = low.alloc((rows, rank), element, "narrow")
    change = low.alloc((rows, columns), compute_type(element), "change")
    out = low.view(low.new(op.result), (rows, columns))
    m, n, k = low.names(3, "m")

    def matrix(
        lhs: SSAValue, rhs: SSAValue, sizes: Sequence[DimExpr], target: SSAValue, end: Callable[..., SSAValue], extra: list[Read]
    ) -> None:
        low.contract(
            [(m, sizes[0]), (n, sizes[1])],
            [(k, sizes[2])],
            [(lhs, syms([m, k])), (rhs, syms([k, n]))],
            [(target, syms([m, n]))],
            lambda r, args: [(r.widen(args[0]), r.widen(args[1]))],
            lambda r, sums, others: [end(r, sums[0], others)],
            extra,
        )

    def scaled(r: RegionBuilder, total: SSAValue, _: Scalars) -> SSAValue:
        return r.binary("mul", total, r.constant(op.scale.data, total.type))

    def summed(r: RegionBuilder, total: SSAValue, others: Scalars) -> SSAValue:
        return r.convert(r.binary("add", total, others[0]), element)

    matrix(x, low.buffer(op.a), (rows, rank, depth), narrow, lambda r, total, _: r.convert(total, element), [])
    matrix(narrow, low.buffer(op.b), (rows, columns, rank), change, scaled, [])
    matrix(x, low.buffer(op.w), (rows, columns, depth), out, summed, [(change, syms([m, n]))])


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    mir.MatmulOp: matmul,
    mir.DotGeneralOp: dot_general,
    mir.GroupedMatmulOp: grouped_matmul,
    mir.LoraMatmulOp: lora_matmul,
    mir.MatmulBiasActOp: matmul_bias_act,
    mir.SwigluMatmulOp: swiglu_matmul,
}

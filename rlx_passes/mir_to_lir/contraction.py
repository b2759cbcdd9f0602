"""Lowering rules: matrix products become `lir.contract`, with everything pointwise around them in the epilogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.ir import Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr
from rlx_passes.mir_to_lir.lowering import Lowering, Read, Scalars, product, syms, tensor_of
from rlx_passes.support.region_builder import RegionBuilder


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


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    mir.MatmulOp: matmul,
    mir.MatmulBiasActOp: matmul_bias_act,
    mir.SwigluMatmulOp: swiglu_matmul,
}

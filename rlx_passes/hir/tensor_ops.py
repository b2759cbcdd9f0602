"""Rules for HIR's tensor ops: one MIR op each, after broadcasting is made explicit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xdsl.ir import Operation, SSAValue

from rlx_dialects import hir, mir
from rlx_passes.hir.lowering import Lowering

Rule = Callable[[Lowering, Any], Sequence[SSAValue]]

_UNARY: dict[type[Operation], type[mir.UnaryOp]] = {
    hir.NegOp: mir.NegOp, hir.AbsOp: mir.AbsOp, hir.ExpOp: mir.ExpOp, hir.LogOp: mir.LogOp, hir.SqrtOp: mir.SqrtOp,
    hir.RsqrtOp: mir.RsqrtOp, hir.SinOp: mir.SinOp, hir.CosOp: mir.CosOp, hir.TanOp: mir.TanOp, hir.AtanOp: mir.AtanOp,
    hir.TanhOp: mir.TanhOp, hir.ErfOp: mir.ErfOp, hir.SigmoidOp: mir.SigmoidOp, hir.ReluOp: mir.ReluOp, hir.GeluOp: mir.GeluOp,
    hir.GeluTanhOp: mir.GeluTanhOp, hir.SiluOp: mir.SiluOp, hir.FloorOp: mir.FloorOp, hir.CeilOp: mir.CeilOp,
    hir.RoundOp: mir.RoundOp, hir.NotOp: mir.LogicalNotOp,
}  # fmt: skip
_BINARY: dict[type[Operation], type[mir.BinaryOp]] = {
    hir.AddOp: mir.AddOp, hir.SubOp: mir.SubOp, hir.MulOp: mir.MulOp, hir.DivOp: mir.DivOp, hir.MaxOp: mir.MaxOp,
    hir.MinOp: mir.MinOp, hir.PowOp: mir.PowOp, hir.AndOp: mir.AndOp, hir.OrOp: mir.OrOp,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[SSAValue, SSAValue], Operation]] = {
    "eq": mir.EqOp, "ne": mir.NeOp, "lt": mir.LtOp, "le": mir.LeOp, "gt": mir.GtOp, "ge": mir.GeOp,
}  # fmt: skip
_REDUCTIONS: dict[str, type[mir.ReduceOp]] = {
    "sum": mir.ReduceSumOp, "mean": mir.ReduceMeanOp, "max": mir.ReduceMaxOp, "min": mir.ReduceMinOp, "prod": mir.ReduceProdOp,
}  # fmt: skip


def _unary(low: Lowering, op: hir.NegOp) -> Sequence[SSAValue]:
    return [low.value(_UNARY[type(op)](op.x))]


def _stretched(low: Lowering, op: Operation) -> list[SSAValue]:
    """The operands, broadcast to the shape of the result."""
    return [low.broadcast(operand, low.dims(op.results[0])) for operand in op.operands]


def _binary(low: Lowering, op: hir.AddOp) -> Sequence[SSAValue]:
    return [low.value(_BINARY[type(op)](*_stretched(low, op)))]


def _compare(low: Lowering, op: hir.CompareOp) -> Sequence[SSAValue]:
    return [low.value(_COMPARISONS[op.kind.data](*_stretched(low, op)))]


def _select(low: Lowering, op: hir.SelectOp) -> Sequence[SSAValue]:
    return [low.value(mir.SelectOp(*_stretched(low, op)))]


def _cast(low: Lowering, op: hir.CastOp) -> Sequence[SSAValue]:
    return [low.cast(op.x, op.dtype)]


def _reduce(low: Lowering, op: hir.ReduceOp) -> Sequence[SSAValue]:
    return [low.value(_REDUCTIONS[op.kind.data](op.x, op.normal_axes, op.keepdims is not None))]


def _softmax(low: Lowering, op: hir.SoftmaxOp) -> Sequence[SSAValue]:
    return [low.value(mir.SoftmaxOp(op.x, op.normal_axis))]


def _reshape(low: Lowering, op: hir.ReshapeOp) -> Sequence[SSAValue]:
    return [low.reshape(op.x, op.shape.data)]


def _transpose(low: Lowering, op: hir.TransposeOp) -> Sequence[SSAValue]:
    return [low.transpose(op.x, op.axes)]


def _broadcast(low: Lowering, op: hir.BroadcastOp) -> Sequence[SSAValue]:
    return [low.broadcast(op.x, op.shape.data)]


def _slice(low: Lowering, op: hir.SliceOp) -> Sequence[SSAValue]:
    starts = [op.start.data if axis == op.normal_axis else 0 for axis in range(len(low.dims(op.x)))]
    return [low.value(mir.SliceOp(op.x, starts, low.dims(op.result)))]


def _concat(low: Lowering, op: hir.ConcatOp) -> Sequence[SSAValue]:
    return [low.value(mir.ConcatOp(list(op.values), op.normal_axis))]


def _matmul(low: Lowering, op: hir.MatmulOp) -> Sequence[SSAValue]:
    *batch, _, _ = low.dims(op.result)
    lhs = low.broadcast(op.lhs, (*batch, *low.dims(op.lhs)[-2:]))
    # MIR lets one matrix serve all batches.
    rhs = op.rhs if len(low.dims(op.rhs)) == 2 else low.broadcast(op.rhs, (*batch, *low.dims(op.rhs)[-2:]))
    return [low.value(mir.MatmulOp(lhs, rhs))]


RULES: dict[type[Operation], Rule] = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    hir.CompareOp: _compare,
    hir.SelectOp: _select,
    hir.CastOp: _cast,
    hir.ReduceOp: _reduce,
    hir.SoftmaxOp: _softmax,
    hir.ReshapeOp: _reshape,
    hir.TransposeOp: _transpose,
    hir.BroadcastOp: _broadcast,
    hir.SliceOp: _slice,
    hir.ConcatOp: _concat,
    hir.MatmulOp: _matmul,
}

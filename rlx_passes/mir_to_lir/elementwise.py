"""Lowering rules: pointwise ops and constants become `lir.map`."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, TensorType
from xdsl.ir import Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.lir import ConstantOp, buffer
from rlx_dialects.lir.types import scalar_type
from rlx_dialects.rlx import dtypes
from rlx_passes.mir_to_lir.lowering import Lowering, syms, tensor_of
from rlx_passes.support.region_builder import RegionBuilder

Unary = Callable[[RegionBuilder, SSAValue], SSAValue]

_MATH: dict[type[Operation], type[Operation]] = {
    mir.ExpOp: math.ExpOp,
    mir.LogOp: math.LogOp,
    mir.SqrtOp: math.SqrtOp,
    mir.RsqrtOp: math.RsqrtOp,
    mir.TanhOp: math.TanhOp,
    mir.ErfOp: math.ErfOp,
    mir.SinOp: math.SinOp,
    mir.CosOp: math.CosOp,
    mir.TanOp: math.TanOp,
    mir.AtanOp: math.AtanOp,
    mir.RoundOp: math.RoundEvenOp,
    mir.FloorOp: math.FloorOp,
    mir.CeilOp: math.CeilOp,
}
_ACTIVATIONS: dict[type[Operation], str] = {
    mir.SigmoidOp: "sigmoid",
    mir.ReluOp: "relu",
    mir.GeluOp: "gelu",
    mir.GeluTanhOp: "gelu_tanh",
    mir.SiluOp: "silu",
}
_BINARY: dict[type[Operation], str] = {
    mir.AddOp: "add",
    mir.SubOp: "sub",
    mir.MulOp: "mul",
    mir.DivOp: "div",
    mir.MaxOp: "max",
    mir.MinOp: "min",
    mir.AndOp: "and",
    mir.OrOp: "or",
}
_COMPARE: dict[type[Operation], str] = {
    mir.EqOp: "eq",
    mir.NeOp: "ne",
    mir.LtOp: "lt",
    mir.LeOp: "le",
    mir.GtOp: "gt",
    mir.GeOp: "ge",
}


def pointwise(low: Lowering, op: Operation, body: Callable[[RegionBuilder, list[SSAValue]], SSAValue]) -> None:
    """A map over the result's shape that reads every operand at the same place; `body` works in compute types."""
    result = op.results[0]
    kind = tensor_of(result)
    names = low.names(kind.rank)
    place = syms(names)

    def region(b: RegionBuilder, args: object) -> list[SSAValue]:
        return [b.convert(body(b, [b.widen(a) for a in b.args]), kind.element_type)]

    ins = [(low.buffer(v), place) for v in op.operands]
    low.map(list(zip(names, kind.dims, strict=True)), ins, [(low.new(result), place)], region)


def unary(low: Lowering, op: Operation) -> None:
    unsigned = dtypes.is_unsigned_int(tensor_of(op.operands[0]).element_type)

    def body(b: RegionBuilder, args: list[SSAValue]) -> SSAValue:
        x = args[0]
        if isinstance(op, mir.NegOp):
            return b.neg(x)
        if isinstance(op, mir.AbsOp):
            if dtypes.is_float(x.type):
                return b.math(math.AbsFOp, x)
            return x if unsigned else b.binary("max", x, b.neg(x))
        if isinstance(op, mir.RecipOp):
            return b.binary("div", b.constant(1.0, x.type), x)
        if isinstance(op, mir.LogicalNotOp):
            return b.add_op(arith.XOrIOp(x, b.constant(True, x.type)))
        if isinstance(op, mir.ReluOp) and not dtypes.is_float(x.type):
            return x if unsigned else b.binary("max", x, b.constant(0, x.type))
        if type(op) in _ACTIVATIONS:
            return b.activation(_ACTIVATIONS[type(op)], x)
        return b.math(_MATH[type(op)], x)

    pointwise(low, op, body)


def binary(low: Lowering, op: Operation) -> None:
    unsigned = dtypes.is_unsigned_int(tensor_of(op.operands[0]).element_type)

    def body(b: RegionBuilder, args: list[SSAValue]) -> SSAValue:
        if isinstance(op, mir.PowOp):
            return b.add_op((math.PowFOp if dtypes.is_float(args[0].type) else math.IPowIOp)(args[0], args[1]))
        return b.binary(_BINARY[type(op)], args[0], args[1], unsigned=unsigned)

    pointwise(low, op, body)


def compare(low: Lowering, op: Operation) -> None:
    unsigned = dtypes.is_unsigned_int(tensor_of(op.operands[0]).element_type)
    pointwise(low, op, lambda b, args: b.compare(_COMPARE[type(op)], args[0], args[1], unsigned=unsigned))


def select(low: Lowering, op: Operation) -> None:
    pointwise(low, op, lambda b, args: b.select(args[0], args[1], args[2]))


def cast(low: Lowering, op: Operation) -> None:
    source, target = tensor_of(op.operands[0]).element_type, tensor_of(op.results[0]).element_type

    def body(b: RegionBuilder, args: list[SSAValue]) -> SSAValue:
        return b.convert(
            args[0], target, unsigned_source=dtypes.is_unsigned_int(source), unsigned_target=dtypes.is_unsigned_int(target)
        )

    pointwise(low, op, body)


def swiglu(low: Lowering, op: Operation) -> None:
    assert isinstance(op, mir.SwigluOp)
    pointwise(low, op, lambda b, args: b.binary("mul", b.activation("silu", args[0]), args[1]))


def constant(low: Lowering, op: Operation) -> None:
    """A splat is a map without operands, which fuses into its readers; anything else is memory."""
    assert isinstance(op, mir.ConstantOp)
    kind = tensor_of(op.result)
    values = op.elements()
    if op.is_splat():
        names = low.names(kind.rank)
        dims = list(zip(names, kind.dims, strict=True))
        low.map(dims, [], [(low.new(op.result), syms(names))], lambda b, _: [b.constant(values[0], kind.element_type)])
        return
    shaped = TensorType(scalar_type(kind.element_type), [dim.value for dim in kind.dims])
    literal = DenseIntOrFPElementsAttr.from_list(shaped, values)  # pyright: ignore[reportArgumentType, reportCallIssue]
    low.bind(op.result, low.emit(ConstantOp(literal, buffer(kind.dims, kind.element_type))).results[0])


RULES: dict[type[Operation], Callable[[Lowering, Operation], None]] = {
    **dict.fromkeys((*_MATH, *_ACTIVATIONS, mir.NegOp, mir.AbsOp, mir.RecipOp, mir.LogicalNotOp), unary),
    **dict.fromkeys((*_BINARY, mir.PowOp), binary),
    **dict.fromkeys(_COMPARE, compare),
    mir.SelectOp: select,
    mir.CastOp: cast,
    mir.SwigluOp: swiglu,
    mir.ConstantOp: constant,
}

"""Scalar operations on vectors: how a schedule turns a form's region of `arith` and `math` into vector code."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import IndexType
from xdsl.ir import Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.kernel.elementwise import CastOp, CmpOp, SelectOp
from rlx_dialects.kernel.types import bit_size, element_of, shape_of, vector
from rlx_dialects.kernel.vector import BroadcastOp

_CASTS: dict[type[Operation], str] = {
    arith.ExtFOp: "extf",
    arith.TruncFOp: "truncf",
    arith.SIToFPOp: "sitofp",
    arith.UIToFPOp: "uitofp",
    arith.FPToSIOp: "fptosi",
    arith.FPToUIOp: "fptoui",
    arith.ExtSIOp: "extsi",
    arith.ExtUIOp: "extui",
    arith.TruncIOp: "trunci",
    arith.BitcastOp: "bitcast",
}


def lift(op: Operation, operands: Sequence[SSAValue]) -> list[Operation]:
    """The operations that do `op`, an op on scalars, on `operands`, scalars or vectors of one shape. The last one has the result.

    Scalars beside vectors are broadcast. If all operands are scalars the result is a scalar. Works for every op of `arith`,
    `math` and `kernel` that is element-wise; VerifyException if the shapes differ or the op has regions.
    """
    shapes = {shape_of(operand.type) for operand in operands} - {()}
    if len(shapes) > 1:
        raise VerifyException(f"{op.name}: operands of different shapes {', '.join(map(str, sorted(shapes)))}")
    if op.regions or len(op.results) != 1:
        raise VerifyException(f"{op.name} is not element-wise")
    shape = shapes.pop() if shapes else ()
    made: list[Operation] = []
    values: list[SSAValue] = []
    for operand in operands:
        if shape and not shape_of(operand.type):
            broadcast = BroadcastOp(operand, shape)
            made.append(broadcast)
            operand = broadcast.result
        values.append(operand)
    made.append(_on(op, values, shape))
    return made


def _on(op: Operation, values: list[SSAValue], shape: tuple[int, ...]) -> Operation:
    element = element_of(op.results[0].type)
    if shape:
        if isinstance(op, arith.CmpfOp):
            return CmpOp(arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data], *values)
        if isinstance(op, arith.CmpiOp):
            return CmpOp(arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data], *values)
        if isinstance(op, arith.SelectOp):
            return SelectOp(*values)
        if isinstance(op, arith.IndexCastOp):
            return CastOp(_index_cast(op), values[0], element)
        if (kind := _CASTS.get(type(op))) is not None:
            return CastOp(kind, values[0], element)
    return type(op).create(
        operands=values,
        result_types=[vector(element, shape)],
        properties=dict(op.properties),
        attributes=dict(op.attributes),
        location=op.location,
    )


def _index_cast(op: arith.IndexCastOp) -> str:
    source, result = element_of(op.input.type), element_of(op.result.type)
    if bit_size(source) == bit_size(result):
        return "bitcast"
    return "extsi" if isinstance(result, IndexType) else "trunci"

"""mir-canonicalize: fold what is known, drop what does nothing, bring shape ops to one form.

Importers and lowerings write reshapes of reshapes, casts there and back and arithmetic on literals. The fusions that follow
look for one form of each thing; this pass makes it. Constants are folded through the NumPy semantics of the ops, so folding
and running agree. Neutral elements go only where not a bit changes: `x + 0` stays (it turns -0 into 0), `x - 0` goes.

Before:
```mlir
%one = mir.constant dense<1.0> : !rlx.tensor<f32>
%ones = mir.broadcast %one : (!rlx.tensor<f32>) -> !rlx.tensor<B x 6 x f32>
%a = mir.mul %x, %ones : !rlx.tensor<B x 6 x f32>
%b = mir.reshape %a : (!rlx.tensor<B x 6 x f32>) -> !rlx.tensor<(B * 6) x f32>
%y = mir.reshape %b : (!rlx.tensor<(B * 6) x f32>) -> !rlx.tensor<B x 2 x 3 x f32>
```
After:
```mlir
%y = mir.reshape %x : (!rlx.tensor<B x 6 x f32>) -> !rlx.tensor<B x 2 x 3 x f32>
```

Expects: MIR. Ensures: no chains of reshapes, transposes, broadcasts or slices; nothing but broadcasts computed from constants
alone where the result is small. Numerics: exact; `pow(x, 2)` becomes `x · x`, which is the correctly rounded square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.mir import elementwise, unary
from rlx_dialects.mir.constant import element_bytes
from rlx_dialects.mir.semantics import constant, constant_of, evaluate
from rlx_dialects.rlx import TensorType, dtypes, tensor, tensor_type
from rlx_passes.generic.rlx_dce import RlxDcePass
from rlx_passes.support.mir_values import dims, number
from rlx_passes.support.rewriting import rewrite
from rlx_passes.support.statistics import CountingPass
from rlx_runtime.errors import RuntimeFault

ELEMENTWISE = (*unary.OPS, *elementwise.OPS)

FOLDED = tuple(op for op in mir.MIR.operations if op not in (mir.ConstantOp, mir.BroadcastOp, mir.IotaOp))
"""What is computed where all operands are constants. A broadcast of a constant says the same in less space."""


def _forward(op: Operation, value: SSAValue, rewriter: PatternRewriter) -> None:
    """Use `value` for the result of `op`, unless the types are equal by a stated fact only."""
    if value.type == op.results[0].type:
        rewriter.replace(op, [], [value])


class FoldConstants(RewritePattern):
    """An op on constants becomes a constant, if the result is small and computing it raises nothing."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        constants = [value.owner for value in op.operands]
        if not all(isinstance(owner, mir.ConstantOp) for owner in constants) or not _is_small(op):
            return
        if isinstance(op, mir.DimValueOp) and not op.expr.data.is_const:
            return
        try:
            results = evaluate(op, {}, *(constant(owner, {}) for owner in constants if isinstance(owner, mir.ConstantOp)))
        except RuntimeFault:
            return  # it is an error when the model runs, at its place
        folded = [constant_of(array, tensor_type(result).element_type) for array, result in zip(results, op.results)]
        rewriter.replace(op, folded, [new.result for new in folded])


def _is_small(op: Operation) -> bool:
    for result in op.results:
        t = result.type
        if not isinstance(t, TensorType) or not all(dim.is_const for dim in t.dims):
            return False
        if prod(dim.value for dim in t.dims) * element_bytes(t.element_type) > mir.ConstantOp.MAX_BYTES:
            return False
    return True


class ComputeScalarsOnce(RewritePattern):
    """An elementwise op whose operands are each one number, repeated, works on the numbers."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        result = op.results[0]
        if not dims(result) or not any(isinstance(value.owner, mir.BroadcastOp) for value in op.operands):
            return
        scalars: list[Operation | SSAValue] = []
        for value in op.operands:
            found = _scalar_of(value)
            if found is None:
                return
            scalars.append(found)
        new = [scalar for scalar in scalars if isinstance(scalar, Operation)]
        values = [SSAValue.get(scalar) for scalar in scalars]
        if isinstance(op, mir.CastOp):
            inner: Operation = mir.CastOp(values[0], tensor_type(result).element_type)
        else:
            inner = type(op)(*values)
        rewriter.replace(op, [*new, inner, mir.BroadcastOp(inner, dims(result))])


def _scalar_of(value: SSAValue) -> Operation | SSAValue | None:
    owner = value.owner
    if isinstance(owner, mir.BroadcastOp) and not dims(owner.x):
        return owner.x
    if isinstance(owner, mir.ConstantOp) and owner.is_splat():
        return mir.ConstantOp(owner.value.data, tensor((), owner.result.type.element_type))
    return None


class DropNeutral(RewritePattern):
    """`x · 1`, `x / 1`, `x - 0`, `x + (-0)`, pow(x, 1), integer `x + 0`; `pow(x, 2)` is `x · x`."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        lhs, rhs = op.operands
        if _is_neutral(op, rhs):
            _forward(op, lhs, rewriter)
        elif isinstance(op, mir.MulOp | mir.AddOp | mir.AndOp | mir.OrOp) and _is_neutral(op, lhs):
            _forward(op, rhs, rewriter)
        elif isinstance(op, mir.PowOp) and number(rhs) == 2:
            rewriter.replace(op, mir.MulOp(lhs, lhs))


def _is_neutral(op: Operation, value: SSAValue) -> bool:
    n = number(value)
    if n is None:
        return False
    is_float = dtypes.is_float(tensor_type(value).element_type)
    match op:
        case mir.MulOp() | mir.DivOp() | mir.PowOp():
            return n == 1
        case mir.SubOp():
            return n == 0 and not (is_float and str(n).startswith("-"))
        case mir.AddOp():
            return n == 0 and (not is_float or str(n).startswith("-"))
        case mir.AndOp():
            return n is True
        case mir.OrOp():
            return n is False
        case _:
            return False


class DropDouble(RewritePattern):
    """`-(-x)` and `¬¬x`."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        inner = op.operands[0].owner
        if isinstance(inner, type(op)):
            _forward(op, inner.operands[0], rewriter)


class KnownChoice(RewritePattern):
    """A select whose condition is one known value."""

    def match_and_rewrite(self, op: mir.SelectOp, rewriter: PatternRewriter) -> None:
        if op.lhs is op.rhs:
            _forward(op, op.lhs, rewriter)
        elif (chosen := number(op.cond)) is not None:
            _forward(op, op.lhs if chosen else op.rhs, rewriter)


class DropSameType(RewritePattern):
    """A cast, reshape, broadcast or reduction that changes nothing."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if op.results[0].type == op.operands[0].type:
            _forward(op, op.operands[0], rewriter)


class DropNoReduction(RewritePattern):
    """A reduction over no axis."""

    def match_and_rewrite(self, op: mir.ReduceOp, rewriter: PatternRewriter) -> None:
        if not op.axes.data:
            _forward(op, op.x, rewriter)


class CastOfCast(RewritePattern):
    """The first of two casts goes where it loses nothing and the second does not tell the types apart."""

    def match_and_rewrite(self, op: mir.CastOp, rewriter: PatternRewriter) -> None:
        inner = op.x.owner
        if not isinstance(inner, mir.CastOp):
            return
        source, middle, target = (tensor_type(value).element_type for value in (inner.x, inner.result, op.result))
        a, b, c = map(dtypes.dtype_name, (source, middle, target))
        if not is_lossless(a, b):
            return
        # From an integer, a float in between would make the last step saturate where the direct cast wraps.
        if a != c and dtypes.is_float(middle) and not dtypes.is_float(source) and not dtypes.is_float(target) and a != "bool":
            return
        rewriter.replace(op, mir.CastOp(inner.x, target))


_FLOAT_BITS = {"f8e4m3fn": (4, 4), "f8e5m2": (5, 3), "f16": (5, 11), "bf16": (8, 8), "f32": (8, 24), "f64": (11, 53)}
"""Exponent bits, and significand bits with the hidden one."""


def is_lossless(a: str, b: str) -> bool:
    """Has every value of dtype `a` an equal one in dtype `b`?"""
    if a == b or a == "bool":
        return True
    if a in _FLOAT_BITS:
        return b in _FLOAT_BITS and all(x <= y for x, y in zip(_FLOAT_BITS[a], _FLOAT_BITS[b]))
    bits = int(a[1:]) - (a[0] == "i")
    if b in _FLOAT_BITS:
        # i4 and i8 reach -8 and -128; their exponent fits every type that has the bits.
        return bits <= _FLOAT_BITS[b][1] and b not in ("f8e4m3fn", "f8e5m2")
    if b == "bool":
        return False
    return (b[0] == "i" or a[0] == "u") and bits <= int(b[1:]) - (b[0] == "i")


class ReshapeOfReshape(RewritePattern):
    def match_and_rewrite(self, op: mir.ReshapeOp, rewriter: PatternRewriter) -> None:
        if isinstance(inner := op.x.owner, mir.ReshapeOp):
            rewriter.replace(op, mir.ReshapeOp(inner.x, dims(op.result)))


class SimplifyTranspose(RewritePattern):
    """Transposes compose; one that only moves axes of length 1 is a reshape."""

    def match_and_rewrite(self, op: mir.TransposeOp, rewriter: PatternRewriter) -> None:
        perm = op.perm.data
        if isinstance(inner := op.x.owner, mir.TransposeOp):
            rewriter.replace(op, mir.TransposeOp(inner.x, [inner.perm.data[axis] for axis in perm]))
            return
        moved = [axis for axis in perm if dims(op.x)[axis] != 1]
        if perm == tuple(range(len(perm))):
            _forward(op, op.x, rewriter)
        elif moved == sorted(moved):
            rewriter.replace(op, mir.ReshapeOp(op.x, dims(op.result)))


class SimplifyBroadcast(RewritePattern):
    """Broadcasts compose; a reshape before one that only adds axes of length 1 is part of it."""

    def match_and_rewrite(self, op: mir.BroadcastOp, rewriter: PatternRewriter) -> None:
        inner = op.x.owner
        if isinstance(inner, mir.BroadcastOp):
            axes: Sequence[int] | None = inner.result_axes
        elif isinstance(inner, mir.ReshapeOp):
            axes = _added_ones(dims(inner.x), dims(inner.result))
        else:
            return
        if axes is not None:
            rewriter.replace(op, mir.BroadcastOp(inner.x, dims(op.result), [op.result_axes[axis] for axis in axes]))


def _added_ones(before: Sequence[DimExpr], after: Sequence[DimExpr]) -> list[int] | None:
    """The axis in `after` of each axis in `before`, if `after` is `before` with axes of length 1 put in."""
    axes: list[int] = []
    for axis, dim in enumerate(after):
        if len(axes) < len(before) and dim is before[len(axes)]:
            axes.append(axis)
        elif dim != 1:
            return None
    return axes if len(axes) == len(before) else None


class SimplifySlice(RewritePattern):
    """Slices compose; one of everything goes."""

    def match_and_rewrite(self, op: mir.SliceOp, rewriter: PatternRewriter) -> None:
        # Where the second slice is not known to stay inside the first, its fault must not get lost.
        if isinstance(inner := op.x.owner, mir.SliceOp) and not op.needs():
            starts = [a + b * step for a, b, step in zip(inner.starts.data, op.starts.data, inner.steps)]
            steps = [a * b for a, b in zip(inner.steps, op.steps)]
            rewriter.replace(op, mir.SliceOp(inner.x, starts, op.sizes.data, steps))
        elif op.result.type == op.x.type and all(start is const(0) for start in op.starts.data):
            _forward(op, op.x, rewriter)


class SimplifyConcat(RewritePattern):
    """A concat of one goes; a concat in a concat along the same axis is part of it."""

    def match_and_rewrite(self, op: mir.ConcatOp, rewriter: PatternRewriter) -> None:
        if len(op.inputs) == 1:
            _forward(op, op.inputs[0], rewriter)
            return
        flat: list[SSAValue] = []
        for value in op.inputs:
            inner = value.owner
            flat += inner.inputs if isinstance(inner, mir.ConcatOp) and inner.axis == op.axis else [value]
        if len(flat) > len(op.inputs):
            rewriter.replace(op, mir.ConcatOp(flat, op.axis.data))


PATTERNS = (
    (FOLDED, FoldConstants()),
    (ELEMENTWISE, ComputeScalarsOnce()),
    ((mir.MulOp, mir.DivOp, mir.PowOp, mir.SubOp, mir.AddOp, mir.AndOp, mir.OrOp), DropNeutral()),
    ((mir.NegOp, mir.LogicalNotOp), DropDouble()),
    (mir.SelectOp, KnownChoice()),
    ((mir.CastOp, mir.ReshapeOp, mir.BroadcastOp), DropSameType()),
    ((mir.ReduceSumOp, mir.ReduceMeanOp, mir.ReduceMaxOp, mir.ReduceMinOp, mir.ReduceProdOp), DropNoReduction()),
    (mir.CastOp, CastOfCast()),
    (mir.ReshapeOp, ReshapeOfReshape()),
    (mir.TransposeOp, SimplifyTranspose()),
    (mir.BroadcastOp, SimplifyBroadcast()),
    (mir.SliceOp, SimplifySlice()),
    (mir.ConcatOp, SimplifyConcat()),
)


@dataclass(frozen=True)
class MirCanonicalizePass(CountingPass):
    name = "mir-canonicalize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rewrite(op, PATTERNS, recursive=True)
        RlxDcePass().apply(ctx, op)

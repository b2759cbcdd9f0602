"""The inner step of a product: what one thread adds to its accumulators. Narrow floats accumulate in f32."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute, SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_dialects.kernel.types import element_of, is_float, shape_of
from rlx_dialects.rlx import dtypes


def accumulator_kind(kind: Attribute) -> Attribute:
    """The type that products of a kind are summed in."""
    return f32 if is_float(kind) and dtypes.bit_width(kind) < 32 else kind


def zero(b: GpuKernelBuilder, kind: Attribute, shape: Sequence[int] = ()) -> SSAValue:
    """An accumulator of products of `kind` before the first one."""
    return b.splat(0, accumulator_kind(kind), shape)


def converted(b: GpuKernelBuilder, value: SSAValue, kind: Attribute) -> SSAValue:
    """A float scalar or vector in another float type."""
    source = element_of(value.type)
    if source == kind:
        return value
    return b.cast("extf" if dtypes.bit_width(source) < dtypes.bit_width(kind) else "truncf", value, kind)


def multiply(b: GpuKernelBuilder, left: SSAValue, right: SSAValue, acc: SSAValue) -> SSAValue:
    """`acc + left · right`; of a register tile `acc`, `left` are the rows and `right` the columns."""
    kind, shape = element_of(acc.type), shape_of(acc.type)
    if is_float(kind):
        left, right = converted(b, left, kind), converted(b, right, kind)
        return b.outer_fma(left, right, acc) if len(shape) == 2 else b.fma(left, right, acc)
    if len(shape) == 2:
        left, right = b.broadcast(left, shape, "column"), b.broadcast(right, shape, "row")
    return b.value(arith.AddiOp(acc, b.value(arith.MuliOp(left, right))))


def finished(b: GpuKernelBuilder, sums: Sequence[SSAValue], kinds: Sequence[Attribute]) -> list[SSAValue]:
    """Accumulators in the types that the epilogue takes."""
    return [converted(b, acc, kind) if is_float(kind) else acc for acc, kind in zip(sums, kinds, strict=True)]

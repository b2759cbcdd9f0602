"""Elementwise ops: equal types in, the same shape out. Broadcasting is a separate op, `mir.broadcast`.

f16, bf16 and f8 are computed in f32 and rounded once.
"""

from __future__ import annotations

from typing import Any, ClassVar

from xdsl.irdl import irdl_op_definition, operand_def, result_def

from rlx_dialects.mir.base import TENSOR, MirOp, UniformOp, Value
from rlx_dialects.mir.shapes import Known, require_elements
from rlx_dialects.rlx import TensorType, dtypes, tensor


class UnaryOp(UniformOp):
    """`result[i] = f(x[i])`.

    ```mlir
    %y = mir.exp %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    ELEMENTS: ClassVar[str] = "float"

    x = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, x: Value):
        self._build(x)

    @classmethod
    def infer(cls, known: Known, x: TensorType) -> TensorType:
        require_elements(x, cls.ELEMENTS)
        return x


class BinaryOp(UniformOp):
    """`result[i] = f(lhs[i], rhs[i])`; both operands have the type of the result.

    ```mlir
    %z = mir.sub %x, %y : !rlx.tensor<B x 128 x f32>
    ```
    """

    ELEMENTS: ClassVar[str] = "number"

    lhs = operand_def(TENSOR)
    rhs = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, lhs: Value, rhs: Value):
        self._build(lhs, rhs)

    @classmethod
    def infer(cls, known: Known, lhs: TensorType, rhs: TensorType) -> TensorType:
        require_elements(lhs, cls.ELEMENTS)
        known.same_type(lhs, rhs, "lhs and rhs")
        return lhs


class CompareOp(MirOp):
    """`result[i] = lhs[i] ⋈ rhs[i]` as i1. With a NaN every comparison but `ne` is false.

    ```mlir
    %m = mir.lt %x, %y : (!rlx.tensor<B x 4 x i64>, !rlx.tensor<B x 4 x i64>) -> !rlx.tensor<B x 4 x i1>
    ```
    """

    lhs = operand_def(TENSOR)
    rhs = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, lhs: Value, rhs: Value):
        self._build(lhs, rhs)

    @staticmethod
    def infer(known: Known, lhs: TensorType, rhs: TensorType) -> TensorType:
        known.same_type(lhs, rhs, "lhs and rhs")
        return tensor(lhs.dims, dtypes.BOOL)


# -- unary


@irdl_op_definition
class NegOp(UnaryOp):
    """`-x`."""

    name = "mir.neg"
    ELEMENTS: ClassVar[str] = "signed"


@irdl_op_definition
class AbsOp(UnaryOp):
    """`|x|`."""

    name = "mir.abs"
    ELEMENTS: ClassVar[str] = "signed"


@irdl_op_definition
class ExpOp(UnaryOp):
    """`eˣ`."""

    name = "mir.exp"


@irdl_op_definition
class LogOp(UnaryOp):
    """`ln x`; NaN for x < 0, -inf for 0."""

    name = "mir.log"


@irdl_op_definition
class SqrtOp(UnaryOp):
    """`√x`; NaN for x < 0."""

    name = "mir.sqrt"


@irdl_op_definition
class RsqrtOp(UnaryOp):
    """`1 / √x`."""

    name = "mir.rsqrt"


@irdl_op_definition
class RecipOp(UnaryOp):
    """`1 / x`."""

    name = "mir.recip"


@irdl_op_definition
class TanhOp(UnaryOp):
    """`tanh x`."""

    name = "mir.tanh"


@irdl_op_definition
class ErfOp(UnaryOp):
    """`erf x = 2/√π ∫₀ˣ exp(-t²) dt`."""

    name = "mir.erf"


@irdl_op_definition
class SigmoidOp(UnaryOp):
    """`1 / (1 + e⁻ˣ)`."""

    name = "mir.sigmoid"


@irdl_op_definition
class ReluOp(UnaryOp):
    """`max(x, 0)`; a NaN stays a NaN."""

    name = "mir.relu"
    ELEMENTS: ClassVar[str] = "signed"


@irdl_op_definition
class GeluOp(UnaryOp):
    """`x/2 · (1 + erf(x/√2))` (Hendrycks & Gimpel 2016, the exact form)."""

    name = "mir.gelu"


@irdl_op_definition
class GeluTanhOp(UnaryOp):
    """`x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³)))` (Hendrycks & Gimpel 2016, the approximation)."""

    name = "mir.gelu_tanh"


@irdl_op_definition
class SiluOp(UnaryOp):
    """`x · sigmoid(x)`."""

    name = "mir.silu"


@irdl_op_definition
class SinOp(UnaryOp):
    """`sin x`."""

    name = "mir.sin"


@irdl_op_definition
class CosOp(UnaryOp):
    """`cos x`."""

    name = "mir.cos"


@irdl_op_definition
class TanOp(UnaryOp):
    """`tan x`."""

    name = "mir.tan"


@irdl_op_definition
class AtanOp(UnaryOp):
    """`arctan x`, in (-π/2, π/2)."""

    name = "mir.atan"


@irdl_op_definition
class RoundOp(UnaryOp):
    """The nearest integer; ties go to the even one."""

    name = "mir.round"


@irdl_op_definition
class FloorOp(UnaryOp):
    """The largest integer ≤ x."""

    name = "mir.floor"


@irdl_op_definition
class CeilOp(UnaryOp):
    """The smallest integer ≥ x."""

    name = "mir.ceil"


@irdl_op_definition
class LogicalNotOp(UnaryOp):
    """`¬x` of i1."""

    name = "mir.logical_not"
    ELEMENTS: ClassVar[str] = "bool"


# -- binary


@irdl_op_definition
class AddOp(BinaryOp):
    """`lhs + rhs`; integers wrap."""

    name = "mir.add"


@irdl_op_definition
class SubOp(BinaryOp):
    """`lhs - rhs`; integers wrap."""

    name = "mir.sub"


@irdl_op_definition
class MulOp(BinaryOp):
    """`lhs · rhs`; integers wrap."""

    name = "mir.mul"


@irdl_op_definition
class DivOp(BinaryOp):
    """`lhs / rhs`; integers truncate toward zero, and a zero divisor gives 0."""

    name = "mir.div"


@irdl_op_definition
class MaxOp(BinaryOp):
    """The larger one; a NaN in either gives NaN."""

    name = "mir.max"


@irdl_op_definition
class MinOp(BinaryOp):
    """The smaller one; a NaN in either gives NaN."""

    name = "mir.min"


@irdl_op_definition
class PowOp(BinaryOp):
    """`lhs` to the power `rhs`; NaN for a negative base with a fractional exponent."""

    name = "mir.pow"
    ELEMENTS: ClassVar[str] = "float"


@irdl_op_definition
class AndOp(BinaryOp):
    """Bitwise (for i1: logical) and."""

    name = "mir.and"
    ELEMENTS: ClassVar[str] = "bits"


@irdl_op_definition
class OrOp(BinaryOp):
    """Bitwise (for i1: logical) or."""

    name = "mir.or"
    ELEMENTS: ClassVar[str] = "bits"


# -- comparisons


@irdl_op_definition
class EqOp(CompareOp):
    """`lhs = rhs`."""

    name = "mir.eq"


@irdl_op_definition
class NeOp(CompareOp):
    """`lhs ≠ rhs`."""

    name = "mir.ne"


@irdl_op_definition
class LtOp(CompareOp):
    """`lhs < rhs`."""

    name = "mir.lt"


@irdl_op_definition
class LeOp(CompareOp):
    """`lhs ≤ rhs`."""

    name = "mir.le"


@irdl_op_definition
class GtOp(CompareOp):
    """`lhs > rhs`."""

    name = "mir.gt"


@irdl_op_definition
class GeOp(CompareOp):
    """`lhs ≥ rhs`."""

    name = "mir.ge"


# -- choice and conversion


@irdl_op_definition
class SelectOp(MirOp):
    """`cond ? lhs : rhs`, element by element.

    Shapes: cond [...] of i1, lhs and rhs [...] -> [...].

    ```mlir
    %y = mir.select %c, %a, %b : (!rlx.tensor<B x i1>, !rlx.tensor<B x f32>, !rlx.tensor<B x f32>) -> !rlx.tensor<B x f32>
    ```
    """

    name = "mir.select"
    cond = operand_def(TENSOR)
    lhs = operand_def(TENSOR)
    rhs = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, cond: Value, lhs: Value, rhs: Value):
        self._build(cond, lhs, rhs)

    @staticmethod
    def infer(known: Known, cond: TensorType, lhs: TensorType, rhs: TensorType) -> TensorType:
        require_elements(cond, "bool", "the condition")
        known.same_type(lhs, rhs, "lhs and rhs")
        known.same_dims(cond.dims, lhs.dims, "condition and lhs")
        return lhs


@irdl_op_definition
class CastOp(MirOp):
    """Convert the element type; the result type says to which.

    Float to float rounds to nearest even; float to integer truncates toward zero (NaN gives 0, out of range saturates);
    integer to narrower integer wraps; to i1 is `x ≠ 0`; i1 gives 0 or 1.

    ```mlir
    %y = mir.cast %x : (!rlx.tensor<B x 128 x f32>) -> !rlx.tensor<B x 128 x bf16>
    ```
    """

    name = "mir.cast"
    x = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, x: Value, dtype: Any):
        self._build(x, dtype=dtypes.dtype(dtype) if isinstance(dtype, str) else dtype)

    @staticmethod
    def infer(known: Known, x: TensorType, dtype: Any) -> TensorType:
        return tensor(x.dims, dtype)

    def given(self) -> dict[str, Any]:
        return {"dtype": self.result.type.element_type}


UNARY = (
    NegOp, AbsOp, ExpOp, LogOp, SqrtOp, RsqrtOp, RecipOp, TanhOp, ErfOp, SigmoidOp, ReluOp, GeluOp, GeluTanhOp, SiluOp,
    SinOp, CosOp, TanOp, AtanOp, RoundOp, FloorOp, CeilOp, LogicalNotOp,
)  # fmt: skip
BINARY = (AddOp, SubOp, MulOp, DivOp, MaxOp, MinOp, PowOp, AndOp, OrOp)
COMPARE = (EqOp, NeOp, LtOp, LeOp, GtOp, GeOp)
OPS = (*UNARY, *BINARY, *COMPARE, SelectOp, CastOp)

"""Elementwise ops of several operands, and casts: operands of equal types, results of their shape.

Broadcasting is an op of its own, `mir.broadcast`. f16, bf16 and f8 are computed in f32 and rounded once.
"""

from __future__ import annotations

from typing import Any, ClassVar

from xdsl.irdl import irdl_op_definition, operand_def, result_def

from rlx_dialects.mir.base import TENSOR, MirOp, UniformOp, Value
from rlx_dialects.mir.shapes import Known, require_elements
from rlx_dialects.rlx import TensorType, dtypes, tensor


class BinaryOp(UniformOp):
    """`result[i] = f(lhs[i], rhs[i])`; both operands have the type of the result."""

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
    """`result[i] = lhs[i] ⋈ rhs[i]` as i1. With a NaN every comparison but `ne` is false."""

    lhs = operand_def(TENSOR)
    rhs = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, lhs: Value, rhs: Value):
        self._build(lhs, rhs)

    @staticmethod
    def infer(known: Known, lhs: TensorType, rhs: TensorType) -> TensorType:
        known.same_type(lhs, rhs, "lhs and rhs")
        return tensor(lhs.dims, dtypes.BOOL)


# -- binary


@irdl_op_definition
class AddOp(BinaryOp):
    """`lhs + rhs`; integers wrap.

    ```mlir
    %z = mir.add %x, %y : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.add"


@irdl_op_definition
class SubOp(BinaryOp):
    """`lhs - rhs`; integers wrap.

    ```mlir
    %z = mir.sub %x, %y : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.sub"


@irdl_op_definition
class MulOp(BinaryOp):
    """`lhs · rhs`; integers wrap.

    ```mlir
    %z = mir.mul %x, %y : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.mul"


@irdl_op_definition
class DivOp(BinaryOp):
    """`lhs / rhs`; integers truncate toward zero, and a zero divisor gives 0.

    ```mlir
    %z = mir.div %x, %y : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.div"


@irdl_op_definition
class MaxOp(BinaryOp):
    """The larger one; a NaN in either gives NaN.

    ```mlir
    %z = mir.max %x, %y : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.max"


@irdl_op_definition
class MinOp(BinaryOp):
    """The smaller one; a NaN in either gives NaN.

    ```mlir
    %z = mir.min %x, %y : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.min"


@irdl_op_definition
class PowOp(BinaryOp):
    """`lhs` to the power `rhs`; NaN for a negative base with a fractional exponent.

    ```mlir
    %z = mir.pow %x, %y : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.pow"
    ELEMENTS: ClassVar[str] = "float"


@irdl_op_definition
class AndOp(BinaryOp):
    """Bitwise (for i1: logical) and.

    ```mlir
    %z = mir.and %x, %y : !rlx.tensor<B x i1>
    ```
    """

    name = "mir.and"
    ELEMENTS: ClassVar[str] = "bits"


@irdl_op_definition
class OrOp(BinaryOp):
    """Bitwise (for i1: logical) or.

    ```mlir
    %z = mir.or %x, %y : !rlx.tensor<B x i1>
    ```
    """

    name = "mir.or"
    ELEMENTS: ClassVar[str] = "bits"


# -- comparisons


@irdl_op_definition
class EqOp(CompareOp):
    """`lhs = rhs`.

    ```mlir
    %m = mir.eq %x, %y : (!rlx.tensor<B x i64>, !rlx.tensor<B x i64>) -> !rlx.tensor<B x i1>
    ```
    """

    name = "mir.eq"


@irdl_op_definition
class NeOp(CompareOp):
    """`lhs ≠ rhs`.

    ```mlir
    %m = mir.ne %x, %y : (!rlx.tensor<B x i64>, !rlx.tensor<B x i64>) -> !rlx.tensor<B x i1>
    ```
    """

    name = "mir.ne"


@irdl_op_definition
class LtOp(CompareOp):
    """`lhs < rhs`.

    ```mlir
    %m = mir.lt %x, %y : (!rlx.tensor<B x i64>, !rlx.tensor<B x i64>) -> !rlx.tensor<B x i1>
    ```
    """

    name = "mir.lt"


@irdl_op_definition
class LeOp(CompareOp):
    """`lhs ≤ rhs`.

    ```mlir
    %m = mir.le %x, %y : (!rlx.tensor<B x i64>, !rlx.tensor<B x i64>) -> !rlx.tensor<B x i1>
    ```
    """

    name = "mir.le"


@irdl_op_definition
class GtOp(CompareOp):
    """`lhs > rhs`.

    ```mlir
    %m = mir.gt %x, %y : (!rlx.tensor<B x i64>, !rlx.tensor<B x i64>) -> !rlx.tensor<B x i1>
    ```
    """

    name = "mir.gt"


@irdl_op_definition
class GeOp(CompareOp):
    """`lhs ≥ rhs`.

    ```mlir
    %m = mir.ge %x, %y : (!rlx.tensor<B x i64>, !rlx.tensor<B x i64>) -> !rlx.tensor<B x i1>
    ```
    """

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


BINARY = (AddOp, SubOp, MulOp, DivOp, MaxOp, MinOp, PowOp, AndOp, OrOp)
COMPARE = (EqOp, NeOp, LtOp, LeOp, GtOp, GeOp)
OPS = (*BINARY, *COMPARE, SelectOp, CastOp)

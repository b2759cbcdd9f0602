"""Contractions."""

from __future__ import annotations

from xdsl.irdl import irdl_op_definition, operand_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.mir.base import TENSOR, MirOp, Value
from rlx_dialects.mir.shapes import Known, require_elements, same_dtype, type_text
from rlx_dialects.rlx import TensorType, tensor


def infer_matmul(known: Known, lhs: TensorType, rhs: TensorType) -> TensorType:
    """[..., M, K] · [..., K, N] -> [..., M, N] with equal batch dims, or rhs [K, N] for all batches."""
    require_elements(lhs, "number", "lhs")
    same_dtype(lhs, rhs, "lhs and rhs")
    if lhs.rank < 2 or rhs.rank < 2:
        raise VerifyException(f"matmul needs operands of rank 2 or more, found {type_text(lhs)} and {type_text(rhs)}")
    if rhs.rank > 2:
        known.same_dims(lhs.dims[:-2], rhs.dims[:-2], "batch dims of lhs and rhs")
    known.equal(lhs.dims[-1], rhs.dims[-2], f"contracted dims of {type_text(lhs)} and {type_text(rhs)}")
    return tensor((*lhs.dims[:-1], rhs.dims[-1]), lhs.element_type)


@irdl_op_definition
class MatmulOp(MirOp):
    """`result[..., m, n] = Σₖ lhs[..., m, k] · rhs[..., k, n]`.

    Shapes: lhs [..., M, K], rhs [..., K, N] with equal batch dims, or rhs [K, N] -> [..., M, N]. f16, bf16 and f8
    accumulate in f32.

    ```mlir
    %y = mir.matmul %x, %w : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 128 x f32>) -> !rlx.tensor<B x S x 128 x f32>
    ```
    """

    name = "mir.matmul"
    lhs = operand_def(TENSOR)
    rhs = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, lhs: Value, rhs: Value):
        self._build(lhs, rhs)

    @staticmethod
    def infer(known: Known, lhs: TensorType, rhs: TensorType) -> TensorType:
        return infer_matmul(known, lhs, rhs)


OPS = (MatmulOp,)

"""Normalizations over the last axis, alone and with the residual sum before them."""

from collections.abc import Sequence

from xdsl.dialects.builtin import FloatAttr
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, prop_def, result_def

from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.base import HirOp, number
from rlx_dialects.hir.infer import expect_dtypes, expect_float, expect_rank_at_least, expect_shape, expect_vector, problem
from rlx_dialects.rlx import TensorType, tensor_type


def infer_norm(facts: Facts, x: SSAValue, scale: SSAValue, bias: SSAValue | None, eps: float, prefix: str = "") -> TensorType:
    """The type of a norm of `x`; scale and bias are as long as its last axis."""
    x_type = expect_rank_at_least(x, 1, "x")
    expect_float(x_type.element_type, "x")
    expect_dtypes(x_type.element_type, "x", **{f"{prefix}scale": scale, f"{prefix}bias": bias})
    expect_vector(facts, scale, x_type.dims[-1], f"{prefix}scale", "the last axis of x")
    expect_vector(facts, bias, x_type.dims[-1], f"{prefix}bias", "the last axis of x")
    if not eps >= 0:
        raise problem(f"eps is {eps}; it must not be negative")
    return x_type


def _infer_residual(
    facts: Facts, x: SSAValue, residual: SSAValue, scale: SSAValue, bias: SSAValue | None, eps: float
) -> Sequence[TensorType]:
    x_type = infer_norm(facts, x, scale, bias, eps)
    expect_dtypes(x_type.element_type, "x", residual=residual)
    expect_shape(facts, residual, tensor_type(x).dims, "residual", "x")
    return x_type, x_type


@irdl_op_definition
class LayerNormOp(HirOp):
    """`(x - mean(x)) / sqrt(var(x) + eps) · scale + bias` over the last axis, biased variance (Ba et al. 2016, eq. 4).

    Shapes: x [..., N], scale [N], bias [N] -> [..., N]. Statistics are taken in f32 or wider.

    ```mlir
    %y = hir.layer_norm %x, %g, bias %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>)
        -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.layer_norm"
    x = operand_def(TensorType)
    scale = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    eps = prop_def(FloatAttr)
    result = result_def(TensorType)

    def __init__(
        self, x: SSAValue, scale: SSAValue, bias: SSAValue | None = None, eps: float = 1e-5, *, facts: Facts | None = None
    ):
        self._init([x, scale, bias], {"eps": number(eps)}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        return (infer_norm(facts, self.x, self.scale, self.bias, self.eps.value.data),)


@irdl_op_definition
class RmsNormOp(HirOp):
    """`x / sqrt(mean(x²) + eps) · scale` over the last axis (Zhang & Sennrich 2019, eq. 4).

    Shapes: x [..., N], scale [N] -> [..., N]. The mean is taken in f32 or wider.

    ```mlir
    %y = hir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.rms_norm"
    x = operand_def(TensorType)
    scale = operand_def(TensorType)
    eps = prop_def(FloatAttr)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, scale: SSAValue, eps: float = 1e-6, *, facts: Facts | None = None):
        self._init([x, scale], {"eps": number(eps)}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        return (infer_norm(facts, self.x, self.scale, None, self.eps.value.data),)


@irdl_op_definition
class ResidualLayerNormOp(HirOp):
    """`sum = x + residual; normed = layer_norm(sum)`: the sum is a result because the next block adds to it.

    Shapes: x, residual [..., N], scale [N], bias [N] -> sum, normed [..., N].

    ```mlir
    %s, %y = hir.residual_layer_norm %x, %r, %g, bias %b(eps = 1.0e-05) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>,
        !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
    ```
    """

    name = "hir.residual_layer_norm"
    x = operand_def(TensorType)
    residual = operand_def(TensorType)
    scale = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    eps = prop_def(FloatAttr)
    sum = result_def(TensorType)
    normed = result_def(TensorType)

    def __init__(
        self, x: SSAValue, residual: SSAValue, scale: SSAValue, bias: SSAValue | None = None, eps: float = 1e-5,
        *, facts: Facts | None = None,
    ):  # fmt: skip
        self._init([x, residual, scale, bias], {"eps": number(eps)}, facts, results=2)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        return _infer_residual(facts, self.x, self.residual, self.scale, self.bias, self.eps.value.data)


@irdl_op_definition
class ResidualRmsNormOp(HirOp):
    """`sum = x + residual; normed = rms_norm(sum)`.

    Shapes: x, residual [..., N], scale [N] -> sum, normed [..., N].

    ```mlir
    %s, %y = hir.residual_rms_norm %x, %r, %g(eps = 1.0e-06) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>,
        !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
    ```
    """

    name = "hir.residual_rms_norm"
    x = operand_def(TensorType)
    residual = operand_def(TensorType)
    scale = operand_def(TensorType)
    eps = prop_def(FloatAttr)
    sum = result_def(TensorType)
    normed = result_def(TensorType)

    def __init__(self, x: SSAValue, residual: SSAValue, scale: SSAValue, eps: float = 1e-6, *, facts: Facts | None = None):
        self._init([x, residual, scale], {"eps": number(eps)}, facts, results=2)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        return _infer_residual(facts, self.x, self.residual, self.scale, None, self.eps.value.data)

"""Products with weights: `hir.linear`, `hir.matmul`."""

from collections.abc import Sequence

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, prop_def, result_def

from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.base import HirOp
from rlx_dialects.hir.infer import (
    broadcast,
    expect_dtypes,
    expect_equal,
    expect_float,
    expect_rank,
    expect_rank_at_least,
    expect_vector,
    expect_word,
)
from rlx_dialects.rlx import TensorType, tensor

ACTIVATIONS = ("none", "relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid")


@irdl_op_definition
class LinearOp(HirOp):
    """`activation(x · w + bias)`. `gelu` is the erf form, `gelu_tanh` its tanh approximation (Hendrycks & Gimpel 2016).

    Shapes: x [..., K], w [K, N], bias [N] -> [..., N]. One float dtype; products are summed in f32 or wider.

    ```mlir
    %y = hir.linear %x, %w, bias %b(activation = gelu) : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>,
        !rlx.tensor<4 x f32>) -> !rlx.tensor<B x S x 4 x f32>
    ```
    """

    name = "hir.linear"
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    activation = prop_def(StringAttr, default_value=StringAttr("none"))
    result = result_def(TensorType)

    def __init__(
        self, x: SSAValue, w: SSAValue, bias: SSAValue | None = None, activation: str = "none", *, facts: Facts | None = None
    ):
        self._init([x, w, bias], {"activation": StringAttr(activation)}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        expect_word(self.activation.data, ACTIVATIONS, "activation")
        return (infer_linear(facts, self.x, self.w, self.bias),)


def infer_linear(facts: Facts, x: SSAValue, w: SSAValue, bias: SSAValue | None, prefix: str = "") -> TensorType:
    """The type of `x · w + bias`; `prefix` stands before the weight's name in messages."""
    x_type = expect_rank_at_least(x, 1, "x")
    w_type = expect_rank(w, 2, f"{prefix}w", "[in, out]")
    expect_float(x_type.element_type, "x")
    expect_dtypes(x_type.element_type, "x", **{f"{prefix}w": w, f"{prefix}bias": bias})
    expect_equal(facts, x_type.dims[-1], w_type.dims[0], f"the last axis of x and the rows of {prefix}w")
    expect_vector(facts, bias, w_type.dims[1], f"{prefix}bias", f"the columns of {prefix}w")
    return tensor((*x_type.dims[:-1], w_type.dims[1]), x_type.element_type)


@irdl_op_definition
class MatmulOp(HirOp):
    """`lhs · rhs` over the last two axes; axes before them broadcast as in `numpy.matmul`.

    Shapes: lhs [..., M, K], rhs [..., K, N] -> [..., M, N].

    ```mlir
    %y = hir.matmul %a, %b : (!rlx.tensor<B x 2 x S x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 2 x S x 4 x f32>
    ```
    """

    name = "hir.matmul"
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, lhs: SSAValue, rhs: SSAValue, *, facts: Facts | None = None):
        self._init([lhs, rhs], {}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        lhs, rhs = expect_rank_at_least(self.lhs, 2, "lhs"), expect_rank_at_least(self.rhs, 2, "rhs")
        expect_dtypes(lhs.element_type, "lhs", rhs=self.rhs)
        expect_equal(facts, lhs.dims[-1], rhs.dims[-2], "the last axis of lhs and the second last of rhs")
        batch = broadcast(facts, lhs.dims[:-2], rhs.dims[:-2])
        return (tensor((*batch, lhs.dims[-2], rhs.dims[-1]), lhs.element_type),)

"""Fused ops: what the named MIR fusions produce, and what a model may say directly."""

from __future__ import annotations

from xdsl.dialects.builtin import StringAttr
from xdsl.irdl import AttrSizedOperandSegments, irdl_op_definition, operand_def, opt_operand_def, prop_def, result_def

from rlx_dialects.mir.base import TENSOR, MirOp, UniformOp, Value
from rlx_dialects.mir.contraction import infer_matmul
from rlx_dialects.mir.shapes import Known, require_choice, require_elements, require_rank, same_dtype
from rlx_dialects.rlx import TensorType

ACTIVATIONS = ("none", "relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid")
"""Activations an epilogue may apply; each but `none` is the elementwise op of that name."""


@irdl_op_definition
class MatmulBiasActOp(MirOp):
    """`activation(x · w + bias + residual)`; bias and residual are optional.

    Shapes: x [..., M, K], w [..., K, N] or [K, N], bias [N], residual [..., M, N] -> [..., M, N].

    ```mlir
    %y = mir.matmul_bias_act %x, %w, bias %b(activation = gelu) :
        (!rlx.tensor<B x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.matmul_bias_act"
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    x = operand_def(TENSOR)
    w = operand_def(TENSOR)
    bias = opt_operand_def(TENSOR)
    residual = opt_operand_def(TENSOR)
    activation = prop_def(StringAttr)
    result = result_def(TENSOR)

    def __init__(
        self, x: Value, w: Value, bias: Value | None = None, residual: Value | None = None, activation: str = "none"
    ):
        self._build(x, w, bias, residual, activation=activation)

    @staticmethod
    def infer(
        known: Known, x: TensorType, w: TensorType, bias: TensorType | None, residual: TensorType | None, activation: str
    ) -> TensorType:
        require_choice(activation, ACTIVATIONS, "activation")
        require_elements(x, "float", "x")
        result = infer_matmul(known, x, w)
        if bias is not None:
            require_rank(bias, 1, "bias")
            same_dtype(x, bias, "x and bias")
            known.equal(bias.dims[0], result.dims[-1], "length of bias and last dim of the product")
        if residual is not None:
            known.same_type(residual, result, "residual and product")
        return result


@irdl_op_definition
class SwigluOp(UniformOp):
    """`silu(gate) · up` (Shazeer 2020, eq. 5, without the matrix products).

    ```mlir
    %y = mir.swiglu %gate, %up : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.swiglu"
    gate = operand_def(TENSOR)
    up = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, gate: Value, up: Value):
        self._build(gate, up)

    @staticmethod
    def infer(known: Known, gate: TensorType, up: TensorType) -> TensorType:
        require_elements(gate, "float")
        known.same_type(gate, up, "gate and up")
        return gate


@irdl_op_definition
class SwigluMatmulOp(MirOp):
    """`silu(x · gate) · (x · up)` (Shazeer 2020, eq. 5).

    Shapes: x [..., M, K], up and gate [K, N] -> [..., M, N].

    ```mlir
    %y = mir.swiglu_matmul %x, %up, %gate :
        (!rlx.tensor<B x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<64 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.swiglu_matmul"
    x = operand_def(TENSOR)
    up = operand_def(TENSOR)
    gate = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, x: Value, up: Value, gate: Value):
        self._build(x, up, gate)

    @staticmethod
    def infer(known: Known, x: TensorType, up: TensorType, gate: TensorType) -> TensorType:
        require_elements(x, "float", "x")
        require_rank(up, 2, "up")
        known.same_type(up, gate, "up and gate")
        return infer_matmul(known, x, up)


OPS = (MatmulBiasActOp, SwigluOp, SwigluMatmulOp)

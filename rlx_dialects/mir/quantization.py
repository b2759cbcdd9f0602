"""Quantized numbers: conversion to and from small integers, products of them, products with quantized weights.

A quantized value is `x ≈ (q - zero) · scale`. Scales and zeros are tensors of rank 0, or of rank 1 for one axis.
"""

from __future__ import annotations

from xdsl.dialects.builtin import IntAttr
from xdsl.irdl import (
    AttrSizedOperandSegments,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
)
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import const
from rlx_dialects.mir.base import TENSOR, MirOp, Value
from rlx_dialects.mir.contraction import infer_matmul
from rlx_dialects.mir.shapes import Known, require_axis, require_choice, require_elements, require_rank, same_dtype, type_text
from rlx_dialects.rlx import TensorType, dtypes, tensor

CODES = ("i8", "u8", "i4")
"""Types of quantized values."""


def _require_scale(known: Known, x: TensorType, scale: TensorType, axis: int | None, what: str) -> None:
    if axis is None:
        require_rank(scale, 0, what)
        return
    require_axis(axis, x)
    require_rank(scale, 1, what)
    known.equal(scale.dims[0], x.dims[axis], f"length of {what} and axis {axis} of x")


@irdl_op_definition
class QuantizeOp(MirOp):
    """`q = saturate(round(x / scale) + zero)`, ties to even; NaN gives the zero (ONNX's QuantizeLinear).

    Shapes: x of floats, scale (of x's type) and zero (of the type of the codes) of rank 0, or of rank 1 along `axis`.

    ```mlir
    %q = mir.quantize %x, %s, %z(axis = 1) :
        (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x i8>) -> !rlx.tensor<B x 8 x i8>
    ```
    """

    name = "mir.quantize"
    x = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    zero = operand_def(TENSOR)
    axis = opt_prop_def(IntAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, scale: Value, zero: Value, axis: int | None = None):
        self._build(x, scale, zero, axis=axis)

    @staticmethod
    def infer(known: Known, x: TensorType, scale: TensorType, zero: TensorType, axis: int | None) -> TensorType:
        require_elements(x, "float", "x")
        same_dtype(x, scale, "x and scale")
        require_choice(dtypes.dtype_name(zero.element_type), CODES[:2], "the type of zero")
        for value, what in ((scale, "scale"), (zero, "zero")):
            _require_scale(known, x, value, axis, what)
        return tensor(x.dims, zero.element_type)


@irdl_op_definition
class DequantizeOp(MirOp):
    """`x = (q - zero) · scale` in the type of scale.

    Shapes: q of i8, u8 or i4, scale and zero of rank 0, or of rank 1 along `axis`; zero has the type of q.

    ```mlir
    %x = mir.dequantize %q, %s, %z : (!rlx.tensor<B x 8 x i8>, !rlx.tensor<f32>, !rlx.tensor<i8>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.dequantize"
    q = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    zero = operand_def(TENSOR)
    axis = opt_prop_def(IntAttr)
    result = result_def(TENSOR)

    def __init__(self, q: Value, scale: Value, zero: Value, axis: int | None = None):
        self._build(q, scale, zero, axis=axis)

    @staticmethod
    def infer(known: Known, q: TensorType, scale: TensorType, zero: TensorType, axis: int | None) -> TensorType:
        require_choice(dtypes.dtype_name(q.element_type), CODES, "the type of q")
        require_elements(scale, "float", "scale")
        same_dtype(q, zero, "q and zero")
        for value, what in ((scale, "scale"), (zero, "zero")):
            _require_scale(known, q, value, axis, what)
        return tensor(q.dims, scale.element_type)


@irdl_op_definition
class FakeQuantizeOp(MirOp):
    """What `bits` would leave of x: `round(clamp(x / s, -m, m)) · s` with m = 2^(bits - 1) - 1 and s = max |x| / m.

    The maximum is over the whole tensor, or for each place of `axis`; of zeros nothing is left to lose. Ties to even.

    ```mlir
    %y = mir.fake_quantize %x(bits = 8, axis = 0) : (!rlx.tensor<4 x S x f32>) -> !rlx.tensor<4 x S x f32>
    ```
    """

    name = "mir.fake_quantize"
    x = operand_def(TENSOR)
    bits = prop_def(IntAttr)
    axis = opt_prop_def(IntAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, bits: int, axis: int | None = None):
        self._build(x, bits=bits, axis=axis)

    @staticmethod
    def infer(known: Known, x: TensorType, bits: int, axis: int | None) -> TensorType:
        require_elements(x, "float", "x")
        if bits not in (2, 4, 8):
            raise VerifyException(f"bits is 2, 4 or 8, found {bits}")
        if axis is not None:
            require_axis(axis, x)
        return x


@irdl_op_definition
class QuantizedMatmulOp(MirOp):
    """`saturate(round((Σₖ (x - x_zero)(w - w_zero) + bias) · scale) + zero)` of i8, summed in i32, ties to even.

    Shapes: x [..., M, K] i8, w [K, N] i8, bias [N] i32, scale f32 of rank 0 -> [..., M, N] i8. The zeros are numbers.

    ```mlir
    %y = mir.quantized_matmul %x, %w, %b, %s(x_zero = 3, w_zero = 0, zero = -5) : (!rlx.tensor<B x 16 x i8>,
        !rlx.tensor<16 x 8 x i8>, !rlx.tensor<8 x i32>, !rlx.tensor<f32>) -> !rlx.tensor<B x 8 x i8>
    ```
    """

    name = "mir.quantized_matmul"
    x = operand_def(TENSOR)
    w = operand_def(TENSOR)
    bias = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    x_zero = prop_def(IntAttr)
    w_zero = prop_def(IntAttr)
    zero = prop_def(IntAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, w: Value, bias: Value, scale: Value, x_zero: int = 0, w_zero: int = 0, zero: int = 0):
        self._build(x, w, bias, scale, x_zero=x_zero, w_zero=w_zero, zero=zero)

    @staticmethod
    def infer(
        known: Known, x: TensorType, w: TensorType, bias: TensorType, scale: TensorType, x_zero: int, w_zero: int, zero: int
    ) -> TensorType:
        require_choice(dtypes.dtype_name(x.element_type), ("i8",), "the type of x")
        require_rank(w, 2, "w")
        result = infer_matmul(known, x, w)
        require_choice(dtypes.dtype_name(bias.element_type), ("i32",), "the type of bias")
        require_rank(bias, 1, "bias")
        known.equal(bias.dims[0], w.dims[1], "length of bias and columns of w")
        require_choice(dtypes.dtype_name(scale.element_type), ("f32",), "the type of scale")
        require_rank(scale, 0, "scale")
        for what, value in (("x_zero", x_zero), ("w_zero", w_zero), ("zero", zero)):
            if not -128 <= value <= 127:
                raise VerifyException(f"{what} is an i8, found {value}")
        return result


@irdl_op_definition
class DequantMatmulOp(MirOp):
    """`y[..., m, n] = Σₖ x[..., m, k] · (q[k, n] · scale[k floordiv block, n] - minimum[k floordiv block, n])`.

    Weights as planes: codes q [K, N] of i8, u8 or i4, scales and (optionally) minimums [K / block, N] of x's type; x [..., M, K]
    of floats -> [..., M, N], summed in f32 (f64). This is what GGUF's Q4_0, Q8_0, Q4_K, Q5_K and Q6_K become when their blocks
    are laid out as planes; the products of block scales are exact in f32.

    ```mlir
    %y = mir.dequant_matmul %x, %q, %s, minimum %m(block = 32) : (!rlx.tensor<B x 64 x f32>, !rlx.tensor<64 x 8 x i4>,
        !rlx.tensor<2 x 8 x f32>, !rlx.tensor<2 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.dequant_matmul"
    x = operand_def(TENSOR)
    q = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    minimum = opt_operand_def(TENSOR)
    block = prop_def(IntAttr)
    result = result_def(TENSOR)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(self, x: Value, q: Value, scale: Value, minimum: Value | None = None, block: int = 32):
        self._build(x, q, scale, minimum, block=block)

    @staticmethod
    def infer(
        known: Known, x: TensorType, q: TensorType, scale: TensorType, minimum: TensorType | None, block: int
    ) -> TensorType:
        require_elements(x, "float", "x")
        if x.rank < 2:
            raise VerifyException(f"dequant_matmul needs x of rank 2 or more, found {type_text(x)}")
        require_rank(q, 2, "q")
        require_choice(dtypes.dtype_name(q.element_type), CODES, "the type of q")
        known.equal(x.dims[-1], q.dims[0], f"contracted dims of {type_text(x)} and {type_text(q)}")
        if block < 1:
            raise VerifyException(f"block is 1 or more, found {block}")
        known.divides(block, q.dims[0], "rows of q in blocks")
        for value, what in ((scale, "scale"), (minimum, "minimum")):
            if value is None:
                continue
            require_rank(value, 2, what)
            same_dtype(x, value, f"x and {what}")
            known.same_dims(value.dims, (q.dims[0] // const(block), q.dims[1]), f"{what} and the blocks of q")
        return tensor((*x.dims[:-1], q.dims[1]), x.element_type)


OPS = (QuantizeOp, DequantizeOp, FakeQuantizeOp, QuantizedMatmulOp, DequantMatmulOp)

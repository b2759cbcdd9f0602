"""Softmax and normalization. Statistics are computed in f32 whatever the element type (f64 in f64)."""

from __future__ import annotations

from xdsl.dialects.builtin import IntAttr
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.mir.attributes import RealAttr
from rlx_dialects.mir.base import TENSOR, MirOp, UniformOp, Value
from rlx_dialects.mir.shapes import Known, require_axis, require_elements, require_rank, same_dtype
from rlx_dialects.rlx import TensorType


def require_last_axis(known: Known, x: TensorType, param: TensorType, what: str) -> None:
    """`param` is rank 1, of the element type of `x` and as long as its last axis."""
    require_axis(x.rank - 1, x, "the normalized axis")
    require_rank(param, 1, what)
    same_dtype(x, param, f"x and {what}")
    known.equal(param.dims[0], x.dims[-1], f"length of {what} and last axis of x")


def infer_norm(known: Known, x: TensorType, **params: TensorType) -> TensorType:
    require_elements(x, "float", "x")
    for what, param in params.items():
        require_last_axis(known, x, param, what)
    return x


@irdl_op_definition
class SoftmaxOp(UniformOp):
    """`exp(x - max) / Σ exp(x - max)` along `axis`; a row of -inf only gives zeros.

    ```mlir
    %y = mir.softmax %x(axis = 1) : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.softmax"
    x = operand_def(TENSOR)
    axis = prop_def(IntAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, axis: int):
        self._build(x, axis=axis)

    @staticmethod
    def infer(known: Known, x: TensorType, axis: int) -> TensorType:
        require_elements(x, "float", "x")
        require_axis(axis, x)
        return x


@irdl_op_definition
class LayerNormOp(MirOp):
    """`(x - mean) / √(var + eps) · scale + bias` over the last axis, biased variance (Ba et al. 2016).

    Shapes: x [..., N], scale and bias [N] -> [..., N].

    ```mlir
    %y = mir.layer_norm %x, %g, %b(eps = 1.0e-05) :
        (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.layer_norm"
    x = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    bias = operand_def(TENSOR)
    eps = prop_def(RealAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, scale: Value, bias: Value, eps: float):
        self._build(x, scale, bias, eps=eps)

    @staticmethod
    def infer(known: Known, x: TensorType, scale: TensorType, bias: TensorType, eps: float) -> TensorType:
        return infer_norm(known, x, scale=scale, bias=bias)


@irdl_op_definition
class RmsNormOp(MirOp):
    """`x / √(mean(x²) + eps) · scale` over the last axis (Zhang & Sennrich 2019, eq. 4).

    Shapes: x [..., N], scale [N] -> [..., N].

    ```mlir
    %y = mir.rms_norm %x, %g(eps = 1.0e-06) : (!rlx.tensor<B x 128 x f32>, !rlx.tensor<128 x f32>) -> !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.rms_norm"
    x = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    eps = prop_def(RealAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, scale: Value, eps: float):
        self._build(x, scale, eps=eps)

    @staticmethod
    def infer(known: Known, x: TensorType, scale: TensorType, eps: float) -> TensorType:
        return infer_norm(known, x, scale=scale)


@irdl_op_definition
class ResidualLayerNormOp(MirOp):
    """`sum = x + residual; normed = layer_norm(sum)`: one pass over memory, both results.

    Shapes: x and residual [..., N], scale and bias [N] -> sum and normed [..., N].

    ```mlir
    %s, %y = mir.residual_layer_norm %x, %r, %g, %b(eps = 1.0e-05) :
        (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>)
        -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>)
    ```
    """

    name = "mir.residual_layer_norm"
    x = operand_def(TENSOR)
    residual = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    bias = operand_def(TENSOR)
    eps = prop_def(RealAttr)
    sum = result_def(TENSOR)
    normed = result_def(TENSOR)

    def __init__(self, x: Value, residual: Value, scale: Value, bias: Value, eps: float):
        self._build(x, residual, scale, bias, eps=eps)

    @staticmethod
    def infer(
        known: Known, x: TensorType, residual: TensorType, scale: TensorType, bias: TensorType, eps: float
    ) -> tuple[TensorType, ...]:
        known.same_type(x, residual, "x and residual")
        return (infer_norm(known, x, scale=scale, bias=bias),) * 2


@irdl_op_definition
class ResidualRmsNormOp(MirOp):
    """`sum = x + residual; normed = rms_norm(sum)`: one pass over memory, both results.

    Shapes: x and residual [..., N], scale [N] -> sum and normed [..., N].

    ```mlir
    %s, %y = mir.residual_rms_norm %x, %r, %g(eps = 1.0e-06) :
        (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> (!rlx.tensor<B x 8 x f32>,
        !rlx.tensor<B x 8 x f32>)
    ```
    """

    name = "mir.residual_rms_norm"
    x = operand_def(TENSOR)
    residual = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    eps = prop_def(RealAttr)
    sum = result_def(TENSOR)
    normed = result_def(TENSOR)

    def __init__(self, x: Value, residual: Value, scale: Value, eps: float):
        self._build(x, residual, scale, eps=eps)

    @staticmethod
    def infer(known: Known, x: TensorType, residual: TensorType, scale: TensorType, eps: float) -> tuple[TensorType, ...]:
        known.same_type(x, residual, "x and residual")
        return (infer_norm(known, x, scale=scale),) * 2


@irdl_op_definition
class GroupNormOp(MirOp):
    """Layer norm over groups of channels and all axes after them, scale and bias per channel (Wu & He 2018), biased variance.

    Shapes: x [N, C, d…], scale and bias [C] -> x. One group is layer norm over C and d…; `groups = C` instance norm.

    ```mlir
    %y = mir.group_norm %x, %g, %b(groups = 2, eps = 1.0e-05) :
        (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
    ```
    """

    name = "mir.group_norm"
    x = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    bias = operand_def(TENSOR)
    groups = prop_def(IntAttr)
    eps = prop_def(RealAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, scale: Value, bias: Value, groups: int, eps: float = 1e-5):
        self._build(x, scale, bias, groups=groups, eps=eps)

    @staticmethod
    def infer(known: Known, x: TensorType, scale: TensorType, bias: TensorType, groups: int, eps: float) -> TensorType:
        require_elements(x, "float", "x")
        require_axis(1, x, "the axis of channels")
        if groups < 1:
            raise VerifyException(f"groups is 1 or more, found {groups}")
        known.divides(groups, x.dims[1], "channels in groups")
        _require_channels(known, x, scale=scale, bias=bias)
        return x


@irdl_op_definition
class ChannelNormOp(MirOp):
    """Layer norm over the channels of every place: x [N, C, d…], scale and bias [C] -> x (LayerNorm2d of ConvNeXt and SAM).

    ```mlir
    %y = mir.channel_norm %x, %g, %b(eps = 1.0e-06) :
        (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
    ```
    """

    name = "mir.channel_norm"
    x = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    bias = operand_def(TENSOR)
    eps = prop_def(RealAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, scale: Value, bias: Value, eps: float = 1e-6):
        self._build(x, scale, bias, eps=eps)

    @staticmethod
    def infer(known: Known, x: TensorType, scale: TensorType, bias: TensorType, eps: float) -> TensorType:
        require_elements(x, "float", "x")
        require_axis(1, x, "the axis of channels")
        _require_channels(known, x, scale=scale, bias=bias)
        return x


@irdl_op_definition
class BatchNormOp(MirOp):
    """`(x - mean) / √(variance + eps) · scale + bias` with given statistics (inference; Ioffe & Szegedy 2015).

    Shapes: x [N, C, d…], scale, bias, mean and variance [C] -> x.

    ```mlir
    %y = mir.batch_norm %x, %g, %b, %m, %v(eps = 1.0e-05) : (!rlx.tensor<B x 6 x H x f32>, !rlx.tensor<6 x f32>,
        !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>, !rlx.tensor<6 x f32>) -> !rlx.tensor<B x 6 x H x f32>
    ```
    """

    name = "mir.batch_norm"
    x = operand_def(TENSOR)
    scale = operand_def(TENSOR)
    bias = operand_def(TENSOR)
    mean = operand_def(TENSOR)
    variance = operand_def(TENSOR)
    eps = prop_def(RealAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, scale: Value, bias: Value, mean: Value, variance: Value, eps: float = 1e-5):
        self._build(x, scale, bias, mean, variance, eps=eps)

    @staticmethod
    def infer(
        known: Known, x: TensorType, scale: TensorType, bias: TensorType, mean: TensorType, variance: TensorType, eps: float
    ) -> TensorType:
        require_elements(x, "float", "x")
        require_axis(1, x, "the axis of channels")
        _require_channels(known, x, scale=scale, bias=bias, mean=mean, variance=variance)
        return x


def _require_channels(known: Known, x: TensorType, **params: TensorType) -> None:
    for what, param in params.items():
        require_rank(param, 1, what)
        same_dtype(x, param, f"x and {what}")
        known.equal(param.dims[0], x.dims[1], f"length of {what} and channels of x")


OPS = (SoftmaxOp, LayerNormOp, RmsNormOp, ResidualLayerNormOp, ResidualRmsNormOp, GroupNormOp, ChannelNormOp, BatchNormOp)

"""Reductions over a set of axes. f16, bf16 and f8 accumulate in f32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import UnitAttr
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import const
from rlx_dialects.mir.attributes import IntsAttr
from rlx_dialects.mir.base import TENSOR, MirOp, Value
from rlx_dialects.mir.shapes import Known, require_axis, require_elements
from rlx_dialects.rlx import TensorType, tensor


class ReduceOp(MirOp):
    """Combine all elements along `axes`; the axes vanish, or stay with length 1 under `keepdims`."""

    ELEMENTS: ClassVar[str] = "number"

    x = operand_def(TENSOR)
    axes = prop_def(IntsAttr)
    keepdims = opt_prop_def(UnitAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, axes: Sequence[int], keepdims: bool = False):
        self._build(x, axes=axes, keepdims=keepdims)

    @classmethod
    def infer(cls, known: Known, x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
        require_elements(x, cls.ELEMENTS)
        for axis in axes:
            require_axis(axis, x)
        if list(axes) != sorted(set(axes)):
            raise VerifyException(f"axes = {list(axes)} must increase strictly")
        if keepdims:
            return tensor((const(1) if i in axes else dim for i, dim in enumerate(x.dims)), x.element_type)
        return tensor((dim for i, dim in enumerate(x.dims) if i not in axes), x.element_type)


@irdl_op_definition
class ReduceSumOp(ReduceOp):
    """`Σ x`; 0 over no elements.

    ```mlir
    %y = mir.reduce_sum %x(axes = [1, 2], keepdims) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 1 x 1 x f32>
    ```
    """

    name = "mir.reduce_sum"


@irdl_op_definition
class ReduceMeanOp(ReduceOp):
    """`Σ x / n`; NaN over no elements.

    ```mlir
    %y = mir.reduce_mean %x(axes = [1]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.reduce_mean"
    ELEMENTS: ClassVar[str] = "float"


@irdl_op_definition
class ReduceMaxOp(ReduceOp):
    """The largest; NaN if any is NaN; the lowest value of the type over no elements.

    ```mlir
    %y = mir.reduce_max %x(axes = [1]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.reduce_max"


@irdl_op_definition
class ReduceMinOp(ReduceOp):
    """The smallest; NaN if any is NaN; the highest value of the type over no elements.

    ```mlir
    %y = mir.reduce_min %x(axes = [1]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.reduce_min"


@irdl_op_definition
class ReduceProdOp(ReduceOp):
    """`Π x`; 1 over no elements.

    ```mlir
    %y = mir.reduce_prod %x(axes = [1]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.reduce_prod"


OPS = (ReduceSumOp, ReduceMeanOp, ReduceMaxOp, ReduceMinOp, ReduceProdOp)

"""Ops that depend on the order of elements along one axis: running sums, positions of extremes, sorting."""

from __future__ import annotations

from xdsl.dialects.builtin import IntAttr, UnitAttr
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, DimLike, as_expr, const
from rlx_dialects.mir.base import TENSOR, MirOp, Value
from rlx_dialects.mir.shapes import Known, require_axis, require_elements
from rlx_dialects.rlx import DimExprAttr, TensorType, tensor


@irdl_op_definition
class CumsumOp(MirOp):
    """Running sums along `axis`: `y[t] = Σ x[u], u <= t`; `exclusive` leaves x[t] out, `reverse` runs from the end.

    Integers wrap. f16, bf16 and f8 sum in f32 and round each result once (NumPy rounds every step).

    ```mlir
    %y = mir.cumsum %x(axis = 1) : (!rlx.tensor<B x S x f32>) -> !rlx.tensor<B x S x f32>
    ```
    """

    name = "mir.cumsum"
    x = operand_def(TENSOR)
    axis = prop_def(IntAttr)
    exclusive = opt_prop_def(UnitAttr)
    reverse = opt_prop_def(UnitAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, axis: int, exclusive: bool = False, reverse: bool = False):
        self._build(x, axis=axis, exclusive=exclusive, reverse=reverse)

    @staticmethod
    def infer(known: Known, x: TensorType, axis: int, exclusive: bool, reverse: bool) -> TensorType:
        require_elements(x, "number")
        require_axis(axis, x)
        return x


class ArgOp(MirOp):
    """The position of an extreme along `axis`, i64; of equal elements the first. A NaN counts as the extreme (as in NumPy)."""

    x = operand_def(TENSOR)
    axis = prop_def(IntAttr)
    keepdims = opt_prop_def(UnitAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, axis: int, keepdims: bool = False):
        self._build(x, axis=axis, keepdims=keepdims)

    @staticmethod
    def infer(known: Known, x: TensorType, axis: int, keepdims: bool) -> TensorType:
        require_elements(x, "number")
        require_axis(axis, x)
        if x.dims[axis] == 0:
            raise VerifyException(f"axis {axis} has no elements, so none is an extreme")
        kept = (const(1),) if keepdims else ()
        return tensor((*x.dims[:axis], *kept, *x.dims[axis + 1 :]), "i64")


@irdl_op_definition
class ArgMaxOp(ArgOp):
    """The position of the largest element along `axis`, i64; of equal ones the first. A NaN counts as the largest (as in NumPy).

    ```mlir
    %i = mir.arg_max %x(axis = 1) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x i64>
    ```
    """

    name = "mir.arg_max"


@irdl_op_definition
class ArgMinOp(ArgOp):
    """The position of the smallest element along `axis`, i64; of equal ones the first. A NaN counts as the smallest.

    ```mlir
    %i = mir.arg_min %x(axis = 1, keepdims) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x i64>
    ```
    """

    name = "mir.arg_min"


@irdl_op_definition
class SortOp(MirOp):
    """All elements along `axis` in order, and the positions (i64) they came from. Stable; NaN comes last in either direction.

    ```mlir
    %v, %i = mir.sort %x(axis = 1, descending) :
        (!rlx.tensor<B x 8 x f32>) -> (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x i64>)
    ```
    """

    name = "mir.sort"
    x = operand_def(TENSOR)
    axis = prop_def(IntAttr)
    descending = opt_prop_def(UnitAttr)
    values = result_def(TENSOR)
    indices = result_def(TENSOR)

    def __init__(self, x: Value, axis: int, descending: bool = False):
        self._build(x, axis=axis, descending=descending)

    @staticmethod
    def infer(known: Known, x: TensorType, axis: int, descending: bool) -> tuple[TensorType, TensorType]:
        require_elements(x, "number")
        require_axis(axis, x)
        return x, tensor(x.dims, "i64")


@irdl_op_definition
class TopKOp(MirOp):
    """The `k` largest elements along `axis`, the largest first, and their positions (i64); of equal ones the first come first.

    `k` is a dim expression, at most the extent. NaN is less than everything (torch: greater).

    ```mlir
    %v, %i = mir.top_k %x(k = 3, axis = 1) : (!rlx.tensor<B x 8 x f32>) -> (!rlx.tensor<B x 3 x f32>, !rlx.tensor<B x 3 x i64>)
    ```
    """

    name = "mir.top_k"
    x = operand_def(TENSOR)
    k = prop_def(DimExprAttr)
    axis = prop_def(IntAttr)
    values = result_def(TENSOR)
    indices = result_def(TENSOR)

    def __init__(self, x: Value, k: DimLike, axis: int):
        self._build(x, k=as_expr(k), axis=axis)

    @staticmethod
    def infer(known: Known, x: TensorType, k: DimExpr, axis: int) -> tuple[TensorType, TensorType]:
        require_elements(x, "number")
        require_axis(axis, x)
        known.at_most(0, k, "top_k: 0 and k")
        known.at_most(k, x.dims[axis], "top_k: k and the elements there are")
        dims = (*x.dims[:axis], k, *x.dims[axis + 1 :])
        return tensor(dims, x.element_type), tensor(dims, "i64")


OPS = (CumsumOp, ArgMaxOp, ArgMinOp, SortOp, TopKOp)

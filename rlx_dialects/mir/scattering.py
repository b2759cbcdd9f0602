"""Ops that look up or write elements at computed places along any axes."""

from __future__ import annotations

from xdsl.dialects.builtin import IntAttr, StringAttr
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, DimLike, as_expr
from rlx_dialects.mir.base import TENSOR, MirOp, Value
from rlx_dialects.mir.shapes import Known, require_axis, require_choice, require_elements, require_rank, same_dtype
from rlx_dialects.rlx import DimExprAttr, TensorType, tensor

POLICIES = ("error", "clamp")
"""What an index out of range does when elements are read."""

DROP_POLICIES = ("error", "drop")
"""What an index out of range does when elements are written."""

COMBINES = ("add", "max", "min", "set")


@irdl_op_definition
class TakeOp(MirOp):
    """Elements along `axis`: `result[a…, i…, b…] = x[a…, indices[i…], b…]` (NumPy's `take`).

    Shapes: x [a…, V, b…], indices [i…] of integers. An index outside of [0, V) is an error at run time or is clamped.

    ```mlir
    %y = mir.take %x, %i(axis = 1, oob = error) :
        (!rlx.tensor<B x 9 x f32>, !rlx.tensor<S x 2 x i64>) -> !rlx.tensor<B x S x 2 x f32>
    ```
    """

    name = "mir.take"
    x = operand_def(TENSOR)
    indices = operand_def(TENSOR)
    axis = prop_def(IntAttr)
    oob = prop_def(StringAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, indices: Value, axis: int, oob: str = "error"):
        self._build(x, indices, axis=axis, oob=oob)

    @staticmethod
    def infer(known: Known, x: TensorType, indices: TensorType, axis: int, oob: str) -> TensorType:
        require_choice(oob, POLICIES, "oob")
        require_axis(axis, x)
        require_elements(indices, "int", "indices")
        return tensor((*x.dims[:axis], *indices.dims, *x.dims[axis + 1 :]), x.element_type)


@irdl_op_definition
class GatherNdOp(MirOp):
    """`result[i…, r…] = x[indices[i…, 0], …, indices[i…, n - 1], r…]` (ONNX's GatherND without batch dims).

    Shapes: x [v₀, …, v₍ₙ₋₁₎, r…], indices [i…, n] of integers, n static. An index out of range is an error or is clamped.

    ```mlir
    %y = mir.gather_nd %x, %i(oob = error) : (!rlx.tensor<4 x 5 x 6 x f32>, !rlx.tensor<B x 2 x i64>) -> !rlx.tensor<B x 6 x f32>
    ```
    """

    name = "mir.gather_nd"
    x = operand_def(TENSOR)
    indices = operand_def(TENSOR)
    oob = prop_def(StringAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, indices: Value, oob: str = "error"):
        self._build(x, indices, oob=oob)

    @staticmethod
    def infer(known: Known, x: TensorType, indices: TensorType, oob: str) -> TensorType:
        require_choice(oob, POLICIES, "oob")
        require_elements(indices, "int", "indices")
        require_axis(0, indices, "the axis of the indices of one element")
        count = indices.dims[-1]
        if not count.is_const or not 1 <= count.value <= x.rank:
            raise VerifyException(f"the last dim of the indices is 1 to {x.rank} for rank {x.rank}, found {count}")
        return tensor((*indices.dims[:-1], *x.dims[count.value :]), x.element_type)


@irdl_op_definition
class ScatterOp(MirOp):
    """`y = x` but for `y[indices[n], r…] ⊕= updates[n, r…]`, n in order; ⊕ is add, max, min, or set (the last one stays).

    Shapes: x [V, r…], indices [N] of integers, updates [N, r…]. An index outside of [0, V) is an error at run time, or drops its
    update. Equal destinations combine in the order of n, so the result is the same in every run.

    ```mlir
    %y = mir.scatter %x, %i, %u(combine = add, oob = error) :
        (!rlx.tensor<9 x 4 x f32>, !rlx.tensor<N x i64>, !rlx.tensor<N x 4 x f32>) -> !rlx.tensor<9 x 4 x f32>
    ```
    """

    name = "mir.scatter"
    x = operand_def(TENSOR)
    indices = operand_def(TENSOR)
    updates = operand_def(TENSOR)
    combine = prop_def(StringAttr)
    oob = prop_def(StringAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, indices: Value, updates: Value, combine: str = "add", oob: str = "error"):
        self._build(x, indices, updates, combine=combine, oob=oob)

    @staticmethod
    def infer(
        known: Known, x: TensorType, indices: TensorType, updates: TensorType, combine: str, oob: str
    ) -> TensorType:
        require_choice(combine, COMBINES, "combine")
        _require_scatter(known, indices, updates, x.rank, oob)
        require_elements(x, "number")
        same_dtype(x, updates, "x and updates")
        known.same_dims(x.dims[1:], updates.dims[1:], "x and updates beyond axis 0")
        return x


@irdl_op_definition
class ScatterAddOp(MirOp):
    """Sums of rows by index: `y[v, r…] = Σ updates[n, r…]` over the n with `indices[n] == v`, in order, for v < rows.

    Shapes: updates [N, r…], indices [N] of integers -> [rows, r…]. An index outside of [0, rows) is an error or drops its row.

    ```mlir
    %y = mir.scatter_add %u, %i(rows = 9, oob = error) :
        (!rlx.tensor<N x 4 x f32>, !rlx.tensor<N x i64>) -> !rlx.tensor<9 x 4 x f32>
    ```
    """

    name = "mir.scatter_add"
    updates = operand_def(TENSOR)
    indices = operand_def(TENSOR)
    rows = prop_def(DimExprAttr)
    oob = prop_def(StringAttr)
    result = result_def(TENSOR)

    def __init__(self, updates: Value, indices: Value, rows: DimLike, oob: str = "error"):
        self._build(updates, indices, rows=as_expr(rows), oob=oob)

    @staticmethod
    def infer(known: Known, updates: TensorType, indices: TensorType, rows: DimExpr, oob: str) -> TensorType:
        _require_scatter(known, indices, updates, updates.rank, oob)
        require_elements(updates, "number", "updates")
        return tensor((rows, *updates.dims[1:]), updates.element_type)


def _require_scatter(known: Known, indices: TensorType, updates: TensorType, rank: int, oob: str) -> None:
    require_choice(oob, DROP_POLICIES, "oob")
    require_elements(indices, "int", "indices")
    require_rank(indices, 1, "indices")
    require_axis(0, updates, "the axis of updates")
    require_rank(updates, rank, "updates")
    known.equal(indices.dims[0], updates.dims[0], "indices and updates")


OPS = (TakeOp, GatherNdOp, ScatterOp, ScatterAddOp)

"""State (KV caches, SSM states) with value semantics: an update gives the next value of the state."""

from __future__ import annotations

from xdsl.dialects.builtin import IntAttr
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, DimLike
from rlx_dialects.mir.base import STATE, TENSOR, MirOp, Value
from rlx_dialects.mir.shapes import Known, require_axis, same_dtype, type_text
from rlx_dialects.rlx import DimExprAttr, StateType, TensorType, tensor


@irdl_op_definition
class CacheUpdateOp(MirOp):
    """The state with `new` written from position `at` on along `axis`.

    Shapes: state [..., C, ...], new [..., N, ...] with equal other dims -> state. at + N ≤ C, a guard where it is not proved.

    ```mlir
    %k1 = mir.cache_update %k0, %new(at = P, axis = 1) :
        (!rlx.state<B x 4096 x 8 x 64 x f32>, !rlx.tensor<B x S x 8 x 64 x f32>) -> !rlx.state<B x 4096 x 8 x 64 x f32>
    ```
    """

    name = "mir.cache_update"
    state = operand_def(STATE)
    new = operand_def(TENSOR)
    at = prop_def(DimExprAttr)
    axis = prop_def(IntAttr)
    result = result_def(STATE)

    def __init__(self, state: Value, new: Value, at: DimLike, axis: int):
        self._build(state, new, at=at, axis=axis)

    @staticmethod
    def infer(known: Known, state: StateType, new: TensorType, at: DimExpr, axis: int) -> StateType:
        same_dtype(state, new, "state and new")
        if state.rank != new.rank:
            raise VerifyException(f"state {type_text(state)} and new {type_text(new)} have different ranks")
        require_axis(axis, state)
        for d, (a, b) in enumerate(zip(state.dims, new.dims)):
            if d != axis:
                known.equal(a, b, f"state and new at dim {d}")
        known.at_most(0, at, "position of the update")
        known.at_most(at + new.dims[axis], state.dims[axis], "end of the update and room of the state")
        return state


@irdl_op_definition
class StateReadOp(MirOp):
    """The first `extent` positions of a state along `axis`, as a tensor.

    ```mlir
    %k = mir.state_read %k1(axis = 1, extent = P + S) : (!rlx.state<B x 4096 x 8 x f32>) -> !rlx.tensor<B x (P + S) x 8 x f32>
    ```
    """

    name = "mir.state_read"
    state = operand_def(STATE)
    axis = prop_def(IntAttr)
    extent = prop_def(DimExprAttr)
    result = result_def(TENSOR)

    def __init__(self, state: Value, axis: int, extent: DimLike):
        self._build(state, axis=axis, extent=extent)

    @staticmethod
    def infer(known: Known, state: StateType, axis: int, extent: DimExpr) -> TensorType:
        require_axis(axis, state)
        known.at_most(extent, state.dims[axis], "extent read and room of the state")
        return tensor((*state.dims[:axis], extent, *state.dims[axis + 1 :]), state.element_type)


OPS = (CacheUpdateOp, StateReadOp)

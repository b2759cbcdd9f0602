"""Recurrences along a sequence with a state that goes in and comes out: selective scan, gated delta rule."""

from __future__ import annotations

from xdsl.irdl import AttrSizedOperandSegments, irdl_op_definition, operand_def, opt_operand_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.mir.base import TENSOR, MirOp, Value
from rlx_dialects.mir.shapes import Known, require_elements, require_rank, same_dtype
from rlx_dialects.rlx import TensorType, tensor

MAX_STATE = 128
"""Largest state per channel of the gated delta rule: each of its elements is a carry of the recurrence."""


@irdl_op_definition
class SelectiveScanOp(MirOp):
    """`h[t] = exp(Δ[t] · A) · h[t - 1] + Δ[t] · B[t] · x[t]`, `y[t] = Σₙ C[t, n] · h[t, n]` (Mamba, Gu & Dao 2023).

    Shapes: x, delta [B, S, D], a [D, N], b, c [B, S, N], initial [B, D, N] (zero if absent) -> y [B, S, D] and the last state
    [B, D, N]. The state is kept in f32 (f64) between steps and rounded at the end.

    ```mlir
    %y, %h = mir.selective_scan %x, %d, %a, %b, %c : (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x S x 6 x f32>,
        !rlx.tensor<6 x 4 x f32>, !rlx.tensor<B x S x 4 x f32>, !rlx.tensor<B x S x 4 x f32>)
        -> (!rlx.tensor<B x S x 6 x f32>, !rlx.tensor<B x 6 x 4 x f32>)
    ```
    """

    name = "mir.selective_scan"
    x = operand_def(TENSOR)
    delta = operand_def(TENSOR)
    a = operand_def(TENSOR)
    b = operand_def(TENSOR)
    c = operand_def(TENSOR)
    initial = opt_operand_def(TENSOR)
    result = result_def(TENSOR)
    state = result_def(TENSOR)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(self, x: Value, delta: Value, a: Value, b: Value, c: Value, initial: Value | None = None):
        self._build(x, delta, a, b, c, initial)

    @staticmethod
    def infer(
        known: Known, x: TensorType, delta: TensorType, a: TensorType, b: TensorType, c: TensorType, initial: TensorType | None
    ) -> tuple[TensorType, TensorType]:
        require_elements(x, "float", "x")
        require_rank(x, 3, "x")
        known.same_type(x, delta, "x and delta")
        require_rank(a, 2, "a")
        batch, length, channels = x.dims
        size = a.dims[1]
        known.equal(a.dims[0], channels, "rows of a and channels of x")
        for value, what in ((b, "b"), (c, "c")):
            require_rank(value, 3, what)
            known.same_dims(value.dims, (batch, length, size), f"{what}, and batch, steps and state of x and a")
        for value, what in ((a, "a"), (b, "b"), (c, "c")):
            same_dtype(x, value, f"x and {what}")
        state = tensor((batch, channels, size), x.element_type)
        if initial is not None:
            known.same_type(state, initial, "the state and its initial value")
        return x, state


@irdl_op_definition
class GatedDeltaOp(MirOp):
    """The gated delta rule (Yang et al. 2024): with S [N, N] for each head and `S' = exp(g[t]) · S`,
    `S[t] = S' + k[t] · (β[t] · (v[t] - k[t]ᵀ S'))ᵀ` and `y[t] = q[t]ᵀ S[t] / √N`.

    Shapes: q, k, v [B, S, H, N], g, beta [B, S, H], initial [B, H, N, N] (zero if absent; rows go with k) -> y [B, S, H, N] and
    the last state [B, H, N, N]. N is static, at most 128. The state is kept in f32 (f64) between steps and rounded at the end.

    ```mlir
    %y, %s = mir.gated_delta %q, %k, %v, %g, %e : (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x 4 x f32>,
        !rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x S x 2 x f32>, !rlx.tensor<B x S x 2 x f32>)
        -> (!rlx.tensor<B x S x 2 x 4 x f32>, !rlx.tensor<B x 2 x 4 x 4 x f32>)
    ```
    """

    name = "mir.gated_delta"
    q = operand_def(TENSOR)
    k = operand_def(TENSOR)
    v = operand_def(TENSOR)
    g = operand_def(TENSOR)
    beta = operand_def(TENSOR)
    initial = opt_operand_def(TENSOR)
    result = result_def(TENSOR)
    state = result_def(TENSOR)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(self, q: Value, k: Value, v: Value, g: Value, beta: Value, initial: Value | None = None):
        self._build(q, k, v, g, beta, initial)

    @staticmethod
    def infer(
        known: Known, q: TensorType, k: TensorType, v: TensorType, g: TensorType, beta: TensorType, initial: TensorType | None
    ) -> tuple[TensorType, TensorType]:
        require_elements(q, "float", "q")
        require_rank(q, 4, "q")
        known.same_type(q, k, "q and k")
        known.same_type(q, v, "q and v")
        size = q.dims[3]
        if not size.is_const or not 1 <= size.value <= MAX_STATE:
            raise VerifyException(f"the last dim of q is a number from 1 to {MAX_STATE}, found {size}")
        for value, what in ((g, "g"), (beta, "beta")):
            same_dtype(q, value, f"q and {what}")
            known.same_dims(value.dims, q.dims[:3], f"{what}, and batch, steps and heads of q")
        state = tensor((q.dims[0], q.dims[2], size, size), q.element_type)
        if initial is not None:
            known.same_type(state, initial, "the state and its initial value")
        return q, state


OPS = (SelectiveScanOp, GatedDeltaOp)

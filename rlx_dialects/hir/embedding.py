"""Ids to vectors and vectors to one vector: `hir.embedding`, `hir.mean_pool`, `hir.l2_normalize`."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import FloatAttr, StringAttr
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def

from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.base import HirOp, number
from rlx_dialects.hir.infer import (
    expect_float,
    expect_int,
    expect_rank,
    expect_rank_at_least,
    expect_shape,
    expect_word,
    problem,
)
from rlx_dialects.rlx import TensorType, tensor, tensor_type

OUT_OF_BOUNDS = ("error", "clamp", "fill")


@irdl_op_definition
class EmbeddingOp(HirOp):
    """`table[ids]`: one row per id. An id outside [0, V) faults, is clamped, or gives a row of zeros, as `oob` says.

    Shapes: table [V, N], ids [...] of an integer type -> [..., N].

    ```mlir
    %y = hir.embedding %table, %ids(oob = clamp) : (!rlx.tensor<100 x 8 x f32>, !rlx.tensor<B x S x i64>)
        -> !rlx.tensor<B x S x 8 x f32>
    ```
    """

    name = "hir.embedding"
    table = operand_def(TensorType)
    ids = operand_def(TensorType)
    oob = prop_def(StringAttr, default_value=StringAttr("error"))
    result = result_def(TensorType)

    def __init__(self, table: SSAValue, ids: SSAValue, oob: str = "error", *, facts: Facts | None = None):
        self._init([table, ids], {"oob": StringAttr(oob)}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        expect_word(self.oob.data, OUT_OF_BOUNDS, "oob")
        table, ids = expect_rank(self.table, 2, "table", "[V, N]"), tensor_type(self.ids)
        expect_int(ids.element_type, "ids")
        return (tensor((*ids.dims, table.dims[1]), table.element_type),)


@irdl_op_definition
class MeanPoolOp(HirOp):
    """The mean over kept tokens: `sum(x · mask) / max(sum(mask), 1e-9)` (Reimers & Gurevych 2019, mean pooling).

    The mask counts as a number, false as 0; a batch without kept tokens gives zero.

    Shapes: x [B, S, N], mask [B, S] of any dtype -> [B, N].

    ```mlir
    %y = hir.mean_pool %x, %mask : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.mean_pool"
    x = operand_def(TensorType)
    mask = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, mask: SSAValue, *, facts: Facts | None = None):
        self._init([x, mask], {}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        x = expect_rank(self.x, 3, "x", "[B, S, N]")
        expect_float(x.element_type, "x")
        expect_shape(facts, self.mask, x.dims[:2], "mask", "x")
        return (tensor((x.dims[0], x.dims[2]), x.element_type),)


@irdl_op_definition
class L2NormalizeOp(HirOp):
    """`x / max(sqrt(sum(x²)), eps)` over the last axis.

    Shapes: x [..., N] -> [..., N].

    ```mlir
    %y = hir.l2_normalize %x(eps = 1.0e-12) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.l2_normalize"
    x = operand_def(TensorType)
    eps = prop_def(FloatAttr)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, eps: float = 1e-12, *, facts: Facts | None = None):
        self._init([x], {"eps": number(eps)}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        x = expect_rank_at_least(self.x, 1, "x")
        expect_float(x.element_type, "x")
        if not self.eps.value.data > 0:
            raise problem(f"eps is {self.eps.value.data}; it must be positive")
        return (x,)

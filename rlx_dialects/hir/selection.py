"""Comparing, choosing and converting: `hir.compare`, `hir.select`, `hir.cast`."""

from collections.abc import Sequence

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute, SSAValue, TypeAttribute
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def

from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.base import HirOp
from rlx_dialects.hir.elementwise import BOOLS, expect_domain
from rlx_dialects.hir.infer import broadcast, expect_dtypes, expect_word, problem
from rlx_dialects.rlx import TensorType, dtypes, tensor, tensor_type

COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


@irdl_op_definition
class CompareOp(HirOp):
    """`lhs <kind> rhs`, kind one of eq, ne, lt, le, gt, ge; false where either is NaN, except for ne.

    Shapes: lhs, rhs of one dtype -> their broadcast, bool.

    ```mlir
    %p = hir.compare %x, %b(kind = lt) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x i1>
    ```
    """

    name = "hir.compare"
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    kind = prop_def(StringAttr)
    result = result_def(TensorType)

    def __init__(self, lhs: SSAValue, rhs: SSAValue, kind: str, *, facts: Facts | None = None):
        self._init([lhs, rhs], {"kind": StringAttr(kind)}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        expect_word(self.kind.data, COMPARISONS, "kind")
        lhs, rhs = tensor_type(self.lhs), tensor_type(self.rhs)
        expect_dtypes(lhs.element_type, "lhs", rhs=self.rhs)
        return (tensor(broadcast(facts, lhs.dims, rhs.dims), dtypes.BOOL),)


@irdl_op_definition
class SelectOp(HirOp):
    """`lhs` where `condition`, else `rhs`.

    Shapes: condition (bool), lhs and rhs of one dtype -> the broadcast of all three.

    ```mlir
    %y = hir.select %p, %x, %b : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>)
        -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.select"
    condition = operand_def(TensorType)
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, condition: SSAValue, lhs: SSAValue, rhs: SSAValue, *, facts: Facts | None = None):
        self._init([condition, lhs, rhs], {}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        condition = expect_domain(self.condition, BOOLS, "condition")
        lhs, rhs = tensor_type(self.lhs), tensor_type(self.rhs)
        expect_dtypes(lhs.element_type, "lhs", rhs=self.rhs)
        return (tensor(broadcast(facts, condition.dims, lhs.dims, rhs.dims), lhs.element_type),)


@irdl_op_definition
class CastOp(HirOp):
    """`x` in another dtype: to a narrower float rounds to nearest even, to an integer truncates toward zero, to bool is `x != 0`.

    A float outside the range of the integer type saturates; NaN gives zero.

    Shapes: x [...] -> [...], of `dtype`.

    ```mlir
    %y = hir.cast %x(dtype = bf16) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x bf16>
    ```
    """

    name = "hir.cast"
    x = operand_def(TensorType)
    dtype = prop_def(TypeAttribute)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, dtype: str | Attribute, *, facts: Facts | None = None):
        self._init([x], {"dtype": dtypes.dtype(dtype) if isinstance(dtype, str) else dtype}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        if not dtypes.is_dtype(self.dtype):
            raise problem(f"dtype is {self.dtype}; known: {', '.join(dtypes.BY_NAME)}")
        return (tensor(tensor_type(self.x).dims, self.dtype),)

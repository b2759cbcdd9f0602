"""Folds over axes: `hir.reduce`, `hir.softmax`."""

from collections.abc import Sequence

from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, StringAttr, UnitAttr
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def, result_def

from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.base import HirOp, as_ints, integer, integers
from rlx_dialects.hir.infer import ONE, expect_float, expect_rank_at_least, expect_word, normal_axis, problem
from rlx_dialects.rlx import TensorType, dtypes, tensor, tensor_type

REDUCTIONS = ("sum", "mean", "max", "min", "prod")


@irdl_op_definition
class ReduceOp(HirOp):
    """The sum, mean, max, min or product over `axes`; float sums and products are taken in f32 or wider.

    Shapes: x [...] -> the axes removed, or kept as 1 with `keepdims`. Max and min give NaN where an element is NaN.

    ```mlir
    %y = hir.reduce %x(kind = mean, axes = [1], keepdims) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 1 x f32>
    ```
    """

    name = "hir.reduce"
    x = operand_def(TensorType)
    kind = prop_def(StringAttr)
    axes = prop_def(DenseArrayBase)
    keepdims = opt_prop_def(UnitAttr)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, kind: str, axes: Sequence[int], keepdims: bool = False, *, facts: Facts | None = None):
        properties = {"kind": StringAttr(kind), "axes": integers(axes), "keepdims": UnitAttr() if keepdims else None}
        self._init([x], properties, facts)

    @property
    def normal_axes(self) -> tuple[int, ...]:
        """The axes counted from the front, ascending."""
        rank = tensor_type(self.x).rank
        axes = as_ints(self.axes)
        return tuple(sorted(normal_axis(axis, rank) for axis in axes))

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        expect_word(self.kind.data, REDUCTIONS, "kind")
        x, axes = tensor_type(self.x), self.normal_axes
        if not axes or len(set(axes)) != len(axes):
            raise problem(f"axes are {list(axes)}; at least one is needed, each once")
        if self.kind.data == "mean":
            expect_float(x.element_type, "x")
        if x.element_type == dtypes.BOOL:
            raise problem("x is bool; a number type is needed")
        if self.keepdims is not None:
            return (tensor([ONE if axis in axes else dim for axis, dim in enumerate(x.dims)], x.element_type),)
        return (tensor([dim for axis, dim in enumerate(x.dims) if axis not in axes], x.element_type),)


@irdl_op_definition
class SoftmaxOp(HirOp):
    """`exp(x - max(x)) / sum(exp(x - max(x)))` along `axis`.

    Shapes: x [...] -> [...].

    ```mlir
    %y = hir.softmax %x(axis = -1) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.softmax"
    x = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, axis: int = -1, *, facts: Facts | None = None):
        self._init([x], {"axis": integer(axis)}, facts)

    @property
    def normal_axis(self) -> int:
        return normal_axis(self.axis.value.data, tensor_type(self.x).rank)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        x = expect_rank_at_least(self.x, 1, "x")
        expect_float(x.element_type, "x")
        normal_axis(self.axis.value.data, x.rank)
        return (x,)

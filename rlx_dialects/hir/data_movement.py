"""Values that are moved, not computed: reshape, transpose, slice, concat, broadcast."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def, var_operand_def

from rlx_dialects.dims import DimExpr, DimLike, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.base import HirOp, as_ints, dim, integer, integers, shape
from rlx_dialects.hir.infer import (
    broadcast,
    dim_list,
    expect_dtypes,
    expect_equal,
    expect_le,
    expect_rank_at_least,
    normal_axis,
    problem,
    product,
)
from rlx_dialects.rlx import DimExprAttr, ShapeAttr, TensorType, tensor, tensor_type


@irdl_op_definition
class ReshapeOp(HirOp):
    """The elements of `x` in row-major order, in another shape with provably as many elements.

    Shapes: x [...] -> shape.

    ```mlir
    %y = hir.reshape %x(shape = [B * 2, 4]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<(B * 2) x 4 x f32>
    ```
    """

    name = "hir.reshape"
    x = operand_def(TensorType)
    shape = prop_def(ShapeAttr)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, dims: Sequence[DimLike], *, facts: Facts | None = None):
        self._init([x], {"shape": shape(dims)}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        x, wanted = tensor_type(self.x), self.shape.data
        expect_equal(facts, product(x.dims), product(wanted), f"the elements of {dim_list(x.dims)} and {dim_list(wanted)}")
        return (tensor(wanted, x.element_type),)


@irdl_op_definition
class TransposeOp(HirOp):
    """`y = numpy.transpose(x, perm)`: axis i of the result is axis perm[i] of x.

    ```mlir
    %y = hir.transpose %x(perm = [1, 0]) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<8 x B x f32>
    ```
    """

    name = "hir.transpose"
    x = operand_def(TensorType)
    perm = prop_def(DenseArrayBase)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, perm: Sequence[int], *, facts: Facts | None = None):
        self._init([x], {"perm": integers(perm)}, facts)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axis of x that each axis of the result is."""
        return as_ints(self.perm)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        x, perm = tensor_type(self.x), self.axes
        if sorted(perm) != list(range(x.rank)):
            raise problem(f"perm {list(perm)} is not a permutation of the {x.rank} axes of x")
        return (tensor([x.dims[axis] for axis in perm], x.element_type),)


@irdl_op_definition
class SliceOp(HirOp):
    """`length` elements along `axis`, from `start`.

    Shapes: x [..., N, ...], start + length <= N -> [..., length, ...].

    ```mlir
    %y = hir.slice %x(axis = 1, start = 2, length = 4) : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 4 x f32>
    ```
    """

    name = "hir.slice"
    x = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    start = prop_def(DimExprAttr)
    length = prop_def(DimExprAttr)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, axis: int, start: DimLike, length: DimLike, *, facts: Facts | None = None):
        self._init([x], {"axis": integer(axis), "start": dim(start), "length": dim(length)}, facts)

    @property
    def normal_axis(self) -> int:
        return normal_axis(self.axis.value.data, tensor_type(self.x).rank)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        x, axis = expect_rank_at_least(self.x, 1, "x"), self.normal_axis
        start, length = self.start.data, self.length.data
        expect_le(facts, const(0), start, "zero and the start of the slice")
        expect_le(facts, const(0), length, "zero and the length of the slice")
        expect_le(facts, start + length, x.dims[axis], f"the end of the slice and axis {axis} of x")
        return (tensor((*x.dims[:axis], length, *x.dims[axis + 1 :]), x.element_type),)


@irdl_op_definition
class ConcatOp(HirOp):
    """The operands one after the other along `axis`; their other axes are equal.

    ```mlir
    %y = hir.concat %x, %x(axis = 1) : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 16 x f32>
    ```
    """

    name = "hir.concat"
    values = var_operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    result = result_def(TensorType)

    def __init__(self, values: Sequence[SSAValue], axis: int, *, facts: Facts | None = None):
        self._init([values], {"axis": integer(axis)}, facts)

    @property
    def normal_axis(self) -> int:
        return normal_axis(self.axis.value.data, tensor_type(self.values[0]).rank)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        if not self.values:
            raise problem("concat needs at least one operand")
        first = expect_rank_at_least(self.values[0], 1, "operand 0")
        axis, total = self.normal_axis, const(0)
        for index, value in enumerate(self.values):
            found = tensor_type(value)
            expect_dtypes(first.element_type, "operand 0", **{f"operand {index}": value})
            if found.rank != first.rank:
                raise problem(f"operand {index} has shape {dim_list(found.dims)}, operand 0 has {dim_list(first.dims)}")
            for other in range(first.rank):
                if other != axis:
                    expect_equal(facts, first.dims[other], found.dims[other], f"axis {other} of operands 0 and {index}")
            total = total + found.dims[axis]
        return (tensor((*first.dims[:axis], total, *first.dims[axis + 1 :]), first.element_type),)


@irdl_op_definition
class BroadcastOp(HirOp):
    """`numpy.broadcast_to(x, shape)`.

    Shapes: x, right aligned, each dim a static 1 or equal to the target's -> shape.

    ```mlir
    %y = hir.broadcast %b(shape = [B, 8]) : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.broadcast"
    x = operand_def(TensorType)
    shape = prop_def(ShapeAttr)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, dims: Sequence[DimLike], *, facts: Facts | None = None):
        self._init([x], {"shape": shape(dims)}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        x, wanted = tensor_type(self.x), self.shape.data
        found: tuple[DimExpr, ...] = broadcast(facts, x.dims, wanted)
        if len(found) != len(wanted) or any(facts.prove_eq(a, b) is not True for a, b in zip(found, wanted, strict=True)):
            raise problem(f"{dim_list(x.dims)} does not broadcast to {dim_list(wanted)}")
        return (tensor(wanted, x.element_type),)

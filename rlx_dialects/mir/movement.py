"""Data movement: ops that place elements but compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import IntAttr, StringAttr
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def, result_def, var_operand_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, DimLike, as_expr
from rlx_dialects.mir.attributes import IntsAttr, RealAttr
from rlx_dialects.mir.base import TENSOR, MirOp, Value
from rlx_dialects.mir.shapes import (
    Known,
    product,
    require_axis,
    require_choice,
    require_elements,
    same_dtype,
    shape,
    type_text,
)
from rlx_dialects.rlx import DimExprAttr, ShapeAttr, TensorType, dtypes, tensor, tensor_type

OUT_OF_BOUNDS = ("error", "clamp", "fill")


@irdl_op_definition
class BroadcastOp(MirOp):
    """Repeat along new axes and along axes of length 1; the result type says to which shape.

    `axes[i]` is the result axis of operand axis i, in increasing order; by default the shapes are aligned on the right, as
    NumPy does. Every operand dim is 1 or equals its result dim.

    ```mlir
    %y = mir.broadcast %x(axes = [1]) : (!rlx.tensor<S x f32>) -> !rlx.tensor<B x S x 8 x f32>
    ```
    """

    name = "mir.broadcast"
    x = operand_def(TENSOR)
    axes = opt_prop_def(IntsAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, shape: Sequence[DimLike], axes: Sequence[int] | None = None):
        dims = tuple(map(as_expr, shape))
        if axes is not None and tuple(axes) == tuple(range(len(dims) - len(axes), len(dims))):
            axes = None
        self._build(x, axes=axes, shape=dims)

    @staticmethod
    def infer(known: Known, x: TensorType, axes: tuple[int, ...] | None, shape: tuple[DimExpr, ...]) -> TensorType:
        result = tensor(shape, x.element_type)
        if axes is None:
            if x.rank > len(shape):
                raise VerifyException(f"cannot broadcast {type_text(x)} to the lower rank of {type_text(result)}")
            axes = tuple(range(len(shape) - x.rank, len(shape)))
        if len(axes) != x.rank or list(axes) != sorted(set(axes)) or (axes and not 0 <= axes[0] <= axes[-1] < len(shape)):
            raise VerifyException(
                f"axes = {list(axes)} must give the {x.rank} axes of {type_text(x)} an axis of {type_text(result)} each, in order"
            )
        for position, axis in enumerate(axes):
            if x.dims[position] != 1:
                what = f"broadcast of dim {position} of {type_text(x)} to {type_text(result)}"
                known.equal(x.dims[position], shape[axis], what)
        return result

    def given(self) -> dict[str, Any]:
        return {"shape": self.result.type.dims}

    @property
    def result_axes(self) -> tuple[int, ...]:
        """The result axis of each operand axis."""
        if self.axes is not None:
            return self.axes.data
        rank = self.result.type.rank
        return tuple(range(rank - tensor_type(self.x).rank, rank))


@irdl_op_definition
class ReshapeOp(MirOp):
    """The same elements in row-major order under another shape, which the result type says.

    The products of the dims must be proved equal.

    ```mlir
    %y = mir.reshape %x : (!rlx.tensor<B x S x 8 x 64 x f32>) -> !rlx.tensor<(B * S) x 512 x f32>
    ```
    """

    name = "mir.reshape"
    x = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, x: Value, shape: Sequence[DimLike]):
        self._build(x, shape=tuple(map(as_expr, shape)))

    @staticmethod
    def infer(known: Known, x: TensorType, shape: tuple[DimExpr, ...]) -> TensorType:
        result = tensor(shape, x.element_type)
        known.equal(product(x.dims), product(shape), f"number of elements of {type_text(x)} and {type_text(result)}")
        return result

    def given(self) -> dict[str, Any]:
        return {"shape": self.result.type.dims}


@irdl_op_definition
class TransposeOp(MirOp):
    """`result dim i = operand dim perm[i]`.

    ```mlir
    %y = mir.transpose %x(perm = [0, 2, 1]) : (!rlx.tensor<B x S x 8 x f32>) -> !rlx.tensor<B x 8 x S x f32>
    ```
    """

    name = "mir.transpose"
    x = operand_def(TENSOR)
    perm = prop_def(IntsAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, perm: Sequence[int]):
        self._build(x, perm=perm)

    @staticmethod
    def infer(known: Known, x: TensorType, perm: tuple[int, ...]) -> TensorType:
        if sorted(perm) != list(range(x.rank)):
            raise VerifyException(f"perm = {list(perm)} is not a permutation of the axes of {type_text(x)}")
        return tensor((x.dims[axis] for axis in perm), x.element_type)


@irdl_op_definition
class SliceOp(MirOp):
    """`result[i…] = x[starts + i · strides…]`; one start, size and stride per axis (strides default to 1).

    The last element read must lie within x; what cannot be decided becomes a guard.

    ```mlir
    %y = mir.slice %x(starts = [0, P], sizes = [B, S]) : (!rlx.tensor<B x (P + S) x f32>) -> !rlx.tensor<B x S x f32>
    ```
    """

    name = "mir.slice"
    x = operand_def(TENSOR)
    starts = prop_def(ShapeAttr)
    sizes = prop_def(ShapeAttr)
    strides = opt_prop_def(IntsAttr)
    result = result_def(TENSOR)

    def __init__(
        self, x: Value, starts: Sequence[DimLike], sizes: Sequence[DimLike], strides: Sequence[int] | None = None
    ):
        plain = strides is None or all(stride == 1 for stride in strides)
        self._build(x, starts=starts, sizes=sizes, strides=None if plain else strides)

    @staticmethod
    def infer(
        known: Known,
        x: TensorType,
        starts: tuple[DimExpr, ...],
        sizes: tuple[DimExpr, ...],
        strides: tuple[int, ...] | None,
    ) -> TensorType:
        strides = strides or (1,) * x.rank
        if not len(starts) == len(sizes) == len(strides) == x.rank:
            raise VerifyException(f"slice of {type_text(x)} needs {x.rank} starts, sizes and strides")
        for axis, (start, size, stride) in enumerate(zip(starts, sizes, strides)):
            if stride < 1:
                raise VerifyException(f"stride {stride} of axis {axis} must be positive")
            known.at_most(0, start, f"start of axis {axis}")
            end = start + size if stride == 1 else start + (size - 1) * stride + 1
            known.at_most(end, x.dims[axis], f"end of the slice on axis {axis} of {type_text(x)}")
        return tensor(sizes, x.element_type)

    @property
    def steps(self) -> tuple[int, ...]:
        """The stride of each axis."""
        return self.strides.data if self.strides is not None else (1,) * len(self.sizes.data)


@irdl_op_definition
class ConcatOp(MirOp):
    """The inputs one after the other along `axis`; their other dims are equal.

    ```mlir
    %y = mir.concat %a, %b(axis = 1) : (!rlx.tensor<B x P x f32>, !rlx.tensor<B x S x f32>) -> !rlx.tensor<B x (P + S) x f32>
    ```
    """

    name = "mir.concat"
    inputs = var_operand_def(TENSOR)
    axis = prop_def(IntAttr)
    result = result_def(TENSOR)

    def __init__(self, inputs: Sequence[Value], axis: int):
        self._build(tuple(inputs), axis=axis)

    @staticmethod
    def infer(known: Known, *inputs: TensorType, axis: int) -> TensorType:
        if not inputs:
            raise VerifyException("concat needs at least one input")
        first = inputs[0]
        require_axis(axis, first)
        total = first.dims[axis]
        for position, other in enumerate(inputs[1:], 1):
            what = f"inputs 0 and {position} of concat"
            same_dtype(first, other, what)
            if other.rank != first.rank:
                raise VerifyException(f"{what}: shapes {shape(first.dims)} and {shape(other.dims)} have different ranks")
            for d, (a, b) in enumerate(zip(first.dims, other.dims)):
                if d != axis:
                    known.equal(a, b, f"{what} at dim {d}")
            total = total + other.dims[axis]
        return tensor((*first.dims[:axis], total, *first.dims[axis + 1 :]), first.element_type)


@irdl_op_definition
class GatherOp(MirOp):
    """Rows of a table: `result[i…, r…] = table[indices[i…], r…]`.

    Shapes: table [V, ...], indices [...] of integers -> indices dims ++ table dims[1:]. An index outside of [0, V) is an error at
    run time (`oob = error`), is clamped to the range, or gives rows of `fill` (default 0).

    ```mlir
    %e = mir.gather %table, %ids(oob = error) :
        (!rlx.tensor<1000 x 64 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 64 x f32>
    ```
    """

    name = "mir.gather"
    table = operand_def(TENSOR)
    indices = operand_def(TENSOR)
    oob = prop_def(StringAttr)
    fill = opt_prop_def(RealAttr)
    result = result_def(TENSOR)

    def __init__(self, table: Value, indices: Value, oob: str = "error", fill: float | None = None):
        self._build(table, indices, oob=oob, fill=fill)

    @staticmethod
    def infer(known: Known, table: TensorType, indices: TensorType, oob: str, fill: float | None) -> TensorType:
        require_choice(oob, OUT_OF_BOUNDS, "oob")
        require_axis(0, table, "the looked-up axis")
        require_elements(indices, "int", "indices")
        if fill is not None and oob != "fill":
            raise VerifyException("fill is given, but oob is not fill")
        return tensor((*indices.dims, *table.dims[1:]), table.element_type)


@irdl_op_definition
class IotaOp(MirOp):
    """`[0, 1, …, n - 1]` of i64; the result type says n.

    ```mlir
    %i = mir.iota : !rlx.tensor<(P + S) x i64>
    ```
    """

    name = "mir.iota"
    result = result_def(TENSOR)

    def __init__(self, extent: DimLike):
        self._build(extent=as_expr(extent))

    @staticmethod
    def infer(known: Known, extent: DimExpr) -> TensorType:
        return tensor((extent,), "i64")

    def given(self) -> dict[str, Any]:
        dims = self.result.type.dims
        if len(dims) != 1:
            raise VerifyException(f"iota has rank 1, found {type_text(self.result.type)}")
        return {"extent": dims[0]}


@irdl_op_definition
class DimValueOp(MirOp):
    """The value of a dim expression as an i64 scalar.

    ```mlir
    %n = mir.dim_value(expr = B * S) : !rlx.tensor<i64>
    ```
    """

    name = "mir.dim_value"
    expr = prop_def(DimExprAttr)
    result = result_def(TENSOR)

    def __init__(self, expr: DimLike):
        self._build(expr=expr)

    @staticmethod
    def infer(known: Known, expr: DimExpr) -> TensorType:
        return tensor((), dtypes.dtype("i64"))


OPS = (BroadcastOp, ReshapeOp, TransposeOp, SliceOp, ConcatOp, GatherOp, IotaOp, DimValueOp)

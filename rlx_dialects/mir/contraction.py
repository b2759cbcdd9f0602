"""Contractions."""

from __future__ import annotations

from xdsl.irdl import irdl_op_definition, operand_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.mir.attributes import IntsAttr, RealAttr
from rlx_dialects.mir.base import TENSOR, MirOp, Value
from rlx_dialects.mir.shapes import Known, require_axis, require_elements, require_rank, same_dtype, type_text
from rlx_dialects.rlx import TensorType, tensor

Ints = tuple[int, ...]


def infer_matmul(known: Known, lhs: TensorType, rhs: TensorType) -> TensorType:
    """[..., M, K] · [..., K, N] -> [..., M, N] with equal batch dims, or rhs [K, N] for all batches."""
    require_elements(lhs, "number", "lhs")
    same_dtype(lhs, rhs, "lhs and rhs")
    if lhs.rank < 2 or rhs.rank < 2:
        raise VerifyException(f"matmul needs operands of rank 2 or more, found {type_text(lhs)} and {type_text(rhs)}")
    if rhs.rank > 2:
        known.same_dims(lhs.dims[:-2], rhs.dims[:-2], "batch dims of lhs and rhs")
    known.equal(lhs.dims[-1], rhs.dims[-2], f"contracted dims of {type_text(lhs)} and {type_text(rhs)}")
    return tensor((*lhs.dims[:-1], rhs.dims[-1]), lhs.element_type)


@irdl_op_definition
class MatmulOp(MirOp):
    """`result[..., m, n] = Σₖ lhs[..., m, k] · rhs[..., k, n]`.

    Shapes: lhs [..., M, K], rhs [..., K, N] with equal batch dims, or rhs [K, N] -> [..., M, N]. f16, bf16 and f8
    accumulate in f32.

    ```mlir
    %y = mir.matmul %x, %w : (!rlx.tensor<B x S x 64 x f32>, !rlx.tensor<64 x 128 x f32>) -> !rlx.tensor<B x S x 128 x f32>
    ```
    """

    name = "mir.matmul"
    lhs = operand_def(TENSOR)
    rhs = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, lhs: Value, rhs: Value):
        self._build(lhs, rhs)

    @staticmethod
    def infer(known: Known, lhs: TensorType, rhs: TensorType) -> TensorType:
        return infer_matmul(known, lhs, rhs)


@irdl_op_definition
class DotGeneralOp(MirOp):
    """Sums over any axes: `result[batch…, lhs free…, rhs free…] = Σ lhs · rhs` over the contracting axes (XLA's dot_general).

    `lhs_batch[i]` and `rhs_batch[i]` are one axis of the result, in this order; `lhs_contracting[i]` and `rhs_contracting[i]` are
    summed over. The other axes are free and keep their order. f16, bf16 and f8 accumulate in f32; integers wrap.

    ```mlir
    %y = mir.dot_general %a, %b(lhs_contracting = [2], rhs_contracting = [0], lhs_batch = [0], rhs_batch = [1]) :
        (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x B x 5 x f32>) -> !rlx.tensor<B x S x 5 x f32>
    ```
    """

    name = "mir.dot_general"
    lhs = operand_def(TENSOR)
    rhs = operand_def(TENSOR)
    lhs_contracting = prop_def(IntsAttr)
    rhs_contracting = prop_def(IntsAttr)
    lhs_batch = prop_def(IntsAttr)
    rhs_batch = prop_def(IntsAttr)
    result = result_def(TENSOR)

    def __init__(
        self, lhs: Value, rhs: Value, lhs_contracting: Ints, rhs_contracting: Ints, lhs_batch: Ints = (), rhs_batch: Ints = ()
    ):
        self._build(
            lhs, rhs, lhs_contracting=lhs_contracting, rhs_contracting=rhs_contracting, lhs_batch=lhs_batch, rhs_batch=rhs_batch
        )

    @property
    def lhs_free(self) -> Ints:
        return free_axes(self.lhs.type.rank, self.lhs_batch.data, self.lhs_contracting.data)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def rhs_free(self) -> Ints:
        return free_axes(self.rhs.type.rank, self.rhs_batch.data, self.rhs_contracting.data)  # pyright: ignore[reportAttributeAccessIssue]

    @staticmethod
    def infer(
        known: Known,
        lhs: TensorType,
        rhs: TensorType,
        lhs_contracting: Ints,
        rhs_contracting: Ints,
        lhs_batch: Ints,
        rhs_batch: Ints,
    ) -> TensorType:
        require_elements(lhs, "number", "lhs")
        same_dtype(lhs, rhs, "lhs and rhs")
        for what, left, right in (("contracting", lhs_contracting, rhs_contracting), ("batch", lhs_batch, rhs_batch)):
            if len(left) != len(right):
                raise VerifyException(f"lhs and rhs have {len(left)} and {len(right)} {what} axes")
        for operand, axes, side in ((lhs, (*lhs_batch, *lhs_contracting), "lhs"), (rhs, (*rhs_batch, *rhs_contracting), "rhs")):
            for axis in axes:
                require_axis(axis, operand, f"axis of {side}")
            if len(set(axes)) != len(axes):
                raise VerifyException(f"axes {list(axes)} of {side} name one twice")
        for what, left, right in (("contracting", lhs_contracting, rhs_contracting), ("batch", lhs_batch, rhs_batch)):
            for a, b in zip(left, right):
                known.equal(lhs.dims[a], rhs.dims[b], f"{what} axes {a} of lhs and {b} of rhs")
        dims = [lhs.dims[a] for a in (*lhs_batch, *free_axes(lhs.rank, lhs_batch, lhs_contracting))]
        dims += [rhs.dims[a] for a in free_axes(rhs.rank, rhs_batch, rhs_contracting)]
        return tensor(dims, lhs.element_type)


def free_axes(rank: int, *taken: Ints) -> Ints:
    """The axes that are neither batch nor contracting."""
    used = {axis for axes in taken for axis in axes}
    return tuple(axis for axis in range(rank) if axis not in used)


@irdl_op_definition
class GroupedMatmulOp(MirOp):
    """Every row with a matrix of its own choice: `y[m, n] = Σₖ x[m, k] · w[indices[m], k, n]` (experts of a mixture).

    Shapes: x [M, K], w [E, K, N], indices [M] of integers -> [M, N]. An index outside of [0, E) is an error at run time.

    ```mlir
    %y = mir.grouped_matmul %x, %w, %i : (!rlx.tensor<M x 8 x f32>, !rlx.tensor<4 x 8 x 5 x f32>, !rlx.tensor<M x i64>)
        -> !rlx.tensor<M x 5 x f32>
    ```
    """

    name = "mir.grouped_matmul"
    x = operand_def(TENSOR)
    w = operand_def(TENSOR)
    indices = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, x: Value, w: Value, indices: Value):
        self._build(x, w, indices)

    @staticmethod
    def infer(known: Known, x: TensorType, w: TensorType, indices: TensorType) -> TensorType:
        require_elements(x, "number", "x")
        same_dtype(x, w, "x and w")
        require_elements(indices, "int", "indices")
        for value, rank, what in ((x, 2, "x"), (w, 3, "w"), (indices, 1, "indices")):
            require_rank(value, rank, what)
        known.equal(x.dims[0], indices.dims[0], "rows of x and indices")
        known.equal(x.dims[1], w.dims[1], "contracted dims of x and w")
        return tensor((x.dims[0], w.dims[2]), x.element_type)


@irdl_op_definition
class LoraMatmulOp(MirOp):
    """`x · w + scale · (x · a) · b`: a product with a low-rank change of its weight (Hu et al. 2021).

    Shapes: x [..., M, K], w [K, N], a [K, R], b [R, N] -> [..., M, N]. x · a is rounded to the element type.

    ```mlir
    %y = mir.lora_matmul %x, %w, %a, %b(scale = 0.5) : (!rlx.tensor<B x 16 x f32>, !rlx.tensor<16 x 8 x f32>,
        !rlx.tensor<16 x 2 x f32>, !rlx.tensor<2 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "mir.lora_matmul"
    x = operand_def(TENSOR)
    w = operand_def(TENSOR)
    a = operand_def(TENSOR)
    b = operand_def(TENSOR)
    scale = prop_def(RealAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, w: Value, a: Value, b: Value, scale: float = 1.0):
        self._build(x, w, a, b, scale=scale)

    @staticmethod
    def infer(known: Known, x: TensorType, w: TensorType, a: TensorType, b: TensorType, scale: float) -> TensorType:
        require_elements(x, "float", "x")
        for value, what in ((w, "w"), (a, "a"), (b, "b")):
            require_rank(value, 2, what)
        low = infer_matmul(known, x, a)
        change = infer_matmul(known, low, b)
        result = infer_matmul(known, x, w)
        known.same_type(result, change, "x · w and its change")
        return result


OPS = (MatmulOp, DotGeneralOp, GroupedMatmulOp, LoraMatmulOp)

"""Matrix ops of the `metal` dialect: what a simdgroup multiplies together."""

from __future__ import annotations

from xdsl.irdl import irdl_op_definition

from rlx_dialects.gpu import matrix


@irdl_op_definition
class SimdgroupLoadOp(matrix.FragmentLoadOp):
    """`simdgroup_load`: an 8 × 8 matrix from memory.

    ```mlir
    %a = metal.simdgroup_load %p[%i] stride %ld : !kernel.ptr<bf16, shared> -> !kernel.fragment<8 x 8 x bf16, a, simdgroup>
    %b = metal.simdgroup_load %p[%i] stride %ld transposed : !kernel.ptr<bf16, shared> -> !kernel.fragment<8 x 8 x bf16, b, simdgroup>
    ```
    """  # noqa: E501 - an operation stands on one line

    name = "metal.simdgroup_load"


@irdl_op_definition
class SimdgroupFillOp(matrix.FragmentFillOp):
    """`make_filled_simdgroup_matrix`: an 8 × 8 matrix of equal elements.

    ```mlir
    %c = metal.simdgroup_fill %zero : f32 -> !kernel.fragment<8 x 8 x f32, c, simdgroup>
    ```
    """

    name = "metal.simdgroup_fill"


@irdl_op_definition
class SimdgroupMultiplyAccumulateOp(matrix.MultiplyOp):
    """`simdgroup_multiply_accumulate`: `a · b + c` by a simdgroup.

    ```mlir
    // %a : !kernel.fragment<8 x 8 x bf16, a, simdgroup>
    // %b : !kernel.fragment<8 x 8 x bf16, b, simdgroup>
    // %c : !kernel.fragment<8 x 8 x f32, c, simdgroup>
    %d = metal.simdgroup_multiply_accumulate %a, %b, %c : !kernel.fragment<8 x 8 x bf16, a, simdgroup>, !kernel.fragment<8 x 8 x bf16, b, simdgroup>, !kernel.fragment<8 x 8 x f32, c, simdgroup>
    ```
    """  # noqa: E501 - an operation stands on one line

    name = "metal.simdgroup_multiply_accumulate"


@irdl_op_definition
class SimdgroupStoreOp(matrix.FragmentStoreOp):
    """`simdgroup_store`: an 8 × 8 matrix to memory.

    ```mlir
    metal.simdgroup_store %c, %p[%i] stride %ld : !kernel.fragment<8 x 8 x f32, c, simdgroup>, !kernel.ptr<f32, shared>
    ```
    """

    name = "metal.simdgroup_store"


MATRIX = [SimdgroupLoadOp, SimdgroupFillOp, SimdgroupMultiplyAccumulateOp, SimdgroupStoreOp]

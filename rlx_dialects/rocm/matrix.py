"""Matrix ops of the `rocm` dialect: what a wavefront multiplies together."""

from __future__ import annotations

from xdsl.irdl import irdl_op_definition

from rlx_dialects.gpu import matrix


@irdl_op_definition
class MatrixLoadOp(matrix.FragmentLoadOp):
    """A fragment of MFMA or WMMA from memory.

    ```mlir
    %a = rocm.matrix_load %p[%i] stride %ld : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 16 x bf16, a, mfma>
    %b = rocm.matrix_load %p[%i] stride %ld transposed : !kernel.ptr<bf16, shared> -> !kernel.fragment<16 x 16 x bf16, b, mfma>
    ```
    """

    name = "rocm.matrix_load"


@irdl_op_definition
class MatrixFillOp(matrix.FragmentFillOp):
    """A fragment of MFMA or WMMA of equal elements.

    ```mlir
    %c = rocm.matrix_fill %zero : f32 -> !kernel.fragment<16 x 16 x f32, c, mfma>
    ```
    """

    name = "rocm.matrix_fill"


@irdl_op_definition
class MatrixMultiplyOp(matrix.MultiplyOp):
    """`v_mfma` (CDNA) or `v_wmma` (RDNA), as the family of the fragments says: `a · b + c` by a wavefront.

    ```mlir
    // %a : !kernel.fragment<16 x 16 x bf16, a, mfma>
    // %b : !kernel.fragment<16 x 16 x bf16, b, mfma>
    // %c : !kernel.fragment<16 x 16 x f32, c, mfma>
    %d = rocm.matrix_multiply %a, %b, %c : !kernel.fragment<16 x 16 x bf16, a, mfma>, !kernel.fragment<16 x 16 x bf16, b, mfma>, !kernel.fragment<16 x 16 x f32, c, mfma>
    ```
    """  # noqa: E501 - an operation stands on one line

    name = "rocm.matrix_multiply"


@irdl_op_definition
class MatrixStoreOp(matrix.FragmentStoreOp):
    """A fragment of MFMA or WMMA to memory.

    ```mlir
    rocm.matrix_store %c, %p[%i] stride %ld : !kernel.fragment<16 x 16 x f32, c, mfma>, !kernel.ptr<f32, shared>
    ```
    """

    name = "rocm.matrix_store"


MATRIX = [MatrixLoadOp, MatrixFillOp, MatrixMultiplyOp, MatrixStoreOp]

"""Math of the `metal` dialect under its exact names. The specification bounds them under fast math."""

from __future__ import annotations

from xdsl.irdl import irdl_op_definition

from rlx_dialects.gpu.math import UnaryMathOp


@irdl_op_definition
class FastExp2Op(UnaryMathOp):
    """`fast::exp2`: 2 to the power of x.

    ```mlir
    %y = metal.fast_exp2 %x : f32
    ```
    """

    name = "metal.fast_exp2"


@irdl_op_definition
class FastLog2Op(UnaryMathOp):
    """`fast::log2`: the logarithm to base 2.

    ```mlir
    %y = metal.fast_log2 %x : f32
    ```
    """

    name = "metal.fast_log2"


@irdl_op_definition
class FastDivideOneOp(UnaryMathOp):
    """`fast::divide(1.0f, x)`.

    ```mlir
    %y = metal.fast_divide_one %x : f32
    ```
    """

    name = "metal.fast_divide_one"


@irdl_op_definition
class FastRsqrtOp(UnaryMathOp):
    """`fast::rsqrt`: 1 / sqrt(x).

    ```mlir
    %y = metal.fast_rsqrt %x : f32
    ```
    """

    name = "metal.fast_rsqrt"


@irdl_op_definition
class FastSqrtOp(UnaryMathOp):
    """`fast::sqrt`: the square root.

    ```mlir
    %y = metal.fast_sqrt %x : f32
    ```
    """

    name = "metal.fast_sqrt"


MATH = [FastExp2Op, FastLog2Op, FastDivideOneOp, FastRsqrtOp, FastSqrtOp]

"""Math of the `cuda` dialect under its exact names. The bounds are those of the PTX ISA."""

from __future__ import annotations

from xdsl.irdl import irdl_op_definition

from rlx_dialects.gpu.math import UnaryMathOp


@irdl_op_definition
class Ex2ApproxOp(UnaryMathOp):
    """`ex2.approx.f32`: 2 to the power of x, error 2 ulp.

    ```mlir
    %y = cuda.ex2_approx %x : f32
    ```
    """

    name = "cuda.ex2_approx"


@irdl_op_definition
class Lg2ApproxOp(UnaryMathOp):
    """`lg2.approx.f32`: the logarithm to base 2, absolute error 2^-22 around 1.

    ```mlir
    %y = cuda.lg2_approx %x : f32
    ```
    """

    name = "cuda.lg2_approx"


@irdl_op_definition
class RcpApproxOp(UnaryMathOp):
    """`rcp.approx.f32`: 1 / x, error 1 ulp.

    ```mlir
    %y = cuda.rcp_approx %x : f32
    ```
    """

    name = "cuda.rcp_approx"


@irdl_op_definition
class RsqrtApproxOp(UnaryMathOp):
    """`rsqrt.approx.f32`: 1 / sqrt(x), relative error 2^-22.9.

    ```mlir
    %y = cuda.rsqrt_approx %x : f32
    ```
    """

    name = "cuda.rsqrt_approx"


@irdl_op_definition
class SqrtApproxOp(UnaryMathOp):
    """`sqrt.approx.f32`: the square root, relative error 2^-23.

    ```mlir
    %y = cuda.sqrt_approx %x : f32
    ```
    """

    name = "cuda.sqrt_approx"


@irdl_op_definition
class TanhApproxOp(UnaryMathOp):
    """`tanh.approx.f32`: relative error 2^-11; `numerics="fast"` only.

    ```mlir
    %y = cuda.tanh_approx %x : f32
    ```
    """

    name = "cuda.tanh_approx"


MATH = [Ex2ApproxOp, Lg2ApproxOp, RcpApproxOp, RsqrtApproxOp, SqrtApproxOp, TanhApproxOp]

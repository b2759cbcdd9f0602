"""Math of the `rocm` dialect under its exact names. The bounds are those of AMD's ISA guides."""

from __future__ import annotations

from xdsl.irdl import irdl_op_definition

from rlx_dialects.gpu.math import UnaryMathOp


@irdl_op_definition
class Exp2Op(UnaryMathOp):
    """`v_exp_f32`: 2 to the power of x, error 1 ulp; denormals are flushed.

    ```mlir
    %y = rocm.exp2 %x : f32
    ```
    """

    name = "rocm.exp2"


@irdl_op_definition
class Log2Op(UnaryMathOp):
    """`v_log_f32`: the logarithm to base 2, error 1 ulp; denormals are flushed.

    ```mlir
    %y = rocm.log2 %x : f32
    ```
    """

    name = "rocm.log2"


@irdl_op_definition
class RcpOp(UnaryMathOp):
    """`v_rcp_f32`: 1 / x, error 1 ulp.

    ```mlir
    %y = rocm.rcp %x : f32
    ```
    """

    name = "rocm.rcp"


@irdl_op_definition
class RsqOp(UnaryMathOp):
    """`v_rsq_f32`: 1 / sqrt(x), error 1 ulp.

    ```mlir
    %y = rocm.rsq %x : f32
    ```
    """

    name = "rocm.rsq"


@irdl_op_definition
class SqrtOp(UnaryMathOp):
    """`v_sqrt_f32`: the square root, error 1 ulp.

    ```mlir
    %y = rocm.sqrt %x : f32
    ```
    """

    name = "rocm.sqrt"


MATH = [Exp2Op, Log2Op, RcpOp, RsqOp, SqrtOp]

"""Elementwise ops. Operands broadcast as in NumPy here; MIR makes that explicit.

A dim is stretched only if it is a static 1; a symbol is never assumed to be 1. Float ops on f16 and bf16 compute in f32
and round once.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, result_def

from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.base import HirOp
from rlx_dialects.hir.infer import broadcast, expect_dtypes, problem
from rlx_dialects.rlx import TensorType, dtypes, tensor, tensor_type

Domain = tuple[str, Callable[[Attribute], bool]]
SIGNED: Domain = ("a float or signed integer type", lambda t: dtypes.is_float(t) or dtypes.is_signed_int(t))
FLOATS: Domain = ("a float type", dtypes.is_float)
NUMBERS: Domain = ("a number type", lambda element_type: element_type != dtypes.BOOL)
BOOLS: Domain = ("bool", lambda element_type: element_type == dtypes.BOOL)


def expect_domain(value: SSAValue, domain: Domain, name: str) -> TensorType:
    found = tensor_type(value)
    if not domain[1](found.element_type):
        raise problem(f"{name} is {dtypes.dtype_name(found.element_type)}; {domain[0]} is needed")
    return found


class UnaryOp(HirOp):
    """Base of `y[i] = f(x[i])`. Shapes: x [...] -> [...]."""

    DOMAIN: ClassVar[Domain] = FLOATS
    x = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, *, facts: Facts | None = None):
        self._init([x], {}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        return (expect_domain(self.x, self.DOMAIN, "x"),)


class BinaryOp(HirOp):
    """Base of `y[i] = f(lhs[i], rhs[i])` with broadcasting. Shapes: lhs, rhs -> their broadcast."""

    DOMAIN: ClassVar[Domain] = NUMBERS
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, lhs: SSAValue, rhs: SSAValue, *, facts: Facts | None = None):
        self._init([lhs, rhs], {}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        lhs, rhs = expect_domain(self.lhs, self.DOMAIN, "lhs"), tensor_type(self.rhs)
        expect_dtypes(lhs.element_type, "lhs", rhs=self.rhs)
        return (tensor(broadcast(facts, lhs.dims, rhs.dims), lhs.element_type),)


@irdl_op_definition
class NegOp(UnaryOp):
    """`-x`.

    ```mlir
    %y = hir.neg %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.neg"
    DOMAIN: ClassVar[Domain] = SIGNED


@irdl_op_definition
class AbsOp(UnaryOp):
    """`|x|`.

    ```mlir
    %y = hir.abs %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.abs"
    DOMAIN: ClassVar[Domain] = SIGNED


@irdl_op_definition
class ExpOp(UnaryOp):
    """`e^x`.

    ```mlir
    %y = hir.exp %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.exp"


@irdl_op_definition
class LogOp(UnaryOp):
    """`ln(x)`.

    ```mlir
    %y = hir.log %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.log"


@irdl_op_definition
class SqrtOp(UnaryOp):
    """`√x`.

    ```mlir
    %y = hir.sqrt %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.sqrt"


@irdl_op_definition
class RsqrtOp(UnaryOp):
    """`1/√x`.

    ```mlir
    %y = hir.rsqrt %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.rsqrt"


@irdl_op_definition
class SinOp(UnaryOp):
    """`sin(x)`.

    ```mlir
    %y = hir.sin %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.sin"


@irdl_op_definition
class CosOp(UnaryOp):
    """`cos(x)`.

    ```mlir
    %y = hir.cos %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.cos"


@irdl_op_definition
class TanOp(UnaryOp):
    """`tan(x)`.

    ```mlir
    %y = hir.tan %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.tan"


@irdl_op_definition
class AtanOp(UnaryOp):
    """`arctan(x)`.

    ```mlir
    %y = hir.atan %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.atan"


@irdl_op_definition
class TanhOp(UnaryOp):
    """`tanh(x)`.

    ```mlir
    %y = hir.tanh %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.tanh"


@irdl_op_definition
class ErfOp(UnaryOp):
    """`2/√π · ∫₀ˣ exp(-t²) dt`.

    ```mlir
    %y = hir.erf %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.erf"


@irdl_op_definition
class SigmoidOp(UnaryOp):
    """`1 / (1 + e^-x)`.

    ```mlir
    %y = hir.sigmoid %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.sigmoid"


@irdl_op_definition
class ReluOp(UnaryOp):
    """`max(x, 0)`.

    ```mlir
    %y = hir.relu %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.relu"


@irdl_op_definition
class GeluOp(UnaryOp):
    """`x · (1 + erf(x/√2)) / 2 (Hendrycks & Gimpel 2016)`.

    ```mlir
    %y = hir.gelu %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.gelu"


@irdl_op_definition
class GeluTanhOp(UnaryOp):
    """`x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2 (Hendrycks & Gimpel 2016)`.

    ```mlir
    %y = hir.gelu_tanh %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.gelu_tanh"


@irdl_op_definition
class SiluOp(UnaryOp):
    """`x · sigmoid(x) (Elfwing et al. 2017)`.

    ```mlir
    %y = hir.silu %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.silu"


@irdl_op_definition
class FloorOp(UnaryOp):
    """`the largest integer <= x`.

    ```mlir
    %y = hir.floor %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.floor"


@irdl_op_definition
class CeilOp(UnaryOp):
    """`the smallest integer >= x`.

    ```mlir
    %y = hir.ceil %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.ceil"


@irdl_op_definition
class RoundOp(UnaryOp):
    """`the nearest integer, ties to even`.

    ```mlir
    %y = hir.round %x : (!rlx.tensor<B x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.round"


@irdl_op_definition
class NotOp(UnaryOp):
    """`not x`.

    ```mlir
    %y = hir.not %p : (!rlx.tensor<B x 8 x i1>) -> !rlx.tensor<B x 8 x i1>
    ```
    """

    name = "hir.not"
    DOMAIN: ClassVar[Domain] = BOOLS


@irdl_op_definition
class AddOp(BinaryOp):
    """`lhs + rhs`.

    ```mlir
    %y = hir.add %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.add"


@irdl_op_definition
class SubOp(BinaryOp):
    """`lhs - rhs`.

    ```mlir
    %y = hir.sub %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.sub"


@irdl_op_definition
class MulOp(BinaryOp):
    """`lhs · rhs`.

    ```mlir
    %y = hir.mul %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.mul"


@irdl_op_definition
class DivOp(BinaryOp):
    """`lhs / rhs`; integers truncate toward zero, and a zero divisor gives 0.

    ```mlir
    %y = hir.div %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.div"


@irdl_op_definition
class MaxOp(BinaryOp):
    """`the larger; NaN where either is NaN`.

    ```mlir
    %y = hir.max %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.max"


@irdl_op_definition
class MinOp(BinaryOp):
    """`the smaller; NaN where either is NaN`.

    ```mlir
    %y = hir.min %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.min"


@irdl_op_definition
class PowOp(BinaryOp):
    """`lhs to the power of rhs`.

    ```mlir
    %y = hir.pow %x, %b : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
    ```
    """

    name = "hir.pow"
    DOMAIN: ClassVar[Domain] = FLOATS


@irdl_op_definition
class AndOp(BinaryOp):
    """`lhs and rhs`.

    ```mlir
    %y = hir.and %p, %q : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<8 x i1>) -> !rlx.tensor<B x 8 x i1>
    ```
    """

    name = "hir.and"
    DOMAIN: ClassVar[Domain] = BOOLS


@irdl_op_definition
class OrOp(BinaryOp):
    """`lhs or rhs`.

    ```mlir
    %y = hir.or %p, %q : (!rlx.tensor<B x 8 x i1>, !rlx.tensor<8 x i1>) -> !rlx.tensor<B x 8 x i1>
    ```
    """

    name = "hir.or"
    DOMAIN: ClassVar[Domain] = BOOLS

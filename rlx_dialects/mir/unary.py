"""Elementwise ops of one operand: equal types in and out. f16, bf16 and f8 are computed in f32 and rounded once."""

from __future__ import annotations

from typing import ClassVar

from xdsl.irdl import irdl_op_definition, operand_def, result_def

from rlx_dialects.mir.base import TENSOR, UniformOp, Value
from rlx_dialects.mir.shapes import Known, require_elements
from rlx_dialects.rlx import TensorType


class UnaryOp(UniformOp):
    """`result[i] = f(x[i])`."""

    ELEMENTS: ClassVar[str] = "float"

    x = operand_def(TENSOR)
    result = result_def(TENSOR)

    def __init__(self, x: Value):
        self._build(x)

    @classmethod
    def infer(cls, known: Known, x: TensorType) -> TensorType:
        require_elements(x, cls.ELEMENTS)
        return x


@irdl_op_definition
class NegOp(UnaryOp):
    """`-x`.

    ```mlir
    %y = mir.neg %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.neg"
    ELEMENTS: ClassVar[str] = "signed"


@irdl_op_definition
class AbsOp(UnaryOp):
    """`|x|`.

    ```mlir
    %y = mir.abs %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.abs"
    ELEMENTS: ClassVar[str] = "signed"


@irdl_op_definition
class ExpOp(UnaryOp):
    """`eˣ`.

    ```mlir
    %y = mir.exp %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.exp"


@irdl_op_definition
class LogOp(UnaryOp):
    """`ln x`; NaN for x < 0, -inf for 0.

    ```mlir
    %y = mir.log %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.log"


@irdl_op_definition
class SqrtOp(UnaryOp):
    """`√x`; NaN for x < 0.

    ```mlir
    %y = mir.sqrt %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.sqrt"


@irdl_op_definition
class RsqrtOp(UnaryOp):
    """`1 / √x`.

    ```mlir
    %y = mir.rsqrt %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.rsqrt"


@irdl_op_definition
class RecipOp(UnaryOp):
    """`1 / x`.

    ```mlir
    %y = mir.recip %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.recip"


@irdl_op_definition
class TanhOp(UnaryOp):
    """`tanh x`.

    ```mlir
    %y = mir.tanh %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.tanh"


@irdl_op_definition
class ErfOp(UnaryOp):
    """`erf x = 2/√π ∫₀ˣ exp(-t²) dt`.

    ```mlir
    %y = mir.erf %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.erf"


@irdl_op_definition
class SigmoidOp(UnaryOp):
    """`1 / (1 + e⁻ˣ)`.

    ```mlir
    %y = mir.sigmoid %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.sigmoid"


@irdl_op_definition
class ReluOp(UnaryOp):
    """`max(x, 0)`; a NaN stays a NaN.

    ```mlir
    %y = mir.relu %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.relu"
    ELEMENTS: ClassVar[str] = "signed"


@irdl_op_definition
class GeluOp(UnaryOp):
    """`x/2 · (1 + erf(x/√2))` (Hendrycks & Gimpel 2016, the exact form).

    ```mlir
    %y = mir.gelu %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.gelu"


@irdl_op_definition
class GeluTanhOp(UnaryOp):
    """`x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³)))` (Hendrycks & Gimpel 2016, the approximation).

    ```mlir
    %y = mir.gelu_tanh %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.gelu_tanh"


@irdl_op_definition
class SiluOp(UnaryOp):
    """`x · sigmoid(x)`.

    ```mlir
    %y = mir.silu %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.silu"


@irdl_op_definition
class SinOp(UnaryOp):
    """`sin x`.

    ```mlir
    %y = mir.sin %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.sin"


@irdl_op_definition
class CosOp(UnaryOp):
    """`cos x`.

    ```mlir
    %y = mir.cos %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.cos"


@irdl_op_definition
class TanOp(UnaryOp):
    """`tan x`.

    ```mlir
    %y = mir.tan %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.tan"


@irdl_op_definition
class AtanOp(UnaryOp):
    """`arctan x`, in (-π/2, π/2).

    ```mlir
    %y = mir.atan %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.atan"


@irdl_op_definition
class RoundOp(UnaryOp):
    """The nearest integer; ties go to the even one.

    ```mlir
    %y = mir.round %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.round"


@irdl_op_definition
class FloorOp(UnaryOp):
    """The largest integer ≤ x.

    ```mlir
    %y = mir.floor %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.floor"


@irdl_op_definition
class CeilOp(UnaryOp):
    """The smallest integer ≥ x.

    ```mlir
    %y = mir.ceil %x : !rlx.tensor<B x 128 x f32>
    ```
    """

    name = "mir.ceil"


@irdl_op_definition
class LogicalNotOp(UnaryOp):
    """`¬x` of i1.

    ```mlir
    %y = mir.logical_not %x : !rlx.tensor<B x i1>
    ```
    """

    name = "mir.logical_not"
    ELEMENTS: ClassVar[str] = "bool"


OPS = (
    NegOp, AbsOp, ExpOp, LogOp, SqrtOp, RsqrtOp, RecipOp, TanhOp, ErfOp, SigmoidOp, ReluOp, GeluOp, GeluTanhOp, SiluOp,
    SinOp, CosOp, TanOp, AtanOp, RoundOp, FloorOp, CeilOp, LogicalNotOp,
)  # fmt: skip

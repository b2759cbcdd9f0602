"""What the rules of convert-hir-to-mir build with: ops at one place, with its location, and the usual small conversions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from xdsl.dialects.builtin import UNKNOWN_LOC
from xdsl.ir import Attribute, Block, Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, DimLike, as_expr
from rlx_dialects.mir.constant import pack
from rlx_dialects.rlx import TensorType, dtypes, shaped_type, tensor, tensor_type

OpT = TypeVar("OpT", bound=Operation)


@dataclass
class Lowering:
    """Builds MIR before one HIR op. `fused` is the policy: fused ops where MIR has them, or primitives."""

    fused: bool
    block: Block
    anchor: Operation | None = None

    def add(self, op: OpT) -> OpT:
        """Insert `op` before the op being lowered, at its location."""
        assert self.anchor is not None
        if op.location is UNKNOWN_LOC:
            op.location = self.anchor.location
        self.block.insert_op_before(op, self.anchor)
        return op

    def value(self, op: Operation) -> SSAValue:
        """Insert an op and return its only result."""
        return self.add(op).results[0]

    # -- shape

    def dims(self, value: SSAValue) -> tuple[DimExpr, ...]:
        return shaped_type(value).dims

    def element_type(self, value: SSAValue) -> Attribute:
        return shaped_type(value).element_type

    def reshape(self, x: SSAValue, dims: Sequence[DimLike]) -> SSAValue:
        wanted = tuple(map(as_expr, dims))
        return x if self.dims(x) == wanted else self.value(mir.ReshapeOp(x, wanted))

    def transpose(self, x: SSAValue, perm: Sequence[int]) -> SSAValue:
        return x if list(perm) == list(range(len(perm))) else self.value(mir.TransposeOp(x, perm))

    def broadcast(self, x: SSAValue, dims: Sequence[DimLike], axes: Sequence[int] | None = None) -> SSAValue:
        """`x` stretched to `dims`; right aligned unless `axes` says where its axes go."""
        wanted = tuple(map(as_expr, dims))
        return x if self.dims(x) == wanted else self.value(mir.BroadcastOp(x, wanted, axes))

    def split_heads(self, x: SSAValue, heads: int) -> SSAValue:
        """[B, S, H·D] -> [B, S, H, D]."""
        batch, length, packed = self.dims(x)
        return self.reshape(x, (batch, length, heads, packed // heads))

    def merge_heads(self, x: SSAValue) -> SSAValue:
        """[B, S, H, D] -> [B, S, H·D]."""
        batch, length, heads, size = self.dims(x)
        return self.reshape(x, (batch, length, heads * size))

    # -- dtype and constants

    def cast(self, x: SSAValue, element_type: Attribute) -> SSAValue:
        return x if self.element_type(x) == element_type else self.value(mir.CastOp(x, element_type))

    def wide(self, x: SSAValue) -> SSAValue:
        """A float as f32 or wider, for sums whose parts would not fit."""
        return x if dtypes.bit_width(self.element_type(x)) >= 32 else self.cast(x, dtypes.dtype("f32"))

    def splat(self, value: float, dims: Sequence[DimLike], element_type: Attribute) -> SSAValue:
        """`value` everywhere."""
        return self.broadcast(self.value(mir.ConstantOp(pack([value], element_type), tensor((), element_type))), dims)

    def splat_like(self, value: float, x: SSAValue) -> SSAValue:
        return self.splat(value, self.dims(x), self.element_type(x))

    # -- products

    def matmul(self, x: SSAValue, w: SSAValue) -> SSAValue:
        """[..., K] · [K, N]; a vector is one row."""
        if len(self.dims(x)) > 1:
            return self.value(mir.MatmulOp(x, w))
        row = self.value(mir.MatmulOp(self.reshape(x, (1, *self.dims(x))), w))
        return self.reshape(row, self.dims(row)[1:])

    def linear(
        self, x: SSAValue, w: SSAValue, bias: SSAValue | None = None, activation: str = "none", residual: SSAValue | None = None
    ) -> SSAValue:
        """`activation(x · w + bias + residual)`: one op, or one for each step."""
        if self.fused and not (bias is None and residual is None and activation == "none") and len(self.dims(x)) > 1:
            return self.value(mir.MatmulBiasActOp(x, w, bias, residual, activation))
        y = self.matmul(x, w)
        if bias is not None:
            y = self.value(mir.AddOp(y, self.broadcast(bias, self.dims(y))))
        if residual is not None:
            y = self.value(mir.AddOp(y, residual))
        return y if activation == "none" else self.value(ACTIVATIONS[activation](y))

    def swiglu_ffn(self, x: SSAValue, up: SSAValue, gate: SSAValue, down: SSAValue, residual: SSAValue | None = None) -> SSAValue:
        """`(silu(x · gate) * (x · up)) · down + residual`."""
        if self.fused and len(self.dims(x)) > 1:
            return self.linear(self.value(mir.SwigluMatmulOp(x, up, gate)), down, residual=residual)
        wide, gated = self.matmul(x, up), self.value(mir.SiluOp(self.matmul(x, gate)))
        return self.linear(self.value(mir.MulOp(gated, wide)), down, residual=residual)

    def layer_norm(self, x: SSAValue, scale: SSAValue, bias: SSAValue | None, eps: float) -> SSAValue:
        bias = self.splat_like(0.0, scale) if bias is None else bias
        return self.value(mir.LayerNormOp(x, scale, bias, eps))

    def conform(self, value: SSAValue, wanted: SSAValue) -> SSAValue:
        """`value` in the type of `wanted`: dims that are equal by a stated fact may be written differently."""
        if value.type == wanted.type or not isinstance(wanted.type, TensorType):
            return value
        return self.reshape(value, tensor_type(wanted).dims)


ACTIVATIONS: dict[str, type[mir.UnaryOp]] = {
    "relu": mir.ReluOp, "gelu": mir.GeluOp, "gelu_tanh": mir.GeluTanhOp, "silu": mir.SiluOp, "tanh": mir.TanhOp,
    "sigmoid": mir.SigmoidOp,
}  # fmt: skip

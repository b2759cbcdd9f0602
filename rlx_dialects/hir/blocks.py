"""Whole layers: the gated feed-forward network, a BERT encoder layer, a Llama decoder layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from xdsl.dialects.builtin import FloatAttr, IntegerAttr, StringAttr
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, opt_prop_def, prop_def, result_def

from rlx_dialects.dims import DimExpr, DimLike, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.hir.base import HirOp, dim, integer, number
from rlx_dialects.hir.infer import (
    divide,
    expect_dtypes,
    expect_float,
    expect_le,
    expect_rank,
    expect_rank_at_least,
    expect_shape,
    expect_vector,
    expect_word,
    problem,
)
from rlx_dialects.hir.linear import ACTIVATIONS
from rlx_dialects.rlx import DimExprAttr, StateType, TensorType, shaped_type, tensor, tensor_type


@irdl_op_definition
class SwigluFfnOp(HirOp):
    """`(silu(x · gate) * (x · up)) · down` (Shazeer 2020, FFN_SwiGLU).

    Shapes: x [..., E], up and gate [E, F], down [F, E'] -> [..., E'].

    ```mlir
    %y = hir.swiglu_ffn %x, %up, %gate, %down : (!rlx.tensor<B x S x 8 x f32>, !rlx.tensor<8 x 16 x f32>,
        !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x 8 x f32>) -> !rlx.tensor<B x S x 8 x f32>
    ```
    """

    name = "hir.swiglu_ffn"
    x = operand_def(TensorType)
    up = operand_def(TensorType)
    gate = operand_def(TensorType)
    down = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, up: SSAValue, gate: SSAValue, down: SSAValue, *, facts: Facts | None = None):
        self._init([x, up, gate, down], {}, facts)

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        return (infer_swiglu(facts, self.x, self.up, self.gate, self.down),)


def infer_swiglu(facts: Facts, x: SSAValue, up: SSAValue, gate: SSAValue, down: SSAValue) -> TensorType:
    x_type = expect_rank_at_least(x, 1, "x")
    expect_float(x_type.element_type, "x")
    expect_dtypes(x_type.element_type, "x", up=up, gate=gate, down=down)
    up_type = expect_rank(up, 2, "up", "[E, F]")
    down_type = expect_rank(down, 2, "down", "[F, E]")
    expect_shape(facts, up, (x_type.dims[-1], up_type.dims[1]), "up", "the last axis of x")
    expect_shape(facts, gate, up_type.dims, "gate", "up")
    expect_shape(facts, down, (up_type.dims[1], down_type.dims[1]), "down", "the columns of up")
    return tensor((*x_type.dims[:-1], down_type.dims[1]), x_type.element_type)


@irdl_op_definition
class EncoderBlockOp(HirOp):
    """A post-norm encoder layer (Vaswani et al. 2017; BERT, Devlin et al. 2018).

    `h = layer_norm(x + attention(x·q, x·k, x·v)·output)`, `y = layer_norm(h + activation(h·up)·down)`, every product with
    its bias. `mask` keeps the keys where it is true or >= 0.5.

    Shapes: x [B, S, E]; query, key, value, output ([E, E], [E]); norm1, norm2 ([E], [E]); up ([E, F], [F]), down ([F, E],
    [E]); mask [B, S] -> [B, S, E].

    ```mlir
    %y = hir.encoder_block %x, query %qw, %qb, key %kw, %kb, value %vw, %vb, output %ow, %ob, norm1 %g1, %b1, up %uw, %ub,
        down %dw, %db, norm2 %g2, %b2, mask %m(heads = 2, eps = 1.0e-12) : (!rlx.tensor<B x S x 8 x f32>,
        !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>,
        !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>,
        !rlx.tensor<8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<16 x f32>, !rlx.tensor<16 x 8 x f32>, !rlx.tensor<8 x f32>,
        !rlx.tensor<8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<B x S x i64>) -> !rlx.tensor<B x S x 8 x f32>
    ```
    """

    name = "hir.encoder_block"
    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "query": ("q_w", "q_b"), "key": ("k_w", "k_b"), "value": ("v_w", "v_b"), "output": ("o_w", "o_b"),
        "norm1": ("norm1_scale", "norm1_bias"), "up": ("up_w", "up_b"), "down": ("down_w", "down_b"),
        "norm2": ("norm2_scale", "norm2_bias"),
    }  # fmt: skip
    x = operand_def(TensorType)
    q_w = operand_def(TensorType)
    q_b = operand_def(TensorType)
    k_w = operand_def(TensorType)
    k_b = operand_def(TensorType)
    v_w = operand_def(TensorType)
    v_b = operand_def(TensorType)
    o_w = operand_def(TensorType)
    o_b = operand_def(TensorType)
    norm1_scale = operand_def(TensorType)
    norm1_bias = operand_def(TensorType)
    up_w = operand_def(TensorType)
    up_b = operand_def(TensorType)
    down_w = operand_def(TensorType)
    down_b = operand_def(TensorType)
    norm2_scale = operand_def(TensorType)
    norm2_bias = operand_def(TensorType)
    mask = opt_operand_def(TensorType)
    heads = prop_def(IntegerAttr)
    eps = prop_def(FloatAttr)
    activation = prop_def(StringAttr, default_value=StringAttr("gelu"))
    result = result_def(TensorType)

    def __init__(
        self, x: SSAValue, weights: Sequence[SSAValue], mask: SSAValue | None = None, *, heads: int, eps: float = 1e-12,
        activation: str = "gelu", facts: Facts | None = None,
    ):  # fmt: skip
        """`weights`: the sixteen in the order of the operands."""
        self._init(
            [x, *weights, mask], {"heads": integer(heads), "eps": number(eps), "activation": StringAttr(activation)}, facts
        )

    def infer(self, facts: Facts) -> Sequence[TensorType]:
        x = expect_rank(self.x, 3, "x", "[B, S, E]")
        size = x.dims[2]
        expect_float(x.element_type, "x")
        named = {name: getattr(self, name) for names in self.GROUPS.values() for name in names}
        expect_dtypes(x.element_type, "x", **named)
        hidden = expect_rank(self.up_w, 2, "up_w", "[E, F]").dims[1]
        for name in ("q", "k", "v", "o"):
            expect_shape(facts, named[f"{name}_w"], (size, size), f"{name}_w", "x")
        expect_shape(facts, self.up_w, (size, hidden), "up_w", "x")
        expect_shape(facts, self.down_w, (hidden, size), "down_w", "up_w")
        expect_vector(facts, self.up_b, hidden, "up_b", "up_w")
        for name in ("q_b", "k_b", "v_b", "o_b", "down_b", "norm1_scale", "norm1_bias", "norm2_scale", "norm2_bias"):
            expect_vector(facts, named[name], size, name, "x")
        divide(facts, size, self.heads.value.data, "the last axis of x over heads")
        expect_word(self.activation.data, ACTIVATIONS, "activation")
        if self.mask is not None:
            expect_shape(facts, self.mask, x.dims[:2], "mask", "x")
        return (x,)


@irdl_op_definition
class DecoderBlockOp(HirOp):
    """A pre-norm decoder layer with rotary positions, grouped heads and a key/value cache (Touvron et al. 2023).

    `a = rms_norm(x, norm1)`; k and v states take `rope(a·key)` and `a·value` at `past`; `h = x + attention(rope(a·query),
    k, v)·output` with a causal mask; `y = h + swiglu_ffn(rms_norm(h, norm2))`.

    Shapes: x [B, S, E]; query [E, heads·D], key and value [E, kv_heads·D], output [heads·D, E]; norm1, norm2 [E]; up, gate
    [E, F], down [F, E]; states [B, kv_heads, C, D] -> y [B, S, E], k_out and v_out as the states.

    ```mlir
    %y, %k1, %v1 = hir.decoder_block %x, norm1 %g1, qkv %qw, %kw, %vw, output %ow, norm2 %g2, ffn %up, %gate, %down,
        cache %k0, %v0(heads = 2, kv_heads = 1, eps = 1.0e-06, theta = 10000.0, past = P) : (!rlx.tensor<B x S x 8 x f32>,
        !rlx.tensor<8 x f32>, !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<8 x 4 x f32>,
        !rlx.tensor<8 x 8 x f32>, !rlx.tensor<8 x f32>, !rlx.tensor<8 x 16 x f32>, !rlx.tensor<8 x 16 x f32>,
        !rlx.tensor<16 x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>)
        -> (!rlx.tensor<B x S x 8 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>, !rlx.state<B x 1 x 64 x 4 x f32>)
    ```
    """

    name = "hir.decoder_block"
    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "norm1": ("norm1",), "qkv": ("q_w", "k_w", "v_w"), "output": ("o_w",), "norm2": ("norm2",),
        "ffn": ("up", "gate", "down"), "cache": ("k_state", "v_state"),
    }  # fmt: skip
    x = operand_def(TensorType)
    norm1 = operand_def(TensorType)
    q_w = operand_def(TensorType)
    k_w = operand_def(TensorType)
    v_w = operand_def(TensorType)
    o_w = operand_def(TensorType)
    norm2 = operand_def(TensorType)
    up = operand_def(TensorType)
    gate = operand_def(TensorType)
    down = operand_def(TensorType)
    k_state = operand_def(StateType)
    v_state = operand_def(StateType)
    heads = prop_def(IntegerAttr)
    kv_heads = prop_def(IntegerAttr)
    eps = prop_def(FloatAttr)
    theta = prop_def(FloatAttr)
    past = prop_def(DimExprAttr)
    window = opt_prop_def(IntegerAttr)
    result = result_def(TensorType)
    k_out = result_def(StateType)
    v_out = result_def(StateType)

    def __init__(
        self, x: SSAValue, weights: Sequence[SSAValue], states: Sequence[SSAValue], *, heads: int, kv_heads: int, past: DimLike,
        theta: float = 10000.0, eps: float = 1e-6, window: int | None = None, facts: Facts | None = None,
    ):  # fmt: skip
        """`weights`: the nine in the order of the operands; `states`: k, v."""
        properties = {
            "heads": integer(heads),
            "kv_heads": integer(kv_heads),
            "eps": number(eps),
            "theta": number(theta),
            "past": dim(past),
            "window": None if window is None else integer(window),
        }
        self._init([x, *weights, *states], properties, facts, results=3)

    @property
    def head_dim(self) -> DimExpr:
        return shaped_type(self.k_state).dims[-1]

    def infer(self, facts: Facts) -> Sequence[TensorType | StateType]:
        heads, kv_heads = self.heads.value.data, self.kv_heads.value.data
        if kv_heads < 1 or heads % kv_heads:
            raise problem(f"{heads} query heads cannot share {kv_heads} key heads evenly")
        x = expect_rank(self.x, 3, "x", "[B, S, E]")
        expect_float(x.element_type, "x")
        names = ("norm1", "q_w", "k_w", "v_w", "o_w", "norm2", "up", "gate", "down", "k_state", "v_state")
        expect_dtypes(x.element_type, "x", **{name: getattr(self, name) for name in names})
        size, state = x.dims[2], shaped_type(self.k_state)
        if state.rank != 4:
            raise problem(f"a cache has shape [B, kv_heads, C, D], found {state}")
        head = self.head_dim
        if not head.is_const:
            raise problem(f"the head size {head} is symbolic; a number is needed")
        expect_shape(facts, self.k_state, (x.dims[0], const(kv_heads), state.dims[2], head), "k_state", "x and kv_heads")
        expect_shape(facts, self.v_state, state.dims, "v_state", "k_state")
        for name, value, wanted in (
            ("q_w", self.q_w, (size, head * heads)),
            ("k_w", self.k_w, (size, head * kv_heads)),
            ("v_w", self.v_w, (size, head * kv_heads)),
            ("o_w", self.o_w, (head * heads, size)),
        ):
            expect_shape(facts, value, wanted, name, "x and the heads")
        expect_vector(facts, self.norm1, size, "norm1", "x")
        expect_vector(facts, self.norm2, size, "norm2", "x")
        if infer_swiglu(facts, self.x, self.up, self.gate, self.down).dims[-1] != size:
            expect_shape(facts, self.down, (tensor_type(self.up).dims[1], size), "down", "the residual sum")
        past = self.past.data
        expect_le(facts, past + x.dims[1], state.dims[2], "keys kept and the capacity of the cache")
        if head.value % 2 or not self.theta.value.data > 0:
            raise problem(f"heads of size {head} cannot be rotated with theta {self.theta.value.data}: an even size is needed")
        return x, state, state

"""MiniLM-L6 as an ONNX model of static shapes, for the libraries that take one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks import minilm_model

OPSET = 20
"""The first with Gelu; LayerNormalization is there since 17."""
CONTRIB = "com.microsoft"


class _Graph:
    """Collects nodes and initializers; every method returns names of values."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(
        self, kind: str, *operands: str, domain: str = "", outputs: int = 1, name: str | None = None, **attributes: Any
    ) -> Any:
        from onnx import helper

        results = [name or f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, operands, results, domain=domain, **attributes))
        return results[0] if outputs == 1 else results

    def reshape(self, x: str, *shape: int) -> str:
        return self.op("Reshape", x, self.constant(np.array(shape, np.int64)))


def build(batch: int, sequence: int, contrib: bool) -> bytes:
    """The serialized model, inputs i64 [B, S]. `contrib` uses the fused ops of ONNX Runtime (attention, skip-norm, bias-gelu)."""
    from onnx import TensorProto, helper

    c, weights, g = minilm_model.config(), minilm_model.parameters(), _Graph()

    def norm(x: str, scale_and_bias: tuple[np.ndarray, np.ndarray]) -> str:
        scale, bias = map(g.constant, scale_and_bias)
        return g.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=c.layer_norm_eps)

    def residual_norm(x: str, added: str, scale_and_bias: tuple[np.ndarray, np.ndarray]) -> str:
        if not contrib:
            return norm(g.op("Add", x, added), scale_and_bias)
        scale, bias = map(g.constant, scale_and_bias)
        return g.op("SkipLayerNormalization", x, added, scale, bias, domain=CONTRIB, epsilon=c.layer_norm_eps)

    def linear(x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        return g.op("Add", g.op("MatMul", x, g.constant(weight)), g.constant(bias))

    def attention(x: str, layer: minilm_model.Layer) -> str:
        if contrib:
            width = g.constant(layer.qkv), g.constant(layer.qkv_bias)
            return g.op("Attention", x, *width, "lengths_mask", domain=CONTRIB, num_heads=c.num_attention_heads)
        parts = np.split(layer.qkv, 3, axis=1), np.split(layer.qkv_bias, 3)
        heads = [
            g.op("Transpose", g.reshape(linear(x, w, b), batch, sequence, c.num_attention_heads, c.head_size), perm=perm)
            for w, b, perm in zip(*parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        ]
        scores = g.op("Mul", g.op("MatMul", heads[0], heads[1]), g.constant(np.float32(1 / math.sqrt(c.head_size))))
        shares = g.op("Softmax", g.op("Add", scores, "bias"), axis=-1)
        return g.reshape(g.op("Transpose", g.op("MatMul", shares, heads[2]), perm=[0, 2, 1, 3]), batch, sequence, c.hidden_size)

    mask = g.op("Cast", "attention_mask", to=TensorProto.FLOAT, name="float_mask")
    if contrib:
        g.op("Cast", "attention_mask", to=TensorProto.INT32, name="lengths_mask")
    else:
        absent = g.op("Sub", g.constant(np.float32(1)), g.reshape(mask, batch, 1, 1, sequence))
        g.op("Mul", absent, g.constant(np.float32(-1e30)), name="bias")
    positions = g.constant((weights.positions + weights.types[0])[None, :sequence])
    x = norm(g.op("Add", g.op("Gather", g.constant(weights.words), "input_ids"), positions), weights.norm)
    for layer in weights.layers:
        x = residual_norm(x, linear(attention(x, layer), layer.out, layer.out_bias), layer.norm1)
        if contrib:
            up = g.op("BiasGelu", g.op("MatMul", x, g.constant(layer.up)), g.constant(layer.up_bias), domain=CONTRIB)
        else:
            up = g.op("Gelu", linear(x, layer.up, layer.up_bias))
        x = residual_norm(x, linear(up, layer.down, layer.down_bias), layer.norm2)
    g.op("Identity", x, name="last_hidden_state")
    column = g.reshape(mask, batch, sequence, 1)
    axes = g.constant(np.array([1], np.int64))
    pooled = g.op("Div", g.op("ReduceSum", g.op("Mul", x, column), axes, keepdims=0), g.op("ReduceSum", column, axes, keepdims=0))
    g.op("LpNormalization", pooled, axis=-1, p=2, name="sentence_embedding")

    def value(name: str, kind: int, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    made = helper.make_graph(
        g.nodes,
        "minilm",
        [value(name, TensorProto.INT64, batch, sequence) for name in ("input_ids", "attention_mask")],
        [value("last_hidden_state", TensorProto.FLOAT, batch, sequence, c.hidden_size),
         value("sentence_embedding", TensorProto.FLOAT, batch, c.hidden_size)],
        g.initializers,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", OPSET), *([helper.make_opsetid(CONTRIB, 1)] if contrib else [])]
    return helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString()

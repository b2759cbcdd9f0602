"""The workloads as ONNX models of static shapes, for the libraries that take one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks import kernel_cases, minilm_model

OPSET = 23
"""The first with RMSNormalization; Gelu is there since 20, LayerNormalization since 17."""
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


def _value(name: str, kind: int, *shape: int) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, shape)


def _serialized(graph: Any) -> bytes:
    from onnx import helper

    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=11).SerializeToString()


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

    made = helper.make_graph(
        g.nodes,
        "minilm",
        [_value(name, TensorProto.INT64, batch, sequence) for name in ("input_ids", "attention_mask")],
        [_value("last_hidden_state", TensorProto.FLOAT, batch, sequence, c.hidden_size),
         _value("sentence_embedding", TensorProto.FLOAT, batch, c.hidden_size)],
        g.initializers,
    )  # fmt: skip
    return _serialized(made)


def kernel(what: kernel_cases.Kernel, operands: dict[str, np.ndarray]) -> bytes:
    """A single kernel: its inputs by name, weights as initializers, output `out`."""
    from onnx import TensorProto, helper

    g = _Graph()
    value = {name: g.constant(operands[name]) if name in what.params else name for name in what.shapes}
    x = value["x"]
    if what.kind == "softmax":
        result = g.op("Softmax", x, axis=-1)
    elif what.kind == "layernorm":
        result = g.op("LayerNormalization", x, value["scale"], value["bias"], axis=-1, epsilon=kernel_cases.LAYER_NORM_EPS)
    elif what.kind == "rmsnorm":
        result = g.op("RMSNormalization", x, value["scale"], axis=-1, epsilon=kernel_cases.RMS_NORM_EPS)
    elif what.kind == "gelu*sigmoid-tanh":
        result = g.op("Sub", g.op("Mul", g.op("Gelu", x), g.op("Sigmoid", x)), g.op("Tanh", x))
    elif what.kind in ("matmul", "linear"):
        result = g.op("MatMul", *value.values())
    else:
        gate = g.op("MatMul", x, value["gate"])
        gated = g.op("Mul", g.op("MatMul", x, value["up"]), g.op("Mul", gate, g.op("Sigmoid", gate)))
        result = g.op("MatMul", gated, value["down"])
    g.op("Identity", result, name="out")
    shape = what.shapes["x"] if what.kind not in ("matmul", "linear") else (what.shapes["x"][0], list(what.shapes.values())[1][1])
    inputs = [_value(name, TensorProto.FLOAT, *what.shapes[name]) for name in what.inputs()]
    return _serialized(helper.make_graph(g.nodes, "kernel", inputs, [_value("out", TensorProto.FLOAT, *shape)], g.initializers))

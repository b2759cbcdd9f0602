"""JAX with XLA's CPU backend, jitted for the shapes, weights as constants; its threads are the CPUs that the process may use."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from benchmarks import kernel_cases, minilm_model
from benchmarks.worker import Prepared


def minilm(inputs: dict[str, np.ndarray], threads: int) -> Prepared:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    config, weights = minilm_model.config(), minilm_model.parameters()
    scale = 1 / math.sqrt(config.head_size)

    def layer_norm(x: Any, scale_and_bias: tuple[np.ndarray, np.ndarray]) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + config.layer_norm_eps) * scale_and_bias[0] + scale_and_bias[1]

    def forward(ids: Any, mask: Any) -> Any:
        batch, sequence = ids.shape
        bias = jnp.where(mask[:, None, None, :] != 0, 0.0, -jnp.inf).astype(jnp.float32)
        x = jnp.asarray(weights.words)[ids] + (weights.positions[:sequence] + weights.types[0])
        x = layer_norm(x, weights.norm).reshape(batch * sequence, config.hidden_size)
        for layer in weights.layers:
            heads = (x @ layer.qkv + layer.qkv_bias).reshape(batch, sequence, 3, config.num_attention_heads, config.head_size)
            query, key, value = heads.transpose(2, 0, 3, 1, 4)
            scores = jax.nn.softmax(query @ key.swapaxes(-1, -2) * scale + bias, axis=-1)
            attended = (scores @ value).transpose(0, 2, 1, 3).reshape(batch * sequence, config.hidden_size)
            x = layer_norm(x + attended @ layer.out + layer.out_bias, layer.norm1)
            up = jax.nn.gelu(x @ layer.up + layer.up_bias, approximate=False)
            x = layer_norm(x + up @ layer.down + layer.down_bias, layer.norm2)
        hidden = x.reshape(batch, sequence, config.hidden_size)
        attended = mask[..., None].astype(jnp.float32)
        pooled = (hidden * attended).sum(1) / attended.sum(1)
        return hidden, pooled / jnp.linalg.norm(pooled, axis=-1, keepdims=True)

    ids, mask = (jnp.asarray(inputs[name].astype(np.int32)) for name in ("input_ids", "attention_mask"))
    compiled = jax.jit(forward).lower(ids, mask).compile()

    def run() -> Any:
        return jax.block_until_ready(compiled(ids, mask))

    def outputs() -> dict[str, np.ndarray]:
        return {name: np.asarray(array) for name, array in zip(minilm_model.OUTPUTS, run())}

    return Prepared(run, outputs, {"jax": jax.__version__})


def kernel(inputs: dict[str, np.ndarray], threads: int, kernel: str) -> Prepared:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + kernel_cases.LAYER_NORM_EPS) * scale + bias

    def rms_norm(x: Any, scale: Any) -> Any:
        return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + kernel_cases.RMS_NORM_EPS) * scale

    formulas: dict[str, Any] = {
        "softmax": lambda x: jax.nn.softmax(x, -1),
        "layernorm": layer_norm,
        "rmsnorm": rms_norm,
        "gelu*sigmoid-tanh": lambda x: jax.nn.gelu(x, approximate=False) * jax.nn.sigmoid(x) - jnp.tanh(x),
        "matmul": lambda x, y: x @ y,
        "linear": lambda x, w: x @ w,
        "swiglu": lambda x, up, gate, down: (x @ up * jax.nn.silu(x @ gate)) @ down,
    }
    what = kernel_cases.find(kernel)
    formula = formulas[what.kind]
    weights = [inputs[name] for name in what.params]  # constants of the compiled code
    arguments = [jnp.asarray(inputs[name]) for name in what.inputs()]
    compiled = jax.jit(lambda *given: formula(*given, *weights)).lower(*arguments).compile()

    def run() -> Any:
        return jax.block_until_ready(compiled(*arguments))

    return Prepared(run, lambda: {"out": np.asarray(run())}, {"jax": jax.__version__})

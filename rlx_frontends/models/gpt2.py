"""GPT-2 decoders (Radford et al. 2019): pre-norm layers, learned positions, a key/value cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlx_frontends.builder import ModelBuilder, Value
from rlx_frontends.dims import Dim
from rlx_frontends.model import Model
from rlx_frontends.models.config import Config
from rlx_runtime.errors import VerifyError

MAX_BATCH = 256


def gpt2(
    config: Mapping[str, Any], *, name: str = "gpt2", context: int | None = None, prefix: str = "", last_logits: bool = False,
    policy: str = "direct",
) -> Model:  # fmt: skip
    """HIR of a GPT-2 decoder that serves prefill (S tokens) and decode (S = 1) alike.

    Inputs: input_ids, i64 [B, S]; P, the number of tokens in the cache before the call (a runtime dim). States: k0, v0, …
    [B, n_head, context, head size]. Outputs: logits [B, S, vocab_size], or of the last token alone [B, 1, vocab_size] with
    `last_logits`. Dims: B in [1, 256], S in [1, context], P + S <= context.

    Args:
        config: as in `config.json`: vocab_size, n_positions, n_embd, n_layer, n_head; optional n_inner (4 n_embd),
            layer_norm_epsilon (1e-5), activation_function ("gelu_new").
        context: the capacity of the cache, at most n_positions (the default).
        prefix: what stands before every parameter name ("transformer." in some files).

    Parameters have the names and the layout of published files, whose projections are [in, out]; logits use the token table.
    Raises VerifyError for a configuration that is incomplete or not supported.
    """
    c = Config(name, config)
    c.must_be("scale_attn_weights", True)
    c.must_be("scale_attn_by_inverse_layer_idx", False)
    c.must_be("tie_word_embeddings", True)
    vocabulary, positions, hidden, heads = (c.integer(key) for key in ("vocab_size", "n_positions", "n_embd", "n_head"))
    inner, eps = c.integer("n_inner", 4 * hidden), c.number("layer_norm_epsilon", 1e-5)
    activation = c.activation("activation_function", "gelu_new")
    capacity = positions if context is None else context
    if hidden % heads:
        raise VerifyError(f"{name}: n_embd {hidden} is not a multiple of n_head {heads}")
    if not 1 <= capacity <= positions:
        raise VerifyError(f"{name}: context is {capacity}, and the model has {positions} positions")

    b = ModelBuilder(name, policy)
    B, S = Dim("B", 1, MAX_BATCH), Dim("S", 1, capacity)
    P = b.dim_input("P", 0, capacity, runtime=True)
    b.constrain(P + S <= capacity)
    ids = b.input("input_ids", (B, S), "i64")

    def norm(x: Value, key: str) -> Value:
        scale = b.param(f"{prefix}{key}.weight", (hidden,))
        return b.layer_norm(x, scale, b.param(f"{prefix}{key}.bias", (hidden,)), eps=eps)

    def project(x: Value, key: str, inputs: int, outputs: int, activation: str = "none") -> Value:
        w = b.param(f"{prefix}{key}.weight", (inputs, outputs))
        return b.linear(x, w, b.param(f"{prefix}{key}.bias", (outputs,)), activation)

    table = b.param(f"{prefix}wte.weight", (vocabulary, hidden))
    x = b.embedding(table, ids) + b.slice(b.param(f"{prefix}wpe.weight", (positions, hidden)), 0, P, S)
    for layer in range(c.integer("n_layer")):
        at = f"h.{layer}"
        k, v = (b.state(f"{kind}{layer}", (B, heads, capacity, hidden // heads)) for kind in "kv")
        qkv = project(norm(x, f"{at}.ln_1"), f"{at}.attn.c_attn", hidden, 3 * hidden)
        q, new_k, new_v = (b.slice(qkv, 2, part * hidden, hidden) for part in range(3))
        k, v = b.cache_update(k, new_k, at=P), b.cache_update(v, new_v, at=P)
        attended = b.attention(q, k, v, heads=heads, mask="causal", past=P)
        x = x + project(attended, f"{at}.attn.c_proj", hidden, hidden)
        wide = project(norm(x, f"{at}.ln_2"), f"{at}.mlp.c_fc", hidden, inner, activation)
        x = x + project(wide, f"{at}.mlp.c_proj", inner, hidden)
    if last_logits:
        x = b.slice(x, 1, S - 1, 1)
    b.output("logits", b.linear(norm(x, "ln_f"), b.transpose(table)))
    return b.build()

"""Vision transformers (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlx_frontends.builder import ModelBuilder, Value
from rlx_frontends.dims import Dim
from rlx_frontends.model import Model
from rlx_frontends.models.config import Config
from rlx_runtime.errors import VerifyError

MAX_BATCH = 256


def vit(
    config: Mapping[str, Any], *, name: str = "vit", labels: int | None = None, prefix: str = "vit.", policy: str = "direct"
) -> Model:
    """HIR of a vision transformer.

    Inputs: pixel_values [B, channels, image_size, image_size]. Outputs: last_hidden_state [B, 1 + patches, hidden_size]; with
    `labels` also logits [B, labels] from the class token. Dims: B in [1, 256].

    Args:
        config: as in `config.json`: image_size, patch_size, hidden_size, num_hidden_layers, num_attention_heads,
            intermediate_size; optional num_channels (3), layer_norm_eps (1e-12), hidden_act ("gelu").
        labels: the number of classes of a classification head.
        prefix: what stands before every parameter name but those of the classifier.

    Parameters have the names and the [out, in] layout of published files; the transposes depend on parameters alone.
    Raises VerifyError for a configuration that is incomplete or not supported.
    """
    c = Config(name, config)
    c.must_be("qkv_bias", True)
    image, patch, hidden = (c.integer(key) for key in ("image_size", "patch_size", "hidden_size"))
    heads, inner, channels = c.integer("num_attention_heads"), c.integer("intermediate_size"), c.integer("num_channels", 3)
    eps, activation = c.number("layer_norm_eps", 1e-12), c.activation("hidden_act", "gelu")
    if image % patch:
        raise VerifyError(f"{name}: image_size {image} is not a multiple of patch_size {patch}")
    if hidden % heads:
        raise VerifyError(f"{name}: hidden_size {hidden} is not a multiple of num_attention_heads {heads}")
    side, pixels = image // patch, channels * patch * patch

    b = ModelBuilder(name, policy)
    B = Dim("B", 1, MAX_BATCH)
    picture = b.input("pixel_values", (B, channels, image, image))

    def norm(x: Value, key: str) -> Value:
        scale = b.param(f"{prefix}{key}.weight", (hidden,))
        return b.layer_norm(x, scale, b.param(f"{prefix}{key}.bias", (hidden,)), eps=eps)

    def dense(x: Value, key: str, inputs: int, outputs: int, activation: str = "none") -> Value:
        w = b.transpose(b.param(f"{key}.weight", (outputs, inputs)))
        return b.linear(x, w, b.param(f"{key}.bias", (outputs,)), activation)

    # A convolution whose stride is its kernel is a product with the pixels of each patch.
    split = b.reshape(picture, (B, channels, side, patch, side, patch))
    patches = b.reshape(b.transpose(split, (0, 2, 4, 1, 3, 5)), (B, side * side, pixels))
    kernel = b.param(f"{prefix}embeddings.patch_embeddings.projection.weight", (hidden, channels, patch, patch))
    x = b.linear(
        patches,
        b.transpose(b.reshape(kernel, (hidden, pixels))),
        b.param(f"{prefix}embeddings.patch_embeddings.projection.bias", (hidden,)),
    )
    token = b.broadcast_to(b.param(f"{prefix}embeddings.cls_token", (1, 1, hidden)), (B, 1, hidden))
    x = b.concat([token, x], 1) + b.param(f"{prefix}embeddings.position_embeddings", (1, 1 + side * side, hidden))
    for layer in range(c.integer("num_hidden_layers")):
        at = f"{prefix}encoder.layer.{layer}"
        normed = norm(x, f"encoder.layer.{layer}.layernorm_before")
        q, k, v = (dense(normed, f"{at}.attention.attention.{part}", hidden, hidden) for part in ("query", "key", "value"))
        x = x + dense(b.attention(q, k, v, heads=heads), f"{at}.attention.output.dense", hidden, hidden)
        normed = norm(x, f"encoder.layer.{layer}.layernorm_after")
        wide = dense(normed, f"{at}.intermediate.dense", hidden, inner, activation)
        x = x + dense(wide, f"{at}.output.dense", inner, hidden)
    x = norm(x, "layernorm")
    b.output("last_hidden_state", x)
    if labels is not None:
        first = b.reshape(b.slice(x, 1, 0, 1), (B, hidden))
        b.output("logits", dense(first, "classifier", hidden, labels))
    return b.build()

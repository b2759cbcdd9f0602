"""ViT against an independent NumPy implementation in float64."""

import numpy as np
import pytest

import rlx
from rlx_backends.numpy.hir_executor import execute
from rlx_passes.hir.convert_hir_to_mir import ConvertHirToMirPass
from rlx_passes.support.context import make_context
from rlx_passes.support.verify import verify_module

CONFIG = {
    "image_size": 12, "patch_size": 4, "hidden_size": 18, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 30, "hidden_act": "relu", "layer_norm_eps": 1e-6,
}  # fmt: skip


def reference(weights, pixels):
    w = {name.removeprefix("vit."): np.asarray(value, np.float64) for name, value in weights.items()}

    def norm(x, key):
        centered = x - x.mean(-1, keepdims=True)
        return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-6) * w[f"{key}.weight"] + w[f"{key}.bias"]

    def dense(x, key):
        return x @ w[f"{key}.weight"].T + w[f"{key}.bias"]

    # The convolution as it is defined: one sum over the window of each output.
    kernel = w["embeddings.patch_embeddings.projection.weight"]
    patches = [
        np.einsum("bchw,ochw->bo", pixels[:, :, i : i + 4, j : j + 4], kernel) for i in range(0, 12, 4) for j in range(0, 12, 4)
    ]
    x = np.stack(patches, 1) + w["embeddings.patch_embeddings.projection.bias"]
    x = np.concatenate([np.repeat(w["embeddings.cls_token"], len(pixels), 0), x], 1) + w["embeddings.position_embeddings"]
    for layer in range(2):
        at = f"encoder.layer.{layer}"
        n = norm(x, f"{at}.layernorm_before")
        q, k, v = (dense(n, f"{at}.attention.attention.{p}") for p in ("query", "key", "value"))
        heads = []
        for h in range(3):
            part = slice(6 * h, 6 * h + 6)
            e = np.exp(q[..., part] @ k[..., part].transpose(0, 2, 1) / 6**0.5)
            heads.append(e / e.sum(-1, keepdims=True) @ v[..., part])
        x = x + dense(np.concatenate(heads, -1), f"{at}.attention.output.dense")
        x = x + dense(np.maximum(dense(norm(x, f"{at}.layernorm_after"), f"{at}.intermediate.dense"), 0), f"{at}.output.dense")
    x = norm(x, "layernorm")
    return x, dense(x[:, 0], "classifier")


@pytest.mark.parametrize("policy", [None, "direct", "fusable"])
def test_against_numpy(policy):
    model = rlx.models.vit(CONFIG, labels=7)
    assert str(model.outputs["last_hidden_state"]) == "last_hidden_state: f32[B, 10, 18]"
    weights = rlx.models.random_weights(model, 5)
    pixels = np.random.default_rng(6).standard_normal((3, 3, 12, 12)).astype(np.float32)
    module = model.module.clone()
    if policy:
        ConvertHirToMirPass(policy).apply(make_context(), module)
    verify_module(module)
    hidden, logits = reference(weights, pixels.astype(np.float64))
    for exact, tolerance in ((True, 1e-11), (False, 1e-4)):
        found = execute(module, {"pixel_values": pixels, **weights}, exact=exact).outputs
        np.testing.assert_allclose(found["last_hidden_state"], hidden, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(found["logits"], logits, rtol=tolerance, atol=tolerance)


def test_unsupported():
    with pytest.raises(rlx.VerifyError, match="image_size 12 is not a multiple of patch_size 5"):
        rlx.models.vit(CONFIG | {"patch_size": 5})

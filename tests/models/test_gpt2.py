"""GPT-2: steps through the cache equal an independent NumPy decoder over the whole sequence."""

import numpy as np
import pytest

import rlx
from rlx_backends.numpy.hir_executor import execute
from rlx_passes.hir.convert_hir_to_mir import ConvertHirToMirPass
from rlx_passes.support.context import make_context
from rlx_passes.support.verify import verify_module

CONFIG = {"vocab_size": 37, "n_positions": 24, "n_embd": 20, "n_layer": 2, "n_head": 4, "layer_norm_epsilon": 1e-5}


def reference(weights, ids):
    """Logits [B, S, V] in float64."""
    w = {name: np.asarray(value, np.float64) for name, value in weights.items()}

    def norm(x, key):
        centered = x - x.mean(-1, keepdims=True)
        return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5) * w[f"{key}.weight"] + w[f"{key}.bias"]

    def conv1d(x, key):
        return x @ w[f"{key}.weight"] + w[f"{key}.bias"]

    rows = []
    for sentence in ids:
        n = len(sentence)
        x = w["wte.weight"][sentence] + w["wpe.weight"][:n]
        for layer in range(2):
            q, k, v = (part.reshape(n, 4, 5) for part in np.split(conv1d(norm(x, f"h.{layer}.ln_1"), f"h.{layer}.attn.c_attn"), 3, 1))
            out = np.zeros((n, 4, 5))
            for t in range(n):
                for h in range(4):
                    e = np.exp(k[: t + 1, h] @ q[t, h] / 5**0.5)
                    out[t, h] = e / e.sum() @ v[: t + 1, h]
            x = x + conv1d(out.reshape(n, 20), f"h.{layer}.attn.c_proj")
            wide = conv1d(norm(x, f"h.{layer}.ln_2"), f"h.{layer}.mlp.c_fc")
            wide = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
            x = x + conv1d(wide, f"h.{layer}.mlp.c_proj")
        rows.append(norm(x, "ln_f") @ w["wte.weight"].T)
    return np.stack(rows)


@pytest.mark.parametrize("policy", [None, "direct", "fusable"])
def test_prefill_and_decode(policy):
    model = rlx.models.gpt2(CONFIG, context=16)
    weights = rlx.models.random_weights(model, 1)
    module = model.module.clone()
    if policy:
        ConvertHirToMirPass(policy).apply(make_context(), module)
    verify_module(module)
    ids = np.random.default_rng(2).integers(0, 37, (3, 12))
    states = {name: np.full((3, 4, 16, 5), 1e6, np.float32) for name in model.states.names}
    for exact, tolerance in ((True, 1e-10), (False, 2e-4)):
        current, logits = states, []
        for past, length in ((0, 5), *((p, 1) for p in range(5, 12))):
            outputs, current = execute(
                module, {"input_ids": ids[:, past : past + length], "P": past, **current, **weights}, exact=exact
            )
            logits.append(outputs["logits"])
        np.testing.assert_allclose(np.concatenate(logits, 1), reference(weights, ids), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"n_head": 3}, {}, "n_embd 20 is not a multiple of n_head 3"),
        ({}, {"context": 25}, "context is 25, and the model has 24 positions"),
        ({"scale_attn_by_inverse_layer_idx": True}, {}, "not supported"),
    ],
)
def test_unsupported(change, options, message):
    with pytest.raises(rlx.VerifyError, match=message):
        rlx.models.gpt2(CONFIG | change, **options)

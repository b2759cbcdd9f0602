"""Llama: steps through the cache equal full recomputation, and an independent NumPy decoder."""

import numpy as np
import pytest

import rlx
from rlx_backends.numpy.hir_executor import execute
from rlx_passes.hir.convert_hir_to_mir import ConvertHirToMirPass
from rlx_passes.support.context import make_context
from rlx_passes.support.verify import verify_module

CONFIG = {
    "vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
    "intermediate_size": 40, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 500.0,
}  # fmt: skip


def reference(weights, config, ids):
    """Logits of whole sequences, one position and one head at a time, in float64."""
    w = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim", config["hidden_size"] // heads)
    window = config.get("sliding_window") or ids.shape[1] + 1

    def norm(x, key):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * w[f"{key}.weight"]

    def rotate(x, position):
        # transformers: x · cos + rotate_half(x) · sin
        angles = position / config["rope_theta"] ** (np.arange(0, size, 2) / size)
        angles = np.concatenate([angles, angles])
        return x * np.cos(angles) + np.concatenate([-x[size // 2 :], x[: size // 2]]) * np.sin(angles)

    rows = []
    for sentence in ids:
        x = w["model.embed_tokens.weight"][sentence]
        for layer in range(config["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            n = norm(x, f"{at}.input_layernorm")
            q, k, v = ((n @ w[f"{at}.self_attn.{p}_proj.weight"].T).reshape(len(x), -1, size) for p in "qkv")
            out = np.zeros((len(x), heads, size))
            for h in range(heads):
                g = h // (heads // groups)
                keys = np.stack([rotate(k[t, g], t) for t in range(len(x))])
                for t in range(len(x)):
                    first = max(0, t - window + 1)
                    scores = keys[first : t + 1] @ rotate(q[t, h], t) / np.sqrt(size)
                    e = np.exp(scores - scores.max())
                    out[t, h] = e / e.sum() @ v[first : t + 1, g]
            x = x + out.reshape(len(x), -1) @ w[f"{at}.self_attn.o_proj.weight"].T
            n = norm(x, f"{at}.post_attention_layernorm")
            gate = n @ w[f"{at}.mlp.gate_proj.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * (n @ w[f"{at}.mlp.up_proj.weight"].T)) @ w[f"{at}.mlp.down_proj.weight"].T
        x = norm(x, "model.norm")
        head = w["model.embed_tokens.weight"] if config.get("tie_word_embeddings") else w["lm_head.weight"]
        rows.append(x @ head.T)
    return np.stack(rows)


def modules(model):
    """The model as HIR, and lowered both ways."""
    yield "hir", model.module
    for policy in ("direct", "fusable"):
        module = model.module.clone()
        ConvertHirToMirPass(policy).apply(make_context(), module)
        verify_module(module)
        yield policy, module


@pytest.mark.parametrize(
    "change", [{}, {"tie_word_embeddings": True}, {"sliding_window": 4, "head_dim": 8}], ids=["plain", "tied", "sliding"]
)
def test_prefill_and_decode_equal_recomputation(change):
    config = CONFIG | change
    model = rlx.models.llama(config, context=32)
    weights = rlx.models.random_weights(model, 3)
    ids = np.random.default_rng(4).integers(0, 61, (2, 27))
    wanted = reference(weights, config, ids)
    for level, module in modules(model):
        shape = (2, 2, 32, config.get("head_dim", 4))
        # Rows that no token was written to must not be read.
        states = {name: np.full(shape, 1e6, np.float32) for name in model.states.names}
        steps = [(0, 7), *((p, 1) for p in range(7, 27))]
        for exact, tolerance in ((True, 1e-10), (False, 2e-4)):
            current, logits = states, []
            for past, length in steps:
                arguments = {"input_ids": ids[:, past : past + length], "P": past, **current, **weights}
                outputs, current = execute(module, arguments, exact=exact)
                logits.append(outputs["logits"])
            found = np.concatenate(logits, 1)
            np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance, err_msg=f"{level}, exact={exact}")


def test_signature():
    model = rlx.models.llama(CONFIG, context=32, dtype="bf16", last_logits=True)
    assert model.dim_inputs == ("P",)
    assert model.dims["P"].runtime
    assert model.states.names == ("k0", "v0", "k1", "v1")
    assert str(model.states[0]) == "k0: bf16[B, 2, 32, 4]"
    assert str(model.outputs["logits"]) == "logits: bf16[B, 1, 61]"
    assert "model.layers.1.mlp.down_proj.weight" in model.params
    assert rlx.parse(model.as_text()).as_text() == model.as_text()


def test_last_logits():
    whole, last = (rlx.models.llama(CONFIG, context=32, last_logits=last) for last in (False, True))
    weights = rlx.models.random_weights(whole)
    states = {name: np.zeros((1, 2, 32, 4), np.float32) for name in whole.states.names}
    arguments = {"input_ids": np.array([[3, 1, 4, 1, 5]]), "P": 0, **states, **weights}
    found = execute(last.module, arguments).outputs["logits"]
    np.testing.assert_allclose(found, execute(whole.module, arguments).outputs["logits"][:, -1:], rtol=1e-5, atol=1e-5)


def test_cache_overflow():
    model = rlx.models.llama(CONFIG, context=8)
    states = {name: np.zeros((1, 2, 8, 4), np.float32) for name in model.states.names}
    arguments = {"input_ids": np.zeros((1, 3), np.int64), "P": 6, **states, **rlx.models.random_weights(model)}
    with pytest.raises(rlx.ShapeError, match=r"P \+ S <= 8 does not hold"):
        execute(model.module, arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling"),
        ({"num_key_value_heads": 4}, "6 heads cannot share 4"),
        ({"vocab_size": None}, "config\\['vocab_size'\\] is None; a positive integer is needed"),
        ({"hidden_act": "relu"}, "config\\['hidden_act'\\] is 'relu', which is not supported"),
    ],
)
def test_unsupported(change, message):
    with pytest.raises(rlx.VerifyError, match=message):
        rlx.models.llama(CONFIG | change)

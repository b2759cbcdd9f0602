"""BERT from a configuration: names, options, refusals."""

import numpy as np
import pytest

import rlx
from rlx_backends.numpy.hir_executor import execute

CONFIG = {
    "vocab_size": 50, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 20,
    "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_act": "gelu_new",
}  # fmt: skip


def test_token_types():
    plain = rlx.models.bert(CONFIG, prefix="bert.")
    typed = rlx.models.bert(CONFIG, prefix="bert.", token_types=True)
    assert typed.inputs.names == ("input_ids", "attention_mask", "token_type_ids")
    assert all(name.startswith("bert.") for name in plain.params.names)
    weights = rlx.models.random_weights(plain)
    ids = np.random.default_rng(0).integers(0, 50, (2, 5))
    arguments = {"input_ids": ids, "attention_mask": np.ones_like(ids), **weights}
    wanted = execute(plain.module, arguments).outputs["last_hidden_state"]
    zero = execute(typed.module, {**arguments, "token_type_ids": np.zeros_like(ids)}).outputs["last_hidden_state"]
    one = execute(typed.module, {**arguments, "token_type_ids": np.ones_like(ids)}).outputs["last_hidden_state"]
    np.testing.assert_allclose(zero, wanted, rtol=1e-5, atol=1e-5)
    assert np.abs(one - wanted).max() > 0.01


def test_id_out_of_range():
    model = rlx.models.bert(CONFIG)
    ids = np.full((1, 3), 50)
    with pytest.raises(rlx.RuntimeFault, match=r"id 50 is outside of \[0, 50\)"):
        execute(model.module, {"input_ids": ids, "attention_mask": np.ones_like(ids), **rlx.models.random_weights(model)})


def test_too_long():
    model = rlx.models.bert(CONFIG)
    ids = np.zeros((1, 17), np.int64)
    with pytest.raises(rlx.ShapeError, match=r"S is 17; it must be in \[1, 16\]"):
        execute(model.module, {"input_ids": ids, "attention_mask": np.ones_like(ids), **rlx.models.random_weights(model)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"num_attention_heads": 5}, "hidden_size 12 is not a multiple of num_attention_heads 5"),
        ({"hidden_act": "mish"}, "config\\['hidden_act'\\] is 'mish'; known: gelu"),
    ],
)
def test_unsupported(change, message):
    with pytest.raises(rlx.VerifyError, match=message):
        rlx.models.bert(CONFIG | change)


def test_parameters_of_a_narrow_type():
    """f16 weights and activations: the result in f16, close to the model in float64 on the same weights."""
    model = rlx.models.bert({**CONFIG, "num_hidden_layers": 2}, dtype="f16")
    assert {spec.dtype for spec in model.params} == {"f16"} and model.outputs[0].dtype == "f16"
    weights = rlx.models.random_weights(model, 3)
    ids, mask = np.random.default_rng(0).integers(0, CONFIG["vocab_size"], (2, 7)), np.ones((2, 7), np.int64)
    exact = execute(model.module, {"input_ids": ids, "attention_mask": mask, **weights}, {"B": 2, "S": 7}, exact=True)
    found = rlx.compile(model, weights=weights)(ids, mask).astype(np.float64)
    wanted = exact.outputs["last_hidden_state"]
    assert np.abs(found - wanted).max() <= 2e-2 * np.abs(wanted).max()

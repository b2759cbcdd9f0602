"""The MIR stage on whole models: the numbers stay, the named fusions are found, parameter work leaves the calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

import rlx
from rlx_backends.numpy.mir_executor import run_mir
from rlx_passes.manager import PassManager
from rlx_passes.pipelines import PIPELINES

MIR_STAGE = next(stage for stage in PIPELINES["numpy-default"].stages if stage.name == "mir").passes

BERT = {
    "vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
    "max_position_embeddings": 17, "type_vocab_size": 2,
}  # fmt: skip
LLAMA = {
    "vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
    "intermediate_size": 20, "max_position_embeddings": 17, "rms_norm_eps": 1e-5, "rope_theta": 500.0,
}  # fmt: skip


def optimize(module: ModuleOp) -> dict[str, int]:
    """Run the MIR stage on `module`; the sum of what its passes counted."""
    manager = PassManager(MIR_STAGE, verify="each")
    manager.run(module)
    total: dict[str, int] = {}
    for record in manager.records:
        for name, count in record.statistics.items():
            total[name] = total.get(name, 0) + count
    return total


def compare(model: Any, inputs: dict[str, Any], states: dict[str, Any]) -> dict[str, int]:
    """The counts of the MIR stage on `model`, after checking that outputs and states are the same before and after."""
    params = rlx.models.random_weights(model)
    module = model.module.clone()
    wanted = run_mir(module, inputs, params=params, states=states, precision="f64")
    counts = optimize(module)
    found = run_mir(module, inputs, params=params, states=states, precision="f64")
    single = run_mir(module, inputs, params=params, states=states)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-11 * max(1.0, np.abs(array).max()), err_msg=name)
        np.testing.assert_allclose(single[name], array, rtol=0, atol=2e-5 * max(1.0, np.abs(array).max()), err_msg=name)
    return counts


@pytest.mark.parametrize("policy", ["direct", "fusable"])
def test_bert(policy: str) -> None:
    model = rlx.models.bert(BERT, policy=policy)
    ids = np.random.default_rng(0).integers(0, 31, (3, 5))
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    counts = compare(model, {"input_ids": ids, "attention_mask": mask}, {})
    if policy == "fusable":
        # Per layer: q, k, v, the output projection and two layers of the feed-forward block.
        assert counts["matmul_bias_act"] == 12
    assert counts["bytes"] >= 2 * 4 * (4 * 12 * 12 + 2 * 12 * 20)  # the transposed weights


@pytest.mark.parametrize("policy", ["direct", "fusable"])
def test_llama(policy: str) -> None:
    model = rlx.models.llama(LLAMA, policy=policy)
    ids = np.random.default_rng(0).integers(0, 31, (1, 3))
    generator = np.random.default_rng(1)
    states = {name: generator.normal(size=[1, 2, 17, 2]).astype(np.float32) for name in model.states.names}
    counts = compare(model, {"input_ids": ids, "P": np.int64(5)}, states)
    if policy == "fusable":
        assert counts["swiglu_matmul"] == 2
        # Two residuals a layer, each taken by a product or by a norm.
        assert counts.get("residual_rms_norm", 0) + counts.get("matmul_bias_act", 0) == 4

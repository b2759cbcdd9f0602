"""On an NVIDIA GPU: random graphs, published models at real sizes, growing decode steps. Skipped where there is none.

`RLX_FUZZ_GRAPHS` sets the number of random graphs (default 60).
"""

from __future__ import annotations

import numpy as np
import pytest

import rlx
from rlx_runtime.gpu.driver import open_driver
from tests.differential.arguments import epsilon, random_arguments, random_dims, run_module
from tests.differential.models import GRAPHS
from tests.differential.native import call, close, tolerances
from tests.differential.random_graphs import random_model
from tests.differential.shrink import run_checked


def missing() -> str:
    """Why nothing can run here; empty where it can."""
    try:
        open_driver("cuda", "device.ptx").activate()
    except rlx.TargetError as error:
        return str(error).splitlines()[0]
    return ""


pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs an NVIDIA GPU: {missing()}")


def check(model: rlx.Model, seed: int, calls: int = 2) -> None:
    """Compiled once, called at random shapes, poisoned outputs, against NumPy in float64."""
    rng = np.random.default_rng(seed)
    executable = rlx.lower(model, "cuda").compile()
    assert executable.label == "executed"
    for _ in range(calls):
        dims = random_dims(model, rng)
        arguments = random_arguments(model, dims, rng)
        exact, declared = (run_module(model.module, arguments, dims, exact=exact) for exact in (True, False))
        found = call(executable, arguments, dims, model)
        close(found, declared, exact, tolerances(declared, exact, epsilon(model)), f"target cuda, {dims}")


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_random_graphs(seed: int) -> None:
    run_checked(random_model(seed), lambda model: check(model, seed))


CONFIG = {
    "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536,
    "max_position_embeddings": 512,
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "bound"), [("f32", 1e-5), ("f16", 1e-2), ("bf16", 5e-2)])
def test_minilm_widths(dtype: str, bound: float) -> None:
    """Largest error relative to the largest value, at unmasked positions."""
    model = rlx.models.bert(CONFIG, name="minilm", dtype=dtype)
    weights = rlx.models.random_weights(model, 1)
    executable = rlx.compile(model, "cuda", weights=weights)
    rng = np.random.default_rng(0)
    for batch, length in ((1, 1), (3, 17), (2, 63), (8, 128)):
        ids, mask = rng.integers(0, 30522, (batch, length)), np.ones((batch, length), np.int64)
        mask[0, max(1, length - 2) :] = 0
        arguments = {"input_ids": ids, "attention_mask": mask, **weights}
        wanted = run_module(model.module, arguments, {"B": batch, "S": length}, exact=True)["last_hidden_state"]
        found = np.asarray(executable(ids, mask), np.float64)
        difference = np.abs(found - wanted)[mask > 0].max() / np.abs(wanted).max()
        assert difference <= bound, f"{dtype} {batch} x {length}: {difference}"


@pytest.mark.parametrize("graphs", [False, True])
def test_growing_decode_steps(graphs: bool) -> None:
    """64 steps with the state on the device, one graph for all of them, equal to NumPy."""
    config = {
        "vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 96, "max_position_embeddings": 96,
    }  # fmt: skip
    model = rlx.models.llama(config, name="tiny")
    weights = rlx.models.random_weights(model, 2)
    exe, ref = (rlx.compile(model, target, weights=weights) for target in ("cuda", "numpy"))
    exe = exe.with_graphs() if graphs else exe  # pyright: ignore[reportAttributeAccessIssue]
    ids = np.random.default_rng(1).integers(0, 128, (2, 69))
    state, wanted_state = exe.new_state(B=2), ref.new_state(B=2)
    out = np.full((2, 1, 128), np.nan, np.float32)
    exe(ids[:, :5], P=0, state=state)
    ref(ids[:, :5], P=0, state=wanted_state)
    for past in range(5, 69):
        step = np.ascontiguousarray(ids[:, past : past + 1])
        out.fill(np.nan)
        exe(step, P=past, state=state, out=out)
        np.testing.assert_allclose(out, ref(step, P=past, state=wanted_state), rtol=1e-4, atol=1e-4)

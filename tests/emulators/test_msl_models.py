"""Executables of target metal: host code, launches and kernels as on a device, with the emulator for the device."""

from __future__ import annotations

import numpy as np
import pytest

import rlx
from rlx_runtime.emulators.msl import MslDriver
from rlx_runtime.gpu import driver as drivers
from tests.emulators.msl_harness import needs_clang
from tests.models.test_llama import CONFIG
from tests.runtime.gpu.models import TABLE, WEIGHT, cached, floats, lookup, prepared, scaled

pytestmark = needs_clang


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = MslDriver()
    monkeypatch.setattr(drivers, "_open", lambda dialect, simulated: emulator)


@pytest.mark.parametrize("rows", [1, 3, 17, 64])
def test_calls(rows: int) -> None:
    exe = rlx.compile(scaled(), "metal", weights={"w": WEIGHT})
    assert (exe.label, exe.target) == ("emulated", "metal")
    x = floats(rows, 7, seed=rows)
    y, z = exe(x)
    np.testing.assert_array_equal(y, x * WEIGHT)
    np.testing.assert_array_equal(z, x + WEIGHT)


def test_faults_weights_states_and_runtime_dims() -> None:
    rows = rlx.compile(lookup(), "metal", weights={"table": TABLE})
    np.testing.assert_array_equal(rows(np.array([3, 0, 4])), TABLE[[3, 0, 4]])
    with pytest.raises(rlx.RuntimeFault, match=r"index 5 of operand 1 is outside \[0, 5\)"):
        rows(np.array([3, 5, 4]))
    x = floats(4, 5)
    sums = rlx.compile(prepared(), "metal", weights={"w": x[0]})
    np.testing.assert_allclose(sums(x), x + np.exp(x[0]), rtol=1e-6)
    squares = rlx.compile(cached(), "metal")
    state = squares.new_state()
    for past in (0, 3, 5):
        new = floats(1, 2, 2, 3, seed=past)
        np.testing.assert_array_equal(squares(new, P=past, state=state), new * new)
        np.testing.assert_array_equal(np.asarray(state["k"])[:, :, past : past + 2], new)


def test_a_llama_with_its_cache() -> None:
    """Prefill and a few steps, against the numpy target."""
    model = rlx.models.llama(CONFIG, context=32)
    weights = rlx.models.random_weights(model, 3)
    ids = np.random.default_rng(4).integers(0, 61, (2, 12))
    exes = [rlx.compile(model, target, weights=weights) for target in ("metal", "numpy")]
    states = [exe.new_state(B=2) for exe in exes]
    for past, length in [(0, 7), *((p, 1) for p in range(7, 12))]:
        found, wanted = (
            exe(ids[:, past : past + length], P=past, state=state) for exe, state in zip(exes, states, strict=True)
        )
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_an_encoder(dtype: str) -> None:
    """Rows of different lengths under a mask, against the numpy target; bf16 within its roundings."""
    config = {
        "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
        "max_position_embeddings": 40, "type_vocab_size": 2, "hidden_act": "gelu",
    }  # fmt: skip
    model = rlx.models.bert(config, dtype=dtype)
    weights = rlx.models.random_weights(model, 3)
    ids = np.random.default_rng(1).integers(0, 61, (2, 9))
    mask = np.ones_like(ids)
    mask[1, 5:] = 0
    found, wanted = (np.asarray(rlx.compile(model, t, weights=weights)(ids, mask), np.float64) for t in ("metal", "numpy"))
    tolerance = {"f32": 2e-5, "bf16": 0.1}[dtype]
    np.testing.assert_allclose(found[mask == 1], wanted[mask == 1], rtol=tolerance, atol=tolerance)

"""A Llama-style model, compiled: grouped heads, rope, swiglu and a KV cache; prefill and 20 decode steps equal recomputation."""

from __future__ import annotations

import numpy as np
import pytest

import rlx
from tests.models.test_llama import CONFIG, reference


@pytest.mark.parametrize("target", ["cpu", "numpy"])
def test_prefill_and_decode_equal_recomputation(target):
    model = rlx.models.llama(CONFIG, context=32)
    weights = rlx.models.random_weights(model, 3)
    ids = np.random.default_rng(4).integers(0, 61, (2, 27))
    wanted = reference(weights, CONFIG, ids)
    exe = rlx.compile(model, target=target, weights=weights)
    state = exe.new_state(B=2)
    for array in state.values():
        array[...] = 1e6  # rows that no token was written to must not be read
    found = []
    for past, length in [(0, 7), *((p, 1) for p in range(7, 27))]:
        found.append(exe(ids[:, past : past + length], P=past, state=state))
    np.testing.assert_allclose(np.concatenate(found, 1), wanted, rtol=2e-4, atol=2e-4)


def test_cache_overflow_is_a_guard():
    model = rlx.models.llama(CONFIG, context=32)
    exe = rlx.compile(model, weights=rlx.models.random_weights(model, 3))
    assert any("32" in str(guard) for guard in exe.guards)
    with pytest.raises(rlx.ShapeError, match="guard"):
        exe(np.ones((1, 5), np.int64), P=30, state=exe.new_state(B=1))


def test_decode_of_one_sequence_per_step_matches_batch():
    """The same tokens in one call or one by one give the same logits."""
    model = rlx.models.llama(CONFIG, context=32)
    weights = rlx.models.random_weights(model, 5)
    exe = rlx.compile(model, weights=weights)
    ids = np.random.default_rng(1).integers(0, 61, (1, 9))
    whole = exe(ids, P=0, state=exe.new_state(B=1))
    state = exe.new_state(B=1)
    steps = [exe(ids[:, i : i + 1], P=i, state=state) for i in range(9)]
    np.testing.assert_allclose(np.concatenate(steps, 1), whole, rtol=1e-4, atol=1e-5)

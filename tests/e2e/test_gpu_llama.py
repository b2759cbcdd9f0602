"""The Llama-style model on the GPU targets, emulated: prefill and decode with a KV cache on the device equal recomputation."""

from __future__ import annotations

import numpy as np
import pytest

import rlx
from rlx_runtime.gpu.array import Array
from tests.models.test_llama import CONFIG, reference

EMULATE = rlx.Options(emulate=True)


@pytest.mark.parametrize("target", ["cuda", "rocm", "metal"])
def test_prefill_and_decode_equal_recomputation(target):
    model = rlx.models.llama(CONFIG, context=32)
    weights = rlx.models.random_weights(model, 3)
    ids = np.random.default_rng(4).integers(0, 61, (2, 27))
    wanted = reference(weights, CONFIG, ids)
    exe = rlx.compile(model, target, EMULATE, weights=weights)
    state = exe.new_state(B=2)
    for array in state.values():
        assert isinstance(array, Array)
        array[...] = 1e6  # rows that no token was written to must not be read
    found = []
    for past, length in [(0, 7), *((p, 1) for p in range(7, 27))]:
        found.append(exe(ids[:, past : past + length], P=past, state=state))
    np.testing.assert_allclose(np.concatenate(found, 1), wanted, rtol=1e-4, atol=2e-5)
    with pytest.raises(rlx.ShapeError, match="guard"):
        exe(ids[:, :5], P=30, state=state)

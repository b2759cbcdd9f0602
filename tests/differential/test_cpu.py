"""Target "cpu" computes what NumPy does: random graphs and small published models.

Each is compiled once for all shapes and called with three random combinations of its dims, by teams of two and of one (the same
bits), with outputs and arena poisoned before, and once with code specialized for the first combination. Results may be off by
64 epsilons of the narrowest float of the model plus 8 times the error of NumPy in the declared types, against float64, relative to the
largest magnitude. Target "numpy" is held to the same.

`RLX_FUZZ_GRAPHS` sets the number of random graphs (default 60); half of them come here.
"""

from __future__ import annotations

import numpy as np
import pytest

import rlx
from tests.differential.arguments import epsilon, random_arguments, random_dims, run_module
from tests.differential.models import GRAPHS, MODELS
from tests.differential.native import call, check_native, close, tolerances
from tests.differential.random_graphs import random_model
from tests.differential.shrink import run_checked

OPTIONS = (
    rlx.Options(),
    rlx.Options(cpu="x86-64-v3"),
    rlx.Options(numerics="strict"),
    rlx.Options(cpu="x86-64"),
    rlx.Options(boundary="arena", plan_effort="max"),
)
"""Random graphs take turns."""


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    run_checked(MODELS[name](), lambda model: check_native(model, 11))


@pytest.mark.parametrize("seed", range(-(-GRAPHS // 2)))
def test_random_graphs(seed: int) -> None:
    options = OPTIONS[seed % len(OPTIONS)]
    run_checked(random_model(seed), lambda model: check_native(model, seed, options))


@pytest.mark.parametrize("seed", range(-(-GRAPHS // 10)))
def test_large_graphs(seed: int) -> None:
    run_checked(random_model(seed, large=True), lambda model: check_native(model, seed, calls=2))


@pytest.mark.parametrize("seed", range(-(-GRAPHS // 10)))
def test_special_values(seed: int) -> None:
    """NaN and infinities in the inputs go where NumPy takes them; rotations and attention have no say in that."""
    families = ("elementwise", "logic", "movement", "reduction", "norm", "product", "lookup")
    model = random_model(seed, families, length=6, dtype="f32")
    run_checked(model, lambda model: check_native(model, seed, specialized=False, special=0.08))


@pytest.mark.parametrize("seed", range(0, GRAPHS, 6))
def test_target_numpy(seed: int) -> None:
    """The same graphs through the API on target "numpy"."""

    def check(model: rlx.Model) -> None:
        rng = np.random.default_rng(seed)
        executable = rlx.compile(model, "numpy")
        for _ in range(2):
            dims = random_dims(model, rng)
            arguments = random_arguments(model, dims, rng)
            exact, declared = (run_module(model.module, arguments, dims, exact=exact) for exact in (True, False))
            found = call(executable, arguments, dims, model)
            close(found, declared, exact, tolerances(declared, exact, epsilon(model)), f"target numpy, {dims}")

    run_checked(random_model(seed), check)

"""Every pass leaves every result as it was: models run by the reference executor of their level before and after each pass.

Tolerances, relative to the largest magnitude of a result (or 1):

* in float64, 1e-11: the order of sums may differ, nothing else; but 4 epsilons of f32 after the passes that round numbers to the
  type they have in the model (folded constants; numbers that ops have as attributes: eps, scales, the factors of gelu);
* in the declared types, the same bits where the pass says "Numerics: exact" and stays on its level, else 64 epsilons of the
  narrowest float of the model; so too after passes that change strides, as the order of NumPy's sums of products does then.

`RLX_FUZZ_GRAPHS` sets the number of random models (default 60).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

import rlx
from rlx.universe import get_all_passes
from rlx_passes.manager import PassManager
from rlx_passes.support.printing import as_text
from tests.differential.arguments import assert_bits, assert_close, epsilon, is_lir, random_arguments, random_dims, run_module
from tests.differential.models import GRAPHS, MODELS
from tests.differential.random_graphs import random_model
from tests.differential.shrink import run_checked

EXACT_TOLERANCE = 1e-11
EPSILONS = 64
PRECISION = 4 * 2.0**-23
ROUND_NUMBERS = ("mir-canonicalize", "convert-mir-to-lir")
CHANGE_STRIDES = ("lir-fuse-forms", "lir-pack-parameters")
PIPELINES = ("numpy-default", "cpu-default")
VARIANTS = ("numpy-default", "cpu-default{boundary=arena effort=max}", "cpu-default")
"""Random graphs take turns."""


def level(module: ModuleOp) -> str:
    if is_lir(module):
        return "lir"
    return "hir" if any(op.name.startswith("hir.") for op in module.walk()) else "mir"


@cache
def is_exact(name: str, narrow: bool) -> bool:
    """Whether a pass says that it keeps every bit; `narrow` is whether the model has floats below f32."""
    if name in CHANGE_STRIDES:
        return False
    factory = get_all_passes()[name]()
    text = " ".join((__import__(factory.__module__, fromlist=["__doc__"]).__doc__ or "").split())
    found = re.search(r"Numerics: (.*)$", text)
    assert found, f"the docstring of {name} says nothing of numerics"
    said = found[1]
    return said.startswith("exact") and "order of sums" not in said and not (narrow and re.search("smaller|narrower|f16", said))


class Watcher:
    """Compares the results after each pass with those before it."""

    def __init__(self, model: rlx.Model, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.dims = random_dims(model, rng)
        self.arguments = random_arguments(model, self.dims, rng)
        self.epsilon = epsilon(model)
        self.text = as_text(model.module)
        self.before = self.run(model.module)
        self.level = level(model.module)

    def run(self, module: ModuleOp) -> tuple[dict[str, Any], dict[str, Any]]:
        return tuple(run_module(module, self.arguments, self.dims, exact=exact) for exact in (False, True))  # pyright: ignore

    def after(self, name: str, module: ModuleOp) -> None:
        before, self.text = self.text, as_text(module)
        if before == self.text:
            return
        now, stage = self.run(module), level(module)
        what = f"after {name}, {self.dims}"
        rounded = PRECISION if name in ROUND_NUMBERS and self.epsilon > EXACT_TOLERANCE else 0.0
        assert_close(now[1], self.before[1], max(EXACT_TOLERANCE, rounded), f"{what}, in f64")
        if stage == self.level and is_exact(name, self.epsilon > 2.0**-23):
            assert_bits(now[0], self.before[0], what)
        else:
            assert_close(now[0], self.before[0], EPSILONS * self.epsilon, what)
        self.before, self.level = now, stage


def check_pipeline(model: rlx.Model, pipeline: str, seed: int) -> None:
    watcher = Watcher(model, seed)
    manager = PassManager(pipeline, stop_after="lir", available=get_all_passes(), verify="each", after_pass=watcher.after)
    manager.run(model.module.clone())


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, pipeline: str) -> None:
    run_checked(MODELS[name](), lambda model: check_pipeline(model, pipeline, 5))


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_random_graphs(seed: int) -> None:
    run_checked(random_model(seed), lambda model: check_pipeline(model, VARIANTS[seed % len(VARIANTS)], seed))

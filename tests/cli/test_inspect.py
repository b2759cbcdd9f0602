"""`rlx inspect`."""

from __future__ import annotations

from collections.abc import Callable

import rlx
from tests.cli.conftest import Done

Cli = Callable[..., Done]


def test_a_model(rlx_cli: Cli) -> None:
    done = rlx_cli("inspect", "ffn.mlir")
    assert (done.code, done.err) == (0, "")
    for line in ("model ffn (ffn.mlir)", "dim          B in [1, 64]", "input        x: f32[B, 13]", "output       y: f32[B, 40]"):
        assert line in done.out
    report = rlx_cli("inspect", "ffn.mlir", "--json").json
    assert report["level"] == "hir"
    assert report["params"] == [{"name": "w", "dtype": "f32", "shape": [13, 40]}, {"name": "c", "dtype": "f32", "shape": [40]}]
    assert report["ops"] == {"hir.linear": 1}
    assert "reports" not in report


def test_a_model_for_a_target(rlx_cli: Cli) -> None:
    report = rlx_cli("inspect", "ffn.mlir", "--target", "numpy", "--json").json
    assert report["reports"]["fusion"]["named"] == {"matmul_bias_act": 1}
    assert "B" in report["cost"]["flops"]
    counted = rlx_cli("inspect", "ffn.mlir", "--target", "numpy", "--dim", "B=5", "--json").json["cost"]
    assert counted["flops"] == 2 * 5 * 13 * 40
    assert counted["bytes"] == 4 * (5 * 13 + 13 * 40 + 40 + 5 * 40)
    unknown = rlx_cli("inspect", "ffn.mlir", "--target", "numpy", "--dim", "Q=5")
    assert unknown.code == 1
    assert "there is no dim 'Q'" in unknown.err


def test_a_package(rlx_cli: Cli) -> None:
    rlx_cli("compile", "ffn.mlir", "-o", "m.rlxpkg", "--weights", "ffn.safetensors", "--packed")
    report = rlx_cli("inspect", "m.rlxpkg", "--json").json
    assert report["kind"] == "package"
    assert report["runs_here"] is True
    assert report["dims"][0]["name"] == "B"
    assert report["stages"][:2] == ["hir", "mir"]
    assert report["weights_bytes"] >= 4 * (13 * 40 + 40)
    assert report["reports"]["memory"]["arena"] is not None
    done = rlx_cli("inspect", "m.rlxpkg", "--dim", "B=3")
    assert "weights      " in done.out
    assert f"flops        {2 * 3 * 13 * 40}" in done.out


def test_a_stage_of_a_package(rlx_cli: Cli) -> None:
    rlx_cli("compile", "ffn.mlir", "-o", "m.rlxpkg")
    done = rlx_cli("inspect", "m.rlxpkg", "--stage", "mir")
    assert done.code == 0
    assert "mir.matmul_bias_act" in done.out
    assert rlx.parse(done.out).outputs.names == ("y",)
    missing = rlx_cli("inspect", "m.rlxpkg", "--stage", "ptx")
    assert missing.code == 2
    assert "the package has no stage 'ptx'" in missing.err
    assert rlx_cli("inspect", "ffn.mlir", "--stage", "mir").code == 2

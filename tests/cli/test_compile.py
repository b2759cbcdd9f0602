"""`rlx compile`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import rlx
from rlx.cli import arguments
from tests.cli.conftest import Done, Work

Cli = Callable[..., Done]


def test_a_package_serves_every_batch(work: Work, rlx_cli: Cli) -> None:
    done = rlx_cli("compile", "ffn.mlir", "-o", "m.rlxpkg")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("m.rlxpkg: ")
    executable = rlx.load("m.rlxpkg").bind(work.weights)
    np.testing.assert_allclose(executable(work.x), work.expected, rtol=1e-5, atol=1e-6)


def test_the_package_is_named_after_the_model(work: Work, rlx_cli: Cli) -> None:
    done = rlx_cli("compile", "ffn.mlir", "--json")
    assert done.code == 0
    assert done.json["package"] == "ffn.rlxpkg"
    assert done.json["bytes"] == Path("ffn.rlxpkg").stat().st_size
    assert done.json["fusion"]["named"] == {"matmul_bias_act": 1}


def test_weights_go_into_the_package_on_request(work: Work, rlx_cli: Cli) -> None:
    assert rlx_cli("compile", "ffn.mlir", "-o", "a.rlxpkg", "--weights", "ffn.safetensors").code == 0
    assert not rlx.load("a.rlxpkg").is_bound
    assert rlx_cli("compile", "ffn.mlir", "-o", "b.rlxpkg", "--weights", "ffn.safetensors", "--packed").code == 0
    np.testing.assert_allclose(rlx.load("b.rlxpkg")(work.x), work.expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("target", "stage", "text"),
    [
        ("cpu", "hir", "hir.linear"), ("cpu", "mir", "mir.matmul_bias_act"), ("cpu", "lir", "lir.contract"),
        ("cpu", "kernel", "kernel.func"), ("cpu", "llvm", "define i32 @rlx_main("), ("cpu", "asm", "rlx_main:"),
        ("cpu", "plan", "arena "), ("numpy", "lir", "lir.contract"), ("numpy", "plan", "arena "),
    ],
)  # fmt: skip
def test_emit(target: str, stage: str, text: str, rlx_cli: Cli) -> None:
    done = rlx_cli("compile", "ffn.mlir", "--target", target, "--emit", stage)
    assert (done.code, done.err) == (0, "")
    assert text in done.out
    written = rlx_cli("compile", "ffn.mlir", "--target", target, "--emit", stage, "-o", "out.txt")
    assert (written.code, written.out) == (0, "")
    assert Path("out.txt").read_text() == done.out
    as_json = rlx_cli("compile", "ffn.mlir", "--target", target, "--emit", stage, "--json").json
    assert as_json["stage"] == stage
    assert as_json["text" if stage != "plan" else "plan"]


def test_emitted_ir_compiles_again(work: Work, rlx_cli: Cli) -> None:
    assert rlx_cli("compile", "ffn.mlir", "--target", "numpy", "--emit", "mir", "-o", "mir.mlir").code == 0
    done = rlx_cli("run", "mir.mlir", "--target", "numpy", "--weights", "ffn.safetensors", "--input", "x=x.npy", "-o", "y.npz")
    assert done.code == 0, done.err
    np.testing.assert_allclose(np.load("y.npz")["y"], work.expected, rtol=1e-5, atol=1e-6)


def test_every_option_is_a_flag(rlx_cli: Cli) -> None:
    listing = rlx_cli("compile", "--help").out
    for field in fields(rlx.Options):
        assert f"--{field.name.replace('_', '-')}" in listing
    done = rlx_cli("compile", "ffn.mlir", "-o", "m.rlxpkg", "--threads", "1", "--plan-effort", "max",
                   "--cpu", "x86-64-v2", "--features", "+avx", "--codegen-level", "2", "--precision", "f32")  # fmt: skip
    assert done.code == 0, done.err
    manifest = rlx.load("m.rlxpkg").manifest
    assert manifest["threads"] == 1
    assert manifest["cpu"]["name"] == "x86-64-v2"
    assert "avx" in manifest["cpu"]["features"]
    assert "avx2" not in manifest["cpu"]["features"]
    given = {"numerics": "default", "plan_effort": "max", "codegen_level": 2, "allow_host_ops": False, "schedules": []}
    assert given.items() <= manifest["options"].items()


def test_the_ir_after_each_pass(rlx_cli: Cli) -> None:
    assert rlx_cli("compile", "ffn.mlir", "--target", "numpy", "--emit", "mir", "--dump-ir", "ir").code == 0
    assert any(path.name.endswith("convert-hir-to-mir.mlir") for path in Path("ir").iterdir())


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--packed"], "--packed needs --weights"),
        (["--emit", "lir", "--weights", "ffn.safetensors"], "exclude each other"),
        (["--dim", "B"], "--dim B: expected NAME=N"),
        (["--dim", "B=2", "--dim", "B=3"], "--dim B is given twice"),
        (["--schedules", "plain"], "expected LABEL=SCHEDULE"),
        (["--emit", "ptx"], "target 'cpu' has no stage 'ptx'"),
        (["--target", "numpy", "--emit", "kernel"], "target 'numpy' has no stage 'kernel'"),
        (["--numerics", "sloppy"], "invalid choice"),
        (["--threads", "many"], "invalid int value"),
        (["--tile", "4"], "unrecognized arguments"),
    ],
)
def test_wrong_usage(flags: list[str], complaint: str, rlx_cli: Cli) -> None:
    done = rlx_cli("compile", "ffn.mlir", *flags)
    assert done.code == 2
    assert complaint in done.err
    assert not Path("ffn.rlxpkg").exists()


def test_a_model_from_stdin(work: Work, rlx_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("ffn.mlir", encoding="utf-8") as file:
        monkeypatch.setattr(arguments.sys, "stdin", file)
        done = rlx_cli("compile", "-", "--target", "numpy", "--emit", "hir")
    assert (done.code, done.err) == (0, "")
    assert "hir.linear" in done.out


def test_a_forced_schedule(rlx_cli: Cli) -> None:
    report = rlx_cli("inspect", "ffn.mlir", "--target", "cpu", "--json").json["reports"]["dispatch"]
    (chosen,) = (item for item in report["items"] if item["program"] == "main")
    plain = chosen["schedules"][-1].partition(" when ")[0]
    done = rlx_cli("compile", "ffn.mlir", "--emit", "lir", "--schedules", f"matmul_bias_act={plain}")
    assert done.code == 0, done.err
    assert f"schedule = [{plain}]" in done.out
    bad = rlx_cli("compile", "ffn.mlir", "--emit", "lir", "--schedules", "matmul_bias_act=fast")
    assert bad.code == 1
    assert "fast" in bad.err


@pytest.mark.parametrize(
    ("target", "stage", "start"),
    [("cuda", "ptx", ".version"), ("rocm", "amdgcn", ".amdgcn_target"), ("metal", "msl", "#include <metal_stdlib>")],
)
def test_texts_of_gpu_kernels(work: Work, rlx_cli: Cli, target: str, stage: str, start: str) -> None:
    done = rlx_cli("compile", "ffn.mlir", "--target", target, "--emit", stage)
    assert (done.code, done.err) == (0, "")
    assert start in done.out


@pytest.mark.parametrize(("target", "stage"), [("cuda", "cubin"), ("rocm", "hsaco")])
def test_machine_code_of_gpu_kernels(work: Work, rlx_cli: Cli, target: str, stage: str) -> None:
    """Where the tool is missing, an error names it; where it is, the file is an ELF."""
    done = rlx_cli("compile", "ffn.mlir", "--target", target, "--emit", stage, "-o", f"k.{stage}")
    if done.code:
        assert done.code == 1 and ("ptxas" in done.err if target == "cuda" else "ld" in done.err)
        pytest.skip(f"no {stage} here: {done.err.splitlines()[0]}")
    assert Path(f"k.{stage}").read_bytes()[:4] == b"\x7fELF"
    assert rlx_cli("compile", "ffn.mlir", "--target", target, "--emit", stage).code == 2

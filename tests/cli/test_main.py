"""The command line `rlx`: commands, versions, exit codes, and `rlx doctor`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import pytest

import rlx
from rlx.cli import main as cli
from rlx.cli.commands import doctor
from rlx_runtime.errors import Location, PackageError


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"rlx {rlx.__version__} (xdsl ")
    assert cli.main(["--help"]) == 0
    listing = capsys.readouterr().out
    for name in cli.command_names():
        assert name in listing


@pytest.mark.parametrize("arguments", [[], ["dokter"], ["doctor", "--no-such-flag"], ["doctor", "extra"]])
def test_wrong_usage_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert "usage: rlx" in capsys.readouterr().err


def test_doctor_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert f"rlx           {rlx.__version__}" in text
    assert cli.main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["packages"]["xdsl"].startswith("0.74.")
    assert report["llvm"].startswith("22.")
    assert report["cpu"]["threads"] >= 1
    gpus = {target["name"]: target for target in report["targets"] if target["name"] in ("cuda", "rocm", "metal")}
    assert len(gpus) == 3 and all(target["emulates"] for target in gpus.values())
    assert all(target["executes"] or target["reason"] for target in gpus.values())
    assert all(target["compiles"] and target["executes"] for target in report["targets"] if target["name"] in ("cpu", "numpy"))


def test_doctor_says_what_is_missing() -> None:
    def broken() -> tuple[bool, bool]:
        raise ImportError("no module named 'llvmlite'")

    target = doctor._probe("cpu", broken)
    assert not target.compiles
    assert "llvmlite" in (target.reason or "")
    assert doctor._probe_cpu() == (True, True)


def _fail(error: Exception) -> int:
    raise error


def test_errors_of_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    error = PackageError("the seal is broken", location=Location("m.rlxpkg", 1, 1, ""), hint="compile it again")

    def run(args: argparse.Namespace) -> int:
        return _fail(error)

    monkeypatch.setattr(doctor, "run", run)
    assert cli.main(["doctor", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "m.rlxpkg:1:1: error: the seal is broken\nhint: compile it again\n"
    assert json.loads(captured.out)["error"] == {
        "code": "package", "message": "the seal is broken", "location": "m.rlxpkg:1:1", "hint": "compile it again",
    }  # fmt: skip

    monkeypatch.setattr(doctor, "run", lambda args: _fail(KeyError("lost")))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cli.main(["doctor"]) == 3
    captured = capsys.readouterr()
    assert "internal error: KeyError: 'lost'" in captured.err
    assert "Traceback" not in captured.err


def test_import_rlx_is_lazy() -> None:
    code = "import sys, rlx; print(sorted(m for m in ('xdsl', 'numpy', 'llvmlite', 'rlx_passes') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_every_public_name_exists() -> None:
    for name in rlx.__all__:
        assert getattr(rlx, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rlx.nonsense

"""Packages that are truncated, changed, made for another machine, or none at all: refused with a reason, as in test_bad_input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rlx
from rlx_runtime import package
from tests.cli.conftest import Work, ffn
from tests.errors.conftest import Cli, check, refused


@pytest.fixture
def saved(work: Work) -> bytes:
    rlx.compile(ffn(), weights=work.weights).save("m.rlxpkg", weights="packed")
    return Path("m.rlxpkg").read_bytes()


def test_a_truncated_package(saved: bytes, work: Work, watched: Cli) -> None:
    for length in (0, 1, 4, 100, len(saved) // 3, len(saved) // 2, len(saved) - 30, len(saved) - 1):
        Path("cut.rlxpkg").write_bytes(saved[:length])
        with refused(rlx.PackageError, "damaged", "cut.rlxpkg", "make the package again"):
            rlx.load("cut.rlxpkg")
    for command in (["run", "--input", "x=x.npy", "-o", "o.npz"], ["bench", "--dim", "B=1"], ["inspect"]):
        check(watched(command[0], "cut.rlxpkg", *command[1:]), 1, "cut.rlxpkg: error: ", "hint: make the package again")


def test_a_package_with_a_flipped_bit(saved: bytes, work: Work, watched: Cli) -> None:
    rng = np.random.default_rng(0)
    refusals = 0
    for position in rng.integers(0, len(saved), 50).tolist():
        changed = bytearray(saved)
        changed[position] ^= 1 << int(rng.integers(8))
        Path("flip.rlxpkg").write_bytes(changed)
        try:
            result = rlx.load("flip.rlxpkg", verify=True)(work.x)
        except rlx.PackageError as error:
            refusals += str(error).startswith("flip.rlxpkg: ")
        else:  # padding, or a field of the zip that nobody reads
            np.testing.assert_allclose(result, work.expected, rtol=1e-5, atol=1e-6)
    assert refusals >= 35
    middle = saved.index(b"\x7fELF") + 100
    Path("flip.rlxpkg").write_bytes(saved[:middle] + bytes([saved[middle] ^ 1]) + saved[middle + 1 :])
    with refused(rlx.PackageError, "damaged", "have changed"):
        rlx.load("flip.rlxpkg")
    for command in (["run", "--input", "x=x.npy", "-o", "o.npz"], ["bench", "--dim", "B=1"], ["inspect"]):
        check(watched(command[0], "flip.rlxpkg", *command[1:]), 1, "flip.rlxpkg: error: ", "have changed")


def test_a_package_for_another_cpu(saved: bytes, work: Work, watched: Cli, rlx_cli: Cli) -> None:
    contents = package.read("m.rlxpkg")
    manifest = contents.manifest
    manifest["cpu"]["features"].append("avx1024")
    package.write("far.rlxpkg", manifest, contents.objects, contents.stages)
    with refused(rlx.PackageError, "cpu-features", "far.rlxpkg", "avx1024", "compile for this machine"):
        rlx.load("far.rlxpkg")
    check(watched("run", "far.rlxpkg", "--input", "x=x.npy"), 1, "requires CPU features that this machine lacks: avx1024")
    looked = rlx_cli("inspect", "far.rlxpkg", "--json")
    assert looked.code == 0
    assert (looked.json["runs_here"], looked.json["missing_features"]) == (False, ["avx1024"])
    assert "does not run here: this machine lacks avx1024" in rlx_cli("inspect", "far.rlxpkg").out


def test_something_else_as_a_package(work: Work, watched: Cli) -> None:
    np.savez("in.npz", x=work.x)
    Path("in.npz").rename("other.rlxpkg")
    Path("text.rlxpkg").write_text("builtin.module {}\n")
    for name in ("other.rlxpkg", "text.rlxpkg"):
        with refused(rlx.PackageError, "damaged", name):
            rlx.load(name)
        check(watched("inspect", name), 1, f"{name}: error: ")

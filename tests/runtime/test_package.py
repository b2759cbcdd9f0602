"""Packages: round trips, and refusal of everything that is not exactly what was written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlx_runtime
from rlx_runtime import package
from rlx_runtime.errors import PackageError
from rlx_runtime.executable import Executable
from tests.runtime import programs

ROOT = Path(__file__).parents[2]
X = np.random.default_rng(3).standard_normal((5, 4)).astype(np.float32)
WEIGHTS = programs.linear_weights()
EXPECTED = programs.linear_reference(X, WEIGHTS)


def bound() -> Executable:
    return programs.executable(programs.linear()).bind(WEIGHTS)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "linear.rlxpkg"
    bound().save(path, weights="packed")
    return path


def check(executable: Executable) -> None:
    for _ in range(2):
        np.testing.assert_allclose(executable(X), EXPECTED, rtol=1e-5, atol=1e-6)


def test_round_trip_with_weights(saved: Path, tmp_path: Path) -> None:
    loaded = rlx_runtime.load(saved)
    check(loaded)
    check(rlx_runtime.load(saved, verify=True))
    assert dict(loaded.stages) == {"lir": "// lir\n", "llvm": programs.linear()[1]}
    assert loaded.manifest == programs.linear()[0]
    check(loaded.specialize(codegen=False, B=5))
    with pytest.raises(PackageError, check=lambda error: error.code == "no-compiler"):
        loaded.specialize(B=5)
    loaded.save(tmp_path / "again.rlxpkg", weights="packed")
    assert (tmp_path / "again.rlxpkg").read_bytes() == saved.read_bytes()


def test_round_trip_without_weights(tmp_path: Path) -> None:
    path = tmp_path / "plain.rlxpkg"
    bound().save(path)
    loaded = rlx_runtime.load(path)
    assert not loaded.is_bound
    check(loaded.bind(WEIGHTS))
    with pytest.raises(PackageError, match="no weights to save"):
        loaded.save(path, weights="packed")
    with pytest.raises(PackageError, match='"none" or "packed"'):
        loaded.save(path, weights="raw")


def test_fixed_dims_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "fixed.rlxpkg"
    bound().specialize(codegen=False, B=5).save(path, weights="packed")
    loaded = rlx_runtime.load(path)
    assert loaded.fixed_dims == {"B": 5}
    check(loaded)


def test_it_is_an_ordinary_zip_with_aligned_members(saved: Path) -> None:
    data = saved.read_bytes()
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        members = ["plan.json", "kernels.o", "support.o", "stages/lir.mlir", "stages/llvm.mlir", "weights.bin"]
        assert names == ["manifest.json", *members, "SEAL"]
        for info in archive.infolist():
            contents = archive.read(info)
            alignment = 4096 if info.filename == "weights.bin" else 64
            assert data.find(contents) >= 0
            start = (
                info.header_offset + 30 + sum(int.from_bytes(data[info.header_offset + at :][:2], "little") for at in (26, 28))
            )
            assert start % alignment == 0
            assert data[start : start + len(contents)] == contents
        manifest = archive.read("manifest.json")
        assert archive.read("SEAL").decode().split("\n") == [*names[:-1], hashlib.sha256(manifest).hexdigest()]
        table = json.loads(manifest)["members"]
        assert all(table[name]["sha256"] == hashlib.sha256(archive.read(name)).hexdigest() for name in names[1:-1])


def test_saving_is_atomic(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.rlxpkg"
    path.write_bytes(saved.read_bytes())
    loaded = rlx_runtime.load(path)
    real = package._write

    def fails(archive: Any, file: Any, name: str, *rest: Any) -> None:
        if name == "weights.bin":
            raise OSError(28, "No space left on device")
        real(archive, file, name, *rest)

    monkeypatch.setattr(package, "_write", fails)
    with pytest.raises(PackageError, match="No space left"):
        bound().save(path, weights="packed")
    assert os.listdir(tmp_path) == ["m.rlxpkg"]
    monkeypatch.undo()
    programs.executable(programs.linear()).save(path)  # replaces the file that is mapped
    check(loaded)
    assert not rlx_runtime.load(path).is_bound
    assert path.stat().st_mode & 0o777 == 0o666 & ~package._umask()
    with pytest.raises(PackageError, match="cannot write the package"):
        loaded.save(tmp_path / "no" / "folder.rlxpkg")


def rewrite(saved: Path, path: Path, change: Any, reseal: bool = True) -> Path:
    """The package with its manifest changed, and sealed again."""
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"])
    change(manifest, members)
    members["manifest.json"] = json.dumps(manifest).encode()
    if reseal:
        lines = [*[name for name in members if name != "SEAL"], hashlib.sha256(members["manifest.json"]).hexdigest()]
        members["SEAL"] = "\n".join(lines).encode()
    with open(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            package._write(archive, file, name, [data], 4096)
    return path


def seal_member(manifest: dict[str, Any], members: dict[str, bytes], name: str, data: bytes) -> None:
    members[name] = data
    manifest["members"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (lambda m, f: m.update(format=2), "newer", "format 2 is newer"),
        (lambda m, f: m.update(abi=7), "abi", "call ABI 7"),
        (lambda m, f: m["cpu"].update(features=["sse2", "amx-nothing"]), "cpu-features", "lacks: amx-nothing"),
        (lambda m, f: m.pop("inputs"), "manifest", "manifest.inputs"),
        (lambda m, f: m.pop("members"), "damaged", "not a manifest"),
        (lambda m, f: m.pop("reports"), "damaged", "plan.json"),
        (lambda m, f: f.pop("kernels.o"), "damaged", "members"),
        (lambda m, f: f.update(extra=b"1"), "damaged", "members"),
        (lambda m, f: f.update({"kernels.o": f["kernels.o"][:-1] + b"?"}), "damaged", "contents of kernels.o"),
        (lambda m, f: f.update({"kernels.o": f["kernels.o"] + b"?"}), "damaged", "kernels.o has"),
        (lambda m, f: f.update({"weights.bin": f["weights.bin"][:-64] + bytes(64)}), "damaged", "contents of weights.bin"),
        (lambda m, f: seal_member(m, f, "weights.bin", bytes(64)), "damaged", "does not fit the model"),
        (lambda m, f: m["weights"]["params"].update(bias=10**9), "damaged", "does not fit the model"),
        (lambda m, f: m["weights"]["params"].update(bias="x"), "damaged", "does not fit the model"),
        (lambda m, f: m["weights"]["params"].pop("bias"), "damaged", "does not fit the model"),
        (lambda m, f: m["weights"].update(packed=[64, 128]), None, None),
        (lambda m, f: m.update(weights=[1]), "damaged", "does not fit the model"),
        (lambda m, f: seal_member(m, f, "kernels.o", b"junk"), "object", "cannot be linked"),
        (lambda m, f: seal_member(m, f, "plan.json", b"{"), "damaged", "plan.json"),
        (lambda m, f: seal_member(m, f, "stages/lir.mlir", b"\xff"), "damaged", "stage"),
    ],
)  # fmt: skip
def test_refused_contents(saved: Path, tmp_path: Path, change: Any, code: str | None, text: str | None) -> None:
    path = rewrite(saved, tmp_path / "changed.rlxpkg", change)
    if code is None:  # a wrong table that stays in bounds gives wrong numbers, and no crash
        rlx_runtime.load(path)(X)
        return
    with pytest.raises(PackageError, match=text) as caught:
        rlx_runtime.load(path)
    assert caught.value.code == code
    assert str(caught.value.location).startswith(str(path))


def test_foreign_files(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.rlxpkg"
    cases: list[tuple[bytes, str]] = [
        (b"", "not a package"),
        (b"hello" * 100, "not a package"),
        (saved.read_bytes()[:1000], "not a package"),
        (saved.read_bytes()[:-10], "not a package"),
    ]
    for data, text in cases:
        path.write_bytes(data)
        with pytest.raises(PackageError, match=text):
            rlx_runtime.load(path)
    for compression, text in ((zipfile.ZIP_STORED, "SEAL is missing"), (zipfile.ZIP_DEFLATED, "compressed")):
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("hello.txt", "hello" * 100)
        with pytest.raises(PackageError, match=text):
            rlx_runtime.load(path)
    with pytest.raises(PackageError, match="cannot read the package"):
        rlx_runtime.load(tmp_path / "nowhere.rlxpkg")
    with pytest.raises(PackageError, match="cannot read the package"):
        rlx_runtime.load(tmp_path)
    rewrite(saved, path, lambda m, f: m.update(name="other"), reseal=False)
    with pytest.raises(PackageError, match="not the one that SEAL names"):
        rlx_runtime.load(path)


@settings(max_examples=120, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_any_damage_is_refused_or_harmless(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, position: float, bit: int, cut: bool
) -> None:
    """A flipped bit or a cut anywhere: a PackageError, or (in padding and dates) the very same numbers."""
    data = bytearray(saved.read_bytes())
    at = int(position * len(data))
    path = tmp_path_factory.getbasetemp() / "mutant.rlxpkg"
    if cut:
        data = data[:at]
    else:
        data[at] ^= 1 << bit
    path.unlink(missing_ok=True)  # an earlier example may have it mapped
    path.write_bytes(data)
    try:
        loaded = rlx_runtime.load(path)
    except PackageError:
        return
    assert not cut
    check(loaded)


def test_loading_needs_neither_compiler_nor_code_generation(saved: Path) -> None:
    script = f"""
import sys, numpy as np
import rlx_runtime, llvmlite.binding as llvm
def never(*args, **kwargs): raise AssertionError("code was generated")
llvm.parse_assembly = llvm.TargetMachine.emit_object = never
exe = rlx_runtime.load({str(saved)!r})
y = exe(np.ones((2, 4), np.float32))
assert y.shape == (2, 8) and np.isfinite(y).all()
forbidden = ("xdsl", "rlx", "rlx_backends", "rlx_dialects", "rlx_frontends", "rlx_passes", "ml_dtypes", "onnx", "torch")
print([name for name in sys.modules if name.split(".")[0] in forbidden])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_package_imports_lazily() -> None:
    script = "import sys, rlx_runtime, rlx_runtime.errors; print([m for m in ('numpy', 'llvmlite') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr

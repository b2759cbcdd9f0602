"""`rlx.compile` and its cache of whole artifacts."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rlx
from rlx import artifact_cache
from rlx_backends.support import cache_folder
from rlx_runtime.errors import CacheError, ShapeError
from tests.cli.conftest import Work, ffn


def entries(work: Work) -> list[Path]:
    return sorted((work.folder / "cache" / "artifacts").glob("*.rlxpkg"))


def test_a_hit_does_not_compile(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    first = rlx.compile(ffn(), weights=work.weights)
    assert len(entries(work)) == 1
    monkeypatch.setattr("rlx.compiler.lower", lambda *_, **__: pytest.fail("lowered although the artifact was cached"))
    second = rlx.compile(ffn(), weights=work.weights)
    assert second.manifest == first.manifest
    np.testing.assert_array_equal(second(work.x), first(work.x))
    np.testing.assert_allclose(second(work.x), work.expected, rtol=1e-5, atol=1e-6)


def test_a_hit_has_stages_and_specializes(work: Work) -> None:
    made, found = rlx.compile(ffn()), rlx.compile(ffn())
    assert dict(found.stages) == dict(made.stages)
    fast = found.bind(work.weights).specialize(B=3)
    np.testing.assert_allclose(fast(work.x), work.expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError):
        fast(work.x[:2])
    found.save("found.rlxpkg")
    made.save("made.rlxpkg")
    assert Path("found.rlxpkg").read_bytes() == Path("made.rlxpkg").read_bytes()


def test_what_makes_a_miss(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    rlx.compile(ffn())
    rlx.compile(ffn(), options=rlx.Options(threads=1))
    rlx.compile(ffn(), options=rlx.Options(cpu="x86-64-v2"))
    rlx.compile(ffn(), dims={"B": 3})
    rlx.compile(rlx.parse(ffn().as_text(), "elsewhere.mlir"))  # faults name the place
    assert len(entries(work)) == 5
    monkeypatch.setattr(artifact_cache, "source_stamp", lambda: "edited")
    rlx.compile(ffn())
    monkeypatch.setattr(artifact_cache, "__version__", "99")
    rlx.compile(ffn())
    assert len(entries(work)) == 7
    rlx.compile(ffn())
    rlx.compile(ffn(), dims={"B": np.int64(3)})
    assert len(entries(work)) == 8  # the dims of an edited compiler


def test_the_stamp_sees_an_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in artifact_cache._PACKAGES:
        (tmp_path / package / "inner").mkdir(parents=True)
    file = tmp_path / "rlx_passes" / "inner" / "a.py"
    file.write_text("x = 1\n")
    monkeypatch.setattr(artifact_cache, "__file__", str(tmp_path / "rlx" / "artifact_cache.py"))
    stamps = [artifact_cache.source_stamp.__wrapped__()]
    stamps.append(artifact_cache.source_stamp.__wrapped__())
    file.write_text("x = 12\n")
    stamps.append(artifact_cache.source_stamp.__wrapped__())
    os.utime(file, ns=(1, 1))
    stamps.append(artifact_cache.source_stamp.__wrapped__())
    assert stamps[0] == stamps[1]
    assert len(set(stamps)) == 3


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "swap"])
def test_a_damaged_entry_is_made_again(work: Work, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    rlx.compile(ffn())
    (path,) = entries(work)
    data = path.read_bytes()
    if damage == "swap":  # another artifact under this name
        rlx.compile(ffn(), dims={"B": 3})
        (other,) = (entry for entry in entries(work) if entry != path)
        other.replace(path)
    else:
        middle = len(data) // 2
        changed = {"cut": data[:middle], "flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :], "empty": b""}
        path.write_bytes(changed[damage])
    executable = rlx.compile(ffn(), weights=work.weights)
    assert "damaged entry" in caplog.text
    np.testing.assert_allclose(executable(work.x), work.expected, rtol=1e-5, atol=1e-6)
    assert path.read_bytes() == data


def test_the_cache_can_be_turned_off(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLX_CACHE", "0")
    executable = rlx.compile(ffn(), weights=work.weights)
    np.testing.assert_allclose(executable(work.x), work.expected, rtol=1e-5, atol=1e-6)
    assert not (work.folder / "cache").exists()


def test_a_folder_that_cannot_be_written(
    work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (work.folder / "file").write_text("")
    monkeypatch.setenv("RLX_CACHE_DIR", str(work.folder / "file"))
    with pytest.raises(CacheError, match="cannot write to the cache folder"):
        rlx.compile(ffn())
    monkeypatch.delenv("RLX_CACHE_DIR")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_: str(work.folder / "file"))
    with caplog.at_level(logging.WARNING):
        executable = rlx.compile(ffn(), weights=work.weights)
    assert "cannot write to the cache folder" in caplog.text
    np.testing.assert_allclose(executable(work.x), work.expected, rtol=1e-5, atol=1e-6)


def test_the_least_recently_used_go_first(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    rlx.compile(ffn())
    (first,) = entries(work)
    rlx.compile(ffn(), dims={"B": 3})
    (second,) = (path for path in entries(work) if path != first)
    for path in (work.folder / "cache").rglob("*.*"):
        os.utime(path, (1_000_000, 1_000_000))
    rlx.compile(ffn())  # a hit: now the other one is older
    monkeypatch.setenv("RLX_CACHE_LIMIT", str(first.stat().st_size * 5 // 2))
    rlx.compile(ffn(), dims={"B": 5})
    assert first.exists()
    assert not second.exists()
    assert sum(entry.size for entry in cache_folder.entries()) <= cache_folder.limit()


def test_sizes() -> None:
    assert [cache_folder.parse_size(text) for text in ("17", "2k", "3M", "1G")] == [17, 2048, 3 << 20, 1 << 30]
    with pytest.raises(CacheError, match="'1.5G' is no size"):
        cache_folder.parse_size("1.5G")


def test_dims_are_integers() -> None:
    with pytest.raises(ShapeError, match="dim 'B' must be an integer, not float"):
        rlx.compile(ffn(), dims={"B": 3.0})


def test_a_hit_in_a_new_process_imports_no_pass(work: Work) -> None:
    program = """
import sys, numpy as np
import rlx
model = rlx.ModelBuilder("small")
model.output("y", model.relu(model.input("x", (7,), "f32")))
y = rlx.compile(model.build())(np.full(7, 2, np.float32))
assert (y == 2).all()
print(sorted(name for name in sys.modules if name.startswith(("rlx_passes.", "rlx.compiler", "rlx_backends.passes"))))
"""
    outputs = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
        outputs.append(done.stdout.strip())
    assert "rlx_passes.manager" in outputs[0]
    assert outputs[1] == "[]"


def test_specializations_are_kept_too(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    rlx.compile(ffn(), weights=work.weights).specialize(B=3)
    rlx.compile(ffn()).save("m.rlxpkg")
    assert len(entries(work)) == 2
    monkeypatch.setattr("rlx.compiler.lower", lambda *_, **__: pytest.fail("lowered although the artifact was cached"))
    fast = rlx.compile(ffn(), weights=work.weights).specialize(B=3)
    np.testing.assert_allclose(fast(work.x), work.expected, rtol=1e-5, atol=1e-6)
    assert rlx.compile(ffn(), dims={"B": 3}).fixed_dims == {"B": 3}


@pytest.mark.parametrize("target", ["numpy", "cpu"])
def test_specialize_with_and_without_new_kernels(target: str, work: Work) -> None:
    executable = rlx.compile(ffn(), target=target, weights=work.weights)
    for codegen in (True, False):
        fixed = executable.specialize(codegen=codegen, B=3)
        assert fixed.fixed_dims == {"B": 3}
        np.testing.assert_allclose(fixed(work.x), work.expected, rtol=1e-5, atol=1e-6)
        with pytest.raises(ShapeError):
            fixed(work.x[:2])

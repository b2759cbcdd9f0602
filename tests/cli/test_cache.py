"""`rlx cache`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import rlx
from tests.cli.conftest import Done, Work, ffn

Cli = Callable[..., Done]


@pytest.fixture
def filled(work: Work) -> Path:
    """A cache with two artifacts and the objects they came from; the first artifact was used longer ago."""
    rlx.compile(ffn())
    for path in (work.folder / "cache").rglob("*.*"):
        os.utime(path, (1_000_000, 1_000_000))
    rlx.compile(ffn(), options=rlx.Options(threads=1))
    return work.folder / "cache"


def test_ls(filled: Path, rlx_cli: Cli) -> None:
    report = rlx_cli("cache", "ls", "--json").json
    assert report["folder"] == str(filled)
    artifacts = [entry for entry in report["entries"] if entry["kind"] == "artifacts"]
    assert [(entry["name"], entry["target"], entry["dims"]) for entry in artifacts] == [("ffn", "cpu", {})] * 2
    assert artifacts[0]["used"] < artifacts[1]["used"]
    assert report["bytes"] == sum(path.stat().st_size for path in filled.rglob("*.*"))
    text = rlx_cli("cache", "ls").out
    assert all(entry["key"][:12] in text for entry in report["entries"])


def test_an_empty_cache(work: Work, rlx_cli: Cli) -> None:
    assert rlx_cli("cache", "ls", "--json").json["entries"] == []
    for action in ("gc", "clear"):
        done = rlx_cli("cache", action)
        assert (done.code, done.err) == (0, "")


def test_why(filled: Path, rlx_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (key, other) = (path.stem for path in (filled / "artifacts").iterdir())
    done = rlx_cli("cache", "why", key[:10], "--json")
    assert done.code == 0
    assert done.json["key"] == key
    assert done.json["parts"]["target"] == "cpu"
    assert done.json["differences"] == {}
    assert "find it now" in rlx_cli("cache", "why", other).out
    monkeypatch.setattr("rlx.artifact_cache.source_stamp", lambda: "edited")
    assert rlx_cli("cache", "why", key, "--json").json["differences"] == {"source": "edited"}
    assert "a lookup misses now: source changed" in rlx_cli("cache", "why", key).out
    (obj,) = (path.stem for path in (filled / "objects").iterdir())
    assert "an object file" in rlx_cli("cache", "why", obj).out


def test_why_of_what_is_not_there(filled: Path, rlx_cli: Cli) -> None:
    assert rlx_cli("cache", "why").code == 2
    assert rlx_cli("cache", "ls", "key").code == 2
    unknown = rlx_cli("cache", "why", "zz")
    assert unknown.code == 1
    assert "no entry's key begins with 'zz'" in unknown.err
    assert "several entries" in rlx_cli("cache", "why", "").err


def test_gc_removes_what_is_damaged_and_what_is_old(filled: Path, rlx_cli: Cli) -> None:
    old, new = sorted((filled / "artifacts").iterdir(), key=lambda path: path.stat().st_mtime)
    (obj,) = (filled / "objects").iterdir()
    obj.write_bytes(obj.read_bytes()[:-3])
    unfinished = filled / "objects" / "tmp123.part"
    unfinished.write_bytes(b"x")
    os.utime(unfinished, (time.time() - 7200,) * 2)
    young = filled / "artifacts" / ".rlxpkg-abc"
    young.write_bytes(b"x")
    report = rlx_cli("cache", "gc", "--json").json
    assert (report["damaged"], report["unfinished"], report["evicted"]) == (1, 1, 0)
    assert not obj.exists()
    assert young.exists()
    done = rlx_cli("cache", "gc", "--limit", str(new.stat().st_size), "--json")
    assert done.json["evicted"] == 1
    assert not old.exists()
    assert new.exists()
    assert rlx_cli("cache", "gc", "--limit", "lots").code == 1
    assert rlx_cli("cache", "ls", "--limit", "1G").code == 2


def test_clear(filled: Path, rlx_cli: Cli) -> None:
    (filled / "artifacts" / ".rlxpkg-abc").write_bytes(b"x")
    (filled / "keep.txt").write_text("not ours")
    done = rlx_cli("cache", "clear", "--json")
    assert done.code == 0
    assert done.json["left"] == 0
    assert [path.name for path in filled.rglob("*") if path.is_file()] == ["keep.txt"]

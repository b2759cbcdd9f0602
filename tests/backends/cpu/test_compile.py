"""Objects and their cache."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from rlx_backends.cpu import compile as compiler
from rlx_backends.cpu.target import host, missing_features, named, vector_bits_of
from rlx_backends.llvm import objects
from rlx_runtime.errors import CacheError, LowerError, TargetError
from tests.backends.cpu.harness import reduced

TEXT = "define i32 @answer() {\n  ret i32 42\n}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLX_CACHE_DIR", str(tmp_path))
    return tmp_path / "objects"


def answer(data: bytes) -> int:
    loaded = objects.load_object(data)
    return ctypes.CFUNCTYPE(ctypes.c_int32)(loaded.address("answer"))()


def test_objects_are_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = compiler.compile_text(TEXT, host())
    assert answer(data) == 42
    assert [path.suffix for path in folder.iterdir()] == [".o"]
    monkeypatch.setattr(objects, "parse", lambda *_: pytest.fail("compiled although the object was cached"))
    assert compiler.compile_text(TEXT, host()) == data


def test_the_key_tells_texts_and_targets_apart() -> None:
    keys = {objects.object_key(text, compiler.machine(target)) for text in (TEXT, TEXT + " ") for target in (host(), reduced("sse4.1"))}
    assert len(keys) == 4


def test_a_damaged_object_is_compiled_anew(folder: Path) -> None:
    data = compiler.compile_text(TEXT, host())
    (path,) = folder.iterdir()
    stored = path.read_bytes()
    for damaged in (stored[:-1], stored[:50] + b"x" + stored[51:], b""):
        path.write_bytes(damaged)
        assert objects.read_cached(path.stem) is None
        assert compiler.compile_text(TEXT, host()) == data
        assert path.read_bytes() == stored


def test_a_cache_folder_that_cannot_be_used_is_an_error_if_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RLX_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(CacheError, match="cannot write to the cache folder"):
        compiler.compile_text(TEXT, host())
    monkeypatch.delenv("RLX_CACHE_DIR")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_: str(tmp_path / "file"))
    assert answer(compiler.compile_text(TEXT, host())) == 42


def test_llvm_complaints_are_lower_errors() -> None:
    with pytest.raises(LowerError, match="LLVM refuses the emitted code"):
        compiler.parse("define i32 @f() { ret i64 0 }", host())


def test_unknown_symbols_are_key_errors() -> None:
    with pytest.raises(KeyError):
        objects.load_object(compiler.compile_text(TEXT, host())).address("question")


def test_targets() -> None:
    here = host()
    assert here.threads >= 1
    assert not missing_features(here.features)
    assert vector_bits_of(("avx2", "fma")) == 256
    assert vector_bits_of(("avx2",)) == 128
    assert named("znver4", ("avx2", "fma", "f16c")).vector_bits == 256
    assert named("x86-64", ()).lanes == 4
    assert "-avx512f" in named("znver4", ("avx2", "fma")).feature_text
    with pytest.raises(TargetError, match="unknown CPU features: avx9"):
        named("znver4", ("avx9",))


def test_levels_have_objects_of_their_own(folder: Path) -> None:
    for level in (1, 2, 3):
        assert answer(compiler.compile_text(TEXT, host(), level)) == 42
    assert len(list(folder.iterdir())) == 3

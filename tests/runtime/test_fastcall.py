"""The fast path gives what the ordinary path gives, in every case, and leaks nothing."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlx_runtime import fastcall
from rlx_runtime.cpu_executable import CpuExecutable
from rlx_runtime.errors import Error
from tests.runtime import programs

AFFINE = programs.executable(programs.affine())
SMALL = programs.executable(programs.affine(symbolic=False))


def outcome(call: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    try:
        result = call(*args, **kwargs)
    except Error as error:
        return type(error), error.code, str(error)
    return result.dtype, result.shape, result.tobytes()


def test_the_layouts_are_known_here() -> None:
    assert fastcall.available()


def test_repeated_calls_take_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.ones((3, 16), np.float32)
    AFFINE(x)
    monkeypatch.setattr(CpuExecutable, "_run", None)
    AFFINE(x)
    AFFINE(x + 1, out=np.empty_like(x))
    with pytest.raises(TypeError, match="not callable"):
        AFFINE(np.ones((4, 16), np.float32))


ARRAYS = st.sampled_from(
    [
        np.ones((3, 16), np.float32),
        np.ones((3, 16), np.float32)[::-1],
        np.asfortranarray(np.ones((3, 16), np.float32)),
        np.ones((6, 16), np.float32)[::2],
        np.ones((4, 16), np.float32),
        np.ones((16,), np.float32),
        np.ones((3, 16), np.float64),
        np.ones((3, 16), np.int32),
        np.ones((3, 17), np.float32),
        np.ones((3, 16), np.float32).view(type("Sub", (np.ndarray,), {})),
        np.frombuffer(bytes(3 * 64), np.float32).reshape(3, 16),
        np.zeros((0, 16), np.float32),
        np.float32(3),
        None,
        [1.0],
    ]
)


@settings(max_examples=150, deadline=None)
@given(x=ARRAYS, out=ARRAYS, how=st.integers(0, 5))
def test_same_as_the_ordinary_path(x: Any, out: Any, how: int) -> None:
    AFFINE(np.ones((3, 16), np.float32))  # prepares the slot
    if how == 0:
        args, kwargs = (x,), {}
    elif how == 1:
        args, kwargs = (x,), {"out": out.copy() if isinstance(out, np.ndarray) and out.flags.writeable else out}
    elif how == 2:
        args, kwargs = (x,), {"out": x}
    elif how == 3:
        args, kwargs = (), {"x": x}
    elif how == 4:
        args, kwargs = (x, x), {}
    else:
        args, kwargs = (x,), {"state": None}
    assert outcome(AFFINE, *args, **kwargs) == outcome(AFFINE._call, *args, **kwargs)


def test_every_overlap_is_seen() -> None:
    memory = np.zeros(64, np.float32)
    x = memory[24:40]
    SMALL(x)
    for start in range(0, 49):
        out = memory[start : start + 16]
        overlaps = abs(start - 24) < 16
        found = outcome(SMALL, x, out=out)
        assert (found[1] == "overlap") == overlaps, start
        if overlaps:
            SMALL(x)  # the refused call took the slot


def test_references_are_balanced() -> None:
    x, out = np.ones(16, np.float32), np.empty(16, np.float32)
    SMALL(x)
    gather = programs.executable(programs.gather())
    table, wrong = np.ones(10, np.float32), np.array([0, 0, 0, 99])
    watched = (x, out, table, wrong, fastcall.DECLINED, fastcall.FAULTED, np.dtype(np.float32), None)

    def work() -> None:
        for _ in range(200):
            SMALL(x)
            SMALL(x, out=out)
            outcome(SMALL, x, out=x)
            outcome(gather, table, wrong)

    work()
    gc.collect()
    before = [sys.getrefcount(item) for item in watched]
    work()
    gc.collect()
    after = [sys.getrefcount(item) for item in watched]
    assert all(abs(a - b) < 100 for a, b in zip(after, before)), (before, after)


def test_executables_are_freed_at_once() -> None:
    executable = programs.executable(programs.affine())
    executable(np.ones((3, 16), np.float32))
    gone = weakref.ref(executable)
    gc.disable()
    try:
        del executable
        assert gone() is None
    finally:
        gc.enable()

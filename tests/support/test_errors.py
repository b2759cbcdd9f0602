"""The error classes: text, codes, pickling."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from rlx_runtime import errors
from rlx_runtime.errors import Error, Location, ShapeError

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Error)]


def test_text() -> None:
    assert str(ShapeError("too long")) == "too long"
    error = ShapeError("too long", location=Location("m.mlir", 3, 7), hint="at most 512")
    assert str(error) == "m.mlir:3:7: too long\nhint: at most 512"
    assert str(ShapeError("too long", location="input 'x'")) == "input 'x': too long"
    assert str(Location("layer 3", 0, 0)) == "layer 3"


def test_codes() -> None:
    assert ShapeError("x").code == "shape"
    assert ShapeError("x", code="guard").code == "guard"
    assert len({cls.default_code for cls in CLASSES}) == len(CLASSES) == 11


@pytest.mark.parametrize("cls", CLASSES)
def test_pickle(cls: type[Error]) -> None:
    error = cls("wrong", code="c", location=Location("f", 1, 2, "text"), hint="h")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert vars(again) == vars(error)
    assert str(again) == str(error)


def test_module_is_a_leaf() -> None:
    code = "import sys; old = set(sys.modules); import rlx_runtime.errors; print([m for m in set(sys.modules) - old if 'rlx' in m or 'xdsl' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert sorted(eval(done.stdout)) == ["rlx_runtime", "rlx_runtime.errors"]

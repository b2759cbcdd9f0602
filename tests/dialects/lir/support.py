"""What the tests of LIR share: reading files and texts, random arrays, comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from rlx_dialects.lir import ProgramOp, programs
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from rlx_passes.support.verify import verify_module

Array = np.ndarray[Any, Any]
HERE = Path(__file__).resolve().parent


def parse(text: str, name: str = "<test>") -> ModuleOp:
    """A verified module of LIR text."""
    module = parse_module(make_context(), text, name)
    verify_module(module)
    return module


def load(name: str) -> ModuleOp:
    return parse((HERE / name).read_text(encoding="utf-8"), name)


def program(module: ModuleOp, name: str = "main") -> ProgramOp:
    return next(op for op in programs(module) if op.sym_name.data == name)


def random(rng: np.random.Generator, *shape: int, dtype: Any = np.float32) -> Array:
    """Normal numbers without any near zero."""
    values = rng.standard_normal(shape)
    return (values + np.copysign(0.05, values)).astype(dtype)


def close(actual: Array, expected: Array, tolerance: float) -> None:
    """Largest error relative to 1 + |expected|, and never a NaN."""
    actual = np.asarray(actual, np.float64)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    error = np.abs(actual - expected) / (1 + np.abs(expected))
    assert error.max(initial=0) <= tolerance, f"error {error.max()} above {tolerance}"

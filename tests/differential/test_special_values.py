"""Elementwise ops of target "cpu" on infinities, NaN, zeros, denormals, and where functions saturate or overflow.

Results agree with the NumPy semantics in the declared type or, where those round on the way, with float64 to 8 units in the last
place of the largest operand or result, and to 1000 of the smallest denormal. Signs of zeros are not compared: NumPy leaves open which zero is larger.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import rlx
from rlx_backends.numpy.hir_executor import execute

UNARY = (
    "neg", "abs", "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tan", "arctan", "tanh", "erf", "sigmoid", "relu", "gelu",
    "gelu_tanh", "silu", "floor", "ceil", "round",
)  # fmt: skip
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "power")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
VALUES = (
    np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, -7.0, 20.0, -20.0, 88.0, -88.0, 100.0, -104.0,
    1e-3, 1e-20, -1e-20, 1e-40, -1e-40, 1e10, -1e10, 3e38, -3e38, 16777217.0, 0.49999997, 1e5, -3e4, 710.0, -745.0,
)  # fmt: skip
DTYPES: dict[str, Any] = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


def check(found: Any, declared: Any, exact: Any, scale: Any, places: Any, what: str) -> None:
    kind = ml_dtypes.finfo(declared.dtype)
    # Processors that convert to bf16 make denormals zero.
    tiny = float(kind.smallest_normal if declared.dtype == ml_dtypes.bfloat16 else 1000 * kind.smallest_subnormal)
    with np.errstate(all="ignore"):
        a, b, c = (np.asarray(array, np.float64) for array in (found, declared, exact))
        rounded = np.asarray(exact).astype(declared.dtype).astype(np.float64)
        close = np.abs(a - c) <= 8 * float(kind.eps) * np.fmax(np.abs(c), scale) + tiny
        right = (a == b) | (a == rounded) | (np.isnan(a) & (np.isnan(b) | np.isnan(rounded))) | close
    wrong = [f"{places[i]}: {found[i]}, not {declared[i]} or {exact[i]}" for i in np.flatnonzero(~right)]
    assert not wrong, f"{what}: {wrong}"


@pytest.mark.parametrize("cpu", ["", "x86-64-v3"], ids=["host", "v3"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_unary(dtype: str, cpu: str) -> None:
    with np.errstate(over="ignore"):
        values = np.array(VALUES).astype(DTYPES[dtype])
    b = rlx.ModelBuilder("unary")
    x = b.input("x", (len(values),), dtype)
    for name in UNARY:
        b.output(name, getattr(b, name)(x))
    model = b.build()
    found = rlx.compile(model, "cpu", rlx.Options(cpu=cpu)).run({"x": values})
    declared, exact = (execute(model.module, {"x": values}, exact=exact).outputs for exact in (False, True))
    for name in UNARY:
        # Activations are differences of numbers as large as their operand.
        scale = np.abs(np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)) * name.startswith("gelu") / 8
        check(found[name], declared[name], exact[name], scale, values, f"{name} {dtype}")


@pytest.mark.parametrize("cpu", ["", "x86-64-v3"], ids=["host", "v3"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_binary(dtype: str, cpu: str) -> None:
    with np.errstate(over="ignore"):
        p, q = (axis.ravel() for axis in np.meshgrid(np.array(VALUES).astype(DTYPES[dtype]), VALUES))
        q = q.astype(DTYPES[dtype])
    b = rlx.ModelBuilder("binary")
    x, y = b.input("x", (len(p),), dtype), b.input("y", (len(p),), dtype)
    for name in BINARY:
        b.output(name, getattr(b, name)(x, y))
    for name in COMPARISONS:
        b.output(name, b.compare(x, y, name))
    model = b.build()
    found = rlx.compile(model, "cpu", rlx.Options(cpu=cpu)).run({"x": p, "y": q})
    declared, exact = (execute(model.module, {"x": p, "y": q}, exact=exact).outputs for exact in (False, True))
    places = list(zip(p, q))
    for name in BINARY:
        check(found[name], declared[name], exact[name], 0.0, places, f"{name} {dtype}")
    for name in COMPARISONS:
        np.testing.assert_array_equal(found[name], declared[name], err_msg=f"{name} {dtype}")

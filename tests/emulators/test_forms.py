"""One kernel for each form and a few dtypes, as the text that LLVM writes for the device, against the NumPy executor in float64."""

from __future__ import annotations

import pytest

from tests.backends.gpu.forms import program, random
from tests.backends.gpu.test_contract import GENERAL, TILED, linear, linear_arrays
from tests.emulators.llvm_harness import ARCHITECTURES, run_form

TARGETS = list(ARCHITECTURES)
TOLERANCE = {"f32": 2e-6, "f16": 1e-3, "bf16": 8e-3, "f64": 1e-12, "i32": 0, "i8": 0, "i64": 0}
FLOATS = ["f32", "f16", "bf16"]

MAP = """
  %x = lir.input @x : !lir.buffer<B x N x {t}>
  %g = lir.input @g : !lir.buffer<N x {t}>
  %y = lir.output @y : !lir.buffer<B x N x {t}>
  lir.map (i : B, j : N) ins(%x[i, j], %g[j]) outs(%y[i, j]) {{
  ^bb0(%a: {t}, %b: {t}):
    {body}
    lir.yield %r : {t}
  }} : !lir.buffer<B x N x {t}>, !lir.buffer<N x {t}>, !lir.buffer<B x N x {t}>"""
DIMS = {"B": "[0, 64]", "N": "[0, 512]"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", ["tanh", "exp", "erf", "sqrt"])
def test_map_of_floats(target: str, dtype: str, function: str) -> None:
    body = f"%m = arith.mulf %a, %b : {dtype}\n%s = math.absf %m : {dtype}\n%r = math.{function} %s : {dtype}"
    source = program(DIMS, MAP.format(t=dtype, body=body))
    for rows, columns in ((1, 1), (3, 17), (5, 0), (7, 200)):
        arrays = {"x": random((rows, columns), dtype), "g": random((columns,), dtype, 1)}
        run_form(source, arrays, {"B": rows, "N": columns}, target=target, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["i8", "i32", "i64"])
def test_map_of_integers(target: str, dtype: str) -> None:
    body = f"%m = arith.muli %a, %b : {dtype}\n%s = arith.maxsi %m, %a : {dtype}\n%r = arith.divsi %s, %b : {dtype}"
    source = program(DIMS, MAP.format(t=dtype, body=body))
    for rows, columns in ((3, 17), (7, 200)):
        arrays = {"x": random((rows, columns), dtype), "g": random((columns,), dtype, 1)}
        run_form(source, arrays, {"B": rows, "N": columns}, target=target, rtol=0)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("schedule", [None, GENERAL, TILED])
@pytest.mark.parametrize(("m", "k", "n"), [(1, 40, 72), (17, 33, 65), (70, 64, 64)])
def test_contract(target: str, schedule: str | None, m: int, k: int, n: int) -> None:
    run_form(linear(k, n), linear_arrays(m, k, n), {"M": m}, target=target, schedule=schedule)

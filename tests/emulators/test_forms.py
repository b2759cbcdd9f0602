"""One kernel for each form and a few dtypes, as the text that LLVM writes for the device, against the NumPy executor in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.gpu import test_attention as attention
from tests.backends.gpu import test_contract_matrix as matrix
from tests.backends.gpu.forms import program, random
from tests.backends.gpu.row_forms import layer_norm, softmax
from tests.backends.gpu.test_contract import GENERAL, TILED, linear, linear_arrays
from tests.backends.gpu.test_scan import scan
from tests.backends.gpu.test_scatter import SCATTER
from tests.backends.gpu.test_sort import rows as rows_to_sort
from tests.backends.gpu.test_sort import sort
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


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_contract_by_matrix_instructions(target: str, dtype: str) -> None:
    source = matrix.linear(40, 72, dtype, "k, n", "f32", True)
    run_form(source, matrix.arrays(35, 40, 72, dtype, "k, n"), {"M": 35}, target=target, rtol=4e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("order", ["i, j", "j, i"])
def test_softmax(target: str, order: str) -> None:
    shape = "B x N" if order == "i, j" else "N x B"
    source = program({"B": "[1, 64]", "N": "[1, 1024]"}, softmax(shape, order, "i : B | j : N"))
    for size in (1, 17, 200):
        x = random((5, size) if order == "i, j" else (size, 5))
        run_form(source, {"x": x}, {"B": 5, "N": size}, target=target, rtol=5e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", [17, 384])
def test_layer_norm(target: str, size: int) -> None:
    source = program({"B": "[1, 64]"}, layer_norm(f"B x {size}", str(size), f"{size}.0"))
    run_form(source, {"x": random((5, size)), "g": random((size,), seed=1)}, {"B": 5}, target=target, rtol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_attention(target: str, dtype: str) -> None:
    source = attention.attention(2, 1, 32, 32, dtype=dtype)
    for q, k in ((1, 33), (17, 40)):
        given = attention.arrays(1, q, k, 2, 1, 32, 32, dtype=dtype)
        run_form(source, given, {"B": 1, "Q": q, "K": k}, target=target, rtol=1e-5 if dtype == "f32" else 2e-2)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["f32", "i64"])
def test_scan(target: str, dtype: str) -> None:
    source = program({"B": "[0, 128]", "T": "[0, 512]"}, scan("i, t", "B x T", "B", dtype=dtype))
    given = {"x": random((5, 17), dtype), "c": random((5,), dtype, 1), "y": random((5, 17), dtype, 2)}
    run_form(source, given, {"B": 5, "T": 17}, target=target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("dtype", "limit"), [("f32", "N"), ("i32", "5")])
def test_sort(target: str, dtype: str, limit: str) -> None:
    source = sort("descending", dtype, limit, n="[5, 2048]")
    run_form(source, rows_to_sort(3, 33, dtype), {"B": 3, "N": 33}, target=target, rtol=0)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("column", ["j", "19 - j"])
def test_scatter(target: str, column: str) -> None:
    source = program({"N": "[0, 99]"}, SCATTER.format(combine="add", dtype="f32", column=column, oob="drop"))
    given = {"u": random((17, 20)), "i": np.random.default_rng(4).integers(-1, 12, 17), "y": random((11, 20), seed=1)}
    run_form(source, given, {"N": 17}, target=target, rtol=1e-5)

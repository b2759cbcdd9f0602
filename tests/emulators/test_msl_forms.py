"""LIR programs on the way of target metal, through the Metal Shading Language and clang, against the NumPy executor in float64.

One kernel or more for each form, in f32, f16 and bf16, at odd sizes; and the cases of the launch simulator's tests that the two
have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.backends.cpu.schedules import test_sequential_cases as sequential
from tests.backends.gpu import test_attention as attention
from tests.backends.gpu.row_forms import each, fold
from tests.emulators.msl_harness import needs_clang, run_form, status_of

pytestmark = needs_clang

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
TOLERANCE = {"f32": 2e-6, "f16": 1e-3, "bf16": 8e-3}
"""Of the largest result: one rounding of the narrow types."""
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def random(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Non-zero floats."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], shape) * rng.uniform(0.25, 2, shape)).astype(DTYPES[dtype])


# -- map

MAP = """
lir.program @main attributes {{rlx.dims = [#rlx.dim<B in [0, 64]>, #rlx.dim<N in [0, 512]>]}} {{
  %x = lir.input @x : !lir.buffer<B x N x {t}>
  %g = lir.input @g : !lir.buffer<N x {t}>
  %y = lir.output @y : !lir.buffer<B x N x {t}>
  lir.map (i : B, j : N) ins(%x[i, j], %g[j]) outs(%y[i, j]) {{
  ^bb0(%a: {t}, %b: {t}):
    %m = arith.mulf %a, %b : {t}
    %e = math.tanh %m : {t}
    lir.yield %e : {t}
  }} : !lir.buffer<B x N x {t}>, !lir.buffer<N x {t}>, !lir.buffer<B x N x {t}>
}}
"""
STATIC_MAP = MAP.replace("B x N", "B x 40").replace("<N x", "<40 x").replace("j : N", "j : 40").replace(", #rlx.dim<N in [0, 512]>", "")


@dtypes
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 17), (5, 0), (7, 200)])
def test_map(dtype: str, rows: int, columns: int) -> None:
    arrays = {"x": random((rows, columns), dtype), "g": random((columns,), dtype, 1)}
    run_form(MAP.format(t=dtype), arrays, {"B": rows, "N": columns}, rtol=TOLERANCE[dtype])


@dtypes
@pytest.mark.parametrize("rows", [1, 17])
def test_map_by_vectors(dtype: str, rows: int) -> None:
    arrays = {"x": random((rows, 40), dtype), "g": random((40,), dtype, 1)}
    run_form(STATIC_MAP.format(t=dtype), arrays, {"B": rows}, rtol=TOLERANCE[dtype])


GATHER = """
lir.program @main attributes {{rlx.dims = [#rlx.dim<B in [1, 64]>]}} {{
  %id = lir.input @id : !lir.buffer<B x i64>
  %t = lir.param @t : !lir.buffer<9 x 37 x {t}>
  %y = lir.output @y : !lir.buffer<B x 37 x {t}>
  lir.map (i : B, j : 37) ins(%id[i], %t) outs(%y[i, j]) {{
  ^bb0(%at: i64, %table: !lir.buffer<9 x 37 x {t}>):
    %j = lir.index j
    %r = lir.read %table[%at, %j] oob(error) : !lir.buffer<9 x 37 x {t}>, i64, index
    lir.yield %r : {t}
  }} : !lir.buffer<B x i64>, !lir.buffer<9 x 37 x {t}>, !lir.buffer<B x 37 x {t}>
}}
"""


# -- reduce


def softmax(dtype: str, shape: str) -> str:
    """Softmax over j, in f32."""
    return f"""
lir.program @main attributes {{rlx.dims = [#rlx.dim<B in [0, 64]>, #rlx.dim<N in [1, 512]>]}} {{
  %x = lir.input @x : !lir.buffer<B x {shape} x {dtype}>
  %y = lir.output @y : !lir.buffer<B x {shape} x {dtype}>
  lir.reduce (i : B | j : {shape}) ins(%x[i, j]) outs(%y[i, j]) {{
  ^bb0(%r: !lir.row<{dtype}>):
    %w = {widened(dtype)}
    %top = {fold("maximumf", "%w", "-3.0e38")}
    %e = {each("%d = arith.subf %a, %top : f32" + chr(10) + "%t = math.exp %d : f32", "%w")}
    %s = {fold("addf", "%e")}
    %o = {each("%t = arith.divf %a, %s : f32", "%e")}
    %n = {narrowed(dtype)}
    lir.yield %n : !lir.row<{dtype}>
  }} : !lir.buffer<B x {shape} x {dtype}>, !lir.buffer<B x {shape} x {dtype}>
}}"""


def widened(dtype: str) -> str:
    step = "%t = arith.extf %a : " + dtype + " to f32" if dtype != "f32" else "%t = arith.addf %a, %a : f32"
    return f"lir.each(%r) {{\n^bb0(%a: {dtype}):\n{step}\nlir.yield %t : f32\n}} : (!lir.row<{dtype}>) -> !lir.row<f32>"


def narrowed(dtype: str) -> str:
    step = "%t = arith.truncf %a : f32 to " + dtype if dtype != "f32" else "%t = arith.addf %a, %a : f32"
    return f"lir.each(%o) {{\n^bb0(%a: f32):\n{step}\nlir.yield %t : {dtype}\n}} : (!lir.row<f32>) -> !lir.row<{dtype}>"


@dtypes
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 17), (9, 130)])
def test_softmax_of_any_rows(dtype: str, rows: int, columns: int) -> None:
    run_form(softmax(dtype, "N"), {"x": random((rows, columns), dtype)}, {"B": rows, "N": columns}, rtol=TOLERANCE[dtype])


@dtypes
@pytest.mark.parametrize("columns", [3, 64, 300])
def test_softmax_of_known_rows(dtype: str, columns: int) -> None:
    run_form(softmax(dtype, str(columns)), {"x": random((5, columns), dtype)}, {"B": 5, "N": 1}, rtol=TOLERANCE[dtype])


# -- contract


def linear(dtype: str, k: int, n: int) -> str:
    given = "%a" if dtype == "f32" else "%p"
    other = "%b" if dtype == "f32" else "%q"
    widen = "" if dtype == "f32" else f"%p = arith.extf %a : {dtype} to f32\n    %q = arith.extf %b : {dtype} to f32"
    bias = "%c" if dtype == "f32" else "%d"
    wide = "" if dtype == "f32" else f"%d = arith.extf %c : {dtype} to f32"
    result, narrow = ("%r", "") if dtype == "f32" else ("%z", f"%z = arith.truncf %r : f32 to {dtype}")
    return f"""
lir.program @main attributes {{rlx.dims = [#rlx.dim<M in [0, 128]>]}} {{
  %x = lir.input @x : !lir.buffer<M x {k} x {dtype}>
  %w = lir.param @w : !lir.buffer<{k} x {n} x {dtype}>
  %e = lir.param @e : !lir.buffer<{n} x {dtype}>
  %y = lir.output @y : !lir.buffer<M x {n} x {dtype}>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %w[k, n]) extra(%e[n]) outs(%y[m, n]) {{
  ^bb0(%a: {dtype}, %b: {dtype}):
    {widen}
    lir.product ({given}, {other}) : f32
  }} epilogue {{
  ^bb0(%s: f32, %c: {dtype}):
    {wide}
    %r = arith.addf %s, {bias} : f32
    {narrow}
    lir.yield {result} : {dtype}
  }} : !lir.buffer<M x {k} x {dtype}>, !lir.buffer<{k} x {n} x {dtype}>, !lir.buffer<{n} x {dtype}>, !lir.buffer<M x {n} x {dtype}>
}}"""


@dtypes
@pytest.mark.parametrize(("m", "k", "n"), [(1, 7, 17), (3, 64, 48), (19, 33, 70), (66, 40, 72)])
def test_linear(dtype: str, m: int, k: int, n: int) -> None:
    arrays = {"x": random((m, k), dtype), "w": random((k, n), dtype, 1), "e": random((n,), dtype, 2)}
    run_form(linear(dtype, k, n), arrays, {"M": m}, rtol=TOLERANCE[dtype])


# -- attention


@dtypes
@pytest.mark.parametrize(("q", "k"), [(1, 1), (3, 17), (20, 70)])
@pytest.mark.parametrize("queries", ["[0, 1024]", "[1, 1]"])
def test_attention(dtype: str, q: int, k: int, queries: str) -> None:
    q = 1 if queries == "[1, 1]" else q
    text = attention.attention(4, 2, 32, 32, dtype=dtype, queries=queries)
    arrays = attention.arrays(1, q, k, 4, 2, 32, 32, dtype=dtype)
    run_form(text, arrays, {"B": 1, "Q": q, "K": k}, rtol=max(1e-5, TOLERANCE[dtype]))


# -- scan, sort, scatter


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's cases of these forms, here."""

    def check(text: str, arrays: dict[str, Any], dims: dict[str, int], *, rtol: float = 2e-6, kinds: object = None, **_: object) -> None:
        run_form(text, arrays, dims, rtol=rtol)

    monkeypatch.setattr(sequential, "check", check)


SEQUENTIAL: list[tuple[Callable[..., None], dict[str, Any]]] = [
    (sequential.test_scan_along_either_axis, {"size": 17}),
    (sequential.test_scan_with_two_carries_and_bounds, {}),
    (sequential.test_sort_of_every_kind_of_key, {"order": "ascending", "element": "bf16", "dtype": "bf16"}),
    (sequential.test_sort_of_every_kind_of_key, {"order": "descending", "element": "f16", "dtype": "f16"}),
    (sequential.test_sort_of_every_kind_of_key, {"order": "descending", "element": "i64", "dtype": "i64"}),
    (sequential.test_sort_of_every_kind_of_key, {"order": "ascending", "element": "i1", "dtype": "bool"}),
    (sequential.test_a_comparator_decides, {"limit": "N"}),
    (sequential.test_scatter_of_rows, {"combine": "add", "columns": 3}),
    (sequential.test_scatter_of_rows, {"combine": "max", "columns": 70}),
    (sequential.test_scatter_dtypes, {"element": "bf16", "dtype": "bf16", "combine": "add"}),
    (sequential.test_scatter_dtypes, {"element": "ui8", "dtype": "u8", "combine": "set"}),
]


@pytest.mark.usefixtures("cases")
@pytest.mark.parametrize(("case", "arguments"), SEQUENTIAL, ids=lambda v: v.__name__[5:] if callable(v) else "-".join(map(str, v.values())))
def test_sequential_forms(case: Callable[..., None], arguments: dict[str, Any]) -> None:
    case(**arguments)


SCAN = """
lir.program @main attributes {{rlx.dims = [#rlx.dim<B in [0, 64]>, #rlx.dim<N in [0, 512]>]}} {{
  %x = lir.input @x : !lir.buffer<B x N x {t}>
  %c = lir.input @c : !lir.buffer<B x f32>
  %y = lir.output @y : !lir.buffer<B x N x {t}>
  %f = lir.output @f : !lir.buffer<B x f32>
  lir.scan (i : B | t : N) ins(%x[i, t]) extra(%c[i]) outs(%y[i, t], %f[i]) {{
  ^bb0(%carry: f32, %e: {t}):
    %half = arith.constant 0.5 : f32
    %w = {widen}
    %d = arith.mulf %carry, %half : f32
    %n = arith.addf %d, %w : f32
    %o = {narrow}
    lir.yield %n, %o : f32, {t}
  }} : !lir.buffer<B x N x {t}>, !lir.buffer<B x f32>, !lir.buffer<B x N x {t}>, !lir.buffer<B x f32>
}}
"""


@dtypes
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 17), (70, 40)])
def test_scan(dtype: str, rows: int, columns: int) -> None:
    same = "arith.addf {0}, {0} : f32"
    widen = same.format("%e") if dtype == "f32" else f"arith.extf %e : {dtype} to f32"
    narrow = same.format("%n") if dtype == "f32" else f"arith.truncf %n : f32 to {dtype}"
    arrays = {"x": random((rows, columns), dtype), "c": random((rows,), "f32", 1)}
    text = SCAN.format(t=dtype, widen=widen, narrow=narrow)
    run_form(text, arrays, {"B": rows, "N": columns}, rtol=TOLERANCE[dtype])


# -- faults


def test_an_index_out_of_range_is_a_fault_of_the_call() -> None:
    arrays = {"id": np.array([3, 9, 0], np.int64), "t": random((9, 37), "f32")}
    code, _, *details = status_of(GATHER.format(t="f32"), arrays, {"B": 3})
    assert (code, details[1:3]) == (1, [9, 9])  # the index and the extent


@dtypes
def test_rows_of_a_table(dtype: str) -> None:
    arrays = {"id": np.array([3, 8, 0, 3, 5], np.int64), "t": random((9, 37), dtype)}
    run_form(GATHER.format(t=dtype), arrays, {"B": 5}, rtol=0)

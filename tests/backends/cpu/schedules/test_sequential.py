"""Scan, sort and scatter on the CPU against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.cpu.schedules.forms import ITEM, NativeRun, check
from tests.backends.cpu.schedules.test_map import program, random


@pytest.mark.parametrize("size", [0, 1, 7, 63])
@pytest.mark.parametrize("order", ["i, t", "t, i"])
def test_scan_along_either_axis(size: int, order: str) -> None:
    shape = "B x T" if order == "i, t" else "T x B"
    text = program(
        {"B": "[0, 64]", "T": "[0, 512]"},
        f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %c = lir.input @c : !lir.buffer<B x f32>
  %y = lir.output @y : !lir.buffer<{shape} x f32>
  %f = lir.output @f : !lir.buffer<B x f32>
  lir.scan (i : B | t : T) ins(%x[{order}]) extra(%c[i]) outs(%y[{order}], %f[i]) {{
  ^bb0(%carry: f32, %e: f32):
    %h = arith.constant 0.5 : f32
    %s = arith.mulf %carry, %h : f32
    %n = arith.addf %s, %e : f32
    lir.yield %n, %n : f32, f32
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<B x f32>, !lir.buffer<{shape} x f32>, !lir.buffer<B x f32>""",
    )
    for rows in (1, 21):
        x = random((rows, size) if order == "i, t" else (size, rows))
        check(text, {"x": x, "c": random((rows,), seed=1)}, {"B": rows, "T": size})


def sort(order: str, dtype: str, limit: str, comparator: str = "") -> str:
    return program(
        {"B": "[0, 64]", "N": "[1, 512]"},
        f"""
  %x = lir.input @x : !lir.buffer<B x N x {dtype}>
  %z = lir.input @z : !lir.buffer<N x i64>
  %v = lir.output @v : !lir.buffer<B x {limit} x {dtype}>
  %w = lir.output @w : !lir.buffer<B x {limit} x i64>
  %p = lir.output @p : !lir.buffer<B x {limit} x i64>
  lir.sort (i : B | j : N | t : {limit}) ins(%x[i, j], %z[j]) outs(%v[i, t], %w[i, t], %p[i, t]) params {{order = "{order}"}}{comparator}
    : !lir.buffer<B x N x {dtype}>, !lir.buffer<N x i64>, !lir.buffer<B x {limit} x {dtype}>, !lir.buffer<B x {limit} x i64>, !lir.buffer<B x {limit} x i64>""",
    )


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("limit", ["N", "1", "5"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "i32", "u8"])
def test_sort_is_stable_and_puts_nan_last(order: str, limit: str, dtype: str) -> None:
    text = sort(order, dtype.replace("u", "ui"), limit)
    for size in (5, 17, 64) if limit == "5" else (1, 3, 17, 64):
        x = random((3, size), dtype)
        x = np.round(x.astype(np.float64) * 2).astype(x.dtype)
        if dtype == "f32":
            x[0, ::4], x[1, :] = np.nan, 1.0
        check(text, {"x": x, "z": np.arange(size)[::-1].copy()}, {"B": 3, "N": size}, rtol=0)


def test_sort_by_a_comparator() -> None:
    comparator = """ comparator {
  ^bb0(%a: f32, %b: f32):
    %c = math.absf %a : f32
    %d = math.absf %b : f32
    %r = arith.cmpf ogt, %c, %d : f32
    lir.yield %r : i1
  }"""
    for limit in ("N", "2"):
        check(sort("opaque", "f32", limit, comparator), {"x": random((4, 19)), "z": np.arange(19)}, {"B": 4, "N": 19}, rtol=0)


SCATTER = """
  %u = lir.input @u : !lir.buffer<N x 20 x {dtype}>
  %i = lir.input @i : !lir.buffer<N x i64>
  %y = lir.state @y : !lir.buffer<11 x 20 x {dtype}>
  lir.scatter (n : N, j : 20) ins(%u[n, j], %i[n]) outs(%y) params {{combine = "{combine}", oob = "{oob}"}} {{
  ^bb0(%v: {dtype}, %id: i64):
    %j = lir.index {column}
    %c = arith.index_cast %j : index to i64
    lir.yield %id, %c, %v : i64, i64, {dtype}
  }} : !lir.buffer<N x 20 x {dtype}>, !lir.buffer<N x i64>, !lir.buffer<11 x 20 x {dtype}>"""


@pytest.mark.parametrize("combine", ["add", "max", "min", "set"])
@pytest.mark.parametrize("dtype", ["f32", "i32"])
@pytest.mark.parametrize("column", ["j", "19 - j"])
def test_scatter_combines_in_order(combine: str, dtype: str, column: str) -> None:
    text = program({"N": "[0, 99]"}, SCATTER.format(combine=combine, dtype=dtype, column=column, oob="drop"))
    for n in (0, 1, 40):
        ids = np.random.default_rng(n).integers(-1, 12, n)
        check(text, {"u": random((n, 20), dtype), "i": ids, "y": random((11, 20), dtype, 1)}, {"N": n})


def test_scatter_reports_a_bad_index() -> None:
    text = program({"N": "[0, 99]"}, SCATTER.format(combine="add", dtype="f32", column="j", oob="error"))
    native = NativeRun(text, {"u": random((4, 20)), "i": np.array([1, 11, 2, 2]), "y": random((11, 20))}, {"N": 4})
    native.run(2)
    assert list(native.status[:5]) == [1, ITEM, 2, 11, 11]


def test_scatter_to_one_number() -> None:
    text = program(
        {"N": "[0, 99]"},
        """
  %u = lir.input @u : !lir.buffer<N x f32>
  %y = lir.state @y : !lir.buffer<f32>
  lir.scatter (n : N) ins(%u[n]) outs(%y) params {combine = "add", oob = "error"} {
  ^bb0(%v: f32):
    lir.yield %v : f32
  } : !lir.buffer<N x f32>, !lir.buffer<f32>""",
    )
    check(text, {"u": random((13,)), "y": random(())}, {"N": 13}, rtol=1e-5)

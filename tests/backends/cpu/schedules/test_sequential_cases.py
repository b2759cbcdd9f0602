"""Scans, sorts and scatters on the CPU against NumPy: order, stability, equal destinations, faults, one and two threads."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.cpu.schedules.forms import ITEM, NativeRun, check
from tests.backends.cpu.schedules.test_reduce_mir import random

SIZES = (0, 1, 17, 200)


def program(body: str, dims: str = "") -> str:
    return f"lir.program @main attributes {{rlx.dims = [{dims}]}} {{\n{body}\n}}"


# -- scan


def scan(place: str, shape: str, result: str = "i, t") -> str:
    """A decaying sum with its last value; `place` is how x lies."""
    return program(
        f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %c = lir.input @c : !lir.buffer<B x f32>
  %y = lir.output @y : !lir.buffer<{shape} x f32>
  %f = lir.output @f : !lir.buffer<B x f32>
  lir.scan (i : B | t : N) ins(%x[{place}], %c[i]) extra(%c[i]) outs(%y[{place}], %f[i]) {{
  ^bb0(%carry: f32, %e: f32, %first: f32):
    %half = arith.constant 0.5 : f32
    %d = arith.mulf %carry, %half : f32
    %n = arith.addf %d, %e : f32
    %o = arith.subf %n, %first : f32
    lir.yield %n, %o : f32, f32
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<B x f32>, !lir.buffer<B x f32>, !lir.buffer<{shape} x f32>, !lir.buffer<B x f32>""",
        "#rlx.dim<B in [0, 512]>, #rlx.dim<N in [0, 512]>",
    )


@pytest.mark.parametrize("size", SIZES)
def test_scan_along_either_axis(size: int) -> None:
    for rows in (1, 5, 70):
        for place, shape in (("i, t", (rows, size)), ("t, i", (size, rows)), ("N - t - 1, i", (size, rows))):
            text = scan(place, "B x N" if place == "i, t" else "N x B")
            check(text, {"x": random(shape), "c": random((rows,), seed=1)}, {"B": rows, "N": size}, kinds=["steps"])


def test_scan_with_two_carries_and_bounds() -> None:
    """Row i stops after i + 1 steps: what it carries then stays."""
    text = program("""
  %x = lir.input @x : !lir.buffer<9 x 9 x i64>
  %c = lir.input @c : !lir.buffer<9 x i64>
  %f = lir.output @f : !lir.buffer<9 x i64>
  %g = lir.output @g : !lir.buffer<9 x i64>
  lir.scan (i : 9 | t : 9 in [0, i + 1)) ins(%x[i, t]) extra(%c[i], %c[i]) outs(%f[i], %g[i]) {
  ^bb0(%a: i64, %b: i64, %e: i64):
    %t = lir.index t
    %u = arith.index_cast %t : index to i64
    %n = arith.addi %b, %e : i64
    %m = arith.addi %n, %u : i64
    lir.yield %b, %m : i64, i64
  } : !lir.buffer<9 x 9 x i64>, !lir.buffer<9 x i64>, !lir.buffer<9 x i64>, !lir.buffer<9 x i64>, !lir.buffer<9 x i64>""")
    check(text, {"x": random((9, 9), "i64"), "c": random((9,), "i64", 1)}, {})


# -- sort


def sort(element: str, order: str, limit: str = "N", comparator: str = "") -> str:
    return program(
        f"""
  %x = lir.input @x : !lir.buffer<B x N x {element}>
  %w = lir.input @w : !lir.buffer<N x B x f32>
  %v = lir.output @v : !lir.buffer<B x {limit} x {element}>
  %u = lir.output @u : !lir.buffer<B x {limit} x f32>
  %p = lir.output @p : !lir.buffer<B x {limit} x i64>
  lir.sort (i : B | j : N | t : {limit}) ins(%x[i, j], %w[j, i]) outs(%v[i, t], %u[i, t], %p[i, t]) params {{order = "{order}"}} {comparator}
    : !lir.buffer<B x N x {element}>, !lir.buffer<N x B x f32>, !lir.buffer<B x {limit} x {element}>, !lir.buffer<B x {limit} x f32>, !lir.buffer<B x {limit} x i64>""",
        "#rlx.dim<B in [0, 64]>, #rlx.dim<N in [0, 512]>",
    )


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("size", SIZES)
def test_sort_is_stable_with_nan_last(order: str, size: int) -> None:
    """Many equal keys, zeros of either sign, infinities and NaN."""
    for rows in (1, 5):
        x = np.round(random((rows, size)) * 3)
        x[:, ::7], x[:, 3::11] = np.nan, -np.inf
        x[:, 2::5] = np.copysign(0, x[:, 2::5])
        native = NativeRun(sort("f32", order), {"x": x, "w": random((size, rows))}, {"B": rows, "N": size})
        places = np.argsort(-x if order == "descending" else x, axis=1, kind="stable")
        for threads in (1, 2):
            found = native.run(threads)
            np.testing.assert_array_equal(found["p"], places)
            np.testing.assert_array_equal(found["v"], np.take_along_axis(x, places, axis=1))
        assert native.kinds == ["merge"]


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize(
    ("element", "dtype"), [("f64", "f64"), ("bf16", "bf16"), ("f16", "f16"), ("i64", "i64"), ("ui8", "u8"), ("i1", "bool")]
)
def test_sort_of_every_kind_of_key(order: str, element: str, dtype: str) -> None:
    x = random((3, 40), "u8") % 2 == 0 if dtype == "bool" else random((3, 40), dtype)
    arrays = {"x": x, "w": random((40, 3))}
    check(sort(element, order), arrays, {"B": 3, "N": 40}, rtol=0)
    check(sort(element, order, "5"), arrays, {"B": 3, "N": 40}, rtol=0, kinds=["select"])


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize(("limit", "size"), [(1, 1), (1, 50), (5, 5), (5, 200), (50, 400)])
def test_the_first_few_in_order(order: str, limit: int, size: int) -> None:
    x = np.round(random((4, size)) * 3)
    x[:, ::9] = np.nan
    native = NativeRun(sort("f32", order, str(limit)), {"x": x, "w": random((size, 4))}, {"B": 4, "N": size})
    places = np.argsort(-x if order == "descending" else x, axis=1, kind="stable")[:, :limit]
    for threads in (1, 2):
        np.testing.assert_array_equal(native.run(threads)["p"], places)
    assert native.kinds == ["select"]


@pytest.mark.parametrize("limit", ["N", "7"])
def test_a_comparator_decides(limit: str) -> None:
    """Ascending by absolute value, with equal ones in their order."""
    comparator = """comparator {
  ^bb0(%a: f32, %b: f32):
    %m = math.absf %a : f32
    %n = math.absf %b : f32
    %c = arith.cmpf olt, %m, %n : f32
    lir.yield %c : i1
  }"""
    x = np.round(random((3, 33)) * 3)
    check(sort("f32", "opaque", limit, comparator), {"x": x, "w": random((33, 3))}, {"B": 3, "N": 33}, rtol=0)


# -- scatter


def scatter(combine: str, element: str, columns: int, oob: str = "error") -> str:
    """Rows of u to the rows of y that `id` names."""
    scalar = element.replace("ui", "i")
    return program(
        f"""
  %u = lir.input @u : !lir.buffer<N x {columns} x {element}>
  %id = lir.input @id : !lir.buffer<N x i32>
  %y = lir.state @y : !lir.buffer<20 x {columns} x {element}>
  lir.scatter (n : N, j : {columns}) ins(%u[n, j], %id[n]) outs(%y) params {{combine = "{combine}", oob = "{oob}"}} {{
  ^bb0(%v: {scalar}, %i: i32):
    %j = lir.index j
    %c = arith.index_cast %j : index to i64
    lir.yield %i, %c, %v : i32, i64, {scalar}
  }} : !lir.buffer<N x {columns} x {element}>, !lir.buffer<N x i32>, !lir.buffer<20 x {columns} x {element}>""",
        "#rlx.dim<N in [0, 512]>",
    )


@pytest.mark.parametrize("combine", ["add", "max", "min", "set"])
@pytest.mark.parametrize("columns", [1, 3, 70])
def test_scatter_of_rows(combine: str, columns: int) -> None:
    for count in (0, 1, 100):
        ids = np.random.default_rng(3).integers(0, 20, count).astype(np.int32)
        arrays = {"u": random((count, columns)), "id": ids, "y": random((20, columns), seed=2)}
        check(scatter(combine, "f32", columns), arrays, {"N": count}, kinds=["columns" if columns > 1 else "destinations"])


@pytest.mark.parametrize(("element", "dtype"), [("f64", "f64"), ("bf16", "bf16"), ("i64", "i64"), ("ui8", "u8"), ("i16", "i16")])
@pytest.mark.parametrize("combine", ["max", "set", "add"])
def test_scatter_dtypes(element: str, dtype: str, combine: str) -> None:
    ids = np.random.default_rng(3).integers(0, 20, 30).astype(np.int32)
    arrays = {"u": random((30, 37), dtype), "id": ids, "y": random((20, 37), dtype, 2)}
    check(scatter(combine, element, 37), arrays, {"N": 30}, rtol=4e-2 if dtype == "bf16" else 2e-6)


def test_scatter_outside_is_dropped_or_reported() -> None:
    ids = np.array([3, -1, 20, 3], np.int32)
    arrays = {"u": random((4, 7)), "id": ids, "y": random((20, 7), seed=2)}
    check(scatter("add", "f32", 7, "drop"), arrays, {"N": 4})
    native = NativeRun(scatter("add", "f32", 7), arrays, {"N": 4})
    native.run(1)
    assert list(native.status[:5]) == [1, ITEM, 2, -1, 20]


@pytest.mark.parametrize("combine", ["add", "set"])
def test_scatter_to_computed_places_in_order(combine: str) -> None:
    """Every index comes from data: each thread takes the destinations of its share."""
    text = program(
        f"""
  %u = lir.input @u : !lir.buffer<N x 6 x f32>
  %a = lir.input @a : !lir.buffer<N x i64>
  %b = lir.input @b : !lir.buffer<N x 6 x i64>
  %y = lir.state @y : !lir.buffer<4 x 5 x f32>
  lir.scatter (n : N, k : 6) ins(%u[n, k], %a[n], %b[n, k]) outs(%y) params {{combine = "{combine}", oob = "drop"}} {{
  ^bb0(%v: f32, %i: i64, %j: i64):
    lir.yield %i, %j, %v : i64, i64, f32
  }} : !lir.buffer<N x 6 x f32>, !lir.buffer<N x i64>, !lir.buffer<N x 6 x i64>, !lir.buffer<4 x 5 x f32>""",
        "#rlx.dim<N in [0, 512]>",
    )
    rng = np.random.default_rng(5)
    arrays = {"u": random((40, 6)), "a": rng.integers(0, 4, 40), "b": rng.integers(-1, 6, (40, 6)), "y": random((4, 5), seed=2)}
    check(text, arrays, {"N": 40}, kinds=["destinations"])

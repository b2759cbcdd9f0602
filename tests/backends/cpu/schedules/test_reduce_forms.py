"""Reduces written as forms: tuple folds, reads, guards, bounds, memory shared with an operand, older CPUs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.backends.cpu.harness import targets
from tests.backends.cpu.schedules.forms import ITEM, NativeRun, check
from tests.backends.cpu.schedules.test_reduce_mir import random

CASES = Path(__file__).parents[3] / "dialects" / "lir"
ADD = """{
  ^bb0(%acc: f32, %e: f32):
    %n = arith.addf %acc, %e : f32
    lir.yield %n : f32
  } combine {
  ^bb0(%a: f32, %b: f32):
    %n = arith.addf %a, %b : f32
    lir.yield %n : f32
  } : (!lir.row<f32>) -> f32"""
ARGMAX = """
    %p = lir.each(%r) {
    ^bb0(%e: f32):
      %i = lir.index j
      %c = arith.index_cast %i : index to i64
      lir.yield %c : i64
    } : (!lir.row<f32>) -> !lir.row<i64>
    %v, %w = lir.fold(%r, %p) init [0xff800000 : f32, 9223372036854775807 : i64] {
    ^bb0(%best: f32, %place: i64, %e: f32, %i: i64):
      %better = arith.cmpf ogt, %e, %best : f32
      %v1 = arith.select %better, %e, %best : f32
      %i1 = arith.select %better, %i, %place : i64
      lir.yield %v1, %i1 : f32, i64
    } combine {
    ^bb0(%va: f32, %ia: i64, %vb: f32, %ib: i64):
      %more = arith.cmpf ogt, %va, %vb : f32
      %same = arith.cmpf oeq, %va, %vb : f32
      %first = arith.cmpi slt, %ia, %ib : i64
      %tie = arith.andi %same, %first : i1
      %left = arith.ori %more, %tie : i1
      %v2 = arith.select %left, %va, %vb : f32
      %i2 = arith.select %left, %ia, %ib : i64
      lir.yield %v2, %i2 : f32, i64
    } : (!lir.row<f32>, !lir.row<i64>) -> f32, i64
    lir.yield %v, %w : f32, i64"""


def program(body: str, dims: str = "") -> str:
    return f"lir.program @main attributes {{rlx.dims = [{dims}]}} {{\n{body}\n}}"


@pytest.mark.parametrize("rows", [1, 5])
def test_residual_layer_norm_by_welford(rows: int) -> None:
    text = (CASES / "case_a_residual_layernorm.mlir").read_text()
    for size in (37, 700):
        arrays = {"x": random((1, rows, size)), "res": random((1, rows, size), seed=1), "g": random((size,), seed=2)}
        check(text.replace("37", str(size)), arrays | {"b": random((size,), seed=3)}, {"B": 1, "S": rows})


@pytest.mark.parametrize(
    ("shape", "kind"), [((4, 1), "columns"), ((3, 63), "registers"), ((3, 1000), "rows"), ((0, 7), "columns")]
)
def test_argmax_takes_the_first_of_equals(shape: tuple[int, int], kind: str) -> None:
    rows, size = shape
    text = program(f"""
  %x = lir.input @x : !lir.buffer<{rows} x {size} x f32>
  %m = lir.output @m : !lir.buffer<{rows} x f32>
  %at = lir.output @at : !lir.buffer<{rows} x i64>
  lir.reduce (i : {rows} | j : {size}) ins(%x[i, j]) outs(%m[i], %at[i]) {{
  ^bb0(%r: !lir.row<f32>):{ARGMAX}
  }} : !lir.buffer<{rows} x {size} x f32>, !lir.buffer<{rows} x f32>, !lir.buffer<{rows} x i64>""")
    x = np.round(random(shape) * 4)
    native = NativeRun(text, {"x": x}, {})
    for threads in (1, 2):
        found = native.run(threads)
        np.testing.assert_array_equal(found["m"], x.max(axis=1))
        np.testing.assert_array_equal(found["at"], x.argmax(axis=1))
    assert native.kinds == [kind]


def test_argmax_along_the_first_axis() -> None:
    text = program(
        f"""
  %x = lir.input @x : !lir.buffer<N x 45 x f32>
  %m = lir.output @m : !lir.buffer<45 x f32>
  %at = lir.output @at : !lir.buffer<45 x i64>
  lir.reduce (i : 45 | j : N) ins(%x[j, i]) outs(%m[i], %at[i]) {{
  ^bb0(%r: !lir.row<f32>):{ARGMAX}
  }} : !lir.buffer<N x 45 x f32>, !lir.buffer<45 x f32>, !lir.buffer<45 x i64>""",
        "#rlx.dim<N in [1, 99]>",
    )
    x = np.round(random((23, 45)) * 4)
    native = NativeRun(text, {"x": x}, {"N": 23})
    found = native.run(2)
    np.testing.assert_array_equal(found["at"], x.argmax(axis=0))
    assert native.kinds == ["columns"]


@pytest.mark.parametrize("size", [9, 130])
def test_embedding_in_a_norm_reads_the_row_of_each_index(size: int) -> None:
    """The index is checked once for a row; scalars per row are operands, constants and results."""
    text = program(
        f"""
  %ids = lir.input @ids : !lir.buffer<N x i64>
  %bias = lir.input @bias : !lir.buffer<N x f32>
  %table = lir.input @table : !lir.buffer<20 x {size} x f32>
  %y = lir.output @y : !lir.buffer<N x {size} x f32>
  %s = lir.output @s : !lir.buffer<N x f32>
  lir.reduce (i : N | j : {size}) ins(%table, %ids[i], %bias[i], %y0[j]) outs(%y[i, j], %s[i]) {{
  ^bb0(%t: !lir.buffer<20 x {size} x f32>, %id: i64, %shift: f32, %z: !lir.row<f32>):
    %h = lir.each(%z) {{
    ^bb0(%e: f32):
      %c = lir.index j
      %v = lir.read %t[%id, %c] oob(error) : !lir.buffer<20 x {size} x f32>, i64, index
      %w = arith.addf %v, %shift : f32
      %u = arith.addf %w, %e : f32
      lir.yield %u : f32
    }} : (!lir.row<f32>) -> !lir.row<f32>
    %sum = lir.fold(%h) init [0.0 : f32] {ADD}
    %n = lir.index N + 1
    %ni = arith.index_cast %n : index to i64
    %nf = arith.sitofp %ni : i64 to f32
    %mean = arith.divf %sum, %nf : f32
    %o = lir.each(%h) {{
    ^bb0(%e: f32):
      %d = arith.subf %e, %mean : f32
      lir.yield %d : f32
    }} : (!lir.row<f32>) -> !lir.row<f32>
    lir.yield %o, %mean : !lir.row<f32>, f32
  }} : !lir.buffer<20 x {size} x f32>, !lir.buffer<N x i64>, !lir.buffer<N x f32>, !lir.buffer<{size} x f32>, !lir.buffer<N x {size} x f32>, !lir.buffer<N x f32>""".replace(
            "%y = lir.output", f"%y0 = lir.input @y0 : !lir.buffer<{size} x f32>\n  %y = lir.output"
        ),
        "#rlx.dim<N in [1, 99]>",
    )
    ids = np.array([3, 0, 19, 7, 7])
    arrays = {"ids": ids, "bias": random((5,)), "table": random((20, size), seed=1), "y0": random((size,), seed=2)}
    native = check(text, arrays, {"N": 5})
    assert native.status[0] == 0
    arrays["ids"] = np.array([3, 0, 20, 7, 7])
    native = NativeRun(text, arrays, {"N": 5})
    native.run(1)
    assert list(native.status[:5]) == [1, ITEM, 0, 20, 20]


@pytest.mark.parametrize("size", [24, 700])
def test_results_may_lie_where_operands_lie(size: int) -> None:
    """The sum goes where x was and the norm where the residual was: each element is read before it is written."""
    text = program(f"""
  %x = lir.state @x : !lir.buffer<3 x {size} x f32>
  %r = lir.state @r : !lir.buffer<3 x {size} x f32>
  lir.reduce (i : 3 | j : {size}) ins(%x[i, j], %r[i, j]) outs(%x[i, j], %r[i, j]) {{
  ^bb0(%xs: !lir.row<f32>, %rs: !lir.row<f32>):
    %h = lir.each(%xs) {{
    ^bb0(%a: f32):
      %t = arith.addf %a, %a : f32
      lir.yield %t : f32
    }} : (!lir.row<f32>) -> !lir.row<f32>
    %sum = lir.fold(%h) init [0.0 : f32] {ADD}
    %y = lir.each(%h, %rs) {{
    ^bb0(%a: f32, %b: f32):
      %s = arith.mulf %b, %sum : f32
      %t = arith.addf %a, %s : f32
      lir.yield %t : f32
    }} : (!lir.row<f32>, !lir.row<f32>) -> !lir.row<f32>
    lir.yield %h, %y : !lir.row<f32>, !lir.row<f32>
  }} : !lir.buffer<3 x {size} x f32>, !lir.buffer<3 x {size} x f32>, !lir.buffer<3 x {size} x f32>, !lir.buffer<3 x {size} x f32>""")
    swapped = text.replace("outs(%x[i, j], %r[i, j])", "outs(%r[i, j], %x[i, j])")
    x, r = random((3, size)), random((3, size), seed=1)
    h = 2 * x.astype(np.float64)
    y = h + r * h.sum(axis=1, keepdims=True)
    for each, wanted in ((text, {"x": h, "r": y}), (swapped, {"x": y, "r": h})):
        found = NativeRun(each, {"x": x, "r": r}, {}).run(2)
        for name, values in wanted.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("extent", ["40", "N"])
def test_bounds_and_guards(extent: str) -> None:
    """Row i visits j <= i only, and reads two to the left, where a fill stands before the start."""
    text = program(
        f"""
  %x = lir.input @x : !lir.buffer<{extent} x {extent} x f32>
  %y = lir.output @y : !lir.buffer<{extent} x f32>
  lir.reduce (i : {extent} | j : {extent} in [0, i + 1)) ins(%x[i, j - 2] else 0.5 : f32) outs(%y[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %s = lir.fold(%r) init [0.0 : f32] {ADD}
    lir.yield %s : f32
  }} : !lir.buffer<{extent} x {extent} x f32>, !lir.buffer<{extent} x f32>""",
        "#rlx.dim<N in [1, 99]>" if extent == "N" else "",
    )
    check(text, {"x": random((40, 40))}, {"N": 40} if extent == "N" else {})


@pytest.mark.parametrize("target", targets(), ids=lambda t: f"{t.vector_bits}")
@pytest.mark.parametrize("size", [17, 384, 1000])
def test_older_cpus(target, size: int) -> None:
    text = (CASES / "case_a_residual_layernorm.mlir").read_text().replace("37", str(size))
    arrays = {"x": random((1, 3, size)), "res": random((1, 3, size), seed=1), "g": random((size,)), "b": random((size,), seed=2)}
    check(text, arrays, {"B": 1, "S": 3}, target=target)


def test_lanes_may_be_all_rows_or_none() -> None:
    text = program(
        """
  %x = lir.input @x : !lir.buffer<1 x 1 x f32>
  %y = lir.output @y : !lir.buffer<1 x f32>
  lir.reduce (i : 1 | j : 1) ins(%x[i, j]) outs(%y[i]) {
  ^bb0(%r: !lir.row<f32>):
    %s = lir.fold(%r) init [0.0 : f32] """
        + ADD
        + """
    lir.yield %s : f32
  } : !lir.buffer<1 x 1 x f32>, !lir.buffer<1 x f32>"""
    )
    check(text, {"x": random((1, 1))}, {}, kinds=["columns"])

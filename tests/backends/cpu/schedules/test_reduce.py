"""Row-wise forms on the CPU against float64: folds, norms, softmax, argmax, axes that are not contiguous, in place."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.cpu.schedules.forms import check
from tests.backends.cpu.schedules.test_map import program, random

ADD = """lir.fold({row}) init [0.0 : f32] {{
    ^bb0(%fa: f32, %fe: f32):
      %fn = arith.addf %fa, %fe : f32
      lir.yield %fn : f32
    }} combine {{
    ^bb0(%fp: f32, %fq: f32):
      %fn = arith.addf %fp, %fq : f32
      lir.yield %fn : f32
    }} : (!lir.row<f32>) -> f32"""
MAX = ADD.replace("addf", "maximumf").replace("0.0", "-3.0e38")
SIZES = [0, 1, 3, 7, 17, 63, 64, 384]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", ["i, j", "j, i"])
def test_sum_and_max_over_either_axis(size: int, order: str) -> None:
    shape = "B x N" if order == "i, j" else "N x B"
    text = program(
        {"B": "[0, 64]", "N": "[0, 512]"},
        f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %s = lir.output @s : !lir.buffer<B x f32>
  %m = lir.output @m : !lir.buffer<B x f32>
  lir.reduce (i : B | j : N) ins(%x[{order}]) outs(%s[i], %m[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {ADD.format(row="%r")}
    %b = {MAX.format(row="%r")}
    lir.yield %a, %b : f32, f32
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<B x f32>, !lir.buffer<B x f32>""",
    )
    for rows in (1, 5, 35):
        x = random((rows, size) if order == "i, j" else (size, rows))
        check(text, {"x": x}, {"B": rows, "N": size}, kinds=["rows" if order == "i, j" else "columns"])


NORM = """
  %x = lir.{leaf} @x : !lir.buffer<B x {n} x f32>
  %g = lir.param @g : !lir.buffer<{n} x f32>
  {out}
  lir.reduce (i : B | j : {n}) ins(%x[i, j], %g[j]) outs(%{y}[i, j]) {{
  ^bb0(%r: !lir.row<f32>, %gr: !lir.row<f32>):
    %s = {add_r}
    %c = arith.constant {n}.0 : f32
    %mean = arith.divf %s, %c : f32
    %d = lir.each(%r) {{
    ^bb0(%a: f32):
      %t = arith.subf %a, %mean : f32
      lir.yield %t : f32
    }} : (!lir.row<f32>) -> !lir.row<f32>
    %sq = lir.each(%d) {{
    ^bb0(%a: f32):
      %t = arith.mulf %a, %a : f32
      lir.yield %t : f32
    }} : (!lir.row<f32>) -> !lir.row<f32>
    %v = {add_sq}
    %var = arith.divf %v, %c : f32
    %eps = arith.constant 1.0e-05 : f32
    %ve = arith.addf %var, %eps : f32
    %inv = math.rsqrt %ve : f32
    %y_ = lir.each(%d, %gr) {{
    ^bb0(%a: f32, %b: f32):
      %t = arith.mulf %a, %inv : f32
      %u = arith.mulf %t, %b : f32
      lir.yield %u : f32
    }} : (!lir.row<f32>, !lir.row<f32>) -> !lir.row<f32>
    lir.yield %y_ : !lir.row<f32>
  }} : !lir.buffer<B x {n} x f32>, !lir.buffer<{n} x f32>, !lir.buffer<B x {n} x f32>"""


@pytest.mark.parametrize("size", [1, 3, 7, 17, 63, 384])
@pytest.mark.parametrize("place", ["other", "same"])
def test_layer_norm(size: int, place: str) -> None:
    body = NORM.format(
        n=size,
        leaf="input" if place == "other" else "state",
        out=f"%y = lir.output @y : !lir.buffer<B x {size} x f32>" if place == "other" else "",
        y="y" if place == "other" else "x",
        add_r=ADD.format(row="%r"),
        add_sq=ADD.format(row="%sq"),
    )
    text = program({"B": "[1, 64]"}, body)
    check(text, {"x": random((5, size)), "g": random((size,), seed=1)}, {"B": 5}, rtol=1e-5 if size > 1 else 1)


@pytest.mark.parametrize("size", [1, 3, 17, 63, 200])
@pytest.mark.parametrize("order", ["i, j", "j, i"])
def test_softmax_keeps_its_exponentials(size: int, order: str) -> None:
    shape = "B x N" if order == "i, j" else "N x B"
    text = program(
        {"B": "[1, 64]", "N": "[1, 512]"},
        f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %y = lir.output @y : !lir.buffer<{shape} x f32>
  lir.reduce (i : B | j : N) ins(%x[{order}]) outs(%y[{order}]) {{
  ^bb0(%r: !lir.row<f32>):
    %top = {MAX.format(row="%r")}
    %e = lir.each(%r) {{
    ^bb0(%a: f32):
      %t = arith.subf %a, %top : f32
      %u = math.exp %t : f32
      lir.yield %u : f32
    }} : (!lir.row<f32>) -> !lir.row<f32>
    %s = {ADD.format(row="%e")}
    %o = lir.each(%e) {{
    ^bb0(%a: f32):
      %t = arith.divf %a, %s : f32
      lir.yield %t : f32
    }} : (!lir.row<f32>) -> !lir.row<f32>
    lir.yield %o : !lir.row<f32>
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<{shape} x f32>""",
    )
    x = random((5, size) if order == "i, j" else (size, 5))
    native = check(text, {"x": x}, {"B": 5, "N": size}, rtol=5e-6)
    assert native.ir.count("math.exp ") <= 2, "once, and once in the masked tail"


@pytest.mark.parametrize("size", [1, 3, 17, 63])
def test_argmax_folds_a_tuple(size: int) -> None:
    pick = """
      %c = arith.cmpf ogt, %e, %v : f32
      %v1 = arith.select %c, %e, %v : f32
      %i1 = arith.select %c, %k, %i : i64"""
    text = program(
        {"B": "[1, 64]", "N": "[1, 512]"},
        f"""
  %x = lir.input @x : !lir.buffer<B x N x f32>
  %y = lir.output @y : !lir.buffer<B x i64>
  lir.reduce (b : B | j : N) ins(%x[b, j]) outs(%y[b]) {{
  ^bb0(%r: !lir.row<f32>):
    %at = lir.each(%r) {{
    ^bb0(%a: f32):
      %p = lir.index j
      %q = arith.index_cast %p : index to i64
      lir.yield %q : i64
    }} : (!lir.row<f32>) -> !lir.row<i64>
    %best, %where = lir.fold(%r, %at) init [-3.0e38 : f32, 9223372036854775807 : i64] {{
    ^bb0(%v: f32, %i: i64, %e: f32, %k: i64):{pick}
      lir.yield %v1, %i1 : f32, i64
    }} combine {{
    ^bb0(%v: f32, %i: i64, %e: f32, %k: i64):
      %gt = arith.cmpf ogt, %e, %v : f32
      %eq = arith.cmpf oeq, %e, %v : f32
      %lo = arith.cmpi slt, %k, %i : i64
      %both = arith.andi %eq, %lo : i1
      %c = arith.ori %gt, %both : i1
      %v1 = arith.select %c, %e, %v : f32
      %i1 = arith.select %c, %k, %i : i64
      lir.yield %v1, %i1 : f32, i64
    }} : (!lir.row<f32>, !lir.row<i64>) -> f32, i64
    lir.yield %where : i64
  }} : !lir.buffer<B x N x f32>, !lir.buffer<B x i64>""",
    )
    x = np.round(random((6, size)) * 4).astype(np.float32)  # with equal values: the first one wins
    check(text, {"x": x}, {"B": 6, "N": size})


@pytest.mark.parametrize(("a", "c"), [(1, 1), (3, 7), (5, 17)])
@pytest.mark.parametrize("axes", ["i, j, k", "j, i, k", "k, i, j", "k, j, i"])
def test_two_axes(a: int, c: int, axes: str) -> None:
    sizes = {"i": a, "j": 6, "k": c}
    order = axes.split(", ")
    shape = " x ".join({"i": "A", "j": "6", "k": "C"}[n] for n in order)
    text = program(
        {"A": "[1, 64]", "C": "[1, 64]"},
        f"""
  %x = lir.input @x : !lir.buffer<{shape} x f32>
  %y = lir.output @y : !lir.buffer<A x f32>
  lir.reduce (i : A | j : 6, k : C) ins(%x[{axes}]) outs(%y[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {ADD.format(row="%r")}
    lir.yield %a : f32
  }} : !lir.buffer<{shape} x f32>, !lir.buffer<A x f32>""",
    )
    check(text, {"x": random(tuple(sizes[n] for n in order))}, {"A": a, "C": c})


def test_everything_to_one_number_and_bounds() -> None:
    text = program(
        {"N": "[1, 512]"},
        f"""
  %x = lir.input @x : !lir.buffer<N x N x f32>
  %y = lir.output @y : !lir.buffer<f32>
  %z = lir.output @z : !lir.buffer<N x f32>
  lir.reduce ( | i : N, j : N) ins(%x[i, j]) outs(%y[]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {ADD.format(row="%r")}
    lir.yield %a : f32
  }} : !lir.buffer<N x N x f32>, !lir.buffer<f32>
  lir.reduce (i : N | j : N in [0, i + 1)) ins(%x[i, j]) outs(%z[i]) {{
  ^bb0(%r: !lir.row<f32>):
    %a = {ADD.format(row="%r")}
    lir.yield %a : f32
  }} : !lir.buffer<N x N x f32>, !lir.buffer<N x f32>""",
    )
    for n in (1, 19, 70):
        check(text, {"x": random((n, n))}, {"N": n}, rtol=1e-4)


@pytest.mark.parametrize(("dtype", "op", "start"), [("i64", "addi", "0"), ("i32", "maxsi", "-2147483648"), ("i1", "ori", "0")])
def test_integers(dtype: str, op: str, start: str) -> None:
    name = "bool" if dtype == "i1" else dtype
    init = "false" if dtype == "i1" else f"{start} : {dtype}"
    text = program(
        {"B": "[1, 64]"},
        f"""
  %x = lir.input @x : !lir.buffer<B x 37 x {dtype}>
  %y = lir.output @y : !lir.buffer<B x {dtype}>
  lir.reduce (i : B | j : 37) ins(%x[i, j]) outs(%y[i]) {{
  ^bb0(%r: !lir.row<{dtype}>):
    %a = lir.fold(%r) init [{init}] {{
    ^bb0(%acc: {dtype}, %e: {dtype}):
      %n = arith.{op} %acc, %e : {dtype}
      lir.yield %n : {dtype}
    }} combine {{
    ^bb0(%p: {dtype}, %q: {dtype}):
      %n = arith.{op} %p, %q : {dtype}
      lir.yield %n : {dtype}
    }} : (!lir.row<{dtype}>) -> {dtype}
    lir.yield %a : {dtype}
  }} : !lir.buffer<B x 37 x {dtype}>, !lir.buffer<B x {dtype}>""",
    )
    check(text, {"x": random((5, 37), name)}, {"B": 5})

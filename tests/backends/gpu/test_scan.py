"""Scans on the GPU dialects: one recurrence for each thread."""

from __future__ import annotations

import pytest

from tests.backends.gpu.forms import program, random
from tests.backends.gpu.harness import run_everywhere


def scan(place: str, shape: str, extents: str, step: str = "t : T", dtype: str = "f32") -> str:
    add, mul, half = ("addf", "mulf", "0.5") if dtype == "f32" else ("addi", "muli", "3")
    return f"""
  %x = lir.input @x : !lir.buffer<{shape} x {dtype}>
  %c = lir.input @c : !lir.buffer<{extents} x {dtype}>
  %y = lir.state @y : !lir.buffer<{shape} x {dtype}>
  %f = lir.output @f : !lir.buffer<{extents} x {dtype}>
  lir.scan (i : {extents} | {step}) ins(%x[{place}]) extra(%c[i]) outs(%y[{place}], %f[i]) {{
  ^bb0(%carry: {dtype}, %e: {dtype}):
    %h = arith.constant {half} : {dtype}
    %s = arith.{mul} %carry, %h : {dtype}
    %n = arith.{add} %s, %e : {dtype}
    lir.yield %n, %n : {dtype}, {dtype}
  }} : !lir.buffer<{shape} x {dtype}>, !lir.buffer<{extents} x {dtype}>, !lir.buffer<{shape} x {dtype}>, !lir.buffer<{extents} x {dtype}>"""


@pytest.mark.parametrize("size", [0, 1, 3, 17, 200])
@pytest.mark.parametrize("place", ["i, t", "t, i", "T - t - 1, i"])
@pytest.mark.parametrize("dtype", ["f32", "i64"])
def test_scan_along_either_axis(size: int, place: str, dtype: str) -> None:
    shape = "B x T" if place == "i, t" else "T x B"
    text = program({"B": "[0, 128]", "T": "[0, 512]"}, scan(place, shape, "B", dtype=dtype))
    for rows in (0, 1, 5, 70):
        sizes = (rows, size) if place == "i, t" else (size, rows)
        arrays = {"x": random(sizes, dtype), "c": random((rows,), dtype, 1), "y": random(sizes, dtype, 2)}
        run_everywhere(text, arrays, {"B": rows, "T": size}, kinds=["steps"])


def test_bounds_and_runtime_dims() -> None:
    text = program({"B": "[0, 40] runtime", "T": "[1, 50]"}, scan("i, t", "40 x T", "B", "t : T in [0, min(i + 1, T))"))
    for rows, size in ((0, 3), (1, 1), (33, 50)):
        arrays = {"x": random((40, size)), "c": random((rows,)), "y": random((40, size), seed=1)}
        run_everywhere(text, arrays, {"B": rows, "T": size})


def test_several_carries_and_an_operand_of_the_row() -> None:
    text = program(
        {"B": "[1, 64]", "T": "[1, 512]"},
        """
  %x = lir.input @x : !lir.buffer<B x T x 3 x f32>
  %g = lir.input @g : !lir.buffer<3 x f32>
  %c = lir.input @c : !lir.buffer<B x 3 x f32>
  %d = lir.input @d : !lir.buffer<B x 3 x i32>
  %y = lir.output @y : !lir.buffer<B x T x 3 x f32>
  %f = lir.output @f : !lir.buffer<B x 3 x f32>
  %n = lir.output @n : !lir.buffer<B x 3 x i32>
  lir.scan (i : B, j : 3 | t : T) ins(%x[i, t, j], %g[j]) extra(%c[i, j], %d[i, j]) outs(%y[i, t, j], %f[i, j], %n[i, j]) {
  ^bb0(%carry: f32, %count: i32, %e: f32, %w: f32):
    %s = arith.mulf %carry, %w : f32
    %z = arith.subf %e, %s : f32
    %one = arith.constant 1 : i32
    %m = arith.addi %count, %one : i32
    lir.yield %z, %m, %s : f32, i32, f32
  } : !lir.buffer<B x T x 3 x f32>, !lir.buffer<3 x f32>, !lir.buffer<B x 3 x f32>, !lir.buffer<B x 3 x i32>, !lir.buffer<B x T x 3 x f32>, !lir.buffer<B x 3 x f32>, !lir.buffer<B x 3 x i32>""",
    )
    for rows, size in ((1, 1), (3, 17), (35, 33)):
        arrays = {"x": random((rows, size, 3)), "g": random((3,)) / 4, "c": random((rows, 3)), "d": random((rows, 3), "i32")}
        run_everywhere(text, arrays, {"B": rows, "T": size}, rtol=1e-5)


def test_without_parallel_dims() -> None:
    text = program(
        {"T": "[0, 99]"},
        """
  %x = lir.input @x : !lir.buffer<T x f32>
  %c = lir.input @c : !lir.buffer<f32>
  %f = lir.output @f : !lir.buffer<f32>
  lir.scan ( | t : T) ins(%x[t]) extra(%c[]) outs(%f[]) {
  ^bb0(%carry: f32, %e: f32):
    %n = arith.addf %carry, %e : f32
    lir.yield %n : f32
  } : !lir.buffer<T x f32>, !lir.buffer<f32>, !lir.buffer<f32>""",
    )
    for size in (0, 1, 33):
        run_everywhere(text, {"x": random((size,)), "c": random(())}, {"T": size}, rtol=1e-5)

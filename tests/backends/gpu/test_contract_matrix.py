"""Products by matrix instructions against float64: every dialect, odd sizes, both orders of a factor, ends, two accumulators."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.gpu.forms import program, random
from tests.backends.gpu.harness import TARGETS, compile_program, run_form
from tests.emulators.llvm_harness import run_form as run_ptx

SMALL = """#lir.schedule<"matrix" {tile = array<i64: 64, 64, 32>, grid = array<i64: 2, 2>, fragment = array<i64: 16, 8, 16>,
  slots = 3 : i64}>"""


def linear(k: int, n: int, dtype: str, order: str, result: str = "", widened: bool = False) -> str:
    """y = x · w + c + r; `order` is that of the weight."""
    weight = f"{k} x {n}" if order == "k, n" else f"{n} x {k}"
    result = result or dtype
    summed = "f32" if widened else dtype
    wide = f"""%p = arith.extf %a : {dtype} to f32
    %q = arith.extf %b : {dtype} to f32
    lir.product (%p, %q) : f32""" if widened else f"lir.product (%a, %b) : {dtype}"  # fmt: skip
    start = "%s0 = arith.negf %s : f32" if widened else f"%s1 = arith.extf %s : {dtype} to f32\n    %s0 = arith.negf %s1 : f32"
    narrow = f"%z = arith.truncf %v : f32 to {result}\n    lir.yield %z : {result}" if result != "f32" else "lir.yield %v : f32"
    return program(
        {"M": "[0, 4096]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x {dtype}>
  %w = lir.param @w : !lir.buffer<{weight} x {dtype}>
  %c = lir.param @c : !lir.buffer<{n} x f32>
  %y = lir.output @y : !lir.buffer<M x {n} x {result}>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %w[{order}]) extra(%c[n]) outs(%y[m, n]) {{
  ^bb0(%a: {dtype}, %b: {dtype}):
    {wide}
  }} epilogue {{
  ^bb0(%s: {summed}, %bias: f32):
    {start}
    %v = arith.addf %s0, %bias : f32
    {narrow}
  }} : !lir.buffer<M x {k} x {dtype}>, !lir.buffer<{weight} x {dtype}>, !lir.buffer<{n} x f32>, !lir.buffer<M x {n} x {result}>""",
    )


def arrays(m: int, k: int, n: int, dtype: str, order: str) -> dict[str, np.ndarray]:
    return {"x": random((m, k), dtype), "w": random((k, n) if order == "k, n" else (n, k), dtype, 1), "c": random((n,), seed=2)}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("order", ["k, n", "n, k"])
@pytest.mark.parametrize(("k", "n"), [(40, 72), (33, 17)])
def test_what_is_chosen_runs(target: str, order: str, k: int, n: int) -> None:
    """Vectors of eight and single elements; zeros behind the last depth."""
    dtype = "bf16" if n == 72 else "f16"
    text = linear(k, n, dtype, order, "f32", True)
    assert "matrix" in compile_program(text, target).kinds
    run_form(text, arrays(70, k, n, dtype, order), {"M": 70}, target=target, rtol=4e-6)


@pytest.mark.parametrize(("order", "k", "n"), [("k, n", 40, 72), ("n, k", 136, 33)])
def test_ptx(order: str, k: int, n: int) -> None:
    """mma.sync, ldmatrix and cp.async, interpreted; sums rounded to the operands' type before the end."""
    for m in (9, 70):
        given = arrays(m, k, n, "bf16", order)
        run_ptx(linear(k, n, "bf16", order), given, {"M": m}, schedule=SMALL, rtol=2**-7, serial=m == 9)


@pytest.mark.parametrize("target", TARGETS)
def test_batches_with_two_accumulators_and_a_prologue(target: str) -> None:
    """The left factor is negated on its way to shared memory, so that it passes registers."""
    k, n = 24, 40
    text = program(
        {"B": "[1, 4]", "M": "[16, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<B x M x {k} x f16>
  %u = lir.param @u : !lir.buffer<B x {k} x {n} x f16>
  %g = lir.param @g : !lir.buffer<B x {n} x {k} x f16>
  %y = lir.output @y : !lir.buffer<B x M x {n} x f32>
  lir.contract (b : B, m : M, n : {n} | k : {k}) ins(%x[b, m, k], %u[b, k, n], %g[b, n, k]) outs(%y[b, m, n]) {{
  ^bb0(%a: f16, %b: f16, %c: f16):
    %d = arith.negf %a : f16
    lir.product (%d, %b), (%d, %c) : f16
  }} epilogue {{
  ^bb0(%s: f16, %t: f16):
    %e = arith.extf %s : f16 to f32
    %f = arith.extf %t : f16 to f32
    %r = arith.subf %e, %f : f32
    lir.yield %r : f32
  }} : !lir.buffer<B x M x {k} x f16>, !lir.buffer<B x {k} x {n} x f16>, !lir.buffer<B x {n} x {k} x f16>, !lir.buffer<B x M x {n} x f32>""",
    )
    assert "matrix" in compile_program(text, target).kinds
    given = {"x": random((3, 17, k), "f16"), "u": random((3, k, n), "f16", 1), "g": random((3, n, k), "f16", 2)}
    run_form(text, given, {"B": 3, "M": 17}, target=target, rtol=2e-3)

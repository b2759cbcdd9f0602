"""Products on the CPU against float64: every schedule, odd sizes, epilogues, layouts, dtypes, convolution."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.cpu.schedules.forms import check
from tests.backends.cpu.schedules.test_map import program, random

PRODUCT = """{{
  ^bb0(%a: {t}, %b: {t}):
    lir.product (%a, %b) : {t}
  }} epilogue {{
  ^bb0(%s: {t}):
    lir.yield %s : {t}
  }}"""
F32 = PRODUCT.format(t="f32")


def linear(k: int, n: int, leaf: str = "param", order: str = "k, n") -> str:
    weight = f"{k} x {n}" if order == "k, n" else f"{n} x {k}"
    return program(
        {"M": "[0, 512]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x f32>
  %w = lir.{leaf} @w : !lir.buffer<{weight} x f32>
  %c = lir.param @c : !lir.buffer<{n} x f32>
  %r = lir.input @r : !lir.buffer<M x {n} x f32>
  %y = lir.output @y : !lir.buffer<M x {n} x f32>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %w[{order}]) extra(%c[n], %r[m, n]) outs(%y[m, n]) {{
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  }} epilogue {{
  ^bb0(%s: f32, %bias: f32, %res: f32):
    %u = arith.addf %s, %bias : f32
    %v = arith.addf %u, %res : f32
    lir.yield %v : f32
  }} : !lir.buffer<M x {k} x f32>, !lir.buffer<{weight} x f32>, !lir.buffer<{n} x f32>, !lir.buffer<M x {n} x f32>, !lir.buffer<M x {n} x f32>""",
    )


def linear_arrays(m: int, k: int, n: int, order: str = "k, n") -> dict[str, np.ndarray]:
    return {
        "x": random((m, k)),
        "w": random((k, n) if order == "k, n" else (n, k), seed=1),
        "c": random((n,), seed=2),
        "r": random((m, n), seed=3),
    }


@pytest.mark.parametrize("m", [0, 1, 2, 3, 4, 7, 17, 63])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (7, 17), (16, 32), (63, 65)])
def test_packed_and_skinny(m: int, k: int, n: int) -> None:
    order = "n, k" if m % 2 else "k, n"
    kinds = None if n == 1 else ["skinny" if m <= 4 else "packed"]
    check(linear(k, n, order=order), linear_arrays(m, k, n, order), {"M": m}, kinds=kinds)


@pytest.mark.parametrize("order", ["k, n", "n, k"])
@pytest.mark.parametrize("m", [1, 3, 17, 63])
@pytest.mark.parametrize(("k", "n"), [(1, 3), (17, 7), (33, 64)])
def test_plain(m: int, k: int, n: int, order: str) -> None:
    check(linear(k, n, "input", order), linear_arrays(m, k, n, order), {"M": m}, kinds=["plain"])


@pytest.mark.parametrize("m", [8, 12, 14, 26, 128])
def test_tile_heights_of_static_row_counts(m: int) -> None:
    text = linear(24, 40).replace("#rlx.dim<M in [0, 512]>", "").replace("M x", f"{m} x").replace("m : M", f"m : {m}")
    check(text, linear_arrays(m, 24, 40), {}, kinds=["packed"])


@pytest.mark.parametrize(("m", "h", "q", "k", "d"), [(1, 1, 1, 1, 1), (2, 3, 7, 17, 5), (2, 2, 17, 33, 16)])
@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
def test_batched_scores_and_values(m: int, h: int, q: int, k: int, d: int, layout: str) -> None:
    """Both products of an attention that was not fused: k·transposed, then row-major."""
    one = "b, {0}, h, {1}" if layout == "bshd" else "b, h, {0}, {1}"
    shape = "B x {0} x " + f"{h} x {d} x f32" if layout == "bshd" else f"B x {h} x " + "{0} x " + f"{d} x f32"
    qs, ks = shape.format("Q"), shape.format("K")
    text = program(
        {"B": "[1, 8]", "Q": "[1, 99]", "K": "[1, 99]"},
        f"""
  %q = lir.input @q : !lir.buffer<{qs}>
  %k = lir.input @k : !lir.buffer<{ks}>
  %p = lir.output @p : !lir.buffer<B x {h} x Q x K x f32>
  %o = lir.output @o : !lir.buffer<{qs}>
  lir.contract (b : B, h : {h}, i : Q, j : K | d : {d}) ins(%q[{one.format("i", "d")}], %k[{one.format("j", "d")}]) outs(%p[b, h, i, j]) {F32}
    : !lir.buffer<{qs}>, !lir.buffer<{ks}>, !lir.buffer<B x {h} x Q x K x f32>
  lir.contract (b : B, h : {h}, i : Q, e : {d} | j : K) ins(%p[b, h, i, j], %k[{one.format("j", "e")}]) outs(%o[{one.format("i", "e")}]) {F32}
    : !lir.buffer<B x {h} x Q x K x f32>, !lir.buffer<{ks}>, !lir.buffer<{qs}>""",
    )
    dims = {"B": m, "Q": q, "K": k}
    sizes = [(m, q, h, d), (m, k, h, d)] if layout == "bshd" else [(m, h, q, d), (m, h, k, d)]
    check(text, {"q": random(sizes[0]), "k": random(sizes[1], seed=1)}, dims, rtol=1e-5)


@pytest.mark.parametrize("m", [1, 5, 19])
def test_swiglu_has_two_accumulators(m: int) -> None:
    k, n = 20, 37
    text = program(
        {"M": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x f32>
  %u = lir.param @u : !lir.buffer<{k} x {n} x f32>
  %g = lir.param @g : !lir.buffer<{k} x {n} x f32>
  %y = lir.output @y : !lir.buffer<M x {n} x f32>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %u[k, n], %g[k, n]) outs(%y[m, n]) {{
  ^bb0(%a: f32, %b: f32, %c: f32):
    lir.product (%a, %b), (%a, %c) : f32
  }} epilogue {{
  ^bb0(%s: f32, %t: f32):
    %n = arith.negf %t : f32
    %e = math.exp %n : f32
    %one = arith.constant 1.0 : f32
    %d = arith.addf %e, %one : f32
    %i = arith.divf %t, %d : f32
    %r = arith.mulf %s, %i : f32
    lir.yield %r : f32
  }} : !lir.buffer<M x {k} x f32>, !lir.buffer<{k} x {n} x f32>, !lir.buffer<{k} x {n} x f32>, !lir.buffer<M x {n} x f32>""",
    )
    arrays = {"x": random((m, k)) / 4, "u": random((k, n), seed=1), "g": random((k, n), seed=2)}
    check(text, arrays, {"M": m}, rtol=5e-6)


@pytest.mark.parametrize("m", [1, 6, 17, 100])
@pytest.mark.parametrize("dtype", ["bf16", "f16"])
@pytest.mark.parametrize("leaf", ["param", "input"])
def test_half_precision_accumulates_in_f32(m: int, dtype: str, leaf: str) -> None:
    k, n = 37, 50
    text = program(
        {"M": "[1, 128]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x {dtype}>
  %w = lir.{leaf} @w : !lir.buffer<{k} x {n} x {dtype}>
  %y = lir.output @y : !lir.buffer<M x {n} x f32>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {{
  ^bb0(%a: {dtype}, %b: {dtype}):
    %p = arith.extf %a : {dtype} to f32
    %q = arith.extf %b : {dtype} to f32
    lir.product (%p, %q) : f32
  }} epilogue {{
  ^bb0(%s: f32):
    lir.yield %s : f32
  }} : !lir.buffer<M x {k} x {dtype}>, !lir.buffer<{k} x {n} x {dtype}>, !lir.buffer<M x {n} x f32>""",
    )
    check(text, {"x": random((m, k), dtype), "w": random((k, n), dtype, 1)}, {"M": m})


@pytest.mark.parametrize("dtype", ["i32", "i64", "f64"])
@pytest.mark.parametrize("m", [1, 11])
def test_other_types(dtype: str, m: int) -> None:
    k, n = 13, 21
    text = program(
        {"M": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x {dtype}>
  %w = lir.input @w : !lir.buffer<{k} x {n} x {dtype}>
  %y = lir.output @y : !lir.buffer<M x {n} x {dtype}>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {PRODUCT.format(t=dtype)}
    : !lir.buffer<M x {k} x {dtype}>, !lir.buffer<{k} x {n} x {dtype}>, !lir.buffer<M x {n} x {dtype}>""",
    )
    check(text, {"x": random((m, k), dtype), "w": random((k, n), dtype, 1)}, {"M": m}, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("channels", [1, 5, 16])
def test_convolution(size: int, channels: int) -> None:
    out = 11
    text = program(
        {"N": "[1, 4]", "H": "[1, 64]"},
        f"""
  %x = lir.input @x : !lir.buffer<N x {channels} x H x (H + 1) x f32>
  %w = lir.param @w : !lir.buffer<{out} x {channels} x 3 x 3 x f32>
  %b = lir.param @b : !lir.buffer<{out} x f32>
  %y = lir.output @y : !lir.buffer<N x {out} x H x (H + 1) x f32>
  lir.contract (n : N, o : {out}, p : H, q : H + 1 | c : {channels}, r : 3, s : 3)
      ins(%x[n, c, p + r - 1, q + s - 1] else 0.0 : f32, %w[o, c, r, s]) extra(%b[o]) outs(%y[n, o, p, q]) {{
  ^bb0(%a: f32, %v: f32):
    lir.product (%a, %v) : f32
  }} epilogue {{
  ^bb0(%s: f32, %bias: f32):
    %t = arith.addf %s, %bias : f32
    %z = arith.constant 0.0 : f32
    %u = arith.maximumf %t, %z : f32
    lir.yield %u : f32
  }} : !lir.buffer<N x {channels} x H x (H + 1) x f32>, !lir.buffer<{out} x {channels} x 3 x 3 x f32>, !lir.buffer<{out} x f32>,
    !lir.buffer<N x {out} x H x (H + 1) x f32>""",
    )
    arrays = {"x": random((2, channels, size, size + 1)), "w": random((out, channels, 3, 3), seed=1), "b": random((out,), seed=2)}
    check(text, arrays, {"N": 2, "H": size})


@pytest.mark.parametrize(("m", "k"), [(1, 1), (7, 17), (63, 40)])
def test_matrix_by_vector_row_dots_and_outer_product(m: int, k: int) -> None:
    text = program(
        {"M": "[1, 99]", "K": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x K x f32>
  %z = lir.input @z : !lir.buffer<M x K x f32>
  %v = lir.input @v : !lir.buffer<K x f32>
  %y = lir.output @y : !lir.buffer<M x f32>
  %d = lir.output @d : !lir.buffer<M x f32>
  %p = lir.output @p : !lir.buffer<f32>
  %t = lir.output @t : !lir.buffer<K x M x f32>
  lir.contract (m : M | k : K) ins(%x[m, k], %v[k]) outs(%y[m]) {F32} : !lir.buffer<M x K x f32>, !lir.buffer<K x f32>, !lir.buffer<M x f32>
  lir.contract (m : M | k : K) ins(%x[m, k], %z[m, k]) outs(%d[m]) {F32} : !lir.buffer<M x K x f32>, !lir.buffer<M x K x f32>, !lir.buffer<M x f32>
  lir.contract ( | k : K) ins(%v[k], %v[k]) outs(%p[]) {F32} : !lir.buffer<K x f32>, !lir.buffer<K x f32>, !lir.buffer<f32>
  lir.contract (i : K, j : M | ) ins(%v[i], %y[j]) outs(%t[i, j]) {F32} : !lir.buffer<K x f32>, !lir.buffer<M x f32>, !lir.buffer<K x M x f32>""",
    )
    arrays = {"x": random((m, k)), "z": random((m, k), seed=1), "v": random((k,), seed=2)}
    check(text, arrays, {"M": m, "K": k}, rtol=5e-6)


def test_weights_scaled_by_groups_are_dequantized() -> None:
    m, k, n = 9, 64, 20
    text = program(
        {"M": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x f32>
  %q = lir.param @q : !lir.buffer<{k} x {n} x i8>
  %sc = lir.param @sc : !lir.buffer<{k // 32} x {n} x f32>
  %y = lir.output @y : !lir.buffer<M x {n} x f32>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %q[k, n], %sc[k floordiv 32, n]) outs(%y[m, n]) {{
  ^bb0(%a: f32, %c: i8, %s: f32):
    %f = arith.sitofp %c : i8 to f32
    %w = arith.mulf %f, %s : f32
    lir.product (%a, %w) : f32
  }} epilogue {{
  ^bb0(%s: f32):
    lir.yield %s : f32
  }} : !lir.buffer<M x {k} x f32>, !lir.buffer<{k} x {n} x i8>, !lir.buffer<{k // 32} x {n} x f32>, !lir.buffer<M x {n} x f32>""",
    )
    for rows in (1, m):
        check(text, {"x": random((rows, k)), "q": random((k, n), "i8", 1), "sc": random((k // 32, n), seed=2)}, {"M": rows})


def test_several_dims_of_rows_columns_and_depth() -> None:
    """A projection of heads, read and written without reshapes."""
    text = program(
        {"B": "[1, 8]", "S": "[1, 99]"},
        """
  %x = lir.input @x : !lir.buffer<B x S x 2 x 12 x f32>
  %w = lir.param @w : !lir.buffer<24 x 33 x f32>
  %v = lir.param @v : !lir.buffer<33 x 3 x 11 x f32>
  %y = lir.output @y : !lir.buffer<B x S x 33 x f32>
  %z = lir.output @z : !lir.buffer<B x 3 x S x 11 x f32>
  lir.contract (b : B, s : S, n : 33 | h : 2, d : 12) ins(%x[b, s, h, d], %w[h * 12 + d, n]) outs(%y[b, s, n]) """
        + F32
        + """ : !lir.buffer<B x S x 2 x 12 x f32>, !lir.buffer<24 x 33 x f32>, !lir.buffer<B x S x 33 x f32>
  lir.contract (b : B, s : S, h : 3, d : 11 | k : 33) ins(%y[b, s, k], %v[k, h, d]) outs(%z[b, h, s, d]) """
        + F32
        + """ : !lir.buffer<B x S x 33 x f32>, !lir.buffer<33 x 3 x 11 x f32>, !lir.buffer<B x 3 x S x 11 x f32>""",
    )
    arrays = {"x": random((2, 7, 2, 12)), "w": random((24, 33), seed=1), "v": random((33, 3, 11), seed=2)}
    check(text, arrays, {"B": 2, "S": 7}, rtol=1e-5)


def test_in_place_residual() -> None:
    text = program(
        {"M": "[1, 99]"},
        """
  %x = lir.input @x : !lir.buffer<M x 16 x f32>
  %w = lir.param @w : !lir.buffer<16 x 40 x f32>
  %y = lir.state @y : !lir.buffer<M x 40 x f32>
  lir.contract (m : M, n : 40 | k : 16) ins(%x[m, k], %w[k, n]) extra(%y[m, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%s: f32, %r: f32):
    %t = arith.addf %s, %r : f32
    lir.yield %t : f32
  } : !lir.buffer<M x 16 x f32>, !lir.buffer<16 x 40 x f32>, !lir.buffer<M x 40 x f32>, !lir.buffer<M x 40 x f32>""",
    )
    for m in (3, 21):
        check(text, {"x": random((m, 16)), "w": random((16, 40), seed=1), "y": random((m, 40), seed=2)}, {"M": m})


@pytest.mark.parametrize("m", [1, 5, 70, 200])
def test_rows_a_power_of_two_apart_go_through_scratch(m: int) -> None:
    k, n = 1024, 40
    check(linear(k, n), linear_arrays(m, k, n), {"M": m}, rtol=1e-5)

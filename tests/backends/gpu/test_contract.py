"""Products on GPUs against float64: every schedule on every dialect, odd sizes, epilogues, dtypes, index maps, symbolic dims."""

from __future__ import annotations

import numpy as np
import pytest

from rlx_backends.gpu.target import GpuTarget
from rlx_backends.registry import backend
from rlx_dialects.gpu import KernelOp, architectures
from rlx_dialects.kernel import LoadOp
from rlx_dialects.kernel.types import shape_of
from rlx_dialects.lir import FormOp, programs
from rlx_dialects.rlx import facts_of
from tests.backends.gpu.forms import program, random
from tests.backends.gpu.harness import TARGETS, parse, run_everywhere, run_form
from tests.backends.gpu.test_attention import attention

BODY = """{{
  ^bb0(%a: {t}, %b: {t}):
    lir.product (%a, %b) : {t}
  }} epilogue {{
  ^bb0(%s: {t}):
    lir.yield %s : {t}
  }}"""
F32 = BODY.format(t="f32")
TILED = '#lir.schedule<"tiled" {tile = array<i64: 64, 64, 16>, thread = array<i64: 4, 4>}>'
LARGE = '#lir.schedule<"tiled" {tile = array<i64: 128, 128, 8>, thread = array<i64: 8, 8>}>'
SMALL = '#lir.schedule<"tiled" {tile = array<i64: 32, 32, 16>, thread = array<i64: 4, 4>}>'
GENERAL = '#lir.schedule<"general">'


def rows(count: int, along: str, lanes: int, span: int, threads: int = 256) -> str:
    numbers = f"rows = {count} : i64, lanes = {lanes} : i64, span = {span} : i64, threads = {threads} : i64"
    return f'#lir.schedule<"rows" {{{numbers}, along = "{along}"}}>'


def linear(k: int, n: int, order: str = "k, n") -> str:
    weight = f"{k} x {n}" if order == "k, n" else f"{n} x {k}"
    return program(
        {"M": "[0, 4096]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x f32>
  %w = lir.param @w : !lir.buffer<{weight} x f32>
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
  }} : !lir.buffer<M x {k} x f32>, !lir.buffer<{weight} x f32>, !lir.buffer<{n} x f32>, !lir.buffer<M x {n} x f32>,
    !lir.buffer<M x {n} x f32>""",
    )


def linear_arrays(m: int, k: int, n: int, order: str = "k, n") -> dict[str, np.ndarray]:
    return {
        "x": random((m, k)),
        "w": random((k, n) if order == "k, n" else (n, k), seed=1),
        "c": random((n,), seed=2),
        "r": random((m, n), seed=3),
    }


@pytest.mark.parametrize("order", ["k, n", "n, k"])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (7, 17), (16, 64), (33, 65)])
@pytest.mark.parametrize("schedule", [GENERAL, SMALL, TILED, LARGE])
def test_tiles_of_any_size(schedule: str, k: int, n: int, order: str) -> None:
    for m in (0, 1, 17, 65):
        run_form(linear(k, n, order), linear_arrays(m, k, n, order), {"M": m}, schedule=schedule)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("m", [1, 3, 8, 9, 70])
def test_what_is_chosen_runs(target: str, m: int) -> None:
    kinds = ["rows", "rows", "tiled"]
    run_form(linear(40, 72), linear_arrays(m, 40, 72), {"M": m}, target=target, kinds=kinds)
    run_form(linear(96, 33, "n, k"), linear_arrays(m, 96, 33, "n, k"), {"M": m}, target=target, kinds=kinds)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("along", "lanes", "order"), [("depth", 4, "n, k"), ("depth", 1, "k, n"), ("side", 4, "k, n"), ("side", 1, "n, k")]
)
@pytest.mark.parametrize("count", [1, 8])
def test_rows_by_either_axis(target: str, along: str, lanes: int, order: str, count: int) -> None:
    k, n = (52, 20) if lanes > 1 else (37, 19)
    span = {"depth": (64, 256), "side": (4, 32)}[along][count == 1]
    for m in (1, 5):
        schedule = rows(count, along, lanes, span)
        run_form(linear(k, n, order), linear_arrays(m, k, n, order), {"M": m}, target=target, schedule=schedule)


@pytest.mark.parametrize(("k", "n"), [(8, 20), (203, 36)])
@pytest.mark.parametrize("threads", [64, 512])
def test_rows_in_blocks_of_any_size(threads: int, k: int, n: int) -> None:
    """Depths in groups, with some left over, and threads that have none."""
    for m, count in ((1, 1), (13, 16)):
        run_form(linear(k, n), linear_arrays(m, k, n), {"M": m}, schedule=rows(count, "side", 4, 2, threads))


@pytest.mark.parametrize("schedule", [None, TILED, rows(8, "side", 1, 16), GENERAL])
def test_swiglu_has_two_accumulators(schedule: str | None) -> None:
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
    for m in (1, 7, 70):
        arrays = {"x": random((m, k)) / 4, "u": random((k, n), seed=1), "g": random((k, n), seed=2)}
        run_form(text, arrays, {"M": m}, schedule=schedule, rtol=5e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("dtype", "order"), [("bf16", "k, n"), ("f16", "n, k")])
def test_half_precision_accumulates_in_f32(target: str, dtype: str, order: str) -> None:
    k, n = 40, 48
    weight = f"{k} x {n}" if order == "k, n" else f"{n} x {k}"
    text = program(
        {"M": "[1, 128]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x {dtype}>
  %w = lir.param @w : !lir.buffer<{weight} x {dtype}>
  %y = lir.output @y : !lir.buffer<M x {n} x f32>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %w[{order}]) outs(%y[m, n]) {{
  ^bb0(%a: {dtype}, %b: {dtype}):
    %p = arith.extf %a : {dtype} to f32
    %q = arith.extf %b : {dtype} to f32
    lir.product (%p, %q) : f32
  }} epilogue {{
  ^bb0(%s: f32):
    lir.yield %s : f32
  }} : !lir.buffer<M x {k} x {dtype}>, !lir.buffer<{weight} x {dtype}>, !lir.buffer<M x {n} x f32>""",
    )
    for m in (1, 6, 65):
        shape = (k, n) if order == "k, n" else (n, k)
        run_form(text, {"x": random((m, k), dtype), "w": random(shape, dtype, 1)}, {"M": m}, target=target)


@pytest.mark.parametrize("schedule", [None, TILED, rows(8, "side", 1, 32), GENERAL])
def test_products_of_narrow_floats_are_summed_in_f32(schedule: str | None) -> None:
    k, n = 65, 17
    text = program(
        {"M": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x bf16>
  %w = lir.input @w : !lir.buffer<{k} x {n} x bf16>
  %y = lir.output @y : !lir.buffer<M x {n} x bf16>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {BODY.format(t="bf16")}
    : !lir.buffer<M x {k} x bf16>, !lir.buffer<{k} x {n} x bf16>, !lir.buffer<M x {n} x bf16>""",
    )
    for m in (3, 33):
        arrays = {"x": random((m, k), "bf16"), "w": random((k, n), "bf16", 1)}
        run_form(text, arrays, {"M": m}, schedule=schedule, rtol=2**-8)


@pytest.mark.parametrize("dtype", ["i32", "i64", "f64"])
@pytest.mark.parametrize("schedule", [None, TILED, rows(3, "side", 1, 32), rows(3, "depth", 1, 64), GENERAL])
def test_other_types(dtype: str, schedule: str | None) -> None:
    k, n = 13, 21
    text = program(
        {"M": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x {dtype}>
  %w = lir.input @w : !lir.buffer<{k} x {n} x {dtype}>
  %y = lir.output @y : !lir.buffer<M x {n} x {dtype}>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {BODY.format(t=dtype)}
    : !lir.buffer<M x {k} x {dtype}>, !lir.buffer<{k} x {n} x {dtype}>, !lir.buffer<M x {n} x {dtype}>""",
    )
    for m in (1, 11):
        for target in ("cuda", "rocm"):
            arrays = {"x": random((m, k), dtype), "w": random((k, n), dtype, 1)}
            run_form(text, arrays, {"M": m}, schedule=schedule, target=target, rtol=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_bytes_sum_to_i32(target: str) -> None:
    k, n = 48, 32
    text = program(
        {"M": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x {k} x i8>
  %w = lir.param @w : !lir.buffer<{n} x {k} x i8>
  %sc = lir.param @sc : !lir.buffer<{n} x f32>
  %y = lir.output @y : !lir.buffer<M x {n} x f32>
  lir.contract (m : M, n : {n} | k : {k}) ins(%x[m, k], %w[n, k]) extra(%sc[n]) outs(%y[m, n]) {{
  ^bb0(%a: i8, %b: i8):
    %p = arith.extsi %a : i8 to i32
    %q = arith.extsi %b : i8 to i32
    lir.product (%p, %q) : i32
  }} epilogue {{
  ^bb0(%s: i32, %scale: f32):
    %f = arith.sitofp %s : i32 to f32
    %r = arith.mulf %f, %scale : f32
    lir.yield %r : f32
  }} : !lir.buffer<M x {k} x i8>, !lir.buffer<{n} x {k} x i8>, !lir.buffer<{n} x f32>, !lir.buffer<M x {n} x f32>""",
    )
    for m in (1, 7, 40):
        arrays = {"x": random((m, k), "i8"), "w": random((n, k), "i8", 1), "sc": random((n,), seed=2)}
        run_form(text, arrays, {"M": m}, target=target)


@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
@pytest.mark.parametrize(("b", "h", "q", "k", "d"), [(1, 1, 1, 1, 1), (2, 3, 7, 17, 5), (1, 2, 33, 65, 16)])
def test_batched_scores_and_values(b: int, h: int, q: int, k: int, d: int, layout: str) -> None:
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
  lir.contract (b : B, h : {h}, i : Q, j : K | d : {d}) ins(%q[{one.format("i", "d")}], %k[{one.format("j", "d")}])
      outs(%p[b, h, i, j]) {F32} : !lir.buffer<{qs}>, !lir.buffer<{ks}>, !lir.buffer<B x {h} x Q x K x f32>
  lir.contract (b : B, h : {h}, i : Q, e : {d} | j : K) ins(%p[b, h, i, j], %k[{one.format("j", "e")}])
      outs(%o[{one.format("i", "e")}]) {F32} : !lir.buffer<B x {h} x Q x K x f32>, !lir.buffer<{ks}>, !lir.buffer<{qs}>""",
    )
    sizes = [(b, q, h, d), (b, k, h, d)] if layout == "bshd" else [(b, h, q, d), (b, h, k, d)]
    arrays = {"q": random(sizes[0]), "k": random(sizes[1], seed=1)}
    run_form(text, arrays, {"B": b, "Q": q, "K": k}, rtol=1e-5)


@pytest.mark.parametrize("schedule", [None, TILED, SMALL, rows(8, "side", 1, 16), rows(8, "depth", 1, 64)])
@pytest.mark.parametrize(("size", "channels"), [(1, 1), (3, 5), (8, 16)])
def test_convolution(size: int, channels: int, schedule: str | None) -> None:
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
    run_form(text, arrays, {"N": 2, "H": size}, schedule=schedule)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("m", "k"), [(1, 1), (7, 17), (65, 40), (40, 300)])
def test_matrix_by_vector_row_dots_and_outer_product(target: str, m: int, k: int) -> None:
    matrix, vector, column = "!lir.buffer<M x K x f32>", "!lir.buffer<K x f32>", "!lir.buffer<M x f32>"
    text = program(
        {"M": "[1, 999]", "K": "[1, 999]"},
        f"""
  %x = lir.input @x : {matrix}
  %z = lir.input @z : {matrix}
  %v = lir.input @v : {vector}
  %y = lir.output @y : {column}
  %d = lir.output @d : {column}
  %p = lir.output @p : !lir.buffer<f32>
  %t = lir.output @t : !lir.buffer<K x M x f32>
  lir.contract (m : M | k : K) ins(%x[m, k], %v[k]) outs(%y[m]) {F32} : {matrix}, {vector}, {column}
  lir.contract (m : M | k : K) ins(%x[m, k], %z[m, k]) outs(%d[m]) {F32} : {matrix}, {matrix}, {column}
  lir.contract ( | k : K) ins(%v[k], %v[k]) outs(%p[]) {F32} : {vector}, {vector}, !lir.buffer<f32>
  lir.contract (i : K, j : M | ) ins(%v[i], %y[j]) outs(%t[i, j]) {F32} : {vector}, {column}, !lir.buffer<K x M x f32>""",
    )
    arrays = {"x": random((m, k)), "z": random((m, k), seed=1), "v": random((k,), seed=2)}
    kinds = ["rows", "rows", "rows", "general"]
    run_form(text, arrays, {"M": m, "K": k}, target=target, kinds=kinds, rtol=5e-6)


@pytest.mark.parametrize("schedule", [None, TILED, rows(8, "side", 4, 8), rows(8, "depth", 4, 64), GENERAL])
def test_weights_scaled_by_groups_are_dequantized(schedule: str | None) -> None:
    k, n = 64, 20
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
    for m in (1, 9, 70):
        arrays = {"x": random((m, k)), "q": random((k, n), "i8", 1), "sc": random((k // 32, n), seed=2)}
        run_form(text, arrays, {"M": m}, schedule=schedule)


@pytest.mark.parametrize("schedule", [None, SMALL, rows(4, "side", 1, 32), GENERAL])
def test_rows_gathered_by_the_prologue(schedule: str | None) -> None:
    k, n = 24, 19
    table = f"!lir.buffer<11 x {k} x f32>"
    text = program(
        {"M": "[1, 99]"},
        f"""
  %t = lir.param @t : {table}
  %i = lir.input @i : !lir.buffer<M x i64>
  %w = lir.param @w : !lir.buffer<{k} x {n} x f32>
  %y = lir.output @y : !lir.buffer<M x {n} x f32>
  lir.contract (m : M, n : {n} | k : {k}) ins(%t, %i[m], %w[k, n]) outs(%y[m, n]) {{
  ^bb0(%table: {table}, %at: i64, %b: f32):
    %c = lir.index k
    %a = lir.read %table[%at, %c] oob(error) : {table}, i64, index
    lir.product (%a, %b) : f32
  }} epilogue {{
  ^bb0(%s: f32):
    lir.yield %s : f32
  }} : {table}, !lir.buffer<M x i64>, !lir.buffer<{k} x {n} x f32>, !lir.buffer<M x {n} x f32>""",
    )
    for m in (1, 13, 70):
        ids = np.random.default_rng(3).integers(0, 11, m)
        run_form(text, {"t": random((11, k)), "i": ids, "w": random((k, n), seed=1)}, {"M": m}, schedule=schedule)


@pytest.mark.parametrize("schedule", [None, TILED, rows(8, "side", 1, 32), rows(8, "depth", 1, 128), GENERAL])
def test_several_dims_of_rows_columns_and_depth(schedule: str | None) -> None:
    """Projections of heads, read and written without reshapes."""
    text = program(
        {"B": "[1, 8]", "S": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<B x S x 2 x 12 x f32>
  %w = lir.param @w : !lir.buffer<24 x 33 x f32>
  %v = lir.param @v : !lir.buffer<33 x 3 x 11 x f32>
  %y = lir.output @y : !lir.buffer<B x S x 33 x f32>
  %z = lir.output @z : !lir.buffer<B x 3 x S x 11 x f32>
  lir.contract (b : B, s : S, n : 33 | h : 2, d : 12) ins(%x[b, s, h, d], %w[h * 12 + d, n]) outs(%y[b, s, n]) {F32}
    : !lir.buffer<B x S x 2 x 12 x f32>, !lir.buffer<24 x 33 x f32>, !lir.buffer<B x S x 33 x f32>
  lir.contract (b : B, s : S, h : 3, d : 11 | k : 33) ins(%y[b, s, k], %v[k, h, d]) outs(%z[b, h, s, d]) {F32}
    : !lir.buffer<B x S x 33 x f32>, !lir.buffer<33 x 3 x 11 x f32>, !lir.buffer<B x 3 x S x 11 x f32>""",
    )
    for b, s in ((1, 1), (2, 17), (3, 33)):
        arrays = {"x": random((b, s, 2, 12)), "w": random((24, 33), seed=1), "v": random((33, 3, 11), seed=2)}
        run_form(text, arrays, {"B": b, "S": s}, schedule=schedule, rtol=1e-5)


@pytest.mark.parametrize("schedule", [None, TILED, rows(8, "side", 1, 32), GENERAL])
def test_depth_of_a_runtime_dim(schedule: str | None) -> None:
    """Weighted values over a cache of some capacity, of which P + S are there."""
    text = program(
        {"S": "[1, 32]", "P": "[0, 64] runtime"},
        f"""
  %w = lir.input @w : !lir.buffer<S x 96 x f32>
  %v = lir.state @v : !lir.buffer<96 x 20 x f32>
  %p = lir.dim_input @P : !lir.buffer<i64>
  %y = lir.output @y : !lir.buffer<S x 20 x f32>
  lir.contract (q : S, e : 20 | k : P + S) ins(%w[q, k], %v[k, e]) outs(%y[q, e]) {F32}
    : !lir.buffer<S x 96 x f32>, !lir.buffer<96 x 20 x f32>, !lir.buffer<S x 20 x f32>""",
    )
    for s, p in ((1, 0), (3, 61), (17, 30)):
        arrays = {"w": random((s, 96)), "v": random((96, 20), seed=1)}
        run_form(text, arrays, {"S": s, "P": p}, schedule=schedule)


@pytest.mark.parametrize("schedule", [None, TILED, rows(8, "side", 4, 16), GENERAL])
def test_parts_of_a_result_and_a_residual_in_its_place(schedule: str | None) -> None:
    """Two products write halves of one buffer; a third adds to what is there."""
    text = program(
        {"M": "[1, 99]"},
        """
  %x = lir.input @x : !lir.buffer<M x 16 x f32>
  %w = lir.param @w : !lir.buffer<16 x 24 x f32>
  %u = lir.param @u : !lir.buffer<16 x 48 x f32>
  %y = lir.state @y : !lir.buffer<M x 48 x f32>
  lir.contract (m : M, n : 24 | k : 16) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) """
        + F32
        + """ : !lir.buffer<M x 16 x f32>, !lir.buffer<16 x 24 x f32>, !lir.buffer<M x 48 x f32>
  lir.contract (m : M, n : 24 | k : 16) ins(%x[m, k], %w[k, 23 - n]) outs(%y[m, n + 24]) """
        + F32
        + """ : !lir.buffer<M x 16 x f32>, !lir.buffer<16 x 24 x f32>, !lir.buffer<M x 48 x f32>
  lir.contract (m : M, n : 48 | k : 16) ins(%x[m, k], %u[k, n]) extra(%y[m, n]) outs(%y[m, n]) {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%s: f32, %r: f32):
    %t = arith.addf %s, %r : f32
    lir.yield %t : f32
  } : !lir.buffer<M x 16 x f32>, !lir.buffer<16 x 48 x f32>, !lir.buffer<M x 48 x f32>, !lir.buffer<M x 48 x f32>""",
    )
    for m in (3, 21):
        arrays = {
            "x": random((m, 16)),
            "w": random((16, 24), seed=1),
            "u": random((16, 48), seed=3),
            "y": random((m, 48), seed=2),
        }
        run_form(text, arrays, {"M": m}, schedule=schedule)


def test_result_that_lies_transposed() -> None:
    text = program(
        {"M": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x 40 x f32>
  %w = lir.param @w : !lir.buffer<40 x 33 x f32>
  %y = lir.output @y : !lir.buffer<33 x M x f32>
  lir.contract (m : M, n : 33 | k : 40) ins(%x[m, k], %w[k, n]) outs(%y[n, m]) {F32}
    : !lir.buffer<M x 40 x f32>, !lir.buffer<40 x 33 x f32>, !lir.buffer<33 x M x f32>""",
    )
    for m in (1, 17, 70):
        run_everywhere(text, {"x": random((m, 40)), "w": random((40, 33), seed=1)}, {"M": m})


def test_bounded_depth_takes_the_general_schedule() -> None:
    text = program(
        {"M": "[1, 99]"},
        f"""
  %x = lir.input @x : !lir.buffer<M x 40 x f32>
  %w = lir.param @w : !lir.buffer<40 x 33 x f32>
  %y = lir.output @y : !lir.buffer<M x 33 x f32>
  lir.contract (m : M, n : 33 | k : 40 in [0, n + 1)) ins(%x[m, k], %w[k, n]) outs(%y[m, n]) {F32}
    : !lir.buffer<M x 40 x f32>, !lir.buffer<40 x 33 x f32>, !lir.buffer<M x 33 x f32>""",
    )
    run_everywhere(text, {"x": random((9, 40)), "w": random((40, 33), seed=1)}, {"M": 9}, kinds=["general"])


@pytest.mark.parametrize(("target", "arch"), [(t, a) for t in TARGETS for a in architectures(t)])
def test_kernels_fit_the_memory_of_a_block_and_move_vectors(target: str, arch: str) -> None:
    """What is chosen needs no more shared memory than a launch has without asking, and reads weights by vectors."""
    made = backend(target)
    machine = made.target({"cpu": arch})
    assert isinstance(machine, GpuTarget)
    for text in (linear(96, 256), linear(96, 256, "n, k"), attention(2, 1, 128, 128), attention(2, 1, 256, 256)):
        (program,) = programs(parse(text))
        (form,) = (op for op in program.walk() if isinstance(op, FormOp))
        schedules = made.schedules(form)
        for schedule in schedules.choose(form, machine, facts_of(form)):
            builder = made.kernel_builder("kernel", form, schedule, machine, facts_of(form))
            schedules.lower(builder, form, schedule)
            kernel = builder.finish()
            kernel.verify()
            assert isinstance(kernel, KernelOp) and kernel.shared_bytes <= machine.facts.shared_default
            loads = [op for op in kernel.walk() if isinstance(op, LoadOp) and op.ptr in kernel.body.block.args[1:3]]
            assert loads and (schedule.kind.data == "general" or all(shape_of(op.result.type) for op in loads[:1]))

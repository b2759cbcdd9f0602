"""Attention on GPUs against float64: every schedule on every dialect, bounds, masks, grouped heads, caches, head sizes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.gpu.forms import program, random
from tests.backends.gpu.harness import TARGETS, run_everywhere, run_form

PLAIN = ("", "", "")
MASK = (
    ", %m[b, k]",
    "%mask: i64",
    """
    %z = arith.constant 0 : i64
    %keep = arith.cmpi ne, %mask, %z : i64
    %inf = arith.constant 0xFF800000 : f32
    %r = arith.select %keep, %s, %inf : f32""",
)
BIAS = (
    ", %m[0, h, q, k]",
    "%bias: f32",
    """
    %cap = arith.constant 2.0 : f32
    %n = arith.mulf %s, %cap : f32
    %r = arith.addf %n, %bias : f32""",
)
CAPPED = (
    "",
    "",
    """
    %cap = arith.constant 2.0 : f32
    %u = arith.divf %s, %cap : f32
    %t = math.tanh %u : f32
    %c = arith.mulf %t, %cap : f32
    %at = lir.index P + q - k
    %distance = arith.index_cast %at : index to i64
    %d = arith.sitofp %distance : i64 to f32
    %slope = arith.constant 6.25e-2 : f32
    %bias = arith.mulf %d, %slope : f32
    %r = arith.subf %c, %bias : f32""",
)
GENERAL = '#lir.schedule<"general">'


def blocked(rows: int, depth: int, values: int) -> str:
    return f'#lir.schedule<"blocked" {{rows = {rows} : i64, depth = {depth} : i64, values = {values} : i64}}>'


def split(threads: int, keys: int, values: int) -> str:
    return f'#lir.schedule<"split" {{keys = {keys} : i64, values = {values} : i64, threads = {threads} : i64}}>'


def attention(
    heads: int,
    shared: int,
    d: int,
    e: int,
    bounds: str = "",
    extra: tuple[str, str, str] = PLAIN,
    mask_type: str = "",
    dtype: str = "f32",
    layout: str = "bshd",
    cache: str = "K",
    queries: str = "[0, 1024]",
) -> str:
    access, argument, region = extra
    group = heads // shared

    def buffer(sequence: str, h: int, last: int) -> str:
        dims = f"{sequence} x {h}" if layout == "bshd" else f"{h} x {sequence}"
        return f"!lir.buffer<B x {dims} x {last} x {dtype}>"

    def place(sequence: str, h: str, last: str) -> str:
        return f"b, {sequence}, {h}, {last}" if layout == "bshd" else f"b, {h}, {sequence}, {last}"

    q, k, v, o = buffer("Q", heads, d), buffer(cache, shared, d), buffer(cache, shared, e), buffer("Q", heads, e)
    h2 = f"h floordiv {group}" if group > 1 else "h"
    mask = f"  %m = lir.input @m : {mask_type}\n" if mask_type else ""
    extras = f" extra({access[2:]})" if access else ""
    types = ", ".join([q, k, v, *([mask_type] if mask_type else []), o])
    runtime = "P" in bounds or "P" in cache
    past = {"P": "[0, 4096] runtime"} if runtime else {}
    keys = "P + Q" if runtime else "K"
    return program(
        {"B": "[1, 8]", "Q": queries, "K": "[0, 1024]", **past},
        f"""
  %q = lir.input @q : {q}
  %k = lir.input @k : {k}
  %v = lir.input @v : {v}
{"  %p = lir.dim_input @P : !lir.buffer<i64>" if runtime else ""}
{mask}  %o = lir.output @o : {o}
  lir.attention (b : B, h : {heads}, q : Q | k : {keys}{bounds} | d : {d} | e : {e})
      ins(%q[{place("q", "h", "d")}], %k[{place("k", h2, "d")}], %v[{place("k", h2, "e")}]){extras}
      outs(%o[{place("q", "h", "e")}]) params {{scale = 0.25 : f32}} {{
  ^bb0(%s: f32{f", {argument}" if argument else ""}):{region}
    lir.yield {"%r" if region else "%s"} : f32
  }} : {types}""",
        f"P + Q <= {cache}" if runtime else "",
    )


def arrays(
    b: int, q: int, k: int, heads: int, shared: int, d: int, e: int, layout: str = "bshd", dtype: str = "f32", cache: int = 0
) -> dict[str, np.ndarray]:
    def shape(sequence: int, h: int, last: int) -> tuple[int, ...]:
        return (b, sequence, h, last) if layout == "bshd" else (b, h, sequence, last)

    keys = cache or k
    found = {
        "q": random(shape(q, heads, d), dtype),
        "k": random(shape(keys, shared, d), dtype, 1),
        "v": random(shape(keys, shared, e), dtype, 2),
    }
    if cache:  # what lies beyond the keys that there are must not matter
        for name in ("k", "v"):
            part = found[name] if layout == "bshd" else found[name].swapaxes(1, 2)
            part[:, k:] = np.nan
    return found


@pytest.mark.parametrize("schedule", [GENERAL, blocked(4, 64, 32), blocked(1, 8, 64), split(8, 1, 1), split(4, 4, 2)])
@pytest.mark.parametrize(("q", "k"), [(0, 5), (5, 0), (1, 1), (3, 7), (17, 65), (66, 33)])
def test_sizes(schedule: str, q: int, k: int) -> None:
    layout = "bshd" if q % 2 else "bhsd"
    d, e = (16, 10) if "keys = 4" in schedule else (13, 33)
    text = attention(2, 2, d, e, layout=layout)
    run_form(text, arrays(2, q, k, 2, 2, d, e, layout), {"B": 2, "Q": q, "K": k}, schedule=schedule, rtol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("d", "e"), [(32, 32), (64, 64), (80, 128), (256, 256)])
def test_what_is_chosen_runs(target: str, d: int, e: int) -> None:
    text = attention(2, 1, d, e)
    for q, k in ((1, 33), (4, 65), (17, 40)):
        run_form(text, arrays(1, q, k, 2, 1, d, e), {"B": 1, "Q": q, "K": k}, target=target, rtol=1e-5)
    few = attention(2, 1, d, e, queries="[1, 1]")
    run_form(few, arrays(1, 1, 300, 2, 1, d, e), {"B": 1, "Q": 1, "K": 300}, target=target, rtol=1e-5, kinds=["split"])


@pytest.mark.parametrize("schedule", [None, GENERAL, blocked(2, 8, 32), split(2, 4, 4)])
@pytest.mark.parametrize("bounds", ["[0, q + 1)", "[max(0, q - 9), q + 1)", "[max(0, q - 9), min(K, q + 3))", "[q mod 7, 30)"])
def test_causal_and_sliding(bounds: str, schedule: str | None) -> None:
    bounds = " in " + bounds.replace("q + 1)", "min(K, q + 1))").replace("30)", "min(K, 30))")
    text = attention(2, 2, 8, 8, bounds=bounds)
    for sequence in (1, 7, 33, 100):
        values = arrays(1, sequence, sequence, 2, 2, 8, 8)
        run_form(text, values, {"B": 1, "Q": sequence, "K": sequence}, schedule=schedule, rtol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("q", "past"), [(1, 0), (1, 230), (5, 100), (40, 3)])
def test_grouped_causal_heads_over_a_cache(target: str, q: int, past: int) -> None:
    text = attention(4, 2, 16, 16, bounds=" in [0, P + q + 1)", layout="bhsd", cache="300")
    values = arrays(2, q, past + q, 4, 2, 16, 16, "bhsd", cache=300)
    run_form(text, values, {"B": 2, "Q": q, "K": 0, "P": past}, target=target, rtol=1e-5)


@pytest.mark.parametrize("schedule", [None, GENERAL, blocked(2, 8, 32), split(2, 4, 4)])
def test_capped_scores_biased_by_distance(schedule: str | None) -> None:
    text = attention(6, 2, 8, 8, bounds=" in [0, P + q + 1)", extra=CAPPED, cache="64", layout="bhsd")
    for q, past in ((1, 33), (9, 20)):
        values = arrays(2, q, past + q, 6, 2, 8, 8, "bhsd", cache=64)
        run_form(text, values, {"B": 2, "Q": q, "K": 0, "P": past}, schedule=schedule, rtol=1e-5)


@pytest.mark.parametrize("schedule", [None, GENERAL, blocked(2, 8, 32), split(2, 4, 4)])
@pytest.mark.parametrize("k", [1, 7, 50])
def test_masked_keys_and_rows_without_keys(k: int, schedule: str | None) -> None:
    text = attention(2, 2, 8, 8, extra=MASK, mask_type="!lir.buffer<B x K x i64>")
    values = arrays(3, 9, k, 2, 2, 8, 8)
    mask = np.random.default_rng(3).integers(0, 2, (3, k))
    mask[0], mask[1] = 1, 0
    run_form(text, {**values, "m": mask}, {"B": 3, "Q": 9, "K": k}, schedule=schedule, rtol=1e-5)


@pytest.mark.parametrize("schedule", [None, GENERAL, blocked(4, 8, 32), split(2, 4, 4)])
@pytest.mark.parametrize("k", [1, 7, 50, 130])
def test_bias_and_bounds(k: int, schedule: str | None) -> None:
    text = attention(2, 1, 8, 24, bounds=" in [0, min(K, q + 4))", extra=BIAS, mask_type="!lir.buffer<1 x 2 x Q x K x f32>")
    values = {**arrays(2, 9, k, 2, 1, 8, 24), "m": random((1, 2, 9, k), seed=4)}
    run_form(text, values, {"B": 2, "Q": 9, "K": k}, schedule=schedule, rtol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_half_precision(target: str, dtype: str) -> None:
    text = attention(2, 2, 40, 24, dtype=dtype)
    rtol = 5e-3 if dtype == "bf16" else 1e-3
    for q in (1, 11):
        values = arrays(2, q, 37, 2, 2, 40, 24, dtype=dtype)
        run_form(text, values, {"B": 2, "Q": q, "K": 37}, target=target, rtol=rtol)


@pytest.mark.parametrize("schedule", [None, GENERAL, split(2, 1, 1)])
def test_scores_in_f64(schedule: str | None) -> None:
    text = attention(2, 2, 8, 8, dtype="f64").replace("%s: f32", "%s: f64").replace("yield %s : f32", "yield %s : f64")
    values = arrays(2, 11, 37, 2, 2, 8, 8, dtype="f64")
    run_form(text, values, {"B": 2, "Q": 11, "K": 37}, schedule=schedule, rtol=1e-12)


def test_keys_and_values_in_transposed_layouts() -> None:
    text = program(
        {"K": "[1, 99]"},
        """
  %q = lir.input @q : !lir.buffer<9 x 8 x f32>
  %k = lir.input @k : !lir.buffer<8 x K x f32>
  %v = lir.input @v : !lir.buffer<10 x K x f32>
  %o = lir.output @o : !lir.buffer<10 x 9 x f32>
  lir.attention (q : 9 | k : K | d : 8 | e : 10) ins(%q[q, d], %k[d, k], %v[e, k]) outs(%o[e, q]) params {scale = 0.5 : f32} {
  ^bb0(%s: f32):
    lir.yield %s : f32
  } : !lir.buffer<9 x 8 x f32>, !lir.buffer<8 x K x f32>, !lir.buffer<10 x K x f32>, !lir.buffer<10 x 9 x f32>""",
    )
    for k in (1, 7, 45):
        run_everywhere(
            text, {"q": random((9, 8)), "k": random((8, k), seed=1), "v": random((10, k), seed=2)}, {"K": k}, rtol=1e-5
        )


def test_depth_and_values_in_slices() -> None:
    text = attention(1, 1, 150, 200)
    values = arrays(1, 40, 70, 1, 1, 150, 200)
    run_form(text, values, {"B": 1, "Q": 40, "K": 70}, schedule=blocked(2, 64, 96), rtol=1e-5)


@pytest.mark.parametrize(("values", "kind"), [("D", "general"), ("8", "blocked")])
def test_depth_and_values_of_no_static_size(values: str, kind: str) -> None:
    text = program(
        {"K": "[1, 99]", "D": "[1, 256]"},
        f"""
  %q = lir.input @q : !lir.buffer<35 x D x f32>
  %k = lir.input @k : !lir.buffer<K x D x f32>
  %v = lir.input @v : !lir.buffer<K x {values} x f32>
  %o = lir.output @o : !lir.buffer<35 x {values} x f32>
  lir.attention (q : 35 | k : K | d : D | e : {values}) ins(%q[q, d], %k[k, d], %v[k, e]) outs(%o[q, e])
      params {{scale = 0.25 : f32}} {{
  ^bb0(%s: f32):
    lir.yield %s : f32
  }} : !lir.buffer<35 x D x f32>, !lir.buffer<K x D x f32>, !lir.buffer<K x {values} x f32>, !lir.buffer<35 x {values} x f32>""",
    )
    for d in (1, 12, 70):
        inputs = {"q": random((35, d)), "k": random((40, d), seed=1), "v": random((40, 8 if values == "8" else d), seed=2)}
        run_form(text, inputs, {"K": 40, "D": d}, kinds=[kind], rtol=1e-5)

"""Attention on the CPU against float64: head sizes, causal and sliding bounds, masks, grouped heads, caches, long keys."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.cpu.schedules.forms import check
from tests.backends.cpu.schedules.test_map import program, random

PLAIN = ("", "", "")
CUSTOM = (
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
    limits: str = "[0, 1024]",
) -> str:
    access, argument, region = extra
    group = heads // shared

    def buffer(sequence: str, h: int, last: int) -> str:
        return (
            f"!lir.buffer<B x {sequence} x {h} x {last} x {dtype}>"
            if layout == "bshd"
            else f"!lir.buffer<B x {h} x {sequence} x {last} x {dtype}>"
        )

    def place(sequence: str, h: str, last: str) -> str:
        return f"b, {sequence}, {h}, {last}" if layout == "bshd" else f"b, {h}, {sequence}, {last}"

    q, k, v, o = buffer("Q", heads, d), buffer(cache, shared, d), buffer(cache, shared, e), buffer("Q", heads, e)
    h2 = f"h floordiv {group}" if group > 1 else "h"
    mask = f"  %m = lir.input @m : {mask_type}\n" if mask_type else ""
    result = "%r" if region else "%s"
    arg = f", {argument}" if argument else ""
    extras = f" extra({access[2:]})" if access else ""
    types = ", ".join([q, k, v, *([mask_type] if mask_type else []), o])
    return program(
        {"B": "[1, 8]", "Q": "[0, 1024]", "K": limits, "P": "[0, 4096]"},
        f"""
  %q = lir.input @q : {q}
  %k = lir.input @k : {k}
  %v = lir.input @v : {v}
{mask}  %o = lir.output @o : {o}
  lir.attention (b : B, h : {heads}, q : Q | k : K{bounds} | d : {d} | e : {e})
      ins(%q[{place("q", "h", "d")}], %k[{place("k", h2, "d")}], %v[{place("k", h2, "e")}]){extras} outs(%o[{place("q", "h", "e")}])
      params {{scale = 0.25 : f32}} {{
  ^bb0(%s: f32{arg}):{region}
    lir.yield {result} : f32
  }} : {types}""",
    )


def arrays(
    b: int,
    q: int,
    k: int,
    heads: int,
    shared: int,
    d: int,
    e: int,
    layout: str = "bshd",
    dtype: str = "f32",
    cache: int | None = None,
):
    def shape(sequence: int, h: int, last: int) -> tuple[int, ...]:
        return (b, sequence, h, last) if layout == "bshd" else (b, h, sequence, last)

    c = k if cache is None else cache
    return {
        "q": random(shape(q, heads, d), dtype),
        "k": random(shape(c, shared, d), dtype, 1),
        "v": random(shape(c, shared, e), dtype, 2),
    }


@pytest.mark.parametrize(("q", "k"), [(0, 5), (5, 0), (1, 1), (3, 7), (17, 63), (32, 64), (9, 700)])
@pytest.mark.parametrize(("d", "e"), [(32, 32), (5, 7), (16, 80)])
def test_full_attention(q: int, k: int, d: int, e: int) -> None:
    layout = "bshd" if q % 2 else "bhsd"
    check(
        attention(2, 2, d, e, layout=layout),
        arrays(2, q, k, 2, 2, d, e, layout),
        {"B": 2, "Q": q, "K": k, "P": 0},
        rtol=1e-5,
    )


@pytest.mark.parametrize(("q", "k"), [(3, 7), (17, 63), (32, 64)])
def test_few_keys_are_one_chunk(q: int, k: int) -> None:
    text = attention(3, 1, 16, 16, limits="[0, 64]")
    check(text, arrays(2, q, k, 3, 1, 16, 16), {"B": 2, "Q": q, "K": k, "P": 0}, rtol=1e-5)


@pytest.mark.parametrize("limits", ["[0, 1024]", "[0, 512]"])
@pytest.mark.parametrize("sequence", [1, 7, 33, 100])
@pytest.mark.parametrize("bounds", [" in [0, q + 1)", " in [max(0, q - 9), q + 1)", " in [max(0, q - 9), min(K, q + 3))"])
def test_causal_and_sliding(sequence: int, bounds: str, limits: str) -> None:
    bounds = bounds.replace("q + 1)", "min(K, q + 1))")
    text = attention(2, 2, 8, 8, bounds=bounds, limits=limits)
    check(text, arrays(1, sequence, sequence, 2, 2, 8, 8), {"B": 1, "Q": sequence, "K": sequence, "P": 0}, rtol=1e-5)


@pytest.mark.parametrize(("q", "past"), [(1, 0), (1, 530), (5, 600), (40, 3)])
def test_grouped_causal_heads_over_a_cache(q: int, past: int) -> None:
    text = attention(4, 2, 16, 16, bounds=" in [0, P + q + 1)", layout="bhsd", cache="1100").replace("k : K in", "k : P + Q in")
    values = arrays(2, q, past + q, 4, 2, 16, 16, "bhsd", cache=1100)
    values["k"][:, :, past + q :] = np.nan  # what the cache holds beyond must not matter
    values["v"][:, :, past + q :] = np.nan
    check(text, values, {"B": 2, "Q": q, "K": 0, "P": past}, rtol=1e-5)


@pytest.mark.parametrize("limits", ["[0, 1024]", "[0, 512]"])
@pytest.mark.parametrize("k", [1, 7, 50])
def test_masked_keys_and_rows_without_keys(k: int, limits: str) -> None:
    text = attention(2, 2, 8, 8, extra=CUSTOM, mask_type="!lir.buffer<B x K x i64>", limits=limits)
    values = arrays(3, 9, k, 2, 2, 8, 8)
    mask = np.random.default_rng(3).integers(0, 2, (3, k))
    mask[0], mask[1] = 1, 0
    check(text, {**values, "m": mask}, {"B": 3, "Q": 9, "K": k, "P": 0}, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 7, 50, 600])
def test_bias_and_bounds(k: int) -> None:
    text = attention(2, 1, 8, 24, bounds=" in [0, min(K, q + 4))", extra=BIAS, mask_type="!lir.buffer<1 x 2 x Q x K x f32>")
    values = {**arrays(2, 9, k, 2, 1, 8, 24), "m": random((1, 2, 9, k), seed=4)}
    check(text, values, {"B": 2, "Q": 9, "K": k, "P": 0}, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_half_precision(dtype: str) -> None:
    text = attention(2, 2, 20, 20, dtype=dtype)
    check(
        text,
        arrays(2, 11, 37, 2, 2, 20, 20, dtype=dtype),
        {"B": 2, "Q": 11, "K": 37, "P": 0},
        rtol=5e-3 if dtype == "bf16" else 1e-3,
    )


def test_scores_in_f64() -> None:
    text = attention(2, 2, 8, 8, dtype="f64").replace("%s: f32", "%s: f64").replace("yield %s : f32", "yield %s : f64")
    check(text, arrays(2, 11, 37, 2, 2, 8, 8, dtype="f64"), {"B": 2, "Q": 11, "K": 37, "P": 0}, rtol=1e-12)


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
        check(text, {"q": random((9, 8)), "k": random((8, k), seed=1), "v": random((10, k), seed=2)}, {"K": k}, rtol=1e-5)


@pytest.mark.parametrize("limits", ["[0, 1024]", "[0, 512]"])
@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
@pytest.mark.parametrize("bounds", ["", " in [0, min(K, P + q + 1))", " in [max(0, P - 5), min(K, P + q + 1))"])
def test_one_query_takes_the_heads_of_a_group_as_rows(bounds: str, layout: str, limits: str) -> None:
    text = attention(6, 2, 16, 24, bounds=bounds, layout=layout, limits=limits)
    for k in (1, 37, 500):
        values = arrays(2, 1, k, 6, 2, 16, 24, layout)
        check(text, values, {"B": 2, "Q": 1, "K": k, "P": k // 2}, rtol=1e-5, kinds=["single"])

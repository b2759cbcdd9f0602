"""What each operation means: scalar ops against float64 NumPy or exact integers, and the forms where they are easily wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rlx_backends.numpy.lir_executor import run_lir
from rlx_runtime.errors import BindError, RuntimeFault
from tests.dialects.lir.support import Array, close, parse, random

N = 37


def _map(body: str, given: dict[str, tuple[str, Array]], result: str) -> Array:
    """`body` as a map over N points: `%a`, `%b`… are the operands, `%r` the result."""
    names = list(given)
    leaves = "".join(f"%{n}0 = lir.input @{n} : !lir.buffer<{N} x {kind}>\n" for n, (kind, _) in given.items())
    kinds = [f"!lir.buffer<{N} x {kind}>" for kind, _ in given.values()]
    scalars = [kind.replace("ui", "i") for kind, _ in given.values()]
    args = ", ".join(f"%{n}: {kind}" for n, kind in zip(names, scalars, strict=True))
    text = f"""
    lir.program @main {{
      {leaves}
      %y = lir.output @y : !lir.buffer<{N} x {result}>
      lir.map (i : {N}) ins({", ".join(f"%{n}0[i]" for n in names)}) outs(%y[i]) {{
      ^bb0({args}):
        {body}
        lir.yield %r : {result.replace("ui", "i")}
      }} : {", ".join([*kinds, f"!lir.buffer<{N} x {result}>"])}
    }}"""
    return run_lir(parse(text), {n: array for n, (_, array) in given.items()}, {})["y"]


FLOATS: dict[str, Callable[..., Any]] = {
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.mulf": np.multiply,
    "arith.divf": np.divide,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "math.atan2": np.arctan2,
    "math.copysign": np.copysign,
    "arith.negf": np.negative,
    "math.absf": np.abs,
    "math.exp": np.exp,
    "math.exp2": np.exp2,
    "math.expm1": np.expm1,
    "math.sin": np.sin,
    "math.cos": np.cos,
    "math.tan": np.tan,
    "math.atan": np.arctan,
    "math.sinh": np.sinh,
    "math.cosh": np.cosh,
    "math.tanh": np.tanh,
    "math.asinh": np.arcsinh,
    "math.erf": np.vectorize(math.erf),
    "math.cbrt": np.cbrt,
    "math.floor": np.floor,
    "math.ceil": np.ceil,
    "math.trunc": np.trunc,
    "math.roundeven": np.rint,
    "math.round": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
}
POSITIVE: dict[str, Callable[..., Any]] = {
    "math.sqrt": np.sqrt,
    "math.rsqrt": lambda x: 1 / np.sqrt(x),
    "math.log": np.log,
    "math.log2": np.log2,
    "math.log10": np.log10,
    "math.log1p": np.log1p,
    "math.powf": np.power,
    "math.acosh": lambda x: np.arccosh(x),
}
TWO = {"arith.addf", "arith.subf", "arith.mulf", "arith.divf", "math.atan2", "math.copysign", "math.powf"}
TOLERANCES = {"f64": 1e-14, "f32": 1e-6, "f16": 1e-3, "bf16": 8e-3}
DTYPES = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("kind", TOLERANCES)
@pytest.mark.parametrize("name", [*FLOATS, *POSITIVE])
def test_float_ops(name: str, kind: str) -> None:
    rng = np.random.default_rng(len(name))
    a, b = random(rng, N, dtype=DTYPES[kind]), random(rng, N, dtype=DTYPES[kind])
    if name in POSITIVE:
        a = np.abs(a) + a.dtype.type(1.5)
    two = name in TWO or "maxi" in name or "mini" in name or "num" in name
    result = _map(f"%r = {name} %a{', %b' if two else ''} : {kind}", {"a": (kind, a), "b": (kind, b)}, kind)
    wide = [a.astype(np.float64), b.astype(np.float64)][: 1 + two]
    assert result.dtype == DTYPES[kind]
    close(result, np.asarray((FLOATS | POSITIVE)[name](*wide)), TOLERANCES[kind])


def test_narrow_floats_round_once() -> None:
    """bf16(1) + bf16(2^-8) is a tie that goes to even: 1. A sum of two roundings would give 1 + 2^-7 for the second pair."""
    bf16 = ml_dtypes.bfloat16
    a = np.resize(np.array([1, 1.0078125], bf16), N)
    result = _map("%r = arith.addf %a, %b : bf16", {"a": ("bf16", a), "b": ("bf16", np.full(N, 2.0**-8, bf16))}, "bf16")
    np.testing.assert_array_equal(result, np.resize(np.array([1, 1.015625], bf16), N))


INTS: dict[str, Callable[[int, int], int]] = {
    "addi": lambda a, b: a + b,
    "subi": lambda a, b: a - b,
    "muli": lambda a, b: a * b,
    "divsi": lambda a, b: int(abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1),
    "remsi": lambda a, b: abs(a) % abs(b) * (-1 if a < 0 else 1),
    "floordivsi": lambda a, b: a // b,
    "ceildivsi": lambda a, b: -(-a // b),
    "maxsi": max,
    "minsi": min,
    "andi": lambda a, b: a & b,
    "ori": lambda a, b: a | b,
    "xori": lambda a, b: a ^ b,
}
UNSIGNED: dict[str, Callable[[int, int], int]] = {
    "divui": lambda a, b: a // b,
    "remui": lambda a, b: a % b,
    "ceildivui": lambda a, b: -(-a // b),
    "maxui": max,
    "minui": min,
}


@pytest.mark.parametrize("bits", [8, 32, 64])
@pytest.mark.parametrize("name", [*INTS, *UNSIGNED])
def test_integer_ops_wrap(name: str, bits: int) -> None:
    rng = np.random.default_rng(bits)
    low, high = (0, 1 << bits) if name in UNSIGNED else (-(1 << (bits - 1)), 1 << (bits - 1))
    kind, dtype = (f"ui{bits}", f"uint{bits}") if name in UNSIGNED else (f"i{bits}", f"int{bits}")
    a = rng.integers(low + 1, high - 1, N, dtype=dtype)
    b = rng.integers(1, min(high, 100), N, dtype=dtype)
    if name not in UNSIGNED:
        b = np.where(np.arange(N) % 2 == 0, b, -b).astype(dtype)
    result = _map(f"%r = arith.{name} %a, %b : i{bits}", {"a": (kind, a), "b": (kind, b)}, kind)
    function = (INTS | UNSIGNED)[name]
    expected = [function(int(x), int(y)) & ((1 << bits) - 1) for x, y in zip(a, b, strict=True)]
    assert [int(value) & ((1 << bits) - 1) for value in result] == expected


def test_comparisons_and_select() -> None:
    a = np.resize(np.array([1, 2, np.nan, -0.0], np.float32), N)
    b = np.resize(np.array([2, 1, 1, 0.0], np.float32), N)
    for predicate, expected in {
        "oeq": a == b, "ogt": a > b, "oge": a >= b, "olt": a < b, "ole": a <= b, "one": (a != b) & ~np.isnan(a),
        "ord": ~np.isnan(a), "ueq": (a == b) | np.isnan(a), "ugt": ~(a <= b), "uge": ~(a < b), "ult": ~(a >= b),
        "ule": ~(a > b), "une": a != b, "uno": np.isnan(a),
    }.items():  # fmt: skip
        given = {"a": ("f32", a), "b": ("f32", b)}
        np.testing.assert_array_equal(_map(f"%r = arith.cmpf {predicate}, %a, %b : f32", given, "i1"), expected, predicate)
    x, y = np.arange(N, dtype=np.int8) - 18, np.full(N, -3, np.int8)
    for predicate, expected in {
        "eq": x == y, "slt": x < y, "sge": x >= y, "ult": x.view("u1") < y.view("u1"), "ugt": x.view("u1") > y.view("u1")
    }.items():  # fmt: skip
        body = f"%c = arith.cmpi {predicate}, %a, %b : i8\n%r = arith.select %c, %a, %b : i8"
        result = _map(body, {"a": ("i8", x), "b": ("i8", y)}, "i8")
        np.testing.assert_array_equal(result, np.where(expected, x, y), predicate)


def test_casts() -> None:
    x = np.linspace(-7.75, 7.75, N).astype(np.float32)
    given = {"a": ("f32", x)}
    np.testing.assert_array_equal(_map("%r = arith.fptosi %a : f32 to i4", given, "i4").astype(int), np.trunc(x))
    for kind, dtype in (("f8E4M3FN", ml_dtypes.float8_e4m3fn), ("f8E5M2", ml_dtypes.float8_e5m2), ("bf16", ml_dtypes.bfloat16)):
        result = _map(f"%r = arith.truncf %a : f32 to {kind}", given, kind)
        np.testing.assert_array_equal(result.astype(np.float32), x.astype(dtype).astype(np.float32))
    bits = _map("%r = arith.bitcast %a : f32 to i32", given, "i32")
    np.testing.assert_array_equal(bits, x.view(np.int32))
    bools = {"a": ("i1", x > 0)}
    np.testing.assert_array_equal(_map("%r = arith.extsi %a : i1 to i32", bools, "i32"), -(x > 0).astype(np.int32))
    np.testing.assert_array_equal(_map("%r = arith.uitofp %a : i1 to f32", bools, "f32"), (x > 0).astype(np.float32))
    codes = {"a": ("i4", np.resize(np.arange(-8, 8), N).astype(ml_dtypes.int4))}
    np.testing.assert_array_equal(_map("%r = arith.extui %a : i4 to i32", codes, "i32"), np.resize(np.arange(-8, 8), N) & 15)
    np.testing.assert_array_equal(_map("%r = arith.addi %a, %a : i4", codes, "i4"), codes["a"][1] + codes["a"][1])


def test_bit_counts_and_double_width_products() -> None:
    x = np.resize(np.array([1, 6, -1, 0x40000000, 0], np.int32), N)
    given = {"a": ("i32", x)}
    np.testing.assert_array_equal(_map("%r = math.ctlz %a : i32", given, "i32")[:5], [31, 29, 0, 1, 32])
    np.testing.assert_array_equal(_map("%r = math.cttz %a : i32", given, "i32")[:5], [0, 1, 0, 30, 32])
    np.testing.assert_array_equal(_map("%r = math.ctpop %a : i32", given, "i32")[:5], [1, 2, 32, 1, 0])
    high = _map("%l, %r = arith.mulsi_extended %a, %a : i32", given, "i32")
    np.testing.assert_array_equal(high, (x.astype(np.int64) ** 2 >> 32).astype(np.int32))


def _sum_text(bounds: str) -> str:
    return f"""
    lir.program @main {{
      %x = lir.input @x : !lir.buffer<5 x 7 x f32>
      %y = lir.output @y : !lir.buffer<5 x f32>
      lir.reduce (i : 5 | j : 7{bounds}) ins(%x[i, j]) outs(%y[i]) {{
      ^bb0(%r: !lir.row<f32>):
        %s = lir.fold(%r) init [0.0 : f32] {{
        ^bb0(%acc: f32, %e: f32):
          %n = arith.addf %acc, %e : f32
          lir.yield %n : f32
        }} combine {{
        ^bb0(%a: f32, %b: f32):
          %n = arith.addf %a, %b : f32
          lir.yield %n : f32
        }} : (!lir.row<f32>) -> f32
        lir.yield %s : f32
      }} : !lir.buffer<5 x 7 x f32>, !lir.buffer<5 x f32>
    }}"""


def test_bounds_of_a_reduce_dim_count() -> None:
    x = random(np.random.default_rng(0), 5, 7)
    full = run_lir(parse(_sum_text("")), {"x": x}, {})["y"]
    close(full, x.astype(np.float64).sum(1), 1e-6)
    part = run_lir(parse(_sum_text(" in [1, i + 2)")), {"x": x}, {})["y"]
    close(part, np.array([x[i, 1 : i + 2].astype(np.float64).sum() for i in range(5)]), 1e-6)


def test_argmax_folds_in_order() -> None:
    text = """
    lir.program @main {
      %x = lir.input @x : !lir.buffer<5 x 7 x f32>
      %y = lir.output @y : !lir.buffer<5 x i64>
      lir.reduce (i : 5 | j : 7) ins(%x[i, j]) outs(%y[i]) {
      ^bb0(%r: !lir.row<f32>):
        %at = lir.each(%r) {
        ^bb0(%e: f32):
          %j = lir.index j
          %k = arith.index_cast %j : index to i64
          lir.yield %k : i64
        } : (!lir.row<f32>) -> !lir.row<i64>
        %m, %p = lir.fold(%r, %at) init [0xFF800000 : f32, 0 : i64] {
        ^bb0(%best: f32, %where: i64, %e: f32, %k: i64):
          %more = arith.cmpf ogt, %e, %best : f32
          %b = arith.select %more, %e, %best : f32
          %w = arith.select %more, %k, %where : i64
          lir.yield %b, %w : f32, i64
        } combine {
        ^bb0(%a: f32, %c: i64, %d: f32, %f: i64):
          %more = arith.cmpf ogt, %d, %a : f32
          %b = arith.select %more, %d, %a : f32
          %w = arith.select %more, %f, %c : i64
          lir.yield %b, %w : f32, i64
        } : (!lir.row<f32>, !lir.row<i64>) -> f32, i64
        lir.yield %p : i64
      } : !lir.buffer<5 x 7 x f32>, !lir.buffer<5 x i64>
    }"""
    x = random(np.random.default_rng(1), 5, 7)
    x[2, 6] = x[2].max()
    np.testing.assert_array_equal(run_lir(parse(text), {"x": x}, {})["y"], x.argmax(1))


def test_scan_carries_and_empty_sequences() -> None:
    text = """
    lir.program @main {
      %x = lir.input @x : !lir.buffer<3 x T x f32>
      %c = lir.input @c : !lir.buffer<3 x f32>
      %y = lir.output @y : !lir.buffer<3 x T x f32>
      %f = lir.output @f : !lir.buffer<3 x f32>
      lir.scan (i : 3 | t : T) ins(%x[i, t]) extra(%c[i]) outs(%y[i, t], %f[i]) {
      ^bb0(%s: f32, %e: f32):
        %half = arith.constant 0.5 : f32
        %d = arith.mulf %s, %half : f32
        %n = arith.addf %d, %e : f32
        lir.yield %n, %s : f32, f32
      } : !lir.buffer<3 x T x f32>, !lir.buffer<3 x f32>, !lir.buffer<3 x T x f32>, !lir.buffer<3 x f32>
    }"""
    rng = np.random.default_rng(2)
    for count in (0, 1, 9):
        x, c = random(rng, 3, count), random(rng, 3)
        results = run_lir(parse(text), {"x": x, "c": c}, {"T": count})
        state, before = c.astype(np.float64), []
        for t in range(count):
            before.append(state)
            state = state * 0.5 + x[:, t]
        close(results["f"], state, 1e-6)
        close(results["y"], np.stack(before, 1) if before else np.zeros((3, 0)), 1e-6)


SCATTER = """
lir.program @main {{
  %u = lir.input @u : !lir.buffer<6 x 2 x f32>
  %id = lir.input @id : !lir.buffer<6 x i64>
  %s = lir.state @s : !lir.buffer<4 x 2 x f32>
  lir.scatter (n : 6, j : 2) ins(%u[n, j], %id[n]) outs(%s) params {{combine = "{combine}", oob = "{oob}"}} {{
  ^bb0(%a: f32, %i: i64):
    %j = lir.index j
    lir.yield %i, %j, %a : i64, index, f32
  }} : !lir.buffer<6 x 2 x f32>, !lir.buffer<6 x i64>, !lir.buffer<4 x 2 x f32>
}}"""


@pytest.mark.parametrize("combine", ["add", "max", "min", "set"])
def test_scatter_combines_equal_destinations_in_order(combine: str) -> None:
    rng = np.random.default_rng(3)
    u, s = random(rng, 6, 2), random(rng, 4, 2)
    ids = np.array([1, 3, 1, -1, 1, 4])
    expected = s.astype(np.float64)
    for row, at in zip(u, ids, strict=True):
        if 0 <= at < 4:
            old = expected[at]
            new = {"add": old + row, "max": np.maximum(old, row), "min": np.minimum(old, row), "set": row}
            expected[at] = new[combine]
    buffers = {"u": u, "id": ids, "s": s}
    close(run_lir(parse(SCATTER.format(combine=combine, oob="drop")), buffers, {})["s"], expected, 1e-6)
    with pytest.raises(RuntimeFault, match="writes index -1 of dim 0, which has extent 4"):
        run_lir(parse(SCATTER.format(combine=combine, oob="error")), buffers, {})


def test_layouts_place_elements_and_views_read_them_back() -> None:
    text = """
    lir.program @main arena(512) {
      %x = lir.input @x : !lir.buffer<5 x 11 x f16>
      %y = lir.output @y : !lir.buffer<5 x 11 x f16>
      %flat = lir.output @flat : !lir.buffer<120 x f16>
      %t = lir.slot at(64) : !lir.buffer<5 x 11 x f16, #lir.layout<(k, n) -> (n floordiv 4, k, n mod 4) in [3, 10, 4]>>
      lir.map (k : 5, n : 11) ins(%x[k, n]) outs(%t[k, n]) {
      ^bb0(%e: f16):
        lir.yield %e : f16
      } : !lir.buffer<5 x 11 x f16>, !lir.buffer<5 x 11 x f16, #lir.layout<(k, n) -> (n floordiv 4, k, n mod 4) in [3, 10, 4]>>
      lir.copy %t to %y : !lir.buffer<5 x 11 x f16, #lir.layout<(k, n) -> (n floordiv 4, k, n mod 4) in [3, 10, 4]>>, !lir.buffer<5 x 11 x f16>
      %v = lir.view %t : !lir.buffer<5 x 11 x f16, #lir.layout<(k, n) -> (n floordiv 4, k, n mod 4) in [3, 10, 4]>> to !lir.buffer<120 x f16>
      lir.copy %v to %flat : !lir.buffer<120 x f16>, !lir.buffer<120 x f16>
    }"""
    x = random(np.random.default_rng(4), 5, 11, dtype=np.float16)
    results = run_lir(parse(text), {"x": x}, {})
    np.testing.assert_array_equal(results["y"], x)
    physical = results["flat"].reshape(3, 10, 4)
    for k, n in np.ndindex(5, 11):
        assert physical[n // 4, k, n % 4] == x[k, n]
    assert np.isnan(physical[:, 5:]).all()  # padding stays as it was: poison


def test_i4_buffers_pack_two_elements_low_nibble_first() -> None:
    text = """
    lir.program @main arena(64) {
      %x = lir.input @x : !lir.buffer<7 x i4>
      %y = lir.output @y : !lir.buffer<7 x i4>
      %t = lir.slot at(0) : !lir.buffer<7 x i4>
      lir.map (i : 7) ins(%x[6 - i]) outs(%t[i]) {
      ^bb0(%e: i4):
        lir.yield %e : i4
      } : !lir.buffer<7 x i4>, !lir.buffer<7 x i4>
      lir.copy %t to %y : !lir.buffer<7 x i4>, !lir.buffer<7 x i4>
    }"""
    x = np.array([-8, -1, 0, 1, 7, 3, -4]).astype(ml_dtypes.int4)
    raw = np.empty(128, np.uint8)
    arena = raw[-raw.ctypes.data % 64 :][:64]
    np.testing.assert_array_equal(run_lir(parse(text), {"x": x}, {}, arena=arena)["y"], x[::-1])
    # The slot is poisoned after its last use.
    assert (arena == 0xFF).all()


def test_a_plan_that_overlaps_gives_wrong_numbers() -> None:
    text = """
    lir.program @main arena(128) {
      %x = lir.input @x : !lir.buffer<16 x f32>
      %y = lir.output @y : !lir.buffer<16 x f32>
      %a = lir.slot at(0) : !lir.buffer<16 x f32>
      %b = lir.slot at(AT) : !lir.buffer<16 x f32>
      lir.copy %x to %a : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
      lir.copy %x to %b : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
      lir.map (i : 16) ins(%a[i], %b[15 - i]) outs(%y[i]) {
      ^bb0(%e: f32, %f: f32):
        %r = arith.addf %e, %f : f32
        lir.yield %r : f32
      } : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
    }"""
    x = random(np.random.default_rng(5), 16)
    np.testing.assert_array_equal(run_lir(parse(text.replace("AT", "64")), {"x": x}, {})["y"], x + x[::-1])
    overlapping = """
    lir.program @main arena(64) {
      %x = lir.input @x : !lir.buffer<16 x f32>
      %y = lir.output @y : !lir.buffer<16 x f32>
      %a = lir.slot at(0) : !lir.buffer<16 x f32>
      %b = lir.slot at(0) : !lir.buffer<1 x f32>
      lir.copy %x to %a : !lir.buffer<16 x f32>, !lir.buffer<16 x f32>
      lir.map (i : 1) ins(%x[i + 3]) outs(%b[i]) {
      ^bb0(%e: f32):
        lir.yield %e : f32
      } : !lir.buffer<16 x f32>, !lir.buffer<1 x f32>
      lir.map (i : 16) ins(%a[i], %b[0]) outs(%y[i]) {
      ^bb0(%e: f32, %f: f32):
        lir.yield %e : f32
      } : !lir.buffer<16 x f32>, !lir.buffer<1 x f32>, !lir.buffer<16 x f32>
    }"""
    assert not np.array_equal(run_lir(parse(overlapping), {"x": x}, {})["y"], x)


def test_what_does_not_fit_is_refused() -> None:
    module = parse(_sum_text(""))
    with pytest.raises(BindError, match="no array was given for input 'x'"):
        run_lir(module, {}, {})
    with pytest.raises(BindError, match=r"'x' has shape \(5, 8\), needs \(5, 7\)"):
        run_lir(module, {"x": np.ones((5, 8), np.float32)}, {})
    with pytest.raises(BindError, match="'x' has dtype float64, needs float32"):
        run_lir(module, {"x": np.ones((5, 7))}, {})
    with pytest.raises(BindError, match="no program '@other', only main"):
        run_lir(module, {}, {}, program="other")


def test_constants_of_all_kinds() -> None:
    for kind, values in {"f32": "[1.5, -2.0]", "i64": "[7, -9]", "i1": "[true, false]", "bf16": "[1.5, -2.0]"}.items():
        text = f"""
        lir.program @main {{
          %y = lir.output @y : !lir.buffer<2 x {kind}>
          %c = lir.constant dense<{values}> : tensor<2x{kind}> to !lir.buffer<2 x {kind}>
          lir.copy %c to %y : !lir.buffer<2 x {kind}>, !lir.buffer<2 x {kind}>
        }}"""
        expected = {"f32": [1.5, -2], "i64": [7, -9], "i1": [True, False], "bf16": [1.5, -2]}[kind]
        assert list(run_lir(parse(text), {}, {})["y"]) == expected


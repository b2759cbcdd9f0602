"""Integer and floating-point instructions of PTX against Python's integers and exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlx_runtime.emulators import floats
from tests.emulators.support import map_ptx, ptx_module, run_ptx

RNG = np.random.default_rng(11)


def integers(dtype: str, n: int = 200) -> np.ndarray:
    """Random values with every edge among them."""
    info = np.iinfo(dtype)
    edges = [info.min, info.min + 1, -1 if info.min else 1, 0, 1, 2, info.max - 1, info.max, info.max // 3]
    values = RNG.integers(info.min, info.max, n, dtype=dtype, endpoint=True)
    small = RNG.integers(0, 50, n // 4).astype(dtype)
    return np.concatenate([np.array(edges, dtype), values, small])


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    a, b = integers(dtype), integers(dtype)
    return np.concatenate([np.repeat(a[:9], 9), a]), np.concatenate([np.tile(b[:9], 9), RNG.permutation(b)])


def trunc_div(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


INTEGER: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul.lo": lambda a, b: a * b, "min": min, "max": max,
    "div": lambda a, b: trunc_div(a, b) if b else -1, "rem": lambda a, b: a - b * trunc_div(a, b) if b else a,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["s16", "u16", "s32", "u32", "s64", "u64"])
@pytest.mark.parametrize("name", list(INTEGER))
def test_integer_arithmetic(name: str, kind: str) -> None:
    dtype = ("uint" if kind[0] == "u" else "int") + kind[1:]
    a, b = pairs(dtype)
    expected = [INTEGER[name](int(x), int(y)) for x, y in zip(a, b)]
    bits = int(kind[1:])
    raw = np.array([value & ((1 << bits) - 1) for value in expected], f"uint{bits}").view(dtype)
    np.testing.assert_array_equal(map_ptx(f"{name}.{kind} %d, %a, %b;", dtype, a, b), raw)


@pytest.mark.parametrize("kind", ["s32", "u32", "s64", "u64", "s16", "u16"])
def test_high_and_wide_products(kind: str) -> None:
    dtype, bits = ("uint" if kind[0] == "u" else "int") + kind[1:], int(kind[1:])
    a, b = pairs(dtype)
    high = np.array([(int(x) * int(y) >> bits) & ((1 << bits) - 1) for x, y in zip(a, b)], f"uint{bits}").view(dtype)
    np.testing.assert_array_equal(map_ptx(f"mul.hi.{kind} %d, %a, %b;", dtype, a, b), high)
    if bits < 64:
        wide = dtype.replace(str(bits), str(2 * bits))
        c = np.resize(integers(wide), a.size)
        expected = [(int(x) * int(y) + int(z)) & ((1 << 2 * bits) - 1) for x, y, z in zip(a, b, c)]
        found = map_ptx(f"mad.wide.{kind} %d, %a, %b, %c;", wide, a, b, c)
        np.testing.assert_array_equal(found, np.array(expected, f"uint{2 * bits}").view(wide))


def test_saturating_sum_and_carries() -> None:
    a, b = pairs("int32")
    expected = np.clip(a.astype(np.int64) + b, -(2**31), 2**31 - 1)
    np.testing.assert_array_equal(map_ptx("add.sat.s32 %d, %a, %b;", "int32", a, b), expected)
    x, y = pairs("uint64")
    split = """.reg .b32 %x<4>; .reg .b32 %y<4>; mov.b64 {%x0, %x1}, %a; mov.b64 {%y0, %y1}, %b;
    OP.cc.u32 %x2, %x0, %y0; OPc.u32 %x3, %x1, %y1; mov.b64 %d, {%x2, %x3};"""
    np.testing.assert_array_equal(map_ptx(split.replace("OP", "add"), "uint64", x, y), x + y)
    np.testing.assert_array_equal(map_ptx(split.replace("OP", "sub"), "uint64", x, y), x - y)


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_shifts_beyond_the_width(bits: int) -> None:
    a = np.repeat(integers(f"uint{bits}", 20), 8)
    by = np.resize(np.array([0, 1, 5, bits - 1, bits, bits + 1, 200, 2**31], np.uint32), a.size)
    wide = [(int(x), min(int(s), bits)) for x, s in zip(a, by)]
    mask = (1 << bits) - 1
    left = np.array([(x << s) & mask for x, s in wide], a.dtype)
    right = np.array([x >> s for x, s in wide], a.dtype)
    signed = np.array([int(x) >> min(int(s), bits - 1) for x, s in zip(a.view(f"int{bits}"), by)], f"int{bits}")
    np.testing.assert_array_equal(map_ptx(f"shl.b{bits} %d, %a, %b;", f"uint{bits}", a, by), left)
    np.testing.assert_array_equal(map_ptx(f"shr.u{bits} %d, %a, %b;", f"uint{bits}", a, by), right)
    np.testing.assert_array_equal(map_ptx(f"shr.s{bits} %d, %a, %b;", f"int{bits}", a, by), signed)


def _funnel(low: int, high: int, by: int, left: bool) -> int:
    both = high << 32 | low
    return (both << by >> 32 if left else both >> by) & 0xFFFFFFFF


def test_funnel_shifts() -> None:
    a, b = pairs("uint32")
    by = np.resize(np.array([0, 1, 31, 32, 33, 64, 70], np.uint32), a.size)
    for left, letter in ((True, "l"), (False, "r")):
        for mode in ("wrap", "clamp"):
            amounts = [min(int(s), 32) if mode == "clamp" else int(s) % 32 for s in by]
            expected = [_funnel(int(x), int(y), s, left) for x, y, s in zip(a, b, amounts)]
            found = map_ptx(f"shf.{letter}.{mode}.b32 %d, %a, %b, %c;", "uint32", a, b, by)
            np.testing.assert_array_equal(found, np.array(expected, np.uint32))


@pytest.mark.parametrize("bits", [32, 64])
def test_bit_counts(bits: int) -> None:
    a = integers(f"uint{bits}")
    text = [f"{int(x):0{bits}b}" for x in a]
    np.testing.assert_array_equal(map_ptx(f"popc.b{bits} %d, %a;", "uint32", a), [s.count("1") for s in text])
    np.testing.assert_array_equal(map_ptx(f"clz.b{bits} %d, %a;", "uint32", a), [(s + "1").index("1") for s in text])
    np.testing.assert_array_equal(map_ptx(f"brev.b{bits} %d, %a;", f"uint{bits}", a), np.array([int(s[::-1], 2) for s in text], a.dtype))
    find = [int(x).bit_length() - 1 for x in a]
    np.testing.assert_array_equal(map_ptx(f"bfind.u{bits} %d, %a;", "int32", a), find)
    signed = [(int(x) if x >= 0 else ~int(x)).bit_length() - 1 for x in a.view(f"int{bits}")]
    np.testing.assert_array_equal(map_ptx(f"bfind.s{bits} %d, %a;", "int32", a), signed)


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_bit_fields(kind: str) -> None:
    bits = int(kind[1:])
    dtype = ("uint" if kind[0] == "u" else "int") + kind[1:]
    values = np.repeat(integers(dtype, 8), 30)
    start = RNG.integers(0, bits + 8, values.size).astype(np.uint32)
    length = np.resize(np.array([0, 1, 3, 8, bits // 2, bits - 1, bits, bits + 5], np.uint32), values.size)

    def extract(x: int, s: int, n: int) -> int:
        last = min(s + n, bits)
        if n == 0:
            return 0
        if s >= bits:
            return -1 if x < 0 else 0
        part = (x >> s) & ((1 << (last - s)) - 1)
        sign = (x >> (last - 1)) & 1
        return part - (sign << (last - s)) if dtype[0] == "i" else part

    expected = [extract(int(x), int(s), int(n)) for x, s, n in zip(values, start, length)]
    np.testing.assert_array_equal(map_ptx(f"bfe.{kind} %d, %a, %b, %c;", dtype, values, start, length), np.array(expected, dtype))
    into = RNG.permutation(values).view(f"uint{bits}")

    def insert(x: int, y: int, s: int, n: int) -> int:
        mask = (((1 << n) - 1) << s) & ((1 << bits) - 1)
        return (y & ~mask) | ((x << s) & mask)

    fixed_start, fixed_length = 5, 11
    got = map_ptx(f"bfi.b{bits} %d, %a, %b, {fixed_start}, {fixed_length};", f"uint{bits}", values.view(f"uint{bits}"), into)
    wanted = [insert(int(x), int(y), fixed_start, fixed_length) for x, y in zip(values.view(f"uint{bits}"), into)]
    np.testing.assert_array_equal(got, np.array(wanted, f"uint{bits}"))


def test_permute_and_lookup() -> None:
    a, b = pairs("uint32")
    selector = RNG.integers(0, 2**16, a.size).astype(np.uint32)

    def permute(x: int, y: int, s: int) -> int:
        data = x.to_bytes(4, "little") + y.to_bytes(4, "little")
        out = 0
        for i in range(4):
            nibble = s >> 4 * i & 15
            byte = data[nibble & 7]
            out |= ((0xFF if byte & 0x80 else 0) if nibble & 8 else byte) << 8 * i
        return out

    expected = [permute(int(x), int(y), int(s)) for x, y, s in zip(a, b, selector)]
    np.testing.assert_array_equal(map_ptx("prmt.b32 %d, %a, %b, %c;", "uint32", a, b, selector), np.array(expected, np.uint32))
    c = RNG.permutation(a)
    np.testing.assert_array_equal(map_ptx("lop3.b32 %d, %a, %b, %c, 0xE8;", "uint32", a, b, c), (a & b) | (a & c) | (b & c))


def test_dot_product_of_bytes() -> None:
    a, b = pairs("uint32")
    c = RNG.integers(-1000, 1000, a.size).astype(np.int32)
    signed = (a.reshape(-1, 1).view(np.int8).astype(int) * b.reshape(-1, 1).view(np.uint8)).sum(1) + c
    np.testing.assert_array_equal(map_ptx("dp4a.s32.u32 %d, %a, %b, %c;", "int32", a, b, c), signed.astype(np.int32))


def test_packed_halves() -> None:
    a, b = pairs("uint32")
    x, y = a.view(np.int16), b.view(np.int16)
    np.testing.assert_array_equal(map_ptx("add.s16x2 %d, %a, %b;", "uint32", a, b).view(np.int16), x + y)
    np.testing.assert_array_equal(map_ptx("max.s16x2 %d, %a, %b;", "uint32", a, b).view(np.int16), np.maximum(x, y))


# -- floats

SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1.5, 2.0**-126, 2.0**-149, -(2.0**-140), 3.4e38, 65504.0, 65519.9, 1e-8, 255.5]


def floats_of(dtype: str, n: int = 150) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = np.concatenate([np.array(SPECIAL), RNG.standard_normal(n), RNG.standard_normal(n) * 10.0 ** RNG.integers(-12, 12, n)])
        return values.astype(dtype)


def float_pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    a, b = floats_of(dtype), RNG.permutation(floats_of(dtype))
    k = len(SPECIAL)
    return np.concatenate([np.repeat(a[:k], k), a]), np.concatenate([np.tile(a[:k], k), b])


def exact(values: list[Any], dtype: Any, rounding: str = "rn") -> np.ndarray:
    """Fractions (or floats where not finite) rounded to a type."""
    return np.array([round_fraction(v, dtype, rounding) for v in values], dtype)


def round_fraction(value: Any, dtype: Any, rounding: str) -> Any:
    if not isinstance(value, Fraction):
        return value
    info = np.finfo(dtype)
    if value == 0:
        return 0.0
    exponent = max(math.floor(math.log2(abs(value))) if abs(value) > Fraction(1, 2**1000) else -1000, int(info.minexp))
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while exponent > info.minexp and abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent - info.nmant)
    quotient = value / unit
    whole = {"rn": round, "rz": math.trunc, "rm": math.floor, "rp": math.ceil}[rounding](quotient) * unit
    if abs(whole) > Fraction(float(info.max)):
        up = whole > 0
        towards = rounding == "rz" or (rounding == "rm" and up) or (rounding == "rp" and not up)
        return float(info.max) * (1 if up else -1) if towards else (np.inf if up else -np.inf)
    return float(whole)


def combine(operation: Callable[..., Any], *arrays: np.ndarray) -> list[Any]:
    out = []
    for values in zip(*arrays):
        if all(np.isfinite(v) for v in values):
            found = operation(*[Fraction(float(v)) for v in values])
            out.append(found)
        else:
            with np.errstate(all="ignore"):
                out.append(operation(*[np.float64(v) for v in values]))
    return out


@pytest.mark.parametrize("rounding", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize(("name", "operation"), [("add", lambda a, b: a + b), ("sub", lambda a, b: a - b), ("mul", lambda a, b: a * b)])
def test_f32_sums_and_products_round_once(name: str, operation: Callable[..., Any], rounding: str) -> None:
    a, b = float_pairs("float32")
    expected = exact(combine(operation, a, b), np.float32, rounding)
    np.testing.assert_array_equal(map_ptx(f"{name}.{rounding}.f32 %d, %a, %b;", "float32", a, b), expected)


@pytest.mark.parametrize("rounding", ["rn", "rz", "rm", "rp"])
def test_f32_fma_rounds_once(rounding: str) -> None:
    a, b = float_pairs("float32")
    c = RNG.permutation(a)
    c[-150:] = -(a[-150:] * b[-150:])  # cancellation
    expected = exact(combine(lambda x, y, z: x * y + z, a, b, c), np.float32, rounding)
    np.testing.assert_array_equal(map_ptx(f"fma.{rounding}.f32 %d, %a, %b, %c;", "float32", a, b, c), expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 3), min_size=4, max_size=20))
def test_fma32_of_any_floats(rows: list[tuple[float, float, float]]) -> None:
    a, b, c = (np.array(column, np.float32) for column in zip(*rows))
    expected = exact(combine(lambda x, y, z: x * y + z, a, b, c), np.float32)
    with np.errstate(all="ignore"):
        found = floats.fma32(a, b, c)
    np.testing.assert_array_equal(np.abs(found), np.abs(expected))
    np.testing.assert_array_equal(found, expected)


def test_fma32_where_two_roundings_differ() -> None:
    # The product is 1 + 2^-24 + a little: to float64 first would give the middle, and the even neighbour 1.
    a, b = np.float32(1 + 2**-12), np.float32(1 + 2**-12)
    c = np.float32(-(2.0**-11) + 2.0**-60)
    assert map_ptx("fma.rn.f32 %d, %a, %b, %c;", "float32", np.array([a]), np.array([b]), np.array([c]))[0] == np.float32(1)
    tiny = np.array([2.0**-60], np.float32)
    middle = map_ptx("fma.rn.f32 %d, %a, %b, %c;", "float32", tiny, tiny, np.array([1 + 2**-23], np.float32))
    assert middle[0] == np.float32(1 + 2**-23)


def test_f64_fma_rounds_once() -> None:
    a, b = RNG.standard_normal(200), RNG.standard_normal(200)
    c = -(a * b)
    expected = [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in zip(a, b, c)]
    np.testing.assert_array_equal(map_ptx("fma.rn.f64 %d, %a, %b, %c;", "float64", a, b, c), expected)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "fma"])
def test_f16_arithmetic_rounds_once(name: str) -> None:
    a, b = float_pairs("float16")
    c = RNG.permutation(a)
    operations = {"add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "fma": lambda x, y, z: x * y + z}
    arrays = [a, b, c] if name == "fma" else [a, b]
    expected = exact(combine(operations[name], *arrays), np.float16)
    operands = ", ".join(["%a", "%b", "%c"][: len(arrays)])
    np.testing.assert_array_equal(map_ptx(f"{name}.rn.f16 %d, {operands};", "float16", *arrays), expected)


def bf16(values: np.ndarray) -> np.ndarray:
    import ml_dtypes

    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "fma"])
def test_bf16_arithmetic_rounds_once(name: str) -> None:
    a, b = (bf16(x) for x in float_pairs("float32"))
    c = RNG.permutation(a)
    operands = [x.astype(np.float64) for x in ([a, b, c] if name == "fma" else [a, b])]
    operations = {"add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "fma": lambda x, y, z: x * y + z}
    rows = combine(operations[name], *operands)
    # To odd in 40 bits, then once to bf16.
    wide = []
    for value in rows:
        if isinstance(value, Fraction) and value:
            unit = Fraction(2) ** (max(math.frexp(float(value))[1] if float(value) else -1074, -140) - 40)
            whole = math.trunc(value / unit)
            wide.append(float((whole | 1 if whole * unit != value and whole >= 0 else -(-whole | 1) if whole * unit != value else whole) * unit))
        else:
            wide.append(float(value))
    expected = bf16_from_f64(np.array(wide))
    raw = [x.view(np.uint16) for x in ([a, b, c] if name == "fma" else [a, b])]
    found = map_ptx(f"{name}.rn.bf16 %d, {', '.join(['%a', '%b', '%c'][: len(raw)])};", "uint16", *raw)
    np.testing.assert_array_equal(floats.bf16_to_f32(found), expected)


def bf16_from_f64(x: np.ndarray) -> np.ndarray:
    """To nearest even by exact integers."""
    out = []
    for value in x:
        if not np.isfinite(value) or value == 0:
            out.append(value)
            continue
        exponent = max(math.frexp(value)[1] - 1, -126)
        unit = Fraction(2) ** (exponent - 7)
        found = float(round(Fraction(value) / unit) * unit)
        out.append(math.copysign(np.inf, found) if abs(found) > float.fromhex("0x1.fep127") else found)
    return np.array(out, np.float32)


@pytest.mark.parametrize("kind", ["f16x2", "bf16x2"])
def test_packed_floats(kind: str) -> None:
    a, b = RNG.standard_normal((2, 128)).astype(np.float32)
    if kind == "f16x2":
        x, y = a.astype(np.float16), b.astype(np.float16)
        expected = (x * y).view(np.uint16)
    else:
        x, y = bf16(a), bf16(b)
        expected = (x * y).view(np.uint16)
    found = map_ptx(f"mul.rn.{kind} %d, %a, %b;", "uint32", x.view(np.uint32), y.view(np.uint32))
    np.testing.assert_array_equal(found.view(np.uint16), expected)


@pytest.mark.parametrize(("name", "reference"), [("div", np.divide), ("sqrt", np.sqrt), ("rcp", lambda x: 1 / x)])
@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_division_and_roots(name: str, reference: Any, kind: str) -> None:
    a, b = float_pairs("float" + kind[1:])
    arrays = [a, b] if name == "div" else [a]
    with np.errstate(all="ignore"):
        expected = reference(*arrays)
    found = map_ptx(f"{name}.rn.{kind} %d, {'%a, %b' if name == 'div' else '%a'};", "float" + kind[1:], *arrays)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["ex2", "lg2", "sin", "cos", "rsqrt", "rcp", "sqrt", "tanh"])
def test_approximations_are_rounded_exact_values(name: str) -> None:
    a = np.concatenate([RNG.uniform(0.01, 20, 200), -RNG.uniform(0.01, 20, 200), [0.0, np.inf, np.nan]]).astype(np.float32)
    functions = {"ex2": np.exp2, "lg2": np.log2, "sin": np.sin, "cos": np.cos, "rsqrt": lambda x: 1 / np.sqrt(x), "rcp": lambda x: 1 / x,
                 "sqrt": np.sqrt, "tanh": np.tanh}  # fmt: skip
    with np.errstate(all="ignore"):
        expected = functions[name](a.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(map_ptx(f"{name}.approx.f32 %d, %a;", "float32", a), expected)


def test_flushed_denormals() -> None:
    a = np.array([2.0**-130, -(2.0**-130), 2.0**-126, 1.0], np.float32)
    found = map_ptx("add.rn.ftz.f32 %d, %a, %b;", "float32", a, np.zeros_like(a))
    np.testing.assert_array_equal(found, [0, 0, 2.0**-126, 1])
    found = map_ptx("mul.rn.ftz.f32 %d, %a, 0f3F000000;", "float32", a)
    np.testing.assert_array_equal(found, [0, 0, 0, 0.5])
    assert list(np.signbit(found)) == [False, True, False, False]


def test_saturated_results() -> None:
    a = np.array([-1, 0.25, 2, np.nan, np.inf], np.float32)
    np.testing.assert_array_equal(map_ptx("add.rn.sat.f32 %d, %a, %b;", "float32", a, np.zeros_like(a)), [0, 0.25, 1, 0, 1])
    np.testing.assert_array_equal(map_ptx("fma.rn.relu.f16 %d, %a, %b, %b;", "float16", np.array([-2, 2, np.nan], np.float16),
                                          np.ones(3, np.float16)), [0, 3, np.nan])  # fmt: skip


@pytest.mark.parametrize("name", ["min", "max"])
def test_extremes_with_nan_and_signed_zeros(name: str) -> None:
    a, b = float_pairs("float32")
    pick = min if name == "min" else max

    def plain(x: float, y: float) -> float:
        if np.isnan(x) or np.isnan(y):
            return y if np.isnan(x) else x
        if x == y == 0:
            return pick(math.copysign(1, x), math.copysign(1, y)) * 0.0
        return pick(x, y)

    expected = np.array([plain(x, y) for x, y in zip(a, b)], np.float32)
    found = map_ptx(f"{name}.f32 %d, %a, %b;", "float32", a, b)
    np.testing.assert_array_equal(found, expected)
    keep = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[keep], np.signbit(expected)[keep])
    spread = map_ptx(f"{name}.NaN.f32 %d, %a, %b;", "float32", a, b)
    np.testing.assert_array_equal(np.isnan(spread), np.isnan(a) | np.isnan(b))


def test_signs() -> None:
    a, b = float_pairs("float32")
    np.testing.assert_array_equal(map_ptx("neg.f32 %d, %a;", "uint32", a), a.view(np.uint32) ^ 0x80000000)
    np.testing.assert_array_equal(map_ptx("abs.f32 %d, %a;", "uint32", a), a.view(np.uint32) & 0x7FFFFFFF)
    np.testing.assert_array_equal(map_ptx("copysign.f32 %d, %a, %b;", "uint32", a, b), (a.view(np.uint32) & 0x80000000) | (b.view(np.uint32) & 0x7FFFFFFF))


# -- comparisons

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}


@pytest.mark.parametrize("name", [*COMPARISONS, *[f"{name}u" for name in COMPARISONS], "num", "nan"])
def test_float_comparisons(name: str) -> None:
    a, b = float_pairs("float32")
    nan = np.isnan(a) | np.isnan(b)
    if name in ("num", "nan"):
        expected = nan == (name == "nan")
    elif name in COMPARISONS:
        expected = COMPARISONS[name](a, b) & ~nan
    else:
        expected = COMPARISONS[name[:2]](a, b) | nan
    found = map_ptx(f"setp.{name}.f32 %p1, %a, %b; selp.b32 %d, 7, -7, %p1;", "int32", a, b)
    np.testing.assert_array_equal(found, np.where(expected, 7, -7))


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"])
def test_integer_comparisons(name: str) -> None:
    kind = "s32" if name in COMPARISONS else "u32"
    a, b = pairs("int32" if kind == "s32" else "uint32")
    test = COMPARISONS.get(name) or COMPARISONS[{"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}[name]]
    found = map_ptx(f"setp.{name}.{kind} %p1, %a, %b; selp.b32 %d, 1, 0, %p1;", "int32", a, b)
    np.testing.assert_array_equal(found, test(a, b))


def test_predicates_combine() -> None:
    a, b = pairs("int32")
    body = """setp.lt.s32 %p1|%p2, %a, %b; setp.eq.and.s32 %p3, %a, 0, %p1; or.pred %p4, %p3, !%p1; not.pred %p5, %p4; xor.pred %p6, %p5, %p2;
    selp.b32 %d, 1, 0, %p6; @%p3 add.s32 %d, %d, 10; @!%p3 add.s32 %d, %d, 20;"""
    one, three = a < b, (a == 0) & (a < b)
    five = ~(three | ~one)
    np.testing.assert_array_equal(map_ptx(body, "int32", a, b), (five ^ ~one) + np.where(three, 10, 20))
    found = map_ptx("set.lt.u32.s32 %d, %a, %b;", "int32", a, b)
    np.testing.assert_array_equal(found, -(a < b).astype(np.int32))
    np.testing.assert_array_equal(map_ptx("slct.s32.s32 %d, 5, 6, %a;", "int32", a), np.where(a >= 0, 5, 6))


def test_class_of_floats() -> None:
    a = floats_of("float32")
    found = map_ptx("testp.subnormal.f32 %p1, %a; testp.finite.f32 %p2, %a; and.pred %p1, %p1, %p2; selp.b32 %d, 1, 0, %p1;", "int32", a)
    np.testing.assert_array_equal(found, (a != 0) & (np.abs(a) < 2.0**-126))


def test_special_registers() -> None:
    body = """mov.u32 %r5, %tid.y; mov.u32 %r6, %tid.z; mov.u32 %r7, %ctaid.z; mov.u32 %r8, %nctaid.y; mov.u32 %r9, %laneid; mov.u32 %r10, %lanemask_lt;
    mov.u32 %r11, %tid.x; mad.lo.s32 %r12, %r6, 3, %r5; mad.lo.s32 %r12, %r12, 5, %r11; mov.u32 %r13, %ctaid.y; mad.lo.s32 %r14, %r7, %r8, %r13;
    mov.u32 %r15, %nctaid.x; mov.u32 %r16, %ctaid.x; mad.lo.s32 %r14, %r14, %r15, %r16; mad.lo.s32 %r12, %r14, 30, %r12;
    mul.wide.u32 %rd0, %r12, 8; add.s64 %rd2, %rd1, %rd0; popc.b32 %r17, %r10; st.global.v2.u32 [%rd2], {%r9, %r17};"""
    found = run_ptx(ptx_module(body, params=1), (2, 3, 4), (5, 3, 2), [np.full(2 * 24 * 30, -1, np.int32)])[0].reshape(24, 30, 2)
    np.testing.assert_array_equal(found[:, :, 0], np.tile(np.arange(30), (24, 1)))
    np.testing.assert_array_equal(found[:, :, 1], found[:, :, 0])

"""Conversions of PTX: every pair of types, rounding and saturation."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlx_runtime.emulators import floats
from tests.emulators.support import map_ptx
from tests.emulators.test_ptx_arithmetic import floats_of, integers

RNG = np.random.default_rng(5)
NAMES = {"u": "uint", "s": "int", "f": "float"}


def dtype_of(kind: str) -> str:
    return NAMES[kind[0]] + kind[1:]


@pytest.mark.parametrize("source", ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("target", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_integers_to_integers(source: str, target: str) -> None:
    a = integers(dtype_of(source))
    np.testing.assert_array_equal(map_ptx(f"cvt.{target}.{source} %d, %a;", dtype_of(target), a), a.astype(dtype_of(target)))
    info = np.iinfo(dtype_of(target))
    clamped = np.array([min(max(int(x), int(info.min)), int(info.max)) for x in a], dtype_of(target))
    np.testing.assert_array_equal(map_ptx(f"cvt.sat.{target}.{source} %d, %a;", dtype_of(target), a), clamped)


@pytest.mark.parametrize("source", ["u8", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("rounding", ["rn", "rz", "rm", "rp"])
def test_integers_to_floats(source: str, rounding: str) -> None:
    a = integers(dtype_of(source))
    if source[1:] == "64":  # next to the middle of two floats
        a = np.concatenate([a, np.array([2**60 + 2**36, 2**60 + 2**36 + 1, 2**60 + 2**36 - 1, 2**62 + 3], a.dtype)])
    for kind in ("f32", "f64"):
        nmant = np.finfo(dtype_of(kind)).nmant
        expected = []
        for x in a:
            size = abs(int(x))
            drop = max(size.bit_length() - nmant - 1, 0)
            sign = -1 if x < 0 else 1
            up = {"rn": None, "rz": False, "rm": sign < 0, "rp": sign > 0}[rounding]
            whole, rest = size >> drop, size & ((1 << drop) - 1)
            half = 1 << drop >> 1
            more = (rest > half or (rest == half and whole & 1 and drop > 0)) if up is None else up and rest > 0
            expected.append(float(sign * ((whole + bool(more)) << drop)))
        if kind == "f64" and rounding != "rn":
            continue
        found = map_ptx(f"cvt.{rounding}.{kind}.{source} %d, %a;", dtype_of(kind), a)
        np.testing.assert_array_equal(found, np.array(expected, dtype_of(kind)))


@pytest.mark.parametrize("source", ["f16", "f32", "f64"])
@pytest.mark.parametrize("target", ["u8", "s16", "u16", "s32", "u32", "s64", "u64"])
@pytest.mark.parametrize("rounding", ["rni", "rzi", "rmi", "rpi"])
def test_floats_to_integers_saturate(source: str, target: str, rounding: str) -> None:
    a = floats_of(dtype_of(source))
    with np.errstate(over="ignore"):
        edges = np.array([2.0**31, 2.0**32, 2.0**63, 2.0**64, -(2.0**31), -(2.0**63), 0.5, 1.5, 2.5, -0.5, -1.5, 127.5, 65535.5]).astype(a.dtype)
    a = np.concatenate([a, edges])
    info = np.iinfo(dtype_of(target))
    whole = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}[rounding]
    expected = []
    for x in a:
        if np.isnan(x):
            wide = source == "f64" or target in ("s64", "u64")
            value = 0 if not wide else 1 << (info.bits - 1) if target[0] == "u" else info.min
        elif np.isinf(x):
            value = info.max if x > 0 else info.min
        else:
            value = min(max(whole(float(x)), int(info.min)), int(info.max))
        expected.append(int(value))
    result = dtype_of(target) if target != "u8" else "uint16"
    found = map_ptx(f"cvt.{rounding}.{target}.{source} %d, %a;", result, a)
    np.testing.assert_array_equal(found, np.array(expected, result))


@pytest.mark.parametrize(("target", "source"), [("f16", "f32"), ("f32", "f64"), ("f16", "f64")])
def test_narrowing_rounds_once(target: str, source: str) -> None:
    a = np.concatenate([floats_of(dtype_of(source)), np.array([65504, 65519, 65520, 65536, 1e300 if source == "f64" else 1e38], dtype_of(source))])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(map_ptx(f"cvt.rn.{target}.{source} %d, %a;", dtype_of(target), a), a.astype(dtype_of(target)))
    for rounding in ("rz", "rm", "rp"):
        found = map_ptx(f"cvt.{rounding}.{target}.{source} %d, %a;", dtype_of(target), a).astype(np.float64)
        wide = a.astype(np.float64)
        ok = ~np.isnan(wide)
        low, high = found[ok], wide[ok]
        if rounding == "rm":
            assert (low <= high).all()
        elif rounding == "rp":
            assert (low >= high).all()
        else:
            assert (np.abs(low) <= np.abs(high)).all()
        with np.errstate(all="ignore"):
            nearest = a.astype(dtype_of(target))
            step = np.abs(np.spacing(nearest[ok]).astype(np.float64))
            finite = np.isfinite(high) & np.isfinite(nearest[ok]) & np.isfinite(low)
            assert (np.abs(low - high)[finite] <= step[finite]).all()


@pytest.mark.parametrize(("target", "source"), [("f32", "f16"), ("f64", "f32"), ("f64", "f16")])
def test_widening_is_exact(target: str, source: str) -> None:
    a = floats_of(dtype_of(source))
    np.testing.assert_array_equal(map_ptx(f"cvt.{target}.{source} %d, %a;", dtype_of(target), a), a.astype(dtype_of(target)))


@pytest.mark.parametrize(("name", "reference"), [("rni", np.rint), ("rzi", np.trunc), ("rmi", np.floor), ("rpi", np.ceil)])
def test_rounding_to_integral_floats(name: str, reference: np.ufunc) -> None:
    a = np.concatenate([floats_of("float32"), np.array([0.5, -0.5, 1.5, 2.5, -0.2], np.float32)])
    found = map_ptx(f"cvt.{name}.f32.f32 %d, %a;", "float32", a)
    np.testing.assert_array_equal(found, reference(a))
    np.testing.assert_array_equal(np.signbit(found), np.signbit(a))


def test_saturation_to_the_unit_interval() -> None:
    a = np.array([-1, 0.25, 2, np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(map_ptx("cvt.sat.f32.f32 %d, %a;", "float32", a), [0, 0.25, 1, 0, 1, 0])


def test_bf16() -> None:
    a = floats_of("float32")
    expected = a.astype(ml_dtypes.bfloat16)
    found = map_ptx("cvt.rn.bf16.f32 %d, %a;", "uint16", a)
    np.testing.assert_array_equal(found.view(ml_dtypes.bfloat16).astype(np.float32), expected.astype(np.float32))
    np.testing.assert_array_equal(map_ptx("cvt.f32.bf16 %d, %a;", "float32", expected.view(np.uint16)), expected.astype(np.float32))
    b = RNG.permutation(a)
    both = map_ptx("cvt.rn.bf16x2.f32 %d, %a, %b;", "uint32", a, b)
    np.testing.assert_array_equal(floats.bf16_to_f32((both & 0xFFFF).astype(np.uint16)), b.astype(ml_dtypes.bfloat16).astype(np.float32))
    np.testing.assert_array_equal(floats.bf16_to_f32((both >> 16).astype(np.uint16)), expected.astype(np.float32))
    halves = map_ptx("cvt.rn.f16x2.f32 %d, %a, %b;", "uint32", a, b).view(np.float16).reshape(-1, 2)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(halves, np.stack([b, a], 1).astype(np.float16))


def test_tf32_rounds_ties_away() -> None:
    a = np.array([1 + 2**-11, 1 + 2**-10, -(1 + 2**-11), 1 + 2**-12], np.float32)
    np.testing.assert_array_equal(map_ptx("cvt.rna.tf32.f32 %d, %a;", "float32", a), np.array([1 + 2**-10, 1 + 2**-10, -(1 + 2**-10), 1]))


@pytest.mark.parametrize(("name", "dtype"), [("e4m3", ml_dtypes.float8_e4m3fn), ("e5m2", ml_dtypes.float8_e5m2)])
def test_eight_bit_floats(name: str, dtype: type) -> None:
    largest = float(ml_dtypes.finfo(dtype).max)
    a = np.concatenate([RNG.standard_normal(200) * 10.0 ** RNG.integers(-5, 3, 200), [0.0, -0.0, largest, largest * 1.03, 2.0**-9, 2.0**-10, 3 * 2.0**-10]])
    a = a.astype(np.float32)
    b = RNG.permutation(a)
    found = map_ptx(f"cvt.rn.satfinite.{name}x2.f32 %d, %a, %b;", "uint16", a, b).view(dtype).reshape(-1, 2)
    clamped = np.clip(np.stack([b, a], 1), -largest, largest).astype(dtype)
    np.testing.assert_array_equal(found.astype(np.float32), clamped.astype(np.float32))
    codes = np.arange(256, dtype=np.uint8)
    pair = np.stack([codes, codes[::-1]], 1).reshape(-1).view(np.uint16)
    wide = map_ptx(f"cvt.rn.f16x2.{name}x2 %d, %a;", "uint32", pair).view(np.float16).reshape(-1, 2)
    np.testing.assert_array_equal(wide[:, 0], codes.view(dtype).astype(np.float16))
    np.testing.assert_array_equal(wide[:, 1], codes[::-1].view(dtype).astype(np.float16))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=20), st.sampled_from(["f16", "bf16", "e5m2", "e4m3"]))
def test_narrow_agrees_with_ml_dtypes(values: list[float], name: str) -> None:
    types = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "e5m2": ml_dtypes.float8_e5m2, "e4m3": ml_dtypes.float8_e4m3fn}
    # From f32, so that no library rounds twice.
    with np.errstate(all="ignore"):
        x = np.array(values).astype(np.float32)
        expected = x.astype(types[name]).astype(np.float64)
        np.testing.assert_array_equal(floats.narrow(x.astype(np.float64), name), expected)


def test_packing_moves() -> None:
    a, b = RNG.integers(0, 2**16, (2, 64)).astype(np.uint16)
    np.testing.assert_array_equal(map_ptx("mov.b32 %d, {%a, %b};", "uint32", a, b), a.astype(np.uint32) | (b.astype(np.uint32) << 16))
    c = RNG.integers(0, 2**63, 64).astype(np.uint64)
    body = ".reg .b32 %x<3>; mov.b64 {%x1, %x2}, %a; mov.b64 %d, {%x2, %x1};"
    np.testing.assert_array_equal(map_ptx(body, "uint64", c), (c >> 32) | (c << 32))
    body = ".reg .b32 %x1; mov.b64 {_, %x1}, %a; mov.b32 %d, %x1;"
    np.testing.assert_array_equal(map_ptx(body, "uint32", c), (c >> 32).astype(np.uint32))
    packed = map_ptx("cvt.pack.sat.s16.s32 %d, %a, %b;", "uint32", *integers_pair())
    x, y = integers_pair()
    expected = np.stack([np.clip(y, -32768, 32767), np.clip(x, -32768, 32767)], 1).astype(np.int16)
    np.testing.assert_array_equal(packed.view(np.int16).reshape(-1, 2), expected)


def integers_pair() -> tuple[np.ndarray, np.ndarray]:
    a = np.arange(-70000, 70000, 1234, dtype=np.int32)
    return a, a[::-1].copy()

"""Floating-point arithmetic as devices do it: fused products, rounding modes, narrow formats.

Values of narrow formats are held in NumPy arrays of a wider type (`float32` for f16 and bf16, `float64` elsewhere).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = np.float32
F64 = np.float64
Array = NDArray[Any]


@dataclass(frozen=True)
class Format:
    """A binary format: `precision` bits of significand (the hidden one too), smallest normal exponent, largest value."""

    precision: int
    lowest: int
    largest: float
    has_inf: bool = True


FORMATS = {
    "f32": Format(24, -126, float(np.finfo(F32).max)),
    "f16": Format(11, -14, 65504.0),
    "bf16": Format(8, -126, float.fromhex("0x1.fep127")),
    "tf32": Format(11, -126, float.fromhex("0x1.ffcp127")),
    "e5m2": Format(3, -14, 57344.0),
    "e4m3": Format(4, -6, 448.0, has_inf=False),
}
ROUNDINGS = ("rn", "rz", "rm", "rp", "rna")


def to_integral(x: Array, rounding: str) -> Array:
    """`x` rounded to an integer: nearest even, to zero, down, up, nearest with ties away from zero."""
    if rounding == "rn":
        return np.rint(x)
    if rounding == "rz":
        return np.trunc(x)
    if rounding == "rm":
        return np.floor(x)
    if rounding == "rp":
        return np.ceil(x)
    return np.trunc(x) + np.where(np.abs(x - np.trunc(x)) >= 0.5, np.copysign(1.0, x), 0.0)


def narrow(x: Array, name: str, rounding: str = "rn", saturate: bool = False) -> Array:
    """float64 `x` rounded once to a format, as float64. `saturate`: the largest value instead of infinity; formats without
    infinity give NaN beyond their range."""
    form = FORMATS[name]
    if name == "f32" and rounding == "rn" and not saturate:
        return x.astype(F32).astype(F64)
    x = np.asarray(x, F64)
    finite = np.isfinite(x)
    safe = np.where(finite, x, 0.0)
    exponent = np.maximum(np.frexp(safe)[1] - 1, form.lowest)
    # ldexp by parts: the unit of the smallest f32 is far from the limits of f64.
    shift = form.precision - 1 - exponent
    rounded = np.copysign(np.ldexp(to_integral(np.ldexp(safe, shift), rounding), -shift), safe)
    over = np.abs(rounded) > form.largest
    beyond = np.inf if form.has_inf else np.nan
    towards = rounding in ("rn", "rna") or not form.has_inf
    keep = np.zeros_like(over) if towards else (
        np.ones_like(over) if rounding == "rz" else (rounded > 0) if rounding == "rm" else (rounded < 0)
    )  # fmt: skip
    limit = np.copysign(form.largest, rounded)
    rounded = np.where(over, np.where(keep | saturate, limit, np.copysign(beyond, rounded)), rounded)
    if saturate:
        return np.where(finite, rounded, np.where(np.isnan(x), x, np.copysign(form.largest, x)))
    return np.where(finite, rounded, x if form.has_inf else np.nan)


# -- fused and directed sums


def add_odd(a: Array, b: Array) -> Array:
    """float64 `a + b` rounded to odd: rounding the result again to 51 bits or fewer rounds the exact sum."""
    total = a + b
    back = total - a
    error = (a - (total - back)) + (b - back)
    bits = np.asarray(total, F64).view(np.int64)
    inexact = (error != 0) & np.isfinite(total)
    if not inexact.any():
        return np.asarray(total, F64)
    # Truncate towards zero where the sum was rounded away from it, then set the last bit.
    away = inexact & ((error < 0) != (total < 0))
    return np.where(inexact, (bits - away) | 1, bits).view(F64)


def fma32(a: Array, b: Array, c: Array) -> Array:
    """`a · b + c` of float32, rounded once."""
    product = np.multiply(a, b, dtype=F64)
    total = product + c
    # A second rounding matters only where the first one gave the middle between two floats, or among the denormals.
    bits = np.asarray(total).view(np.int64) & 0x1FFF_FFFF
    if (bits == 0x1000_0000).any() or (np.abs(total) < 1.2e-38).any():
        total = add_odd(product, np.asarray(c, F64))
    return total.astype(F32)


def fma_odd(a: Array, b: Array, c: Array) -> Array:
    """`a · b + c` of values whose product is exact in float64 (f32 and narrower), rounded to odd."""
    return add_odd(np.multiply(a, b, dtype=F64), np.asarray(c, F64))


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    split = 134217729.0
    high = a * b
    a1 = a * split
    a1 = a1 - (a1 - a)
    b1 = b * split
    b1 = b1 - (b1 - b)
    a2, b2 = a - a1, b - b1
    return high, a2 * b2 - (((high - a1 * b1) - a2 * b1) - a1 * b2)


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def fma64(a: Array, b: Array, c: Array) -> Array:
    """`a · b + c` of float64, rounded once (Boldo and Melquiond 2008)."""
    high, low = _two_product(a, b)
    top, rest = _two_sum(c, low)
    upper, lower = _two_sum(high, top)
    total = upper + add_odd(rest, lower)
    plain = a * b + c
    total = np.atleast_1d(np.where(np.isfinite(total), total, plain))
    # Parts of the product below the smallest float, or beyond the largest: by exact fractions.
    size = np.abs(high)
    risky = ((size < 1e-250) & (size > 0)) | (size > 1e290) | (np.abs(a) > 1e290) | (np.abs(b) > 1e290) | (np.abs(total) < 1e-290)
    risky = np.broadcast_to(risky & np.isfinite(a) & np.isfinite(b) & np.isfinite(c), total.shape)
    for at in zip(*np.nonzero(risky)):
        x, y, z = (float(np.broadcast_to(v, total.shape)[at]) for v in (a, b, c))
        exact = Fraction(x) * Fraction(y) + Fraction(z)
        if exact:
            try:
                total[at] = float(exact)
            except OverflowError:
                total[at] = np.inf if exact > 0 else -np.inf
    return total.reshape(np.shape(plain))


# -- formats


def bf16_to_f32(bits: Array) -> Array:
    """uint16 -> float32, exactly."""
    return (np.asarray(bits).astype(np.uint32) << np.uint32(16)).view(F32)


def f32_to_bf16(x: Array) -> Array:
    """float32 -> uint16, to nearest even; NaN stays NaN."""
    bits = np.asarray(x, F32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(x), np.uint32(0x7FFF), rounded).astype(np.uint16)


def f64_to_f16(x: Array) -> Array:
    """float64 -> uint16, to nearest even; NaN stays NaN."""
    return np.asarray(x, F64).astype(np.float16).view(np.uint16)


def fp8_to_f32(bits: Array, name: str) -> Array:
    """uint8 of `e4m3` or `e5m2` -> float32, exactly."""
    bits = np.asarray(bits).astype(np.uint16)
    if name == "e5m2":
        return (bits << np.uint16(8)).view(np.float16).astype(F32)
    exponent, fraction = ((bits >> 3) & 15).astype(np.int32), (bits & 7).astype(F32)
    value = np.where(exponent == 0, fraction / 8 * F32(2.0**-6), np.ldexp(1 + fraction / 8, exponent - 7))
    value = np.where((bits & 0x7F) == 0x7F, F32(np.nan), value)
    return np.where(bits & 0x80, -value, value).astype(F32)


def fp8_from_f64(x: Array, name: str, saturate: bool = True) -> Array:
    """float64 -> uint8 of `e4m3` or `e5m2`, to nearest even; beyond the range the largest value, or infinity (NaN in `e4m3`)."""
    value = narrow(np.asarray(x, F64), name, saturate=saturate)
    if name == "e5m2":
        bits = value.astype(np.float16).view(np.uint16) >> 8
        return np.where(np.isnan(x), np.where(np.signbit(x), 0xFF, 0x7F), bits).astype(np.uint8)
    size = np.abs(np.where(np.isnan(value), 0.0, value))
    exponent = np.maximum(np.frexp(size)[1] - 1, -6)
    scaled = np.ldexp(size, 3 - exponent).astype(np.int64)  # 8 to 15 for normal values
    bits = np.where(scaled >= 8, ((exponent + 7) << 3) + scaled - 8, scaled)
    bits = np.where(np.isnan(value), 0x7F, bits)
    return (bits | np.where(np.signbit(value), 0x80, 0)).astype(np.uint8)


def flush(x: Array) -> Array:
    """float32 with denormals as zeros of their sign."""
    return np.where(np.abs(x) < F32(2.0**-126), np.copysign(F32(0), x), x)


# -- minimum and maximum


def maximum(a: Array, b: Array, keep_nan: bool = False) -> Array:
    """The larger; +0 is above -0; a NaN gives the other value, or NaN if `keep_nan`."""
    result = np.maximum(a, b) if keep_nan else np.fmax(a, b)
    return np.where((a == 0) & (b == 0), a + b, result)


def minimum(a: Array, b: Array, keep_nan: bool = False) -> Array:
    """The smaller; -0 is below +0; a NaN gives the other value, or NaN if `keep_nan`."""
    result = np.minimum(a, b) if keep_nan else np.fmin(a, b)
    return np.where((a == 0) & (b == 0), -((-a) + (-b)), result)


# -- conversion to integers


def to_integer(x: Array, dtype: Any, rounding: str = "rz", nan: int = 0) -> Array:
    """float64 `x` rounded and clamped to an integer type; NaN gives `nan`."""
    info = np.iinfo(dtype)
    rounded = to_integral(np.asarray(x, F64), rounding)
    high = float(info.max) if info.bits < 64 else np.nextafter(2.0 ** (64 if info.min == 0 else 63), 0)
    inside = np.clip(np.where(np.isnan(rounded), 0.0, rounded), float(info.min), high)
    result = inside.astype(np.uint64).astype(dtype) if info.min == 0 else inside.astype(np.int64).astype(dtype)
    result = np.where(rounded > high, dtype(info.max), result)
    return np.where(np.isnan(rounded), np.asarray(nan, np.int64).astype(dtype), result).astype(dtype)

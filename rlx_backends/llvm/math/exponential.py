"""Exponentials, logarithms, powers and hyperbolic functions, in f32 and f64, on native registers."""

from __future__ import annotations

import math

import numpy as np

from rlx_backends.llvm.math import coefficients as c
from rlx_backends.llvm.math import tables
from rlx_backends.llvm.math.lanes import F, Lanes
from rlx_backends.llvm.values import float_literal, vector_literal

_LOG2_E = 1 / math.log(2)


def exp(v: Lanes, x: F) -> F:
    """e^x = 2^k · e^r with r = x - k·ln2; ln2 in two parts, of which the first times k is exact."""
    x = v.clamp(x, -104.5, 89.0) if v.single else v.clamp(x, -746.0, 710.0)
    return _exp_by_table(v, x) if v.wide else _exp_in_range(v, x, None)


def _exp_in_range(v: Lanes, x: F, low: F | None) -> F:
    """e^(x + low) for x that neither overflows nor underflows by far."""
    k, u = v.round(x, _LOG2_E)
    r = _minus_multiple(v, x, k, c.LN2_F32 if v.single else c.LN2_F64)
    if low is not None:
        r = r + low
    coefficients = (1.0, 1.0, *(c.EXP_F32 if v.single else c.EXP_F64))
    return v.scale(v.poly(r, coefficients), k, u)


def _minus_multiple(v: Lanes, x: F, k: F, parts: tuple[float, ...]) -> F:
    """x - k·(sum of parts)"""
    for part in parts:
        x = v.fma(k, -part, x)
    return x


def _exp_by_table(v: Lanes, x: F) -> F:
    """e^x = 2^(k/16) · e^r: the fraction of k/16 chooses from a register, so that a cubic does for r."""
    per = 16 / math.log(2)
    high = float(np.float32(per))
    k, u = v.round(x, high)
    r = v.fma(x, per - high, v.fma(x, high, -k))  # x·16/ln2 - k
    step = math.log(2) / 16
    p = v.fma(v.fma(r, step**3 / 6, step * step / 2), r, step) * r
    table = vector_literal([float_literal(2 ** (j / 16), "float") for j in range(16)], "float")
    t = v.x86("avx512.permvar.sf.512", v.floats, [(v.floats, table), (v.integers, u.bits().r)])
    return v.scale(v.fma(t, p, t), k * (1 / 16), u)  # vscalefps takes the floor


def exp2(v: Lanes, x: F) -> F:
    """2^x = 2^k · 2^r with r = x - k, exact."""
    x = v.clamp(x, -151.0, 129.0) if v.single else v.clamp(x, -1076.0, 1025.0)
    k, u = v.round(x)
    r = x - k
    if v.single:
        return v.scale(v.poly(r, (1.0, *c.EXP2_F32)), k, u)
    return v.scale(v.poly(r * math.log(2), (1.0, 1.0, *c.EXP_F64)), k, u)


def expm1(v: Lanes, x: F) -> F:
    """2^k·(e^r - 1) + (2^k - 1), at half the scale so that 2^k does not overflow."""
    clamped = v.clamp(x, -18.0, 89.0) if v.single else v.clamp(x, -38.0, 710.0)
    k, u = v.round(clamped, _LOG2_E)
    r = _minus_multiple(v, clamped, k, c.LN2_F32 if v.single else c.LN2_F64)
    q = v.fma(v.poly(r, c.EXPM1_F32 if v.single else c.EXPM1_F64), r * r, r)
    half = v.power_of_two(v.low_bits(u) - 1)
    result = v.fma(half, q, half - 0.5) * 2.0
    return v.select(x.is_(0.0), x, result)


# -- logarithms


def _split(v: Lanes, x: F) -> tuple[F, F]:
    """(e, m) with x = 2^e · m, m around 1, for positive finite x."""
    smallest = 2.0 ** (1 - v.bias)
    tiny = x < smallest
    x = v.select(tiny, x * 2.0**v.mantissa, x)
    # From 2/3 for f32, whose polynomial is in m - 1; from √½ for f64, whose is in (m - 1)/(m + 1).
    lowest = 0x3F2AAAAB if v.single else 0x3FE6A09E667F3BCD
    words = x.bits()
    exponent = (words - lowest) >> v.mantissa
    m = (words - (exponent << v.mantissa)).floats()
    e = exponent.to_float()
    return v.select(tiny, e - float(v.mantissa), e), m


def _log_near_one(v: Lanes, f: F, e: F, parts: tuple[float, float]) -> F:
    """e·(sum of parts) + log(1 + f)"""
    high, low = parts
    if v.single:
        square = f * f
        p = v.fma(v.poly(f, c.LOG_F32), f, -0.5)
        return v.fma(e, high, f + v.fma(square, p, e * low))
    # log(1 + f) = f - (f²/2 - s·(f²/2 + R(s²))), s = f/(2 + f): f is exact and the rest is small.
    s = f / (f + 2.0)
    z = s * s
    half_square = f * f * 0.5
    series = z * v.poly(z, c.LOG_F64)
    rest = half_square - v.fma(s, half_square + series, e * low)
    return v.fma(e, high, f - rest)


def _log_special(v: Lanes, x: F, result: F) -> F:
    """log of 0, of negative numbers, of infinity and of NaN."""
    result = v.select(x.compare("uge", math.inf), x, result)
    result = v.select(x < 0.0, math.nan, result)
    return v.select(x.is_(0.0), -math.inf, result)


def log(v: Lanes, x: F) -> F:
    e, m = _split(v, x)
    return _log_special(v, x, _log_near_one(v, m - 1.0, e, c.LN2_F32 if v.single else c.LN2_F64))


def log2(v: Lanes, x: F) -> F:
    e, m = _split(v, x)
    high, low = (1.4426950216293335, 1.925963033500926e-08) if v.single else (1.4426950408889634, 2.0355273740931033e-17)
    natural = _log_near_one(v, m - 1.0, v.const(0.0), (0.0, 0.0))
    return _log_special(v, x, v.fma(natural, high, v.fma(natural, low, e)))


def log10(v: Lanes, x: F) -> F:
    e, m = _split(v, x)
    high, low = c.LOG10_2_F32 if v.single else c.LOG10_2_F64
    natural = _log_near_one(v, m - 1.0, v.const(0.0), (0.0, 0.0))
    return _log_special(v, x, v.fma(e, high, v.fma(natural, 1 / math.log(10), e * low)))


def log1p(v: Lanes, x: F) -> F:
    """log(u) with u = 1 + x rounded; what the rounding lost joins f."""
    u = x + 1.0
    back = u - 1.0
    lost = (1.0 - (u - back)) + (x - back)
    e, m = _split(v, u)
    # 2^-e of the lost part; where e is large it does not matter.
    limit = float(v.bias - 1)
    f = v.fma(lost, v.power_of_two(v.clamp(-e, -limit, limit).to_int()), m - 1.0)
    result = _log_near_one(v, f, e, c.LN2_F32 if v.single else c.LN2_F64)
    result = v.select(x.compare("uge", math.inf), x, result)
    result = v.select(x < -1.0, math.nan, result)
    result = v.select(x.is_(-1.0), -math.inf, result)
    return v.select(x.is_(0.0), x, result)


# -- powers


def powf(v: Lanes, x: F, y: F) -> F:
    """x^y"""
    return _pow_f32(v, x, y) if v.single else _pow_f64(v, x, y)


def _pow_f32(v: Lanes, x: F, y: F) -> F:
    """x^y through f64, which leaves nothing to correct."""
    d = Lanes(v.f, "double", v.width)

    def widen(value: F) -> F:
        return F(d, v.f.emit(f"fpext {v.floats} {value.r} to {d.floats}"))

    base, exponent = widen(abs(x)), widen(y)
    e, m = _split(d, base)
    logarithm = _log_special(d, base, _log_near_one(d, m - 1.0, e, c.LN2_F64))
    power = exp(d, exponent * logarithm)
    return _pow_special(v, x, y, F(v, v.f.emit(f"fptrunc {d.floats} {power.r} to {v.floats}")))


def _pow_f64(v: Lanes, x: F, y: F) -> F:
    """exp(y·log|x|) with the logarithm in two parts, as its absolute error becomes the relative error of the power."""
    base = abs(x)
    e, m = _split(v, base)
    f = m - 1.0
    # s = f/(2 + f) = s_high + s_low
    sum_high = m + 1.0
    sum_low = m - (sum_high - 1.0)
    s_high = f / sum_high
    residue = _exact_fma(v, -s_high, sum_high, f) - s_high * sum_low
    s_low = residue / sum_high
    z = s_high * s_high
    series = s_high * z * v.poly(z, c.LOG_F64)
    ln2_high, ln2_low = c.LN2_F64
    # e·ln2_high is exact; the larger summand first.
    whole, twice = e * ln2_high, s_high * 2.0
    high = whole + twice
    first = v.select(abs(whole) > abs(twice), whole, twice)
    second = v.select(abs(whole) > abs(twice), twice, whole)
    low = (first - high) + second + (e * ln2_low + (s_low * 2.0 + series))
    log_high = high + low
    log_low = (high - log_high) + low
    product = y * log_high
    rest = v.fma(y, log_low, _exact_fma(v, y, log_high, -product))
    special = _log_special(v, base, log_high)
    product = v.select(abs(special) < math.inf, product, y * special)
    limited = v.clamp(product, -746.0, 710.0)
    rest = v.select(limited.is_(product), rest, 0.0)
    return _pow_special(v, x, y, _exp_in_range(v, limited, rest))


def _exact_fma(v: Lanes, a: F, b: F, addend: F) -> F:
    """A product whose rounding error is wanted: fused on every CPU."""
    return v.call("fma", a, b, addend)


def _pow_special(v: Lanes, x: F, y: F, power: F) -> F:
    """Signs and exceptions of x^y, from |x|^y."""
    whole = v.call("trunc", y)
    is_whole = whole.is_(y)
    half = y * 0.5
    is_odd = is_whole & ~v.call("trunc", half).is_(half)
    negative = x.bits().compare("slt", 0)
    power = v.select(abs(x).is_(1.0), 1.0, power)  # also for y = ±inf
    power = v.select(x.compare("uno", y), math.nan, power)
    signed = v.select(negative & is_odd, -power, power)
    signed = v.select((x < 0.0) & ~is_whole & (abs(x) < math.inf), math.nan, signed)
    return v.select(y.is_(0.0) | x.is_(1.0), 1.0, signed)


def cbrt(v: Lanes, x: F) -> F:
    """The bits of x over 3 are a first guess; Halley's step triples the number of correct digits."""
    a = abs(x)
    # Away from the ends of the range, where cubes leave it.
    shift = 8 if v.single else 18
    small, large = a < 2.0 ** -(v.bias // 2), a > 2.0 ** (v.bias // 2)
    scaled = a * v.select(small, 2.0 ** (3 * shift), v.select(large, 2.0 ** (-3 * shift), 1.0))
    offset = (2 / 3) * v.bias * 2.0**v.mantissa * 0.9988
    y = v.fma(scaled.bits().to_float(), 1 / 3, offset).to_int().floats()
    for _ in range(2 if v.single else 3):
        cube = y * y * y
        y = y * v.divide(v.fma(scaled, 2.0, cube), v.fma(cube, 2.0, scaled))
    # One step of Newton with the residue of the cube.
    square = y * y
    y = y + v.divide(v.fma(-square, y, scaled), square * 3.0)
    y = y * v.select(small, 2.0**-shift, v.select(large, 2.0**shift, 1.0))
    return v.select((a < math.inf) & (a > 0.0), y.copysign(x), x)


# -- hyperbolic functions


def tanh(v: Lanes, x: F) -> F:
    if v.single:
        return v.odd_table(x, tables.TANH) if v.wide else v.odd_ratio(x, 9.02, *c.TANH_F32)
    t = expm1(v, v.clamp(abs(x), 0.0, 20.0) * 2.0)
    return (t / (t + 2.0)).copysign(x)


def sinh(v: Lanes, x: F) -> F:
    """(t + t/(t + 1))/2 with t = e^|x| - 1; for large x half of e^(|x|/2) squared, which overflows no sooner than the result."""
    a = abs(x)
    t = expm1(v, v.clamp(a, 0.0, 20.0))
    near = (t + t / (t + 1.0)) * 0.5
    root = exp(v, a * 0.5)
    return v.select(a > 20.0, root * 0.5 * root, near).copysign(x)


def cosh(v: Lanes, x: F) -> F:
    root = exp(v, abs(x) * 0.5)
    return v.fma(root * 0.5, root, v.const(0.5) / root / root)


def asinh(v: Lanes, x: F) -> F:
    """log1p(a + a²/(1 + √(a² + 1))); beyond 2^14 the logarithm of 2a."""
    a = abs(x)
    limit = 2.0**14 if v.single else 2.0**28
    near = v.clamp(a, 0.0, limit)
    square = near * near
    small = log1p(v, near + square / ((square + 1.0).sqrt() + 1.0))
    large = log(v, a) + math.log(2)
    return v.select(a > limit, large, small).copysign(x)


def acosh(v: Lanes, x: F) -> F:
    """log1p(t + √(t² + 2t)) with t = x - 1"""
    limit = 2.0**14 if v.single else 2.0**28
    t = v.clamp(x, -math.inf, limit) - 1.0
    small = log1p(v, t + v.fma(t, t, t * 2.0).sqrt())
    large = log(v, x) + math.log(2)
    return v.select(x < 1.0, math.nan, v.select(x > limit, large, small))


def atanh(v: Lanes, x: F) -> F:
    a = abs(x)
    return (log1p(v, a * 2.0 / (1.0 - a)) * 0.5).copysign(x)

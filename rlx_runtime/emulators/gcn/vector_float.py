"""Floating-point instructions of the vector unit.

Exponentials, logarithms, reciprocals, roots, sines are computed in float64 and rounded once; what a device gives differs by an
ulp or so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators import floats
from rlx_runtime.emulators.gcn.vector import Entry, entry

Array = NDArray[Any]
TABLE: dict[str, Entry] = {}
F32, F64 = np.float32, np.float64


def _add(names: str, made: Entry) -> None:
    for name in names.split():
        TABLE[f"v_{name}"] = made


def _fused(kind: str) -> Callable[[Array, Array, Array], Array]:
    return floats.fma32 if kind.endswith("f32") else floats.fma64 if kind == "f64" else floats.fma_odd


def median(a: Array, b: Array, c: Array) -> Array:
    return floats.maximum(floats.minimum(a, b), floats.minimum(floats.maximum(a, b), c))


def wide(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """In float64; the target rounds."""
    return lambda x: function(np.asarray(x, F64))


def keeping(function: Callable[[Array, Array, bool], Array]) -> Callable[[Array, Array], Array]:
    """Minimum or maximum that gives NaN if there is one."""
    return lambda a, b: function(a, b, True)


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp2, "log": np.log2, "rcp": lambda x: 1.0 / x, "rcp_iflag": lambda x: 1.0 / x, "sqrt": np.sqrt,
    "rsq": lambda x: 1.0 / np.sqrt(x), "sin": lambda x: np.sin(2 * np.pi * x), "cos": lambda x: np.cos(2 * np.pi * x),
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "rndne": np.rint,
    "fract": lambda x: np.minimum(x - np.floor(x), np.nextafter(1.0, 0.0)),
}  # fmt: skip

_high, _low = floats.maximum, floats.minimum
for _kind in ("f16", "f32", "f64"):
    _two, _three = f"{_kind} {_kind}", f"{_kind} {_kind} {_kind}"
    _fma = _fused(_kind)
    _add(f"add_{_kind}", entry(_kind, _two, np.add))
    _add(f"sub_{_kind}", entry(_kind, _two, np.subtract))
    _add(f"subrev_{_kind}", entry(_kind, _two, lambda a, b: b - a))
    _add(f"mul_{_kind}", entry(_kind, _two, np.multiply))
    _add(f"fma_{_kind}", entry(_kind, _three, _fma))
    _add(f"fmac_{_kind}", entry(_kind, _three, _fma, tied=True))
    _add(f"fmamk_{_kind}", entry(_kind, _three, lambda a, k, b, fma=_fma: fma(a, k, b)))
    _add(f"fmaak_{_kind}", entry(_kind, _three, _fma))
    _add(f"max_{_kind} max_num_{_kind}", entry(_kind, _two, floats.maximum))
    _add(f"min_{_kind} min_num_{_kind}", entry(_kind, _two, floats.minimum))
    _add(f"maximum_{_kind}", entry(_kind, _two, keeping(floats.maximum)))
    _add(f"minimum_{_kind}", entry(_kind, _two, keeping(floats.minimum)))
    _add(f"max3_{_kind} max3_num_{_kind}", entry(_kind, _three, lambda a, b, c: _high(_high(a, b), c)))
    _add(f"min3_{_kind} min3_num_{_kind}", entry(_kind, _three, lambda a, b, c: _low(_low(a, b), c)))
    _add(f"maximum3_{_kind}", entry(_kind, _three, lambda a, b, c: _high(_high(a, b, True), c, True)))
    _add(f"minimum3_{_kind}", entry(_kind, _three, lambda a, b, c: _low(_low(a, b, True), c, True)))
    _add(f"med3_{_kind} med3_num_{_kind}", entry(_kind, _three, median))
    _add(f"maxmin_{_kind} maxmin_num_{_kind}", entry(_kind, _three, lambda a, b, c: _low(_high(a, b), c)))
    _add(f"minmax_{_kind} minmax_num_{_kind}", entry(_kind, _three, lambda a, b, c: _high(_low(a, b), c)))
    for _name, _function in FUNCTIONS.items():
        _add(f"{_name}_{_kind}", entry(_kind, _kind, wide(_function)))
    _add(f"ldexp_{_kind}", entry(_kind, f"{_kind} {'i16' if _kind == 'f16' else 'i32'}",
                                 lambda x, e: np.ldexp(np.asarray(x, F64), np.asarray(e).astype(np.int32))))  # fmt: skip
    _add(f"frexp_mant_{_kind}", entry(_kind, _kind, lambda x: np.where(np.isfinite(x), np.frexp(x)[0], x)))
    _add(f"frexp_exp_{'i16' if _kind == 'f16' else 'i32'}_{_kind}",
         entry("i16" if _kind == "f16" else "i32", _kind, lambda x: np.where(np.isfinite(x), np.frexp(x)[1], 0)))  # fmt: skip

_add("mac_f32", entry("f32", "f32 f32 f32", lambda a, b, c: a * b + c, tied=True))
_add("mad_f32 madak_f32 mad_legacy_f32", entry("f32", "f32 f32 f32", lambda a, b, c: a * b + c))
_add("madmk_f32", entry("f32", "f32 f32 f32", lambda a, k, b: a * k + b))
_add("mul_legacy_f32 mul_dx9_zero_f32", entry("f32", "f32 f32", lambda a, b: np.where((a == 0) | (b == 0), F32(0), a * b)))

# -- packed

for _kind in ("f16", "bf16", "f32"):
    _packed = f"pk_{_kind}"
    _two, _three = f"{_packed} {_packed}", f"{_packed} {_packed} {_packed}"
    _fma = _fused(_kind)
    if _kind == "bf16":
        _fma = lambda a, b, c: floats.narrow(floats.fma_odd(a, b, c), "bf16")  # noqa: E731
    _add(f"pk_add_{_kind}", entry(_packed, _two, np.add))
    _add(f"pk_mul_{_kind}", entry(_packed, _two, np.multiply))
    _add(f"pk_fma_{_kind}", entry(_packed, _three, _fma))
    _add(f"pk_max_{_kind} pk_max_num_{_kind}", entry(_packed, _two, floats.maximum))
    _add(f"pk_min_{_kind} pk_min_num_{_kind}", entry(_packed, _two, floats.minimum))
    _add(f"pk_maximum_{_kind}", entry(_packed, _two, keeping(floats.maximum)))
    _add(f"pk_minimum_{_kind}", entry(_packed, _two, keeping(floats.minimum)))
_add("pk_fmac_f16", entry("pk_f16", "pk_f16 pk_f16 pk_f16", floats.fma_odd, tied=True))


def _dot2(a: Array, b: Array, c: Array) -> Array:
    return (np.asarray(a, F64) * np.asarray(b, F64)).sum(axis=-1) + c


_add("dot2_f32_f16", entry("f32", "pk_f16 pk_f16 f32", _dot2))
_add("dot2_f32_bf16", entry("f32", "pk_bf16 pk_bf16 f32", _dot2))
_add("dot2c_f32_f16 dot2acc_f32_f16", entry("f32", "pk_f16 pk_f16 f32", _dot2, tied=True))
_add("dot2c_f32_bf16", entry("f32", "pk_bf16 pk_bf16 f32", _dot2, tied=True))

# -- conversions

_NUMBERS = {"i16": np.int16, "u16": np.uint16, "i32": np.int32, "u32": np.uint32}
for _to, _source in (("i32", "f32"), ("u32", "f32"), ("i32", "f64"), ("u32", "f64"), ("i16", "f16"), ("u16", "f16")):
    _add(f"cvt_{_to}_{_source}", entry(_to, _source, lambda x, to=_NUMBERS[_to]: floats.to_integer(x, to)))
    _add(f"cvt_{_source}_{_to}", entry(_source, _to, lambda x, to=(F64 if _source == "f64" else F32): np.asarray(x).astype(to)))
for _to, _source in (("f32", "f16"), ("f64", "f32"), ("f32", "bf16")):
    _add(f"cvt_{_to}_{_source}", entry(_to, _source, lambda x: x))
_add("cvt_f16_f32", entry("f16", "f32", lambda x: x))
_add("cvt_f32_f64", entry("f32", "f64", lambda x: x))
_add("cvt_bf16_f32", entry("bf16", "f32", lambda x: x))
for _byte in range(4):
    _shift = np.uint32(8 * _byte)
    _add(f"cvt_f32_ubyte{_byte}", entry("f32", "u32", lambda x, by=_shift: ((x >> by) & np.uint32(255)).astype(F32)))
_add("cvt_flr_i32_f32 cvt_floor_i32_f32", entry("i32", "f32", lambda x: floats.to_integer(x, np.int32, "rm")))
_add("cvt_rpi_i32_f32 cvt_nearest_i32_f32",
     entry("i32", "f32", lambda x: floats.to_integer(np.asarray(x, F64) + 0.5, np.int32, "rm")))  # fmt: skip


def _both(a: Array, b: Array) -> Array:
    return np.stack(np.broadcast_arrays(a, b), axis=-1)


def _towards_zero(a: Array, b: Array) -> Array:
    return floats.narrow(np.asarray(_both(a, b), F64), "f16", "rz")


_add("cvt_pkrtz_f16_f32 cvt_pk_rtz_f16_f32", entry("pk_f16", "f32 f32", _towards_zero))
_add("cvt_pk_f16_f32", entry("pk_f16", "f32 f32", _both))
_add("cvt_pk_bf16_f32", entry("pk_bf16", "f32 f32", _both))
_add("cvt_pk_i16_f32", entry("pk_i16", "f32 f32", lambda a, b: floats.to_integer(_both(a, b), np.int16)))
_add("cvt_pk_u16_f32", entry("pk_u16", "f32 f32", lambda a, b: floats.to_integer(_both(a, b), np.uint16)))
_add("cvt_pk_i16_i32", entry("pk_i16", "i32 i32", lambda a, b: np.clip(_both(a, b), -32768, 32767)))
_add("cvt_pk_u16_u32", entry("pk_u16", "u32 u32", lambda a, b: np.minimum(_both(a, b), np.uint32(65535))))

# -- division: scale, refine, undo (the names of LLVM's expansion)


def _exponent(x: Array, double: bool) -> Array:
    """The biased exponent field."""
    x = np.ascontiguousarray(x)
    if double:
        return (x.view(np.int64) >> 52) & 0x7FF
    return ((x.view(np.int32) >> 23) & 0xFF).astype(np.int64)


def _scale(double: bool) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    gap, tiny, by = (768, 53, 128) if double else (96, 23, 64)
    smallest = 2.0**-1022 if double else 2.0**-126

    def compute(value: Array, denominator: Array, numerator: Array) -> tuple[Array, Array]:
        value, denominator, numerator = np.broadcast_arrays(value, denominator, numerator)

        def denormal(x: Array, limit: float = smallest) -> Array:
            return (x != 0) & (np.abs(x) < limit)

        quotient = numerator / denominator
        inverse = denormal(1.0 / np.asarray(denominator, F64), 2.0**-1022)
        far = _exponent(numerator, double) - _exponent(denominator, double) >= gap
        down, small = denormal(denominator), denormal(quotient)
        is_denominator, is_numerator = value == denominator, value == numerator
        zero = (numerator == 0) | (denominator == 0)
        up, lower = np.ldexp(value, by), np.ldexp(value, -by)
        low = _exponent(numerator, double) <= tiny
        cases = [
            (zero, value * np.nan, False), (far, np.where(is_denominator, up, value), True), (down, up, False),
            (inverse & small, np.where(is_denominator, up, value), True), (inverse, lower, False),
            (small, np.where(is_numerator, up, value), True), (low, up, False),
        ]  # fmt: skip
        conditions = [case[0] for case in cases]
        scaled = np.select(conditions, [case[1] for case in cases], value)
        flag = np.select(conditions, [np.broadcast_to(case[2], value.shape) for case in cases], False)
        return scaled, flag

    return compute


def _refine(double: bool) -> Callable[[Array, Array, Array, Array], Array]:
    bias, by = (1023, 128) if double else (127, 64)
    fma = floats.fma64 if double else floats.fma32

    def compute(a: Array, b: Array, c: Array, scaled: Array) -> Array:
        shift = np.where(scaled, np.where(_exponent(c, double) > bias, by, -by), 0)
        if double:
            return np.ldexp(fma(a, b, c), shift)
        # One rounding: the sum before it is scaled is exact to odd in float64.
        return np.where(scaled, np.ldexp(floats.fma_odd(a, b, c), shift).astype(F32), fma(a, b, c))

    return compute


def fix_up(quotient: Array, denominator: Array, numerator: Array) -> Array:
    """v_div_fixup: the special cases of `numerator / denominator`, else the quotient with the right sign."""
    sign = np.where(np.signbit(denominator) ^ np.signbit(numerator), -1.0, 1.0)
    nan = np.isnan(numerator) | np.isnan(denominator) | ((numerator == 0) & (denominator == 0))
    nan |= np.isinf(numerator) & np.isinf(denominator)
    infinite = (denominator == 0) | np.isinf(numerator)
    zero = np.isinf(denominator) | (numerator == 0)
    return np.where(nan, np.nan, np.where(infinite, sign * np.inf, np.where(zero, sign * 0.0, np.copysign(quotient, sign))))


for _kind, _double in (("f32", False), ("f64", True)):
    _three = f"{_kind} {_kind} {_kind}"
    _add(f"div_scale_{_kind}", entry(f"{_kind} mask", _three, _scale(_double)))
    _add(f"div_fmas_{_kind}", entry(_kind, f"{_three} mask", _refine(_double), reads_vcc=True))
    _add(f"div_fixup_{_kind}", entry(_kind, _three, fix_up))
_add("div_fixup_f16", entry("f16", "f16 f16 f16", fix_up))
_add("div_fixup_legacy_f16", entry("f16", "f16 f16 f16", fix_up))


# -- 8-bit floats


def fp8(bits: Array, name: str, unsigned_zero: bool) -> Array:
    """uint8 -> float32. `unsigned_zero`: the formats of gfx942 (FNUZ), whose bias is one more and whose NaN is 0x80."""
    bits = np.asarray(bits).astype(np.uint8)
    if not unsigned_zero:
        return floats.fp8_to_f32(bits, name)
    if name == "e4m3":
        exponent, fraction, parts, bias = (bits >> 3) & 15, bits & 7, 8.0, 8
    else:
        exponent, fraction, parts, bias = (bits >> 2) & 31, bits & 3, 4.0, 16
    exponent, fraction = exponent.astype(np.int32), fraction.astype(F32)
    size = np.where(exponent == 0, np.ldexp(fraction / parts, 1 - bias), np.ldexp(1 + fraction / parts, exponent - bias))
    value = np.where(bits & 0x80, -size, size)
    return np.where(bits == 0x80, np.nan, value).astype(F32)


"""Circular functions and their inverses, in f32 and f64, on native registers."""

from __future__ import annotations

import math
import struct

from rlx_backends.llvm.math import coefficients as c
from rlx_backends.llvm.math.lanes import F, I, Lanes, M

_LIMIT_FUSED, _LIMIT = 2.0**30, 2.0**20
"""Up to here k·π/2 is subtracted in parts; k has 20 bits where the products must be exact, 29 where they are fused."""


def _reduce(v: Lanes, x: F) -> tuple[F, F, I]:
    """(r, low, n): x = n·π/2 + r + low with |r| <= π/4, n modulo 4. f32 is reduced in f64 and has no low part."""
    d = Lanes(v.f, "double", v.width)
    wide = F(d, v.f.emit(f"fpext {v.floats} {x.r} to {d.floats}")) if v.single else x
    k, u = d.round(wide, 2 / math.pi)
    if v.single and v.f.target.fma == "fma":
        limit = _LIMIT_FUSED
        r = d.fma(k, -c.PIO2_F64[1], d.fma(k, -c.PIO2_F64[0], wide))
        low = d.const(0.0)
    else:
        # Products with parts of 33 bits are exact, and so are the differences up to the last.
        limit = _LIMIT
        first, second, third = c.PIO2_33
        t = wide - k * first
        w = k * second
        s = t - w
        lost = (t - s) - w
        w = k * third
        r = s - w
        low = ((s - r) - w) + lost
    n = u.bits()
    a = abs(wide)
    far = ((a > limit) & (a < math.inf)).any()
    r, low, n = _far(d, far, wide, (r, low, n))
    if not v.single:
        return r, low, n
    quadrant = I(v, v.f.emit(f"trunc {d.integers} {n.r} to {v.integers}"))
    return F(v, v.f.emit(f"fptrunc {d.floats} {r.r} to {v.floats}")), v.const(0.0), quadrant


def _far(d: Lanes, far: str, x: F, near: tuple[F, F, I]) -> tuple[F, F, I]:
    """Replace the reduction by the exact one if a lane is too large for it; out of line, as that is rare."""
    f = d.f
    cold, join, before = f.label("far"), f.label("near"), f.block
    f.branch_if(far, cold, join)
    f.start_block(cold)
    f.module.declare("llvm.smax.i64", "i64", ["i64", "i64"])
    f.module.declare("llvm.fma.f64", "double", ["double", "double", "double"])
    f.module.declare("llvm.fabs.f64", "double", ["double"])
    helper = f.module.helper("rlx.reduce.pio2", _scalar_text(f.target.table_space, f.target.helper_attributes))
    if d.width:  # a scalar is here because it needs the exact reduction
        helper = f.module.helper(f"rlx.reduce.pio2.v{d.width}", _vector_text(d.width))
    result = f"{{ {d.floats}, {d.floats}, {d.integers} }}"
    exact = f.emit(f"call {result} {helper}({d.floats} {x.r})")
    parts = [f.emit(f"extractvalue {result} {exact}, {i}") for i in range(3)]
    f.branch(join)
    f.start_block(join)
    merged = [
        f.emit(f"phi {type_} [ {value.r}, %{before} ], [ {part}, %{cold} ]")
        for value, part, type_ in zip(near, parts, (d.floats, d.floats, d.integers))
    ]
    return F(d, merged[0]), F(d, merged[1]), I(d, merged[2])


def _sine_and_cosine(v: Lanes, r: F, low: F) -> tuple[F, F]:
    """Of r + low with |r| <= π/4."""
    z = r * r
    sine_tail = v.poly(z, c.SIN_F32 if v.single else c.SIN_F64)
    cosine_tail = v.poly(z, c.COS_F32 if v.single else c.COS_F64)
    half = z * 0.5
    if v.single:
        return v.fma(sine_tail, z * r, r), v.fma(cosine_tail, z * z, 1.0 - half)
    # sin(r + l) = sin r + l·cos r; cos(r + l) = cos r - l·sin r. The rounding of 1 - z/2 is given back.
    sine = r + v.fma(sine_tail, z * r, low * (1.0 - half))
    whole = 1.0 - half
    return sine, whole + (((1.0 - whole) - half) + v.fma(cosine_tail, z * z, -(r * low)))


def _signed(v: Lanes, value: F, quadrant: I) -> F:
    """Negated in quadrants 2 and 3."""
    return (value.bits() ^ ((quadrant & 2) << (v.mantissa + (8 if v.single else 11) - 1))).floats()


def _is_odd(quadrant: I) -> M:
    return (quadrant & 1).compare("ne", 0)


def sin(v: Lanes, x: F) -> F:
    r, low, n = _reduce(v, x)
    sine, cosine = _sine_and_cosine(v, r, low)
    return v.select(x.is_(0.0), x, _signed(v, v.select(_is_odd(n), cosine, sine), n))


def cos(v: Lanes, x: F) -> F:
    r, low, n = _reduce(v, x)
    sine, cosine = _sine_and_cosine(v, r, low)
    return _signed(v, v.select(_is_odd(n), sine, cosine), n + 1)


def tan(v: Lanes, x: F) -> F:
    r, low, n = _reduce(v, x)
    sine, cosine = _sine_and_cosine(v, r, low)
    odd = _is_odd(n)
    return v.select(x.is_(0.0), x, v.select(odd, -cosine, sine) / v.select(odd, sine, cosine))


# -- inverses


def _atan_of_ratio(v: Lanes, y: F, x: F) -> F:
    """atan(y/x) in [0, π/2] for y, x >= 0, not both zero."""
    if v.single:
        swap = y > x
        t = v.select(swap, x, y) / v.select(swap, y, x)
        z = t * t
        angle = v.fma(v.poly(z, c.ATAN_F32) * z, t, t)
        high, low = c.PIO2_F32
        return v.select(swap, high - (angle - low), angle)
    # Three ranges: t, (t - 1)/(t + 1) around π/4, -1/t around π/2; each ratio below tan(π/8).
    steep, middle = y > x * (1 + math.sqrt(2)), y > x * (math.sqrt(2) - 1)
    numerator = v.select(steep, -x, v.select(middle, y - x, y))
    denominator = v.select(steep, y, v.select(middle, y + x, x))
    t = numerator / denominator
    z = t * t
    high, low = c.PIO2_F64
    base = v.select(steep, high, v.select(middle, high / 2, 0.0))
    rest = v.select(steep, low, v.select(middle, low / 2, 0.0))
    return base + (t + v.fma(v.poly(z, c.ATAN_F64) * z, t, rest))


def atan(v: Lanes, x: F) -> F:
    a = abs(x)
    # Infinity over 1 would become infinity over infinity.
    finite = v.clamp(a, 0.0, 2.0**60)
    return _atan_of_ratio(v, finite, v.const(1.0)).copysign(x)


def atan2(v: Lanes, y: F, x: F) -> F:
    """The angle of (x, y) in [-π, π]; 0 of the origin with x = +0, as signed zeros ask."""
    a, b = abs(y), abs(x)
    both_infinite = (a.is_(math.inf)) & (b.is_(math.inf))
    both_zero = (a + b).is_(0.0)
    # Scale so that neither an infinity nor a denormal spoils the ratio; down by what sums need, as the smaller one may vanish.
    largest = v.select(a > b, a, b)
    down = v.select(largest > 2.0 ** (v.bias // 2), 0.25, 1.0)
    up = v.select(largest < 2.0 ** -(v.bias // 2), 2.0 ** (v.bias // 2 + v.mantissa), down)
    a, b = a * up, b * up
    a = v.select(both_infinite, 1.0, a)
    b = v.select(both_infinite | both_zero, 1.0, b)
    infinite = a.is_(math.inf) | b.is_(math.inf)
    a = v.select(infinite, v.select(a.is_(math.inf), 1.0, 0.0), a)
    b = v.select(infinite, v.select(b.is_(math.inf), 1.0, 0.0), b)
    angle = _atan_of_ratio(v, a, b)
    high, low = c.PI_F32 if v.single else c.PI_F64
    angle = v.select(x.bits().compare("slt", 0), high - (angle - low), angle)
    return v.select(x.compare("uno", y), math.nan, angle.copysign(y))


def _asin_tail(v: Lanes, a: F, big: M) -> F:
    """asin of a where a <= 1/2, of √((1 - a)/2) elsewhere."""
    z = v.select(big, (1.0 - a) * 0.5, a * a)
    s = v.select(big, z.sqrt(), a)
    return v.fma(v.poly(z, c.ASIN_F32 if v.single else c.ASIN_F64) * z, s, s)


def asin(v: Lanes, x: F) -> F:
    a = abs(x)
    big = a > 0.5
    p = _asin_tail(v, a, big)
    high, low = c.PIO2_F32 if v.single else c.PIO2_F64
    return v.select(big, high - v.fma(p, 2.0, -low), p).copysign(x)


def acos(v: Lanes, x: F) -> F:
    a = abs(x)
    big = a > 0.5
    p = _asin_tail(v, a, big)
    pi_high, pi_low = c.PI_F32 if v.single else c.PI_F64
    half_high, half_low = c.PIO2_F32 if v.single else c.PIO2_F64
    near_ends = v.select(x > 0.0, p * 2.0, pi_high - v.fma(p, 2.0, -pi_low))
    return v.select(big, near_ends, half_high - (p.copysign(x) - half_low))


# -- exact reduction of huge arguments


def _float(value: float) -> str:
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def _bytes_of_two_over_pi() -> str:
    """2/π · 2^1280 in little-endian bytes, with room for a load of 32 bytes anywhere in it."""
    data = c.TWO_OVER_PI.to_bytes(160 + 32, "little")
    return "".join(f"\\{byte:02X}" for byte in data)


# |x| = M·2^E with an integer M of 53 bits, E >= -32. Bits of 2/π that weigh 4 or more times 1/M·2^-E give multiples of 2π, so
# 192 bits from there on suffice: x·2/π modulo 4 is a fraction with `places` binary places. It is taken apart into four pieces
# of 48 bits, each exact in f64, and multiplied by π/2 in two parts.
def _scalar_text(space: int, attributes: str) -> str:
    """The reduction of one number; the digits of 2/π lie in an address space of the target."""
    where = f" addrspace({space})" if space else ""
    return f"""\
@rlx.two.over.pi = internal{where} constant [192 x i8] c"{_bytes_of_two_over_pi()}", align 64
define internal {{ double, double, i64 }} @rlx.reduce.pio2(double %x) {attributes} cold nounwind {{
entry:
  %bits = bitcast double %x to i64
  %exp.sign = lshr i64 %bits, 52
  %exp.raw = and i64 %exp.sign, 2047
  %e = sub i64 %exp.raw, 1075
  %frac = and i64 %bits, 4503599627370495
  %m = or i64 %frac, 4503599627370496
  %skip = sub i64 %e, 2
  %skip0 = call i64 @llvm.smax.i64(i64 %skip, i64 0)
  %at = sub i64 1088, %skip0
  %byte = lshr i64 %at, 3
  %place = getelementptr inbounds i8, ptr{where} @rlx.two.over.pi, i64 %byte
  %raw = load i256, ptr{where} %place, align 1
  %odd = and i64 %at, 7
  %odd256 = zext i64 %odd to i256
  %shifted = lshr i256 %raw, %odd256
  %window = trunc i256 %shifted to i192
  %window256 = zext i192 %window to i256
  %m256 = zext i64 %m to i256
  %product = mul i256 %window256, %m256
  %skip192 = add i64 %skip0, 192
  %places = sub i64 %skip192, %e
  %places256 = zext i64 %places to i256
  %left = sub i256 254, %places256
  %modulo4 = shl i256 %product, %left
  %rounded = add i256 %modulo4, {1 << 253}
  %n256 = lshr i256 %rounded, 254
  %n = trunc i256 %n256 to i64
  %rest = shl i256 %modulo4, 2
  %p1.i = ashr i256 %rest, 208
  %p2.s = shl i256 %rest, 48
  %p2.i = lshr i256 %p2.s, 208
  %p3.s = shl i256 %rest, 96
  %p3.i = lshr i256 %p3.s, 208
  %p4.s = shl i256 %rest, 144
  %p4.i = lshr i256 %p4.s, 208
  %p1.64 = trunc i256 %p1.i to i64
  %p2.64 = trunc i256 %p2.i to i64
  %p3.64 = trunc i256 %p3.i to i64
  %p4.64 = trunc i256 %p4.i to i64
  %p1.d = sitofp i64 %p1.64 to double
  %p2.d = sitofp i64 %p2.64 to double
  %p3.d = sitofp i64 %p3.64 to double
  %p4.d = sitofp i64 %p4.64 to double
  %p1 = fmul double %p1.d, {_float(2.0**-48)}
  %p2 = fmul double %p2.d, {_float(2.0**-96)}
  %p3 = fmul double %p3.d, {_float(2.0**-144)}
  %p4 = fmul double %p4.d, {_float(2.0**-192)}
  %p12 = fadd double %p1, %p2
  %p12.back = fsub double %p12, %p1
  %p12.lost = fsub double %p2, %p12.back
  %p34 = fadd double %p3, %p4
  %tail = fadd double %p12.lost, %p34
  %high = fadd double %p12, %tail
  %high.back = fsub double %high, %p12
  %low = fsub double %tail, %high.back
  %r0 = fmul double %high, {_float(c.PIO2_F64[0])}
  %r0.neg = fneg double %r0
  %r1 = call double @llvm.fma.f64(double %high, double {_float(c.PIO2_F64[0])}, double %r0.neg)
  %r2 = fmul double %high, {_float(c.PIO2_F64[1])}
  %r3 = fmul double %low, {_float(c.PIO2_F64[0])}
  %r23 = fadd double %r2, %r3
  %rlow = fadd double %r1, %r23
  %negative = icmp slt i64 %bits, 0
  %r0.signed = select i1 %negative, double %r0.neg, double %r0
  %rlow.neg = fneg double %rlow
  %rlow.signed = select i1 %negative, double %rlow.neg, double %rlow
  %n.neg = sub i64 0, %n
  %n.signed = select i1 %negative, i64 %n.neg, i64 %n
  %out0 = insertvalue {{ double, double, i64 }} poison, double %r0.signed, 0
  %out1 = insertvalue {{ double, double, i64 }} %out0, double %rlow.signed, 1
  %out2 = insertvalue {{ double, double, i64 }} %out1, i64 %n.signed, 2
  ret {{ double, double, i64 }} %out2
}}
"""


def _vector_text(width: int) -> str:
    """The scalar reduction for every lane; an infinite lane becomes NaN."""
    floats, integers = f"<{width} x double>", f"<{width} x i64>"
    result = f"{{ {floats}, {floats}, {integers} }}"
    return f"""\
define internal {result} @rlx.reduce.pio2.v{width}({floats} %x) noinline cold nounwind {{
entry:
  br label %lane
lane:
  %i = phi i64 [ 0, %entry ], [ %i1, %next ]
  %r = phi {floats} [ poison, %entry ], [ %r1, %next ]
  %low = phi {floats} [ poison, %entry ], [ %low1, %next ]
  %n = phi {integers} [ poison, %entry ], [ %n1, %next ]
  %one = extractelement {floats} %x, i64 %i
  %a = call double @llvm.fabs.f64(double %one)
  %large = fcmp ogt double %a, {_float(2.0**16)}
  br i1 %large, label %exact, label %simple
simple:
  %k.x = fmul double %one, {_float(2 / math.pi)}
  %k.sum = fadd double %k.x, {_float(1.5 * 2.0**52)}
  %k = fsub double %k.sum, {_float(1.5 * 2.0**52)}
  %w1 = fmul double %k, {_float(c.PIO2_33[0])}
  %s0 = fsub double %one, %w1
  %w2 = fmul double %k, {_float(c.PIO2_33[1])}
  %s1 = fsub double %s0, %w2
  %s1.back = fsub double %s0, %s1
  %s1.lost = fsub double %s1.back, %w2
  %w3 = fmul double %k, {_float(c.PIO2_33[2])}
  %s.low = fsub double %s1.lost, %w3
  %s.n = bitcast double %k.sum to i64
  br label %next
exact:
  %e = call {{ double, double, i64 }} @rlx.reduce.pio2(double %one)
  %e.r = extractvalue {{ double, double, i64 }} %e, 0
  %e.low = extractvalue {{ double, double, i64 }} %e, 1
  %e.n = extractvalue {{ double, double, i64 }} %e, 2
  %nan = fsub double %one, %one
  %e.r1 = fadd double %e.r, %nan
  br label %next
next:
  %new.r = phi double [ %s1, %simple ], [ %e.r1, %exact ]
  %new.low = phi double [ %s.low, %simple ], [ %e.low, %exact ]
  %new.n = phi i64 [ %s.n, %simple ], [ %e.n, %exact ]
  %r1 = insertelement {floats} %r, double %new.r, i64 %i
  %low1 = insertelement {floats} %low, double %new.low, i64 %i
  %n1 = insertelement {integers} %n, i64 %new.n, i64 %i
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, {width}
  br i1 %more, label %lane, label %done
done:
  %out0 = insertvalue {result} poison, {floats} %r1, 0
  %out1 = insertvalue {result} %out0, {floats} %low1, 1
  %out2 = insertvalue {result} %out1, {integers} %n1, 2
  ret {result} %out2
}}
"""

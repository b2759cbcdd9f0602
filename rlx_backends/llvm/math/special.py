"""The error function, in f32 and f64, on native registers."""

from __future__ import annotations

from rlx_backends.llvm.math import coefficients as c
from rlx_backends.llvm.math import tables
from rlx_backends.llvm.math.exponential import exp
from rlx_backends.llvm.math.lanes import F, Lanes


def erf(v: Lanes, x: F) -> F:
    if v.single:
        return v.odd_table(x, tables.ERF) if v.wide else v.odd_ratio(x, 3.92, *c.ERF_F32)
    # Taylor's series near 0; elsewhere 1 - erfc, with erfc(z) = t·exp(-z² + polynomial in t), t = 2/(2 + z).
    a = v.clamp(abs(x), 0.0, 6.0)
    near = v.clamp(a, 0.0, 1.0)
    inner = near * v.poly(near * near, c.ERF_F64)
    t = v.const(2.0) / (a + 2.0)
    s = v.fma(t, 8 / 3, -5 / 3)
    outer = 1.0 - t * exp(v, v.fma(-a, a, v.poly(s, c.ERFC_F64)))
    return v.select(a < 1.0, inner, outer).copysign(x)

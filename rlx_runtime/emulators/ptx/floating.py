"""Floating-point instructions of PTX.

The approximate ones (ex2, lg2, sin, cos, tanh, rcp, rsqrt, sqrt, div with `.approx` or `.full`) are computed in float64 and
rounded once: what a device gives differs from it by its documented error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators import floats
from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.ptx.integer import simple
from rlx_runtime.emulators.ptx.operands import Context, Kind

Array = NDArray[Any]
ALLOWED = frozenset(("rn", "rz", "rm", "rp", "ftz", "sat", "approx", "full", "NaN", "relu"))


def _options(c: Context) -> tuple[Kind, str, bool, Callable[[Array], Array]]:
    """Type, rounding, whether denormals are flushed, and what is done to the result."""
    opcode = c.statement.opcode
    extra = set(opcode[1:-1])
    if extra - ALLOWED:
        raise c.unknown()
    kind = c.kind(opcode[-1])
    rounding = next((part for part in opcode if part in floats.ROUNDINGS), "rn")
    ftz, sat, relu = ("ftz" in extra and kind.name == "f32"), "sat" in extra, "relu" in extra

    def finish(x: Array) -> Array:
        if ftz:
            x = floats.flush(x)
        if sat:
            x = np.where(np.isnan(x), 0, np.clip(x, 0, 1)) + kind.dtype(0)
        if relu:
            x = np.where(np.isnan(x), x, np.where(x > 0, x, 0))
        return x.astype(kind.dtype)

    return kind, rounding, ftz, finish


def _format(kind: Kind) -> str:
    return "bf16" if kind.name.startswith("bf16") else "f16" if kind.name.startswith("f16") else kind.name


def operation(c: Context, plain: Callable[..., Array], exact: Callable[..., Array] | None = None) -> Step:
    """`plain` computes in the type itself (rounding to nearest); `exact` in float64, rounded to odd, for other roundings and
    where the type is narrower than what is computed in."""
    kind, rounding, ftz, finish = _options(c)
    if kind.name == "f64" and rounding != "rn":
        raise c.unknown()

    def compute(*operands: Array) -> Array:
        if ftz:
            operands = tuple(floats.flush(x) for x in operands)
        if rounding != "rn":
            wide = (exact or plain)(*[np.asarray(x, np.float64) for x in operands])
            return finish(floats.narrow(wide, _format(kind), rounding))
        return finish(plain(*operands))

    return simple(c, kind, compute)


def fused(c: Context) -> Step:
    """fma (and mad of floats): rounded once."""
    kind, rounding, ftz, finish = _options(c)
    if kind.name == "f64":
        if rounding != "rn":
            raise c.unknown()
        return simple(c, kind, floats.fma64)
    if kind.name == "f32" and rounding == "rn":
        if ftz:
            return simple(c, kind, lambda a, b, d: finish(floats.fma32(*(floats.flush(x) for x in (a, b, d)))))
        if "sat" not in c.statement.opcode:
            return simple(c, kind, floats.fma32)
    name = _format(kind)

    def compute(a: Array, b: Array, d: Array) -> Array:
        if ftz:
            a, b, d = (floats.flush(x) for x in (a, b, d))
        return finish(floats.narrow(floats.fma_odd(a, b, d), name, rounding))

    return simple(c, kind, compute)


def _wide(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: function(np.asarray(x, np.float64))


def function(plain: Callable[[Array], Array]) -> Callable[[Context], Step]:
    """A function of one value, computed in float64 and rounded once."""

    def decoder(c: Context) -> Step:
        return operation(c, _wide(plain))

    return decoder


def extreme(c: Context) -> Step:
    """min, max: without `.NaN`, a NaN gives the other value. Three operands: sm_100."""
    pick = floats.minimum if c.statement.opcode[0] == "min" else floats.maximum
    keep = "NaN" in c.statement.opcode

    def plain(a: Array, b: Array, *rest: Array) -> Array:
        result = pick(a, b, keep)
        return pick(result, rest[0], keep) if rest else result

    return operation(c, plain)


def bitwise(c: Context) -> Step:
    """abs, neg: the sign of NaN changes too; copysign takes the sign of its first operand."""
    kind, _rounding, ftz, _finish = _options(c)
    name = c.statement.opcode[0]
    if name == "copysign":
        return simple(c, kind, lambda sign, x: np.copysign(x, sign))
    change = np.abs if name == "abs" else np.negative
    return simple(c, kind, lambda x: change(floats.flush(x) if ftz else x))


def testp(c: Context) -> Step:
    kind, what = c.kind(c.statement.opcode[-1]), c.statement.opcode[1]
    small = 2.0**-126 if kind.name == "f32" else 2.0**-1022
    tests: dict[str, Callable[[Array], Array]] = {
        "finite": np.isfinite, "infinite": np.isinf, "number": lambda x: ~np.isnan(x), "notanumber": np.isnan,
        "normal": lambda x: np.isfinite(x) & (np.abs(x) >= small), "subnormal": lambda x: (x != 0) & (np.abs(x) < small),
    }  # fmt: skip
    if what not in tests:
        raise c.unknown()
    return simple(c, kind, tests[what], (kind,), c.kind("pred"))


def subtract(c: Context) -> Step:
    return operation(c, np.subtract, lambda a, b: floats.add_odd(a, -b))


FLOATING: dict[str, Callable[[Context], Step]] = {
    "fma": fused, "mad": fused, "copysign": bitwise, "testp": testp,
    "ex2": function(np.exp2), "lg2": function(np.log2), "sin": function(np.sin), "cos": function(np.cos),
    "tanh": function(np.tanh), "sqrt": function(np.sqrt), "rcp": function(lambda x: 1.0 / x),
    "rsqrt": function(lambda x: 1.0 / np.sqrt(x)),
}  # fmt: skip
BOTH: dict[str, Callable[[Context], Step]] = {
    "add": lambda c: operation(c, np.add, floats.add_odd), "sub": subtract,
    "mul": lambda c: operation(c, np.multiply), "div": lambda c: operation(c, np.divide),
    "min": extreme, "max": extreme, "abs": bitwise, "neg": bitwise,
}  # fmt: skip

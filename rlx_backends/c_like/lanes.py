"""The formulas of the CPU's math functions in a C-like language: operators on f32 values that write expressions.

A function such as `exponential.exp(v, x)` speaks to `Lanes` and to the operators of `F`, `I` and `M` only; these subclasses write
the same steps in another language, so that the polynomials and their error bounds are shared.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlx_backends.c_like.arithmetic import compare_floats, compare_integers
from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.llvm.math import lanes as native
from rlx_backends.llvm.math.lanes import F, I, Integer, Lanes, M, Number

_CALLS = {"fma": "fma", "fabs": "fabs", "sqrt": "precise::sqrt", "copysign": "copysign", "trunc": "trunc"}


class CLanes(Lanes):
    """Emits into `f`, on f32 values of `width` lanes (0: a scalar)."""

    def __init__(self, f: FunctionEmitter, width: int):
        self.c = f
        self.element, self.width = "float", width
        self.mantissa, self.bias = 23, 127
        self.magic = 1.5 * 2.0**self.mantissa

    @property
    def wide(self) -> bool:
        return False

    def name(self, kind: str, expression: str) -> str:
        return self.c.let(kind, self.width, expression)

    def const(self, value: float) -> F:
        return CF(self, self.c.real(value, self.width))

    def int_const(self, value: int) -> I:
        return CI(self, self.c.integer(value, "u32", self.width))

    def fma(self, a: Number, b: Number, c: Number) -> F:
        return self.call("fma", a, b, c)

    def call(self, name: str, *arguments: Number) -> F:
        registers = ", ".join(self.real(argument).r for argument in arguments)
        return CF(self, self.name("f32", f"{_CALLS[name]}({registers})"))

    def divide(self, n: Number, d: F) -> F:
        return self.real(n) / d

    def select(self, mask: M, a: Number, b: Number) -> F:
        return CF(self, self.name("f32", self.c.choose(self.width, mask.r, self.real(a).r, self.real(b).r)))


def _lanes(v: Lanes) -> CLanes:
    assert isinstance(v, CLanes)
    return v


@dataclass(frozen=True, slots=True)
class CM(native.M):
    """A mask."""

    def _op(self, instruction: str, other: M) -> M:
        v = _lanes(self.v)
        text = f"{self.r} {'&' if instruction == 'and' else '|'} {other.r}"
        return CM(v, v.name("bool", text if v.width > 1 else f"bool({text})"))

    def __invert__(self) -> M:
        v = _lanes(self.v)
        return CM(v, v.name("bool", v.c.language.negate_mask(v.width, self.r)))


_INTEGERS = {"add": "+", "sub": "-", "and": "&", "xor": "^", "shl": "<<"}


@dataclass(frozen=True, slots=True)
class CI(native.I):
    """Integers of 32 bits, held unsigned."""

    def _op(self, instruction: str, other: Integer) -> I:
        v = _lanes(self.v)
        right = v.whole(other).r
        if instruction == "ashr":
            shifted = f"{v.c.as_signed(self.r, 'u32', v.width)} >> {v.c.as_signed(right, 'u32', v.width)}"
            return CI(v, v.name("u32", v.c.construct("u32", v.width, shifted)))
        return CI(v, v.name("u32", f"{self.r} {_INTEGERS[instruction]} {right}"))

    def compare(self, predicate: str, other: Integer) -> M:
        v = _lanes(self.v)
        text = compare_integers(v.c, predicate, "u32", v.width, [self.r, v.whole(other).r])
        return CM(v, v.name("bool", text))

    def floats(self) -> F:
        v = _lanes(self.v)
        return CF(v, v.name("f32", v.c.language.bitcast("f32", v.width, self.r)))

    def to_float(self) -> F:
        v = _lanes(self.v)
        return CF(v, v.name("f32", v.c.construct("f32", v.width, v.c.as_signed(self.r, "u32", v.width))))


_FLOATS = {"fadd": "+", "fsub": "-", "fmul": "*", "fdiv": "/"}


@dataclass(frozen=True, slots=True)
class CF(native.F):
    """Floats."""

    def _op(self, instruction: str, other: Number) -> F:
        v = _lanes(self.v)
        return CF(v, v.name("f32", f"{self.r} {_FLOATS[instruction]} {v.real(other).r}"))

    def __neg__(self) -> F:
        v = _lanes(self.v)
        return CF(v, v.name("f32", f"-{self.r}"))

    def compare(self, predicate: str, other: Number) -> M:
        v = _lanes(self.v)
        return CM(v, v.name("bool", compare_floats(v.c, predicate, v.width, [self.r, v.real(other).r])))

    def bits(self) -> I:
        v = _lanes(self.v)
        return CI(v, v.name("u32", v.c.language.bitcast("u32", v.width, self.r)))

    def to_int(self) -> I:
        v = _lanes(self.v)
        return CI(v, v.name("u32", v.c.construct("u32", v.width, v.c.construct("i32", v.width, self.r))))

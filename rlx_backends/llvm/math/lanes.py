"""Writing vector math as formulas: operators on registers, vectors or scalars, that emit LLVM instructions.

`Lanes` knows the element type and the width; `F`, `I` and `M` are registers of floats, of integers of the same size, and of
lane masks. Python numbers become constants.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.math.tables import Table
from rlx_backends.llvm.values import float_literal, register_type, splat, vector_literal

Number: TypeAlias = "F | float"
Integer: TypeAlias = "I | int"


class Lanes:
    """Emits into `f`, on vectors of `width` elements of `element` (`float` or `double`), or on scalars (width 0)."""

    def __init__(self, f: FunctionEmitter, element: str, width: int):
        self.f, self.element, self.width = f, element, width
        single = element == "float"
        self.mantissa, self.bias = (23, 127) if single else (52, 1023)
        self.integer = "i32" if single else "i64"
        self.floats = register_type(element, width)
        self.integers = register_type(self.integer, width)
        self.masks = register_type("i1", width)
        self.magic = 1.5 * 2.0**self.mantissa
        """Adding and subtracting it rounds to an integer; the low bits of the sum are that integer's."""

    @property
    def single(self) -> bool:
        return self.element == "float"

    @property
    def wide(self) -> bool:
        """Whether the instructions of AVX-512 on sixteen floats can be used."""
        return self.single and self.width == 16 and "avx512f" in self.f.target.features

    def const(self, value: float) -> F:
        return F(self, splat(float_literal(value, self.element), self.element, self.width))

    def int_const(self, value: int) -> I:
        return I(self, splat(str(value), self.integer, self.width))

    def real(self, value: Number) -> F:
        return value if isinstance(value, F) else self.const(value)

    def whole(self, value: Integer) -> I:
        return value if isinstance(value, I) else self.int_const(value)

    def fma(self, a: Number, b: Number, c: Number) -> F:
        """a·b + c; rounded once where the CPU can."""
        return self.call(self.f.target.fma, a, b, c)

    def call(self, name: str, *arguments: Number) -> F:
        registers = [self.real(argument).r for argument in arguments]
        return F(self, self.f.elementwise_intrinsic(name, self.element, self.width, *registers))

    def x86(self, name: str, result: str, arguments: Sequence[tuple[str, str]]) -> F:
        return F(self, self.f.intrinsic(f"llvm.x86.{name}", result, arguments))

    def poly(self, x: F, coefficients: Sequence[float]) -> F:
        """c₀ + c₁·x + c₂·x² + …"""
        total = self.const(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = self.fma(total, x, coefficient)
        return total

    def select(self, mask: M, a: Number, b: Number) -> F:
        x, y = self.real(a).r, self.real(b).r
        return F(self, self.f.emit(f"select {self.masks} {mask.r}, {self.floats} {x}, {self.floats} {y}"))

    def clamp(self, x: F, low: float, high: float) -> F:
        """Between two constants; NaN stays NaN. One instruction for each bound."""
        floor = self.select(self.const(low) > x, low, x)
        return self.select(self.const(high) < floor, high, floor)

    def round(self, x: Number, scale: Number = 1.0) -> tuple[F, F]:
        """(k, u): k = x·scale rounded to an integer, for |k| < 2^(mantissa - 1); u has k in its low bits."""
        u = self.fma(x, scale, self.magic)
        return u - self.magic, u

    def low_bits(self, u: F) -> I:
        """The integer in the low bits of a sum with `magic`, signed."""
        return u.bits() - int.from_bytes(struct.pack("<f" if self.single else "<d", self.magic), "little")

    def power_of_two(self, n: I) -> F:
        """2^n for normal results."""
        return ((n + self.bias) << self.mantissa).floats()

    def scale(self, x: F, k: F, u: F) -> F:
        """x·2^k for the (k, u) of `round`; rounds once also where the result is denormal, overflows to infinity."""
        if self.wide:
            arguments = [(self.floats, x.r), (self.floats, k.r), (self.floats, "zeroinitializer"), ("i16", "-1"), ("i32", "4")]
            return self.x86("avx512.mask.scalef.ps.512", self.floats, arguments)
        n = self.low_bits(u)
        half = n >> 1
        return x * self.power_of_two(half) * self.power_of_two(n - half)

    def odd_ratio(self, x: F, top: float, p: Sequence[float], q: Sequence[float]) -> F:
        """x·P/Q in x² for |x| <= top, ±1 beyond: the shape of tanh and erf."""
        a = abs(x)
        a = self.select(self.const(top) < a, top, a)
        z = a * a
        ratio = self.divide(a * self.poly(z, p), self.poly(z, q))
        return self.select(self.const(1.0) < ratio, 1.0, ratio).copysign(x)

    def odd_table(self, x: F, table: Table) -> F:
        """An odd function by its table: the interval's number is both the distance's origin and the choice of coefficients."""
        a = abs(x)
        a = self.select(self.const(table.top) < a, table.top, a)
        k, u = self.round(a, 1 / table.width)
        t = self.fma(k, -table.width, a)
        index = u.bits().r
        rows = [self._choose(row, index) for row in table.rows]
        total = rows[-1]
        for row in reversed(rows[:-1]):
            total = self.fma(total, t, row)
        return total.copysign(x)

    def _choose(self, entries: Sequence[float], index: str) -> F:
        """entries[index mod 32] in every lane."""
        literals = [float_literal(entry, "float") for entry in entries]
        low, high = vector_literal(literals[:16], "float"), vector_literal(literals[16:], "float")
        arguments = [(self.floats, low), (self.integers, index), (self.floats, high)]
        return self.x86("avx512.vpermi2var.ps.512", self.floats, arguments)

    def divide(self, n: Number, d: F) -> F:
        """n / d for normal d; within one unit in the last place."""
        if self.wide:
            arguments = [(self.floats, d.r), (self.floats, "zeroinitializer"), ("i16", "-1")]
            estimate = self.x86("avx512.rcp14.ps.512", self.floats, arguments)
        elif self.single and self.width == 0 and self.f.target.reciprocal:
            estimate = F(self, self.f.intrinsic(self.f.target.reciprocal, "float", [("float", d.r)]))
        else:
            return self.real(n) / d
        reciprocal = self.fma(estimate, self.fma(-d, estimate, 1.0), estimate)
        quotient = reciprocal * n
        return self.fma(reciprocal, self.fma(-d, quotient, n), quotient)


@dataclass(frozen=True, slots=True)
class M:
    """A lane mask."""

    v: Lanes
    r: str

    def _op(self, instruction: str, other: M) -> M:
        return M(self.v, self.v.f.emit(f"{instruction} {self.v.masks} {self.r}, {other.r}"))

    def __and__(self, other: M) -> M:
        return self._op("and", other)

    def __or__(self, other: M) -> M:
        return self._op("or", other)

    def __invert__(self) -> M:
        return M(self.v, self.v.f.emit(f"xor {self.v.masks} {self.r}, {splat('true', 'i1', self.v.width)}"))

    def any(self) -> str:
        """An `i1`: whether any lane is set."""
        if self.v.width == 0:
            return self.r
        bits = self.v.f.emit(f"bitcast {self.v.masks} {self.r} to i{self.v.width}")
        return self.v.f.emit(f"icmp ne i{self.v.width} {bits}, 0")


@dataclass(frozen=True, slots=True)
class I:  # noqa: E742
    """A register of integers."""

    v: Lanes
    r: str

    def _op(self, instruction: str, other: Integer) -> I:
        return I(self.v, self.v.f.emit(f"{instruction} {self.v.integers} {self.r}, {self.v.whole(other).r}"))

    def __add__(self, other: Integer) -> I:
        return self._op("add", other)

    def __sub__(self, other: Integer) -> I:
        return self._op("sub", other)

    def __and__(self, other: Integer) -> I:
        return self._op("and", other)

    def __xor__(self, other: Integer) -> I:
        return self._op("xor", other)

    def __lshift__(self, other: Integer) -> I:
        return self._op("shl", other)

    def __rshift__(self, other: Integer) -> I:
        """Arithmetic: keeps the sign."""
        return self._op("ashr", other)

    def compare(self, predicate: str, other: Integer) -> M:
        return M(self.v, self.v.f.emit(f"icmp {predicate} {self.v.integers} {self.r}, {self.v.whole(other).r}"))

    def floats(self) -> F:
        """The same bits as floats."""
        return F(self.v, self.v.f.emit(f"bitcast {self.v.integers} {self.r} to {self.v.floats}"))

    def to_float(self) -> F:
        return F(self.v, self.v.f.emit(f"sitofp {self.v.integers} {self.r} to {self.v.floats}"))


@dataclass(frozen=True, slots=True)
class F:
    """A register of floats."""

    v: Lanes
    r: str

    def _op(self, instruction: str, other: Number) -> F:
        return F(self.v, self.v.f.emit(f"{instruction} {self.v.floats} {self.r}, {self.v.real(other).r}"))

    def __add__(self, other: Number) -> F:
        return self._op("fadd", other)

    def __sub__(self, other: Number) -> F:
        return self._op("fsub", other)

    def __mul__(self, other: Number) -> F:
        return self._op("fmul", other)

    def __truediv__(self, other: Number) -> F:
        return self._op("fdiv", other)

    def __neg__(self) -> F:
        return F(self.v, self.v.f.emit(f"fneg {self.v.floats} {self.r}"))

    def __rsub__(self, other: float) -> F:
        return self.v.const(other) - self

    def __abs__(self) -> F:
        return self.v.call("fabs", self)

    def __lt__(self, other: Number) -> M:
        return self.compare("olt", other)

    def __gt__(self, other: Number) -> M:
        return self.compare("ogt", other)

    def compare(self, predicate: str, other: Number) -> M:
        return M(self.v, self.v.f.emit(f"fcmp {predicate} {self.v.floats} {self.r}, {self.v.real(other).r}"))

    def is_(self, value: Number) -> M:
        """Equal (±0 are), ordered."""
        return self.compare("oeq", value)

    def sqrt(self) -> F:
        return self.v.call("sqrt", self)

    def copysign(self, sign: F) -> F:
        return self.v.call("copysign", self, sign)

    def bits(self) -> I:
        return I(self.v, self.v.f.emit(f"bitcast {self.v.floats} {self.r} to {self.v.integers}"))

    def to_int(self) -> I:
        """Truncated; only for values that fit."""
        return I(self.v, self.v.f.emit(f"fptosi {self.v.floats} {self.r} to {self.v.integers}"))

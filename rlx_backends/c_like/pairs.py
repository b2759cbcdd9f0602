"""f64 inside a kernel as pairs of f32, for languages that have no f64: what the angles of rotary positions need, and no more.

A pair is the sum of a float and of a much smaller one: 48 bits of f64's 53, in the range of f32. Sums and products are within
2^-46 of the exact ones, exp2 within 2^-44. Sine and cosine of a pair of up to 2^22 have the error of f32 and go to f32 at once.
Memory has no pairs, and neither do control flow, calls and reductions.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Callable

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import Float32Type, Float64Type, FloatAttr
from xdsl.ir import Operation, SSAValue

from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.c_like.values import Value, kind_of, widths_of
from rlx_backends.llvm.math import coefficients as c
from rlx_dialects.kernel.elementwise import CastOp
from rlx_dialects.kernel.types import element_of, is_integer, shape_of
from rlx_dialects.kernel.vector import BroadcastOp

_TERMS = 13


def _parts(value: float, count: int) -> list[float]:
    """Floats whose sum is the value, each the nearest to what the ones before leave."""
    parts: list[float] = []
    for _ in range(count):
        parts.append(float(np.float32(value)))
        value -= parts[-1]
    return parts


# π/2 in three floats: the f64 constant has one part less than the third needs.
_PIO2 = [*_parts(c.PIO2_F64[0], 2), float(np.float32(c.PIO2_F64[0] - sum(_parts(c.PIO2_F64[0], 2)) + c.PIO2_F64[1]))]


def is_pair(value: SSAValue) -> bool:
    return isinstance(element_of(value.type), Float64Type)


def concerns(op: Operation) -> bool:
    """Whether an op takes or gives f64."""
    return any(is_pair(value) for value in (*op.operands, *op.results))


class _Text:
    """The functions on pairs of one width, written as they are needed."""

    def __init__(self, f: FunctionEmitter, width: int):
        self.f, self.width = f, width
        language = f.language
        self.floats, self.words = language.type_name("f32", width), language.type_name("u32", width)
        self.integers, self.mask = language.type_name("i32", width), language.type_name("bool", width)
        self.pair = f"rlx_pair{width}" if width > 1 else "rlx_pair"

    def need(self, name: str) -> str:
        """The function of that name, with those it calls before it."""
        self.f.module.helper(f"{self.pair} {name}", getattr(self, f"_{name}"))
        return f"rlx_{name}"

    def real(self, value: float) -> str:
        return self.f.real(value, self.width)

    def const(self, value: float) -> str:
        return f"{self.pair}{{{', '.join(self.real(part) for part in _parts(value, 2))}}}"

    def _function(self, result: str, name: str, parameters: str, *lines: str) -> str:
        return "\n".join([f"inline {result} rlx_{name}({parameters}) {{", *("  " + line for line in lines), "}"]) + "\n"

    def _struct(self) -> str:
        return f"struct {self.pair} {{\n  {self.floats} hi;\n  {self.floats} lo;\n}};\n"

    def _two_sum(self) -> str:
        """a + b and what its rounding loses, exactly."""
        self.need("struct")
        F, P = self.floats, self.pair
        return self._function(
            P, "two_sum", f"{F} a, {F} b", f"const {F} s = a + b;", f"const {F} t = s - a;",
            f"return {P}{{s, (a - (s - t)) + (b - t)}};",
        )  # fmt: skip

    def _two_product(self) -> str:
        self.need("struct")
        F, P = self.floats, self.pair
        return self._function(P, "two_product", f"{F} a, {F} b", f"const {F} p = a * b;", f"return {P}{{p, fma(a, b, -p)}};")

    def _pair_add(self) -> str:
        self.need("two_sum")
        P = self.pair
        return self._function(
            P, "pair_add", f"{P} a, {P} b", f"const {P} s = rlx_two_sum(a.hi, b.hi);", f"const {P} t = rlx_two_sum(a.lo, b.lo);",
            f"const {P} u = rlx_two_sum(s.hi, s.lo + t.hi);", "return rlx_two_sum(u.hi, u.lo + t.lo);",
        )  # fmt: skip

    def _pair_multiply(self) -> str:
        self.need("two_product")
        self.need("two_sum")
        P = self.pair
        return self._function(
            P, "pair_multiply", f"{P} a, {P} b", f"const {P} p = rlx_two_product(a.hi, b.hi);",
            "return rlx_two_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));",
        )  # fmt: skip

    def _pair_exp2(self) -> str:
        """2^k · 2^r, by the series of 2^r; below 2^-125 and above 2^127 it stays there."""
        self.need("pair_add")
        self.need("pair_multiply")
        F, P = self.floats, self.pair
        terms = [pymath.log(2) ** n / pymath.factorial(n) for n in range(_TERMS + 1)]
        low, high = self.real(-125.0), self.real(127.0)
        lines = [
            f"{F} k = rint(x.hi);",
            f"k = select(k, {low}, {self.mask}(k < {low}));",
            f"k = select(k, {high}, {self.mask}(k > {high}));",
            f"const {P} r = rlx_pair_add(x, {P}{{-k, {self.real(0.0)}}});",
            f"{P} s = {self.const(terms[-1])};",
        ]
        lines += [f"s = rlx_pair_add(rlx_pair_multiply(s, r), {self.const(term)});" for term in reversed(terms[:-1])]
        lines += [
            f"const {F} scale = as_type<{F}>({self.words}({self.integers}(k) + 127) << 23u);",
            f"return {P}{{s.hi * scale, s.lo * scale}};",
        ]
        return self._function(P, "pair_exp2", f"{P} x", *lines)

    def _circular(self, name: str, quarter: int) -> str:
        """Sine of an angle plus `quarter` right angles."""
        self.need("pair_add")
        self.need("two_product")
        F, P, U = self.floats, self.pair, self.words

        def poly(values: tuple[float, ...]) -> str:
            text = self.real(values[-1])
            for value in reversed(values[:-1]):
                text = f"fma({text}, z, {self.real(value)})"
            return text

        lines = [f"const {F} k = rint(x.hi * {self.real(2 / pymath.pi)});", f"{P} r = x;"]
        lines += [f"r = rlx_pair_add(r, rlx_two_product(-k, {self.real(part)}));" for part in _PIO2]
        lines += [
            f"const {F} z = r.hi * r.hi;",
            f"const {F} sine = r.hi + fma({poly(c.SIN_F32)}, z * r.hi, r.lo);",
            f"const {F} cosine = fma({poly(c.COS_F32)}, z * z, {self.real(1.0)} - {self.real(0.5)} * z) - r.hi * r.lo;",
            f"const {U} quadrant = {U}({self.integers}(k)) + {quarter}u;",
            f"const {F} chosen = select(sine, cosine, {self.mask}((quadrant & 1u) != 0u));",
            f"const {F} result = as_type<{F}>(as_type<{U}>(chosen) ^ ((quadrant & 2u) << 30u));",
            f"return {P}{{result, {self.real(0.0)}}};",
        ]
        return self._function(P, name, f"{P} x", *lines)

    def _pair_sin(self) -> str:
        return self._circular("pair_sin", 0)

    def _pair_cos(self) -> str:
        return self._circular("pair_cos", 1)


def _define(f: FunctionEmitter, result: SSAValue, registers: list[str]) -> None:
    shape = shape_of(result.type)
    f.values[result] = Value("f64", shape, _widths(f, result), registers)


def _widths(f: FunctionEmitter, value: SSAValue) -> tuple[int, ...]:
    shape = shape_of(value.type)
    return widths_of(shape[-1], f.language.lanes) if shape else (0,)


def _pieces(f: FunctionEmitter, value: SSAValue) -> list[int]:
    shape = shape_of(value.type)
    return list(_widths(f, value)) * (shape[0] if len(shape) == 2 else 1)


def constant(f: FunctionEmitter, op: arith.ConstantOp) -> None:
    if not isinstance(op.value, FloatAttr):
        raise f.error(op, f"there is no pair of f32 for {op.value}")
    text = _Text(f, 0)
    text.need("struct")
    _define(f, op.result, [f.let_typed(text.pair, text.const(op.value.value.data))])


def broadcast(f: FunctionEmitter, op: BroadcastOp) -> None:
    if shape_of(op.source.type):
        raise f.error(op, "the language has no f64")
    registers: list[str] = []
    for width in _pieces(f, op.result):
        text, source = _Text(f, width), f.scalar(op.source)
        text.need("struct")
        parts = ", ".join(f.splat(f"{source}.{part}", "f32", width) for part in ("hi", "lo"))
        registers.append(f.let_typed(text.pair, f"{text.pair}{{{parts}}}"))
    _define(f, op.result, registers)


def _called(name: str) -> Callable[[FunctionEmitter, Operation], None]:
    def emit(f: FunctionEmitter, op: Operation) -> None:
        if name in ("pair_sin", "pair_cos") and not all(_rounds_to_f32(use.operation) for use in op.results[0].uses):
            raise f.error(op, "the language has no f64; a sine or cosine of f64 is rounded to f32 at once")
        operands = [f[operand].registers for operand in op.operands]
        registers: list[str] = []
        for width, *pieces in zip(_pieces(f, op.results[0]), *operands, strict=True):
            text = _Text(f, width)
            registers.append(f.let_typed(text.pair, f"{text.need(name)}({', '.join(pieces)})"))
        _define(f, op.results[0], registers)

    return emit


def _rounds_to_f32(op: Operation) -> bool:
    return _cast_kind(op) == "truncf" and isinstance(element_of(op.results[0].type), Float32Type)


def negate(f: FunctionEmitter, op: arith.NegfOp) -> None:
    registers: list[str] = []
    for width, x in zip(_pieces(f, op.result), f[op.operand].registers, strict=True):
        pair = _Text(f, width).pair
        registers.append(f.let_typed(pair, f"{pair}{{-{x}.hi, -{x}.lo}}"))
    _define(f, op.result, registers)


def subtract(f: FunctionEmitter, op: arith.SubfOp) -> None:
    registers: list[str] = []
    for width, x, y in zip(_pieces(f, op.result), f[op.lhs].registers, f[op.rhs].registers, strict=True):
        text = _Text(f, width)
        add = text.need("pair_add")
        registers.append(f.let_typed(text.pair, f"{add}({x}, {text.pair}{{-{y}.hi, -{y}.lo}})"))
    _define(f, op.result, registers)


def _cast_kind(op: Operation) -> str:
    return op.kind.data if isinstance(op, CastOp) else op.name.removeprefix("arith.")


def cast(f: FunctionEmitter, op: Operation) -> None:
    """From integers and f32, exactly up to 48 bits; to f32."""
    kind, source, result = _cast_kind(op), op.operands[0], op.results[0]
    if _rounds_to_f32(op):
        pieces = zip(f[source].registers, _pieces(f, result), strict=True)
        f.define(result, [f.let("f32", width, f"{register}.hi") for register, width in pieces])
        return
    element = element_of(source.type)
    registers: list[str] = []
    for width, x in zip(_pieces(f, result), f.packed(source), strict=True):
        text = _Text(f, width)
        text.need("struct")
        if kind == "extf" and isinstance(element, Float32Type):
            parts = [x, f.real(0.0, width)]
        elif kind in ("sitofp", "uitofp") and is_integer(element) and kind_of(element) != "bool":
            parts = _integer_parts(f, x, kind_of(element), kind == "sitofp", width)
        else:
            raise f.error(op, "the language has no f64; pairs of f32 come from f32 and integers")
        registers.append(f.let_typed(text.pair, f"{text.pair}{{{', '.join(parts)}}}"))
    _define(f, result, registers)


def _integer_parts(f: FunctionEmitter, x: str, kind: str, is_signed: bool, width: int) -> list[str]:
    wide = "i64" if is_signed else "u64"
    seen = f.as_signed(x, kind, width) if is_signed else x
    whole = f.let(wide, width, seen if kind == wide else f.construct(wide, width, seen))
    high = f.let("f32", width, f.construct("f32", width, whole))
    rest = f"{f.construct('i64', width, whole)} - {f.construct('i64', width, high)}"
    return [high, f.construct("f32", width, rest)]


HANDLERS: dict[type[Operation], Callable[..., None]] = {
    arith.ConstantOp: constant,
    BroadcastOp: broadcast,
    arith.AddfOp: _called("pair_add"),
    arith.SubfOp: subtract,
    arith.MulfOp: _called("pair_multiply"),
    arith.NegfOp: negate,
    math.Exp2Op: _called("pair_exp2"),
    math.SinOp: _called("pair_sin"),
    math.CosOp: _called("pair_cos"),
    CastOp: cast,
    **dict.fromkeys((arith.ExtFOp, arith.TruncFOp, arith.SIToFPOp, arith.UIToFPOp), cast),
}

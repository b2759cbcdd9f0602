"""Conversions between element types, one piece at a time.

f16 is a type of the language; bf16 and f8 are their bits, and convert from and to f32 in integer arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import BFloat16Type, Float8E4M3FNType, Float8E5M2Type, Float16Type
from xdsl.ir import Attribute

from rlx_backends.c_like.function import FunctionEmitter
from rlx_backends.c_like.values import bits_of, held_as_bits, is_narrow, kind_of, signed, unsigned


@dataclass(frozen=True)
class _Format:
    """A narrow float: its name, bits, mantissa bits, exponent bias, and the codes of what is too large and of NaN."""

    name: str
    bits: int
    mantissa: int
    bias: int
    largest: int
    overflow: int
    nan: int


_FORMATS: dict[type[Attribute], _Format] = {
    BFloat16Type: _Format("bf16", 16, 7, 127, 0x7F7F, 0x7F80, 0x7FC0),
    Float8E5M2Type: _Format("f8e5m2", 8, 2, 15, 0x7B, 0x7C, 0x7E),
    # No infinity: what is too large is NaN.
    Float8E4M3FNType: _Format("f8e4m3fn", 8, 3, 7, 0x7E, 0x7F, 0x7F),
}


def convert(f: FunctionEmitter, kind: str, register: str, source: Attribute, result: Attribute, width: int) -> str:
    """An expression for `kernel.cast <kind>` of one piece."""
    from_kind, to_kind = kind_of(source), kind_of(result)
    if kind == "bitcast":
        return _bitcast(f, register, from_kind, to_kind, width)
    if kind in ("extsi", "extui", "trunci"):
        return _resize(f, kind, register, from_kind, to_kind, width)
    if kind in ("sitofp", "uitofp"):
        value = _from_integer(f, kind == "sitofp", register, from_kind, width)
        return narrow(f, f.let("f32", width, value), result, width) if is_narrow(result) else value
    if is_narrow(source):
        register = f.let("f32", width, widen(f, register, source, width))
    if kind in ("fptosi", "fptoui"):
        return _to_integer(f, kind == "fptosi", register, to_kind, width)
    return narrow(f, register, result, width) if is_narrow(result) else register


def _bitcast(f: FunctionEmitter, register: str, source: str, result: str, width: int) -> str:
    if source == result:
        return register
    if source[0] in "ui" and result[0] in "ui":
        return f.construct(result, width, register)
    return f.language.bitcast(result, width, register)


def _resize(f: FunctionEmitter, kind: str, x: str, source: str, result: str, width: int) -> str:
    if source == result:
        return x
    if kind == "trunci":
        if result != "bool":
            return f.construct(result, width, x)
        one, zero = f.integer(1, source, width), f.integer(0, source, width)
        if width <= 1:
            return f"({x} & {one}) != {zero}"
        return f.construct("bool", width, f"({x} & {one}) != {zero}")
    if source == "bool":
        value = f.construct(result, width, x)
        return value if kind == "extui" else f.construct(result, width, f"{f.integer(0, result, width)} - {value}")
    if kind == "extui":
        return f.construct(result, width, f.construct(unsigned(source), width, x) if source[0] == "i" else x)
    return f.construct(result, width, f.construct(signed(result), width, f.as_signed(x, source, width)))


def _from_integer(f: FunctionEmitter, is_signed: bool, x: str, kind: str, width: int) -> str:
    if kind == "bool":
        value = f.construct("f32", width, x)
        return f"-{value}" if is_signed else value
    seen = f.as_signed(x, kind, width) if is_signed else f.construct(unsigned(kind), width, x) if kind[0] == "i" else x
    return f.construct("f32", width, seen)


def _to_integer(f: FunctionEmitter, is_signed: bool, x: str, kind: str, width: int) -> str:
    """Truncation that saturates; NaN is 0. What is converted is in range, so the conversion is defined."""
    bits = bits_of(kind)
    low = -(1 << (bits - 1)) if is_signed else 0
    high = (1 << (bits - 1)) - 1 if is_signed else (1 << bits) - 1

    def integer(value: int) -> str:
        literal = ("true" if value else "false") if kind == "bool" else f.language.integer_literal(value, kind)
        return f.splat(literal, kind, width)

    above = f.compare(width, ">=", x, f.real(float(high + 1), width))
    # What lies between low - 1 and low is cut to low; the same comparison is false of NaN.
    bottom = float(low) if low < -(1 << 24) else float(low - 1)
    inside = f.compare(width, ">=" if low < -(1 << 24) else ">", x, f.real(bottom, width))
    taken = f.let("bool", width, f"{inside} & {f.let('bool', width, f.language.negate_mask(width, above))}")
    safe = f.let("f32", width, f.choose(width, taken, x, f.real(0.0, width)))
    if kind == "bool":
        converted = f.compare(width, "!=", f.construct("i32", width, safe), f.integer(0, "i32", width))
    else:
        through = signed(kind) if is_signed else unsigned(kind)
        inner = f.construct(through, width, safe)
        converted = f.let(kind, width, inner if through == kind else f.construct(kind, width, inner))
    below = f.compare(width, "<=", x, f.real(bottom, width))
    chosen = f.let(kind, width, f.choose(width, above, integer(high), converted))
    return f.choose(width, below, integer(low), chosen)


# -- narrow floats


def widen(f: FunctionEmitter, x: str, type_: Attribute, width: int) -> str:
    """An expression for a narrow float in f32, exactly."""
    if isinstance(type_, Float16Type):
        return f.construct("f32", width, x)
    form = _FORMATS[type(type_)]
    if form.name == "bf16":  # the upper half of an f32
        return f.language.bitcast("f32", width, f"{f.construct('u32', width, x)} << 16u")
    floats, name = f.language.type_name("f32", width), f"rlx_from_{form.name}"
    f.module.helper(f"{name} {width}", lambda: _widen_text(f, form, width, name, floats))
    return f"{name}({x})"


def narrow(f: FunctionEmitter, x: str, type_: Attribute, width: int) -> str:
    """An expression for an f32 as a narrow float, rounded to nearest even once."""
    if isinstance(type_, Float16Type):
        return f.construct("f16", width, x)
    form = _FORMATS[type(type_)]
    name = f"rlx_to_{form.name}"
    f.module.helper(f"{name} {width}", lambda: _narrow_text(f, form, width, name))
    return f"{name}({x})"


def _widen_text(f: FunctionEmitter, form: _Format, width: int, name: str, floats: str) -> str:
    words, source = f.language.type_name("u32", width), f.language.type_name(f"u{form.bits}", width)
    mask = f.language.type_name("bool", width)
    largest = form.overflow if form.overflow != form.nan else form.largest
    lines = [
        f"const {words} wide = {words}(x);",
        f"const {words} magnitude = wide & {(1 << (form.bits - 1)) - 1}u;",
        # By way of an integer where the narrow float is denormal: the same bits as an f32 might count as zero.
        f"const {floats} small = {floats}(magnitude) * {f.real(2.0 ** (1 - form.bias - form.mantissa))};",
        f"const {words} moved = (magnitude << {23 - form.mantissa}u) + {(127 - form.bias) << 23}u;",
        f"{floats} value = select(as_type<{floats}>(moved), small, {mask}(magnitude < {1 << form.mantissa}u));",
    ]
    if form.overflow != form.nan:
        lines.append(f"value = select(value, {floats}({f.real(float('inf'))}), {mask}(magnitude > {form.largest}u));")
    lines += [
        f"value = select(value, {floats}({f.real(float('nan'))}), {mask}(magnitude > {largest}u));",
        f"return as_type<{floats}>(as_type<{words}>(value) | ((wide & {1 << (form.bits - 1)}u) << {32 - form.bits}u));",
    ]
    return _function(floats, name, source, lines)


def _narrow_text(f: FunctionEmitter, form: _Format, width: int, name: str) -> str:
    words, floats = f.language.type_name("u32", width), f.language.type_name("f32", width)
    mask, result = f.language.type_name("bool", width), f.language.type_name(f"u{form.bits}", width)
    cut = 23 - form.mantissa
    lines = [
        f"const {words} bits = as_type<{words}>(x);",
        f"const {words} magnitude = bits & 0x7FFFFFFFu;",
        # Normal results: add just under half a unit, plus the parity bit, then shift the mantissa and rebias.
        f"const {words} rounded = magnitude + {(1 << (cut - 1)) - 1}u + ((magnitude >> {cut}u) & 1u);",
        f"{words} code = (rounded >> {cut}u) - {(127 - form.bias) << form.mantissa}u;",
    ]
    if form.bias != 127:
        # Denormal results: adding a power of two whose last mantissa bit weighs one unit rounds in the adder.
        exponent = 24 - form.bias - form.mantissa
        lines += [
            f"const {floats} added = as_type<{floats}>(magnitude) + {f.real(2.0**exponent)};",
            f"const {words} small = as_type<{words}>(added) - {(127 + exponent) << 23}u;",
            f"code = select(code, small, {mask}(magnitude < {(127 + 1 - form.bias) << 23}u));",
        ]
    signed_words = f.language.type_name("i32", width)
    lines += [
        f"code = select(code, {words}({form.overflow}u), {mask}({signed_words}(code) > {form.largest}));",
        f"code = select(code, {words}({form.nan}u), {mask}(magnitude > 0x7F800000u));",
        f"return {result}(code | ((bits >> {32 - form.bits}u) & {1 << (form.bits - 1)}u));",
    ]
    return _function(result, name, floats, lines)


def _function(result: str, name: str, argument: str, lines: list[str]) -> str:
    return "\n".join([f"inline {result} {name}({argument} x) {{", *("  " + line for line in lines), "}"]) + "\n"


__all__ = ["convert", "held_as_bits", "is_narrow", "narrow", "widen"]

"""Conversions between element types, one register at a time.

Narrow floats (f16, bf16, f8) are held as their bits and meet everything else through f32.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import BFloat16Type, Float8E4M3FNType, Float8E5M2Type, Float16Type, f64
from xdsl.ir import Attribute

from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import float_literal, llvm_type, register_type, splat

_INTEGERS = {"extsi": "sext", "extui": "zext", "trunci": "trunc"}


@dataclass(frozen=True)
class _Format:
    """A narrow float: bits, mantissa bits, exponent bias, and the codes of what is too large and of NaN."""

    bits: int
    mantissa: int
    bias: int
    largest: int
    overflow: int
    nan: int


_FORMATS: dict[type[Attribute], _Format] = {
    Float16Type: _Format(16, 10, 15, 0x7BFF, 0x7C00, 0x7E00),
    BFloat16Type: _Format(16, 7, 127, 0x7F7F, 0x7F80, 0x7FC0),
    Float8E5M2Type: _Format(8, 2, 15, 0x7B, 0x7C, 0x7E),
    # No infinity: what is too large is NaN.
    Float8E4M3FNType: _Format(8, 3, 7, 0x7E, 0x7F, 0x7F),
}


def is_narrow(type_: Attribute) -> bool:
    return type(type_) in _FORMATS


def convert(f: FunctionEmitter, kind: str, register: str, source: Attribute, result: Attribute, width: int) -> str:
    """`kernel.cast <kind>` of one register."""
    if kind == "bitcast":
        return _plain(f, "bitcast", register, llvm_type(source), llvm_type(result), width)
    if kind in _INTEGERS:
        return _plain(f, _INTEGERS[kind], register, llvm_type(source), llvm_type(result), width)
    if kind in ("sitofp", "uitofp"):
        computed = "double" if result == f64 else "float"
        register = _plain(f, kind, register, llvm_type(source), computed, width)
        return narrow(f, register, result, width) if is_narrow(result) else register
    element = llvm_type(source)
    if is_narrow(source):
        register, element = widen(f, register, source, width), "float"
    if kind in ("fptosi", "fptoui"):
        return _to_integer(f, kind == "fptosi", register, element, llvm_type(result), width)
    if is_narrow(result):
        if element == "double":
            register = _to_odd_float(f, register, width)
        return narrow(f, register, result, width)
    return _plain(f, kind.replace("extf", "fpext").replace("truncf", "fptrunc"), register, element, llvm_type(result), width)


def _plain(f: FunctionEmitter, instruction: str, register: str, source: str, result: str, width: int) -> str:
    if source == result:
        return register
    return f.emit(f"{instruction} {register_type(source, width)} {register} to {register_type(result, width)}")


def _to_integer(f: FunctionEmitter, signed: bool, x: str, element: str, result: str, width: int) -> str:
    """Truncation that saturates; NaN is 0. Out of range the instruction's result is poison, which the selects drop."""
    bits = int(result[1:])
    floats, integers, mask = register_type(element, width), register_type(result, width), register_type("i1", width)
    low = -(1 << (bits - 1)) if signed else 0
    high = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1

    def bound(value: float) -> str:
        return splat(float_literal(value, element), element, width)

    def integer(value: int) -> str:
        return splat(("true" if value else "false") if result == "i1" else str(value), result, width)

    converted = f.emit(f"{'fptosi' if signed else 'fptoui'} {floats} {x} to {integers}")
    above = f.emit(f"fcmp oge {floats} {x}, {bound(float(high + 1))}")
    below = f.emit(f"fcmp olt {floats} {x}, {bound(float(low))}")
    nan = f.emit(f"fcmp uno {floats} {x}, {x}")
    chosen = f.emit(f"select {mask} {above}, {integers} {integer(high)}, {integers} {converted}")
    chosen = f.emit(f"select {mask} {below}, {integers} {integer(low)}, {integers} {chosen}")
    return f.emit(f"select {mask} {nan}, {integers} {integer(0)}, {integers} {chosen}")


def _to_odd_float(f: FunctionEmitter, x: str, width: int) -> str:
    """f64 to f32 towards zero, with the last bit set if anything was cut: a second rounding then errs no more than one would."""
    words = register_type("i64", width)
    cut = 29
    bits = f.emit(f"bitcast {register_type('double', width)} {x} to {words}")
    rest = f.emit(f"and {words} {bits}, {splat(str((1 << cut) - 1), 'i64', width)}")
    inexact = f.emit(f"icmp ne {words} {rest}, {splat('0', 'i64', width)}")
    sticky = f.emit(f"select {register_type('i1', width)} {inexact}, {words} {splat(str(1 << cut), 'i64', width)}, {words} "
                    f"{splat('0', 'i64', width)}")  # fmt: skip
    kept = f.emit(f"and {words} {bits}, {splat(str(-(1 << cut)), 'i64', width)}")
    odd = f.emit(f"bitcast {words} {f.emit(f'or {words} {kept}, {sticky}')} to {register_type('double', width)}")
    return f.emit(f"fptrunc {register_type('double', width)} {odd} to {register_type('float', width)}")


# -- narrow floats


def widen(f: FunctionEmitter, x: str, type_: Attribute, width: int) -> str:
    """The bits of a narrow float to f32, exactly."""
    words, floats = register_type("i32", width), register_type("float", width)

    def word(value: int) -> str:
        return splat(str(value), "i32", width)

    form = _FORMATS[type(type_)]
    if isinstance(type_, Float16Type) and "f16" in f.target.native_casts:
        half = f.emit(f"bitcast {register_type('i16', width)} {x} to {register_type('half', width)}")
        return f.emit(f"fpext {register_type('half', width)} {half} to {floats}")
    wide = f.emit(f"zext {register_type(f'i{form.bits}', width)} {x} to {words}")
    if isinstance(type_, BFloat16Type):  # the upper half of an f32
        return f.emit(f"bitcast {words} {f.emit(f'shl {words} {wide}, {word(16)}')} to {floats}")
    if isinstance(type_, Float8E5M2Type) and "f16" in f.target.native_casts:  # the upper byte of an f16
        bits = f.emit(f"trunc {words} {f.emit(f'shl {words} {wide}, {word(8)}')} to {register_type('i16', width)}")
        half = f.emit(f"bitcast {register_type('i16', width)} {bits} to {register_type('half', width)}")
        return f.emit(f"fpext {register_type('half', width)} {half} to {floats}")
    magnitude = f.emit(f"and {words} {wide}, {word((1 << (form.bits - 1)) - 1)}")
    # Exponent and mantissa in their f32 places, some binades too low; the product is exact, for denormals too.
    small = f.emit(f"bitcast {words} {f.emit(f'shl {words} {magnitude}, {word(23 - form.mantissa)}')} to {floats}")
    value = f.emit(f"fmul {floats} {small}, {splat(float_literal(2.0 ** (127 - form.bias), 'float'), 'float', width)}")
    mask = register_type("i1", width)
    if form.overflow != form.nan:
        is_large = f.emit(f"icmp ugt {words} {magnitude}, {word(form.largest)}")
        infinity = splat("0x7FF0000000000000", "float", width)
        value = f.emit(f"select {mask} {is_large}, {floats} {infinity}, {floats} {value}")
    is_nan = f.emit(f"icmp ugt {words} {magnitude}, {word(form.overflow if form.overflow != form.nan else form.largest)}")
    nan = splat("0x7FF8000000000000", "float", width)
    value = f.emit(f"select {mask} {is_nan}, {floats} {nan}, {floats} {value}")
    sign = f.emit(f"shl {words} {wide}, {word(32 - form.bits)}")
    return f.elementwise_intrinsic("copysign", "float", width, value, f.emit(f"bitcast {words} {sign} to {floats}"))


def narrow(f: FunctionEmitter, x: str, type_: Attribute, width: int) -> str:
    """f32 to the bits of a narrow float, rounded to nearest even once."""
    form = _FORMATS[type(type_)]
    words, floats, mask = register_type("i32", width), register_type("float", width), register_type("i1", width)
    codes = register_type(f"i{form.bits}", width)
    native = {Float16Type: ("f16", "half"), BFloat16Type: ("bf16", "bfloat")}.get(type(type_), ("", ""))
    if native[0] in f.target.native_casts:
        rounded = f.emit(f"fptrunc {floats} {x} to {register_type(native[1], width)}")
        return f.emit(f"bitcast {register_type(native[1], width)} {rounded} to {codes}")

    def word(value: int) -> str:
        return splat(str(value), "i32", width)

    def op(text: str) -> str:
        return f.emit(text)

    bits = op(f"bitcast {floats} {x} to {words}")
    magnitude = op(f"and {words} {bits}, {word(0x7FFFFFFF)}")
    # Normal results: add just under half a unit, plus the parity bit, then shift the mantissa and rebias.
    cut = 23 - form.mantissa
    parity = op(f"and {words} {op(f'lshr {words} {magnitude}, {word(cut)}')}, {word(1)}")
    rounded = op(f"add {words} {op(f'add {words} {magnitude}, {word((1 << (cut - 1)) - 1)}')}, {parity}")
    code = op(f"sub {words} {op(f'lshr {words} {rounded}, {word(cut)}')}, {word((127 - form.bias) << form.mantissa)}")
    if form.bias != 127:
        # Denormal results: adding a power of two whose last mantissa bit weighs one unit rounds in the adder.
        exponent = 24 - form.bias - form.mantissa
        absolute = op(f"bitcast {words} {magnitude} to {floats}")
        added = op(f"fadd {floats} {absolute}, {splat(float_literal(2.0**exponent, 'float'), 'float', width)}")
        denormal = op(f"sub {words} {op(f'bitcast {floats} {added} to {words}')}, {word((127 + exponent) << 23)}")
        is_small = op(f"icmp ult {words} {magnitude}, {word((127 + 1 - form.bias) << 23)}")
        code = op(f"select {mask} {is_small}, {words} {denormal}, {words} {code}")
    too_large = op(f"icmp sgt {words} {code}, {word(form.largest)}")
    code = op(f"select {mask} {too_large}, {words} {word(form.overflow)}, {words} {code}")
    is_nan = op(f"icmp ugt {words} {magnitude}, {word(0x7F800000)}")
    code = op(f"select {mask} {is_nan}, {words} {word(form.nan)}, {words} {code}")
    sign = op(f"and {words} {op(f'lshr {words} {bits}, {word(32 - form.bits)}')}, {word(1 << (form.bits - 1))}")
    return op(f"trunc {words} {op(f'or {words} {code}, {sign}')} to {codes}")

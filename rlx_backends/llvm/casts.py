"""Conversions between element types, one register at a time."""

from __future__ import annotations

from xdsl.dialects.builtin import Float8E4M3FNType, f16, f32
from xdsl.ir import Attribute

from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import float_literal, llvm_type, register_type, splat
from rlx_dialects.kernel.types import bit_size

_INSTRUCTIONS = {"extsi": "sext", "extui": "zext", "trunci": "trunc", "extf": "fpext", "truncf": "fptrunc"}


def convert(f: FunctionEmitter, kind: str, register: str, source: Attribute, result: Attribute, width: int) -> str:
    """`kernel.cast <kind>` of one register."""
    if kind == "bitcast":
        from_type, to_type = register_type(llvm_type(source), width), register_type(llvm_type(result), width)
        return register if from_type == to_type else f.emit(f"bitcast {from_type} {register} to {to_type}")
    if kind in ("extsi", "extui", "trunci"):
        return _plain(f, _INSTRUCTIONS[kind], register, llvm_type(source), llvm_type(result), width)
    # Arithmetic on f8 happens in f32; f16 and bf16 are wide enough for no integer bound, so they convert through f32 too.
    if _is_f8(source):
        register, source = _from_f8(f, register, source, width), f32
        if source == result:
            return register
        if kind == "extf" and bit_size(result) < 32:
            kind = "truncf"
    if kind == "extf":
        return _plain(f, "fpext", register, llvm_type(source), llvm_type(result), width)
    if kind == "truncf":
        if not _is_f8(result):
            return _plain(f, "fptrunc", register, llvm_type(source), llvm_type(result), width)
        if bit_size(source) < 32:
            register = _plain(f, "fpext", register, llvm_type(source), "float", width)
        elif bit_size(source) > 32:
            register = _plain(f, "fptrunc", register, llvm_type(source), "float", width)
        return _to_f8(f, register, result, width)
    if kind in ("sitofp", "uitofp"):
        if _is_f8(result):
            return _to_f8(f, _plain(f, kind, register, llvm_type(source), "float", width), result, width)
        return _plain(f, kind, register, llvm_type(source), llvm_type(result), width)
    element = llvm_type(source)
    if element in ("half", "bfloat"):
        register, element = _plain(f, "fpext", register, element, "float", width), "float"
    return _to_integer(f, kind == "fptosi", register, element, llvm_type(result), width)


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
        return splat("true" if result == "i1" and value else "false" if result == "i1" else str(value), result, width)

    converted = f.emit(f"{'fptosi' if signed else 'fptoui'} {floats} {x} to {integers}")
    above = f.emit(f"fcmp oge {floats} {x}, {bound(float(high + 1))}")
    below = f.emit(f"fcmp olt {floats} {x}, {bound(float(low))}")
    nan = f.emit(f"fcmp uno {floats} {x}, {x}")
    # Integers are printed signed or unsigned alike: LLVM takes the bits.
    chosen = f.emit(f"select {mask} {above}, {integers} {integer(high)}, {integers} {converted}")
    chosen = f.emit(f"select {mask} {below}, {integers} {integer(low)}, {integers} {chosen}")
    return f.emit(f"select {mask} {nan}, {integers} {integer(0)}, {integers} {chosen}")


# -- f8


def _is_f8(type_: Attribute) -> bool:
    return bit_size(type_) == 8 and llvm_type(type_) == "i8" and type_.name.startswith("f8")


def _from_f8(f: FunctionEmitter, x: str, source: Attribute, width: int) -> str:
    """f8 bits to f32, exactly."""
    bytes_, words, floats = (register_type(t, width) for t in ("i8", "i32", "float"))
    if not isinstance(source, Float8E4M3FNType):  # e5m2 is the upper byte of an f16
        halves = register_type("i16", width)
        wide = f.emit(f"zext {bytes_} {x} to {halves}")
        shifted = f.emit(f"shl {halves} {wide}, {splat('8', 'i16', width)}")
        half = f.emit(f"bitcast {halves} {shifted} to {register_type(llvm_type(f16), width)}")
        return f.emit(f"fpext {register_type('half', width)} {half} to {floats}")

    def word(value: int) -> str:
        return splat(str(value), "i32", width)

    wide = f.emit(f"zext {bytes_} {x} to {words}")
    magnitude = f.emit(f"and {words} {wide}, {word(0x7F)}")
    # Exponent and mantissa in their f32 places, 120 binades too low; the product is exact, for denormals too.
    shifted = f.emit(f"shl {words} {magnitude}, {word(20)}")
    small = f.emit(f"bitcast {words} {shifted} to {floats}")
    value = f.emit(f"fmul {floats} {small}, {splat(float_literal(2.0**120, 'float'), 'float', width)}")
    is_nan = f.emit(f"icmp eq {words} {magnitude}, {word(0x7F)}")
    nan = splat("0x7FF8000000000000", "float", width)
    value = f.emit(f"select {register_type('i1', width)} {is_nan}, {floats} {nan}, {floats} {value}")
    sign = f.emit(f"shl {words} {wide}, {word(24)}")
    signed = f.emit(f"bitcast {words} {sign} to {floats}")
    return f.elementwise_intrinsic("copysign", "float", width, value, signed)


def _to_f8(f: FunctionEmitter, x: str, result: Attribute, width: int) -> str:
    """f32 to f8 bits, rounded to nearest even once. Too large: NaN in e4m3fn, which has no infinity; infinity in e5m2."""
    mantissa, bias = (3, 7) if isinstance(result, Float8E4M3FNType) else (2, 15)
    largest, overflow = (0x7E, 0x7F) if mantissa == 3 else (0x7B, 0x7C)
    words, floats, mask = (register_type(t, width) for t in ("i32", "float", "i1"))

    def word(value: int) -> str:
        return splat(str(value), "i32", width)

    def op(text: str) -> str:
        return f.emit(text)

    bits = op(f"bitcast {floats} {x} to {words}")
    magnitude = op(f"and {words} {bits}, {word(0x7FFFFFFF)}")
    # Normal results: add just under half a unit, plus the parity bit, then shift the mantissa and rebias.
    cut = 23 - mantissa
    parity = op(f"and {words} {op(f'lshr {words} {magnitude}, {word(cut)}')}, {word(1)}")
    rounded = op(f"add {words} {op(f'add {words} {magnitude}, {word((1 << (cut - 1)) - 1)}')}, {parity}")
    normal = op(f"sub {words} {op(f'lshr {words} {rounded}, {word(cut)}')}, {word((127 - bias) << mantissa)}")
    # Denormal results: adding a power of two whose last mantissa bit weighs one unit rounds in the adder.
    magic = 2.0 ** (23 + 1 - bias - mantissa)
    absolute = op(f"bitcast {words} {magnitude} to {floats}")
    added = op(f"fadd {floats} {absolute}, {splat(float_literal(magic, 'float'), 'float', width)}")
    denormal = op(f"sub {words} {op(f'bitcast {floats} {added} to {words}')}, {word((127 + 24 - bias - mantissa) << 23)}")
    is_small = op(f"icmp ult {words} {magnitude}, {word((127 + 1 - bias) << 23)}")
    code = op(f"select {mask} {is_small}, {words} {denormal}, {words} {normal}")
    too_large = op(f"icmp sgt {words} {code}, {word(largest)}")
    code = op(f"select {mask} {too_large}, {words} {word(overflow)}, {words} {code}")
    is_nan = op(f"icmp ugt {words} {magnitude}, {word(0x7F800000)}")
    code = op(f"select {mask} {is_nan}, {words} {word(0x7F if mantissa == 3 else 0x7E)}, {words} {code}")
    sign = op(f"and {words} {op(f'lshr {words} {bits}, {word(24)}')}, {word(0x80)}")
    return op(f"trunc {words} {op(f'or {words} {code}, {sign}')} to {register_type('i8', width)}")

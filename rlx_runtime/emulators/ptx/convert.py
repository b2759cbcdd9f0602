"""mov, cvt, cvta and what else carries values from one type or register to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators import floats
from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.ptx.integer import simple
from rlx_runtime.emulators.ptx.operands import GENERIC_BASE, KINDS, Context, Kind
from rlx_runtime.emulators.ptx.threads import WINDOW_SIZE, Threads

Array = NDArray[Any]
_INTEGRAL = {"rni": "rn", "rzi": "rz", "rmi": "rm", "rpi": "rp"}
_EIGHT = {"e4m3x2": "e4m3", "e5m2x2": "e5m2"}
U = {bits: KINDS[f"b{bits}"] for bits in (8, 16, 32, 64)}


def move(c: Context) -> Step:
    """mov: of a register, a number, an address; `{a, b}` packs and unpacks, low part first."""
    kind = c.kind(c.statement.opcode[-1])
    to, source = c.statement.operands
    if to.startswith("{"):
        names = c.group(to)
        part = U[kind.bits // len(names)]
        value = c.source(source, U[kind.bits])
        targets = [c.target(name, part) for name in names]

        def unpack(m: Threads) -> None:
            whole = np.asarray(value(m))
            for i, target in enumerate(targets):
                target(m, (whole >> kind.raw.type(i * part.bits)).astype(part.raw))

        return unpack
    if source.startswith("{"):
        names = c.group(source)
        part = U[kind.bits // len(names)]
        values = [c.source(name, part) for name in names]
        target = c.target(to, U[kind.bits])

        def pack(m: Threads) -> None:
            whole: Any = kind.raw.type(0)
            for i, read in enumerate(values):
                whole = whole | (np.asarray(read(m)).astype(kind.raw) << kind.raw.type(i * part.bits))
            target(m, whole)

        return pack
    if source in c.registers and to in c.registers and c.function.registers[source] == c.function.registers[to]:
        number, origin = c.registers[to], c.registers[source]
        return lambda m: m.move(number, origin)
    return simple(c, kind if kind.group == "p" else U[kind.bits], lambda a: a)


def implicit(c: Context) -> Step:
    """The compiler says that this register holds nothing of use: it is written, with poison."""
    name = c.statement.operands[0]
    held = c.function.registers[name]
    kind = c.kind("pred" if held == "pred" else f"b{held[1:]}")
    target = c.target(name, kind)
    value = np.asarray(True if kind.group == "p" else 2**kind.bits - 1, kind.dtype)
    return lambda m: target(m, value)


def to_generic(c: Context) -> Step:
    """cvta: to a generic address, or with `.to` from one."""
    opcode, kind = c.statement.opcode, c.kind(c.statement.opcode[-1])
    away = "to" in opcode
    space = opcode[-2].partition("__")[0]
    if space not in GENERIC_BASE or kind.bits != 64:
        raise c.unknown()
    base = np.uint64(GENERIC_BASE[space])
    return simple(c, kind, (lambda a: a - base) if away else (lambda a: a + base))


def is_space(c: Context) -> Step:
    space, u64 = c.statement.opcode[-1], c.kind("u64")
    if space not in GENERIC_BASE:
        raise c.unknown()
    base = np.uint64(GENERIC_BASE[space])
    window = np.uint64(WINDOW_SIZE)

    def compute(a: Array) -> Array:
        return (a - base < window) if base else (a >> np.uint64(56)) == 0

    return simple(c, u64, compute, (u64,), c.kind("pred"))


# -- cvt


def convert(c: Context) -> Step:
    """cvt of every pair of types: round once, saturate where it is said or implied."""
    opcode = c.statement.opcode
    to, source = opcode[-2], opcode[-1]
    if opcode[1] == "pack":
        return _pack(c)
    rounding = next((part for part in opcode[1:-2] if part in floats.ROUNDINGS), "")
    integral = next((_INTEGRAL[part] for part in opcode[1:-2] if part in _INTEGRAL), "")
    extra = {part for part in opcode[1:-2] if part not in floats.ROUNDINGS and part not in _INTEGRAL}
    if extra - {"ftz", "sat", "satfinite", "relu"}:
        raise c.unknown()
    if to in _EIGHT or source in _EIGHT:
        return _convert_eight(c, to, source, extra)
    if to in ("f16x2", "bf16x2") and source == "f32":
        return _convert_pair(c, to, rounding, extra)
    target, origin = c.kind(to), c.kind(source)
    if target.lanes != 1 or origin.lanes != 1:
        raise c.unknown()
    if origin.group == "f":
        compute = _from_float(target, origin, rounding, integral, extra)
    elif target.group == "f":
        compute = _from_integer(target, origin, rounding or "rn", extra)
    else:
        compute = _between_integers(target, "sat" in extra)
    if to == "tf32":
        return simple(c, c.kind("f32"), compute, (origin,), c.kind("f32"))
    return simple(c, target, compute, (origin,), target)


def _between_integers(target: Kind, saturate: bool) -> Callable[[Array], Array]:
    if not saturate:
        return lambda a: np.asarray(a).astype(target.dtype)
    info = np.iinfo(target.dtype)

    def clamp(a: Array) -> Array:
        low = info.min if np.asarray(a).dtype.kind == "i" else 0
        own = np.iinfo(np.asarray(a).dtype)
        return np.clip(a, max(low, own.min), min(info.max, own.max)).astype(target.dtype)

    return clamp


def _from_integer(target: Kind, origin: Kind, rounding: str, extra: set[str]) -> Callable[[Array], Array]:
    name = target.name

    def compute(a: Array) -> Array:
        a = np.asarray(a)
        if rounding == "rn" and name in ("f32", "f64") and not extra:
            return a.astype(target.dtype)  # NumPy rounds 64-bit integers once
        value = a.astype(np.float64)
        if origin.bits == 64:
            value = _odd_from_integer(a, value)
        value = value if name == "f64" else floats.narrow(value, name, rounding)
        return np.clip(value, 0, 1) if "sat" in extra else value

    return compute


def _odd_from_integer(a: Array, value: Array) -> Array:
    """float64 of 64-bit integers rounded to odd."""
    negative = (a < 0) if a.dtype.kind == "i" else np.zeros(a.shape, bool)
    size = np.where(negative, -a.astype(np.int64), a.astype(np.int64)).astype(np.uint64) if a.dtype.kind == "i" else a
    high, low = size >> np.uint64(11), size & np.uint64(0x7FF)
    # 53 bits above, the rest as one sticky bit.
    exact = (high.astype(np.float64) * 2048.0) + 0.0
    kept = np.where(size < np.uint64(1 << 53), size.astype(np.float64), exact)
    bits = kept.view(np.int64) | ((size >= np.uint64(1 << 53)) & (low != 0))
    return np.where(negative, -bits.view(np.float64), bits.view(np.float64))


def _from_float(target: Kind, origin: Kind, rounding: str, integral: str, extra: set[str]) -> Callable[[Array], Array]:
    flush = "ftz" in extra and "f32" in (origin.name, target.name)

    def compute(a: Array) -> Array:
        if flush and origin.name == "f32":
            a = floats.flush(a)
        wide = np.asarray(a, np.float64)
        if target.group != "f":
            # NaN gives 0 where both types are narrower than 64 bits, else the sign bit alone (PTX ISA, cvt).
            odd = origin.name == "f64" or target.bits == 64
            nan = -(1 << (target.bits - 1)) if odd else 0
            return floats.to_integer(wide, target.dtype, integral or "rz", nan)
        if integral:
            wide = np.copysign(floats.to_integral(wide, integral), wide)
        if "sat" in extra:
            wide = np.where(np.isnan(wide), 0.0, np.clip(wide, 0.0, 1.0)) + 0.0
        if "relu" in extra:
            wide = np.where(wide > 0, wide, np.where(np.isnan(wide), wide, 0.0))
        if target.name == "f64":
            return wide
        wide = floats.narrow(wide, target.name, rounding or "rn", "satfinite" in extra)
        return floats.flush(wide.astype(np.float32)) if flush and target.name == "f32" else wide

    return compute


def _convert_pair(c: Context, to: str, rounding: str, extra: set[str]) -> Step:
    """Two f32 to one packed register: the first source is the upper half."""
    f32, half = c.kind("f32"), to[:-2]
    one = _from_float(c.kind(half), f32, rounding or "rn", "", extra)
    return simple(c, c.kind(to), lambda high, low: _stacked(one(low), one(high)), (f32, f32), c.kind(to))


def _stacked(low: Array, high: Array) -> Array:
    return np.stack(np.broadcast_arrays(low, high), axis=-1)


def _convert_eight(c: Context, to: str, source: str, extra: set[str]) -> Step:
    """Pairs of 8-bit floats in 16 bits: from two f32 or one f16x2, to f16x2."""
    b16 = c.kind("b16")
    relu = "relu" in extra
    if to in _EIGHT:
        name = _EIGHT[to]

        def narrow(x: Array) -> Array:
            x = np.asarray(x, np.float64)
            x = np.where(x > 0, x, np.where(np.isnan(x), x, 0.0)) if relu else x
            return floats.fp8_from_f64(x, name).astype(np.uint16)

        if source == "f32":
            f32 = c.kind("f32")
            return simple(c, b16, lambda high, low: narrow(low) | (narrow(high) << np.uint16(8)), (f32, f32), b16)
        pair = c.kind(source)
        return simple(c, b16, lambda x: narrow(x[..., 0]) | (narrow(x[..., 1]) << np.uint16(8)), (pair,), b16)
    if to != "f16x2":
        raise c.unknown()
    name = _EIGHT[source]

    def widen(x: Array) -> Array:
        low, high = (floats.fp8_to_f32(np.asarray(x >> np.uint16(by)) & np.uint16(255), name) for by in (0, 8))
        both = _stacked(low, high)
        return np.where(both > 0, both, np.where(np.isnan(both), both, 0)) if relu else both

    return simple(c, c.kind("f16x2"), widen, (b16,), c.kind("f16x2"))


def _pack(c: Context) -> Step:
    """cvt.pack.sat: two s32 clamped and put together, the second lowest, optionally above the halves of a third."""
    opcode = c.statement.opcode
    narrow = c.kind(opcode[3])
    s32, b32 = c.kind("s32"), c.kind("b32")
    info = np.iinfo(narrow.dtype)
    bits = np.uint32(narrow.bits)

    def compute(a: Array, b: Array, *rest: Array) -> Array:
        low, high = (
            np.clip(x, info.min, info.max).astype(np.int64).astype(np.uint32) & np.uint32((1 << narrow.bits) - 1) for x in (b, a)
        )
        both = low | (high << bits)
        return both | (rest[0] << np.uint32(2 * narrow.bits)) if rest else both

    return simple(c, b32, compute, (s32, s32, b32), b32)


CONVERT: dict[str, Callable[[Context], Step]] = {
    "mov": move, "cvt": convert, "cvta": to_generic, "isspacep": is_space, "implicit": implicit,
}  # fmt: skip

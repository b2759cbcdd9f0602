"""Memory instructions of AMDGCN: scalar loads, global, flat, scratch and LDS accesses, atomics."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.gcn.operands import KINDS, Context, Register, Source, register
from rlx_runtime.emulators.gcn.waves import Waves
from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.memory import OutOfBounds, update

Array = NDArray[Any]
WORDS = {"dword": 1, "dwordx2": 2, "dwordx3": 3, "dwordx4": 4, "b32": 1, "b64": 2, "b96": 3, "b128": 4}
NARROW = {
    "ubyte": (1, False), "u8": (1, False), "sbyte": (1, True), "i8": (1, True), "ushort": (2, False), "u16": (2, False),
    "sshort": (2, True), "i16": (2, True), "short": (2, False), "b16": (2, False), "byte": (1, False), "b8": (1, False),
}  # fmt: skip
"""Bytes, and whether the sign is extended."""


def _offset(c: Context) -> int:
    return int(c.instruction.modifiers.get("offset", "0"), 0)


def _register(c: Context, text: str) -> Register:
    found = register(text)
    if found is None or found.file != "v":
        raise c.malformed(f"{text} is no vector register")
    return found


# -- scalar loads


def scalar_load(c: Context) -> Step | None:
    """s_load: words of memory at an address that all lanes share."""
    match = re.fullmatch(r"s_(?:load|buffer_load)_(dword(?:x(\d+))?|b(\d+)|[iu](?:8|16))", c.instruction.name)
    if match is None or "buffer" in c.instruction.name:
        return None
    narrow = NARROW.get(match[1])
    count = 1 if narrow else int(match[2] or 1) if match[1].startswith("dword") else int(match[3]) // 32
    width, signed = narrow or (4, False)
    operands = c.instruction.operands
    target, base = register(operands[0]), c.source(operands[1], "u64", 0, scalar=True)
    if target is None or target.file != "s":
        raise c.malformed(f"{operands[0]} is no scalar register")
    given = operands[2] if len(operands) > 2 else "0"
    fixed = c.constant(given, KINDS["u64"]) if given != "null" else 0
    moving = c.source(given, "u32", 1, scalar=True) if fixed is None else None
    fixed = ((fixed or 0) + _offset(c)) & (2**64 - 1)
    if fixed >= 1 << 31 and fixed < 1 << 32:
        fixed |= 0xFFFFFFFF << 32  # offsets are signed

    def step(m: Waves) -> None:
        address = np.broadcast_to(base(m) + np.uint64(fixed), (m.count,))
        if moving is not None:
            address = address + np.asarray(moving(m)).astype(np.uint64)
        here = address[m.index]
        if width == 4:
            here = here & ~np.uint64(3)
        try:
            offsets = m.memory.offsets(here, width * count)
        except OutOfBounds as error:
            at = int(error.positions[0])
            message = f"{width * count} bytes at {int(here[at]):#x} lie in no allocation"
            raise m.fault("out-of-bounds", message, int(m.index[at])) from None
        for i in range(count):
            raw = m.memory.data.view(f"u{width}")[offsets // width + i]
            word = raw.astype(f"i{width}").astype(np.int32).view(np.uint32) if signed else raw.astype(np.uint32)
            full = np.zeros(m.count, np.uint32)
            full[m.index] = word
            m.write_scalar(target.number + i, full)

    return step


# -- addresses


def _address(c: Context, kind: str, operands: list[str]) -> tuple[Source, str]:
    """Addresses of the active lanes (uint64) and the space: of what follows the target of a load."""
    offset = np.uint64(_offset(c) & (2**64 - 1))
    if kind == "flat":
        wide = c.source(operands[0], "u64")
        return lambda m: m.part(wide(m)) + offset, "flat"
    if kind == "global":
        if operands[1] == "off":
            wide = c.source(operands[0], "u64")
            return lambda m: m.part(wide(m)) + offset, "global"
        base, by = c.source(operands[1], "u64"), c.source(operands[0], "u32")
        return lambda m: m.part(base(m) + by(m).astype(np.uint64)) + offset, "global"
    if kind == "scratch":
        parts = [c.source(text, "u32") for text in operands[:2] if text != "off"]
        small = np.uint32(_offset(c) & 0xFFFFFFFF)

        def scratch(m: Waves) -> Array:
            total: Any = np.full(m.lane_exists.shape, small)
            for part in parts:
                total = total + part(m)
            return m.part(total).astype(np.uint64)

        return scratch, "private"
    if kind == "buffer":
        # Only scratch is addressed so here: the resource describes it, and soffset counts for the whole wave.
        own = c.source(operands[0], "u32") if "offen" in c.instruction.modifiers else None
        frame, wave = c.source(operands[2], "u32"), np.uint32(c.lanes)
        small = np.uint32(_offset(c))

        def buffer(m: Waves) -> Array:
            total: Any = np.full(m.lane_exists.shape, small) + frame(m) // wave
            return m.part(total if own is None else total + own(m)).astype(np.uint64)

        return buffer, "private"
    raise c.unknown()


_ACCESS = re.compile(r"(global|flat|scratch|buffer)_(load|store)_(d16_hi_|d16_)?([a-z0-9]+?)(_d16_hi|_d16)?$")


def vector_access(c: Context) -> Step | None:
    """global, flat, scratch and buffer loads and stores."""
    match = _ACCESS.fullmatch(c.instruction.name)
    if match is None or "lds" in c.instruction.modifiers:
        return None
    space_name, way, what = match[1], match[2], match[4]
    half = (match[3] or match[5] or "").strip("_")
    operands = c.instruction.operands
    if way == "load":
        data, rest = _register(c, operands[0]), operands[1:]
    elif space_name == "buffer":
        data, rest = _register(c, operands[0]), operands[1:]
    else:
        data, rest = _register(c, operands[1]), [operands[0], *operands[2:]]
    address, space = _address(c, space_name, rest)
    return _transfer(c, way == "load", what, half, data, address, space)


def _transfer(c: Context, load: bool, what: str, half: str, data: Register, address: Source, space: str, unit: int = 0) -> Step:
    """Words or a part of one, from or to registers; addresses are multiples of `unit` if it is not 0."""
    if what in WORDS:
        count, first = WORDS[what], data.number
        align = unit or 1

        def read(m: Waves) -> None:
            values = m.load(space, address(m), 4, count, align)
            for i in range(count):
                m.write_lanes(first + i, np.ascontiguousarray(values[:, i]))

        def write(m: Waves) -> None:
            take = m.raw_vector if space == "private" else m.vector
            m.store(space, address(m), np.stack([m.part(take(first + i)) for i in range(count)], axis=1), align)

        return read if load else write
    if what not in NARROW:
        raise c.unknown()
    width, signed = NARROW[what]
    number, upper = data.number, half == "d16_hi" or data.half == "h"
    keep, align = bool(half) or bool(data.half), 1

    def read_part(m: Waves) -> None:
        raw = m.load(space, address(m), width, 1, align)[:, 0]
        word = raw.view(f"i{width}").astype(np.int32).view(np.uint32) if signed else raw.astype(np.uint32)
        if keep:
            old = m.vectors[number]
            old = np.full(raw.size, 0xFFFFFFFF, np.uint32) if old is None else m.part(old)
            word = word & np.uint32(0xFFFF)
            word = (old & np.uint32(0xFFFF)) | (word << np.uint32(16)) if upper else (old & np.uint32(0xFFFF0000)) | word
        m.write_lanes(number, word)

    def write_part(m: Waves) -> None:
        word = m.part(m.vector(number))
        word = word >> np.uint32(16) if upper else word
        m.store(space, address(m), word.astype(f"u{width}")[:, None], align)

    return read_part if load else write_part


# -- LDS

_LDS = re.compile(r"ds_(read|write|load|store)(_2addr|2)?(st64|_stride64)?_([a-z0-9]+?)(_d16_hi|_d16)?$")


def shared_access(c: Context) -> Step | None:
    """ds_read, ds_write and their names from gfx11 on; those of two addresses too."""
    match = _LDS.fullmatch(c.instruction.name.replace("_d16_hi_", "_").replace("_d16_", "_"))
    if match is None or "gds" in c.instruction.modifiers:
        return None
    load, two, apart, what = match[1] in ("read", "load"), bool(match[2]), bool(match[3]), match[4]
    name = c.instruction.name
    half = "d16_hi" if "d16_hi" in name else "d16" if "d16" in name else ""
    operands, modifiers = c.instruction.operands, c.instruction.modifiers
    base = c.source(operands[1] if load else operands[0], "u32")

    def at(offset: int) -> Source:
        by = np.uint32(offset)
        return lambda m: m.part(base(m) + by).astype(np.uint64)

    if not two:
        return _transfer(c, load, what, half, _register(c, operands[0] if load else operands[1]), at(_offset(c)), "shared")
    count = WORDS[what]
    unit = 4 * count * (64 if apart else 1)
    places = [at(int(modifiers.get(f"offset{i}", "0"), 0) * unit) for i in (0, 1)]
    if load:
        first = _register(c, operands[0])
        data = [Register("v", first.number + count * i, count) for i in (0, 1)]
    else:
        data = [_register(c, operands[1 + i]) for i in (0, 1)]
    if not load:
        steps = [_transfer(c, False, what, "", r, place, "shared", 4 * count) for r, place in zip(data, places)]

        def store_both(m: Waves) -> None:
            for step in steps:
                step(m)

        return store_both

    def load_both(m: Waves) -> None:
        values = [m.load("shared", place(m), 4, count, 4 * count) for place in places]
        for r, part in zip(data, values):
            for i in range(count):
                m.write_lanes(r.number + i, np.ascontiguousarray(part[:, i]))

    return load_both


# -- atomics


def _increment(old: Array, limit: Array) -> Array:
    return np.where(old >= limit, old.dtype.type(0), old + old.dtype.type(1))


def _decrement(old: Array, limit: Array) -> Array:
    return np.where((old == 0) | (old > limit), limit, old - old.dtype.type(1))


_OPERATIONS: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
    "add": ("u", np.add), "sub": ("u", np.subtract), "rsub": ("u", lambda old, x: x - old), "and": ("u", np.bitwise_and),
    "or": ("u", np.bitwise_or), "xor": ("u", np.bitwise_xor), "inc": ("u", _increment), "dec": ("u", _decrement),
    "smin": ("i", np.minimum), "smax": ("i", np.maximum), "umin": ("u", np.minimum), "umax": ("u", np.maximum),
    "min": ("", np.minimum), "max": ("", np.maximum), "min_num": ("f", np.fmin), "max_num": ("f", np.fmax),
    "swap": ("u", lambda old, x: x), "wrxchg": ("u", lambda old, x: x), "storexchg": ("u", lambda old, x: x),
}  # fmt: skip
_ATOMIC = re.compile(r"(global|flat|ds)_(atomic_)?([a-z]+(?:_num)?)(_rtn)?(?:_([iufb])(32|64))?(_x2)?$")
_SWAPS = {"cmpswap", "cmpst", "cmpstore"}


def atomic(c: Context) -> Step | None:
    """Read-modify-write: the old value goes to the target where there is one."""
    match = _ATOMIC.fullmatch(c.instruction.name)
    if match is None or (match[1] != "ds") != bool(match[2]):
        return None
    space_name, name, letter = match[1], match[3], match[5] or "u"
    bits = int(match[6] or (64 if match[7] else 32))
    words_each = bits // 32
    operands = list(c.instruction.operands)
    if space_name == "ds":
        returns = match[4] is not None
    else:
        returns = len(operands) == (4 if space_name == "global" else 3)
    target = _register(c, operands.pop(0)) if returns else None
    data = [_register(c, operands[1])]
    if space_name == "ds":
        base, by = c.source(operands[0], "u32"), np.uint32(_offset(c))
        address, space = (lambda m: m.part(base(m) + by).astype(np.uint64)), "shared"
        if name in _SWAPS:
            data.append(_register(c, operands[2]))
            if name == "cmpstore":
                data.reverse()  # gfx11 gives the new value first
    else:
        address, space = _address(c, space_name, [operands[0], *operands[2:]])
        if name in _SWAPS:  # the new value, then the one to compare with
            data = [Register("v", data[0].number + words_each, words_each), data[0]]
    compute = _compute(c, name, letter, bits)

    def value(m: Waves, r: Register) -> Array:
        low = m.part(m.vector(r.number))
        if bits == 32:
            return low
        return low.astype(np.uint64) | (m.part(m.vector(r.number + 1)).astype(np.uint64) << np.uint64(32))

    def step(m: Waves) -> None:
        where = address(m)
        if not where.size:
            return
        dtype = np.dtype(f"u{bits // 8}")
        memory, offsets = _place(m, space, where, bits // 8)
        old = update(memory, offsets, dtype, compute, [value(m, r) for r in data])
        if target is not None:
            for i in range(words_each):
                m.write_lanes(target.number + i, (old >> dtype.type(32 * i)).astype(np.uint32))

    return step


def _place(m: Waves, space: str, where: Array, nbytes: int) -> tuple[Array, Array]:
    if space == "flat":
        window = where >> np.uint64(56)
        if (window == 1).all():
            return m.place("shared", where - np.uint64(1 << 56), nbytes, nbytes)
        if window.any():
            raise m.fault("unsupported", "a flat atomic on several address spaces")
        space = "global"
    return m.place(space, where, nbytes, nbytes)


def _compute(c: Context, name: str, letter: str, bits: int) -> Callable[..., Array]:
    if name in _SWAPS:
        return lambda old, wanted, new: np.where(old == wanted, new, old)
    if name not in _OPERATIONS:
        raise c.unknown()
    own, operation = _OPERATIONS[name]
    kind = letter if letter == "f" or not own else own
    dtype = np.dtype(f"{'f' if kind == 'f' else 'i' if kind == 'i' else 'u'}{bits // 8}")
    raw = np.dtype(f"u{bits // 8}")
    return lambda old, x: np.asarray(operation(old.view(dtype), x.view(dtype)), dtype).view(raw)


def nothing(c: Context) -> Step | None:
    """Cache control: memory is in order here."""
    if re.fullmatch(r"(buffer_(wbl2|inv|gl[01]_inv|wbinvl1\w*)|global_(inv|wb|wbinv))", c.instruction.name):
        return lambda m: None
    return None


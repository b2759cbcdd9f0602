"""Integer, bit and predicate instructions of PTX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.integers import count_bits, high, highest_bit, reverse_bits
from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.ptx.operands import Context, Kind, Source
from rlx_runtime.emulators.ptx.threads import Threads

Array = NDArray[Any]
IGNORED = frozenset(("lo", "wrap", "uni"))


def simple(c: Context, kind: Kind, compute: Callable[..., Any], kinds: tuple[Kind, ...] | None = None,
           result: Kind | None = None) -> Step:  # fmt: skip
    """`d = compute(a, b, …)`: as many sources as kinds are given; all operands, of `kind`, if none are."""
    operands = c.statement.operands
    sources = [c.source(text, one) for text, one in zip(operands[1:], kinds or (kind,) * len(operands))]
    target = c.target(operands[0], result or kind)
    if len(sources) == 1:
        (a,) = sources
        return lambda m: target(m, compute(a(m)))
    if len(sources) == 2:
        a, b = sources
        return lambda m: target(m, compute(a(m), b(m)))
    return lambda m: target(m, compute(*[source(m) for source in sources]))


def _last(c: Context) -> Kind:
    return c.kind(c.statement.opcode[-1])


def _signed(kind: Kind) -> bool:
    return kind.group == "s"


# -- arithmetic


def divide(a: Array, b: Array) -> Array:
    """Quotient towards zero; all bits set for a divisor of 0, as the hardware does."""
    zero = b == 0
    safe = np.where(zero, b.dtype.type(1), b)
    if b.dtype.kind == "u":
        return np.where(zero, np.iinfo(b.dtype).max, a // safe)
    quotient = a // safe
    quotient = quotient + ((a - quotient * safe != 0) & ((a < 0) != (safe < 0)))
    return np.where(zero, -1, quotient)


def remainder(a: Array, b: Array) -> Array:
    """What `divide` leaves, with the sign of `a`; `a` for a divisor of 0."""
    zero = b == 0
    safe = np.where(zero, b.dtype.type(1), b)
    return np.where(zero, a, a - divide(a, safe).astype(b.dtype) * safe)


def add(c: Context) -> Step:
    opcode, kind = c.statement.opcode, _last(c)
    if "cc" in opcode or opcode[0] in ("addc", "subc"):
        return _carrying(c, kind)
    if "sat" in opcode:
        wide, info = np.int64, np.iinfo(np.int32)
        sign = 1 if opcode[0] == "add" else -1
        return simple(c, kind, lambda a, b: np.clip(np.asarray(a, wide) + sign * np.asarray(b, wide), info.min, info.max))
    return simple(c, kind, np.add if opcode[0] == "add" else np.subtract)


def _carrying(c: Context, kind: Kind) -> Step:
    """add.cc, addc, sub.cc, subc: the carry (or borrow) of the last one is in the machine."""
    opcode = c.statement.opcode
    unsigned = c.kind(f"u{kind.bits}")
    a, b = (c.source(text, unsigned) for text in c.statement.operands[1:3])
    target = c.target(c.statement.operands[0], unsigned)
    minus, reads, writes = opcode[0].startswith("sub"), opcode[0].endswith("c"), "cc" in opcode

    def step(m: Threads) -> None:
        x, y = np.broadcast_arrays(a(m), b(m))
        carry = (m.carry if reads else np.zeros(m.count, bool)).astype(unsigned.dtype)
        if minus:
            result = x - y - carry
            out = (x < y) | ((x == y) & (carry != 0))
        else:
            result = x + y + carry
            out = (result < x) | ((result == x) & (carry != 0))
        target(m, result)
        if writes:
            m.carry = np.where(m.active, out, m.carry)

    return step


def multiply(c: Context) -> Step:
    """mul and mad: .lo, .hi, .wide; mul24 and mad24."""
    opcode, kind = c.statement.opcode, _last(c)
    mad = opcode[0].startswith("mad")
    if "wide" in opcode:
        wide = c.kind(f"{'s' if _signed(kind) else 'u'}{2 * kind.bits}")

        def product(a: Array, b: Array, *rest: Array) -> Array:
            result = np.asarray(a).astype(wide.dtype) * np.asarray(b).astype(wide.dtype)
            return result + rest[0] if rest else result

        return simple(c, kind, product, (kind, kind, wide), wide)
    if opcode[0].endswith("24"):
        top = "hi" in opcode

        def small(a: Array, b: Array, *rest: Array) -> Array:
            wide = np.int64 if _signed(kind) else np.uint64
            a, b = ((np.asarray(x) << 8) >> 8 for x in (a, b))
            result = (np.asarray(a).astype(wide) * np.asarray(b).astype(wide) >> wide(16 if top else 0)).astype(kind.dtype)
            return result + rest[0] if rest else result

        return simple(c, kind, small)
    if "hi" in opcode:
        return simple(c, kind, lambda a, b, *rest: high(a, b, kind.dtype) + (rest[0] if rest else kind.dtype(0)))
    if mad:
        return simple(c, kind, lambda a, b, d: a * b + d)
    return simple(c, kind, np.multiply)


def sad(c: Context) -> Step:
    kind = _last(c)
    return simple(c, kind, lambda a, b, d: np.where(a < b, b - a, a - b) + d)


def dp4a(c: Context) -> Step:
    kinds = c.statement.opcode[-2:]
    result = c.kind("s32" if "s32" in kinds else "u32")

    def compute(a: Array, b: Array, d: Array) -> Array:
        total = np.asarray(d).astype(np.int64)
        for i in range(4):
            pair = []
            for value, name in ((a, kinds[0]), (b, kinds[1])):
                byte = (np.asarray(value) >> np.uint32(8 * i)).astype(np.uint8)
                pair.append((byte.view(np.int8) if name == "s32" else byte).astype(np.int64))
            total = total + pair[0] * pair[1]
        return total.astype(np.uint32)

    bits = c.kind("b32")
    return simple(c, bits, compute, (bits, bits, result), bits)


def extreme(c: Context) -> Step:
    kind = _last(c)
    pick = np.minimum if c.statement.opcode[0] == "min" else np.maximum
    if "relu" in c.statement.opcode:
        return simple(c, kind, lambda a, b: np.maximum(pick(a, b), kind.dtype(0)))
    return simple(c, kind, pick)


# -- bits


def shift(c: Context) -> Step:
    """shl, shr: amounts beyond the width leave zeros, or the sign."""
    kind = _last(c)
    left, width = c.statement.opcode[0] == "shl", kind.bits

    def compute(a: Array, amount: Array) -> Array:
        over = amount >= width
        by = np.minimum(amount, np.uint32(width - 1)).astype(kind.dtype)
        if left:
            return np.where(over, kind.dtype(0), a << by)
        if _signed(kind):
            return a >> by
        return np.where(over, kind.dtype(0), a >> by)

    return simple(c, kind, compute, (kind, c.kind("u32")))


def funnel(c: Context) -> Step:
    left, clamp = c.statement.opcode[1] == "l", "clamp" in c.statement.opcode

    def compute(low: Array, up: Array, amount: Array) -> Array:
        by = np.minimum(amount, np.uint32(32)) if clamp else amount & np.uint32(31)
        both = (np.asarray(up).astype(np.uint64) << np.uint64(32)) | np.asarray(low).astype(np.uint64)
        by = np.asarray(by).astype(np.uint64)
        # A shift of the pair by 0 to 32, then its upper (left) or lower (right) half.
        return ((both << by) >> np.uint64(32) if left else both >> by).astype(np.uint32)

    return simple(c, c.kind("u32"), compute)


def logic(c: Context) -> Step:
    name = c.statement.opcode[0]
    return simple(c, _last(c), {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert}[name])


def bits(c: Context) -> Step:
    """popc, clz, bfind, brev: the result of the first three is 32 bits wide."""
    opcode, kind = c.statement.opcode, _last(c)
    name, u32 = opcode[0], c.kind("u32")
    if name == "popc":
        return simple(c, kind, count_bits, (kind,), u32)
    if name == "clz":
        return simple(c, kind, lambda a: kind.bits - 1 - highest_bit(a), (kind,), u32)
    if name == "bfind":
        amount = "shiftamt" in opcode

        def find(a: Array) -> Array:
            if _signed(kind):
                a = np.where(a < 0, ~a, a)
            place = highest_bit(np.asarray(a).view(kind.raw))
            return np.where(place < 0, -1, kind.bits - 1 - place if amount else place)

        return simple(c, kind, find, (kind,), u32)

    return simple(c, kind, reverse_bits)


def extract_field(c: Context) -> Step:
    kind, u32 = _last(c), c.kind("u32")

    def compute(a: Array, start: Array, length: Array) -> Array:
        start, length = np.asarray(start) & 255, np.asarray(length) & 255
        wide = np.asarray(a).astype(np.int64 if _signed(kind) else np.uint64)
        one = wide.dtype.type
        top = np.minimum(start + length, kind.bits).astype(wide.dtype)
        left = one(64) - np.maximum(top, one(1))
        down = left + np.minimum(start, kind.bits - 1).astype(wide.dtype)
        field = (wide << left) >> np.minimum(down, one(63))
        empty = one(0) if not _signed(kind) else np.where(length == 0, one(0), wide >> one(63))
        return np.where((length == 0) | (start >= kind.bits), empty, field).astype(kind.dtype)

    return simple(c, kind, compute, (kind, u32, u32))


def insert_field(c: Context) -> Step:
    kind, u32 = _last(c), c.kind("u32")

    def compute(a: Array, b: Array, start: Array, length: Array) -> Array:
        start, length = (np.asarray(x).astype(np.uint64) & np.uint64(255) for x in (start, length))
        one = np.uint64(1)
        size = np.where(length >= 64, np.uint64(2**64 - 1), (one << np.minimum(length, np.uint64(63))) - one)
        mask = np.where(start >= kind.bits, np.uint64(0), size << np.minimum(start, np.uint64(63)))
        a, b = (np.asarray(x).astype(np.uint64) for x in (a, b))
        return ((b & ~mask) | ((a << np.minimum(start, np.uint64(63))) & mask)).astype(kind.dtype)

    return simple(c, kind, compute, (kind, kind, u32, u32))


def permute(c: Context) -> Step:
    """prmt: bytes of two words by selectors of four bits; the highest bit spreads the sign of a byte."""
    if c.statement.opcode[-1] != "b32":
        raise c.unknown()

    def compute(a: Array, b: Array, selector: Array) -> Array:
        both = np.asarray(a).astype(np.uint64) | (np.asarray(b).astype(np.uint64) << np.uint64(32))
        selector = np.asarray(selector).astype(np.uint64)
        result: Any = np.uint64(0)
        for i in range(4):
            chosen = selector >> np.uint64(4 * i)
            byte = (both >> ((chosen & np.uint64(7)) * np.uint64(8))) & np.uint64(255)
            sign = np.where(byte & np.uint64(128), np.uint64(255), np.uint64(0))
            result = result | (np.where(chosen & np.uint64(8), sign, byte) << np.uint64(8 * i))
        return result.astype(np.uint32)

    return simple(c, c.kind("b32"), compute)


def lop3(c: Context) -> Step:
    table, b32 = c.integer(c.statement.operands[4]), c.kind("b32")

    def compute(a: Array, b: Array, d: Array) -> Array:
        result: Any = np.uint32(0)
        for i in range(8):
            if table >> i & 1:
                result = result | ((a if i & 4 else ~a) & (b if i & 2 else ~b) & (d if i & 1 else ~d))
        return result

    return simple(c, b32, compute, (b32, b32, b32))


# -- comparison and selection

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip


def compare(name: str, kind: Kind) -> Callable[[Any, Any], Any] | None:
    """The comparison of that name; None if there is none. Of floats, `u` in the name makes it true for NaN."""
    if kind.group != "f":
        return _COMPARE.get(name)
    if name in ("num", "nan"):
        return lambda a, b: (np.isnan(a) | np.isnan(b)) == (name == "nan")
    if name.endswith("u") and name[:2] in _COMPARE:
        base = _COMPARE[name[:2]]
        return lambda a, b: base(a, b) | np.isnan(a) | np.isnan(b)
    if name == "ne":
        return lambda a, b: (a != b) & ~np.isnan(a) & ~np.isnan(b)
    return _COMPARE.get(name)


_BOOLEAN = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def set_predicate(c: Context) -> Step:
    """setp: a comparison, and with `.and`, `.or`, `.xor` another predicate; the second result is of the opposite comparison."""
    opcode, operands = c.statement.opcode, c.statement.operands
    kind = _last(c)
    test = compare(opcode[1], kind)
    if test is None or "ftz" in opcode:
        raise c.unknown()
    a, b = c.source(operands[1], kind), c.source(operands[2], kind)
    names = [name.strip() for name in operands[0].split("|")]
    combine = _BOOLEAN[opcode[2]] if opcode[2] in _BOOLEAN else None
    other: Source | None = c.source(operands[3], "pred") if combine else None
    targets = [c.target(name, "pred") for name in names]
    packed = kind.lanes == 2

    def step(m: Threads) -> None:
        found = test(a(m), b(m))
        pair = [found[..., 0], found[..., 1]] if packed else [found, ~found]
        for target, value in zip(targets, pair):
            target(m, combine(value, other(m)) if combine and other else value)

    return step


def set_value(c: Context) -> Step:
    """set: a comparison as all bits or 1.0."""
    opcode = c.statement.opcode
    result, kind = c.kind(opcode[-2]), c.kind(opcode[-1])
    test = compare(opcode[1], kind)
    if test is None or len(opcode) != 4:
        raise c.unknown()
    true = 1.0 if result.group == "f" else -1
    return simple(c, kind, lambda a, b: np.where(test(a, b), true, 0).astype(result.dtype), (kind, kind), result)


def select(c: Context) -> Step:
    kind = _last(c)
    return simple(c, kind, lambda a, b, p: np.where(p, a, b), (kind, kind, c.kind("pred")))


def select_by_sign(c: Context) -> Step:
    kind, by = c.kind(c.statement.opcode[-2]), c.kind(c.statement.opcode[-1])
    return simple(c, kind, lambda a, b, d: np.where(d >= 0, a, b), (kind, kind, by))


INTEGER: dict[str, Callable[[Context], Step]] = {
    "addc": add, "subc": add, "mad": multiply, "mul24": multiply, "mad24": multiply, "sad": sad, "dp4a": dp4a,
    "rem": lambda c: simple(c, _last(c), lambda a, b: remainder(*np.broadcast_arrays(a, b))),
    "and": logic, "or": logic, "xor": logic, "not": logic, "shl": shift, "shr": shift, "shf": funnel, "popc": bits, "clz": bits,
    "bfind": bits, "brev": bits, "bfe": extract_field, "bfi": insert_field, "prmt": permute, "lop3": lop3,
    "cnot": lambda c: simple(c, _last(c), lambda a: a == 0), "setp": set_predicate, "set": set_value, "selp": select,
    "slct": select_by_sign,
}  # fmt: skip
"""By the first part of the opcode; those of `BOTH` are for integers where the type is one."""
BOTH: dict[str, Callable[[Context], Step]] = {
    "add": add, "sub": add, "mul": multiply, "min": extreme, "max": extreme,
    "div": lambda c: simple(c, _last(c), lambda a, b: divide(*np.broadcast_arrays(a, b))),
    "abs": lambda c: simple(c, _last(c), np.abs), "neg": lambda c: simple(c, _last(c), np.negative),
}  # fmt: skip

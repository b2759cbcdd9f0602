"""Bits of integers, over arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def high64(a: Array, b: Array) -> Array:
    """The upper half of the product of two uint64."""
    mask, half = np.uint64(0xFFFF_FFFF), np.uint64(32)
    a0, a1, b0, b1 = a & mask, a >> half, b & mask, b >> half
    middle = a1 * b0 + ((a0 * b0) >> half)
    other = a0 * b1 + (middle & mask)
    return a1 * b1 + (middle >> half) + (other >> half)


def high(a: Array, b: Array, dtype: Any) -> Array:
    """The upper half of a product of integers of a type."""
    info = np.iinfo(dtype)
    if info.bits < 64:
        wide = np.int64 if info.min else np.uint64
        product = np.asarray(a).astype(wide) * np.asarray(b).astype(wide)
        return (product >> wide(info.bits)).astype(dtype)
    a, b = np.broadcast_arrays(np.asarray(a), np.asarray(b))
    upper = high64(a.astype(np.uint64), b.astype(np.uint64))
    if info.min:
        zero = np.uint64(0)
        upper = upper - np.where(a < 0, b.astype(np.uint64), zero) - np.where(b < 0, a.astype(np.uint64), zero)
    return upper.astype(dtype)


def count_bits(a: Array) -> Array:
    """How many bits are set, as int64."""
    raw = np.ascontiguousarray(a)
    return np.unpackbits(raw.reshape(-1, 1).view(np.uint8), axis=1).sum(axis=1).reshape(raw.shape).astype(np.int64)


def highest_bit(a: Array) -> Array:
    """The place of the highest bit that is set in unsigned values, as int64; -1 for 0."""
    result = np.full(np.shape(a), -1, np.int64)
    rest = np.asarray(a).astype(np.uint64)
    for step in (32, 16, 8, 4, 2, 1):
        upper = rest >> np.uint64(step)
        more = upper != 0
        result += np.where(more, step, 0)
        rest = np.where(more, upper, rest)
    return result + (rest != 0)


def lowest_bit(a: Array) -> Array:
    """The place of the lowest bit that is set, as int64; -1 for 0."""
    value = np.asarray(a)
    return highest_bit(value & (~value + value.dtype.type(1)))


def reverse_bits(a: Array) -> Array:
    """Unsigned values with their bits in the opposite order."""
    raw = np.ascontiguousarray(a).reshape(-1)
    bits = np.unpackbits(raw.reshape(-1, 1).view(np.uint8), axis=1, bitorder="little")[:, ::-1]
    return np.packbits(bits, axis=1, bitorder="little").view(raw.dtype).reshape(np.shape(a))


def permute_bytes(both: Array, selector: Array) -> Array:
    """Four bytes of a uint64 by the bytes of a selector: 0 to 7 a byte, 8 to 11 the sign of every second byte, 12 zeros, more
    ones; as uint32."""
    selector = np.asarray(selector).astype(np.uint64)
    result: Any = np.uint64(0)
    for i in range(4):
        chosen = (selector >> np.uint64(8 * i)) & np.uint64(255)
        byte = (both >> ((chosen & np.uint64(7)) * np.uint64(8))) & np.uint64(255)
        signs = (both >> (((chosen & np.uint64(3)) * np.uint64(2) + np.uint64(1)) * np.uint64(8) + np.uint64(7))) & np.uint64(1)
        fixed = np.where(chosen == 12, np.uint64(0), np.uint64(255))
        found = np.where(chosen < 8, byte, np.where(chosen < 12, signs * np.uint64(255), fixed))
        result = result | (found << np.uint64(8 * i))
    return result.astype(np.uint32)

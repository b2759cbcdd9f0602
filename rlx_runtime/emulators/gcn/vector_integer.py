"""Integer and bit instructions of the vector unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.gcn.vector import Entry, entry
from rlx_runtime.emulators.integers import count_bits, high, highest_bit, lowest_bit, permute_bytes, reverse_bits

Array = NDArray[Any]
TABLE: dict[str, Entry] = {}
U32, U64 = np.uint32, np.uint64


def _add(names: str, made: Entry) -> None:
    for name in names.split():
        TABLE[f"v_{name}"] = made


def _wide(a: Any, b: Any) -> tuple[Array, Array]:
    return np.asarray(a).astype(U64), np.asarray(b).astype(U64)


# -- sums

for _kind in ("u16", "i16", "u32", "i32"):
    _new = f"nc_{_kind}"
    _sum = entry(_kind, f"{_kind} {_kind}", np.add, saturating=np.add)
    _difference = entry(_kind, f"{_kind} {_kind}", np.subtract, saturating=np.subtract)
    _reverse = entry(_kind, f"{_kind} {_kind}", lambda a, b: b - a, saturating=lambda a, b: b - a)
    _add(f"add_{_kind} add_{_new}", _sum)
    _add(f"sub_{_kind} sub_{_new}", _difference)
    _add(f"subrev_{_kind} subrev_{_new}", _reverse)
    _add(f"min_{_kind}", entry(_kind, f"{_kind} {_kind}", np.minimum))
    _add(f"max_{_kind}", entry(_kind, f"{_kind} {_kind}", np.maximum))
    _three = f"{_kind} {_kind} {_kind}"
    _add(f"min3_{_kind}", entry(_kind, _three, lambda a, b, c: np.minimum(np.minimum(a, b), c)))
    _add(f"max3_{_kind}", entry(_kind, _three, lambda a, b, c: np.maximum(np.maximum(a, b), c)))
    _add(f"med3_{_kind}", entry(_kind, _three, lambda a, b, c: np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))))
    _add(f"maxmin_{_kind}", entry(_kind, _three, lambda a, b, c: np.minimum(np.maximum(a, b), c)))
    _add(f"minmax_{_kind}", entry(_kind, _three, lambda a, b, c: np.maximum(np.minimum(a, b), c)))
    if _kind.endswith("16"):
        _packed, _two = f"pk_{_kind}", f"pk_{_kind} pk_{_kind}"
        _add(f"pk_add_{_kind}", entry(_packed, _two, np.add, saturating=np.add))
        _add(f"pk_sub_{_kind}", entry(_packed, _two, np.subtract, saturating=np.subtract))
        _add(f"pk_min_{_kind}", entry(_packed, _two, np.minimum))
        _add(f"pk_max_{_kind}", entry(_packed, _two, np.maximum))
        _add(f"pk_mad_{_kind}", entry(_packed, f"{_two} {_packed}", lambda a, b, c: a * b + c))


def _carry_out(a: Array, b: Array, carry: Array | None = None) -> tuple[Array, Array]:
    x, y = _wide(a, b)
    total = x + y + (U64(0) if carry is None else np.asarray(carry).astype(U64))
    return total.astype(U32), total >> U64(32) != 0


def _borrow_out(a: Array, b: Array, borrow: Array | None = None) -> tuple[Array, Array]:
    x, y = np.asarray(a).astype(np.int64), np.asarray(b).astype(np.int64)
    total = x - y - (0 if borrow is None else np.asarray(borrow).astype(np.int64))
    return total.astype(U32), total < 0


_add("add_co_u32", entry("u32 mask", "u32 u32", _carry_out))
_add("addc_co_u32 add_co_ci_u32", entry("u32 mask", "u32 u32 mask", _carry_out))
_add("sub_co_u32", entry("u32 mask", "u32 u32", _borrow_out))
_add("subrev_co_u32", entry("u32 mask", "u32 u32", lambda a, b: _borrow_out(b, a)))
_add("subb_co_u32 sub_co_ci_u32", entry("u32 mask", "u32 u32 mask", _borrow_out))
_add("subbrev_co_u32 subrev_co_ci_u32", entry("u32 mask", "u32 u32 mask", lambda a, b, c: _borrow_out(b, a, c)))
_add("add3_u32", entry("u32", "u32 u32 u32", lambda a, b, c: a + b + c))
_add("lshl_add_u64", entry("u64", "u64 u32 u64", lambda a, s, c: (a << (s & U32(63)).astype(U64)) + c))
_add("add_nc_u64", entry("u64", "u64 u64", np.add))
_add("sad_u32", entry("u32", "u32 u32 u32", lambda a, b, c: np.where(a > b, a - b, b - a) + c))

# -- products


def _signed24(x: Array) -> Array:
    return (np.asarray(x).astype(np.int64) << 40) >> 40


def _mad64(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    x, y = _wide(a, b)
    product = x * y
    total = product + c
    return total, total < product


def _mad64_signed(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    total = np.asarray(a).astype(np.int64) * np.asarray(b).astype(np.int64) + c
    return total, total < 0


_add("mul_lo_u32 mul_lo_i32", entry("u32", "u32 u32", np.multiply))
_add("mul_hi_u32", entry("u32", "u32 u32", lambda a, b: high(a, b, np.uint32)))
_add("mul_hi_i32", entry("i32", "i32 i32", lambda a, b: high(a, b, np.int32)))
_add("mul_lo_u16", entry("u16", "u16 u16", np.multiply))
_add("mad_u16 mad_i16 mad_legacy_u16", entry("u16", "u16 u16 u16", lambda a, b, c: a * b + c))
_add("pk_mul_lo_u16", entry("pk_u16", "pk_u16 pk_u16", np.multiply))
_add("mad_u64_u32 mad_co_u64_u32 mad_nc_u64_u32", entry("u64 mask", "u32 u32 u64", _mad64))
_add("mad_i64_i32 mad_co_i64_i32", entry("i64 mask", "i32 i32 i64", _mad64_signed))
_M24 = U32(0xFFFFFF)
_add("mul_u32_u24", entry("u32", "u32 u32", lambda a, b: (a & _M24) * (b & _M24)))
_add("mul_hi_u32_u24", entry("u32", "u32 u32", lambda a, b: high(a & _M24, b & _M24, np.uint32)))
_add("mul_i32_i24", entry("i32", "i32 i32", lambda a, b: _signed24(a) * _signed24(b)))
_add("mul_hi_i32_i24", entry("i32", "i32 i32", lambda a, b: (_signed24(a) * _signed24(b)) >> 32))
_add("mad_u32_u24", entry("u32", "u32 u32 u32", lambda a, b, c: (a & _M24) * (b & _M24) + c))
_add("mad_i32_i24", entry("i32", "i32 i32 i32", lambda a, b, c: _signed24(a) * _signed24(b) + c))
_add("mad_u32_u16", entry("u32", "u16 u16 u32", lambda a, b, c: np.asarray(a, U32) * np.asarray(b, U32) + c))
_add("mad_i32_i16", entry("i32", "i16 i16 i32", lambda a, b, c: np.asarray(a, np.int32) * np.asarray(b, np.int32) + c))


def _bytes(x: Array, signed: bool) -> Array:
    raw = np.ascontiguousarray(np.asarray(x).astype(U32))[..., None].view(np.int8 if signed else np.uint8)
    return raw.astype(np.int64)


def _dot4(a: Array, b: Array, c: Array, signed: tuple[bool, bool]) -> Array:
    return (_bytes(a, signed[0]) * _bytes(b, signed[1])).sum(axis=-1) + np.asarray(c).astype(np.int64)


_add("dot4_i32_i8 dot4c_i32_i8", entry("i32", "u32 u32 i32", lambda a, b, c: _dot4(a, b, c, (True, True))))
_add("dot4_u32_u8", entry("u32", "u32 u32 u32", lambda a, b, c: _dot4(a, b, c, (False, False))))

# -- shifts


def _shift(bits: int, dtype: Any, left: bool) -> Any:
    mask = dtype(bits - 1)

    def reverse(amount: Array, x: Array) -> Array:
        by = np.asarray(amount).astype(x.dtype) & mask
        return x << by if left else x >> by

    return reverse


for _bits, _u, _i in ((16, np.uint16, np.int16), (32, np.uint32, np.int32), (64, np.uint64, np.int64)):
    _amount = "u32" if _bits == 64 else f"u{_bits}"
    _add(f"lshlrev_b{_bits}", entry(f"u{_bits}", f"{_amount} u{_bits}", _shift(_bits, _u, True)))
    _add(f"lshrrev_b{_bits}", entry(f"u{_bits}", f"{_amount} u{_bits}", _shift(_bits, _u, False)))
    _add(f"ashrrev_i{_bits}", entry(f"i{_bits}", f"{_amount} i{_bits}", _shift(_bits, _i, False)))
_add("pk_lshlrev_b16", entry("pk_u16", "pk_u16 pk_u16", _shift(16, np.uint16, True)))
_add("pk_lshrrev_b16", entry("pk_u16", "pk_u16 pk_u16", _shift(16, np.uint16, False)))
_add("pk_ashrrev_i16", entry("pk_i16", "pk_u16 pk_i16", _shift(16, np.int16, False)))
_31 = U32(31)
_add("lshl_add_u32", entry("u32", "u32 u32 u32", lambda a, s, c: (a << (s & _31)) + c))
_add("add_lshl_u32", entry("u32", "u32 u32 u32", lambda a, b, s: (a + b) << (s & _31)))
_add("lshl_or_b32", entry("u32", "u32 u32 u32", lambda a, s, c: (a << (s & _31)) | c))


def _align(low_bits: int) -> Any:
    def compute(a: Array, b: Array, s: Array) -> Array:
        x, y = _wide(a, b)
        by = (np.asarray(s).astype(U64) & U64(31 if low_bits == 1 else 3)) * U64(low_bits)
        return (((x << U64(32)) | y) >> by).astype(U32)

    return compute


_add("alignbit_b32", entry("u32", "u32 u32 u32", _align(1)))
_add("alignbyte_b32", entry("u32", "u32 u32 u32", _align(8)))

# -- bits

for _bits, _kind in ((16, "u16"), (32, "u32")):
    _two = f"{_kind} {_kind}"
    _add(f"and_b{_bits}", entry(_kind, _two, np.bitwise_and))
    _add(f"or_b{_bits}", entry(_kind, _two, np.bitwise_or))
    _add(f"xor_b{_bits}", entry(_kind, _two, np.bitwise_xor))
    _add(f"not_b{_bits}", entry(_kind, _kind, np.invert))
    _add(f"mov_b{_bits}", entry(_kind, _kind, lambda a: a))
    _add(f"cndmask_b{_bits}", entry(_kind, f"{_two} mask", lambda a, b, c: np.where(c, b, a)))
_add("xnor_b32", entry("u32", "u32 u32", lambda a, b: ~(a ^ b)))
_add("mov_b64", entry("u64", "u64", lambda a: a))
_add("or3_b32", entry("u32", "u32 u32 u32", lambda a, b, c: a | b | c))
_add("and_or_b32", entry("u32", "u32 u32 u32", lambda a, b, c: (a & b) | c))
_add("xor3_b32", entry("u32", "u32 u32 u32", lambda a, b, c: a ^ b ^ c))
_add("xad_u32", entry("u32", "u32 u32 u32", lambda a, b, c: (a ^ b) + c))
_add("bfi_b32", entry("u32", "u32 u32 u32", lambda m, a, b: (a & m) | (b & ~m)))
_add("bfm_b32", entry("u32", "u32 u32", lambda n, s: ((U32(1) << (n & _31)) - U32(1)) << (s & _31)))
_add("bfrev_b32", entry("u32", "u32", reverse_bits))
_add("bcnt_u32_b32", entry("u32", "u32 u32", lambda a, b: count_bits(np.asarray(a)).astype(U32) + b))
_add("ffbl_b32 ctz_i32_b32", entry("i32", "u32", lowest_bit))


def _leading(a: Array) -> Array:
    place = highest_bit(np.asarray(a))
    return np.where(place < 0, -1, 31 - place)


_add("ffbh_u32 clz_i32_u32", entry("i32", "u32", _leading))
_add("ffbh_i32 cls_i32", entry("i32", "i32", lambda a: _leading(np.where(a < 0, ~a, a).view(U32))))


def _field(signed: bool) -> Any:
    def compute(a: Array, start: Array, length: Array) -> Array:
        first = np.asarray(start).astype(np.int64) & 31
        size = np.asarray(length).astype(np.int64) & 31
        left = np.maximum(64 - first - size, 0)
        wide = np.asarray(a).astype(np.int64 if signed else np.uint64)
        kind = wide.dtype.type
        field = (wide << left.astype(kind)) >> (left + first).astype(kind)
        return np.where(size == 0, kind(0), field)

    return compute


_add("bfe_u32", entry("u32", "u32 u32 u32", _field(False)))
_add("bfe_i32", entry("i32", "i32 u32 u32", _field(True)))


def _permute(a: Array, b: Array, selector: Array) -> Array:
    """v_perm: bytes of {a, b} by selectors; 8 to 11 spread signs, 12 is 0, more is all ones."""
    both = (np.asarray(a).astype(U64) << U64(32)) | np.asarray(b).astype(U64)
    return permute_bytes(both, selector)


def _pick(a: Array, b: Array) -> Array:
    """v_pk_mov: the lower word is the one of the first source that op_sel says, the upper one that of the second."""
    return np.stack(np.broadcast_arrays(a[..., 0], b[..., 0]), axis=-1)


_add("perm_b32", entry("u32", "u32 u32 u32", _permute))
_add("pk_mov_b32", entry("pk_b32", "pk_b32 pk_b32", _pick))
_add("pack_b32_f16", entry("u32", "u16 u16", lambda a, b: np.asarray(a, U32) | (np.asarray(b, U32) << U32(16))))
_add("sat_pk_u8_i16", entry("u16", "pk_i16", lambda a: np.clip(a[..., 0], 0, 255) | (np.clip(a[..., 1], 0, 255) << 8)))

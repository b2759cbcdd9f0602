"""Element types: the names of the API, their IR types, their size.

| API name | IR type | bits | note |
|---|---|---|---|
| f64 f32 f16 bf16 | the same | 64 32 16 16 | |
| f8e4m3fn f8e5m2 | f8E4M3FN f8E5M2 | 8 | storage; arithmetic converts to f32 |
| i64 i32 i16 i8 i4 | the same (signless, read as signed) | 64 32 16 8 4 | i4: two per byte, low nibble first, in buffers |
| u64 u32 u16 u8 | ui64 ui32 ui16 ui8 | | |
| bool | i1 | 8 | one byte, 0 or 1 |
"""

from xdsl.dialects.builtin import (
    BFloat16Type,
    Float8E4M3FNType,
    Float8E5M2Type,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
)
from xdsl.ir import Attribute

BOOL = IntegerType(1)

BY_NAME: dict[str, Attribute] = {
    "f64": Float64Type(),
    "f32": Float32Type(),
    "f16": Float16Type(),
    "bf16": BFloat16Type(),
    "f8e4m3fn": Float8E4M3FNType(),
    "f8e5m2": Float8E5M2Type(),
    **{f"i{bits}": IntegerType(bits) for bits in (64, 32, 16, 8, 4)},
    **{f"u{bits}": IntegerType(bits, Signedness.UNSIGNED) for bits in (64, 32, 16, 8)},
    "bool": BOOL,
}
_NAMES = {dtype: name for name, dtype in BY_NAME.items()}
_BITS = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16, "f8e4m3fn": 8, "f8e5m2": 8, "bool": 8}


def dtype(name: str) -> Attribute:
    """The IR type of an API name; ValueError lists the names there are."""
    found = BY_NAME.get(name)
    if found is None:
        raise ValueError(f"unknown dtype '{name}'; known: {', '.join(BY_NAME)}")
    return found


def dtype_name(element_type: Attribute) -> str:
    """The API name of an IR element type; ValueError if it is not one of ours."""
    name = _NAMES.get(element_type)
    if name is None:
        raise ValueError(f"'{element_type}' is not an element type of RLX; known: {', '.join(BY_NAME)}")
    return name


def is_dtype(element_type: Attribute) -> bool:
    return element_type in _NAMES


def is_float(element_type: Attribute) -> bool:
    return _NAMES.get(element_type, "").startswith(("f", "bf"))


def is_signed_int(element_type: Attribute) -> bool:
    return _NAMES.get(element_type, "").startswith("i")


def is_unsigned_int(element_type: Attribute) -> bool:
    return _NAMES.get(element_type, "").startswith("u")


def is_int(element_type: Attribute) -> bool:
    return is_signed_int(element_type) or is_unsigned_int(element_type)


def bit_width(element_type: Attribute) -> int:
    """Storage bits of one element in a buffer (bool takes a byte)."""
    name = dtype_name(element_type)
    return _BITS.get(name) or int(name[1:])

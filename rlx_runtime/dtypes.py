"""Element types by their API names, as NumPy types. `ml_dtypes` is imported only for the types that NumPy lacks.

`i4` crosses the API one value per byte (`ml_dtypes.int4`, or `int8` in [-8, 7]) and lies packed in buffers, two values per byte,
low nibble first.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.errors import BindError

_NUMPY = {"bool": "bool", **{f"f{bits}": f"float{bits}" for bits in (64, 32, 16)}}
_NUMPY |= {f"i{bits}": f"int{bits}" for bits in (64, 32, 16, 8)} | {f"u{bits}": f"uint{bits}" for bits in (64, 32, 16, 8)}
_EXTENDED = {"bf16": "bfloat16", "f8e4m3fn": "float8_e4m3fn", "f8e5m2": "float8_e5m2", "i4": "int4"}
NAMES = frozenset(_NUMPY) | frozenset(_EXTENDED)


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy type of an API name (KeyError if there is none of that name)."""
    if name in _NUMPY:
        return np.dtype(_NUMPY[name])
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, _EXTENDED[name]))


def buffer_bytes(name: str, elements: int) -> int:
    """Bytes of a buffer of that many elements."""
    return -(-elements // 2) if name == "i4" else elements * numpy_dtype(name).itemsize


def pack_i4(values: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """Two values per byte, low nibble first, over the flattened array; BindError on a value outside [-8, 7]."""
    flat = np.ascontiguousarray(values).reshape(-1).astype(np.int8)
    if flat.size and (flat.min() < -8 or flat.max() > 7):
        raise BindError(f"{what} has i4 values outside [-8, 7]", code="i4-range")
    nibbles = np.zeros(flat.size + flat.size % 2, np.uint8)
    nibbles[: flat.size] = flat.view(np.uint8) & 0xF
    return nibbles[0::2] | (nibbles[1::2] << np.uint8(4))


def unpack_i4(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[Any]:
    """The inverse of `pack_i4`, as `ml_dtypes.int4`."""
    nibbles = np.stack([packed & 0xF, packed >> 4], axis=-1).reshape(-1)[: int(np.prod(shape, dtype=np.int64))]
    signed = (nibbles ^ 8).astype(np.int8) - np.int8(8)
    return signed.astype(numpy_dtype("i4")).reshape(shape)

"""Where weights come from: a safetensors file, mapped, or a mapping of arrays.

The header of a safetensors file is read by this module, because its arrays are used where they lie: every offset is checked
before a view is made. Format: 8 bytes little-endian header size, a JSON header `{name: {"dtype", "shape", "data_offsets"}}`, then
the data, which the entries cover without gap or overlap (https://huggingface.co/docs/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.dtypes import numpy_dtype, pack_i4
from rlx_runtime.errors import BindError, PackageError
from rlx_runtime.manifest import TensorSpec
from rlx_runtime.signature import show

MAX_HEADER = 100_000_000
"""The limit of the format's reference reader."""

_DTYPES = {
    "F64": "f64", "F32": "f32", "F16": "f16", "BF16": "bf16", "F8_E4M3": "f8e4m3fn", "F8_E5M2": "f8e5m2",
    "I64": "i64", "I32": "i32", "I16": "i16", "I8": "i8", "U64": "u64", "U32": "u32", "U16": "u16", "U8": "u8", "BOOL": "bool",
}  # fmt: skip

Array = NDArray[Any]


class SafetensorsFile(Mapping[str, Array]):
    """The tensors of a file as read-only views of its mapping.

    PackageError, with the file and where in it, if the file is damaged: cut short, with offsets outside the data, overlapping or
    leaving gaps, a size that does not follow from dtype and shape, a name that occurs twice, or an unknown dtype.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < 8:
                    raise self._damaged("byte 0", f"the file has {size} bytes, too few for a header")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise PackageError(f"cannot read the weights: {error.strerror}", code="weights-file", location=self.path) from None
        header_bytes = int.from_bytes(self._map[:8], "little")
        if header_bytes > min(MAX_HEADER, size - 8):
            raise self._damaged("byte 0", f"a header of {header_bytes} bytes in a file of {size} (limit {MAX_HEADER})")
        self._start = 8 + header_bytes
        self._entries: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
        spans: list[tuple[int, int, str]] = []
        for name, entry in self._header(self._map[8 : self._start]).items():
            if name != "__metadata__":
                self._entries[name] = checked = self._entry(name, entry, size - self._start)
                spans.append((*checked[2:], name))
        self._check_cover(spans, size - self._start)

    def __getitem__(self, name: str) -> Array:
        dtype, shape, begin, _ = self._entries[name]
        count = math.prod(shape)
        if not count:
            return np.zeros(shape, numpy_dtype(dtype))
        return np.frombuffer(self._map, numpy_dtype(dtype), count, self._start + begin).reshape(shape)

    def __iter__(self) -> Any:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def release(self) -> None:
        """Give the pages read so far back to the system; views stay valid, and read the file again."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def _header(self, data: bytes) -> dict[str, Any]:
        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) != len(pairs):
                names = [name for name, _ in pairs]
                raise self._damaged("header", f"'{next(n for n in names if names.count(n) > 1)}' occurs twice")
            return found

        try:
            header = json.loads(data, object_pairs_hook=unique)
        except (ValueError, RecursionError) as error:
            raise self._damaged("header", f"not JSON: {error}") from None
        if not isinstance(header, dict):
            raise self._damaged("header", "not a JSON object")
        return header

    def _entry(self, name: str, entry: Any, data_bytes: int) -> tuple[str, tuple[int, ...], int, int]:
        place = f"tensor '{name}'"
        if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
            raise self._damaged(place, "expected dtype, shape and data_offsets")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise self._damaged(place, f"unknown dtype {dtype!r}")
        if not _naturals(shape):
            raise self._damaged(place, f"{shape!r} is not a shape")
        if not _naturals(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= data_bytes:
            raise self._damaged(place, f"data_offsets {offsets!r} are not a range within the {data_bytes} bytes of data")
        nbytes = math.prod(shape) * numpy_dtype(_DTYPES[dtype]).itemsize
        if offsets[1] - offsets[0] != nbytes:
            raise self._damaged(place, f"{dtype} {shape} takes {nbytes} bytes, data_offsets give {offsets[1] - offsets[0]}")
        return _DTYPES[dtype], tuple(shape), offsets[0], offsets[1]

    def _check_cover(self, spans: list[tuple[int, int, str]], data_bytes: int) -> None:
        end, last = 0, ""
        for begin, stop, name in sorted(spans):
            if begin < end:
                raise self._damaged(f"tensor '{name}'", f"overlaps '{last}' in the data")
            if begin > end:
                raise self._damaged(f"tensor '{name}'", f"{begin - end} bytes before it belong to no tensor")
            end, last = stop, name
        if end != data_bytes:
            raise self._damaged("data", f"{data_bytes - end} bytes at the end belong to no tensor")

    def _damaged(self, place: str, reason: str) -> PackageError:
        return PackageError(f"damaged safetensors file: {reason}", code="weights-file", location=f"{self.path}: {place}")


def open_weights(source: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    """A file path as a `SafetensorsFile`; a mapping as it is. BindError for anything else."""
    if isinstance(source, Mapping):
        return source
    if isinstance(source, str | os.PathLike):
        return SafetensorsFile(source)
    raise BindError(
        f"weights are a path of a safetensors file or a mapping of arrays, not {type(source).__name__}", code="weights-type"
    )


def check_weights(params: Sequence[TensorSpec], source: Mapping[str, Any]) -> dict[str, Array]:
    """One C-contiguous, aligned array per param, in place where it already is; `i4` packed.

    BindError lists everything that is missing, extra, not an array, or of another dtype or shape.
    """
    problems = [f"missing: '{spec.name}' {spec.dtype}{show(spec.shape)}" for spec in params if spec.name not in source]
    known = {spec.name for spec in params}
    problems += [f"not a parameter: {name!r}" for name in source if name not in known]
    arrays: dict[str, Array] = {}
    for spec in params:
        if spec.name not in source:
            continue
        try:
            array = as_array(source[spec.name], f"'{spec.name}'")
            check_dtype(array, spec, f"'{spec.name}'")
        except BindError as error:
            problems.append(error.message)
            continue
        if array.shape != spec.shape:
            problems.append(f"'{spec.name}' has shape {show(array.shape)}, expected {show(spec.shape)}")
            continue
        arrays[spec.name] = contiguous(array, spec, f"'{spec.name}'")
    if problems:
        raise BindError("the weights do not fit the model:\n  " + "\n  ".join(problems), code="weights")
    return arrays


def as_array(value: Any, what: str) -> Array:
    """`value` as an array, without a copy: an ndarray, a NumPy scalar, or anything of DLPack in host memory."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.generic):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise BindError(f"{what} cannot be read through DLPack: {error}", code="dlpack") from None
    raise BindError(f"{what} is no array but {type(value).__name__}", code="not-array", hint="pass a NumPy or DLPack array")


def check_dtype(array: Array, spec: TensorSpec, what: str) -> None:
    """BindError unless the dtype is exactly the spec's (for i4 also int8, one value per byte); nothing is ever converted."""
    expected = numpy_dtype(spec.dtype)
    if array.dtype != expected and not (spec.dtype == "i4" and array.dtype == np.int8):
        raise BindError(
            f"{what} has dtype {array.dtype}, expected {spec.dtype}",
            code="dtype",
            hint="nothing is converted silently: use astype",
        )


def contiguous(array: Array, spec: TensorSpec, what: str) -> Array:
    """The array as its buffer has it: C-contiguous and aligned, a copy only if it is not; `i4` packed."""
    if spec.dtype == "i4":
        return pack_i4(array, what)
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else np.array(array, order="C", copy=True, subok=False)


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)

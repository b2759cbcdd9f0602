"""DLPack by hand: what another library's capsule says, and capsules of our own arrays.

The structures are those of DLPack's `dlpack.h`, version 0.8 ("dltensor" capsules), which every library of the protocol reads.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from rlx_runtime.dtypes import numpy_dtype
from rlx_runtime.errors import BindError

CPU, CUDA, METAL, ROCM = 1, 2, 8, 10
"""DLDeviceType."""
_NAME = b"dltensor"
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
_EXTENDED = {"bf16": (4, 16), "f8e4m3fn": (10, 8), "f8e5m2": (12, 8)}
"""(DLDataTypeCode, bits) of the types that NumPy lacks."""


class _Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]


class _DataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


_api = ctypes.pythonapi
_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(("PyCapsule_New", _api))
# A destructor gets an object that is being destroyed: only its address may be used.
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _api))
_pointer_at = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))


@dataclass(frozen=True)
class Described:
    """An array in the memory of a device. `strides` counts elements; None means C-contiguous."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: np.dtype[Any]
    device: tuple[int, int]
    keep: Any
    """as long as this lives, so does the memory"""

    @property
    def is_contiguous(self) -> bool:
        if self.strides is None or 0 in self.shape:
            return True
        step = 1
        for extent, stride in zip(reversed(self.shape), reversed(self.strides)):
            if extent != 1 and stride != step:
                return False
            step *= extent
        return True


def read(capsule: Any, what: str) -> Described:
    """What a capsule holds; it stays unconsumed, so its own destructor frees it. BindError for a dtype that we do not have."""
    managed = _Managed.from_address(_pointer_of(capsule, _NAME))
    tensor = managed.tensor
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    strides = tuple(tensor.strides[axis] for axis in range(tensor.ndim)) if tensor.strides else None
    key = (tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes)
    dtype = _dtypes().get(key)
    if dtype is None:
        raise BindError(f"{what} has DLPack type (code, bits, lanes) = {key}, which no input has", code="dtype")
    address = (tensor.data or 0) + tensor.byte_offset
    return Described(address, shape, strides, dtype, (tensor.device.type, tensor.device.id), capsule)


@cache
def _dtypes() -> dict[tuple[int, int, int], np.dtype[Any]]:
    found = {(*_type_of(np.dtype(name)), 1): np.dtype(name) for name in _PLAIN}
    return found | {(*_EXTENDED[name], 1): numpy_dtype(name) for name in _EXTENDED}


_PLAIN = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")


def _type_of(dtype: np.dtype[Any]) -> tuple[int, int]:
    for name, code in _EXTENDED.items():
        if dtype == numpy_dtype(name):
            return code
    if dtype.kind not in _CODES:
        raise BufferError(f"DLPack has no type for {dtype}")
    return _CODES[dtype.kind], 8 * dtype.itemsize


# -- our own arrays

_exported: dict[int, tuple[Any, ...]] = {}
"""What each exported tensor needs, by its context number, until its consumer deletes it."""
_numbers = itertools.count(1)


def make(address: int, shape: tuple[int, ...], dtype: np.dtype[Any], device: tuple[int, int], keep: Any) -> Any:
    """A "dltensor" capsule of C-contiguous memory that `keep` owns. BufferError for a dtype that DLPack lacks."""
    code, bits = _type_of(dtype)
    extents = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    managed, number = _Managed(), next(_numbers)
    tensor = managed.tensor
    tensor.data, tensor.device, tensor.ndim = address, _Device(*device), len(shape)
    tensor.dtype, tensor.shape = _DataType(code, bits, 1), ctypes.cast(extents, ctypes.POINTER(ctypes.c_int64))
    managed.context, managed.deleter = number, ctypes.cast(_deleter, ctypes.c_void_p)
    _exported[number] = (managed, extents, keep)
    return _new_capsule(ctypes.addressof(managed), _NAME, ctypes.cast(_destructor, ctypes.c_void_p))


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _deleter(managed: int) -> None:
    _exported.pop(_Managed.from_address(managed).context, None)


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _destructor(capsule: int) -> None:
    if _is_valid(capsule, _NAME):  # nobody took it over
        _deleter(_pointer_at(capsule, _NAME))

"""The arrays of a call: which lie in host memory, which on the device, and whether the code can use them as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.dtypes import buffer_bytes, numpy_dtype
from rlx_runtime.errors import BindError, Error
from rlx_runtime.gpu import dlpack
from rlx_runtime.gpu.array import Array
from rlx_runtime.gpu.driver import Driver
from rlx_runtime.manifest import TensorSpec
from rlx_runtime.signature import show

KERNEL_ALIGNMENT = 16
"""Kernels take every buffer to start at a multiple of this."""
_HOST_DEVICES = (dlpack.CPU, 3)
"""DLPack's types of host memory: plain, and pinned by CUDA."""


@dataclass(frozen=True)
class Operand:
    """An array on the device, used in place. `array` is ours, `keep` owns the memory of somebody else's."""

    address: int
    shape: tuple[int, ...]
    nbytes: int
    array: Array | None
    keep: Any

    def overlaps(self, other: Operand) -> bool:
        return self.address < other.address + other.nbytes and other.address < self.address + self.nbytes


def is_on_device(value: Any, driver: Driver) -> bool:
    """Whether `value` is an array of a device rather than of the host (or no array at all)."""
    if isinstance(value, Array):
        return True
    if isinstance(value, np.ndarray | np.generic):
        return False
    if hasattr(value, "__dlpack_device__"):
        return int(value.__dlpack_device__()[0]) not in _HOST_DEVICES
    return hasattr(value, "__cuda_array_interface__")


def operand(value: Any, spec: TensorSpec, driver: Driver, stream: int, what: str) -> Operand:
    """A device array as the code uses it; `stream` waits for what makes it. BindError says what is wrong with it."""
    if isinstance(value, Array):
        return _own(value, spec, driver, stream, what)
    found = _described(value, driver, stream, what)
    if found.dtype != numpy_dtype(spec.dtype) or spec.dtype == "i4":
        raise _wrong_dtype(found.dtype, spec, what)
    if not found.is_contiguous:
        raise BindError(f"{what} is not C-contiguous", code="layout", hint="device arrays are used in place: copy it first")
    if found.address % KERNEL_ALIGNMENT:
        raise BindError(
            f"{what} starts at 0x{found.address:x}, which is no multiple of {KERNEL_ALIGNMENT}",
            code="alignment",
            hint="device arrays are used in place: copy it first",
        )
    return Operand(found.address, found.shape, buffer_bytes(spec.dtype, math.prod(found.shape)), None, found.keep)


def _own(value: Array, spec: TensorSpec, driver: Driver, stream: int, what: str) -> Operand:
    if value.driver is not driver:
        raise BindError(f"{what} lies on {value.driver.device}, the code runs on {driver.device}", code="device")
    if value.type_name != spec.dtype:
        raise _wrong_dtype(value.dtype, spec, what)
    if value.pending is not None:
        value.pending.event.before(stream)
    return Operand(value.address, value.shape, value.nbytes, value, value.block)


def _described(value: Any, driver: Driver, stream: int, what: str) -> dlpack.Described:
    """Through DLPack, or CUDA's array interface where there is none."""
    if hasattr(value, "__dlpack_device__"):
        device = tuple(int(part) for part in value.__dlpack_device__())
        if device != driver.dlpack_device:
            raise BindError(f"{what} lies on DLPack device {device}, the code runs on {driver.device}", code="device")
        try:
            # The protocol has a number of its own for CUDA's default stream: 0 would be ambiguous.
            default = not stream and device[0] == dlpack.CUDA
            capsule = value.__dlpack__(stream=1 if default else stream)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise BindError(f"{what} cannot be read through DLPack: {error}", code="dlpack") from None
        return dlpack.read(capsule, what)
    if driver.dlpack_device is None or driver.dlpack_device[0] != dlpack.CUDA:
        raise BindError(f"{what} lies on a CUDA device, the code runs on {driver.device}", code="device")
    return _interface(value, driver, stream, what)


def _interface(value: Any, driver: Driver, stream: int, what: str) -> dlpack.Described:
    """https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html, versions 2 and 3."""
    try:
        held = value.__cuda_array_interface__
        dtype = np.dtype(held["typestr"])
        shape, address = tuple(int(extent) for extent in held["shape"]), int(held["data"][0] or 0)
        strides = held.get("strides")
        counted = None if strides is None else tuple(int(stride) // dtype.itemsize for stride in strides)
        producer = held.get("stream")
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise BindError(f"{what} has a damaged __cuda_array_interface__: {error!r}", code="not-array") from None
    if producer is not None and producer != stream:
        event = driver.record(producer)
        driver.wait_on_stream(stream, event)
        driver.free_event(event)
    assert driver.dlpack_device is not None
    return dlpack.Described(address, shape, counted, dtype, driver.dlpack_device, value)


def _wrong_dtype(found: np.dtype[Any], spec: TensorSpec, what: str) -> BindError:
    return BindError(f"{what} has dtype {found}, expected {spec.dtype}", code="dtype", hint="nothing is converted silently")


def check_shape(found: tuple[int, ...], expected: tuple[int, ...], what: str) -> None:
    """BindError for an output or state of another shape."""
    if found != expected:
        raise BindError(f"{what} has shape {show(found)}, expected {show(expected)}", code="shape")


def stream_handle(stream: Any) -> int | None:
    """The handle of a stream: an integer, or an object of a library (`__cuda_stream__`, `cuda_stream`, `ptr`, `handle`)."""
    if stream is None or isinstance(stream, int):
        return stream
    if hasattr(stream, "__cuda_stream__"):
        return int(stream.__cuda_stream__()[1])
    for name in ("cuda_stream", "ptr", "handle"):
        if hasattr(stream, name):
            return int(getattr(stream, name))
    raise Error(f"{type(stream).__name__} is no stream", code="stream", hint="pass the handle as an integer")


def host_view(array: NDArray[Any]) -> NDArray[Any]:
    """A host array as `upload` takes it."""
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)

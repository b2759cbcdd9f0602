"""Arrays in the memory of a device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.dtypes import buffer_bytes, numpy_dtype, pack_i4, unpack_i4
from rlx_runtime.errors import BindError
from rlx_runtime.gpu import dlpack
from rlx_runtime.gpu.driver import Driver
from rlx_runtime.gpu.memory import Block
from rlx_runtime.gpu.pending import Pending
from rlx_runtime.signature import show

_LEGACY_STREAM = 1
"""CUDA's name of the default stream in the protocols, where 0 is not allowed."""


class Array:
    """A C-contiguous array in the memory of a device: what calls with device arrays return, and what states are.

    Other libraries take it without a copy through DLPack or, on CUDA, `__cuda_array_interface__`. The call that makes its
    contents may still run; `to_numpy()` waits for it, and raises its RuntimeFault if it faulted. `array[...] = values`
    overwrites all of it from host memory (a scalar or an array of its shape).
    """

    def __init__(self, driver: Driver, block: Block, shape: tuple[int, ...], dtype: str, pending: Pending | None = None) -> None:
        self._driver = driver
        self._block = block
        self._pending = pending
        self._name = dtype
        self.shape = shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return numpy_dtype(self._name)

    @property
    def type_name(self) -> str:
        """The dtype by its API name: "f32", "bf16", …."""
        return self._name

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes on the device; `i4` is packed there."""
        return buffer_bytes(self._name, self.size)

    @property
    def address(self) -> int:
        """Where it starts on the device."""
        return self._block.address

    @property
    def block(self) -> Block:
        """The memory."""
        return self._block

    @property
    def driver(self) -> Driver:
        return self._driver

    @property
    def pending(self) -> Pending | None:
        """The call that writes it, until somebody waited for it."""
        return self._pending

    def mark(self, pending: Pending | None) -> None:
        """A call was queued that writes it."""
        self._pending = pending

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("an array of rank 0 has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<rlx.Array {self._name}{show(self.shape)} on {self._driver.device}>"

    # -- to and from the host

    def wait(self) -> None:
        """Wait for the call that writes it; RuntimeFault if that faulted."""
        if self._pending is not None:
            self._driver.activate()
            self._pending.check()
            self._pending = None

    def to_numpy(self) -> NDArray[Any]:
        """A copy in host memory."""
        self.wait()
        self._driver.activate()
        if self._name == "i4":
            packed = np.empty(self.nbytes, np.uint8)
            self._driver.download(packed, self.address)
            return unpack_i4(packed, self.shape)
        found = np.empty(self.shape, self.dtype)
        if found.nbytes:
            self._driver.download(found, self.address)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array of a device cannot be seen without a copy")
        found = self.to_numpy()
        return found if dtype is None else found.astype(dtype)

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not Ellipsis:
            raise TypeError("only array[...] = values is possible: all of an array of a device, or nothing")
        self.wait()
        if not isinstance(value, np.ndarray | np.generic | bool | int | float):
            value = np.asarray(value)
        try:
            filled = np.broadcast_to(np.asarray(value, None if isinstance(value, np.ndarray) else self.dtype), self.shape)
        except ValueError:
            raise BindError(f"values of shape {show(np.shape(value))} for an array of {show(self.shape)}", code="shape") from None
        if filled.dtype != self.dtype and not (self._name == "i4" and filled.dtype == np.int8):
            raise BindError(f"values of dtype {filled.dtype} for an array of {self._name}", code="dtype")
        data = pack_i4(filled, "the value") if self._name == "i4" else np.ascontiguousarray(filled)
        self._driver.activate()
        if data.nbytes:
            self._driver.upload(self.address, data)
            self._driver.synchronize()

    # -- to other libraries

    def __dlpack_device__(self) -> tuple[int, int]:
        if self._driver.dlpack_device is None:
            raise BufferError(f"the memory of {self._driver.device} cannot be shared")
        return self._driver.dlpack_device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule for `from_dlpack`; the consumer's `stream` waits for the call that writes the array. BufferError if the
        memory cannot be shared, or not as asked.
        """
        device = self.__dlpack_device__()
        if copy or dl_device not in (None, device):
            raise BufferError("an array is shared where it lies, or not at all")
        if self._name == "i4":
            raise BufferError("packed 4-bit integers cannot be shared")
        self._hand_over(stream)
        return dlpack.make(self.address, self.shape, self.dtype, device, self._block)

    def _hand_over(self, stream: int | None) -> None:
        """Let the consumer's stream wait for what makes the array, and remember that it may use it."""
        if self._driver.dlpack_device == (dlpack.CPU, 0):
            self.wait()  # a consumer on the host knows no streams
            return
        consumer = 0 if stream in (None, -1, _LEGACY_STREAM) else stream
        self._block.lend(consumer)
        if self._pending is not None and stream != -1:
            self._driver.activate()
            self._pending.event.before(consumer)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the interface; there is none for other devices, nor for types that NumPy lacks."""
        if self._driver.dlpack_device is None or self._driver.dlpack_device[0] != dlpack.CUDA or self.dtype.str[1] not in "biuf":
            raise AttributeError("__cuda_array_interface__")
        self._hand_over(None)
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "version": 3,
            "strides": None,
            "stream": _LEGACY_STREAM,
        }

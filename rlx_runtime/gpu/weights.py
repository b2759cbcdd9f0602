"""Weights on a device: uploaded once, packed there by the prepare program."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.binding import Weights
from rlx_runtime.dtypes import numpy_dtype
from rlx_runtime.gpu.code import DeviceCode, DeviceFrame
from rlx_runtime.gpu.driver import Driver
from rlx_runtime.gpu.memory import Block
from rlx_runtime.manifest import TensorSpec


@dataclass(frozen=True)
class Resident:
    """Weights on the device: the params that `main` reads as they are, and the packed region."""

    params: Mapping[str, Block]
    packed: Block


class DeviceWeights:
    """Weights bound to device code. They stay in host memory until a device is there to take them: a model can be compiled, bound
    and saved where none is.

    `raw` are all params as the user gave them; `ready` is what a package holds.
    """

    def __init__(self, raw: Mapping[str, NDArray[Any]] | None, ready: Weights | None = None) -> None:
        self._raw = raw
        self._ready = ready
        self._resident: Resident | None = None
        self._lock = threading.Lock()

    def resident(self, code: DeviceCode) -> Resident:
        """On the device; the first time they are uploaded and prepared. TargetError without a device."""
        with self._lock:
            if self._resident is None:
                if self._ready is not None:
                    self._resident = _upload(code, self._ready)
                elif self._raw is not None:
                    self._resident = _prepare(code, self._raw)
                self._raw = self._ready = None
            assert self._resident is not None
            return self._resident

    def moved_to(self, code: DeviceCode) -> DeviceWeights:
        """The same weights for other code of the same layout."""
        return self

    def to_host(self, code: DeviceCode) -> Weights:
        """As a package holds them."""
        resident = self.resident(code)
        driver = code.loaded().driver
        specs = {spec.name: spec for spec in code.manifest.params}
        packed = _download(driver, resident.packed)
        return Weights({name: _typed(_download(driver, block), specs[name]) for name, block in resident.params.items()}, packed)


def _download(driver: Driver, block: Block) -> NDArray[np.uint8]:
    found = np.empty(block.nbytes, np.uint8)
    if found.nbytes:
        driver.download(found, block.address)
    return found


def _typed(data: NDArray[np.uint8], spec: TensorSpec) -> NDArray[Any]:
    return data if spec.dtype == "i4" else data.view(numpy_dtype(spec.dtype)).reshape(spec.concrete({}))


def _block(driver: Driver, array: NDArray[Any], stream: int) -> Block:
    block = Block(driver, array.nbytes, stream)
    if array.nbytes:
        driver.upload(block.address, array, stream)
    return block


def _upload(code: DeviceCode, ready: Weights) -> Resident:
    driver = code.loaded().driver
    params = {name: _block(driver, array, 0) for name, array in ready.params.items()}
    resident = Resident(params, _block(driver, ready.packed, 0))
    driver.synchronize()
    return resident


def _prepare(code: DeviceCode, raw: Mapping[str, NDArray[Any]]) -> Resident:
    manifest = code.manifest
    program = manifest.prepare
    used = {name for kind, name in manifest.main.buffers if kind == "param"}
    if program is None:
        return _upload(code, Weights({name: raw[name] for name in used}, np.zeros(manifest.packed_bytes, np.uint8)))
    frame = DeviceFrame(code, program)
    driver = frame.driver
    read = {name for kind, name in program.buffers if kind == "param"}
    params = {name: _block(driver, raw[name], frame.stream) for name in sorted(used | read)}
    packed = Block(driver, manifest.packed_bytes, frame.stream)
    driver.fill(packed.address, max(packed.nbytes, 1), 0, frame.stream)  # the gaps between two, which are saved too
    frame.buffers[:] = code.static_buffers(program, params, packed)
    values = np.zeros(len(manifest.dims), np.int64)
    code.enter(program, frame, values, code.plan_prepare(program), frame.stream, [*params.values(), packed]).check()
    return Resident({name: params[name] for name in used}, packed)

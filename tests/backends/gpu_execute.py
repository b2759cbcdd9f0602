"""Runs kernels through an interpreter of the device's text, on NumPy arrays."""

from __future__ import annotations

import numpy as np

from rlx_backends.gpu.shared_memory import shared_layout
from rlx_dialects.gpu import KernelOp
from rlx_runtime.emulators.driver import EmulatedDriver
from tests.backends.gpu_kernels import Device


class Loaded:
    """Kernels of a device in an emulated driver."""

    def __init__(self, device: Device, driver: EmulatedDriver, stage: str, *texts: str):
        module = device.module(*texts)
        self.driver = driver
        self.kernels = {op.sym_name.data: op for op in module.body.block.ops if isinstance(op, KernelOp)}
        text = device.backend.text(stage, module, device.target, {})  # pyright: ignore[reportAttributeAccessIssue]
        self.module = driver.load(text.encode())

    def run(self, name: str, blocks: int, *arguments: np.ndarray | int) -> None:
        """Run a kernel on arrays, which it may change, and integers."""
        kernel = self.kernels[name]
        shared = shared_layout(kernel).launch_bytes
        places: list[int] = []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                places.append(self.driver.alloc(max(1, argument.nbytes)))
                self.driver.upload(places[-1], argument)
            else:
                places.append(argument)
        function = self.driver.function(self.module, name, shared)
        self.driver.launch(function, (blocks,), kernel.block, places, shared)
        for argument, place in zip(arguments, places):
            if isinstance(argument, np.ndarray):
                self.driver.download(argument, place)
                self.driver.free(place)


def poisoned(values: np.ndarray, extra: int = 8) -> np.ndarray:
    """Room for a result, and some more that must stay as it is."""
    return np.full(len(values) + extra, 77, values.dtype)


def moved(kind: str, values: np.ndarray, offset: int) -> np.ndarray:
    """What a shuffle gives: of lanes that do not exist, the lane's own."""
    lanes = np.arange(len(values))
    source = {"xor": lanes ^ offset, "up": lanes - offset, "down": lanes + offset, "idx": np.full(len(values), offset)}[kind]
    return values[np.where((source >= 0) & (source < len(values)), source, lanes)]

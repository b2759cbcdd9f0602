"""A device that is none: the launch simulator behind the manners of a GPU, so that calls take the paths that they take there."""

from __future__ import annotations

import pytest

from rlx_runtime.gpu import driver as drivers
from rlx_runtime.gpu.driver import EXECUTED
from rlx_runtime.gpu.simulator import SimulatorDriver


class PretendedDevice(SimulatorDriver):
    """Says that it executes, shares its memory as a CUDA device, and writes down what it is asked."""

    label = EXECUTED
    arch = "sm_90a"
    dlpack_device = (2, 0)

    def __init__(self, dialect: str) -> None:
        super().__init__(dialect)
        self.device = "pretended device"
        self.log: list[str] = []
        self.live: dict[int, int] = {}
        self.limit = 1 << 30
        self.finished = True
        """whether events are done"""

    def alloc(self, nbytes: int) -> int:
        if sum(self.live.values()) + nbytes > self.limit:
            raise drivers.out_of_memory(nbytes, self)
        address = super().alloc(nbytes)
        self.live[address] = nbytes
        return address

    def free(self, address: int) -> None:
        del self.live[address]
        super().free(address)

    def supports(self, arch: str) -> bool:
        return arch == self.arch

    def upload(self, address, array, stream=0) -> None:
        self.log.append(f"upload {array.nbytes}")
        super().upload(address, array, stream)

    def download(self, array, address, stream=0) -> None:
        self.log.append(f"download {array.nbytes}")
        super().download(array, address, stream)

    def record(self, stream: int) -> int:
        self.log.append(f"record {stream}")
        return 1

    def is_done(self, event: int) -> bool:
        return self.finished

    def wait(self, event: int) -> None:
        self.log.append("wait")

    def wait_on_stream(self, stream: int, event: int) -> None:
        self.log.append(f"stream {stream} waits")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> PretendedDevice:
    """What opening a driver gives in this test."""
    pretended = PretendedDevice("cuda")
    monkeypatch.setattr(drivers, "_open", lambda dialect, simulated: pretended)
    return pretended

"""The simulator as a driver: memory, modules, launches from several threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from rlx_runtime.errors import PackageError
from rlx_runtime.gpu.driver import ALIGNMENT, EMULATED, SIMULATOR_CODE, Driver, open_driver
from rlx_runtime.gpu.simulator import SimulatorDriver
from tests.backends.gpu.harness import Device, LaunchError
from tests.backends.gpu.kernels import GLOBAL_ID, PTR, SHARED, poisoned, random, source


def test_the_driver_of_a_simulator_object() -> None:
    driver: Driver = open_driver("rocm", SIMULATOR_CODE)
    assert (driver.name, driver.label, driver.device) == ("rocm", EMULATED, "launch simulator")
    assert driver is open_driver("rocm", SIMULATOR_CODE)
    assert driver.name != open_driver("metal", SIMULATOR_CODE).name
    free, total = driver.memory_info()
    assert 0 < free <= total


def test_memory() -> None:
    driver = SimulatorDriver("cuda")
    x = random(37)
    a, b = driver.alloc(x.nbytes), driver.alloc(x.nbytes)
    assert a % ALIGNMENT == b % ALIGNMENT == 0 and abs(a - b) >= x.nbytes
    fresh = np.zeros_like(x)
    driver.download(fresh, a)
    assert np.isnan(fresh).all()
    driver.upload(a, x)
    driver.copy(b, a, x.nbytes)
    driver.fill(a, 8, 0)
    found = np.empty_like(x)
    driver.download(found, b)
    np.testing.assert_array_equal(found, x)
    driver.download(found, a)
    np.testing.assert_array_equal(found, np.concatenate([[0, 0], x[2:]]))
    driver.free(a)
    driver.free(b)


def test_a_damaged_object() -> None:
    with pytest.raises(PackageError):
        SimulatorDriver("cuda").load(b"no object")


def test_modules_come_and_go() -> None:
    text = source("cuda", {"p": PTR}, (1,), f"  %z = arith.constant 0 : index\n  %c = arith.constant 2.0 : f32\n  kernel.store %c, %p[%z] : f32, {PTR}")
    device = Device(text)
    y = poisoned(1)
    device.run("k", (1,), y)
    assert y[0] == 2
    first = device.driver.function(device.loaded, "k", 0)
    assert device.driver.function(device.loaded, "k", 0) == first
    device.driver.unload(device.loaded)


def test_an_error_that_left_no_report() -> None:
    assert SimulatorDriver("cuda").explain(7) == "the launch failed with error 7"


def test_a_launch_after_one_that_failed() -> None:
    body = f"""
  {GLOBAL_ID}
  %v = kernel.load %p[%i] : {PTR} -> f32
  X.barrier
  kernel.store %v, %q[%i] : f32, {PTR}
"""
    device = Device(source("metal", {"p": PTR, "q": PTR}, (64,), body))
    x, y = random((3, 64)), poisoned((3, 64))
    for _ in range(2):
        with pytest.raises(LaunchError, match=r"block \(2, 0, 0\), thread \(0, 0, 0\): kernel.load"):
            device.run("k", (3,), x[:2], poisoned((3, 64)))
    device.run("k", (3,), x, y)
    np.testing.assert_array_equal(y, x)


def test_launches_from_several_threads() -> None:
    body = f"""
  %s = X.shared 64 : {SHARED}
  {GLOBAL_ID}
  %v = kernel.load %p[%i] : {PTR} -> f32
  kernel.store %v, %s[%t] : f32, {SHARED}
  X.barrier
  %o = kernel.apply [63 - t](t = %t)
  %w = kernel.load %s[%o] : {SHARED} -> f32
  kernel.store %w, %q[%i] : f32, {PTR}
"""
    device = Device(source("cuda", {"p": PTR, "q": PTR}, (64,), body))
    wrong: list[int] = []

    def work(seed: int) -> None:
        for _ in range(5):
            x, y = random((20, 64), seed), poisoned((20, 64))
            device.run("k", (20,), x, y)
            if not np.array_equal(y, x[:, ::-1]):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong

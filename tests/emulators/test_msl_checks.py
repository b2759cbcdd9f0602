"""What the emulator of the Metal Shading Language must find: missing and divergent barriers, accesses out of bounds or not
aligned, texts that are wrong.
"""

from __future__ import annotations

import numpy as np
import pytest

from rlx_runtime.emulators.msl import MslDriver, check
from rlx_runtime.errors import TargetError
from tests.backends.gpu.harness import LaunchError
from tests.emulators.msl_harness import MslDevice, kernel, needs_clang, pointer, random, reversal

pytestmark = needs_clang

BARRIER = "threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);"


# -- threads that do not meet


def test_a_missing_barrier_gives_wrong_results() -> None:
    x, y = random(192, "f32"), np.zeros(192, np.float32)
    device = MslDevice(reversal())
    assert device.text.count(BARRIER) == 1
    MslDevice(reversal(), text=device.text.replace(BARRIER, "")).run("f", [3], x, y)
    assert not np.array_equal(y.reshape(3, 64), x.reshape(3, 64)[:, ::-1])
    assert np.isnan(y).any(), "shared memory is poisoned"


def test_a_divergent_barrier_is_reported() -> None:
    body = """
    %t = metal.thread_id x
    %c = arith.constant 5 : index
    %few = arith.cmpi slt, %t, %c : index
    scf.if %few {
      metal.barrier
    }
    """
    with pytest.raises(LaunchError, match=r"thread \(0, 0, 0\) waits at the divergent barrier in line \d+ of the text: thread \(5, 0, 0\) has returned"):
        MslDevice(kernel("", body)).run("f", [1])


def test_two_barriers_are_not_one() -> None:
    body = """
    %t = metal.thread_id x
    %c = arith.constant 32 : index
    %half = arith.cmpi slt, %t, %c : index
    scf.if %half {
      metal.barrier
    } else {
      metal.barrier
    }
    """
    with pytest.raises(LaunchError, match=r"divergent barrier in line 13 of the text: thread \(32, 0, 0\) is at the barrier in line 15"):
        MslDevice(kernel("", body)).run("f", [1])


def test_a_divergent_subgroup_operation_is_reported() -> None:
    body = f"""
    %t = metal.thread_id x
    %c = arith.constant 40 : index
    %v = kernel.load %x[%t] : {pointer("f32")} -> f32
    %few = arith.cmpi slt, %t, %c : index
    scf.if %few {{
      %s = metal.subgroup_reduce add %v : f32
      kernel.store %s, %x[%t] : f32, {pointer("f32")}
    }}
    """
    with pytest.raises(LaunchError, match=r"divergent simdgroup operation in line \d+ of the text: thread \(40, 0, 0\) has returned"):
        MslDevice(kernel(f"%x: {pointer('f32')}", body)).run("f", [1], random(64, "f32"))


# -- memory


def copy(vector: str = "f32", align: int = 4, space: str = "global", at: str = "%i") -> str:
    """Copies a value at an argument, or at 0, of `%x`, or of 64 elements of shared memory, to `%y[0]`."""
    place = f"!kernel.ptr<f32, {space}, align {align}>"
    shared = f"%s = metal.shared 64 : {place}\nkernel.store %zero, %s[%c0] : f32, {place}"
    return kernel(
        f"%x: !kernel.ptr<f32, global, align {align}>, %y: {pointer('f32')}, %i: index",
        f"""
        %c0 = arith.constant 0 : index
        %zero = arith.constant 0.0 : f32
        {shared if space == "shared" else ""}
        %v = kernel.load {"%s" if space == "shared" else "%x"}[{at}] : {place} -> {vector}
        kernel.store %v, %y[%c0] : {vector}, {pointer("f32")}
        """,
        "1",
    )


@pytest.mark.parametrize(("index", "space"), [(64, "global"), (-1, "global"), (64, "shared"), (-1, "shared")])
def test_accesses_out_of_bounds_are_reported(index: int, space: str) -> None:
    x, y = random(64, "f32"), np.zeros(4, np.float32)
    with pytest.raises(LaunchError, match=r"block \(0, 0, 0\), thread \(0, 0, 0\) touches 4 bytes at 0x[0-9a-f]+, outside of what it may"):
        MslDevice(copy(space=space)).run("f", [1], x, y, index)


def test_vectors_out_of_bounds_are_reported() -> None:
    with pytest.raises(LaunchError, match="touches 16 bytes"):
        MslDevice(copy("vector<4xf32>")).run("f", [1], random(64, "f32"), np.zeros(4, np.float32), 61)


def test_a_promised_alignment_that_does_not_hold_is_reported() -> None:
    device = MslDevice(copy("vector<4xf32>", align=16, at="%c0"))
    x, y = random(64, "f32"), device.upload(np.zeros(4, np.float32))
    address = device.upload(x)
    device.launch("f", [1], [address + 16, y, 0])
    np.testing.assert_array_equal(device.download(y, 4, np.float32), x[4:8])
    with pytest.raises(LaunchError, match="touches 16 bytes at 0x[0-9a-f]+, which is not aligned for it"):
        device.launch("f", [1], [address + 4, y, 0])
    unaligned = MslDevice(copy("vector<4xf32>"))
    unaligned.launch("f", [1], [address + 4, y, 0])
    np.testing.assert_array_equal(device.download(y, 4, np.float32), x[1:5])


def test_a_block_larger_than_declared_is_refused() -> None:
    device = MslDevice(copy())
    function = device.driver.function(device.loaded, "f", 0)
    assert device._launch(function, 1, 1, 1, 64, 1, 1, 0, None, None, None) == 1
    assert device.driver.explain(1) == "a block of 64 threads, of a kernel that takes 1"


# -- texts

GOOD = """
#include <metal_stdlib>
using namespace metal;
kernel void f(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint3 t [[thread_position_in_threadgroup]]) {
  alignas(16) threadgroup float s[4];
  s[t.x] = x[t.x];
  y[t.x] = s[t.x] * 0.5f;
}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("thread_position_in_threadgroup", "thread_positon_in_threadgroup", r"unknown attribute \[\[thread_positon_in_threadgroup\]\]"),
        ("uint3 t", "uint t", "has type uint3, found uint"),
        ("[[buffer(1)]]", "[[buffer(2)]]", r"numbered \[0, 2\]"),
        (" [[buffer(0)]]", "", "a parameter without an attribute"),
        ("0.5f", "0.5", "double"),
        ("y[t.x] = s", "float* p = y; y[t.x] = s", "cannot initialize a variable of type 'float \\*'"),
        ("y[t.x] = s", "device float* p = s; y[t.x] = s", "cannot initialize a variable of type 'device float \\*'"),
        ("y[t.x] = s", "x[t.x] = s", "read-only"),
        ("s[t.x] *", "undeclared *", "undeclared"),
    ],
)
def test_wrong_texts_are_refused(old: str, new: str, message: str) -> None:
    assert [kernel.name for kernel in check(GOOD)] == ["f"]
    assert old in GOOD
    with pytest.raises(TargetError, match=message):
        check(GOOD.replace(old, new, 1))


def test_a_driver_says_what_it_is() -> None:
    driver = MslDriver()
    assert (driver.name, driver.label) == ("metal", "emulated")
    module = driver.load(GOOD.encode())
    with pytest.raises(TargetError, match="no kernel 'g'"):
        driver.function(module, "g", 0)
    driver.unload(module)

"""What the launch simulator must refuse: divergence, accesses outside of memory, broken promises of alignment."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rlx_runtime.errors import LowerError, TargetError
from tests.backends.gpu.harness import TARGETS, Device, LaunchError
from tests.backends.gpu.kernels import GLOBAL_ID, LANES, PTR, SHARED, poisoned, random, source

ALIGNED = "!kernel.ptr<f32, global, align 16>"


def refused(device: Device, grid: tuple[int, ...], *arguments: np.ndarray | int) -> str:
    with pytest.raises(LaunchError) as found:
        device.run("k", grid, *arguments)
    return str(found.value)


# -- divergence

SOME = """
  %t = X.thread_id x
  %limit = arith.constant LIMIT : index
  %some = arith.cmpi slt, %t, %limit : index
  %c = arith.constant 1.0 : f32
  %b = arith.constant 1 : i1
  %o = arith.constant 1 : i32
"""


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("limit", [5, 64, 127])
def test_barrier_that_some_threads_do_not_reach(dialect: str, limit: int) -> None:
    body = SOME.replace("LIMIT", str(limit)) + "  scf.if %some {\n    X.barrier\n  }"
    found = refused(Device(source(dialect, {}, (128,), body)), (3, 2))
    assert re.fullmatch(
        r"kernel 'k', block \(0, 0, 0\), thread \(\d+, 0, 0\): divergent (barrier|collective operation): this thread is at "
        rf"{dialect}.barrier at test.mlir:\d+:\d+, thread \({limit}, 0, 0\) at the end of the kernel",
        found,
    )


@pytest.mark.parametrize("dialect", TARGETS)
def test_barriers_in_both_branches_are_two(dialect: str) -> None:
    body = SOME.replace("LIMIT", "64") + "  scf.if %some {\n    X.barrier\n  } else {\n    X.barrier\n  }"
    found = refused(Device(source(dialect, {}, (128,), body)), (1,))
    assert "divergent barrier: this thread is at" in found and found.count(f"{dialect}.barrier at test.mlir") == 2


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("op", ["%r = X.shuffle xor %c, %o : f32", "%r = X.subgroup_reduce add %c : f32", "%r = X.vote any %b", "X.subgroup_barrier"])
def test_collective_op_that_some_lanes_do_not_reach(dialect: str, op: str) -> None:
    text = SOME.replace("LIMIT", str(LANES[dialect] + 5)) + f"  scf.if %some {{\n    {op}\n  }}"
    found = refused(Device(source(dialect, {}, (128,), text)), (1,))
    lanes = LANES[dialect]
    assert f"thread ({lanes}, 0, 0): divergent collective operation" in found
    assert f"thread ({lanes + 5}, 0, 0) at the end of the kernel" in found


@pytest.mark.parametrize("dialect", TARGETS)
def test_collective_op_of_some_whole_subgroups_is_allowed(dialect: str) -> None:
    body = SOME.replace("LIMIT", str(LANES[dialect])) + f"""
  scf.if %some {{
    %r = X.subgroup_reduce add %c : f32
    kernel.store %r, %q[%t] : f32, {PTR}
  }}
  X.barrier"""
    y = poisoned(LANES[dialect])
    Device(source(dialect, {"q": PTR}, (128,), body)).run("k", (1,), y)
    assert (y == LANES[dialect]).all()


def test_barrier_against_a_collective_op() -> None:
    body = SOME.replace("LIMIT", "5") + "  scf.if %some {\n    X.barrier\n  } else {\n    X.subgroup_barrier\n  }"
    found = refused(Device(source("cuda", {}, (32,), body)), (1,))
    assert "cuda.barrier at test.mlir" in found and "cuda.subgroup_barrier at test.mlir" in found


# -- accesses

ACCESSES = {
    "load": ("f32", "%v = kernel.load %p[%i] : !kernel.ptr<f32, global> -> f32", 4, 1),
    "load of a vector": ("f32", "%v = kernel.load %p[%i] : !kernel.ptr<f32, global> -> vector<4xf32>", 16, 4),
    "store": ("f32", "%c = arith.constant 1.0 : f32\n kernel.store %c, %p[%i] : f32, !kernel.ptr<f32, global>", 4, 1),
    "load of bits": ("i1", "%v = kernel.load %p[%i] : !kernel.ptr<i1, global> -> i1", 1, 1),
    "load of bf16": ("bf16", "%v = kernel.load %p[%i] : !kernel.ptr<bf16, global> -> vector<2xbf16>", 4, 2),
    "atomic": ("i32", "%c = arith.constant 1 : i32\n %v = X.atomic add %c, %p[%i] : !kernel.ptr<i32, global>", 4, 1),
}
SIZES = {"f32": 4, "i1": 1, "bf16": 2, "i32": 4}


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("what", ACCESSES)
@pytest.mark.parametrize("through", ["", "offset"])
def test_access_outside_of_an_allocation(dialect: str, what: str, through: str) -> None:
    """The last access that fits is allowed, the next is not, nor one before the start; other allocations do not help."""
    element, access, size, lanes = ACCESSES[what]
    if through:
        kind = f"!kernel.ptr<{element}, global>"
        access = f"%z = arith.constant 0 : index\n %o = kernel.offset %p, %i : {kind} -> {kind}\n " + access.replace("%p[%i]", "%o[%z]")
    body = f"""
  %t = X.thread_id x
  %i = arith.addi %t, %first : index
  {access}
"""
    device = Device(source(dialect, {"p": f"!kernel.ptr<{element}, global>", "first": "index"}, (32,), body))
    width = SIZES[element]
    x = np.zeros(100 * width, np.uint8)
    fits = 100 - lanes - 31
    device.run("k", (1,), x, fits)
    device.run("k", (1,), x, 0)
    found = refused(device, (1,), x, fits + 1)
    op = f"{dialect}.atomic" if what == "atomic" else f"kernel.{what.split()[0]}"
    assert re.fullmatch(
        rf"kernel 'k', block \(0, 0, 0\), thread \(31, 0, 0\): {op} at test.mlir:\d+:\d+ touches {size} bytes at 0x[0-9a-f]+, "
        "outside of what it may",
        found,
    )
    assert "thread (0, 0, 0)" in refused(device, (1,), x, -1)
    assert "thread (0, 0, 0)" in refused(device, (1,), x, 1 << 20)


def test_address_and_block_are_named() -> None:
    body = f"""
  {GLOBAL_ID}
  %v = kernel.load %p[%i] : {PTR} -> f32
"""
    device = Device(source("cuda", {"p": PTR}, (16, 2), body))
    address = device.upload(random(100))
    with pytest.raises(LaunchError) as found:
        device.launch("k", (7, 2), [address])
    assert f"block (6, 0, 0), thread (4, 0, 0): kernel.load at test.mlir:10:3 touches 4 bytes at 0x{address + 400:x}" in str(found.value)


def test_freed_memory_is_no_memory() -> None:
    body = f"""
  %z = arith.constant 0 : index
  %v = kernel.load %p[%z] : {PTR} -> f32
"""
    device = Device(source("cuda", {"p": PTR}, (1,), body))
    address = device.upload(random(100))
    device.launch("k", (1,), [address])
    device.driver.free(address)
    for place in (address, 0, 4096):
        with pytest.raises(LaunchError, match=f"touches 4 bytes at 0x{place:x},"):
            device.launch("k", (1,), [place])


def test_masked_lanes_touch_nothing() -> None:
    body = f"""
  %z = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %m = kernel.mask %n : vector<8xi1>
  %v = kernel.load %p[%first] mask %m : {PTR} -> vector<8xf32>
  kernel.store %v, %q[%z] mask %m : vector<8xf32>, {PTR}
"""
    device = Device(source("cuda", {"p": PTR, "q": PTR, "first": "index", "n": "index"}, (1,), body))
    x = random(20)
    for first, count in ((0, 8), (15, 5), (20, 0), (1 << 40, 0)):
        y = poisoned(8)
        device.run("k", (1,), x, y, first, count)
        np.testing.assert_array_equal(y[:count], x[first : first + count] if count else [])
        assert np.isnan(y[count:]).all()
    assert "touches 24 bytes" in refused(device, (1,), x, poisoned(8), 15, 6)
    assert "kernel.store" in refused(device, (1,), x, poisoned(7), 0, 8)


def test_gather_and_scatter() -> None:
    body = f"""
  %z = arith.constant 0 : index
  %i = kernel.load %at[%z] : !kernel.ptr<i32, global> -> vector<4xi32>
  %m = kernel.mask %n : vector<4xi1>
  %v = kernel.gather %p[%i] mask %m : {PTR}, vector<4xi32> -> vector<4xf32>
  kernel.scatter %v, %q[%i] mask %m : vector<4xf32>, {PTR}, vector<4xi32>
"""
    device = Device(source("metal", {"p": PTR, "q": PTR, "at": "!kernel.ptr<i32, global>", "n": "index"}, (1,), body))
    x, y = random(10), np.zeros(10, np.float32)
    device.run("k", (1,), x, y, np.array([9, 3, 0, 10], np.int32), 3)
    np.testing.assert_array_equal(y[[9, 3, 0]], x[[9, 3, 0]])
    for bad in ([0, 1, 2, 10], [0, -1, 2, 3]):
        assert "kernel.gather" in refused(device, (1,), x, y, np.array(bad, np.int32), 4)
    assert "kernel.scatter" in refused(device, (1,), x, y[:9], np.array([9, 3, 0, 1], np.int32), 4)


def test_rows_of_a_tile() -> None:
    body = f"""
  %z = arith.constant 0 : index
  %v = kernel.load %p[%z] stride %n : {PTR} -> vector<4x8xf32>
  kernel.store %v, %q[%z] stride %n : vector<4x8xf32>, {PTR}
  %c = kernel.load %p[%z] stride %n : {PTR} -> vector<4xf32>
"""
    device = Device(source("cuda", {"p": PTR, "q": PTR, "n": "index"}, (1,), body))
    x, y = random(3 * 20 + 8), poisoned(3 * 20 + 8)
    device.run("k", (1,), x, y, 20)
    np.testing.assert_array_equal(y[60:], x[60:])
    assert "kernel.load at test.mlir:4:3 touches 32 bytes" in refused(device, (1,), x[:-1], y, 20)
    assert "kernel.store at" in refused(device, (1,), x, y[:-1], 20)


@pytest.mark.parametrize("dialect", TARGETS)
def test_shared_memory_has_an_end(dialect: str) -> None:
    body = f"""
  %s = X.shared 64 : {SHARED}
  %r = X.shared 64 : {SHARED}
  %t = X.thread_id x
  %i = arith.addi %t, %first : index
  %c = arith.constant 1.0 : f32
  kernel.store %c, %s[%i] : f32, {SHARED}
  %v = kernel.load %r[%t] : {SHARED} -> f32
"""
    device = Device(source(dialect, {"first": "index"}, (32,), body))
    device.run("k", (1,), 32)
    assert "thread (31, 0, 0): kernel.store at" in refused(device, (1,), 33)
    assert "thread (0, 0, 0)" in refused(device, (1,), -1)


def test_private_memory_has_an_end() -> None:
    kind = "!kernel.ptr<f32, private, align 16>"
    body = f"""
  %a = kernel.alloca 8 : {kind}
  %c = arith.constant 1.0 : f32
  kernel.store %c, %a[%first] : f32, {kind}
"""
    device = Device(source("cuda", {"first": "index"}, (1,), body))
    device.run("k", (1,), 7)
    assert "kernel.store" in refused(device, (1,), 8)


def test_pointers_from_loops_and_selections_are_checked_too() -> None:
    """Where it is not known what a pointer points into, it must stay in some allocation."""
    body = f"""
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %last = scf.for %j = %c0 to %n step %c1 iter_args(%at = %p) -> ({PTR}) {{
    %v = kernel.load %at[%c0] : {PTR} -> f32
    %next = kernel.offset %at, %c1 : {PTR} -> {PTR}
    scf.yield %next : {PTR}
  }}
"""
    device = Device(source("cuda", {"p": PTR, "n": "index"}, (1,), body))
    x = random(10)
    device.run("k", (1,), x, 10)
    assert "touches 4 bytes" in refused(device, (1,), x, 11)


# -- alignment


@pytest.mark.parametrize("dialect", TARGETS)
def test_argument_that_is_not_aligned_as_promised(dialect: str) -> None:
    device = Device(source(dialect, {"q": PTR, "p": ALIGNED}, (32,), ""))
    address = device.upload(random(64))
    device.launch("k", (1,), [address + 4, address + 16])
    with pytest.raises(LaunchError, match=f"argument 1 at 0x{address + 4:x}, which is not aligned as promised"):
        device.launch("k", (1,), [address, address + 4])
    with pytest.raises(LaunchError, match="argument 0"):
        device.launch("k", (1,), [address + 2, address])


@pytest.mark.parametrize("dialect", TARGETS)
def test_vector_access_that_is_not_aligned_as_promised(dialect: str) -> None:
    body = f"""
  %z = arith.constant 0 : index
  %o = kernel.offset %p, %first : {ALIGNED} -> {ALIGNED}
  %v = kernel.load %o[%z] : {ALIGNED} -> vector<4xf32>
  kernel.store %v, %q[%z] : vector<4xf32>, {PTR}
"""
    device = Device(source(dialect, {"p": ALIGNED, "q": PTR, "first": "index"}, (1,), body))
    x, y = random(64), poisoned(4)
    device.run("k", (1,), x, y, 8)
    np.testing.assert_array_equal(y, x[8:12])
    assert re.search("kernel.load at test.mlir:5:3 at 0x.* is not aligned as promised", refused(device, (1,), x, y, 2))


# -- launches


def test_launch_with_another_block_size() -> None:
    device = Device(source("cuda", {}, (32,), ""))
    device.kernels["k"].set_block([64])
    assert "blocks of another size" in refused(device, (1,))


def test_empty_grid_runs_nothing() -> None:
    body = f"%z = arith.constant 0 : index\n%v = kernel.load %p[%z] : {PTR} -> f32"
    Device(source("cuda", {"p": PTR}, (32,), body)).run("k", (0,), 0)


def test_unknown_kernel_and_unknown_op() -> None:
    device = Device(source("cuda", {}, (32,), ""))
    with pytest.raises(TargetError, match="no kernel 'other'"):
        device.driver.function(device.loaded, "other", 0)
    with pytest.raises(LowerError, match="kernel.thread_id"):
        Device(source("cuda", {}, (32,), "%t = kernel.thread_id"))


@pytest.mark.parametrize("dialect", TARGETS)
def test_unchecked_kernels_give_the_same(dialect: str) -> None:
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
    x = random((5, 64))
    for checked in (True, False):
        y = poisoned((5, 64))
        Device(source(dialect, {"p": PTR, "q": PTR}, (64,), body), checked=checked).run("k", (5,), x, y)
        np.testing.assert_array_equal(y, x[:, ::-1])

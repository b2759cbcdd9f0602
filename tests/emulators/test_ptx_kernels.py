"""Whole kernels through LLVM's PTX, and what must be an error."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rlx_runtime.emulators.faults import EmulationError
from rlx_runtime.errors import TargetError
from tests.emulators.kernels import CUDA, MATMUL, REVERSE_SUM, SOFTMAX
from tests.emulators.support import ptx, ptx_module, run_ptx, without_barriers

RNG = np.random.default_rng(7)


def matmul(m: int, n: int, k: int, text: str, serial: bool = False) -> float:
    a, b = RNG.standard_normal((m, k)).astype(np.float32), RNG.standard_normal((k, n)).astype(np.float32)
    c = np.full((m, n), np.nan, np.float32)
    found = run_ptx(text, (m // 16 * (n // 16),), (256,), [a, b, c, n, k], serial=serial)[-1]
    error = np.abs(found - a.astype(np.float64) @ b)
    return float("inf") if np.isnan(error).any() else float(error.max())


@pytest.mark.parametrize("cpu", ["sm_80", "sm_90a"])
@pytest.mark.parametrize("serial", [False, True])
def test_tiled_matmul(cpu: str, serial: bool) -> None:
    assert matmul(32, 48, 80, ptx(MATMUL.format(**CUDA), cpu), serial) < 1e-4


def test_tiled_matmul_is_quick() -> None:
    text = ptx(MATMUL.format(**CUDA))
    start = time.perf_counter()
    assert matmul(64, 64, 64, text) < 1e-4
    assert time.perf_counter() - start < 5  # on a busy machine; about 0.05 s on an idle one


def test_without_barriers_serial_mode_shows_the_race() -> None:
    text = ptx(MATMUL.format(**CUDA))
    bare = without_barriers(text)
    assert text.count("bar.sync") == 2
    assert "bar.sync" not in bare
    assert matmul(32, 32, 32, bare, serial=True) > 1


@pytest.mark.parametrize("opt", [0, 3])
@pytest.mark.parametrize("n", [1, 17, 128, 300])
def test_softmax_of_rows(n: int, opt: int) -> None:
    x = RNG.standard_normal((3, n)).astype(np.float32) * 4
    found = run_ptx(ptx(SOFTMAX.format(**CUDA), opt=opt), (3,), (128,), [x, np.full_like(x, np.nan), n], serial=opt == 0)[-1]
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, e / e.sum(axis=1, keepdims=True), rtol=3e-6)


@pytest.mark.parametrize("serial", [False, True])
def test_reversal_in_blocks(serial: bool) -> None:
    n = 700
    x = RNG.integers(1, 1000, n).astype(np.int32)
    found = run_ptx(ptx(REVERSE_SUM.format(**CUDA)), (3,), (256,), [x, np.full(n, -7, np.int32), n], serial=serial)[-1]
    padded = np.zeros(768, np.int32)
    padded[:n] = x
    np.testing.assert_array_equal(found, padded.reshape(3, 256)[:, ::-1].reshape(-1)[:n])


# -- errors name the kernel, the line, block and thread


def fails(body: str, code: str, text: str, *, arguments: list | None = None, block: int = 64, grid: int = 1, variables: str = "") -> None:
    given = arguments or [np.zeros(64 * grid, np.int32)]
    with pytest.raises(EmulationError, match=text) as caught:
        run_ptx(ptx_module(body, params=len(given), variables=variables), (grid,), (block,), given)
    assert caught.value.code == code
    assert "thread (" in str(caught.value)
    assert caught.value.location is not None


SHARED = ".shared .align 16 .b8 s[256];"


def test_global_access_out_of_bounds() -> None:
    fails("add.s64 %rd2, %rd1, %rd0; ld.global.u32 %r5, [%rd2+4];", "out-of-bounds", r"thread \(63, 0, 0\)")
    fails("add.s64 %rd2, %rd1, %rd0; st.global.u32 [%rd2+-4], %r1;", "out-of-bounds", r"thread \(0, 0, 0\)")
    fails("add.s64 %rd2, %rd1, %rd0; st.global.u32 [%rd2], %r1;", "out-of-bounds", r"block \(1, 0, 0\)", arguments=[np.zeros(64, np.int32)], grid=2)


def test_freed_memory_is_out_of_bounds() -> None:
    from rlx_runtime.emulators.ptx import PtxDriver

    driver = PtxDriver()
    function = driver.function(driver.load(ptx_module("st.global.u32 [%rd1], %r1;", params=1).encode()), "k", 0)
    address = driver.alloc(64)
    driver.launch(function, (1,), (32,), [address])
    driver.free(address)
    with pytest.raises(EmulationError, match="no allocation"):
        driver.launch(function, (1,), (32,), [address])


def test_shared_and_local_access_out_of_bounds() -> None:
    fails("mov.u64 %rd2, s; add.s64 %rd2, %rd2, %rd0; ld.shared.u32 %r5, [%rd2+4];", "out-of-bounds", "256 bytes of shared", variables=SHARED)
    fails(".local .align 4 .b8 l[16]; mov.u64 %rd2, l; add.s64 %rd2, %rd2, %rd0; st.local.u32 [%rd2], %r1;", "out-of-bounds",
          r"thread \(4, 0, 0\)")  # fmt: skip


def test_misaligned_access() -> None:
    fails("add.s64 %rd2, %rd1, 4; ld.global.v2.u32 {%r5, %r6}, [%rd2];", "misaligned", "multiple of 8")
    fails("ld.shared.u32 %r5, [s+2];", "misaligned", "multiple of 4", variables=SHARED)


def test_register_never_written() -> None:
    fails("add.s32 %r6, %r5, 1;", "uninitialized", "%r5 was never written")
    # Written by some threads only: the others may not read it.
    fails("setp.lt.u32 %p1, %r1, 40; @%p1 mov.u32 %r5, 1; add.s32 %r6, %r5, 1;", "uninitialized", r"thread \(40, 0, 0\)")


def test_register_written_before_a_join_is_fine() -> None:
    body = """setp.lt.u32 %p1, %r1, 40; @%p1 bra A; mov.u32 %r5, 1; bra B;
    A: mov.u32 %r5, 2;
    B: add.s64 %rd2, %rd1, %rd0; st.global.u32 [%rd2], %r5;"""
    found = run_ptx(ptx_module(body, params=1), (1,), (64,), [np.zeros(64, np.int32)])[0]
    np.testing.assert_array_equal(found, np.where(np.arange(64) < 40, 2, 1))


def test_divergent_barrier() -> None:
    fails("setp.lt.u32 %p1, %r1, 5; @%p1 bra A; ret; A: bar.sync 0;", "divergent-barrier", "5 threads of the block wait")
    fails("setp.lt.u32 %p1, %r1, 32; @%p1 bra A; ret; A: bar.sync 0;", "divergent-barrier", "32 threads of the block wait")
    fails("setp.lt.u32 %p1, %r1, 5; @%p1 bra A; barrier.sync 0; bra B; A: barrier.sync 0; B:", "divergent-barrier", "another barrier")


def test_divergent_shuffle() -> None:
    fails("setp.lt.u32 %p1, %r1, 5; @%p1 bra A; shfl.sync.bfly.b32 %r5, %r1, 1, 31, -1; A:", "divergent-collective", "lane 0 of the warp")
    fails("shfl.sync.idx.b32 %r5, %r1, 20, 31, 0xffff;", "divergent-collective", "lane 20, which", block=64)
    fails("shfl.sync.bfly.b32 %r5, %r1, 16, 31, -1;", "divergent-collective", "lane 20, which takes no part", block=20)


def test_threads_that_come_to_a_shuffle_by_other_ways_meet_there() -> None:
    # The place where they meet stands before the detour of some of them.
    body = """setp.lt.u32 %p1, %r1, 5; @%p1 bra DETOUR; mov.u32 %r5, 1; bra MEET; MEET: shfl.sync.bfly.b32 %r6, %r5, 1, 31, -1; bar.sync 0;
    add.s64 %rd2, %rd1, %rd0; st.global.u32 [%rd2], %r6; ret; DETOUR: mov.u32 %r5, 2; bra MEET;"""
    for serial in (False, True):
        found = run_ptx(ptx_module(body, params=1), (2,), (40,), [np.zeros(80, np.int32)], serial=serial)[0]
        np.testing.assert_array_equal(found, np.where((np.arange(80) ^ 1) < 5, 2, 1))


def test_a_vector_may_end_behind_its_allocation() -> None:
    body = "ld.global.v4.f32 {%r5, %r6, %r7, %r8}, [%rd1]; st.global.v2.f32 [%rd2], {%r5, %r6}; @%p1 st.global.f32 [%rd2], %r8;"
    start = "setp.ne.s32 %p1, %r1, %r1; "
    found = run_ptx(ptx_module(start + body, params=2), (1,), (1,), [np.ones(1, np.float32), np.zeros(2, np.float32)])[1]
    assert found[0] == 1
    assert np.isnan(found[1])
    fails("add.s64 %rd2, %rd1, 256; ld.global.v4.f32 {%r5, %r6, %r7, %r8}, [%rd2];", "out-of-bounds", "no allocation")


def test_an_unknown_instruction_is_an_error_of_the_load() -> None:
    with pytest.raises(TargetError, match=r"unknown instruction vadd4.u32.u32.u32: .* %r5"):
        run_ptx(ptx_module("vadd4.u32.u32.u32 %r5, %r1, %r1, %r1;"), (1,), (1,), [0, 0, 0, 0])


def test_text_that_is_no_ptx() -> None:
    with pytest.raises(TargetError, match="malformed|starts with"):
        run_ptx("hello", (1,), (1,), [])


def test_a_launch_through_the_c_function_reports_its_fault() -> None:
    import ctypes

    from rlx_runtime.emulators.driver import LAUNCH, LAUNCH_FAILED
    from rlx_runtime.emulators.ptx import PtxDriver

    driver = PtxDriver()
    body = "add.s64 %rd2, %rd1, %rd0; st.global.u32 [%rd2], %r1;"
    function = driver.function(driver.load(ptx_module(body, params=1).encode()), "k", 0)
    address = driver.alloc(256)
    value = ctypes.c_uint64(address)
    params = (ctypes.c_void_p * 1)(ctypes.addressof(value))
    launch = LAUNCH(driver.launch_address)
    assert launch(function, 1, 1, 1, 64, 1, 1, 0, None, params, None) == 0
    back = np.empty(64, np.int32)
    driver.download(back, address)
    np.testing.assert_array_equal(back, np.arange(64))
    assert launch(function, 2, 1, 1, 64, 1, 1, 0, None, params, None) == LAUNCH_FAILED
    assert driver.fault is not None
    assert driver.fault.code == "out-of-bounds"

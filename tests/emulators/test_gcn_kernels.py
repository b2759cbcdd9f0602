"""Whole kernels through LLVM's AMDGCN assembly, and what must be an error."""

from __future__ import annotations

import numpy as np
import pytest

from rlx_runtime.emulators.faults import EmulationError
from rlx_runtime.errors import TargetError
from tests.emulators.kernels import GCN_ATTRIBUTES, MATMUL, REVERSE_SUM, ROCM, SOFTMAX
from tests.emulators.support import GCN, gcn, run_gcn, without_barriers

RNG = np.random.default_rng(7)


def matmul(m: int, n: int, k: int, text: str, serial: bool = False) -> float:
    a, b = RNG.standard_normal((m, k)).astype(np.float32), RNG.standard_normal((k, n)).astype(np.float32)
    c = np.full((m, n), np.nan, np.float32)
    found = run_gcn(text, (m // 16 * (n // 16),), (256,), [a, b, c, n, k], serial=serial)[-1]
    error = np.abs(found - a.astype(np.float64) @ b)
    return float("inf") if np.isnan(error).any() else float(error.max())


@pytest.mark.parametrize("cpu", GCN)
@pytest.mark.parametrize("serial", [False, True])
def test_tiled_matmul(cpu: str, serial: bool) -> None:
    assert matmul(32, 48, 80, gcn(MATMUL.format(**ROCM), cpu), serial) < 1e-4


@pytest.mark.parametrize("cpu", GCN)
def test_without_barriers_serial_mode_shows_the_race(cpu: str) -> None:
    text = gcn(MATMUL.format(**ROCM), cpu)
    bare = without_barriers(text)
    assert "s_barrier" in text
    assert "s_barrier" not in bare
    assert matmul(32, 32, 32, bare, serial=True) > 1


@pytest.mark.parametrize("cpu", GCN)
@pytest.mark.parametrize("n", [1, 17, 128, 300])
def test_softmax_of_rows(n: int, cpu: str) -> None:
    x = RNG.standard_normal((3, n)).astype(np.float32) * 4
    for serial in (False, True):
        found = run_gcn(gcn(SOFTMAX.format(**ROCM), cpu), (3,), (128,), [x, np.full_like(x, np.nan), n], serial=serial)[-1]
        e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
        np.testing.assert_allclose(found, e / e.sum(axis=1, keepdims=True), rtol=3e-6)


@pytest.mark.parametrize("cpu", GCN)
@pytest.mark.parametrize("serial", [False, True])
def test_reversal_in_blocks(serial: bool, cpu: str) -> None:
    n = 700
    x = RNG.integers(1, 1000, n).astype(np.int32)
    found = run_gcn(gcn(REVERSE_SUM.format(**ROCM), cpu), (3,), (256,), [x, np.full(n, -7, np.int32), n], serial=serial)[-1]
    padded = np.zeros(768, np.int32)
    padded[:n] = x
    np.testing.assert_array_equal(found, padded.reshape(3, 256)[:, ::-1].reshape(-1)[:n])


# -- errors name the kernel, the line, block and thread


def fails(body: str, code: str, text: str, *, cpu: str = "gfx942", n: int = 64, grid: int = 1, block: int = 64, head: str = "") -> None:
    ir = head + f"define amdgpu_kernel void @k(ptr addrspace(1) %X) {GCN_ATTRIBUTES} {{\n%t = call i32 @llvm.amdgcn.workitem.id.x()\n{body}\nret void\n}}"
    with pytest.raises(EmulationError, match=text) as caught:
        run_gcn(gcn(ir, cpu), (grid,), (block,), [np.zeros(n, np.int32)])
    assert caught.value.code == code
    assert "thread (" in str(caught.value)


@pytest.mark.parametrize("cpu", GCN)
def test_access_out_of_bounds(cpu: str) -> None:
    fails("%p = getelementptr i32, ptr addrspace(1) %X, i32 %t\nstore i32 %t, ptr addrspace(1) %p", "out-of-bounds", r"thread \(60, 0, 0\)", n=60, cpu=cpu)
    shared = "@s = internal addrspace(3) global [60 x i32] undef, align 4\n"
    fails("%p = getelementptr i32, ptr addrspace(3) @s, i32 %t\nstore volatile i32 %t, ptr addrspace(3) %p", "out-of-bounds", r"240 bytes of shared.*thread \(60, 0, 0\)",
          head=shared, cpu=cpu)  # fmt: skip


@pytest.mark.parametrize("cpu", GCN)
def test_misaligned_access(cpu: str) -> None:
    # Loads and stores take any address.
    body = '%p = getelementptr i8, ptr addrspace(1) %X, i64 2\n%o = atomicrmw add ptr addrspace(1) %p, i32 %t syncscope("agent") monotonic'
    fails(body, "misaligned", "multiple of 4", cpu=cpu)


@pytest.mark.parametrize("cpu", GCN)
def test_divergent_barrier(cpu: str) -> None:
    body = """%c = icmp ult i32 %t, LIMIT
br i1 %c, label %a, label %b
a:
call void @llvm.amdgcn.s.barrier()
store volatile i32 %t, ptr addrspace(1) %X
br label %b
b:"""
    fails(body.replace("LIMIT", "5"), "divergent-barrier", "lanes of the wave are not at the barrier", cpu=cpu)
    fails(body.replace("LIMIT", "64"), "divergent-barrier", "never completes", cpu=cpu, block=128)


def test_register_never_written() -> None:
    text = gcn(REVERSE_SUM.format(**ROCM))
    broken = text.replace("ds_write_b32 v", "ds_write_b32 v77 ; v", 1).replace("v77 ; v", "v77, v", 1)
    line = next(line for line in text.splitlines() if "ds_write_b32" in line)
    broken = text.replace(line, "\tv_add_u32_e32 v9, v77, v0\n" + line)
    with pytest.raises(EmulationError, match="register v77 was never written") as caught:
        run_gcn(broken, (1,), (256,), [np.ones(256, np.int32), np.zeros(256, np.int32), 256])
    assert caught.value.code == "uninitialized"
    broken = text.replace(line, "\ts_add_i32 s9, s77, s0\n" + line)
    with pytest.raises(EmulationError, match="register s77 was never written"):
        run_gcn(broken, (1,), (256,), [np.ones(256, np.int32), np.zeros(256, np.int32), 256])


def test_an_unknown_instruction_is_an_error_of_the_load() -> None:
    text = gcn(REVERSE_SUM.format(**ROCM))
    with pytest.raises(TargetError, match=r"k:\d+:1: unknown instruction v_frobnicate_f32: v_frobnicate_f32 v0, v1"):
        run_gcn(text.replace("\ts_barrier", "\tv_frobnicate_f32 v0, v1"), (1,), (256,), [])
    with pytest.raises(TargetError, match="no emulator of gfx803"):
        run_gcn(text.replace("gfx942", "gfx803"), (1,), (256,), [])

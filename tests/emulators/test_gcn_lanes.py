"""Lanes of waves: permutations, DPP, reads of lanes, votes; matrix instructions."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from rlx_runtime.emulators.faults import EmulationError
from tests.emulators.kernels import GCN_ATTRIBUTES
from tests.emulators.support import GCN, gcn, run_gcn

RNG = np.random.default_rng(9)
LANES = {cpu: 64 if cpu.startswith("gfx9") else 32 for cpu in GCN}
WAVE64 = [cpu for cpu in GCN if LANES[cpu] == 64]


def map_lanes(cpu: str, body: str, x: np.ndarray, head: str = "", block: int = 128) -> np.ndarray:
    """`%r` from `%x` in every thread; `%l` is the lane."""
    ir = f"""{head}
declare i32 @llvm.amdgcn.mbcnt.lo(i32, i32)
declare i32 @llvm.amdgcn.mbcnt.hi(i32, i32)
define amdgpu_kernel void @k(ptr addrspace(1) noalias %X, ptr addrspace(1) noalias %Y) {GCN_ATTRIBUTES} {{
%t = call i32 @llvm.amdgcn.workitem.id.x()
%lo = call i32 @llvm.amdgcn.mbcnt.lo(i32 -1, i32 0)
%l = {"call i32 @llvm.amdgcn.mbcnt.hi(i32 -1, i32 %lo)" if LANES[cpu] == 64 else "add i32 %lo, 0"}
%p = getelementptr i32, ptr addrspace(1) %X, i32 %t
%x = load i32, ptr addrspace(1) %p
{body}
%q = getelementptr i32, ptr addrspace(1) %Y, i32 %t
store i32 %r, ptr addrspace(1) %q
ret void
}}"""
    return run_gcn(gcn(ir, cpu), (1,), (block,), [x, np.zeros_like(x)])[1]


@pytest.mark.parametrize("cpu", GCN)
@pytest.mark.parametrize("by", [1, 2, 4, 8, 16, 31])
def test_permutation_through_lds(cpu: str, by: int) -> None:
    x = RNG.integers(1, 10**6, 128).astype(np.int32)
    head = "declare i32 @llvm.amdgcn.ds.bpermute(i32, i32)"
    body = f"%a = xor i32 %l, {by}\n%at = shl i32 %a, 2\n%r = call i32 @llvm.amdgcn.ds.bpermute(i32 %at, i32 %x)"
    np.testing.assert_array_equal(map_lanes(cpu, body, x, head), x[np.arange(128) ^ by])


@pytest.mark.parametrize("cpu", GCN)
def test_permutation_that_reads_an_absent_lane(cpu: str) -> None:
    x = RNG.integers(1, 10**6, 16).astype(np.int32)
    head = "declare i32 @llvm.amdgcn.ds.bpermute(i32, i32)"
    body = "%a = xor i32 %l, 16\n%at = shl i32 %a, 2\n%r = call i32 @llvm.amdgcn.ds.bpermute(i32 %at, i32 %x)"
    with pytest.raises(EmulationError, match="takes no part") as caught:
        map_lanes(cpu, body, x, head, block=16)
    assert caught.value.code == "divergent-collective"


DPP = {  # control: (number of LLVM, source lane within a row of 16)
    "quad_perm [1,0,3,2]": (0xB1, lambda p: p ^ 1), "row_shl 1": (0x101, lambda p: p + 1), "row_shr 3": (0x113, lambda p: p - 3),
    "row_ror 4": (0x124, lambda p: (p - 4) % 16), "row_mirror": (0x140, lambda p: 15 - p), "row_half_mirror": (0x141, lambda p: p // 8 * 8 + 7 - p % 8),
}  # fmt: skip


@pytest.mark.parametrize("cpu", GCN)
@pytest.mark.parametrize("name", list(DPP))
def test_dpp(cpu: str, name: str) -> None:
    number, source = DPP[name]
    x = RNG.integers(1, 10**6, 128).astype(np.int32)
    head = "declare i32 @llvm.amdgcn.update.dpp.i32(i32, i32, i32 immarg, i32 immarg, i32 immarg, i1 immarg)"
    place = np.arange(128) % 16
    wanted = source(place)
    inside = (wanted >= 0) & (wanted < 16)
    lanes = np.arange(128) // 16 * 16 + np.where(inside, wanted, 0)
    # Lanes without a source: 0 (bound_ctrl), or the old value.
    for bound, old in ((1, 0), (0, -5)):
        body = f"%d = call i32 @llvm.amdgcn.update.dpp.i32(i32 -5, i32 %x, i32 {number}, i32 15, i32 15, i1 {bound})\n%r = add i32 %d, 0"
        np.testing.assert_array_equal(map_lanes(cpu, body, x, head), np.where(inside, x[lanes], old))
    # Part of an addition, and in some banks only.
    body = f"%d = call i32 @llvm.amdgcn.update.dpp.i32(i32 0, i32 %x, i32 {number}, i32 15, i32 15, i1 1)\n%r = add i32 %d, %l"
    np.testing.assert_array_equal(map_lanes(cpu, body, x, head), np.where(inside, x[lanes], 0) + np.arange(128) % LANES[cpu])
    body = f"%r = call i32 @llvm.amdgcn.update.dpp.i32(i32 -5, i32 %x, i32 {number}, i32 15, i32 5, i1 0)"
    found = map_lanes(cpu, body, x, head)
    np.testing.assert_array_equal(found, np.where(inside & (place // 4 % 2 == 0), x[lanes], -5))


@pytest.mark.parametrize("cpu", GCN)
def test_swizzle(cpu: str) -> None:
    x = RNG.integers(1, 10**6, 128).astype(np.int32)
    head = "declare i32 @llvm.amdgcn.ds.swizzle(i32, i32 immarg)"
    for offset, source in ((0x401F, lambda p: p ^ 16), (0x041F, lambda p: p ^ 1), (0x7C1F, lambda p: p ^ 31), (0x0018, lambda p: p & 24),
                           (0x80B1, lambda p: p // 4 * 4 + np.array([1, 0, 3, 2])[p % 4])):  # fmt: skip
        lanes = np.arange(128) // 32 * 32 + source(np.arange(128) % 32)
        found = map_lanes(cpu, f"%r = call i32 @llvm.amdgcn.ds.swizzle(i32 %x, i32 {offset})", x, head)
        np.testing.assert_array_equal(found, x[lanes])


@pytest.mark.parametrize("cpu", GCN)
def test_reads_of_lanes_and_ballots(cpu: str) -> None:
    lanes = LANES[cpu]
    x = RNG.integers(1, 10**6, 128).astype(np.int32)
    head = f"""declare i32 @llvm.amdgcn.readlane(i32, i32)
declare i32 @llvm.amdgcn.readfirstlane(i32)
declare i{lanes} @llvm.amdgcn.ballot.i{lanes}(i1)"""
    first = np.arange(128) // lanes * lanes
    body = "%a = call i32 @llvm.amdgcn.readlane(i32 %x, i32 5)\n%b = call i32 @llvm.amdgcn.readfirstlane(i32 %x)\n%r = sub i32 %a, %b"
    np.testing.assert_array_equal(map_lanes(cpu, body, x, head), x[first + 5] - x[first])
    body = f"""%m = urem i32 %x, 3
%c = icmp eq i32 %m, 0
%w = call i{lanes} @llvm.amdgcn.ballot.i{lanes}(i1 %c)
%p1 = call i{lanes} @llvm.ctpop.i{lanes}(i{lanes} %w)
%r = {"trunc i64 %p1 to i32" if lanes == 64 else "add i32 %p1, 0"}"""
    counts = (x % 3 == 0).reshape(-1, lanes).sum(axis=1)
    found = map_lanes(cpu, body, x, head + f"\ndeclare i{lanes} @llvm.ctpop.i{lanes}(i{lanes})")
    np.testing.assert_array_equal(found, np.repeat(counts, lanes))
    body = """%odd = and i32 %l, 1
%c = icmp eq i32 %odd, 1
br i1 %c, label %a, label %b
a:
%f = call i32 @llvm.amdgcn.readfirstlane(i32 %x)
br label %b
b:
%r = phi i32 [%f, %a], [0, %0]"""
    np.testing.assert_array_equal(map_lanes(cpu, body, x, head), np.where(np.arange(128) % 2 == 1, x[first + 1], 0))


@pytest.mark.parametrize("cpu", ["gfx1100", "gfx1201"])
def test_permutation_of_rows(cpu: str) -> None:
    x = RNG.integers(1, 10**6, 64).astype(np.int32)
    head = """declare i32 @llvm.amdgcn.permlane16(i32, i32, i32, i32, i1 immarg, i1 immarg)
declare i32 @llvm.amdgcn.permlanex16(i32, i32, i32, i32, i1 immarg, i1 immarg)"""
    order = RNG.permutation(16)
    low, high = (sum(int(order[8 * half + i]) << (4 * i) for i in range(8)) for half in (0, 1))
    for name, other in (("permlane16", 0), ("permlanex16", 16)):
        body = f"%r = call i32 @llvm.amdgcn.{name}(i32 %x, i32 %x, i32 {low}, i32 {high}, i1 0, i1 0)"
        lanes = (np.arange(64) // 16 * 16 ^ other) + order[np.arange(64) % 16]
        np.testing.assert_array_equal(map_lanes(cpu, body, x, head, block=64), x[lanes])


# -- matrices

TYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "i8": np.int8, "fp8": ml_dtypes.float8_e4m3fnuz}
# name of LLVM, rows, depth, element, types of a fragment
MFMA = [
    ("mfma.f32.16x16x16f16", 16, 16, "f16", "<4 x half>"), ("mfma.f32.32x32x8f16", 32, 8, "f16", "<4 x half>"),
    ("mfma.f32.16x16x16bf16.1k", 16, 16, "bf16", "<4 x i16>"), ("mfma.f32.32x32x8bf16.1k", 32, 8, "bf16", "<4 x i16>"),
    ("mfma.f32.16x16x4f32", 16, 4, "f32", "float"), ("mfma.f32.32x32x2f32", 32, 2, "f32", "float"),
]  # fmt: skip
MFMA_942 = [("mfma.f32.16x16x32.fp8.fp8", 16, 32, "fp8", "i64"), ("mfma.i32.16x16x32.i8", 16, 32, "i8", "i64"),
            ("mfma.f32.32x32x16.fp8.fp8", 32, 16, "fp8", "i64")]  # fmt: skip


def matrices(kind: str, rows: int, depth: int, waves: int) -> tuple[np.ndarray, np.ndarray]:
    if kind == "i8":
        return tuple(RNG.integers(-99, 99, (waves, rows, depth)).astype(np.int8) for _ in range(2))  # type: ignore[return-value]
    return tuple(RNG.standard_normal((waves, rows, depth)).astype(TYPES[kind]) for _ in range(2))  # type: ignore[return-value]


def run_matrix(cpu: str, name: str, fragment: str, accumulator: str, a: np.ndarray, b: np.ndarray, c: np.ndarray, more: str, waves: int) -> np.ndarray:
    kinds = ", ".join([fragment, fragment, accumulator])
    extra = ", i32 immarg, i32 immarg, i32 immarg" if more else ""
    ir = f"""declare {accumulator} @llvm.amdgcn.{name}({kinds}{extra})
define amdgpu_kernel void @k(ptr addrspace(1) noalias %A, ptr addrspace(1) noalias %B, ptr addrspace(1) noalias %C) {GCN_ATTRIBUTES} {{
%t = call i32 @llvm.amdgcn.workitem.id.x()
%ap = getelementptr {fragment}, ptr addrspace(1) %A, i32 %t
%bp = getelementptr {fragment}, ptr addrspace(1) %B, i32 %t
%cp = getelementptr {accumulator}, ptr addrspace(1) %C, i32 %t
%a = load {fragment}, ptr addrspace(1) %ap, align 4
%b = load {fragment}, ptr addrspace(1) %bp, align 4
%c = load {accumulator}, ptr addrspace(1) %cp, align 4
%d = call {accumulator} @llvm.amdgcn.{name}({fragment} %a, {fragment} %b, {accumulator} %c{more})
store {accumulator} %d, ptr addrspace(1) %cp, align 4
ret void
}}"""
    return run_gcn(gcn(ir, cpu), (1,), (LANES[cpu] * waves,), [a, b, c])[2]


@pytest.mark.parametrize(("cpu", "case"), [(cpu, case) for cpu in WAVE64 for case in MFMA + (MFMA_942 if cpu == "gfx942" else [])])
def test_mfma(cpu: str, case: tuple[str, int, int, str, str]) -> None:
    name, rows, depth, kind, fragment = case
    waves, groups = 2, 64 // rows
    each, results = depth // groups, rows * rows // 64
    a, b = matrices(kind, rows, depth, waves)
    # A lane holds neighbours along the depth of one row of A, and of one column of B (`b` is stored by columns).
    fa, fb = (np.ascontiguousarray(x.reshape(waves, rows, groups, each).transpose(0, 2, 1, 3)) for x in (a, b))
    integer = kind == "i8"
    c = RNG.integers(-99, 99, (waves, rows, rows)).astype(np.int32) if integer else RNG.standard_normal((waves, rows, rows)).astype(np.float32)
    place = [[(8 * (r // 4) + 4 * (lane // 32) + r % 4 if rows == 32 else 4 * (lane // 16) + r, lane % rows) for r in range(results)] for lane in range(64)]
    index = np.array(place)
    fc = np.ascontiguousarray(c[:, index[..., 0], index[..., 1]])
    found = run_matrix(cpu, name, fragment, f"<{results} x {'i32' if integer else 'float'}>", fa, fb, fc, ", i32 0, i32 0, i32 0", waves)
    wide = np.int64 if integer else np.float64
    expected = a.astype(wide) @ b.astype(wide).transpose(0, 2, 1) + c
    np.testing.assert_allclose(found, expected[:, index[..., 0], index[..., 1]], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("cpu", ["gfx1100", "gfx1201"])
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_wmma(cpu: str, kind: str) -> None:
    waves, each = 3, 16 if cpu == "gfx1100" else 8
    a, b = matrices(kind, 16, 16, waves)
    lanes, element = np.arange(32), np.arange(8)
    if cpu == "gfx1100":
        fa, fb = a[:, lanes % 16], b[:, lanes % 16]
        row = 2 * element[None, :] + (lanes // 16)[:, None]
    else:
        along = 8 * (lanes // 16)[:, None] + np.arange(8)
        fa, fb = a[:, (lanes % 16)[:, None], along], b[:, (lanes % 16)[:, None], along]
        row = 8 * (lanes // 16)[:, None] + element[None, :]
    column = np.broadcast_to((lanes % 16)[:, None], row.shape)
    c = RNG.standard_normal((waves, 16, 16)).astype(np.float32)
    element_type = {"f16": "half", "bf16": "i16" if cpu == "gfx1100" else "bfloat"}[kind]
    suffix = f"v{each}{'i16' if element_type == 'i16' else kind}"
    if element_type == "bfloat":
        element_type, suffix = "i16", f"v{each}i16"
    found = run_matrix(cpu, f"wmma.f32.16x16x16.{kind}.v8f32.{suffix}", f"<{each} x {element_type}>", "<8 x float>", np.ascontiguousarray(fa),
                       np.ascontiguousarray(fb), np.ascontiguousarray(c[:, row, column]), "", waves)  # fmt: skip
    expected = a.astype(np.float64) @ b.astype(np.float64).transpose(0, 2, 1) + c
    np.testing.assert_allclose(found, expected[:, row, column], rtol=1e-6, atol=1e-5)

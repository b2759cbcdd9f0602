"""Warps of PTX: shuffles, votes, reductions, matrices, asynchronous copies, barriers."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from rlx_runtime.emulators.faults import EmulationError
from tests.emulators.support import map_ptx, ptx_module, run_ptx

RNG = np.random.default_rng(9)


@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
@pytest.mark.parametrize("width", [32, 8])
def test_shuffles(mode: str, width: int) -> None:
    x = RNG.integers(1, 10**6, 128).astype(np.int32)
    by = RNG.integers(0, width, 1)[0]
    clamp = (32 - width) << 8 | (0 if mode == "up" else 31)
    found = map_ptx(f"shfl.sync.{mode}.b32 %d|%p1, %a, {by}, {clamp}, -1; @!%p1 neg.s32 %d, %d;", "int32", x)
    lane = np.arange(128) % 32
    segment = lane // width * width
    source = {"up": lane - by, "down": lane + by, "bfly": lane ^ by, "idx": segment + by}[mode]
    inside = (source >= segment) & (source < segment + width)
    source = np.where(inside, source, lane) + np.arange(128) // 32 * 32
    np.testing.assert_array_equal(found, np.where(inside, x[source], -x[source]))


def test_votes_and_reductions() -> None:
    x = RNG.integers(0, 100, 128).astype(np.int32)
    flags = (x % 3 == 0).reshape(4, 32)
    body = "rem.s32 %r5, %a, 3; setp.eq.s32 %p1, %r5, 0; vote.sync.ballot.b32 %d, %p1, -1;"
    np.testing.assert_array_equal(map_ptx(body, "uint32", x), np.repeat((flags * (1 << np.arange(32))).sum(1), 32))
    for mode, expected in (("any", flags.any(1)), ("all", flags.all(1)), ("uni", flags.all(1) | ~flags.any(1))):
        body = f"rem.s32 %r5, %a, 3; setp.eq.s32 %p1, %r5, 0; vote.sync.{mode}.pred %p2, %p1, -1; selp.b32 %d, 1, 0, %p2;"
        np.testing.assert_array_equal(map_ptx(body, "int32", x), np.repeat(expected, 32))
    signed = x - 50
    for name, reference in (("add", np.add), ("min", np.minimum), ("max", np.maximum)):
        found = map_ptx(f"redux.sync.{name}.s32 %d, %a, -1;", "int32", signed)
        np.testing.assert_array_equal(found, np.repeat(reference.reduce(signed.reshape(4, 32), axis=1), 32))
    for name, reference in (("and", np.bitwise_and), ("or", np.bitwise_or), ("xor", np.bitwise_xor)):
        found = map_ptx(f"redux.sync.{name}.b32 %d, %a, -1;", "int32", signed)
        np.testing.assert_array_equal(found, np.repeat(reference.reduce(signed.reshape(4, 32), axis=1), 32))


def test_part_of_a_warp() -> None:
    body = """mov.u32 %r6, 0; and.b32 %r4, %r1, 31; setp.ge.u32 %p1, %r4, 16; @%p1 bra OUT; redux.sync.add.s32 %r6, %r1, 0xffff; elect.sync %r7|%p2, 0xffff;
    @%p2 add.s32 %r6, %r6, 1000; activemask.b32 %r8; add.s32 %r6, %r6, %r8; bar.warp.sync 0xffff; OUT: add.s64 %rd2, %rd1, %rd0; st.global.u32 [%rd2], %r6;"""
    found = run_ptx(ptx_module(body, params=1), (1,), (64,), [np.zeros(64, np.int32)])[0].reshape(2, 32)
    sums = np.array([sum(range(16)), sum(range(32, 48))])[:, None] + 0xFFFF
    np.testing.assert_array_equal(found[:, :16], sums + 1000 * (np.arange(16) == 0))
    assert not found[:, 16:].any()


def test_matches() -> None:
    x = RNG.integers(0, 4, 64).astype(np.int32)
    rows = x.reshape(2, 32)
    expected = ((rows[:, :, None] == rows[:, None, :]) * (1 << np.arange(32))).sum(2).reshape(-1)
    np.testing.assert_array_equal(map_ptx("match.any.sync.b32 %d, %a, -1;", "uint32", x), expected)


# -- matrices


def fragments(matrix: np.ndarray, per: int, left: bool) -> np.ndarray:
    """[32 lanes, registers] of 32-bit words, element by element from the PTX ISA's tables."""
    size = 4 // per if per < 4 else 1
    rows, columns = matrix.shape if left else matrix.T.shape
    data = matrix if left else matrix.T  # B by columns: n x k
    count = (rows // 8) * (columns // (4 * per))
    out = np.zeros((32, count, per), matrix.dtype)
    for lane in range(32):
        for register in range(count):
            row = lane // 4 + (8 * (register % 2) if left else 0)
            column = lane % 4 * per + 4 * per * (register // 2 if left else register)
            out[lane, register] = data[row, column : column + per]
    assert size * per == 4
    return np.ascontiguousarray(out).view(np.uint32).reshape(32, count)


TYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "tf32": np.float32, "s8": np.int8, "u8": np.uint8,
         "e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}  # fmt: skip


@pytest.mark.parametrize(("kind", "depth"), [("f16", 16), ("bf16", 16), ("f16", 8), ("bf16", 8), ("tf32", 8), ("tf32", 4), ("s8", 32), ("u8", 32),
                                             ("s8", 16), ("e4m3", 32), ("e5m2", 32)])  # fmt: skip
def test_matrix_products(kind: str, depth: int) -> None:
    dtype = np.dtype(TYPES[kind])
    integer = kind in ("s8", "u8")
    warps = 3
    a, b = (
        RNG.integers(0, 255, (warps, *shape)).astype(dtype) if integer else RNG.standard_normal((warps, *shape)).astype(dtype)
        for shape in ((16, depth), (depth, 8))
    )
    if kind == "tf32":
        a, b = (x.view(np.uint32) & 0xFFFFE000 for x in (a, b))
        a, b = a.view(np.float32), b.view(np.float32)
    per = 4 // dtype.itemsize
    fa, fb = (np.stack([fragments(m, per, left) for m in x]) for x, left in ((a, True), (b, False)))
    na, nb = fa.shape[2], fb.shape[2]
    result = "s32" if integer else "f32"
    c = RNG.integers(-100, 100, (warps, 16, 8)).astype(np.int32) if integer else RNG.standard_normal((warps, 16, 8)).astype(np.float32)
    fc = np.stack([np.stack([[m[lane // 4 + 8 * (i // 2), lane % 4 * 2 + i % 2] for i in range(4)] for lane in range(32)]) for m in c])
    names = [[f"%r{start + i}" for i in range(n)] for start, n in ((10, na), (20, nb), (30, 4), (40, 4))]
    loads = []
    for group, pointer, n in ((names[0], 1, na), (names[1], 2, nb), (names[2], 3, 4)):
        loads.append(f"mul.wide.u32 %rd6, %r1, {4 * n}; add.s64 %rd6, %rd{pointer}, %rd6;")
        loads += [f"ld.global.b32 {name}, [%rd6+{4 * i}];" for i, name in enumerate(group)]
    stores = [f"st.global.b32 [%rd6+{4 * i}], {name};" for i, name in enumerate(names[3])]
    lists = ["{" + ", ".join(group) + "}" for group in (names[3], names[0], names[1], names[2])]
    body = "\n".join([*loads, f"mma.sync.aligned.m16n8k{depth}.row.col.{result}.{kind}.{kind}.{result} {', '.join(lists)};", *stores])
    found = run_ptx(ptx_module(body, params=3), (1,), (32 * warps,), [fa, fb, fc])[2]
    wide = np.int64 if integer else np.float64
    expected = a.astype(wide) @ b.astype(wide) + c
    back = np.zeros((warps, 16, 8), c.dtype)
    for lane in range(32):
        for i in range(4):
            back[:, lane // 4 + 8 * (i // 2), lane % 4 * 2 + i % 2] = found[:, lane, i]
    np.testing.assert_allclose(back, expected, rtol=1e-6, atol=1e-5)


def test_matrix_product_with_half_sums() -> None:
    a, b = RNG.standard_normal((16, 16)).astype(np.float16), RNG.standard_normal((16, 8)).astype(np.float16)
    fa, fb = fragments(a, 2, True), fragments(b, 2, False)
    loads = ["mul.wide.u32 %rd6, %r1, 16; add.s64 %rd6, %rd1, %rd6; ld.global.v4.b32 {%r10, %r11, %r12, %r13}, [%rd6];",
             "mul.wide.u32 %rd6, %r1, 8; add.s64 %rd7, %rd2, %rd6; ld.global.v2.b32 {%r20, %r21}, [%rd7]; add.s64 %rd7, %rd3, %rd6; mov.b32 %r30, 0x3C003C00;"]  # fmt: skip
    product = "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%r40, %r41}, {%r10, %r11, %r12, %r13}, {%r20, %r21}, {%r30, %r30};"
    body = "\n".join([*loads, product, "st.global.v2.b32 [%rd7], {%r40, %r41};"])
    found = run_ptx(ptx_module(body, params=3), (1,), (32,), [fa, fb, np.zeros((32, 2), np.uint32)])[2].view(np.float16).reshape(32, 2, 2)
    expected = a.astype(float) @ b.astype(float) + 1
    for lane in range(32):
        for i in range(2):
            np.testing.assert_allclose(found[lane, i], expected[lane // 4 + 8 * i, lane % 4 * 2 : lane % 4 * 2 + 2], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_matrix_loads_and_stores(count: int, transposed: bool) -> None:
    x = RNG.integers(0, 2**16, (2, count, 8, 8)).astype(np.uint16)
    trans = ".trans" if transposed else ""
    names = ", ".join(f"%r{10 + i}" for i in range(count))
    # Each warp copies its matrices to shared memory, loads fragments, and stores them back turned.
    body = f"""mov.u32 %r4, %tid.x; and.b32 %r5, %r4, 31; shr.u32 %r6, %r4, 5; mul.lo.s32 %r7, %r6, {128 * count}; setp.ge.u32 %p1, %r5, {8 * count}; @%p1 bra IN;
    mul.lo.s32 %r8, %r5, 16; add.s32 %r8, %r8, %r7; cvt.u64.u32 %rd5, %r8; add.s64 %rd6, %rd1, %rd5; ld.global.v4.b32 {{%r20, %r21, %r22, %r23}}, [%rd6];
    mov.u32 %r9, s; add.s32 %r9, %r9, %r8; st.shared.v4.b32 [%r9], {{%r20, %r21, %r22, %r23}}; bra JOIN; IN: mov.u32 %r9, s; JOIN: bar.sync 0;
    ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {{{names}}}, [%r9]; bar.sync 0; stmatrix.sync.aligned.m8n8.x{count}.shared.b16 [%r9], {{{names}}};
    bar.sync 0; @%p1 bra OUT; ld.shared.v4.b32 {{%r20, %r21, %r22, %r23}}, [%r9]; st.global.v4.b32 [%rd6], {{%r20, %r21, %r22, %r23}}; OUT:"""
    found = run_ptx(ptx_module(body, params=1, variables=".shared .align 16 .b8 s[1024];"), (1,), (64,), [x])[0]
    np.testing.assert_array_equal(found, x.swapaxes(2, 3) if transposed else x)


# -- asynchronous copies

COPY = """add.s64 %rd3, %rd1, %rd0; mov.u64 %rd4, s; add.s64 %rd5, %rd4, %rd0; cp.async.ca.shared.global [%rd5], [%rd3], 4; cp.async.commit_group;
cp.async.ca.shared.global [%rd5+256], [%rd3], 4; cp.async.commit_group; WAIT ld.shared.f32 %r5, [%rd5]; ld.shared.f32 %r6, [%rd5+256];
mul.wide.u32 %rd6, %r1, 8; add.s64 %rd7, %rd2, %rd6; st.global.v2.f32 [%rd7], {%r5, %r6};"""


@pytest.mark.parametrize(("wait", "first", "second"), [("", False, False), ("cp.async.wait_group 1;", True, False), ("cp.async.wait_group 0;", True, True),
                                                       ("cp.async.wait_all;", True, True)])  # fmt: skip
def test_asynchronous_copies_arrive_with_the_wait(wait: str, first: bool, second: bool) -> None:
    x = RNG.standard_normal(64).astype(np.float32)
    text = ptx_module(COPY.replace("WAIT", wait), params=2, variables=".shared .align 16 .b8 s[512];")
    found = run_ptx(text, (1,), (64,), [x, np.zeros((64, 2), np.float32)])[1]
    for column, there in enumerate((first, second)):
        np.testing.assert_array_equal(found[:, column], x if there else np.full(64, np.nan))


def test_asynchronous_copy_fills_with_zeros() -> None:
    x = RNG.standard_normal((32, 4)).astype(np.float32)
    body = """mul.wide.u32 %rd3, %r1, 16; add.s64 %rd4, %rd1, %rd3; mov.u64 %rd5, s; add.s64 %rd5, %rd5, %rd3; rem.u32 %r5, %r1, 5; shl.b32 %r5, %r5, 2;
    setp.eq.u32 %p1, %r5, 0; selp.b64 %rd4, 0, %rd4, %p1; cp.async.cg.shared.global [%rd5], [%rd4], 16, %r5; cp.async.wait_all;
    ld.shared.v4.f32 {%r10, %r11, %r12, %r13}, [%rd5]; add.s64 %rd6, %rd2, %rd3; st.global.v4.f32 [%rd6], {%r10, %r11, %r12, %r13};"""
    found = run_ptx(ptx_module(body, params=2, variables=".shared .align 16 .b8 s[512];"), (1,), (32,), [x, np.full_like(x, np.nan)])[1]
    np.testing.assert_array_equal(found, np.where(np.arange(4)[None, :] < (np.arange(32) % 5)[:, None], x, 0))


# -- barriers of some threads


def test_named_barriers() -> None:
    # Warp 1 waits for warp 0, which only arrives.
    body = """mov.u32 %r4, %tid.x; setp.ge.u32 %p1, %r4, 32; @%p1 bra C; st.shared.u32 [s], 77; barrier.cta.arrive 3, 64; bra OUT;
    C: barrier.cta.sync 3, 64; ld.shared.u32 %r5, [s]; add.s64 %rd2, %rd1, %rd0; st.global.u32 [%rd2], %r5; OUT:"""
    text = ptx_module(body, params=1, variables=".shared .align 4 .b8 s[4];")
    for serial in (False, True):
        found = run_ptx(text, (1,), (64,), [np.zeros(64, np.int32)], serial=serial)[0]
        np.testing.assert_array_equal(found, np.where(np.arange(64) < 32, 0, 77))


def test_barrier_with_a_reduction() -> None:
    body = """setp.gt.s32 %p1, %r1, 40; barrier.cta.red.popc.aligned.all.u32 %r5, 0, %p1; barrier.cta.red.or.aligned.all.pred %p2, 0, %p1;
    @%p2 add.s32 %r5, %r5, 100; add.s64 %rd2, %rd1, %rd0; st.global.u32 [%rd2], %r5;"""
    found = run_ptx(ptx_module(body, params=1), (2,), (32,), [np.zeros(64, np.int32)])[0]
    np.testing.assert_array_equal(found, np.repeat([0, 123], 32))


def test_a_barrier_that_never_completes() -> None:
    with pytest.raises(EmulationError, match="never completes"):
        run_ptx(ptx_module("setp.lt.u32 %p1, %r1, 32; @%p1 bra A; barrier.sync 2, 96; A:", params=1), (1,), (64,), [np.zeros(1, np.int32)])

"""Loads, stores, state spaces, parameters, calls and atomics of PTX."""

from __future__ import annotations

import numpy as np
import pytest

from tests.emulators.support import PTX_HEAD, assembly, map_ptx, ptx_module, run_ptx

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("kind", ["u8", "s8", "u16", "s16", "b32", "b64", "f32", "f64"])
def test_widths(kind: str) -> None:
    bits = int(kind[1:])
    wide = 64 if bits == 64 else 32
    x = RNG.integers(0, 2**bits, 64, dtype=f"uint{bits}")
    register = "%rd5" if wide == 64 else "%r5"
    body = f"""mul.wide.u32 %rd3, %r1, {bits // 8}; add.s64 %rd4, %rd1, %rd3; ld.global.{kind} {register}, [%rd4];
    mul.wide.u32 %rd3, %r1, {wide // 8}; add.s64 %rd4, %rd2, %rd3; st.global.b{wide} [%rd4], {register};"""
    found = run_ptx(ptx_module(body, params=2), (1,), (64,), [x, np.zeros(64, f"uint{wide}")])[1]
    signed = x.view(f"int{bits}").astype(f"int{wide}").view(f"uint{wide}") if kind[0] == "s" else x.astype(f"uint{wide}")
    np.testing.assert_array_equal(found, signed)
    body = f"mul.wide.u32 %rd3, %r1, {bits // 8}; add.s64 %rd4, %rd1, %rd3; mov.b{wide} {register}, -1; st.global.{kind} [%rd4], {register};"
    back = run_ptx(ptx_module(body, params=1), (1,), (64,), [x])[0]
    np.testing.assert_array_equal(back, np.full(64, 2**bits - 1, f"uint{bits}"))


@pytest.mark.parametrize(("count", "bits"), [(2, 8), (4, 8), (2, 16), (4, 16), (2, 32), (4, 32), (2, 64)])
@pytest.mark.parametrize("n", [1, 33, 64])
def test_vectors(count: int, bits: int, n: int) -> None:
    x = RNG.integers(0, 2**bits, (64, count), dtype=f"uint{bits}")
    letter = "%rd" if bits == 64 else "%r" if bits == 32 else "%rs"
    names = [f"{letter}{10 + i}" for i in range(count)]
    size = count * bits // 8
    body = f"""setp.ge.u32 %p1, %r1, {n}; @%p1 bra OUT; mul.wide.u32 %rd3, %r1, {size}; add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3;
    ld.global.nc.v{count}.b{bits} {{{", ".join(names)}}}, [%rd4]; st.global.v{count}.b{bits} [%rd5], {{{", ".join(names[::-1])}}}; OUT:"""
    found = run_ptx(ptx_module(body, params=2), (1,), (64,), [x, np.zeros_like(x)])[1]
    np.testing.assert_array_equal(found[:n], x[:n, ::-1])
    assert not found[n:].any()


def test_generic_addresses_of_three_spaces() -> None:
    # By thread: shared, local or global memory through one generic load.
    body = """.local .align 4 .b8 l[8]; mov.u64 %rd10, l; mov.u32 %r10, 500; st.local.u32 [%rd10+4], %r10; cvta.local.u64 %rd11, %rd10; add.s64 %rd11, %rd11, 4;
    mov.u64 %rd12, s; add.s64 %rd12, %rd12, %rd0; add.s32 %r11, %r1, 100; st.shared.u32 [%rd12], %r11; cvta.shared.u64 %rd13, %rd12;
    cvta.to.global.u64 %rd14, %rd1; add.s64 %rd14, %rd14, %rd0; rem.u32 %r12, %r1, 3; setp.eq.u32 %p1, %r12, 1; setp.eq.u32 %p2, %r12, 2;
    selp.b64 %rd15, %rd13, %rd11, %p1; selp.b64 %rd15, %rd14, %rd15, %p2; ld.u32 %r13, [%rd15]; isspacep.shared %p3, %rd15; @%p3 add.s32 %r13, %r13, 1000;
    add.s32 %r13, %r13, 1; st.u32 [%rd15], %r13; ld.u32 %r14, [%rd15]; add.s64 %rd16, %rd2, %rd0; st.global.u32 [%rd16], %r14;"""
    x = RNG.integers(0, 100, 64).astype(np.int32)
    text = ptx_module(body, params=2, variables=".shared .align 16 .b8 s[256];")
    found = run_ptx(text, (1,), (64,), [x, np.zeros(64, np.int32)])[1]
    t = np.arange(64)
    np.testing.assert_array_equal(found, np.select([t % 3 == 1, t % 3 == 2], [t + 1101, x + 1], 501))


def test_constants_globals_and_dynamic_shared_memory() -> None:
    variables = """.const .align 4 .b32 table[4] = {10, 20, 0f3F800000, -1};
    .global .align 8 .u64 counter = 7;
    .extern .shared .align 16 .b8 dynamic[];
    .shared .align 4 .b8 fixed[12];"""
    body = """and.b32 %r5, %r1, 3; mul.wide.u32 %rd3, %r5, 4; mov.u64 %rd4, table; add.s64 %rd4, %rd4, %rd3; ld.const.u32 %r6, [%rd4];
    mov.u64 %rd5, dynamic; add.s64 %rd6, %rd5, %rd0; st.shared.u32 [%rd6], %r6; bar.sync 0; sub.s64 %rd7, %rd5, %rd0; ld.shared.u32 %r7, [%rd7+252];
    ld.global.u64 %rd8, [counter]; cvt.u32.u64 %r8, %rd8; add.s32 %r7, %r7, %r8; add.s64 %rd9, %rd1, %rd0; st.global.u32 [%rd9], %r7;
    mov.u64 %rd10, fixed; cvt.u32.u64 %r9, %rd5; cvt.u32.u64 %r10, %rd10; setp.ne.u32 %p1, %r9, 16; @%p1 trap;"""
    found = run_ptx(ptx_module(body, params=1, variables=variables), (1,), (64,), [np.zeros(64, np.int32)], shared=256)[0]
    table = np.array([10, 20, 0x3F800000, -1], np.int32)
    np.testing.assert_array_equal(found, table[3 - np.arange(64) % 4] + 7)


def test_shared_memory_starts_as_poison() -> None:
    text = ptx_module("ld.shared.f32 %r5, [s]; st.global.f32 [%rd1], %r5;", params=1, variables=".shared .align 4 .b8 s[4];")
    assert np.isnan(run_ptx(text, (1,), (1,), [np.zeros(1, np.float32)])[0][0])


def test_parameters_of_all_sizes() -> None:
    ir = """
    define ptx_kernel void @k(ptr addrspace(1) %out, i8 %a, i16 %b, i32 %c, i64 %d, float %e, double %f, half %g, ptr byval([3 x i32]) align 4 %h) {
      %p1 = getelementptr i64, ptr addrspace(1) %out, i64 1
      %p2 = getelementptr i64, ptr addrspace(1) %out, i64 2
      %a1 = zext i8 %a to i64
      %b1 = zext i16 %b to i64
      %c1 = zext i32 %c to i64
      %s1 = add i64 %a1, %b1
      %s2 = add i64 %c1, %d
      %s3 = add i64 %s1, %s2
      store i64 %s3, ptr addrspace(1) %out
      %e1 = fpext float %e to double
      %g1 = fpext half %g to double
      %t1 = fadd double %e1, %f
      %t2 = fadd double %t1, %g1
      store double %t2, ptr addrspace(1) %p1
      %q = getelementptr i32, ptr %h, i64 2
      %h1 = load i32, ptr %q
      %h2 = zext i32 %h1 to i64
      store i64 %h2, ptr addrspace(1) %p2
      ret void
    }"""
    text = assembly(PTX_HEAD + ir, "nvptx64-nvidia-cuda", "sm_90a")
    arguments = [np.zeros(3, np.int64), 200, 60000, 3_000_000_000, 10**15, np.float32(1.5), np.float64(2.25), np.float16(4), int.from_bytes(np.arange(5, 8, dtype=np.int32).tobytes(), "little")]
    found = run_ptx(text, (1,), (1,), arguments)[0]
    assert found[0] == 200 + 60000 + 3_000_000_000 + 10**15
    assert found[1:2].view(np.float64)[0] == 7.75
    assert found[2] == 7


@pytest.mark.parametrize("opt", [0, 3])
def test_calls_and_local_arrays(opt: int) -> None:
    ir = """
    define internal float @pick(float %x, i32 %n) noinline {
      %a = alloca [8 x float]
      %c = icmp sgt i32 %n, 3
      br i1 %c, label %A, label %B
    A:
      %i = and i32 %n, 7
      %p = getelementptr float, ptr %a, i32 %i
      store volatile float %x, ptr %p
      %v = load volatile float, ptr %p
      ret float %v
    B:
      %r = fmul float %x, 3.0
      ret float %r
    }
    define internal {i32, <4 x float>} @two(<4 x float> %x, i32 %n) noinline {
      %f = extractelement <4 x float> %x, i32 2
      %g = call float @pick(float %f, i32 %n)
      %y = insertelement <4 x float> %x, float %g, i32 1
      %m = mul i32 %n, 5
      %o = insertvalue {i32, <4 x float>} undef, i32 %m, 0
      %q = insertvalue {i32, <4 x float>} %o, <4 x float> %y, 1
      ret {i32, <4 x float>} %q
    }
    define ptx_kernel void @k(ptr addrspace(1) %X, ptr addrspace(1) %Y) {
      %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %p = getelementptr <4 x float>, ptr addrspace(1) %X, i32 %t
      %x = load <4 x float>, ptr addrspace(1) %p, align 16
      %n = urem i32 %t, 7
      %r = call {i32, <4 x float>} @two(<4 x float> %x, i32 %n)
      %m = extractvalue {i32, <4 x float>} %r, 0
      %y = extractvalue {i32, <4 x float>} %r, 1
      %mf = sitofp i32 %m to float
      %z = insertelement <4 x float> %y, float %mf, i32 0
      %e = extractelement <4 x float> %y, i32 1
      %w = call float @pick(float %e, i32 2)
      %u = insertelement <4 x float> %z, float %w, i32 3
      %q = getelementptr <4 x float>, ptr addrspace(1) %Y, i32 %t
      store <4 x float> %u, ptr addrspace(1) %q, align 16
      ret void
    }"""
    x = RNG.standard_normal((64, 4)).astype(np.float32)
    found = run_ptx(assembly(PTX_HEAD + ir, "nvptx64-nvidia-cuda", "sm_90a", opt=opt), (1,), (64,), [x, np.zeros_like(x)])[1]
    n = np.arange(64) % 7
    one = np.where(n > 3, x[:, 2], x[:, 2] * np.float32(3))
    np.testing.assert_array_equal(found, np.stack([n * 5, one, x[:, 2], one * np.float32(3)], 1).astype(np.float32))


def test_values_that_the_compiler_calls_undefined() -> None:
    ir = """
    define ptx_kernel void @k(ptr addrspace(1) %Y) {
      %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %c = icmp ult i32 %t, 10
      br i1 %c, label %a, label %b
    a:
      %v = mul i32 %t, 3
      br label %b
    b:
      %w = phi i32 [undef, %0], [%v, %a]
      %q = getelementptr i32, ptr addrspace(1) %Y, i32 %t
      br i1 %c, label %s, label %o
    s:
      store volatile i32 %w, ptr addrspace(1) %q
      br label %o
    o:
      ret void
    }"""
    found = run_ptx(assembly(PTX_HEAD + ir, "nvptx64-nvidia-cuda", "sm_90a", opt=0), (1,), (32,), [np.zeros(32, np.int32)])[0]
    np.testing.assert_array_equal(found[:10], np.arange(10) * 3)


def test_branch_tables() -> None:
    body = """rem.u32 %r5, %r1, 3; T: .branchtargets A, B, C; brx.idx %r5, T; A: mov.u32 %r6, 11; bra D; B: mov.u32 %r6, 22; bra D; C: mov.u32 %r6, 33;
    D: add.s64 %rd2, %rd1, %rd0; st.global.u32 [%rd2], %r6;"""
    found = run_ptx(ptx_module(body, params=1), (1,), (64,), [np.zeros(64, np.int32)])[0]
    np.testing.assert_array_equal(found, np.array([11, 22, 33])[np.arange(64) % 3])


def test_loops_of_different_lengths() -> None:
    x = RNG.integers(0, 30, 200).astype(np.int32)
    body = """mov.u32 %r5, 0; mov.u32 %r6, 0; L: setp.ge.s32 %p1, %r5, %a; @%p1 bra E; add.s32 %r5, %r5, 1; and.b32 %r7, %r5, 1; setp.eq.s32 %p2, %r7, 0;
    @%p2 bra L; add.s32 %r6, %r6, %r5; bra L; E: mov.u32 %d, %r6;"""
    np.testing.assert_array_equal(map_ptx(body, "int32", x), [sum(range(1, v + 1, 2)) for v in x])


# -- atomics

OPERATIONS = {"add": np.add, "min": np.minimum, "max": np.maximum, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}


@pytest.mark.parametrize("space", ["global", "shared", ""])
@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("name", list(OPERATIONS))
def test_integer_atomics(name: str, kind: str, space: str) -> None:
    dtype = ("uint" if kind[0] == "u" else "int") + kind[1:]
    bits, size = kind[1:], int(kind[1:]) // 8
    x = RNG.integers(0, 2 ** int(bits), 128, dtype=f"uint{bits}").view(dtype)
    cells = RNG.integers(0, 2 ** int(bits), 5, dtype=f"uint{bits}").view(dtype)
    register = "%rd9" if bits == "64" else "%r9"
    opcode = f"{name}.b{bits}" if name in ("and", "or", "xor") else f"{name}.{kind}"
    target = {"global": "add.s64 %rd6, %rd2, %rd4;", "": "add.s64 %rd6, %rd2, %rd4;", "shared": "mov.u64 %rd6, s; add.s64 %rd6, %rd6, %rd4;"}[space]
    dot = f".{space}" if space else ""
    copy_in = f"""setp.ge.u32 %p1, %r1, 5; @%p1 bra IN; mul.wide.u32 %rd10, %r1, {size}; add.s64 %rd11, %rd2, %rd10; ld.global.b{bits} {register}, [%rd11];
    mov.u64 %rd12, s; add.s64 %rd12, %rd12, %rd10; st.shared.b{bits} [%rd12], {register}; IN: bar.sync 0;"""
    copy_out = f"""bar.sync 0; @%p1 bra OUT; ld.shared.b{bits} {register}, [%rd12]; st.global.b{bits} [%rd11], {register}; OUT:"""
    body = f"""{copy_in if space == "shared" else ""} mul.wide.u32 %rd3, %r1, {size}; add.s64 %rd3, %rd1, %rd3; rem.u32 %r5, %r1, 5; mul.wide.u32 %rd4, %r5, {size};
    {target} ld.global.b{bits} {register}, [%rd3]; atom.relaxed.gpu{dot}.{opcode} {register}, [%rd6], {register}; {copy_out if space == "shared" else ""}"""
    found = run_ptx(ptx_module(body, params=2, variables=".shared .align 16 .b8 s[64];"), (1,), (128,), [x, cells])[1]
    expected = cells.copy()
    for i in range(x.size):
        expected[i % 5] = OPERATIONS[name](expected[i % 5 : i % 5 + 1], x[i : i + 1])[0]
    np.testing.assert_array_equal(found, expected)


def test_float_atomics_and_exchange() -> None:
    x = RNG.standard_normal(64).astype(np.float32)
    body = """add.s64 %rd3, %rd1, %rd0; ld.global.f32 %r5, [%rd3]; red.global.add.f32 [%rd2], %r5; atom.global.exch.b32 %r6, [%rd2+4], %r1; st.global.u32 [%rd3], %r6;
    atom.global.inc.u32 %r7, [%rd2+8], 6; atom.global.dec.u32 %r7, [%rd2+12], 4;"""
    found, cells = run_ptx(ptx_module(body, params=2), (1,), (64,), [x, np.array([0, 0, 0, 0], np.float32)])
    total = np.float32(0)
    for value in x:
        total += value
    assert cells[0] == total
    np.testing.assert_array_equal(found.view(np.int32), np.r_[0, np.arange(63)])
    down = 0
    for _ in range(64):
        down = 4 if down == 0 or down > 4 else down - 1
    assert list(cells.view(np.int32)[2:]) == [64 % 7, down]


def test_compare_and_swap_loops() -> None:
    x = RNG.standard_normal(96).astype(np.float32)
    body = """add.s64 %rd3, %rd1, %rd0; ld.global.f32 %r5, [%rd3]; ld.global.b32 %r6, [%rd2]; L: max.f32 %r7, %r6, %r5; atom.relaxed.gpu.global.cas.b32 %r8, [%rd2], %r6, %r7;
    setp.ne.b32 %p1, %r8, %r6; mov.b32 %r6, %r8; @%p1 bra L;"""
    found = run_ptx(ptx_module(body, params=2), (3,), (32,), [x, np.array([-9], np.float32)])[1]
    assert found[0] == x.max()

"""Memory, registers and arguments of AMDGCN: widths, LDS, scratch, calls, constants, atomics, ids."""

from __future__ import annotations

import numpy as np
import pytest

from tests.emulators.kernels import GCN_ATTRIBUTES
from tests.emulators.support import GCN, gcn, run_gcn

RNG = np.random.default_rng(3)


def kernel(body: str, arguments: str, head: str = "", attributes: str = GCN_ATTRIBUTES) -> str:
    return f"{head}\ndefine amdgpu_kernel void @k({arguments}) {attributes} {{\nentry:\n%t = call i32 @llvm.amdgcn.workitem.id.x()\n%b = call i32 @llvm.amdgcn.workgroup.id.x()\n{body}\n}}"


def both(cpu: str, ir: str, *arguments: object, grid: int = 1, block: int = 64, shared: int = 0) -> list[np.ndarray]:
    """In step and one wave at a time: the same results."""
    text = gcn(ir, cpu)
    one, two = (run_gcn(text, (grid,), (block,), list(arguments), shared, serial=serial) for serial in (False, True))
    for a, b in zip(one, two):
        np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))
    return one


@pytest.mark.parametrize("cpu", GCN)
@pytest.mark.parametrize(("bits", "count"), [(8, 1), (8, 2), (8, 4), (8, 8), (16, 1), (16, 2), (16, 3), (16, 4), (16, 8), (32, 1), (32, 2), (32, 3),
                                             (32, 4), (64, 1), (64, 2)])  # fmt: skip
@pytest.mark.parametrize("n", [1, 33, 64])
def test_widths_of_global_and_shared_memory(cpu: str, bits: int, count: int, n: int) -> None:
    t = f"i{bits}" if count == 1 else f"<{count} x i{bits}>"
    size = bits * count // 8
    align = 1 << ((size & -size).bit_length() - 1)
    x = RNG.integers(0, 2**bits, (64, count), dtype=f"uint{bits}")
    head = f"@s = internal addrspace(3) global [{64 * size} x i8] undef, align 16"
    body = f"""
%c = icmp ult i32 %t, {n}
br i1 %c, label %go, label %join
go:
%at = mul i32 %t, {size}
%p = getelementptr i8, ptr addrspace(1) %X, i32 %at
%v = load {t}, ptr addrspace(1) %p, align {align}
%sp = getelementptr i8, ptr addrspace(3) @s, i32 %at
store {t} %v, ptr addrspace(3) %sp, align {align}
br label %join
join:
call void @llvm.amdgcn.s.barrier()
br i1 %c, label %last, label %out
last:
%rev = sub i32 {n - 1}, %t
%rat = mul i32 %rev, {size}
%rp = getelementptr i8, ptr addrspace(3) @s, i32 %rat
%w = load {t}, ptr addrspace(3) %rp, align {align}
%oat = mul i32 %t, {size}
%q = getelementptr i8, ptr addrspace(1) %Y, i32 %oat
store {t} %w, ptr addrspace(1) %q, align {align}
br label %out
out:
ret void"""
    found = both(cpu, kernel(body, "ptr addrspace(1) noalias %X, ptr addrspace(1) noalias %Y", head), x, np.zeros_like(x))[1]
    np.testing.assert_array_equal(found[:n], x[:n][::-1])
    assert not found[n:].any()


@pytest.mark.parametrize("cpu", GCN)
def test_two_addresses_in_one_instruction(cpu: str) -> None:
    body = """
%p = getelementptr float, ptr addrspace(1) %X, i32 %t
%v = load float, ptr addrspace(1) %p
%w = fadd float %v, 1.0
%s0 = getelementptr float, ptr addrspace(3) @s, i32 %t
%s1 = getelementptr float, ptr addrspace(3) %s0, i32 64
%s2 = getelementptr float, ptr addrspace(3) %s0, i32 128
store float %v, ptr addrspace(3) %s0
store float %w, ptr addrspace(3) %s1
store float %v, ptr addrspace(3) %s2
call void @llvm.amdgcn.s.barrier()
%o = xor i32 %t, 1
%r0 = getelementptr float, ptr addrspace(3) @s, i32 %o
%r1 = getelementptr float, ptr addrspace(3) %r0, i32 64
%r2 = getelementptr float, ptr addrspace(3) %r0, i32 128
%a = load float, ptr addrspace(3) %r0
%c = load float, ptr addrspace(3) %r1
%d = load float, ptr addrspace(3) %r2
%e = fadd float %a, %c
%f = fadd float %e, %d
%q = getelementptr float, ptr addrspace(1) %Y, i32 %t
store float %f, ptr addrspace(1) %q
ret void"""
    x = RNG.standard_normal(64).astype(np.float32)
    head = "@s = internal addrspace(3) global [192 x float] undef, align 16"
    found = both(cpu, kernel(body, "ptr addrspace(1) noalias %X, ptr addrspace(1) noalias %Y", head), x, np.zeros_like(x))[1]
    other = x.reshape(-1, 2)[:, ::-1].reshape(-1)
    np.testing.assert_array_equal(found, (other + (other + np.float32(1))) + other)


@pytest.mark.parametrize("cpu", GCN)
@pytest.mark.parametrize("opt", [0, 3])
def test_arrays_of_a_thread(cpu: str, opt: int) -> None:
    body = """
%a = alloca [16 x i32], align 4, addrspace(5)
br label %fill
fill:
%i = phi i32 [0, %entry], [%i1, %fill]
%v = mul i32 %i, %t
%p = getelementptr [16 x i32], ptr addrspace(5) %a, i32 0, i32 %i
store volatile i32 %v, ptr addrspace(5) %p
%i1 = add i32 %i, 1
%c = icmp ult i32 %i1, 16
br i1 %c, label %fill, label %read
read:
%x = and i32 %t, 15
%q = getelementptr [16 x i32], ptr addrspace(5) %a, i32 0, i32 %x
%w = load volatile i32, ptr addrspace(5) %q
%o = getelementptr i32, ptr addrspace(1) %Y, i32 %t
store i32 %w, ptr addrspace(1) %o
ret void"""
    text = gcn(kernel(body, "ptr addrspace(1) noalias %Y"), cpu, opt)
    found = run_gcn(text, (1,), (96,), [np.zeros(96, np.int32)])[0]
    np.testing.assert_array_equal(found, np.arange(96) * (np.arange(96) % 16))


@pytest.mark.parametrize("cpu", GCN)
def test_calls_and_constants(cpu: str) -> None:
    head = """
@table = internal addrspace(4) constant [4 x float] [float 1.0, float 2.5, float 3.0, float -4.0], align 4
@bytes = internal addrspace(4) constant [8 x i8] c"\\01\\02abc\\FF\\22\\5C", align 1
define internal float @pick(float %x, i32 %n) noinline {
  %c = icmp sgt i32 %n, 3
  br i1 %c, label %A, label %B
A:
  %i = and i32 %n, 3
  %p = getelementptr [4 x float], ptr addrspace(4) @table, i32 0, i32 %i
  %v = load float, ptr addrspace(4) %p
  %m = fmul float %v, %x
  ret float %m
B:
  %r = fmul float %x, 3.0
  ret float %r
}"""
    body = """
%p = getelementptr float, ptr addrspace(1) %X, i32 %t
%x = load float, ptr addrspace(1) %p
%n = urem i32 %t, 11
%y = call float @pick(float %x, i32 %n)
%k = and i32 %t, 7
%bp = getelementptr i8, ptr addrspace(4) @bytes, i32 %k
%by = load i8, ptr addrspace(4) %bp
%bf = uitofp i8 %by to float
%z = fadd float %y, %bf
%q = getelementptr float, ptr addrspace(1) %Y, i32 %t
store float %z, ptr addrspace(1) %q
ret void"""
    x = RNG.standard_normal(128).astype(np.float32)
    found = both(cpu, kernel(body, "ptr addrspace(1) noalias %X, ptr addrspace(1) noalias %Y", head), x, np.zeros_like(x), block=128)[1]
    n = np.arange(128) % 11
    table = np.array([1, 2.5, 3, -4], np.float32)
    picked = np.where(n > 3, table[n % 4] * x, x * np.float32(3))
    data = np.frombuffer(b'\x01\x02abc\xff"\\', np.uint8)[np.arange(128) % 8]
    np.testing.assert_array_equal(found, picked + data.astype(np.float32))


@pytest.mark.parametrize("cpu", GCN)
def test_generic_addresses(cpu: str) -> None:
    head = "@s = internal addrspace(3) global [64 x i32] undef, align 16"
    body = """
%sp = getelementptr i32, ptr addrspace(3) @s, i32 %t
%h = add i32 %t, 100
store volatile i32 %h, ptr addrspace(3) %sp
%sg = addrspacecast ptr addrspace(3) %sp to ptr
%gp = getelementptr i32, ptr addrspace(1) %X, i32 %t
%gg = addrspacecast ptr addrspace(1) %gp to ptr
%r = urem i32 %t, 3
%c = icmp eq i32 %r, 1
%f = select i1 %c, ptr %sg, ptr %gg
%v = load i32, ptr %f
%w = add i32 %v, 1
store i32 %w, ptr %f
%o = load volatile i32, ptr addrspace(3) %sp
%q = getelementptr i32, ptr addrspace(1) %Y, i32 %t
store i32 %o, ptr addrspace(1) %q
ret void"""
    x = RNG.integers(0, 50, 64).astype(np.int32)
    attributes = GCN_ATTRIBUTES.replace('"amdgpu-no-queue-ptr" ', "").replace('"amdgpu-no-implicitarg-ptr" ', "").replace('"amdgpu-no-flat-scratch-init"', "")
    first, found = both(cpu, kernel(body, "ptr addrspace(1) %X, ptr addrspace(1) %Y", head, attributes), x, np.zeros_like(x))
    t = np.arange(64)
    np.testing.assert_array_equal(found, t + 100 + (t % 3 == 1))
    np.testing.assert_array_equal(first, x + (t % 3 != 1))


@pytest.mark.parametrize("cpu", GCN)
def test_ids_of_three_dimensions_and_hidden_arguments(cpu: str) -> None:
    head = "\n".join(f"declare i32 @llvm.amdgcn.{name}.id.{axis}()" for name in ("workitem", "workgroup") for axis in "yz") + """
declare ptr addrspace(4) @llvm.amdgcn.implicitarg.ptr()"""
    body = """
%ty = call i32 @llvm.amdgcn.workitem.id.y()
%tz = call i32 @llvm.amdgcn.workitem.id.z()
%by = call i32 @llvm.amdgcn.workgroup.id.y()
%bz = call i32 @llvm.amdgcn.workgroup.id.z()
%h = call ptr addrspace(4) @llvm.amdgcn.implicitarg.ptr()
%gx = load i32, ptr addrspace(4) %h
%gyp = getelementptr i32, ptr addrspace(4) %h, i32 1
%gy = load i32, ptr addrspace(4) %gyp
%sxp = getelementptr i16, ptr addrspace(4) %h, i32 6
%sx16 = load i16, ptr addrspace(4) %sxp
%sx = zext i16 %sx16 to i32
%a = mul i32 %bz, %gy
%a1 = add i32 %a, %by
%a2 = mul i32 %a1, %gx
%a3 = add i32 %a2, %b
%l = mul i32 %tz, 3
%l1 = add i32 %l, %ty
%l2 = mul i32 %l1, %sx
%l3 = add i32 %l2, %t
%m = mul i32 %a3, 30
%i = add i32 %m, %l3
%q = getelementptr i32, ptr addrspace(1) %Y, i32 %i
store i32 %i, ptr addrspace(1) %q
ret void"""
    attributes = '"amdgpu-flat-work-group-size"="1,256"'
    text = gcn(kernel(body, "ptr addrspace(1) %Y", head, attributes), cpu)
    found = run_gcn(text, (2, 3, 4), (5, 3, 2), [np.full(24 * 30, -1, np.int32)])[0]
    np.testing.assert_array_equal(found, np.arange(24 * 30))


# -- atomics


@pytest.mark.parametrize("cpu", GCN)
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("space", [1, 3])
def test_integer_atomics(cpu: str, bits: int, space: int) -> None:
    names = {"add": np.add, "sub": np.subtract, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "max": np.maximum, "min": np.minimum,
             "umax": np.maximum, "umin": np.minimum, "xchg": None}  # fmt: skip
    t = f"i{bits}"
    x = RNG.integers(0, 2**bits, 128, dtype=f"uint{bits}")
    cells = RNG.integers(0, 2**bits, (len(names), 4), dtype=f"uint{bits}")
    lines = [f"%p = getelementptr {t}, ptr addrspace(1) %X, i32 %t\n%x = load {t}, ptr addrspace(1) %p\n%c = and i32 %t, 3"]
    base = "%C" if space == 1 else "@s"
    own = f"%first = icmp ult i32 %t, {len(names) * 4}\nbr i1 %first, label %in, label %j\nin:\n%cp = getelementptr {t}, ptr addrspace(1) %C, i32 %t\n"
    own += f"%cv = load {t}, ptr addrspace(1) %cp\n%sp = getelementptr {t}, ptr addrspace(3) @s, i32 %t\nstore {t} %cv, ptr addrspace(3) %sp\nbr label %j\nj:\n"
    lines.append((own if space == 3 else "") + "call void @llvm.amdgcn.s.barrier()")
    for i, name in enumerate(names):
        lines.append(f"%at{i} = add i32 %c, {4 * i}\n%q{i} = getelementptr {t}, ptr addrspace({space}) {base}, i32 %at{i}")
        lines.append(f'%o{i} = atomicrmw {name} ptr addrspace({space}) %q{i}, {t} %x syncscope("agent") monotonic')
    lines.append("call void @llvm.amdgcn.s.barrier()")
    if space == 3:
        lines.append(f"br i1 %first, label %back, label %end\nback:\n%rp = getelementptr {t}, ptr addrspace(3) @s, i32 %t\n%rv = load {t}, ptr addrspace(3) %rp")
        lines.append(f"%dp = getelementptr {t}, ptr addrspace(1) %C, i32 %t\nstore {t} %rv, ptr addrspace(1) %dp\nbr label %end\nend:")
    # The old value of the last one is used, so that the form with a result is there too.
    lines.append(f"store {t} %o{len(names) - 1}, ptr addrspace(1) %p\nret void")
    head = f"@s = internal addrspace(3) global [{4 * len(names)} x {t}] undef, align 16"
    text = gcn(kernel("\n".join(lines), "ptr addrspace(1) noalias %X, ptr addrspace(1) noalias %C", head), cpu)
    found = run_gcn(text, (1,), (128,), [x, cells])[1]
    expected = cells.copy()
    for i, (name, operation) in enumerate(names.items()):
        view = expected[i].view(f"int{bits}") if name in ("max", "min") else expected[i]
        for j, value in enumerate(x.view(view.dtype)):
            view[j % 4] = value if operation is None else operation(view[j % 4 : j % 4 + 1], np.array([value]))[0]
    np.testing.assert_array_equal(found[:-1], expected[:-1])
    for column in range(4):  # an exchange leaves one of the values
        assert found[-1, column] in x[column::4]


@pytest.mark.parametrize("cpu", GCN)
def test_float_atomics_and_compare_and_swap(cpu: str) -> None:
    head = "@s = internal addrspace(3) global [1 x float] undef, align 4\n!1 = !{}"
    body = """
%p = getelementptr float, ptr addrspace(1) %X, i32 %t
%x = load float, ptr addrspace(1) %p
%a = atomicrmw fadd ptr addrspace(1) %C, float %x syncscope("agent") monotonic, !amdgpu.no.fine.grained.memory !1, !amdgpu.no.remote.memory !1
%m = getelementptr float, ptr addrspace(1) %C, i32 1
%b1 = atomicrmw fmax ptr addrspace(1) %m, float %x syncscope("agent") monotonic, !amdgpu.no.fine.grained.memory !1
%w = getelementptr float, ptr addrspace(1) %C, i32 2
%ti = add i32 %t, 1
%o = cmpxchg ptr addrspace(1) %w, i32 0, i32 %ti syncscope("agent") monotonic monotonic
%d = getelementptr float, ptr addrspace(1) %C, i32 4
%do = cmpxchg ptr addrspace(1) %d, i64 5, i64 77 syncscope("agent") acq_rel monotonic
%first = icmp eq i32 %t, 0
br i1 %first, label %init, label %go
init:
store float 0.0, ptr addrspace(3) @s
br label %go
go:
call void @llvm.amdgcn.s.barrier()
%sa = atomicrmw fadd ptr addrspace(3) @s, float %x syncscope("workgroup") monotonic
call void @llvm.amdgcn.s.barrier()
br i1 %first, label %last, label %out
last:
%r = load float, ptr addrspace(3) @s
%rp = getelementptr float, ptr addrspace(1) %C, i32 3
store float %r, ptr addrspace(1) %rp
br label %out
out:
ret void"""
    x = RNG.standard_normal(128).astype(np.float32)
    cells = np.zeros(6, np.float32)
    cells[4:].view(np.int64)[0] = 5
    found = run_gcn(gcn(kernel(body, "ptr addrspace(1) %X, ptr addrspace(1) %C", head), cpu), (1,), (128,), [x, cells])[1]
    np.testing.assert_allclose(found[[0, 3]], x.astype(np.float64).sum(), atol=1e-4)
    assert found[1] == max(x.max(), 0)
    assert found[2:3].view(np.int32)[0] in range(1, 129)
    assert found[4:].view(np.int64)[0] == 77

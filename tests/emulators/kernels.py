"""Kernels in LLVM text for the tests of both interpreters: `{tid}`, `{bid}`, `{barrier}`, `{kernel}`, `{as}` differ by target."""

MATMUL = """
@a_tile = internal addrspace(3) global [256 x float] undef, align 16
@b_tile = internal addrspace(3) global [256 x float] undef, align 16
declare float @llvm.fma.f32(float, float, float)
define {kernel} void @k(ptr addrspace(1) noalias align 16 %A, ptr addrspace(1) noalias align 16 %B, ptr addrspace(1) noalias align 16 %C, i64 %N, i64 %K) {attributes} {{
entry:
  %t32 = call i32 @{tid}()
  %b32 = call i32 @{bid}()
  %t = zext i32 %t32 to i64
  %b = zext i32 %b32 to i64
  %tx = and i64 %t, 15
  %ty = lshr i64 %t, 4
  %nb = udiv i64 %N, 16
  %by = udiv i64 %b, %nb
  %bx = urem i64 %b, %nb
  %row0 = mul i64 %by, 16
  %col0 = mul i64 %bx, 16
  %row = add i64 %row0, %ty
  %col = add i64 %col0, %tx
  %as = getelementptr float, ptr addrspace(3) @a_tile, i64 %t
  %bs = getelementptr float, ptr addrspace(3) @b_tile, i64 %t
  %ay = shl i64 %ty, 4
  br label %outer
outer:
  %k0 = phi i64 [0, %entry], [%k1, %done]
  %acc = phi float [0.0, %entry], [%sum, %done]
  %ak = add i64 %k0, %tx
  %am = mul i64 %row, %K
  %ai = add i64 %am, %ak
  %ap = getelementptr float, ptr addrspace(1) %A, i64 %ai
  %av = load float, ptr addrspace(1) %ap, align 4
  store float %av, ptr addrspace(3) %as, align 4
  %bk = add i64 %k0, %ty
  %bm = mul i64 %bk, %N
  %bi = add i64 %bm, %col
  %bp = getelementptr float, ptr addrspace(1) %B, i64 %bi
  %bv = load float, ptr addrspace(1) %bp, align 4
  store float %bv, ptr addrspace(3) %bs, align 4
  {barrier}
  br label %inner
inner:
  %j = phi i64 [0, %outer], [%j1, %inner]
  %part = phi float [%acc, %outer], [%sum, %inner]
  %xi = add i64 %ay, %j
  %xp = getelementptr float, ptr addrspace(3) @a_tile, i64 %xi
  %x = load float, ptr addrspace(3) %xp, align 4
  %yj = shl i64 %j, 4
  %yi = add i64 %yj, %tx
  %yp = getelementptr float, ptr addrspace(3) @b_tile, i64 %yi
  %y = load float, ptr addrspace(3) %yp, align 4
  %sum = call float @llvm.fma.f32(float %x, float %y, float %part)
  %j1 = add i64 %j, 1
  %more = icmp ult i64 %j1, 16
  br i1 %more, label %inner, label %done
done:
  {barrier}
  %k1 = add i64 %k0, 16
  %again = icmp ult i64 %k1, %K
  br i1 %again, label %outer, label %out
out:
  %cm = mul i64 %row, %N
  %ci = add i64 %cm, %col
  %cp = getelementptr float, ptr addrspace(1) %C, i64 %ci
  store float %sum, ptr addrspace(1) %cp, align 4
  ret void
}}
"""

# One block of 128 threads for each row: maximum, sum of exponentials, quotient; shuffles within subgroups are left to others.
SOFTMAX = """
@partial = internal addrspace(3) global [128 x float] undef, align 16
declare float @llvm.maxnum.f32(float, float)
declare float @llvm.exp2.f32(float)
define {kernel} void @k(ptr addrspace(1) noalias align 16 %X, ptr addrspace(1) noalias align 16 %Y, i64 %N) {attributes} {{
entry:
  %t32 = call i32 @{tid}()
  %b32 = call i32 @{bid}()
  %t = zext i32 %t32 to i64
  %b = zext i32 %b32 to i64
  %start = mul i64 %b, %N
  %x0 = getelementptr float, ptr addrspace(1) %X, i64 %start
  %y0 = getelementptr float, ptr addrspace(1) %Y, i64 %start
  %mine = getelementptr float, ptr addrspace(3) @partial, i64 %t
  br label %max
max:
  %i = phi i64 [%t, %entry], [%i1, %maxbody]
  %top = phi float [0xFFF0000000000000, %entry], [%top1, %maxbody]
  %c = icmp ult i64 %i, %N
  br i1 %c, label %maxbody, label %maxdone
maxbody:
  %xp = getelementptr float, ptr addrspace(1) %x0, i64 %i
  %x = load float, ptr addrspace(1) %xp, align 4
  %top1 = call float @llvm.maxnum.f32(float %top, float %x)
  %i1 = add i64 %i, 128
  br label %max
maxdone:
  store float %top, ptr addrspace(3) %mine, align 4
  {barrier}
  br label %mtree
mtree:
  %s = phi i64 [64, %maxdone], [%s1, %mnext]
  %in = icmp ult i64 %t, %s
  br i1 %in, label %mdo, label %mnext
mdo:
  %o = add i64 %t, %s
  %op = getelementptr float, ptr addrspace(3) @partial, i64 %o
  %ov = load float, ptr addrspace(3) %op, align 4
  %mv = load float, ptr addrspace(3) %mine, align 4
  %mm = call float @llvm.maxnum.f32(float %ov, float %mv)
  store float %mm, ptr addrspace(3) %mine, align 4
  br label %mnext
mnext:
  {barrier}
  %s1 = lshr i64 %s, 1
  %mc = icmp ne i64 %s1, 0
  br i1 %mc, label %mtree, label %msum
msum:
  %top2 = load float, ptr addrspace(3) @partial, align 16
  {barrier}
  br label %sum
sum:
  %k = phi i64 [%t, %msum], [%k1, %sumbody]
  %acc = phi float [0.0, %msum], [%acc1, %sumbody]
  %kc = icmp ult i64 %k, %N
  br i1 %kc, label %sumbody, label %sumdone
sumbody:
  %kp = getelementptr float, ptr addrspace(1) %x0, i64 %k
  %kv = load float, ptr addrspace(1) %kp, align 4
  %d = fsub float %kv, %top2
  %d2 = fmul float %d, 0x3FF7154760000000
  %e = call float @llvm.exp2.f32(float %d2)
  %yp = getelementptr float, ptr addrspace(1) %y0, i64 %k
  store float %e, ptr addrspace(1) %yp, align 4
  %acc1 = fadd float %acc, %e
  %k1 = add i64 %k, 128
  br label %sum
sumdone:
  store float %acc, ptr addrspace(3) %mine, align 4
  {barrier}
  br label %stree
stree:
  %r = phi i64 [64, %sumdone], [%r1, %snext]
  %rin = icmp ult i64 %t, %r
  br i1 %rin, label %sdo, label %snext
sdo:
  %so = add i64 %t, %r
  %sp = getelementptr float, ptr addrspace(3) @partial, i64 %so
  %sv = load float, ptr addrspace(3) %sp, align 4
  %sm = load float, ptr addrspace(3) %mine, align 4
  %ss = fadd float %sv, %sm
  store float %ss, ptr addrspace(3) %mine, align 4
  br label %snext
snext:
  {barrier}
  %r1 = lshr i64 %r, 1
  %rc = icmp ne i64 %r1, 0
  br i1 %rc, label %stree, label %finish
finish:
  %total = load float, ptr addrspace(3) @partial, align 16
  br label %div
div:
  %q = phi i64 [%t, %finish], [%q1, %divbody]
  %qc = icmp ult i64 %q, %N
  br i1 %qc, label %divbody, label %out
divbody:
  %qp = getelementptr float, ptr addrspace(1) %y0, i64 %q
  %qv = load float, ptr addrspace(1) %qp, align 4
  %qd = fdiv float %qv, %total
  store float %qd, ptr addrspace(1) %qp, align 4
  %q1 = add i64 %q, 128
  br label %div
out:
  ret void
}}
"""

# Every thread writes, then reads the element of its mirror image; thread 0 of each block adds up what the block saw.
REVERSE_SUM = """
@values = internal addrspace(3) global [256 x i32] undef, align 16
define {kernel} void @k(ptr addrspace(1) noalias align 16 %X, ptr addrspace(1) noalias align 16 %Y, i64 %n) {attributes} {{
entry:
  %t = call i32 @{tid}()
  %b = call i32 @{bid}()
  %b256 = mul i32 %b, 256
  %i32 = add i32 %b256, %t
  %i = zext i32 %i32 to i64
  %in = icmp ult i64 %i, %n
  br i1 %in, label %load, label %join
load:
  %xp = getelementptr i32, ptr addrspace(1) %X, i64 %i
  %x = load i32, ptr addrspace(1) %xp, align 4
  br label %join
join:
  %v = phi i32 [%x, %load], [0, %entry]
  %sp = getelementptr i32, ptr addrspace(3) @values, i32 %t
  store i32 %v, ptr addrspace(3) %sp, align 4
  {barrier}
  %m = sub i32 255, %t
  %mp = getelementptr i32, ptr addrspace(3) @values, i32 %m
  %w = load i32, ptr addrspace(3) %mp, align 4
  br i1 %in, label %store, label %out
store:
  %yp = getelementptr i32, ptr addrspace(1) %Y, i64 %i
  store i32 %w, ptr addrspace(1) %yp, align 4
  br label %out
out:
  ret void
}}
"""

CUDA = {
    "tid": "llvm.nvvm.read.ptx.sreg.tid.x", "bid": "llvm.nvvm.read.ptx.sreg.ctaid.x", "kernel": "ptx_kernel", "attributes": "",
    "barrier": "call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)",
}

# What keeps LLVM from asking for more registers and arguments than the kernel needs.
GCN_ATTRIBUTES = " ".join(
    f'"amdgpu-no-{name}"'
    for name in (
        "dispatch-ptr", "queue-ptr", "dispatch-id", "implicitarg-ptr", "workitem-id-y", "workitem-id-z", "workgroup-id-y", "workgroup-id-z",
        "hostcall-ptr", "multigrid-sync-arg", "heap-ptr", "default-queue", "completion-action", "lds-kernel-id", "flat-scratch-init",
    )
) + ' "amdgpu-flat-work-group-size"="1,256" "uniform-work-group-size"="true"'  # fmt: skip
ROCM = {
    "tid": "llvm.amdgcn.workitem.id.x", "bid": "llvm.amdgcn.workgroup.id.x", "kernel": "amdgpu_kernel", "attributes": GCN_ATTRIBUTES,
    "barrier": 'fence syncscope("workgroup") release\n  call void @llvm.amdgcn.s.barrier()\n  fence syncscope("workgroup") acquire',
}

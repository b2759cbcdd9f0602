"""Programs under test, written by hand as LLVM text: what a compiler would make, without a compiler."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from rlx_runtime.executable import Artifact, Executable, executable_of
from rlx_runtime.native import compile_text, support_object

Json = dict[str, Any]

HEADER = """target triple = "x86_64-unknown-linux-gnu"
declare void @llvm.x86.sse2.pause()

define internal ptr @buffer(ptr %call, i64 %index) alwaysinline {
  %p = getelementptr i8, ptr %call, i64 8
  %table = load ptr, ptr %p
  %q = getelementptr ptr, ptr %table, i64 %index
  %r = load ptr, ptr %q
  ret ptr %r
}
define internal i64 @dim(ptr %call, i64 %index) alwaysinline {
  %p = getelementptr i8, ptr %call, i64 16
  %table = load ptr, ptr %p
  %q = getelementptr i64, ptr %table, i64 %index
  %r = load i64, ptr %q
  ret i64 %r
}
; thread %tid's part [lo, hi) of %total
define internal { i64, i64 } @part(i64 %total, i32 %tid, i32 %n) alwaysinline {
  %t = zext i32 %tid to i64
  %t1 = add i64 %t, 1
  %n64 = zext i32 %n to i64
  %a = mul i64 %total, %t
  %b = mul i64 %total, %t1
  %lo = udiv i64 %a, %n64
  %hi = udiv i64 %b, %n64
  %r0 = insertvalue { i64, i64 } poison, i64 %lo, 0
  %r = insertvalue { i64, i64 } %r0, i64 %hi, 1
  ret { i64, i64 } %r
}
define internal void @plan_head(ptr %out, i64 %arena, i64 %threads) alwaysinline {
  store i64 %arena, ptr %out
  %p = getelementptr i64, ptr %out, i64 1
  store i64 %threads, ptr %p
  ret void
}
"""


def plan(name: str, body: str) -> str:
    return f"define i32 @{name}(ptr %dims, i64 %threads, ptr %out) {{\n{body}\n}}\n"


SERIAL_PLAN = "  call void @plan_head(ptr %out, i64 0, i64 1)\n  ret i32 0"


def loop(head: str, lo: str, hi: str, body: str, done: str) -> str:
    """`for %i in [lo, hi): body`, entered from block `head`."""
    return f"""  br label %head
head:
  %i = phi i64 [ {lo}, %{head} ], [ %i.next, %body ]
  %more = icmp slt i64 %i, {hi}
  br i1 %more, label %body, label %done
body:
{body}
  %i.next = add i64 %i, 1
  br label %head
done:
{done}
"""


def manifest(name: str, buffers: list[list[str]], **fields: Any) -> Json:
    base: Json = {
        "format": 1, "abi": 1, "name": name, "target": "cpu", "numerics": "default", "compiler": "0",
        "cpu": {"name": "x86-64", "features": ["sse2"]},
        "dims": [], "solve": [], "guards": [], "inputs": [], "outputs": [], "states": [], "dim_inputs": [], "params": [],
        "programs": {"main": {"entry": "rlx_main", "plan": "rlx_main_plan", "buffers": buffers, "items": []}, "prepare": None},
        "packed": [], "packed_bytes": 0, "constants": [], "reports": {"memory": {"arena": 0}},
    }  # fmt: skip
    return base | fields


def dim(name: str, least: int, most: int, multiple_of: int = 1, dim_input: str | None = None) -> Json:
    return {"name": name, "min": least, "max": most, "multiple_of": multiple_of, "runtime": False, "dim_input": dim_input}


def tensor(name: str, shape: list[Any], dtype: str = "f32") -> Json:
    return {"name": name, "dtype": dtype, "shape": shape}


_support = cache(support_object)
_compiled = cache(compile_text)


def artifact(made: tuple[Json, str]) -> Artifact:
    stages = {"lir": "// lir\n", "llvm": made[1]}
    return Artifact(made[0], {"kernels.o": _compiled(HEADER + made[1]), "support.o": _support()}, stages)


def executable(made: tuple[Json, str]) -> Executable:
    return executable_of(artifact(made))


def affine(symbolic: bool = True) -> tuple[Json, str]:
    """y = 2 x + 1 over [B, 16] (or just [16]); from B = 8 on it asks for all threads."""
    rows = "%rows = call i64 @dim(ptr %call, i64 0)" if symbolic else "%rows = add i64 0, 1"
    body = """  %xp = getelementptr float, ptr %x, i64 %i
  %v = load float, ptr %xp, align 4
  %v2 = fmul float %v, 2.0
  %v3 = fadd float %v2, 1.0
  %yp = getelementptr float, ptr %y, i64 %i
  store float %v3, ptr %yp, align 4"""
    text = f"""define i32 @rlx_main(ptr %call, i32 %tid, i32 %n) {{
entry:
  %x = call ptr @buffer(ptr %call, i64 0)
  %y = call ptr @buffer(ptr %call, i64 1)
  {rows}
  %total = mul i64 %rows, 16
  %part = call {{ i64, i64 }} @part(i64 %total, i32 %tid, i32 %n)
  %lo = extractvalue {{ i64, i64 }} %part, 0
  %hi = extractvalue {{ i64, i64 }} %part, 1
{loop("entry", "%lo", "%hi", body, "  ret i32 0")}}}
"""
    if symbolic:
        text += plan(
            "rlx_main_plan",
            """  %b = load i64, ptr %dims
  %large = icmp sge i64 %b, 8
  %t = select i1 %large, i64 %threads, i64 1
  call void @plan_head(ptr %out, i64 0, i64 %t)
  %o2 = getelementptr i64, ptr %out, i64 2
  store i64 %b, ptr %o2
  %o3 = getelementptr i64, ptr %out, i64 3
  store i64 16, ptr %o3
  ret i32 0""",
        )
        fields: Json = {"dims": [dim("B", 1, 64)], "solve": [{"dim": "B", "input": 0, "axis": 0, "expr": "$"}]}
        shape: list[Any] = ["B", 16]
    else:
        text += plan(
            "rlx_main_plan",
            """  call void @plan_head(ptr %out, i64 0, i64 1)
  %o2 = getelementptr i64, ptr %out, i64 2
  store i64 16, ptr %o2
  ret i32 0""",
        )
        fields, shape = {}, [16]
    inputs, outputs = [tensor("x", shape)], [tensor("y", shape)]
    return manifest("affine", [["input", "x"], ["output", "y"]], inputs=inputs, outputs=outputs, **fields), text


def linear(k: int = 4, n: int = 8) -> tuple[Json, str]:
    """y[B, n] = (x[B, k] · w[k, n]) · scale + bias[n]: prepare packs w as [n, k], bias is used as it is, scale is a constant 0.5."""
    text = f"""define i32 @rlx_prepare(ptr %call, i32 %tid, i32 %n) {{
entry:
  %w = call ptr @buffer(ptr %call, i64 0)
  %p = call ptr @buffer(ptr %call, i64 1)
  %part = call {{ i64, i64 }} @part(i64 {k * n}, i32 %tid, i32 %n)
  %lo = extractvalue {{ i64, i64 }} %part, 0
  %hi = extractvalue {{ i64, i64 }} %part, 1
{loop("entry", "%lo", "%hi", f'''  %row = udiv i64 %i, {n}
  %col = urem i64 %i, {n}
  %wp = getelementptr float, ptr %w, i64 %i
  %v = load float, ptr %wp
  %t = mul i64 %col, {k}
  %j = add i64 %t, %row
  %pp = getelementptr float, ptr %p, i64 %j
  store float %v, ptr %pp''', "  ret i32 0")}}}
define i32 @rlx_main(ptr %call, i32 %tid, i32 %n) {{
entry:
  %x = call ptr @buffer(ptr %call, i64 0)
  %p = call ptr @buffer(ptr %call, i64 1)
  %bias = call ptr @buffer(ptr %call, i64 2)
  %c = call ptr @buffer(ptr %call, i64 3)
  %y = call ptr @buffer(ptr %call, i64 4)
  %scale = load float, ptr %c
  %rows = call i64 @dim(ptr %call, i64 0)
  %total = mul i64 %rows, {n}
  %part = call {{ i64, i64 }} @part(i64 %total, i32 %tid, i32 %n)
  %lo = extractvalue {{ i64, i64 }} %part, 0
  %hi = extractvalue {{ i64, i64 }} %part, 1
{loop("entry", "%lo", "%hi", f'''  %row = udiv i64 %i, {n}
  %col = urem i64 %i, {n}
  %xo = mul i64 %row, {k}
  %po = mul i64 %col, {k}
  %xr = getelementptr float, ptr %x, i64 %xo
  %pr = getelementptr float, ptr %p, i64 %po
  %dot = call float @dot(ptr %xr, ptr %pr)
  %bp = getelementptr float, ptr %bias, i64 %col
  %b = load float, ptr %bp
  %s = fmul float %dot, %scale
  %r = fadd float %s, %b
  %yp = getelementptr float, ptr %y, i64 %i
  store float %r, ptr %yp''', "  ret i32 0")}}}
define internal float @dot(ptr %a, ptr %b) {{
entry:
  %acc = alloca float
  store float 0.0, ptr %acc
{loop("entry", "0", str(k), '''  %ap = getelementptr float, ptr %a, i64 %i
  %av = load float, ptr %ap
  %bp = getelementptr float, ptr %b, i64 %i
  %bv = load float, ptr %bp
  %m = fmul float %av, %bv
  %s = load float, ptr %acc
  %t = fadd float %s, %m
  store float %t, ptr %acc''', '''  %r = load float, ptr %acc
  ret float %r''')}}}
""" + plan("rlx_prepare_plan", "  call void @plan_head(ptr %out, i64 0, i64 %threads)\n  ret i32 0") + plan(
        "rlx_main_plan",
        f"""  %b = load i64, ptr %dims
  call void @plan_head(ptr %out, i64 0, i64 %threads)
  %o2 = getelementptr i64, ptr %out, i64 2
  store i64 %b, ptr %o2
  %o3 = getelementptr i64, ptr %out, i64 3
  store i64 {n}, ptr %o3
  ret i32 0""",
    )  # fmt: skip
    buffers = [["input", "x"], ["packed", "w.0"], ["param", "bias"], ["constant", "scale"], ["output", "y"]]
    made = manifest(
        "linear",
        buffers,
        dims=[dim("B", 1, 64)],
        solve=[{"dim": "B", "input": 0, "axis": 0, "expr": "$"}],
        inputs=[tensor("x", ["B", k])],
        outputs=[tensor("y", ["B", n])],
        params=[tensor("w", [k, n]), tensor("bias", [n])],
        packed=[{"name": "w.0", "dtype": "f32", "bytes": 4 * k * n, "offset": 0, "sources": ["w"]}],
        packed_bytes=-(-4 * k * n // 64) * 64,
        constants=[{"name": "scale", "dtype": "f32", "bytes": 4, "data": base64.b64encode(np.float32(0.5).tobytes()).decode()}],
    )
    prepare = {"entry": "rlx_prepare", "plan": "rlx_prepare_plan", "buffers": [["param", "w"], ["packed", "w.0"]]}
    made["programs"]["prepare"] = prepare
    return made, text


def linear_weights(k: int = 4, n: int = 8, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"w": rng.standard_normal((k, n)).astype(np.float32), "bias": rng.standard_normal(n).astype(np.float32)}


def linear_reference(x: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    return x.astype(np.float64) @ weights["w"].astype(np.float64) * 0.5 + weights["bias"].astype(np.float64)


def cache_step(capacity: int = 32) -> tuple[Json, str]:
    """State k0[capacity]: k0[P : P+S] = x[S]; y[1] = sum of k0[0 : P+S]. Guard: P + S <= capacity."""
    text = f"""define i32 @rlx_main(ptr %call, i32 %tid, i32 %n) {{
entry:
  %x = call ptr @buffer(ptr %call, i64 0)
  %k = call ptr @buffer(ptr %call, i64 1)
  %y = call ptr @buffer(ptr %call, i64 2)
  %s = call i64 @dim(ptr %call, i64 0)
  %p = call i64 @dim(ptr %call, i64 1)
  %bytes = mul i64 %s, 4
  %kp = getelementptr float, ptr %k, i64 %p
  %copied = call ptr @memcpy(ptr %kp, ptr %x, i64 %bytes)
  %end = add i64 %p, %s
  store float 0.0, ptr %y
{loop("entry", "0", "%end", '''  %q = getelementptr float, ptr %k, i64 %i
  %v = load float, ptr %q
  %a = load float, ptr %y
  %b = fadd float %a, %v
  store float %b, ptr %y''', "  ret i32 0")}}}
declare ptr @memcpy(ptr, ptr, i64)
""" + plan(
        "rlx_main_plan",
        f"""  %s = load i64, ptr %dims
  %pp = getelementptr i64, ptr %dims, i64 1
  %p = load i64, ptr %pp
  %end = add i64 %p, %s
  %bad = icmp sgt i64 %end, {capacity}
  br i1 %bad, label %refuse, label %good
refuse:
  ret i32 1
good:
  call void @plan_head(ptr %out, i64 0, i64 1)
  %o2 = getelementptr i64, ptr %out, i64 2
  store i64 1, ptr %o2
  ret i32 0""",
    )  # fmt: skip
    guard = {"expr": ["+", "P", "S"], "op": "le", "rhs": capacity, "text": f"P + S <= {capacity}", "loc": "m.mlir:3:1"}
    return manifest(
        "cache_step",
        [["input", "x"], ["state", "k0"], ["output", "y"]],
        dims=[dim("S", 1, 16), dim("P", 0, 64, dim_input="P"), dim("B", 1, 4)],
        solve=[{"dim": "S", "input": 0, "axis": 0, "expr": "$"}, {"dim": "B", "input": 0, "axis": 0, "expr": 1}],
        guards=[guard],
        inputs=[tensor("x", ["S"])],
        outputs=[tensor("y", [1])],
        states=[tensor("k0", ["B", capacity])],
        dim_inputs=["P"],
    ), text


def gather() -> tuple[Json, str]:
    """y[i] = t[idx[i]], t: f32[10], idx: i64[4]; an index outside [0, 10) is fault 1 of item 0, operand 1."""
    text = f"""define i32 @rlx_main(ptr %call, i32 %tid, i32 %n) {{
entry:
  %t = call ptr @buffer(ptr %call, i64 0)
  %x = call ptr @buffer(ptr %call, i64 1)
  %y = call ptr @buffer(ptr %call, i64 2)
  %sp = getelementptr i8, ptr %call, i64 40
  %status = load ptr, ptr %sp
{
        loop(
            "entry",
            "0",
            "4",
            '''  %xp = getelementptr i64, ptr %x, i64 %i
  %j = load i64, ptr %xp
  %bad = icmp uge i64 %j, 10
  br i1 %bad, label %fault, label %good
fault:
  %won = cmpxchg ptr %status, i64 0, i64 1 monotonic monotonic
  %d0 = getelementptr i64, ptr %status, i64 2
  store i64 1, ptr %d0
  %d1 = getelementptr i64, ptr %status, i64 3
  store i64 %j, ptr %d1
  %d2 = getelementptr i64, ptr %status, i64 4
  store i64 10, ptr %d2
  ret i32 0
good:
  %tp = getelementptr float, ptr %t, i64 %j
  %v = load float, ptr %tp
  %yp = getelementptr float, ptr %y, i64 %i
  store float %v, ptr %yp
  br label %next
next:''',
            "  ret i32 0",
        ).replace("[ %i.next, %body ]", "[ %i.next, %next ]")
    }}}
""" + plan(
        "rlx_main_plan",
        SERIAL_PLAN.replace("  ret i32 0", "  %o = getelementptr i64, ptr %out, i64 2\n  store i64 4, ptr %o\n  ret i32 0"),
    )
    made = manifest(
        "gather",
        [["input", "t"], ["input", "idx"], ["output", "y"]],
        inputs=[tensor("t", [10]), tensor("idx", [4], "i64")],
        outputs=[tensor("y", [4])],
    )
    made["programs"]["main"]["items"] = [{"op": "mir.gather", "loc": "m.mlir:7:8"}]
    return made, text


def rounds() -> tuple[Json, str]:
    """Barrier stress: R rounds; in each, every thread writes its arena word and, after a barrier, reads all the others.

    y[0] = sum over rounds of the sum of all threads' words as thread 0 saw them, y[1] = number of wrong words seen by any thread.
    """
    text = """define internal void @barrier(ptr %call, i32 %tid, i32 %n) {
entry:
  %bp = getelementptr i8, ptr %call, i64 32
  %lines = load ptr, ptr %bp
  %t = zext i32 %tid to i64
  %o = shl i64 %t, 6
  %mine = getelementptr i8, ptr %lines, i64 %o
  %old = load i32, ptr %mine
  %new = add i32 %old, 1
  store atomic i32 %new, ptr %mine release, align 4
  br label %others
others:
  %w = phi i32 [ 0, %entry ], [ %w.next, %arrived ]
  %w64 = zext i32 %w to i64
  %wo = shl i64 %w64, 6
  %line = getelementptr i8, ptr %lines, i64 %wo
  br label %spin
spin:
  %seen = load atomic i32, ptr %line acquire, align 4
  %late = sub i32 %seen, %new
  %ok = icmp sge i32 %late, 0
  br i1 %ok, label %arrived, label %wait
wait:
  call void @llvm.x86.sse2.pause()
  br label %spin
arrived:
  %w.next = add i32 %w, 1
  %more = icmp slt i32 %w.next, %n
  br i1 %more, label %others, label %out
out:
  ret void
}
define i32 @rlx_main(ptr %call, i32 %tid, i32 %n) {
entry:
  %y = call ptr @buffer(ptr %call, i64 1)
  %wrong = getelementptr i64, ptr %y, i64 1
  %ap = getelementptr i8, ptr %call, i64 24
  %arena = load ptr, ptr %ap
  %rounds = call i64 @dim(ptr %call, i64 0)
  %t = zext i32 %tid to i64
  %n64 = zext i32 %n to i64
  %mine.o = shl i64 %t, 6
  %mine = getelementptr i8, ptr %arena, i64 %mine.o
  %first = icmp eq i32 %tid, 0
  br i1 %first, label %zero, label %start
zero:
  store i64 0, ptr %y
  store i64 0, ptr %wrong
  br label %start
start:
  call void @barrier(ptr %call, i32 %tid, i32 %n)
  br label %round
round:
  %r = phi i64 [ 0, %start ], [ %r.next, %round.end ]
  %v = add i64 %r, %t
  store i64 %v, ptr %mine
  call void @barrier(ptr %call, i32 %tid, i32 %n)
  br label %read
read:
  %w = phi i64 [ 0, %round ], [ %w.next, %read.end ]
  %wo = shl i64 %w, 6
  %p = getelementptr i8, ptr %arena, i64 %wo
  %got = load i64, ptr %p
  %want = add i64 %r, %w
  %same = icmp eq i64 %got, %want
  br i1 %same, label %right, label %bad
bad:
  %ignored = atomicrmw add ptr %wrong, i64 1 monotonic
  br label %right
right:
  br i1 %first, label %sum, label %read.end
sum:
  %acc = load i64, ptr %y
  %acc2 = add i64 %acc, %got
  store i64 %acc2, ptr %y
  br label %read.end
read.end:
  %w.next = add i64 %w, 1
  %more.w = icmp slt i64 %w.next, %n64
  br i1 %more.w, label %read, label %round.end
round.end:
  call void @barrier(ptr %call, i32 %tid, i32 %n)
  %r.next = add i64 %r, 1
  %more.r = icmp slt i64 %r.next, %rounds
  br i1 %more.r, label %round, label %out
out:
  ret i32 0
}
""" + plan(
        "rlx_main_plan",
        """  %arena = mul i64 %threads, 64
  call void @plan_head(ptr %out, i64 %arena, i64 %threads)
  %o = getelementptr i64, ptr %out, i64 2
  store i64 2, ptr %o
  ret i32 0""",
    )
    return manifest(
        "rounds",
        [["input", "x"], ["output", "y"]],
        dims=[dim("R", 1, 1 << 30)],
        solve=[{"dim": "R", "input": 0, "axis": 0, "expr": "$"}],
        inputs=[tensor("x", ["R"], "bool")],
        outputs=[tensor("y", [2], "i64")],
    ), text


def split() -> tuple[Json, str]:
    """Two outputs of x[16]: low[8] = x[:8], high[8] = x[8:]; and an input that the code does not read."""
    copies = "\n".join(
        f"  %d{i} = call ptr @buffer(ptr %call, i64 {i + 1})\n  %s{i} = getelementptr i8, ptr %x, i64 {32 * i}\n"
        f"  %c{i} = call ptr @memcpy(ptr %d{i}, ptr %s{i}, i64 32)"
        for i in range(2)
    )
    text = f"""declare ptr @memcpy(ptr, ptr, i64)
define i32 @rlx_main(ptr %call, i32 %tid, i32 %n) {{
  %x = call ptr @buffer(ptr %call, i64 0)
{copies}
  ret i32 0
}}
""" + plan(
        "rlx_main_plan",
        """  call void @plan_head(ptr %out, i64 0, i64 1)
  %a = getelementptr i64, ptr %out, i64 2
  store i64 8, ptr %a
  %b = getelementptr i64, ptr %out, i64 3
  store i64 8, ptr %b
  ret i32 0""",
    )
    return manifest(
        "split",
        [["input", "x"], ["output", "low"], ["output", "high"]],
        inputs=[tensor("x", [16]), tensor("unused", [3], "bf16")],
        outputs=[tensor("low", [8]), tensor("high", [8])],
    ), text

"""Small native loops on pinned threads, from LLVM text through llvmlite: the yardsticks of the benchmarks.

Nothing here uses the compiler that is measured. Every loop is one function `int64 name(lines, tid, threads, reps, a, b, count)`
that all threads of the team enter; it meets the others at a barrier, runs its body `reps` times, meets them again and returns
the nanoseconds in between.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from functools import cache

import llvmlite.binding as llvm
import numpy as np

LINE = 128
"""Bytes between the barrier counters of two threads: two cache lines, because processors fetch neighbouring lines in pairs."""
FMA_CHAINS = 12
"""Independent accumulators: enough to hide 4 cycles of latency at up to 3 FMAs a cycle, few enough for 16 registers."""

_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p, *[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 2, ctypes.c_int64])

_COMMON = """
declare i32 @clock_gettime(i32, ptr)
{pause_declaration}

define internal i64 @now() noinline {{
  %t = alloca [2 x i64]
  %status = call i32 @clock_gettime(i32 1, ptr %t)
  %s = load i64, ptr %t
  %np = getelementptr i64, ptr %t, i64 1
  %n = load i64, ptr %np
  %ns = mul i64 %s, 1000000000
  %sum = add i64 %ns, %n
  ret i64 %sum
}}

define internal void @barrier(ptr %lines, i64 %tid, i64 %threads) noinline {{
entry:
  %offset = mul i64 %tid, {line}
  %mine = getelementptr i8, ptr %lines, i64 %offset
  %old = load i64, ptr %mine
  %own = add i64 %old, 1
  store atomic i64 %own, ptr %mine release, align 8
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %arrived]
  %all = icmp eq i64 %i, %threads
  br i1 %all, label %exit, label %look
look:
  %other.offset = mul i64 %i, {line}
  %other = getelementptr i8, ptr %lines, i64 %other.offset
  %count = load atomic i64, ptr %other acquire, align 8
  %here = icmp sge i64 %count, %own
  br i1 %here, label %arrived, label %wait
wait:
  {pause}
  br label %look
arrived:
  %i.next = add i64 %i, 1
  br label %next
exit:
  ret void
}}
"""

_TIMED = """
define i64 @{name}(ptr %lines, i64 %tid, i64 %threads, i64 %reps, ptr %a, ptr %b, i64 %count) {{
entry:
  call void @barrier(ptr %lines, i64 %tid, i64 %threads)
  %start = call i64 @now()
  br label %loop
loop:
  %r = phi i64 [0, %entry], [%r.next, %loop]
  {body}
  %r.next = add i64 %r, 1
  %more = icmp slt i64 %r.next, %reps
  br i1 %more, label %loop, label %done
done:
  call void @barrier(ptr %lines, i64 %tid, i64 %threads)
  %end = call i64 @now()
  %ns = sub i64 %end, %start
  ret i64 %ns
}}
"""


def _fma_body(lanes: int) -> str:
    """`count` times: every accumulator becomes itself * a + b. The sum goes to memory, so that nothing is dead."""
    vector, chains = f"<{lanes} x float>", range(FMA_CHAINS)
    phis = "\n".join(f"  %c{i} = phi {vector} [%x, %entry], [%n{i}, %loop]" for i in chains)
    fmas = "\n".join(
        f"  %n{i} = call {vector} @llvm.fmuladd.v{lanes}f32({vector} %c{i}, {vector} %x, {vector} %y)" for i in chains
    )
    sums = "\n".join(f"  %s{i + 1} = fadd {vector} %{'n0' if i == 0 else f's{i}'}, %n{i + 1}" for i in range(FMA_CHAINS - 1))
    return f"""
declare {vector} @llvm.fmuladd.v{lanes}f32({vector}, {vector}, {vector})
define internal void @fma_body(ptr %a, ptr %b, i64 %count) noinline {{
entry:
  %x = load {vector}, ptr %a, align 4
  %yp = getelementptr {vector}, ptr %a, i64 1
  %y = load {vector}, ptr %yp, align 4
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i.next, %loop]
{phis}
{fmas}
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %count
  br i1 %more, label %loop, label %done
done:
{sums}
  store {vector} %s{FMA_CHAINS - 1}, ptr %b, align 4
  ret void
}}
"""


def _read_body(lanes: int) -> str:
    """Adds up `count` bytes from `a`, eight vectors at a time."""
    vector, unroll = f"<{lanes} x float>", range(8)
    phis = "\n".join(f"  %c{i} = phi {vector} [zeroinitializer, %entry], [%n{i}, %loop]" for i in unroll)
    adds = "\n".join(
        f"  %p{i} = getelementptr {vector}, ptr %p, i64 {i}\n"
        f"  %v{i} = load {vector}, ptr %p{i}, align 64\n"
        f"  %n{i} = fadd {vector} %c{i}, %v{i}"
        for i in unroll
    )
    sums = "\n".join(f"  %s{i + 1} = fadd {vector} %{'n0' if i == 0 else f's{i}'}, %n{i + 1}" for i in range(7))
    return f"""
define internal void @read_body(ptr %a, ptr %b, i64 %count) noinline {{
entry:
  br label %loop
loop:
  %at = phi i64 [0, %entry], [%at.next, %loop]
{phis}
  %p = getelementptr i8, ptr %a, i64 %at
{adds}
  %at.next = add i64 %at, {8 * 4 * lanes}
  %more = icmp slt i64 %at.next, %count
  br i1 %more, label %loop, label %done
done:
{sums}
  store {vector} %s7, ptr %b, align 4
  ret void
}}
"""


def _copy_body(lanes: int) -> str:
    """Copies `count` bytes from `a` to `b` with ordinary stores, four vectors at a time."""
    vector = f"<{lanes} x float>"
    moves = "\n".join(
        f"  %p{i} = getelementptr {vector}, ptr %p, i64 {i}\n"
        f"  %q{i} = getelementptr {vector}, ptr %q, i64 {i}\n"
        f"  %v{i} = load {vector}, ptr %p{i}, align 64\n"
        f"  store {vector} %v{i}, ptr %q{i}, align 64"
        for i in range(4)
    )
    return f"""
define internal void @copy_body(ptr %a, ptr %b, i64 %count) noinline {{
entry:
  br label %loop
loop:
  %at = phi i64 [0, %entry], [%at.next, %loop]
  %p = getelementptr i8, ptr %a, i64 %at
  %q = getelementptr i8, ptr %b, i64 %at
{moves}
  %at.next = add i64 %at, {4 * 4 * lanes}
  %more = icmp slt i64 %at.next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def _text(lanes: int, machine: str) -> str:
    pause, declaration = "", ""
    if machine in ("x86_64", "i686"):
        pause, declaration = "call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"
    elif machine == "aarch64":
        pause, declaration = "call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"
    bodies = {name: f"call void @{name}_body(ptr %a, ptr %b, i64 %count)" for name in ("fma", "read", "copy")}
    bodies["meet"] = "call void @barrier(ptr %lines, i64 %tid, i64 %threads)"
    return (
        _COMMON.format(pause=pause, pause_declaration=declaration, line=LINE)
        + _fma_body(lanes) + _read_body(lanes) + _copy_body(lanes)
        + "".join(_TIMED.format(name=name, body=body) for name, body in bodies.items())
    )  # fmt: skip


def vector_lanes() -> int:
    """f32 lanes of the widest vector register of this processor."""
    features = llvm.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx") else 4


@cache
def _engine() -> llvm.ExecutionEngine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple = llvm.get_process_triple()
    module = llvm.parse_assembly(_text(vector_lanes(), triple.split("-", 1)[0]))
    module.triple = triple
    module.verify()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_triple(triple).create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    return engine


@cache
def loop(name: str) -> Callable[..., int]:
    """The compiled loop `fma`, `read`, `copy` or `meet` (barriers only)."""
    return _SIGNATURE(_engine().get_function_address(name))


class Team:
    """One thread for each CPU, pinned to it, for the length of a `run`."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self.cpus = list(cpus)
        self._lines = np.zeros(LINE * len(self.cpus) // 8 + LINE // 8, np.int64)
        self._base = aligned(self._lines, LINE)

    def run(self, name: str, reps: int, arguments: Sequence[tuple[int, int, int]]) -> int:
        """Run loop `name` with `(a, b, count)` of each thread; returns the nanoseconds between the two barriers."""
        self._lines[:] = 0
        function, results = loop(name), [0] * len(self.cpus)

        def enter(tid: int) -> None:
            os.sched_setaffinity(0, {self.cpus[tid]})  # 0 is the calling thread
            results[tid] = function(self._base, tid, len(self.cpus), reps, *arguments[tid])

        threads = [threading.Thread(target=enter, args=(tid,)) for tid in range(len(self.cpus))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return max(results)

    def barrier_ns(self, repeats: int = 9, barriers: int = 2000) -> float:
        """Nanoseconds of one barrier, median of `repeats` runs.

        It tells how far apart the CPUs are: a virtual machine's CPUs may share a last-level cache at one time and not at another,
        which changes every memory-bound figure.
        """
        nothing = [(0, 0, 0)] * len(self.cpus)
        return float(np.median([self.run("meet", barriers, nothing) / barriers for _ in range(repeats)]))


def aligned(array: np.ndarray, alignment: int) -> int:
    """The first address in `array` that is a multiple of `alignment`; the caller has left room for it."""
    return -(-array.ctypes.data // alignment) * alignment

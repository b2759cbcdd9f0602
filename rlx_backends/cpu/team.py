"""The team of threads: shares of the work, barriers, faults (call ABI of ARCHITECTURE.md)."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Operation

from rlx_backends.llvm import program
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.program import BARRIER, CONTEXT, STATUS
from rlx_dialects.kernel.team import BarrierOp, FaultOp, NumThreadsOp, Partition2dOp, PartitionOp, ThreadIdOp

CONTEXT_OPS = (ThreadIdOp, NumThreadsOp, PartitionOp, Partition2dOp, BarrierOp, FaultOp)

_INTERRUPTED = 3

_SPINS = 4000
"""Pauses (about 25 ns each) before a waiting thread offers its core: the one it waits for may have been preempted."""
_SCHED_YIELD = 24
"""The system call's number on x86-64 Linux."""

# Line t holds thread t's arrival counter. Line 0 also says, at bytes 4 and 8, whether the call was interrupted: thread 0 looks
# before it arrives, so that all threads decide alike; two places, because it may have arrived at the next barrier already
# when the others read, but never at the one after.
_BARRIER_TEXT = f"""\
define internal i1 @rlx.barrier({CONTEXT}) noinline nounwind {{
entry:
  %status.p = getelementptr inbounds i8, ptr %call, i64 {STATUS}
  %status = load ptr, ptr %status.p, align 8
  %alone = icmp eq i32 %nthreads, 1
  br i1 %alone, label %single, label %team
single:
  %code1 = load atomic i64, ptr %status monotonic, align 8
  %stop1 = icmp eq i64 %code1, {_INTERRUPTED}
  ret i1 %stop1
team:
  %lines.p = getelementptr inbounds i8, ptr %call, i64 {BARRIER}
  %lines = load ptr, ptr %lines.p, align 8
  %mine.at = shl i32 %tid, 6
  %mine.at64 = zext i32 %mine.at to i64
  %mine = getelementptr inbounds i8, ptr %lines, i64 %mine.at64
  %count = load i32, ptr %mine, align 64
  %arrived = add i32 %count, 1
  %odd = and i32 %arrived, 1
  %odd64 = zext i32 %odd to i64
  %flags = getelementptr inbounds i8, ptr %lines, i64 4
  %flag = getelementptr inbounds i32, ptr %flags, i64 %odd64
  %first = icmp eq i32 %tid, 0
  br i1 %first, label %look, label %arrive
look:
  %code = load atomic i64, ptr %status monotonic, align 8
  %stop = icmp eq i64 %code, {_INTERRUPTED}
  %stop32 = zext i1 %stop to i32
  store atomic i32 %stop32, ptr %flag monotonic, align 4
  br label %arrive
arrive:
  store atomic i32 %arrived, ptr %mine release, align 4
  br label %next
next:
  %t = phi i32 [ 0, %arrive ], [ %t1, %there ]
  %other.at = shl i32 %t, 6
  %other.at64 = zext i32 %other.at to i64
  %other = getelementptr inbounds i8, ptr %lines, i64 %other.at64
  br label %wait
wait:
  %spins = phi i32 [ 0, %next ], [ %spins1, %pause ], [ {_SPINS - _SPINS // 8}, %yield ]
  %seen = load atomic i32, ptr %other acquire, align 4
  %ahead = sub i32 %seen, %arrived
  %is.there = icmp sge i32 %ahead, 0
  br i1 %is.there, label %there, label %pause
pause:
  call void @llvm.x86.sse2.pause()
  %spins1 = add i32 %spins, 1
  %long = icmp uge i32 %spins1, {_SPINS}
  br i1 %long, label %yield, label %wait
yield:
  call i64 asm sideeffect "syscall", "={{rax}},{{rax}},~{{rcx}},~{{r11}},~{{memory}}"(i64 {_SCHED_YIELD})
  br label %wait
there:
  %t1 = add i32 %t, 1
  %more = icmp ult i32 %t1, %nthreads
  br i1 %more, label %next, label %done
done:
  %said = load atomic i32, ptr %flag monotonic, align 4
  %interrupted = icmp ne i32 %said, 0
  ret i1 %interrupted
}}
"""

_FAULT_TEXT = f"""\
define internal void @rlx.fault(ptr %call, i64 %code, i64 %item, i64 %d0, i64 %d1, i64 %d2, i64 %d3) noinline cold nounwind {{
entry:
  %status.p = getelementptr inbounds i8, ptr %call, i64 {STATUS}
  %status = load ptr, ptr %status.p, align 8
  %swap = cmpxchg ptr %status, i64 0, i64 %code monotonic monotonic
  %won = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %won, label %write, label %done
write:
  %p1 = getelementptr inbounds i64, ptr %status, i64 1
  store i64 %item, ptr %p1, align 8
  %p2 = getelementptr inbounds i64, ptr %status, i64 2
  store i64 %d0, ptr %p2, align 8
  %p3 = getelementptr inbounds i64, ptr %status, i64 3
  store i64 %d1, ptr %p3, align 8
  %p4 = getelementptr inbounds i64, ptr %status, i64 4
  store i64 %d2, ptr %p4, align 8
  %p5 = getelementptr inbounds i64, ptr %status, i64 5
  store i64 %d3, ptr %p5, align 8
  br label %done
done:
  ret void
}}
"""

# Tries every a that divides the team; the largest share of a grid of units is ceil(rows / a) · ceil(columns / b).
_GRID_TEXT = """\
define internal i64 @rlx.grid(i64 %rows, i64 %columns, i64 %threads, i1 %prefer.rows) noinline nounwind {
entry:
  br label %next
next:
  %a = phi i64 [ 1, %entry ], [ %a1, %step ]
  %best = phi i64 [ 1, %entry ], [ %best1, %step ]
  %cost = phi i64 [ 9223372036854775807, %entry ], [ %cost1, %step ]
  %rest = urem i64 %threads, %a
  %divides = icmp eq i64 %rest, 0
  br i1 %divides, label %try, label %step
try:
  %b = udiv i64 %threads, %a
  %r0 = add i64 %rows, %a
  %r1 = sub i64 %r0, 1
  %r = udiv i64 %r1, %a
  %c0 = add i64 %columns, %b
  %c1 = sub i64 %c0, 1
  %c = udiv i64 %c1, %b
  %share = mul i64 %r, %c
  %less = icmp ult i64 %share, %cost
  %equal = icmp eq i64 %share, %cost
  %tie = and i1 %equal, %prefer.rows
  %better = or i1 %less, %tie
  %best.t = select i1 %better, i64 %a, i64 %best
  %cost.t = select i1 %better, i64 %share, i64 %cost
  br label %step
step:
  %best1 = phi i64 [ %best, %next ], [ %best.t, %try ]
  %cost1 = phi i64 [ %cost, %next ], [ %cost.t, %try ]
  %a1 = add i64 %a, 1
  %more = icmp ule i64 %a1, %threads
  br i1 %more, label %next, label %done
done:
  ret i64 %best1
}
"""


def _units(f: FunctionEmitter, extent: str, unit: int) -> str:
    if unit == 1:
        return extent
    return f.emit(f"udiv i64 {f.emit(f'add i64 {extent}, {unit - 1}')}, {unit}")


def _share(f: FunctionEmitter, units: str, unit: int, extent: str, rank: str, ranks: str) -> tuple[str, str]:
    """The bounds of share `rank` of `ranks`, in elements."""
    start = f.emit(f"udiv i64 {f.emit(f'mul i64 {units}, {rank}')}, {ranks}")
    following = f.emit(f"add i64 {rank}, 1")
    end = f.emit(f"udiv i64 {f.emit(f'mul i64 {units}, {following}')}, {ranks}")
    if unit == 1:
        return start, end
    low = f.emit(f"mul nsw i64 {start}, {unit}")
    high = f.emit(f"mul nsw i64 {end}, {unit}")
    return low, f.elementwise_intrinsic("smin", "i64", 0, high, extent)


def partition(f: FunctionEmitter, op: PartitionOp) -> None:
    extent, unit = f.scalar(op.extent), op.unit.value.data
    rank, ranks = f.emit("zext i32 %tid to i64"), f.emit("zext i32 %nthreads to i64")
    low, high = _share(f, _units(f, extent, unit), unit, extent, rank, ranks)
    f.define(op.lo, [low])
    f.define(op.hi, [high])


def partition2d(f: FunctionEmitter, op: Partition2dOp) -> None:
    row_unit, column_unit = (int(unit) for unit in op.units.get_values())
    rows, columns = f.scalar(op.rows), f.scalar(op.columns)
    rank, ranks = f.emit("zext i32 %tid to i64"), f.emit("zext i32 %nthreads to i64")
    row_units, column_units = _units(f, rows, row_unit), _units(f, columns, column_unit)
    grid = f.module.helper("rlx.grid", _GRID_TEXT)
    prefer = "true" if op.prefer.data == "rows" else "false"
    row_ranks = f.emit(f"call i64 {grid}(i64 {row_units}, i64 {column_units}, i64 {ranks}, i1 {prefer})")
    column_ranks = f.emit(f"udiv i64 {ranks}, {row_ranks}")
    row_rank, column_rank = f.emit(f"udiv i64 {rank}, {column_ranks}"), f.emit(f"urem i64 {rank}, {column_ranks}")
    bounds = (
        *_share(f, row_units, row_unit, rows, row_rank, row_ranks),
        *_share(f, column_units, column_unit, columns, column_rank, column_ranks),
    )
    for result, bound in zip(op.results, bounds):
        f.define(result, [bound])


def barrier(f: FunctionEmitter, op: BarrierOp) -> None:
    f.module.declare("llvm.x86.sse2.pause", "void", [])
    interrupted = f.emit(f"call i1 {f.module.helper('rlx.barrier', _BARRIER_TEXT)}({CONTEXT})")
    if op.interruptible:
        go_on = f.label("go")
        f.branch_if(interrupted, f.early_exit(), go_on)
        f.start_block(go_on)


def fault(f: FunctionEmitter, op: FaultOp) -> None:
    report, done = f.label("fault"), f.label("go")
    f.branch_if(f.scalar(op.condition), report, done)
    f.start_block(report)
    details = [f.scalar(value) for value in op.details]
    details += ["0"] * (4 - len(details))
    arguments = ", ".join(f"i64 {value}" for value in (str(op.code.value.data), f.scalar(op.item), *details))
    f.line(f"call void {f.module.helper('rlx.fault', _FAULT_TEXT)}(ptr %call, {arguments})")
    f.branch(done)
    f.start_block(done)


HANDLERS: dict[type[Operation], Callable[..., None]] = {
    **program.HANDLERS,
    PartitionOp: partition,
    Partition2dOp: partition2d,
    BarrierOp: barrier,
    FaultOp: fault,
}

"""The two functions of a program that the runtime calls, in LLVM text: its entry and its plan (call ABI of ARCHITECTURE.md).

Every target whose entry runs on a CPU has these; what the entry may do besides is the target's own.
"""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Operation

from rlx_backends.llvm.emitter import symbol
from rlx_backends.llvm.function import FunctionEmitter
from rlx_dialects.kernel.functions import ArenaOp, BufferOp, DimOp, EntryOp, GuardOp, PlanOp, PlanResultOp
from rlx_dialects.kernel.team import NumThreadsOp, ThreadIdOp

CONTEXT = "ptr %call, i32 %tid, i32 %nthreads"
"""The parameters of an entry, and the hidden ones of functions that need the call."""

# Offsets in rlx_call.
BUFFERS, DIMS, ARENA, BARRIER, STATUS = 8, 16, 24, 32, 40
LAUNCH, FUNCTIONS, STREAM, DEVICE_DIMS, DEVICE_STATUS = 48, 56, 64, 72, 80


def field(f: FunctionEmitter, offset: int) -> str:
    """A pointer that the call holds; the same all through the call."""
    return f.emit(f"load ptr, ptr {f.emit(f'getelementptr inbounds i8, ptr %call, i64 {offset}')}, align 8, !invariant.load !3")


def _in_plan(op: Operation) -> bool:
    parent = op.parent_op()
    while parent is not None and not isinstance(parent, EntryOp | PlanOp):
        parent = parent.parent_op()
    return isinstance(parent, PlanOp)


def thread_id(f: FunctionEmitter, op: ThreadIdOp) -> None:
    f.define(op.result, [f.emit("zext i32 %tid to i64")])


def num_threads(f: FunctionEmitter, op: NumThreadsOp) -> None:
    f.define(op.result, ["%nthreads" if _in_plan(op) else f.emit("zext i32 %nthreads to i64")])


def buffer(f: FunctionEmitter, op: BufferOp) -> None:
    place = f.emit(f"getelementptr inbounds ptr, ptr {field(f, BUFFERS)}, i64 {op.number.value.data}")
    f.define(op.result, [f.emit(f"load ptr, ptr {place}, align 8, !invariant.load !3")])


def arena(f: FunctionEmitter, op: ArenaOp) -> None:
    f.define(op.result, [f.emit(f"getelementptr inbounds i8, ptr {field(f, ARENA)}, i64 {f.scalar(op.offset)}")])


def dim(f: FunctionEmitter, op: DimOp) -> None:
    dims = "%dims" if _in_plan(op) else field(f, DIMS)
    place = f.emit(f"getelementptr inbounds i64, ptr {dims}, i64 {op.number.value.data}")
    f.define(op.result, [f.emit(f"load i64, ptr {place}, align 8, !invariant.load !3")])


def guard(f: FunctionEmitter, op: GuardOp) -> None:
    violated, go_on = f.label("violated"), f.label("go")
    f.branch_if(f.scalar(op.condition), go_on, violated)
    f.start_block(violated)
    f.line(f"ret i32 {1 + op.number.value.data}")
    f.start_block(go_on)


def plan_result(f: FunctionEmitter, op: PlanResultOp) -> None:
    place = f.emit(f"getelementptr inbounds i64, ptr %out, i64 {op.number.value.data}")
    f.line(f"store i64 {f.scalar(op.value)}, ptr {place}, align 8")


def entry(f: FunctionEmitter, op: EntryOp) -> None:
    _program(f, op, CONTEXT)


def plan(f: FunctionEmitter, op: PlanOp) -> None:
    _program(f, op, "ptr %dims, i64 %nthreads, ptr %out")


def _program(f: FunctionEmitter, op: EntryOp | PlanOp, parameters: str) -> None:
    f.body(op.body.block)
    f.line("ret i32 0")
    head = f"define i32 {symbol(op.sym_name.data)}({parameters}) {f.target.function_attributes} {{"
    f.lines[:] = [head, "entry:", *f.allocas, *f.lines, *f.early_exit_block(), "}"]


HANDLERS: dict[type[Operation], Callable[..., None]] = {
    ThreadIdOp: thread_id,
    NumThreadsOp: num_threads,
    BufferOp: buffer,
    ArenaOp: arena,
    DimOp: dim,
    GuardOp: guard,
    PlanResultOp: plan_result,
    EntryOp: entry,
    PlanOp: plan,
}

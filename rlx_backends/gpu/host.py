"""The host code of a GPU program: its entry and plan functions as machine code for the CPU that calls.

The entry computes every buffer's place and calls the driver's launch function through the call structure ("GPU programs" in
ARCHITECTURE.md); between it and the driver stands no code of ours. It uses no feature that not every CPU of its kind has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import llvmlite.binding as llvm
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from rlx_backends.gpu.shared_memory import shared_layout
from rlx_backends.llvm import FunctionEmitter, TargetEmission, emit_module, program
from rlx_backends.llvm.objects import Machine, compile_text, host_machine
from rlx_backends.llvm.program import CONTEXT, DEVICE_DIMS, DEVICE_STATUS, FUNCTIONS, LAUNCH, STATUS, STREAM
from rlx_dialects.gpu import KernelOp
from rlx_dialects.gpu.ops import LaunchOp
from rlx_dialects.kernel.functions import DimPointerOp, EntryOp, PlanOp, StatusPointerOp

LAUNCH_FAILED, GRID_TOO_LARGE = 4, 5
"""Status codes on the host: [4, item, the driver's error], [5, item, axis, extent, limit]."""

_LAUNCH_TEXT = f"""\
define internal i32 @rlx.launch(ptr %call, i64 %number, i64 %item, i64 %x, i64 %y, i64 %z, i32 %bx, i32 %by, i32 %bz, \
i32 %shared, i64 %max.x, i64 %max.y, i64 %max.z, ptr %params) noinline nounwind {{
entry:
  %no.x = icmp eq i64 %x, 0
  %no.y = icmp eq i64 %y, 0
  %no.z = icmp eq i64 %z, 0
  %no.xy = or i1 %no.x, %no.y
  %nothing = or i1 %no.xy, %no.z
  br i1 %nothing, label %done, label %check.x
check.x:
  %over.x = icmp ugt i64 %x, %max.x
  br i1 %over.x, label %over, label %check.y
check.y:
  %over.y = icmp ugt i64 %y, %max.y
  br i1 %over.y, label %over, label %check.z
check.z:
  %over.z = icmp ugt i64 %z, %max.z
  br i1 %over.z, label %over, label %launch
over:
  %axis = phi i64 [ 0, %check.x ], [ 1, %check.y ], [ 2, %check.z ]
  %extent = phi i64 [ %x, %check.x ], [ %y, %check.y ], [ %z, %check.z ]
  %limit = phi i64 [ %max.x, %check.x ], [ %max.y, %check.y ], [ %max.z, %check.z ]
  call void @rlx.launch.failed(ptr %call, i64 {GRID_TOO_LARGE}, i64 %item, i64 %axis, i64 %extent, i64 %limit)
  ret i32 2
launch:
  %launch.p = getelementptr inbounds i8, ptr %call, i64 {LAUNCH}
  %launch.f = load ptr, ptr %launch.p, align 8
  %functions.p = getelementptr inbounds i8, ptr %call, i64 {FUNCTIONS}
  %functions = load ptr, ptr %functions.p, align 8
  %function.p = getelementptr inbounds ptr, ptr %functions, i64 %number
  %function = load ptr, ptr %function.p, align 8
  %stream.p = getelementptr inbounds i8, ptr %call, i64 {STREAM}
  %stream = load ptr, ptr %stream.p, align 8
  %x32 = trunc i64 %x to i32
  %y32 = trunc i64 %y to i32
  %z32 = trunc i64 %z to i32
  %error = call i32 %launch.f(ptr %function, i32 %x32, i32 %y32, i32 %z32, i32 %bx, i32 %by, i32 %bz, i32 %shared, ptr %stream, \
ptr %params, ptr null)
  %failed = icmp ne i32 %error, 0
  br i1 %failed, label %report, label %done
report:
  %error64 = sext i32 %error to i64
  call void @rlx.launch.failed(ptr %call, i64 {LAUNCH_FAILED}, i64 %item, i64 %error64, i64 0, i64 0)
  ret i32 2
done:
  ret i32 0
}}
"""

_FAILED_TEXT = f"""\
define internal void @rlx.launch.failed(ptr %call, i64 %code, i64 %item, i64 %d0, i64 %d1, i64 %d2) noinline cold nounwind {{
entry:
  %status.p = getelementptr inbounds i8, ptr %call, i64 {STATUS}
  %status = load ptr, ptr %status.p, align 8
  store i64 %code, ptr %status, align 8
  %p1 = getelementptr inbounds i64, ptr %status, i64 1
  store i64 %item, ptr %p1, align 8
  %p2 = getelementptr inbounds i64, ptr %status, i64 2
  store i64 %d0, ptr %p2, align 8
  %p3 = getelementptr inbounds i64, ptr %status, i64 3
  store i64 %d1, ptr %p3, align 8
  %p4 = getelementptr inbounds i64, ptr %status, i64 4
  store i64 %d2, ptr %p4, align 8
  ret void
}}
"""


def host_object(module: ModuleOp, options: Mapping[str, Any]) -> bytes:
    """`kernels.o` of a module of GPU kernels, entries and plans. `options["codegen_level"]` as in `rlx.Options`."""
    return compile_text(host_text(module), _machine(int(options.get("codegen_level") or 1)))


def host_text(module: ModuleOp) -> str:
    """The host code as LLVM IR. LowerError for an op that the host cannot run."""
    kernels = [op for op in module.body.block.ops if isinstance(op, KernelOp)]
    host = ModuleOp([op.clone() for op in module.body.block.ops if isinstance(op, EntryOp | PlanOp)])
    items = _items(host)
    handlers: dict[type[Operation], Callable[..., None]] = {
        **program.HANDLERS,
        DimPointerOp: dim_pointer,
        StatusPointerOp: status_pointer,
        EntryOp: partial(_entry, most=max((len(op.arguments) for op in items), default=0)),
    }
    numbers = {op.sym_name.data: (number, op) for number, op in enumerate(kernels)}
    handlers |= {type(op): partial(launch, kernels=numbers, items=items) for op in items}
    return emit_module(host, TargetEmission(lanes=4, handlers=handlers, context=CONTEXT))


def _machine(level: int) -> Machine:
    """The plainest CPU of this machine's kind: a package runs on every one."""
    name = "x86-64" if llvm.get_process_triple().startswith("x86_64") else "generic"
    return host_machine(name, level=level)


def _items(host: ModuleOp) -> dict[LaunchOp, int]:
    """The schedule item of every launch. A form is one launch, or an `scf.if` that chooses one."""
    found: dict[LaunchOp, int] = {}
    for entry in host.body.block.ops:
        item = 0
        for op in entry.regions[0].block.ops:
            launches = [inner for inner in op.walk() if isinstance(inner, LaunchOp)]
            found |= dict.fromkeys(launches, item)
            item += bool(launches)
    return found


def dim_pointer(f: FunctionEmitter, op: DimPointerOp) -> None:
    place = f"getelementptr inbounds i64, ptr {program.field(f, DEVICE_DIMS)}, i64 {op.number.value.data}"
    f.define(op.result, [f.emit(place)])


def status_pointer(f: FunctionEmitter, op: StatusPointerOp) -> None:
    f.define(op.result, [program.field(f, DEVICE_STATUS)])


def launch(f: FunctionEmitter, op: LaunchOp, kernels: Mapping[str, tuple[int, KernelOp]], items: Mapping[LaunchOp, int]) -> None:
    """Stores the arguments where `params` points, then calls the driver; the entry is left if that fails."""
    name = op.callee.string_value()
    if name not in kernels:
        raise f.error(op, f"the module has no kernel @{name}")
    number, kernel = kernels[name]
    wanted = kernel.function_type.inputs.data
    if wanted != tuple(op.arguments.types):
        raise f.error(op, f"@{name} takes ({', '.join(map(str, wanted))})")
    facts = kernel.facts
    assert facts is not None
    for position, value in enumerate(op.arguments):
        (type_,) = f.register_types(value)
        if type_ not in ("ptr", "i64"):
            raise f.error(op, f"argument {position} is {value.type}: a kernel takes pointers and indices")
        place = f.emit(f"getelementptr inbounds i64, ptr %arguments, i64 {position}")
        f.line(f"store {type_} {f.scalar(value)}, ptr {place}, align 8")
    grid = [f.scalar(extent) for extent in op.grid]
    grid += ["1"] * (3 - len(grid))
    numbers = [f"i64 {number}", f"i64 {items[op]}", *(f"i64 {extent}" for extent in grid)]
    numbers += [f"i32 {size}" for size in (*kernel.block, shared_layout(kernel).launch_bytes)]
    numbers += [f"i64 {limit}" for limit in facts.max_grid]
    f.module.helper("rlx.launch.failed", _FAILED_TEXT)
    function = f.module.helper("rlx.launch", _LAUNCH_TEXT)
    error = f.emit(f"call i32 {function}(ptr %call, {', '.join(numbers)}, ptr %params)")
    failed, left, go_on = f.emit(f"icmp ne i32 {error}, 0"), f.label("failed"), f.label("go")
    f.branch_if(failed, left, go_on)
    f.start_block(left)
    f.line(f"ret i32 {error}")
    f.start_block(go_on)


def _entry(f: FunctionEmitter, op: EntryOp, most: int) -> None:
    """The entry with one place for the arguments of all its launches, which run one after the other."""
    f.allocas += [f"  %arguments = alloca [{most} x i64], align 8", f"  %params = alloca [{most} x ptr], align 8"]
    for position in range(most):
        f.allocas += [
            f"  %argument{position} = getelementptr inbounds i64, ptr %arguments, i64 {position}",
            f"  %param{position} = getelementptr inbounds ptr, ptr %params, i64 {position}",
            f"  store ptr %argument{position}, ptr %param{position}, align 8",
        ]
    program.entry(f, op)


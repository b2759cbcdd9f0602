"""Kernels of GPUs in LLVM text: what the dialects `cuda` and `rocm` share.

An `Isa` says how a target spells what only hardware knows: ids, barriers, the exchange between lanes. The handlers here emit the
ops of the target's dialect with it; everything else is the shared emitter's.

Helper functions (`kernel.func`) are inlined. They may ask for ids, but not for the size of their block: only a kernel knows it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from xdsl.dialects.builtin import i1
from xdsl.ir import Operation

from rlx_backends.gpu import llvm_ids as ids
from rlx_backends.gpu import llvm_matrix as matrix
from rlx_backends.gpu import llvm_subgroups as subgroups
from rlx_backends.gpu.llvm_isa import Isa, kernel_around
from rlx_backends.gpu.shared_memory import shared_layout
from rlx_backends.llvm.emitter import define_argument, symbol
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import llvm_type
from rlx_dialects.gpu import KernelOp
from rlx_dialects.gpu.ops import AtomicOp, FenceOp, SharedOp
from rlx_dialects.kernel.functions import EntryOp, PlanOp
from rlx_dialects.kernel.pointers import PrefetchOp
from rlx_dialects.kernel.team import FaultOp
from rlx_dialects.kernel.types import PtrType, is_float, ptr_type

SHARED = 3
"""LLVM's number of the address space of shared memory, on every GPU."""
DYNAMIC = "rlx_shared"
"""The array that shared memory of unknown size is a part of; its name is the same in all modules."""


def handlers(isa: Isa) -> dict[type[Operation], Callable[[FunctionEmitter, Operation], None]]:
    """Code of the core ops of a dialect; what belongs to the host is left out of device code."""
    ops = isa.ops
    table: dict[type[Operation], Callable[..., None]] = {
        ops.kernel: kernel,
        ops.thread_id: ids.thread_id,
        ops.block_id: ids.block_id,
        ops.block_dim: ids.block_dim,
        ops.grid_dim: ids.grid_dim,
        ops.lane_id: ids.lane_id,
        ops.subgroup_id: ids.subgroup_id,
        ops.shared: shared,
        ops.barrier: lambda isa, f, op: isa.barrier(f),
        ops.subgroup_barrier: lambda isa, f, op: isa.subgroup_barrier(f),
        ops.fence: fence,
        ops.shuffle: subgroups.shuffle,
        ops.subgroup_reduce: subgroups.reduce,
        ops.vote: subgroups.vote,
        ops.atomic: atomic,
        ops.matrix_load: matrix.load,
        ops.matrix_fill: matrix.fill,
        ops.matrix_multiply: matrix.multiply,
        ops.matrix_store: matrix.store,
        FaultOp: fault,
        PrefetchOp: skip,  # other threads hide the latency of memory
        EntryOp: skip,
        PlanOp: skip,
    }
    return {op: partial(emit, isa) for op, emit in table.items()}


def skip(isa: Isa, f: FunctionEmitter, op: Operation) -> None:
    """Emits nothing."""


# -- kernels


def kernel(isa: Isa, f: FunctionEmitter, op: KernelOp) -> None:
    if op.arch != isa.facts.arch:
        raise f.error(op, f"made for {op.arch}, but the target is {isa.facts.arch}")
    parameters: list[str] = []
    for position, argument in enumerate(op.body.block.args):
        attributes = " noalias" if position in op.noalias else ""
        if isinstance(argument.type, PtrType):
            attributes += f" align {argument.type.align.data}"
        parameters += define_argument(f, argument, position, attributes)
    f.body(op.body.block)
    f.line("ret void")
    head = f"define {isa.convention} void {symbol(op.sym_name.data)}({', '.join(parameters)}) {f.target.function_attributes}"
    f.lines[:] = [f"{head} {isa.kernel_attributes(f, op)} {{", "entry:", *f.allocas, *f.lines, "}"]


# -- memory


def shared(isa: Isa, f: FunctionEmitter, op: SharedOp) -> None:
    around = kernel_around(op)
    if around is None:
        raise f.error(op, "shared memory is declared in a kernel", hint="pass the pointer to the function as an argument")
    layout = shared_layout(around)
    if layout.dynamic:
        name, offset = DYNAMIC, layout.offsets[op]
        text = f"@{DYNAMIC} = external addrspace({SHARED}) global [0 x i8], align {max(16, layout.align)}\n"
    else:
        name, offset = f"{around.sym_name.data}_shared_{list(layout.offsets).index(op)}", 0
        type_ = ptr_type(op.result)
        element = "i8" if type_.element_type == i1 else llvm_type(type_.element_type)
        memory = f"[{op.count.value.data} x {element}] poison, align {type_.align.data}"
        text = f"{symbol(name)} = internal addrspace({SHARED}) global {memory}\n"
    f.module.helper(name, text)
    f.define(op.result, [f.emit(f"getelementptr i8, ptr addrspace({SHARED}) {symbol(name)}, i64 {offset}")])


def fence(isa: Isa, f: FunctionEmitter, op: FenceOp) -> None:
    f.line(f"fence {isa.scopes[op.scope.data]}acq_rel")


_ATOMICS = {"maxsi": "max", "minsi": "min", "maxui": "umax", "minui": "umin", "exchange": "xchg"}


def atomic(isa: Isa, f: FunctionEmitter, op: AtomicOp) -> None:
    type_ = ptr_type(op.ptr)
    if type_.space.data not in ("global", "shared"):
        raise f.error(op, f"an atomic works on memory that threads share, found {type_}")
    element = llvm_type(type_.element_type)
    kind = f.type_of(type_)
    address = f.address(f.scalar(op.ptr), element, f.scalar(op.index), kind)
    name = _ATOMICS.get(op.kind.data, op.kind.data)
    metadata = ""
    if is_float(type_.element_type) and name == "add":
        name, metadata = "fadd", isa.atomic_metadata
    scope = isa.scopes["device" if type_.space.data == "global" else "block"]
    f.define(op.result, [f.emit(f"atomicrmw {name} {kind} {address}, {element} {f.scalar(op.value)} {scope}monotonic{metadata}")])


def fault(isa: Isa, f: FunctionEmitter, op: FaultOp) -> None:
    """The first fault of a call stays: only who finds code 0 writes."""
    if op.status is None:
        raise f.error(op, "a kernel reports a fault to the status words that it was given")
    kind, status = f.type_of(op.status.type), f.scalar(op.status)
    report, write, done = f.label("fault"), f.label("write"), f.label("go")
    f.branch_if(f.scalar(op.condition), report, done)
    f.start_block(report)
    swap = f.emit(f"cmpxchg {kind} {status}, i64 0, i64 {op.code.value.data} {isa.scopes['device']}monotonic monotonic")
    f.branch_if(f.emit(f"extractvalue {{ i64, i1 }} {swap}, 1"), write, done)
    f.start_block(write)
    details = [f.scalar(value) for value in op.details]
    for place, value in enumerate([f.scalar(op.item), *details, *["0"] * (4 - len(details))], start=1):
        f.line(f"store i64 {value}, {kind} {f.address(status, 'i64', str(place), kind)}, align 8")
    f.branch(done)
    f.start_block(done)

"""What the ops of the GPU dialects do in the simulator, by the name that they have in every dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from xdsl.ir import Operation

from rlx_backends.gpu.simulator import copies, fragments
from rlx_backends.gpu.simulator.exchange import exchange, lane_of
from rlx_backends.gpu.simulator.threads import Simulation
from rlx_backends.llvm import casts
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.reductions import across, combiner
from rlx_backends.llvm.values import SIZES, llvm_type, register_type
from rlx_dialects.cuda.copies import CpAsyncCommitOp, CpAsyncOp, CpAsyncWaitOp
from rlx_dialects.gpu.ops import AtomicOp, FenceOp, IdOp, ShuffleOp, SubgroupReduceOp, VoteOp
from rlx_dialects.gpu.table import dialect_of
from rlx_dialects.kernel.team import FaultOp
from rlx_dialects.kernel.types import is_float, ptr_type
from rlx_dialects.rocm.copies import LoadToLdsOp

Handler = Callable[[Simulation, FunctionEmitter, Any], None]


def _axis(op: IdOp) -> int:
    return "xyz".index(op.axis.data)


# -- ids


def thread_id(sim: Simulation, f: FunctionEmitter, op: IdOp) -> None:
    axis = _axis(op)
    inner = 1
    for size in sim.block[:axis]:
        inner *= size
    size = sim.block[axis]
    if size == 1:
        f.define(op.result, ["0"])
        return
    place = "%thread" if inner == 1 else f.emit(f"udiv i64 %thread, {inner}")
    f.define(op.result, [place if inner * size == sim.threads else f.emit(f"urem i64 {place}, {size}")])


def block_id(sim: Simulation, f: FunctionEmitter, op: IdOp) -> None:
    f.define(op.result, [f"%block.{op.axis.data}"])


def block_dim(sim: Simulation, f: FunctionEmitter, op: IdOp) -> None:
    f.define(op.result, [str(sim.block[_axis(op)])])


def grid_dim(sim: Simulation, f: FunctionEmitter, op: IdOp) -> None:
    f.define(op.result, [sim.load_word(f, f"grid_{op.axis.data}")])


def lane_id(sim: Simulation, f: FunctionEmitter, op: Any) -> None:
    f.define(op.result, [lane_of(sim, f)])


def subgroup_id(sim: Simulation, f: FunctionEmitter, op: Any) -> None:
    f.define(op.result, [f.emit(f"udiv i64 %thread, {sim.lanes}")])


# -- memory


def shared(sim: Simulation, f: FunctionEmitter, op: Any) -> None:
    base = sim.load_word(f, "shared", "ptr")
    f.define(op.result, [f.emit(f"getelementptr inbounds i8, ptr {base}, i64 {sim.shared.offsets[op]}")])


def fence(sim: Simulation, f: FunctionEmitter, op: FenceOp) -> None:
    """Nothing: the threads of a launch run one at a time and see each other's writes in order."""


_RMW = {"maxsi": "max", "minsi": "min", "maxui": "umax", "minui": "umin", "exchange": "xchg"}


def atomic(sim: Simulation, f: FunctionEmitter, op: AtomicOp) -> None:
    kind, element = op.kind.data, ptr_type(op.ptr).element_type
    type_ = llvm_type(element)
    operation = _RMW.get(kind, kind)
    if is_float(element) and kind == "add":
        operation = "fadd"
    place = f.address(f.scalar(op.ptr), type_, f.scalar(op.index))
    value = f.scalar(op.value)
    f.define(op.result, [f.emit(f"atomicrmw {operation} ptr {place}, {type_} {value} monotonic, align {SIZES[type_]}")])


# -- meeting


def barrier(sim: Simulation, f: FunctionEmitter, op: Operation) -> None:
    copies.arrive(sim, f)
    sim.suspend(f, op, whole_block=True)


def subgroup_barrier(sim: Simulation, f: FunctionEmitter, op: Operation) -> None:
    copies.arrive(sim, f)
    sim.suspend(f, op, whole_block=False)


def shuffle(sim: Simulation, f: FunctionEmitter, op: ShuffleOp) -> None:
    type_ = f.pieces(op.source)[0]
    memory = "i8" if type_ == "i1" else type_
    register = f.scalar(op.source)
    kept = f.emit(f"zext i1 {register} to i8") if type_ == "i1" else register
    slots = exchange(sim, f, op, memory, kept)
    offset = f.emit(f"sext i32 {f.scalar(op.offset)} to i64")
    kind, lane = op.kind.data, lane_of(sim, f)
    other = {"xor": f"xor i64 {lane}, {offset}", "up": f"sub i64 {lane}, {offset}", "down": f"add i64 {lane}, {offset}"}
    source = f.emit(other[kind]) if kind in other else offset
    exists = f.emit(f"icmp ult i64 {source}, {sim.lanes}")
    chosen = f.emit(f"select i1 {exists}, i64 {source}, i64 {lane}")
    found = f.emit(f"load {memory}, ptr {f.address(slots, memory, chosen)}, align {SIZES[memory]}")
    f.define(op.result, [f.emit(f"trunc i8 {found} to i1") if type_ == "i1" else found])


def subgroup_reduce(sim: Simulation, f: FunctionEmitter, op: SubgroupReduceOp) -> None:
    """Halves of the subgroup meet, as in a butterfly of shuffles; narrow floats are summed in f32 and rounded once."""
    kind = op.source.type
    type_, narrow = f.pieces(op.source)[0], casts.is_narrow(kind)
    memory = "i8" if type_ == "i1" else type_
    register = f.scalar(op.source)
    slots = exchange(sim, f, op, memory, f.emit(f"zext i1 {register} to i8") if type_ == "i1" else register)
    lanes = sim.lanes
    values = f.emit(f"load {register_type(memory, lanes)}, ptr {slots}, align {SIZES[memory]}")
    if type_ == "i1":
        values = f.emit(f"trunc {register_type('i8', lanes)} {values} to {register_type('i1', lanes)}")
    element = "float" if narrow else type_
    if narrow:
        values = casts.widen(f, values, kind, lanes)
    (total,) = across(f, [[values]], [lanes], [element], combiner(f, cast(Any, op), element))
    f.define(op.result, [casts.narrow(f, total, kind, 0) if narrow else total])


def vote(sim: Simulation, f: FunctionEmitter, op: VoteOp) -> None:
    slots = exchange(sim, f, op, "i8", f.emit(f"zext i1 {f.scalar(op.source)} to i8"))
    lanes = sim.lanes
    bytes_ = f.emit(f"load {register_type('i8', lanes)}, ptr {slots}, align 1")
    votes = f.emit(f"icmp ne {register_type('i8', lanes)} {bytes_}, zeroinitializer")
    bits = f.emit(f"bitcast {register_type('i1', lanes)} {votes} to i{lanes}")
    f.define(op.result, [f.emit(f"icmp {'ne' if op.kind.data == 'any' else 'eq'} i{lanes} {bits}, {-(op.kind.data == 'all')}")])


# -- faults


def fault(sim: Simulation, f: FunctionEmitter, op: FaultOp) -> None:
    if op.status is None:
        raise f.error(op, "a kernel of a GPU reports to the status words that it was given")
    report, done = f.label("fault"), f.label("go")
    f.branch_if(f.scalar(op.condition), report, done)
    f.start_block(report)
    details = [f.scalar(value) for value in op.details]
    words = [str(op.code.value.data), f.scalar(op.item), *details, *["0"] * (4 - len(details))]
    f.line(f"call void @sim.fault(ptr {f.scalar(op.status)}, {', '.join(f'i64 {value}' for value in words)})")
    f.branch(done)
    f.start_block(done)


_BY_ROLE: dict[str, Handler] = {
    "kernel": lambda sim, f, op: sim.emit_kernel(f, op),
    "thread_id": thread_id,
    "block_id": block_id,
    "block_dim": block_dim,
    "grid_dim": grid_dim,
    "lane_id": lane_id,
    "subgroup_id": subgroup_id,
    "shared": shared,
    "barrier": barrier,
    "subgroup_barrier": subgroup_barrier,
    "fence": fence,
    "shuffle": shuffle,
    "subgroup_reduce": subgroup_reduce,
    "vote": vote,
    "atomic": atomic,
    "matrix_load": fragments.load,
    "matrix_fill": fragments.fill,
    "matrix_multiply": fragments.multiply,
    "matrix_store": fragments.store,
}

_BY_CLASS: dict[type[Operation], Handler] = {
    FaultOp: fault,
    CpAsyncOp: copies.cp_async,
    CpAsyncCommitOp: copies.commit,
    CpAsyncWaitOp: copies.wait,
    LoadToLdsOp: copies.load_to_lds,
}


def handlers(sim: Simulation) -> dict[type[Operation], Callable[[FunctionEmitter, Operation], None]]:
    """The table of all GPU dialects."""

    def bound(handler: Handler) -> Callable[[FunctionEmitter, Operation], None]:
        return lambda f, op: handler(sim, f, op)

    table = {op: bound(handler) for op, handler in _BY_CLASS.items()}
    for name in ("cuda", "rocm", "metal"):
        ops = dialect_of(name)
        table |= {getattr(ops, role): bound(handler) for role, handler in _BY_ROLE.items()}
    return table


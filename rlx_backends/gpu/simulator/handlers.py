"""What the ops of the GPU dialects do in the simulator, by the name that they have in every dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from xdsl.ir import Operation

from rlx_backends.gpu.simulator.layout import SLOT_BYTES
from rlx_backends.gpu.simulator.threads import Simulation
from rlx_backends.llvm import casts
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.reductions import across, combiner
from rlx_backends.llvm.values import SIZES, llvm_type, register_type, vector_literal
from rlx_dialects.gpu.ops import AtomicOp, FenceOp, IdOp, ShuffleOp, SubgroupReduceOp, VoteOp
from rlx_dialects.gpu.table import dialect_of
from rlx_dialects.kernel.team import FaultOp
from rlx_dialects.kernel.types import is_float, ptr_type

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


def _lane(sim: Simulation, f: FunctionEmitter) -> str:
    return f.emit(f"urem i64 %thread, {sim.lanes}")


def lane_id(sim: Simulation, f: FunctionEmitter, op: Any) -> None:
    f.define(op.result, [_lane(sim, f)])


def subgroup_id(sim: Simulation, f: FunctionEmitter, op: Any) -> None:
    f.define(op.result, [f.emit(f"udiv i64 %thread, {sim.lanes}")])


# -- memory


def shared(sim: Simulation, f: FunctionEmitter, op: Any) -> None:
    base = sim.load_word(f, "shared", "ptr")
    f.define(op.result, [f.emit(f"getelementptr inbounds i8, ptr {base}, i64 {sim.shared[op.result]}")])


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
    sim.suspend(f, op, whole_block=True)


def subgroup_barrier(sim: Simulation, f: FunctionEmitter, op: Operation) -> None:
    sim.suspend(f, op, whole_block=False)


def exchange(sim: Simulation, f: FunctionEmitter, op: Operation, type_: str, register: str) -> str:
    """Hand a register to the subgroup and wait: the address of what all lanes gave, one after another.

    Lanes read it before they come to the next collective op but one, so two sets of slots are enough.
    """
    assert SIZES[type_] <= SLOT_BYTES
    slots = sim.load_word(f, "slots", "ptr")
    f.line(f"store {type_} {register}, ptr {f.address(slots, type_, _lane(sim, f))}, align {SIZES[type_]}")
    sim.suspend(f, op, whole_block=False)
    return slots


def _lanes_here(sim: Simulation, f: FunctionEmitter) -> str:
    """How many threads the subgroup has: the last one of a block may have fewer."""
    if sim.threads % sim.lanes == 0:
        return str(sim.lanes)
    first = f.emit(f"sub i64 %thread, {_lane(sim, f)}")
    rest = f.emit(f"sub i64 {sim.threads}, {first}")
    return f.elementwise_intrinsic("umin", "i64", 0, rest, str(sim.lanes))


def shuffle(sim: Simulation, f: FunctionEmitter, op: ShuffleOp) -> None:
    type_ = f.pieces(op.source)[0]
    memory = "i8" if type_ == "i1" else type_
    register = f.scalar(op.source)
    kept = f.emit(f"zext i1 {register} to i8") if type_ == "i1" else register
    slots = exchange(sim, f, op, memory, kept)
    offset = f.emit(f"sext i32 {f.scalar(op.offset)} to i64")
    kind, lane = op.kind.data, _lane(sim, f)
    other = {"xor": f"xor i64 {lane}, {offset}", "up": f"sub i64 {lane}, {offset}", "down": f"add i64 {lane}, {offset}"}
    source = f.emit(other[kind]) if kind in other else offset
    exists = f.emit(f"icmp ult i64 {source}, {_lanes_here(sim, f)}")
    chosen = f.emit(f"select i1 {exists}, i64 {source}, i64 {lane}")
    found = f.emit(f"load {memory}, ptr {f.address(slots, memory, chosen)}, align {SIZES[memory]}")
    f.define(op.result, [f.emit(f"trunc i8 {found} to i1") if type_ == "i1" else found])


def subgroup_reduce(sim: Simulation, f: FunctionEmitter, op: SubgroupReduceOp) -> None:
    """Halves of the subgroup meet, as in a butterfly of shuffles; narrow floats are summed in f32 and rounded once."""
    if sim.threads % sim.lanes:
        raise f.error(op, f"a block of {sim.threads} threads has a subgroup with less than {sim.lanes} lanes")
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
    lanes, count = sim.lanes, _lanes_here(sim, f)
    bytes_ = f.emit(f"load {register_type('i8', lanes)}, ptr {slots}, align 1")
    votes = f.emit(f"icmp ne {register_type('i8', lanes)} {bytes_}, zeroinitializer")
    number = vector_literal([str(lane) for lane in range(lanes)], "i64")
    here = f.emit(f"icmp ult {register_type('i64', lanes)} {number}, {f.splat(count, 'i64', lanes)}")
    kind = register_type("i1", lanes)
    if op.kind.data == "any":
        bits = f.emit(f"bitcast {kind} {f.emit(f'and {kind} {votes}, {here}')} to i{lanes}")
        f.define(op.result, [f.emit(f"icmp ne i{lanes} {bits}, 0")])
        return
    absent = f.emit(f"xor {kind} {here}, splat (i1 true)")
    bits = f.emit(f"bitcast {kind} {f.emit(f'or {kind} {votes}, {absent}')} to i{lanes}")
    f.define(op.result, [f.emit(f"icmp eq i{lanes} {bits}, -1")])


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
}


def handlers(sim: Simulation) -> dict[type[Operation], Callable[[FunctionEmitter, Operation], None]]:
    """The table of all GPU dialects."""

    def bound(handler: Handler) -> Callable[[FunctionEmitter, Operation], None]:
        return lambda f, op: handler(sim, f, op)

    table: dict[type[Operation], Callable[[FunctionEmitter, Operation], None]] = {FaultOp: bound(fault)}
    for name in ("cuda", "rocm", "metal"):
        ops = dialect_of(name)
        table |= {getattr(ops, role): bound(handler) for role, handler in _BY_ROLE.items()}
    return table


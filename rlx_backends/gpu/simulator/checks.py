"""Checks of accesses: the memory that a pointer may touch, and the alignment that was promised.

A check stands before each access of a kernel. An argument may touch the allocation that it points into, shared and private
memory their own extent; where a pointer comes from cannot always be seen, then any live allocation will do.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

from xdsl.dialects.builtin import ModuleOp, i1
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition

from rlx_backends.gpu.simulator.layout import MISALIGNED, OUT_OF_BOUNDS
from rlx_backends.gpu.simulator.threads import Root, Simulation
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import lane_starts, llvm_type
from rlx_dialects.gpu.ops import AtomicOp
from rlx_dialects.kernel.memory import GatherOp, LoadOp, ScatterOp, StoreOp
from rlx_dialects.kernel.types import byte_size, ptr_type, shape_of

ACCESSES = (LoadOp, StoreOp, GatherOp, ScatterOp, AtomicOp)


@irdl_op_definition
class CheckOp(IRDLOperation):
    """Stops the thread if the access that follows would go wrong."""

    name = "simulator.check"


def guard_accesses(
    module: ModuleOp, simulation: Simulation
) -> dict[type[Operation], Callable[[FunctionEmitter, Operation], None]]:
    """Put a check before each access of the module; returns the handler that they need."""
    for op in list(module.walk()):
        if isinstance(op, ACCESSES):
            block = op.parent
            assert block is not None
            block.insert_op_before(CheckOp(), op)

    def check(f: FunctionEmitter, op: Operation) -> None:
        access = op.next_op
        assert isinstance(access, ACCESSES)
        _AccessCheck(simulation, f, access).emit()

    return {CheckOp: check}


class Checker:
    """Checks of accesses through one pointer by one op; nothing unless the simulation is checked."""

    def __init__(self, sim: Simulation, f: FunctionEmitter, op: Operation, pointer: SSAValue):
        self.sim, self.f, self.type = sim, f, ptr_type(pointer)
        element = self.type.element_type
        self.memory = "i8" if element == i1 else llvm_type(element)
        self.size = byte_size(element)
        if sim.checked:
            self.pointer = f.scalar(pointer)
            self.site = sim.site_of(op)
            self.bounds = self._bounds(sim.root(f, pointer))

    def _bounds(self, root: Root) -> tuple[str, str] | None:
        f = self.f
        if root.kind == "argument":
            ranges = self.sim.load_word(f, "ranges", "ptr")
            low = f.emit(f"getelementptr inbounds [2 x i64], ptr {ranges}, i64 {root.number}")
            high = f.emit(f"getelementptr inbounds i64, ptr {low}, i64 1")
            return f.emit(f"load i64, ptr {low}, align 8"), f.emit(f"load i64, ptr {high}, align 8")
        if root.kind == "private":
            low = f.emit(f"ptrtoint ptr {root.register} to i64")
            return low, f.emit(f"add i64 {low}, {root.bytes}")
        if self.type.space.data == "shared":
            base = self.sim.load_word(f, "shared")
            first, size = (root.number, root.bytes) if root.kind else (0, self.sim.shared.total)
            low = f.emit(f"add i64 {base}, {first}")
            return low, f.emit(f"add i64 {low}, {size}")
        return None

    def check(self, index: str, length: str, align: int, active: str | None = None) -> None:
        """`length` bytes from an element on, at a multiple of `align`; nothing if not `active`."""
        if not self.sim.checked:
            return
        f = self.f
        place = f.emit(f"ptrtoint ptr {f.address(self.pointer, self.memory, index)} to i64")
        outside = None
        if self.bounds is not None:
            end = f.emit(f"add i64 {place}, {length}")
            before = f.emit(f"icmp ult i64 {place}, {self.bounds[0]}")
            outside = f.emit(f"or i1 {before}, {f.emit(f'icmp ugt i64 {end}, {self.bounds[1]}')}")
        elif self.type.space.data in ("global", "constant"):
            outside = f.emit(f"call i1 @sim.outside(ptr %sim, i64 {place}, i64 {length})")
        odd = f.emit(f"icmp ne i64 {f.emit(f'and i64 {place}, {align - 1}')}, 0") if align > 1 else "false"
        bad = odd if outside is None else f.emit(f"or i1 {outside}, {odd}")
        if active is not None:
            bad = f.emit(f"and i1 {bad}, {active}")
        code = str(MISALIGNED)
        if outside is not None:
            code = f.emit(f"select i1 {outside}, i64 {OUT_OF_BOUNDS}, i64 {MISALIGNED}")
        self.sim.stop_if(f, bad, self.site, code, place, length)


class _AccessCheck(Checker):
    """The check of one op of the kernel level."""

    def __init__(self, sim: Simulation, f: FunctionEmitter, op: LoadOp | StoreOp | GatherOp | ScatterOp | AtomicOp):
        super().__init__(sim, f, op, op.ptr)
        self.op = op

    def emit(self) -> None:
        op, f = self.op, self.f
        if isinstance(op, AtomicOp):
            self.check(f.scalar(op.index), str(self.size), self.size)
            return
        mask = f[op.mask] if op.mask is not None else None
        if isinstance(op, GatherOp | ScatterOp):
            indices = f[op.indices]
            for lane in range(shape_of(op.indices.type)[0]):
                index = f.lane(indices, lane)
                if indices.type != "i64":
                    index = f.emit(f"sext {indices.type} {index} to i64")
                self.check(index, str(self.size), self.size, f.lane(mask, lane) if mask else None)
            return
        shape = shape_of(op.result.type if isinstance(op, LoadOp) else op.value.type)
        align = gcd(ptr_type(op.ptr).align.data, f.alignment.of(op.index) * self.size)
        index = f.scalar(op.index)
        if op.stride is None:
            self.row(index, shape[-1] if shape else 1, align, op.mask, 0)
            return
        stride, step = f.scalar(op.stride), f.alignment.of(op.stride) * self.size
        for row in range(shape[0]):
            at = f.emit(f"add i64 {index}, {f.emit(f'mul i64 {stride}, {row}')}")
            if len(shape) == 2:
                self.row(at, shape[1], gcd(align, step * row), op.mask, row)
            else:
                self.check(at, str(self.size), gcd(align, step * row), f.lane(mask, row) if mask else None)

    def row(self, index: str, count: int, align: int, mask: SSAValue | None, row: int) -> None:
        """Neighbouring elements; of masked ones, from the first to the last that is touched."""
        f = self.f
        if mask is None:
            self.check(index, str(count * self.size), align)
            return
        value = f[mask]
        for start, width, register in zip(lane_starts(value.widths), value.widths, value.row(row)):
            bits = f.emit(f"zext i{width} {f.emit(f'bitcast <{width} x i1> {register} to i{width}')} to i64")
            first = f.intrinsic("llvm.cttz.i64", "i64", [("i64", bits), ("i1", "false")])
            zeros = f.intrinsic("llvm.ctlz.i64", "i64", [("i64", bits), ("i1", "false")])
            touched = f.emit(f"sub i64 {f.emit(f'sub i64 64, {zeros}')}, {first}")
            at = f.emit(f"add i64 {f.emit(f'add i64 {index}, {start}')}, {first}")
            length = f.emit(f"mul i64 {touched}, {self.size}")
            self.check(at, length, self.size, f.emit(f"icmp ne i64 {bits}, 0"))

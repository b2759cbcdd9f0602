"""The entry function of a program: where every buffer is, what runs in which order, and where the team must wait.

A barrier stands before a form that touches memory another form wrote since the last one (or writes memory another read), unless
every thread touches its own part of it in both (see `sharing`). Slots that share arena bytes count as the same memory unless
their ranges are proved apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from xdsl.dialects import arith, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr, NoneAttr
from xdsl.ir import Block, Operation, Region, SSAValue

from rlx_backends.support.boundary import THREADS, boundary
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.kernel_cache import KernelCache
from rlx_backends.support.sharing import Touched, conflicts, equal_parts, touched
from rlx_dialects import kernel
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import (
    BufferType,
    ConstantOp,
    FormOp,
    PackedOp,
    ProgramOp,
    ScheduleAttr,
    SlotOp,
    StateOp,
    ViewOp,
)
from rlx_dialects.lir.structure import BOUNDARY
from rlx_dialects.rlx import ConstraintAttr, declared_dims
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError


@dataclass
class EntryWriter:
    """Writes one `kernel.entry`."""

    program: ProgramOp
    facts: Facts
    kernels: KernelCache
    block: Block = field(default_factory=Block)
    pointers: dict[SSAValue, SSAValue] = field(default_factory=dict)
    symbols: dict[str, SSAValue] = field(default_factory=dict)
    written: list[Touched] = field(default_factory=list)
    read: list[Touched] = field(default_factory=list)
    item: int = 0

    def write(self) -> kernel.EntryOp:
        for number, dim in enumerate(declared_dims(self.program)):
            value = self.emit(kernel.DimOp(number))
            value.name_hint = dim.symbol.data
            self.symbols[dim.symbol.data] = value
        self.symbols[THREADS] = self.emit(kernel.NumThreadsOp())
        for number, op in enumerate(boundary(self.program)):
            kind = op.results[0].type
            assert isinstance(kind, BufferType)
            # Packed weights, states and constants come from our own allocations; anything else only has its elements aligned.
            align = 64 if isinstance(op, PackedOp | StateOp | ConstantOp) else None
            pointer = self.emit(kernel.BufferOp(number, kind.scalar_type, align))
            pointer.name_hint = op.results[0].name_hint
            self.pointers[op.results[0]] = pointer
        for op in self.program.block.ops:
            self.write_op(op)
        self.block.add_op(kernel.ReturnOp())
        return kernel.EntryOp(f"rlx_{self.program.sym_name.data}", Region(self.block))

    def emit(self, op: Operation) -> SSAValue:
        self.block.add_op(op)
        return op.results[0]

    def value(self, expr: DimExpr) -> SSAValue:
        if expr.is_const:
            return self.emit(arith.ConstantOp(IntegerAttr(expr.value, IndexType())))
        if expr.is_symbol:
            return self.symbols[str(expr)]
        return self.emit(kernel.ApplyOp(expr, {name: self.symbols[name] for name in sorted(expr.symbols)}))

    def write_op(self, op: Operation) -> None:
        if isinstance(op, SlotOp):
            kind = op.result.type
            assert isinstance(kind, BufferType)
            place = self.value(op.offset.data)
            if op.stride is not None:
                share = self.emit(arith.MuliOp(self.emit(kernel.ThreadIdOp()), self.value(op.stride.data)))
                place = self.emit(arith.AddiOp(place, share))
            self.pointers[op.result] = self.emit(kernel.ArenaOp(place, kind.scalar_type, 64))
            self.pointers[op.result].name_hint = op.result.name_hint
        elif isinstance(op, ViewOp):
            pointer = self.pointers[op.source]
            if op.offset is not None:
                pointer = self.emit(kernel.OffsetOp(pointer, self.value(op.offset.data)))
            self.pointers[op.result] = pointer
        elif isinstance(op, FormOp):
            self.write_form(op)
        elif not isinstance(op, (*BOUNDARY, ConstantOp)):
            raise LowerError(
                f"target '{self.kernels.backend.name}' cannot run '{op.name}'", code="no-kernel", location=location_of(op)
            )

    # -- forms

    def write_form(self, form: FormOp) -> None:
        if form.schedule is None:
            raise LowerError(f"'{form.name}' has no schedule", code="no-schedule", location=location_of(form))
        self.separate(form)
        self.write_schedules(form, [s for s in form.schedule.data if isinstance(s, ScheduleAttr)], 0)
        self.item += 1

    def write_schedules(self, form: FormOp, schedules: list[ScheduleAttr], at: int) -> None:
        """`if condition { first } else { the rest }`; the last has no condition."""
        schedule = schedules[at]
        if isinstance(schedule.condition, NoneAttr) or at == len(schedules) - 1:
            self.write_call(form, schedule, at)
            return
        condition = schedule.condition
        assert isinstance(condition, ConstraintAttr)
        predicate = "sle" if condition.relation.data == "<=" else "eq"
        flag = self.emit(arith.CmpiOp(self.value(condition.lhs.data), self.value(condition.rhs.data), predicate))
        outer = self.block
        regions: list[Region] = []
        for step in (lambda: self.write_call(form, schedule, at), lambda: self.write_schedules(form, schedules, at + 1)):
            self.block = Block()
            step()
            self.block.add_op(scf.YieldOp())
            regions.append(Region(self.block))
        self.block = outer
        self.block.add_op(scf.IfOp(flag, [], regions[0], regions[1]))

    def write_call(self, form: FormOp, schedule: ScheduleAttr, at: int) -> None:
        builder = self.kernels.kernel(form, schedule, self.facts)
        arguments: list[SSAValue] = []
        scratch = list(form.scratch)[self.scratch_start(form, at) :][: builder.scratch_count]
        for value, wanted in zip([*form.ins, *form.extra, *form.outs, *scratch], builder.pointer_types, strict=True):
            pointer = self.pointers[value]
            if pointer.type != wanted:
                # A kernel claims no alignment: equal kernels serve buffers of any.
                pointer = self.emit(kernel.PtrCastOp(pointer, wanted.element_type, wanted.align.data))
            arguments.append(pointer)
        arguments += [self.symbol_argument(name) for name in builder.symbols]
        if builder.can_fault:
            arguments += self.fault_arguments()
        self.run(builder, arguments)

    # -- what a program for another kind of machine does differently

    def symbol_argument(self, name: str) -> SSAValue:
        return self.symbols[name]

    def fault_arguments(self) -> list[SSAValue]:
        return [self.value(const(self.item))]

    def run(self, builder: KernelBuilder, arguments: list[SSAValue]) -> None:
        self.block.add_op(kernel.CallOp(builder.name, arguments))

    def scratch_start(self, form: FormOp, at: int) -> int:
        """Scratch of the schedules before this one comes first."""
        assert form.schedule is not None
        schedules = self.kernels.backend.schedules(form)
        earlier = [s for s in form.schedule.data[:at] if isinstance(s, ScheduleAttr)]
        return sum(len(schedules.scratch(form, s, self.kernels.target, self.facts)) for s in earlier)

    # -- barriers

    def separate(self, form: FormOp) -> None:
        """A barrier if the form's memory conflicts with what ran since the last one."""
        parts = self.parts(form)
        reads = [touched(v, part) for (v, _), part in zip(form.reads, parts, strict=False)]
        writes = [touched(v, part) for (v, _), part in zip(form.writes, parts[len(reads) :], strict=True)]
        # Scratch is each thread's own, but its bytes may have been somebody's buffer.
        writes += [touched(v) for v in form.scratch]
        needed = conflicts(reads, writes, self.read, self.written, self.facts)
        if needed is None:
            self.block.add_op(kernel.BarrierOp(interruptible=True))
            self.written, self.read = [], []
        elif needed:
            self.separate_unless(needed)
            self.written = [replace(one, assumed=one.assumed | needed) for one in self.written]
            self.read = [replace(one, assumed=one.assumed | needed) for one in self.read]
        self.written += writes
        self.read += reads

    def parts(self, form: FormOp) -> list[frozenset[DimExpr] | None]:
        """The `Touched.parts` of the form's operands under all of its schedules."""
        assert form.schedule is not None
        schedules = self.kernels.backend.schedules(form)
        found: list[frozenset[DimExpr] | None] = [frozenset()] * (len(form.reads) + len(form.writes))
        for schedule in form.schedule.data:
            assert isinstance(schedule, ScheduleAttr)
            of_one = equal_parts(form, schedules.split(form, schedule, self.facts), self.facts)
            found = [None if a is None or b is None else a | b for a, b in zip(found, of_one, strict=True)]
        return found

    def separate_unless(self, numbers: frozenset[DimExpr]) -> None:
        """A barrier if the size of the team does not divide all of `numbers`."""
        flags: list[SSAValue] = []
        for number in sorted(numbers, key=str):
            rest = self.emit(arith.RemSIOp(self.value(number), self.symbols[THREADS]))
            flags.append(self.emit(arith.CmpiOp(rest, self.value(const(0)), "ne")))
        while len(flags) > 1:
            flags = [*flags[2:], self.emit(arith.OrIOp(flags[0], flags[1]))]
        self.block.add_op(scf.IfOp(flags[0], [], [kernel.BarrierOp(interruptible=True), scf.YieldOp()]))

"""Runs the forms of an LIR program as native kernels and compares with the NumPy semantics in float64.

Every buffer lies between guard zones: poison that a kernel must not change, and that makes results NaN if it is read into them.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp, NoneAttr
from xdsl.ir import Operation, SSAValue

from rlx_backends.base import Scratch
from rlx_backends.cpu.target import CpuTarget, host
from rlx_backends.numpy.lir_executor import run_lir
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_dialects.kernel import BufferOp, CallOp, DimOp, EntryOp, OffsetOp, ReturnOp, ThreadIdOp
from rlx_dialects.lir import (
    AccessAttr,
    BufferType,
    FormOp,
    OutputOp,
    PackedOp,
    ProgramOp,
    ScheduleAttr,
    StateOp,
    ViewOp,
    buffer,
    programs,
    root_buffer,
)
from rlx_dialects.lir.semantics import Buffer, storage_dtype
from rlx_dialects.rlx import ConstraintAttr, dtypes, facts_of
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from tests.backends.cpu.harness import Program

GUARD = 256
"""Bytes before and after each buffer."""
ITEM = 7
"""The schedule item that kernels are told they are."""
POISON = 0xFF
"""As a float of any width this is NaN."""
MODULES = {
    "lir.map": "map",
    "lir.reduce": "reduce",
    "lir.contract": "contract",
    "lir.attention": "attention",
    "lir.scan": "sequential",
    "lir.sort": "sequential",
    "lir.scatter": "sequential",
}


def parse(text: str) -> ModuleOp:
    module = parse_module(make_context(), text, "test.mlir")
    module.verify()
    return module


def schedules_of(form: FormOp) -> Any:
    return importlib.import_module(f"rlx_backends.cpu.schedules.{MODULES[form.name]}")


_LIBC = ctypes.CDLL(None, use_errno=True)


class Memory:
    """An array behind a guard zone; everything is poison until it is written. What follows it is more poison, or, with `fence`, no memory at all."""

    def __init__(self, size: int, element: Any, fence: bool = True):
        if fence:
            page = mmap.PAGESIZE
            whole = -(-(size + GUARD) // page) * page
            self.map = mmap.mmap(-1, whole + page)
            self.bytes = np.frombuffer(self.map, np.uint8)[:whole]
            assert _LIBC.mprotect(ctypes.c_void_p(self.bytes.ctypes.data + whole), page, 0) == 0
            self.span = slice(whole - size, whole)
        else:
            self.bytes = np.empty(size + 2 * GUARD + 64, np.uint8)
            start = -self.bytes.ctypes.data % 64 + GUARD
            self.span = slice(start, start + size)
        self.bytes[...] = POISON
        self.array = self.bytes[self.span].view(storage_dtype(element) if element != dtypes.BOOL else np.uint8)

    def check(self, what: str) -> None:
        inside = np.zeros(len(self.bytes), bool)
        inside[self.span] = True
        assert (self.bytes[~inside] == POISON).all(), f"{what} was written outside its bounds"


def memory_of(kind: BufferType, dims: Mapping[str, int], values: np.ndarray | None) -> Memory:
    memory = Memory(kind.size_bytes.evaluate(dims), kind.element_type)
    if values is not None:
        stored = Buffer.from_array(kind, dims, values).storage
        known = np.zeros(stored.shape, bool)
        known |= ~np.isnan(stored) if stored.dtype.kind == "f" else True
        flat = memory.array.view(stored.dtype).reshape(-1)
        flat[known.reshape(-1)] = stored.reshape(-1)[known.reshape(-1)]
    return memory


def holds(condition: ConstraintAttr, dims: Mapping[str, int]) -> bool:
    lhs, rhs = condition.lhs.data.evaluate(dims), condition.rhs.data.evaluate(dims)
    return lhs <= rhs if condition.relation.data == "<=" else lhs == rhs


@dataclass
class Compiled:
    """A kernel ready to run."""

    program: Program
    ir: str
    symbols: tuple[str, ...]
    can_fault: bool


_COMPILED: dict[tuple[str, int, str, CpuTarget], Compiled] = {}
"""Compiled once for all sizes and team sizes; by program, number of the form, schedule and target."""


def _entry(b: KernelBuilder, scratch: Sequence[Scratch]) -> EntryOp:
    """Calls the kernel with the buffers, this thread's scratch (its stride is a dim after the kernel's), and the dims."""
    entry = EntryOp("run")
    block = entry.body.block
    arguments: list[SSAValue] = []

    def value(op: Operation) -> SSAValue:
        block.add_op(op)
        return op.results[0]

    outside = len(b.pointer_types) - len(scratch)
    dims = len(b.symbols) + b.can_fault
    for number, kind in enumerate(b.pointer_types):
        pointer = value(BufferOp(number, kind.element_type, kind.align.data))
        if number >= outside:
            place = value(arith.MuliOp(value(ThreadIdOp()), value(DimOp(dims + number - outside))))
            pointer = value(OffsetOp(pointer, place, kind.align.data))
        arguments.append(pointer)
    arguments += [value(DimOp(number)) for number in range(dims)]
    block.add_op(CallOp(b.name, arguments))
    block.add_op(ReturnOp())
    return entry


def _width(need: Scratch) -> int:
    return dtypes.bit_width(need.element_type) // 8


def _stride(need: Scratch, dims: Mapping[str, int]) -> int:
    """Elements from one thread's scratch to the next, a multiple of 64 bytes."""
    return -(-need.elements.evaluate(dims) // 64) * 64 + 64


class NativeRun:
    """One program on native kernels."""

    def __init__(self, text: str, arrays: Mapping[str, np.ndarray], dims: Mapping[str, int], target: CpuTarget | None = None):
        self.text, self.arrays, self.dims = text, arrays, dims
        self.target = target or host()
        self.kinds: list[str] = []
        self.status = np.zeros(6, np.int64)

    def run(self, threads: int) -> dict[str, np.ndarray]:
        module = parse(self.text)
        (program,) = programs(module)
        memories: dict[SSAValue, Memory] = {}
        results: dict[str, SSAValue] = {}
        self.kinds = []
        for op in list(program.block.ops):
            if isinstance(op, FormOp):
                self._form(program, op, memories, threads)
            elif not isinstance(op, ViewOp) and op.results:
                value = op.results[0]
                assert isinstance(value.type, BufferType)
                name = op.sym_name.data if hasattr(op, "sym_name") else ""
                memories[value] = memory_of(value.type, self.dims, self.arrays.get(name))
                if isinstance(op, OutputOp | StateOp):
                    results[name] = value
        for value, memory in memories.items():
            memory.check(str(value.name_hint))
        found: dict[str, np.ndarray] = {}
        for name, value in results.items():
            assert isinstance(value.type, BufferType)
            shape = [dim.evaluate(self.dims) for dim in value.type.physical_dims]
            stored = memories[value].array.reshape(shape)
            found[name] = stored.view(np.bool_) if value.type.element_type == dtypes.BOOL else stored
        return found

    def _form(self, program: ProgramOp, form: FormOp, memories: dict[SSAValue, Memory], threads: int) -> None:
        facts = facts_of(form)
        schedules = schedules_of(form)
        chosen = [s for s in schedules.choose(form, self.target, facts)]
        assert 1 <= len(chosen) <= 4
        schedule = next(s for s in chosen if isinstance(s.condition, NoneAttr) or holds(s.condition, self.dims))
        self.kinds.append(schedule.kind.data)
        scratch = schedules.scratch(form, schedule, self.target, facts)
        packed = {s: list(schedules.packs(form, s, self.target, facts)) for s in chosen}
        for other in packed.values():
            assert other == packed[schedule], "schedules of one form disagree on packing"
        for pack in packed[schedule]:
            self._pack(program, form, pack, memories)
        key = (self.text, len(self.kinds), str(schedule), self.target)
        kernel = _COMPILED.get(key)
        if kernel is None:
            form.verify()
            b = KernelBuilder("kernel", form, schedule, self.target, facts, scratch)
            schedules.lower(b, form, schedule)
            module = ModuleOp([b.finish(), _entry(b, scratch)])
            kernel = _COMPILED[key] = Compiled(Program(module, self.target), str(b.func), b.symbols, b.can_fault)
        self.ir = kernel.ir
        spaces = [Memory(threads * _stride(need, self.dims) * _width(need), need.element_type, fence=False) for need in scratch]
        buffers = [self._address(v, memories) for v in (*form.ins, *form.extra, *form.outs)]
        dims = [*(self.dims[name] for name in kernel.symbols), *([ITEM] if kernel.can_fault else [])]
        dims += [_stride(need, self.dims) for need in scratch]
        _, self.status = kernel.program.call("run", [*buffers, *(m.array for m in spaces)], dims, threads=threads)
        for memory in spaces:
            memory.check("scratch")

    def _address(self, value: SSAValue, memories: dict[SSAValue, Memory]) -> np.ndarray:
        kind, offset = value.type, 0
        assert isinstance(kind, BufferType)
        root = value
        while isinstance(root.owner, ViewOp):
            offset += root.owner.offset.data.evaluate(self.dims) if root.owner.offset else 0
            root = root.owner.source
        return memories[root_buffer(value)].array[offset:]

    def _pack(self, program: ProgramOp, form: FormOp, pack: Any, memories: dict[SSAValue, Memory]) -> None:
        old = form.ins[pack.operand]
        kind, access = old.type, form.in_accesses[pack.operand]
        assert isinstance(kind, BufferType)
        shape = [dim.evaluate(self.dims) for dim in kind.dims]
        values = self._address(old, memories)[: int(np.prod(shape))].reshape(shape)
        extents = [dim.evaluate(self.dims) for dim in pack.dims]
        names = [str(index) for index in pack.indices]
        order = [names.index(str(expr)) for expr in access.exprs]
        logical = np.transpose(values, np.argsort(order))
        assert list(logical.shape) == extents
        made = PackedOp(f"packed{pack.operand}", buffer(pack.dims, kind.element_type, pack.layout))
        program.block.insert_op_before(made, form)
        form.operands[pack.operand] = made.result
        accesses = list(form.accesses.data)
        accesses[pack.operand] = AccessAttr.get(pack.indices)
        form.accesses = type(form.accesses)(accesses)
        assert isinstance(made.result.type, BufferType)
        memories[made.result] = memory_of(made.result.type, self.dims, logical)


def reference(text: str, arrays: Mapping[str, np.ndarray], dims: Mapping[str, int], wide: bool = True) -> dict[str, np.ndarray]:
    return run_lir(parse(text), arrays, dims, precision="f64" if wide else None)


def check(
    text: str,
    arrays: Mapping[str, np.ndarray],
    dims: Mapping[str, int],
    *,
    rtol: float = 2e-6,
    threads: Sequence[int] = (1, 2),
    kinds: Sequence[str] | None = None,
    target: CpuTarget | None = None,
) -> NativeRun:
    """Run natively on 1 and 2 threads: within `rtol` of the largest magnitude of each result, and the same bits for each team size."""
    expected = reference(text, arrays, dims)
    native = NativeRun(text, arrays, dims, target)
    first: dict[str, np.ndarray] | None = None
    for count in threads:
        found = native.run(count)
        for name, values in found.items():
            wanted = expected[name]
            compare(name, values, wanted, rtol, native)
            if first is not None:
                assert values.tobytes() == first[name].tobytes(), f"{name} depends on the number of threads"
        first = first or found
    if kinds is not None:
        assert native.kinds == list(kinds)
    return native


def compare(name: str, values: np.ndarray, wanted: np.ndarray, rtol: float, native: NativeRun) -> None:
    assert values.shape == wanted.shape, (name, values.shape, wanted.shape)
    if values.size == 0:
        return
    if values.dtype.kind in "iub":
        np.testing.assert_array_equal(
            values.astype(np.int64), np.asarray(wanted).astype(np.int64), err_msg=f"{name}\n{native.ir}"
        )
        return
    got, want = values.astype(np.float64), np.asarray(wanted).astype(np.float64)
    finite = np.isfinite(want)
    scale = np.abs(want[finite]).max(initial=1e-30)
    same = np.where(
        finite, np.abs(np.where(finite, got - want, 0)) <= rtol * scale, (got == want) | (np.isnan(got) & np.isnan(want))
    )
    if not same.all():
        where = np.argwhere(~same)
        raise AssertionError(
            f"{name} differs at {len(where)} of {values.size} places, first {where[0]}: {got[tuple(where[0])]} instead of "
            f"{want[tuple(where[0])]} {native.kinds} dims {native.dims}\n{native.ir}"
        )


__all__ = ["NativeRun", "ScheduleAttr", "check", "parse", "reference"]

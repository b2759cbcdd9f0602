"""Runs LIR programs on the launch simulator and compares with the NumPy semantics in float64.

`run_form` is the entry. A program takes the way of its target from the selection of schedules on; the kernels run in checked
mode, with every buffer an allocation of its own, poisoned. They run twice: in order with temporaries in the planned arena, and
with blocks, subgroups and lanes from the last to the first and every temporary an allocation of its own. Both must give the
same bits.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from xdsl.dialects import arith, scf
from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from rlx.universe import get_all_passes
from rlx_backends.gpu.simulator import compile_kernels
from rlx_backends.numpy.lir_executor import run_lir
from rlx_backends.passes.lir_force_schedules import parse_schedule
from rlx_backends.support.boundary import boundary
from rlx_dialects import kernel
from rlx_dialects.gpu import KernelOp
from rlx_dialects.gpu.ops import LaunchOp
from rlx_dialects.kernel.types import byte_size, ptr_type
from rlx_dialects.lir import BufferType, ConstantOp, FormOp, OutputOp, PackedOp, ScheduleAttr, SlotOp, StateOp, programs
from rlx_dialects.lir.semantics import Buffer, storage_dtype
from rlx_dialects.lir.semantics.scalars import elements
from rlx_dialects.rlx import declared_dims, dtypes
from rlx_passes.manager import PassManager
from rlx_passes.pipelines import PIPELINES
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from rlx_runtime.gpu.simulator import SimulatorDriver

TARGETS = ("cuda", "rocm", "metal")
_LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, *[ctypes.c_uint32] * 7, *[ctypes.c_void_p] * 3)


class LaunchError(Exception):
    """A launch that the simulator refused, with its words."""


def parse(text: str) -> ModuleOp:
    module = parse_module(make_context(), text, "test.mlir")
    module.verify()
    return module


# -- launching kernels


class Device:
    """A simulator with one module of kernels. `reverse` runs everything from the last to the first."""

    def __init__(self, source: ModuleOp | str, *, checked: bool = True, reverse: bool = False, code: bytes | None = None):
        self.module = parse(source) if isinstance(source, str) else source
        self.kernels = {op.sym_name.data: op for op in self.module.body.block.ops if isinstance(op, KernelOp)}
        dialect = next(iter(self.kernels.values())).dialect if self.kernels else "cuda"
        self.driver = SimulatorDriver(dialect, reverse)
        self.loaded = self.driver.load(code or compile_kernels(self.module, checked=checked))
        self._launch = _LAUNCH(self.driver.launch_address)

    def upload(self, array: np.ndarray) -> int:
        """The address of a copy; 0 of nothing."""
        array = np.ascontiguousarray(array)
        if array.nbytes == 0:
            return 0
        address = self.driver.alloc(array.nbytes)
        self.driver.upload(address, array)
        return address

    def download(self, address: int, shape: Sequence[int] | int, dtype: Any) -> np.ndarray:
        array = np.empty(shape, dtype)
        if array.nbytes:
            self.driver.download(array, address)
        return array

    def launch(self, name: str, grid: Sequence[int], arguments: Sequence[int]) -> None:
        """Run a kernel on addresses and integers. LaunchError says what went wrong."""
        op = self.kernels[name]
        function = self.driver.function(self.loaded, name, op.shared_bytes)
        assert len(arguments) == len(op.body.block.args)
        words = (ctypes.c_int64 * max(1, len(arguments)))(*arguments)
        base = ctypes.addressof(words)
        params = (ctypes.c_void_p * max(1, len(arguments)))(*(base + 8 * n for n in range(len(arguments))))
        extents = [*grid, 1, 1, 1][:3]
        code = self._launch(function, *extents, *op.block, op.shared_bytes, None, ctypes.addressof(params), None)
        if code:
            raise LaunchError(self.driver.explain(code))

    def run(self, name: str, grid: Sequence[int], *arguments: np.ndarray | int) -> None:
        """Run a kernel on arrays, which it may change, and integers."""
        addresses = [self.upload(a) if isinstance(a, np.ndarray) else a for a in arguments]
        try:
            self.launch(name, grid, addresses)
        finally:
            for argument, address in zip(arguments, addresses):
                if isinstance(argument, np.ndarray) and address:
                    self.driver.download(argument, address)
                    self.driver.free(address)


# -- whole programs


@dataclass
class Boundary:
    """A buffer that the call passes."""

    role: type[Operation]
    name: str
    kind: BufferType
    values: Any = None
    """of a constant"""


@dataclass
class Compiled:
    """A program on the way of its target: kernels, entries and what they are called with."""

    module: ModuleOp
    kinds: list[str]
    boundaries: dict[str, list[Boundary]]
    arenas: dict[str, Any]
    slots: dict[str, list[Any]]
    """The bytes of the temporaries, in the order in which the entry asks for their places."""
    dims: dict[str, list[str]]
    code: bytes

    @property
    def entries(self) -> dict[str, kernel.EntryOp]:
        ops = self.module.body.block.ops
        return {op.sym_name.data.removeprefix("rlx_"): op for op in ops if isinstance(op, kernel.EntryOp)}


def _passes(target: str) -> tuple[list[str], list[str]]:
    """The passes of the target's pipeline from the selection of schedules to the plan, and after it."""
    stages = {stage.name: stage.passes for stage in PIPELINES[f"{target}-default"].stages}
    lir = list(stages["lir"])
    start = next(n for n, name in enumerate(lir) if name.startswith("lir-select-schedules"))
    return lir[start:], list(stages["kernel"])


@lru_cache(maxsize=256)
def compile_program(text: str, target: str, schedule: str | None = None, checked: bool = True) -> Compiled:
    """The kernels of an LIR program; `schedule` is forced on every form of `@main`."""
    module = parse(text)
    if schedule is not None:
        forced = parse_schedule(make_context(), schedule)
        for program in programs(module):
            for form in program.walk():
                if program.sym_name.data == "main" and isinstance(form, FormOp):
                    form.schedule = ArrayAttr([forced])
    PassManager(_passes(target)[0], available=get_all_passes(), verify="each").run(module)
    return compile_planned(module, target, checked)


def compile_planned(module: ModuleOp, target: str, checked: bool = True) -> Compiled:
    """The kernels of planned programs, which are lowered in place."""
    boundaries, arenas, slots, dims, kinds = {}, {}, {}, {}, []
    for program in programs(module):
        name = program.sym_name.data
        listed = []
        for op in boundary(program):
            kind = op.results[0].type
            assert isinstance(kind, BufferType)
            symbol = getattr(op, "sym_name", None)
            values = elements(op.value, kind.element_type, False) if isinstance(op, ConstantOp) else None
            listed.append(Boundary(type(op), symbol.data if symbol is not None else "", kind, values))
        boundaries[name] = listed
        arenas[name] = program.arena.data if program.arena is not None else None
        slots[name] = [op.result.type.size_bytes for op in program.block.ops if isinstance(op, SlotOp)]
        dims[name] = [dim.symbol.data for dim in declared_dims(program)]
        for form in program.walk():
            if name == "main" and isinstance(form, FormOp) and form.schedule is not None:
                kinds += [s.kind.data for s in form.schedule.data if isinstance(s, ScheduleAttr)]
    PassManager(_passes(target)[1], available=get_all_passes(), verify="each").run(module)
    return Compiled(module, kinds, boundaries, arenas, slots, dims, compile_kernels(module, checked=checked))


@dataclass
class ProgramRun:
    """One call of a compiled program."""

    compiled: Compiled
    dims: Mapping[str, int]
    reverse: bool = False
    given: dict[str, np.ndarray] = field(default_factory=dict)
    status: np.ndarray = field(default_factory=lambda: np.zeros(6, np.int64))
    launches: list[str] = field(default_factory=list)

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Results by name, in their physical shape. LaunchError if a launch fails."""
        self.given = dict(arrays)
        self.device = self.make_device()
        results: dict[str, np.ndarray] = {}
        for name in ("prepare", "main"):
            if name in self.compiled.entries:
                results = self._program(name)
                self.given |= results
        return results

    def make_device(self) -> Device:
        """What the kernels run on."""
        return Device(self.compiled.module, code=self.compiled.code, reverse=self.reverse)

    def _program(self, name: str) -> dict[str, np.ndarray]:
        device, dims = self.device, {"threads": 1, **self.dims}
        listed = self.compiled.boundaries[name]
        addresses = [self._place(entry, dims) for entry in listed]
        arena = self.compiled.arenas[name]
        size = arena.evaluate(dims) if arena is not None else 0
        self.arena = device.driver.alloc(size) if size else 0
        self.slots = iter([slot.evaluate(dims) for slot in self.compiled.slots[name]]) if self.reverse else None
        self.status_address = device.upload(self.status)
        self.dim_values = [dims[symbol] for symbol in self.compiled.dims[name]]
        self.dims_address = device.upload(np.array(self.dim_values, np.int64)) if self.dim_values else 0
        self.buffers = addresses
        self._block(self.compiled.entries[name].body.block, {})
        self.status = device.download(self.status_address, 6, np.int64)
        results = {}
        for entry, address in zip(listed, addresses):
            written = entry.role is OutputOp or entry.role is StateOp or (entry.role is PackedOp and name == "prepare")
            if not written:
                continue
            shape = [dim.evaluate(dims) for dim in entry.kind.physical_dims]
            dtype = np.uint8 if entry.kind.element_type == dtypes.BOOL else storage_dtype(entry.kind.element_type)
            if entry.role is PackedOp:
                shape, dtype = [entry.kind.size_bytes.evaluate(dims)], np.uint8
            stored = device.download(address, shape, dtype)
            results[entry.name] = stored.view(np.bool_) if entry.kind.element_type == dtypes.BOOL else stored
        return results

    def _place(self, entry: Boundary, dims: Mapping[str, int]) -> int:
        """The device memory of a buffer, with its values where it has any."""
        size = entry.kind.size_bytes.evaluate(dims)
        if size == 0:
            return 0
        address = self.device.driver.alloc(size)
        values = entry.values if entry.values is not None else self.given.get(entry.name)
        if entry.role is PackedOp and values is not None:
            self.device.driver.upload(address, values)
        elif values is not None:
            shape = [dim.evaluate(dims) for dim in entry.kind.dims]
            flat = np.asarray(values)
            values = np.broadcast_to(flat, shape) if flat.size == 1 else flat.reshape(shape)
            stored = np.ascontiguousarray(Buffer.from_array(entry.kind, dims, values).storage)
            self.device.driver.upload(address, stored)
        return address

    # -- the entry

    def _block(self, block: Block, values: dict[SSAValue, int]) -> None:
        for op in block.ops:
            self._op(op, values)

    def _op(self, op: Operation, values: dict[SSAValue, int]) -> None:
        if isinstance(op, LaunchOp):
            grid = [values[extent] for extent in op.grid]
            self.launches.append(op.callee.string_value())
            if all(grid):
                self.device.launch(op.callee.string_value(), grid, [values[v] for v in op.arguments])
        elif isinstance(op, scf.IfOp):
            self._block((op.true_region if values[op.cond] else op.false_region).block, values)
        elif not isinstance(op, kernel.ReturnOp | scf.YieldOp):
            values[op.results[0]] = self._value(op, values)

    def _value(self, op: Operation, values: dict[SSAValue, int]) -> int:
        operands = [values[v] for v in op.operands]
        if isinstance(op, kernel.DimOp):
            return self.dim_values[op.number.value.data]
        if isinstance(op, kernel.NumThreadsOp):
            return 1
        if isinstance(op, kernel.ThreadIdOp):
            return 0
        if isinstance(op, kernel.BufferOp):
            return self.buffers[op.number.value.data]
        if isinstance(op, kernel.ArenaOp):
            if self.slots is None:
                return self.arena + operands[0]
            size = next(self.slots)
            return self.device.driver.alloc(size) if size else 0
        if isinstance(op, kernel.DimPointerOp):
            return self.dims_address + 8 * op.number.value.data
        if isinstance(op, kernel.StatusPointerOp):
            return self.status_address
        if isinstance(op, kernel.OffsetOp):
            return operands[0] + operands[1] * byte_size(ptr_type(op.ptr).element_type)
        if isinstance(op, kernel.PtrCastOp):
            return operands[0]
        if isinstance(op, kernel.ApplyOp):
            return op.expr.data.evaluate({name.data: value for name, value in zip(op.names.data, operands)})
        if isinstance(op, arith.ConstantOp):
            return int(op.value.value.data)  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(op, arith.AddiOp):
            return operands[0] + operands[1]
        if isinstance(op, arith.MuliOp):
            return operands[0] * operands[1]
        if isinstance(op, arith.CmpiOp):
            return int(operands[0] <= operands[1] if op.predicate.value.data == 3 else operands[0] == operands[1])
        raise AssertionError(f"an entry with {op.name}")


def run_form(
    source: str | ModuleOp,
    arrays: Mapping[str, np.ndarray],
    dims: Mapping[str, int] | None = None,
    *,
    target: str = "cuda",
    schedule: str | None = None,
    rtol: float = 2e-6,
    kinds: Sequence[str] | None = None,
    exact_order: bool = True,
) -> dict[str, np.ndarray]:
    """Run an LIR program with the schedules of `target` and compare its results with the NumPy executor in float64.

    Args:
        source: an LIR program.
        arrays: inputs, params and states by name; `dims` every symbol.
        schedule: `#lir.schedule<…>` to force on every form of `@main`.
        rtol: the largest error, relative to the largest magnitude of each result. Integers must be equal.
        kinds: the kinds of schedules that must have been chosen, form by form.
        exact_order: whether another order of blocks and threads must give the same bits; false where atomics add floats.

    Returns the results by name. AssertionError if they differ, LaunchError if a launch breaks a rule.
    """
    text, dims = str(source), dict(dims or {})
    compiled = compile_program(text, target, schedule)
    if kinds is not None:
        assert compiled.kinds == list(kinds), f"{compiled.kinds} were chosen"
    expected = run_lir(parse(text), arrays, dims, precision="f64")
    first: dict[str, np.ndarray] | None = None
    for reverse in (False, True):
        run = ProgramRun(compiled, dims, reverse)
        found = run.run(arrays)
        assert not run.status.any(), f"the program reports a fault: {run.status}"
        for name, values in found.items():
            compare(name, values, expected[name], rtol, f"{target} {compiled.kinds} dims {dims}")
            if first is not None and exact_order:
                assert values.tobytes() == first[name].tobytes(), f"{name} depends on the order of threads"
        first = first or found
    assert first is not None
    return first


def run_everywhere(source: str | ModuleOp, arrays: Mapping[str, np.ndarray], dims: Mapping[str, int] | None = None, **options: Any) -> None:
    """`run_form` on all three dialects."""
    for target in TARGETS:
        run_form(source, arrays, dims, target=target, **options)


def compare(name: str, values: np.ndarray, wanted: np.ndarray, rtol: float, what: str) -> None:
    """AssertionError names the first place that differs."""
    wanted = np.asarray(wanted)
    assert values.shape == wanted.shape, (name, values.shape, wanted.shape)
    if values.size == 0:
        return
    if values.dtype.kind in "iub":
        np.testing.assert_array_equal(values.astype(np.int64), wanted.astype(np.int64), err_msg=f"{name}, {what}")
        return
    got, want = values.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(want)
    scale = np.abs(want[finite]).max(initial=1e-30)
    near = np.abs(np.where(finite, got - want, 0)) <= rtol * scale
    same = np.where(finite, near, (got == want) | (np.isnan(got) & np.isnan(want)))
    if not same.all():
        where = np.argwhere(~same)
        at = tuple(where[0])
        raise AssertionError(
            f"{name} differs at {len(where)} of {values.size} places, first {at}: {got[at]} instead of {want[at]}; {what}"
        )


__all__ = [
    "TARGETS", "Compiled", "Device", "LaunchError", "ProgramRun", "compare", "compile_planned", "compile_program", "parse",
    "run_everywhere", "run_form",
]  # fmt: skip

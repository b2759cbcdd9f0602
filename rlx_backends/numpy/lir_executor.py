"""Runs LIR programs with NumPy, before planning and inside the planned arena.

After planning, every slot lies at its offset in one byte array. A slot is poisoned when it comes to life and again when it dies,
so a plan in which two live buffers meet gives wrong numbers here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import ml_dtypes
import numpy as np
from ml_dtypes import int4
from xdsl.dialects.builtin import IntegerType, ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from rlx_dialects.lir import (
    AllocOp,
    ConditionOp,
    ConstantOp,
    CopyOp,
    DimInputOp,
    FormOp,
    IfOp,
    InputOp,
    OutputOp,
    PackedOp,
    ParamOp,
    ProgramOp,
    SlotOp,
    StateOp,
    ViewOp,
    WhileOp,
    programs,
)
from rlx_dialects.lir.semantics import Buffer, run_copy, run_form, storage_dtype
from rlx_dialects.lir.semantics.buffers import POISON, fault
from rlx_dialects.lir.semantics.scalars import elements
from rlx_dialects.lir.types import ARENA_ALIGNMENT, BufferType
from rlx_dialects.rlx import dtypes
from rlx_runtime.errors import BindError

Array = np.ndarray[Any, Any]
THREADS = "threads"
"""The symbol of the team's size in the arena of programs with per-thread scratch."""


def run_lir(
    module: ModuleOp | ProgramOp,
    buffers: Mapping[str, Array],
    dims: Mapping[str, int],
    *,
    precision: Literal["f64"] | None = None,
    arena: Array | None = None,
    program: str = "main",
) -> dict[str, Array]:
    """Run a program and return its results by name: outputs, final states, and packed weights it wrote.

    Args:
        module: a module, of which `program` runs (`@prepare` runs first if packed weights are missing), or a program.
        buffers: inputs, params, states and packed weights by name, as arrays of logical shape; they are not changed.
        dims: the value of every symbol; `threads` defaults to 1.
        precision: "f64" computes and stores every float in f64; slots are then arrays of their own, so it does not test the plan.
        arena: bytes to plan into, instead of an array made for this call.

    BindError for buffers that do not fit, RuntimeFault for faults of the program.
    """
    wide = precision == "f64"
    if isinstance(module, ModuleOp):
        found = {op.sym_name.data: op for op in programs(module)}
        if program not in found:
            raise BindError(f"the module has no program '@{program}', only {', '.join(sorted(found)) or 'none'}")
        chosen = found[program]
        needed = {op.sym_name.data for op in chosen.block.ops if isinstance(op, PackedOp)}
        if program != "prepare" and "prepare" in found and not needed <= set(buffers):
            buffers = {**buffers, **run_lir(found["prepare"], buffers, dims, precision=precision)}
    else:
        chosen = module
    return _Run(chosen, buffers, {THREADS: 1, **dims}, wide, arena).run()


class _Run:
    def __init__(self, program: ProgramOp, given: Mapping[str, Array], dims: Mapping[str, int], wide: bool, arena: Array | None):
        self.program = program
        self.given = given
        self.dims = dims
        self.wide = wide
        self.values: dict[SSAValue, Buffer] = {}
        self.results: dict[str, SSAValue] = {}
        self.slots: dict[SSAValue, Array] = {}
        """The bytes of each slot, all threads' copies."""
        self.arena = self._arena(arena)

    def _arena(self, given: Array | None) -> Array:
        size = 0 if self.program.arena is None or self.wide else self.program.arena.data.evaluate(self.dims)
        if given is not None:
            if given.dtype != np.uint8 or given.ndim != 1 or given.size < size or given.ctypes.data % ARENA_ALIGNMENT:
                raise BindError(f"the arena must be {size} bytes (uint8) at a multiple of {ARENA_ALIGNMENT}")
            given[...] = POISON
            return given
        raw = np.full(size + ARENA_ALIGNMENT, POISON, np.uint8)
        start = -raw.ctypes.data % ARENA_ALIGNMENT
        return raw[start : start + size]

    def run(self) -> dict[str, Array]:
        self.block(self.program.block)
        return {name: _to_api(self.values[value]) for name, value in self.results.items()}

    # -- schedule

    def block(self, block: Block) -> Array | None:
        """Run a block; the value of the flag that its `lir.condition` reads, if it ends in one."""
        births, deaths = _lifetimes(block)
        for op in block.ops:
            born, dying = births.get(op, ()), deaths.get(op, ())
            self._poison(born, but=tuple(value for value in dying if value not in born))
            if isinstance(op, ConditionOp):
                return self.values[op.flag].logical()
            self.step(op)
            self._poison(dying, but=tuple(value for value in born if value not in dying))
        return None

    def step(self, op: Operation) -> None:
        if isinstance(op, FormOp):
            run_form(op, self.values, self.dims, wide=self.wide)
        elif isinstance(op, CopyOp):
            run_copy(self.values[op.source], self.values[op.target])
        elif isinstance(op, IfOp):
            taken = bool(self.values[op.flag].logical().reshape(-1)[0])
            self.block((op.then_body if taken else op.else_body).block)
        elif isinstance(op, WhileOp):
            rounds = 0
            while bool(np.asarray(self.block(op.condition.block)).reshape(-1)[0]):
                if rounds == op.limit.value.data:
                    raise fault(op, f"reached its limit of {rounds} rounds with a true condition", "loop-limit")
                rounds += 1
                self.block(op.body.block)
        else:
            self.values[op.results[0]] = self.leaf(op)

    # -- buffers

    def leaf(self, op: Operation) -> Buffer:
        kind = op.results[0].type
        assert isinstance(kind, BufferType)
        if isinstance(op, SlotOp):
            return self._slot(op, kind)
        if isinstance(op, AllocOp):
            return Buffer.poisoned(kind, self.dims, wide=self.wide)
        if isinstance(op, ViewOp):
            offset = 0 if op.offset is None else op.offset.data.evaluate(self.dims)
            return self.values[op.source].view(kind, offset)
        if isinstance(op, ConstantOp):
            flat = elements(op.value, kind.element_type, self.wide)
            shape = [dim.evaluate(self.dims) for dim in kind.dims]
            return Buffer.from_array(kind, self.dims, np.broadcast_to(flat if flat.size == 1 else flat.reshape(shape), shape))
        if isinstance(op, DimInputOp):
            return Buffer.from_array(kind, self.dims, np.asarray(self.dims[op.sym_name.data], np.int64))
        if isinstance(op, OutputOp):
            self.results[op.sym_name.data] = op.result
            return Buffer.poisoned(kind, self.dims, wide=self.wide)
        if isinstance(op, InputOp | ParamOp | StateOp | PackedOp):
            return self._bound(op, kind)
        raise NotImplementedError(f"'{op.name}' cannot run here")

    def _slot(self, op: SlotOp, kind: BufferType) -> Buffer:
        if self.wide:
            return Buffer.poisoned(kind, self.dims, wide=True)
        start = op.offset.data.evaluate(self.dims)
        size = Buffer.size_bytes(kind, self.dims)
        whole = size if op.stride is None else op.stride.data.evaluate(self.dims) * self.dims[THREADS]
        if start < 0 or start % ARENA_ALIGNMENT or start + max(size, whole) > self.arena.size:
            raise fault(op, f"lies at [{start}, {start + max(size, whole)}) in an arena of {self.arena.size} bytes", "plan")
        self.slots[op.result] = self.arena[start : start + whole]
        return Buffer(kind, self.dims, Buffer.view_bytes(kind, self.arena[start : start + size]))

    def _bound(self, op: InputOp | ParamOp | StateOp | PackedOp, kind: BufferType) -> Buffer:
        name = op.sym_name.data
        if isinstance(op, StateOp) or (isinstance(op, PackedOp) and name not in self.given):
            self.results[name] = op.result
        if name not in self.given:
            if isinstance(op, PackedOp) and any(_writes(op.result)):
                return Buffer.poisoned(kind, self.dims, wide=self.wide)
            raise BindError(f"no array was given for {op.name.partition('.')[2]} '{name}'")
        array = np.asarray(self.given[name])
        shape = tuple(dim.evaluate(self.dims) for dim in kind.dims)
        if array.shape != shape:
            raise BindError(f"'{name}' has shape {array.shape}, needs {shape} for {kind}")
        if _api_dtype(kind) == ml_dtypes.int4 and array.dtype == np.int8:
            array = array.astype(ml_dtypes.int4)  # at the boundary an i4 may take a byte
        if array.dtype != _api_dtype(kind) and not self.wide:
            raise BindError(f"'{name}' has dtype {array.dtype}, needs {_api_dtype(kind)}")
        buffer = Buffer.from_array(kind, self.dims, array, wide=self.wide, share=not isinstance(op, StateOp))
        if not isinstance(op, StateOp):
            # Whatever writes here is a bug of the program, and NumPy says so.
            buffer.storage = buffer.storage.view()
            buffer.storage.flags.writeable = False
        return buffer

    def _poison(self, values: tuple[SSAValue, ...], but: tuple[SSAValue, ...]) -> None:
        """Poison slots, except for what lies in the slots `but`: an in-place result shares its operand's bytes."""
        kept = [(self.slots[value], self.slots[value].copy()) for value in but if value in self.slots]
        for value in values:
            if value in self.slots:
                self.slots[value][...] = POISON
        for place, contents in kept:
            place[...] = contents


def _writes(value: SSAValue) -> Any:
    for use in value.uses:
        if isinstance(use.operation, ViewOp):
            yield from _writes(use.operation.result)
        elif (isinstance(use.operation, FormOp) and value in use.operation.outs) or (
            isinstance(use.operation, CopyOp) and use.operation.target is value
        ):
            yield use.operation


def _lifetimes(block: Block) -> tuple[dict[Operation, tuple[SSAValue, ...]], dict[Operation, tuple[SSAValue, ...]]]:
    """For each operation of the block: the slots of this block first used there, and those last used there."""
    order = {op: position for position, op in enumerate(block.ops)}
    births: dict[Operation, tuple[SSAValue, ...]] = {}
    deaths: dict[Operation, tuple[SSAValue, ...]] = {}
    for slot in block.ops:
        if not isinstance(slot, SlotOp):
            continue
        users = sorted({_ancestor(op, block) for op in _users(slot.result)}, key=order.__getitem__)
        if users:
            births[users[0]] = (*births.get(users[0], ()), slot.result)
            deaths[users[-1]] = (*deaths.get(users[-1], ()), slot.result)
    return births, deaths


def _users(value: SSAValue) -> Any:
    for use in value.uses:
        if isinstance(use.operation, ViewOp):
            yield from _users(use.operation.result)
        else:
            yield use.operation


def _ancestor(op: Operation, block: Block) -> Operation:
    while op.parent is not block:
        parent = op.parent_op()
        assert parent is not None
        op = parent
    return op


def _api_dtype(kind: BufferType) -> np.dtype[Any]:
    if kind.element_type == dtypes.BOOL:
        return np.dtype(np.bool_)
    return np.dtype(int4) if kind.element_type == IntegerType(4) else storage_dtype(kind.element_type)


def _to_api(buffer: Buffer) -> Array:
    values = buffer.logical()
    dtype = _api_dtype(buffer.kind)
    return values if buffer.wide and values.dtype == np.float64 else values.astype(dtype, copy=False)

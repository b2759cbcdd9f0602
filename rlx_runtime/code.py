"""Loaded code: the native programs of one artifact, their plans and constants, and how a call enters them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime import team
from rlx_runtime.arena import Frame, FramePool, aligned_block
from rlx_runtime.dtypes import buffer_bytes, numpy_dtype
from rlx_runtime.errors import PackageError, RuntimeFault, ShapeError, TargetError
from rlx_runtime.fastcall import OperandTable
from rlx_runtime.manifest import Manifest, Program, TensorSpec, parse_manifest
from rlx_runtime.native import NativeLibrary, missing_features

FRAME_LIMIT = 4
"""Calls, and so arenas, at a time; more wait. The team runs one call at a time anyway."""

_PLAN = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)


@dataclass(frozen=True)
class Plan:
    """What the plan function says for one binding of the dims."""

    dims: Mapping[str, int]
    values: NDArray[np.int64]
    """the dims in manifest order"""
    arena_bytes: int
    threads: int
    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    state_shapes: tuple[tuple[int, ...], ...]
    manifest: Manifest

    @cached_property
    def input_table(self) -> OperandTable:
        return _table(self.manifest, "input", self.manifest.inputs, self.input_shapes)

    @cached_property
    def output_table(self) -> OperandTable:
        return _table(self.manifest, "output", self.manifest.outputs, self.output_shapes)


class HostCode:
    """What every artifact has: functions for the host's CPU, above all the entry and the plan function of each program.

    `objects` holds "kernels.o" and, optionally, "support.o". TargetError if this machine lacks a CPU feature that the code
    requires, PackageError if the manifest or an object is damaged.
    """

    def __init__(self, raw: Mapping[str, Any], objects: Mapping[str, bytes], stages: Mapping[str, str]) -> None:
        self.manifest = manifest = parse_manifest(raw)
        self.objects = dict(objects)
        # Kept as given: the compiler's stages print themselves only when somebody reads them.
        self.stages = stages
        if missing := missing_features(manifest.features):
            raise TargetError(
                f"the code requires CPU features that this machine lacks: {', '.join(missing)}", code="cpu-features"
            )
        if "kernels.o" not in self.objects:
            raise PackageError("there is no kernels.o", code="member", location=manifest.name)
        self.support = team.load_support(self.objects.get("support.o"))
        programs = [manifest.main, *([manifest.prepare] if manifest.prepare else [])]
        symbols = [symbol for program in programs for symbol in (program.entry, program.plan)]
        self._library = NativeLibrary(self.objects["kernels.o"], symbols, "kernels")
        self.entries = {program.entry: self._library.address(program.entry) for program in programs}
        self._plans: dict[str, Callable[..., int]] = {
            program.plan: _PLAN(self._library.address(program.plan)) for program in programs
        }

    def thread_limit(self) -> int:
        """Threads that a call may use."""
        return 1

    def plan(self, dims: Mapping[str, int], threads: int) -> Plan:
        """Plan `main` for these dims (all of them, in range); ShapeError if they violate a guard."""
        manifest = self.manifest
        values = np.array([dims[dim.name] for dim in manifest.dims], np.int64)
        ranks = [len(spec.shape) for spec in manifest.outputs]
        arena, worthwhile, *flat = self._run_plan(manifest.main, values, threads, sum(ranks))
        shapes = []
        for rank in ranks:
            shapes.append(tuple(flat[:rank]))
            flat = flat[rank:]
        return Plan(
            dims=dict(dims),
            values=values,
            arena_bytes=arena,
            threads=max(1, min(worthwhile, threads)),
            input_shapes=tuple(spec.concrete(dims) for spec in manifest.inputs),
            output_shapes=tuple(shapes),
            state_shapes=tuple(spec.concrete(dims) for spec in manifest.states),
            manifest=manifest,
        )

    def _run_plan(self, program: Program, values: NDArray[np.int64], threads: int, extents: int) -> list[int]:
        out = np.zeros(2 + extents, np.int64)
        if violated := self._plans[program.plan](values.ctypes.data, threads, out.ctypes.data):
            guards = self.manifest.guards
            known = guards[violated - 1] if 0 < violated <= len(guards) else None
            given = ", ".join(f"{dim.name} = {value}" for dim, value in zip(self.manifest.dims, values.tolist()))
            raise ShapeError(
                f"guard violated: {known.text if known else f'number {violated - 1}'} ({given})",
                code="guard",
                location=known.location if known else None,
            )
        return out.tolist()

    def fault(self, program: Program, status: Sequence[int]) -> RuntimeFault:
        """The exception for a status that is not zero, with the op and place of its schedule item."""
        code, item, *details = status
        known = program.items[item] if 0 <= item < len(program.items) else {}
        op, location = known.get("op", f"schedule item {item}"), known.get("loc")
        if code == 1:
            operand, index, extent = details[:3]
            return RuntimeFault(
                f"{op}: index {index} of operand {operand} is outside [0, {extent})", code="index", location=location
            )
        if code == 2:
            return RuntimeFault(
                f"{op}: the loop limit of {details[0]} iterations is reached", code="loop-limit", location=location
            )
        if code == 3:
            return RuntimeFault(f"{op}: interrupted", code="interrupted", location=location)
        return RuntimeFault(f"{op}: fault {code}, details {details}", code="fault", location=location)


class Code(HostCode):
    """The native programs of an artifact for the CPU, shared by everything bound or specialized from it."""

    def __init__(self, raw: Mapping[str, Any], objects: Mapping[str, bytes], stages: Mapping[str, str]) -> None:
        super().__init__(raw, objects, stages)
        if self.manifest.target != "cpu":
            raise TargetError(f"this is code for '{self.manifest.target}', not for 'cpu'", code="target")
        self.constants = {name: _constant(data) for name, data in self.manifest.constants.items()}
        self.pool: FramePool[Frame] = FramePool(FRAME_LIMIT)

    def thread_limit(self) -> int:
        """Threads that a call may use: the team's, or fewer if the artifact asks for fewer."""
        size = team.team_size()
        return min(size, self.manifest.threads or size)

    def new_frame(self, threads: int) -> Frame:
        """A frame for `main`. Its buffer table has a spare entry, for inputs that the code does not read."""
        return Frame(len(self.manifest.dims), len(self.manifest.main.buffers) + 1, threads)

    def run_main(self, plan: Plan, frame: Frame) -> None:
        """Enter `main` with a frame whose buffers are set; RuntimeFault if the code reports a fault."""
        frame.prepare(plan.arena_bytes)
        frame.dims[:] = plan.values
        team.run(self.entries[self.manifest.main.entry], frame.call, plan.threads)
        if frame.status[0]:
            raise self.fault(self.manifest.main, frame.status.tolist())

    def run_prepare(self, params: Mapping[str, NDArray[Any]], packed: NDArray[np.uint8]) -> None:
        """Run the prepare program: reads `params`, fills `packed`. It uses no call-time dim: its dims are all 0."""
        program = self.manifest.prepare
        if program is None:
            return
        threads = self.thread_limit()
        values = np.zeros(len(self.manifest.dims), np.int64)
        arena_bytes, worthwhile = self._run_plan(program, values, threads, 0)
        threads = max(1, min(worthwhile, threads))
        frame = Frame(len(values), len(program.buffers), threads)
        frame.prepare(arena_bytes)
        frame.buffers[:] = self.static_buffers(program, params, packed)
        team.run(self.entries[program.entry], frame.call, threads)
        if frame.status[0]:
            raise self.fault(program, frame.status.tolist())

    def static_buffers(
        self, program: Program, params: Mapping[str, NDArray[Any]], packed: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """The buffer table of a program with the addresses of everything that is the same in every call; 0 elsewhere."""
        offsets = {entry.name: entry.offset for entry in self.manifest.packed}
        table = np.zeros(len(program.buffers), np.int64)
        for index, (kind, name) in enumerate(program.buffers):
            if kind == "param":
                table[index] = params[name].ctypes.data
            elif kind == "packed":
                table[index] = packed.ctypes.data + offsets[name]
            elif kind == "constant":
                table[index] = self.constants[name].ctypes.data
        return table


def _constant(data: bytes) -> NDArray[np.uint8]:
    block = aligned_block(len(data))
    block[:] = np.frombuffer(data, np.uint8)
    return block


def _table(manifest: Manifest, kind: str, specs: Sequence[TensorSpec], shapes: Sequence[tuple[int, ...]]) -> OperandTable:
    index = manifest.main.buffer_index
    operands = []
    for spec, shape in zip(specs, shapes, strict=True):
        place = index.get((kind, spec.name), len(index))  # the spare entry, for an input that the code does not read
        nbytes = buffer_bytes(spec.dtype, int(np.prod(shape, dtype=np.int64)))
        operands.append((place, numpy_dtype(spec.dtype), shape, nbytes))
    return OperandTable(operands)

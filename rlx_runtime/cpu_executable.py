"""Executables of target "cpu": native code that runs in this process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime import arena, team
from rlx_runtime.binding import Bound, Weights, bind_weights, make_bound
from rlx_runtime.code import Code, Plan
from rlx_runtime.dtypes import unpack_i4
from rlx_runtime.errors import BindError
from rlx_runtime.executable import Artifact, Executable
from rlx_runtime.fastcall import DECLINED, FAULTED, FastSlot
from rlx_runtime.host_executable import Array, HostExecutable
from rlx_runtime.manifest import TensorSpec
from rlx_runtime.weights import contiguous


class CpuExecutable(HostExecutable):
    """Native code. Params that it uses as they are stay where they lie: in the mapped file, or in the caller's arrays."""

    _code: Code
    _bound: Bound | None

    def __init__(self, manifest: Mapping[str, Any], objects: Mapping[str, bytes], stages: Mapping[str, str]) -> None:
        code = Code(manifest, objects, stages)
        self._setup(code, None, code.manifest.fixed)
        if not code.manifest.params:
            self._bound = bind_weights(code, {})

    def _setup(self, code: Code, bound: Bound | None, fixed: Mapping[str, int]) -> None:
        super()._setup(code, bound, fixed)
        specs = (*self._manifest.inputs, *self._manifest.outputs)
        self._simple = not self._manifest.states and not any(spec.dtype == "i4" for spec in specs)
        self._slot = FastSlot(code.support)
        self._fast = self._slot.function

    def bind(self, weights: str | os.PathLike[str] | Mapping[str, Any]) -> Executable:
        return self._derive(bind_weights(self._code, weights), self._signature.fixed)

    def packed_weights(self) -> Weights | None:
        return None if self._bound is None else Weights(self._bound.params, self._bound.packed)

    def with_weights(self, weights: Weights) -> Executable:
        return self._derive(make_bound(self._code, weights.params, weights.packed), self._signature.fixed)

    def _new_code(self, made: Artifact) -> Code:
        return Code(made.manifest, made.objects, made.stages)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._fast(*args, **kwargs)
        if result is DECLINED:
            return self._call(*args, **kwargs)
        if result is FAULTED:
            raise self._code.fault(self._manifest.main, self._slot.fault_status())
        return result

    def _run(
        self, given: Mapping[str, Any], out: Sequence[Array | None] | None, state: Mapping[str, Array] | None
    ) -> list[Array]:
        """The ordinary path of a call: check everything, find the plan, run, and prepare the fast path for the next call."""
        if self._bound is None:
            raise BindError("the weights are not bound", code="unbound", hint="call bind(weights) first")
        arrays = self._input_arrays(given)
        plan = self._plan_of([array.shape for array in arrays], given)
        states = self._state_arrays(state, plan)
        results, buffers = self._output_buffers(out, plan)
        if states or out is not None:
            self._check_disjoint(arrays, states, results if out is not None else [])
        bound, slot = self._bound, self._slot
        if slot.generation != team.generation():
            self._slot = slot = FastSlot(self._code.support)  # a forked child: the old slot's frame may be in use for ever
            self._fast = slot.function
        operands = [contiguous(array, spec, f"input '{spec.name}'") for array, spec in zip(arrays, self.inputs)]
        pool = self._code.pool
        permit = pool.take()
        frame, installed = slot.take() or permit, False
        spare = permit if frame is not permit else None
        try:
            if frame is None or frame.threads < plan.threads:
                frame = self._code.new_frame(plan.threads)
            frame.buffers[:-1] = bound.main_buffers
            self._fill(frame.buffers, "input", self.inputs, operands)
            self._fill(frame.buffers, "state", self.states, states)
            self._fill(frame.buffers, "output", self.outputs, buffers)
            self._code.run_main(plan, frame)
            installed = self._simple and not arena.poison and self._install(slot, frame, plan, bound)
        finally:
            pool.give(spare if installed else frame)
        for spec, result, buffer in zip(self.outputs, results, buffers):
            if spec.dtype == "i4":
                result[...] = unpack_i4(buffer, result.shape)
        return results

    def _install(self, slot: FastSlot, frame: arena.Frame, plan: Plan, bound: Bound) -> bool:
        if any(self._signature.dim_of_input.get(name) not in self._signature.fixed for name in self.dim_inputs):
            return False  # calls give dims by keyword
        entry = self._code.entries[self._manifest.main.entry]
        return slot.install(frame, entry, plan.threads, plan.input_table, plan.output_table, bound.keep)

    def _fill(self, table: NDArray[np.int64], kind: str, specs: Sequence[TensorSpec], arrays: Sequence[Array]) -> None:
        index = self._manifest.main.buffer_index
        for spec, array in zip(specs, arrays):
            position = index.get((kind, spec.name))
            if position is not None:  # an input that the code does not read has no buffer
                table[position] = array.ctypes.data

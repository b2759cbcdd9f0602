"""Calling a model that NumPy executes: the same checks, binding and calls as compiled code, with `run_lir` in place of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from rlx_backends.numpy.lir_executor import run_lir
from rlx_backends.support.plan_function import guards
from rlx_dialects.lir import programs
from rlx_dialects.rlx import ConstraintAttr
from rlx_runtime.binding import Weights
from rlx_runtime.code import Plan
from rlx_runtime.errors import BindError, PackageError, ShapeError
from rlx_runtime.executable import Executable
from rlx_runtime.host_executable import HostExecutable
from rlx_runtime.manifest import parse_manifest
from rlx_runtime.weights import check_weights, open_weights

Array = NDArray[Any]


class NumpyCode:
    """A planned LIR module in the place of native code; nothing in it is shared memory or a thread."""

    def __init__(self, manifest: Mapping[str, Any], module: ModuleOp, stages: Mapping[str, str]) -> None:
        self.manifest = parse_manifest(manifest)
        self.objects: dict[str, bytes] = {}
        self.stages = dict(stages)
        self.module = module
        self._main = next(p for p in programs(module) if p.sym_name.data == "main")

    def thread_limit(self) -> int:
        return 1

    def plan(self, dims: Mapping[str, int], threads: int) -> Plan:
        """Shapes for these dims; ShapeError if they violate a guard."""
        for guard in guards(self._main):
            if not holds(guard, dims):
                given = ", ".join(f"{name} = {value}" for name, value in dims.items())
                text = f"{guard.lhs.data} {guard.relation.data} {guard.rhs.data}"
                raise ShapeError(f"guard violated: {text} ({given})", code="guard")
        arena = self._main.arena
        return Plan(
            dims=dict(dims),
            values=np.array([dims[d.name] for d in self.manifest.dims], np.int64),
            arena_bytes=0 if arena is None else arena.data.evaluate({"threads": 1, **dims}),
            threads=1,
            input_shapes=tuple(spec.concrete(dims) for spec in self.manifest.inputs),
            output_shapes=tuple(spec.concrete(dims) for spec in self.manifest.outputs),
            state_shapes=tuple(spec.concrete(dims) for spec in self.manifest.states),
            manifest=self.manifest,
        )


def holds(guard: ConstraintAttr, dims: Mapping[str, int]) -> bool:
    left, right = guard.lhs.data.evaluate(dims), guard.rhs.data.evaluate(dims)
    return left <= right if guard.relation.data == "<=" else left == right


class NumpyExecutable(HostExecutable):
    """An `Executable` of target "numpy". It cannot be saved: there is no code to put into a package."""

    _code: NumpyCode

    def __init__(self, manifest: Mapping[str, Any], module: ModuleOp, stages: Mapping[str, str]) -> None:
        code = NumpyCode(manifest, module, stages)
        self._weights: dict[str, Array] | None = None if code.manifest.params else {}
        self._setup(code, None, code.manifest.fixed)

    def _derive(self, bound: Any, fixed: Mapping[str, int], code: Any = None) -> Executable:
        derived = super()._derive(bound, fixed, code)
        assert isinstance(derived, NumpyExecutable)
        derived._weights = self._weights
        return derived

    @property
    def is_bound(self) -> bool:
        return self._weights is not None

    def bind(self, weights: Any) -> Executable:
        """Check the weights and run `@prepare` once; BindError as in `Executable.bind`."""
        arrays = dict(check_weights(self._manifest.params, open_weights(weights)))
        code = self._code
        if any(p.sym_name.data == "prepare" for p in programs(code.module)):
            dims = {d.name: 0 for d in self._manifest.dims}
            arrays |= run_lir(code.module, arrays, dims, program="prepare")
        derived = self._derive(None, self._signature.fixed)
        assert isinstance(derived, NumpyExecutable)
        derived._weights = arrays
        return derived

    def packed_weights(self) -> Weights | None:
        """None: nothing is packed."""
        return None

    def _generate(self, fixed: Mapping[str, int]) -> Executable:
        """There are no kernels: what is fixed is only what the shapes may be."""
        return self._derive(None, fixed)

    def save(self, path: Any, weights: str = "none") -> None:
        raise PackageError("target 'numpy' has no code to save", code="no-code", hint="compile for target 'cpu'")

    def _run(
        self, given: Mapping[str, Any], out: Sequence[Array | None] | None, state: Mapping[str, Array] | None
    ) -> list[Array]:
        if self._weights is None:
            raise BindError("the weights are not bound", code="unbound", hint="call bind(weights) first")
        arrays = self._input_arrays(given)
        plan = self._plan_of([array.shape for array in arrays], given)
        states = self._state_arrays(state, plan)
        results, _ = self._output_buffers(out, plan)
        if states or out is not None:
            self._check_disjoint(arrays, states, results if out is not None else [])
        named = {spec.name: array for spec, array in zip(self.inputs, arrays, strict=True)}
        named |= {spec.name: array for spec, array in zip(self.states, states, strict=True)}
        found = run_lir(self._code.module, {**self._weights, **named}, plan.dims)
        for spec, result in zip(self.outputs, results, strict=True):
            result[...] = found[spec.name]
        for spec, array in zip(self.states, states, strict=True):
            array[...] = found[spec.name]
        return results


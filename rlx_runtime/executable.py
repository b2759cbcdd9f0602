"""Executable: compiled code that is called with arrays. What all targets have in common; a subclass for each way to run."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlx_runtime.code import HostCode, Plan
from rlx_runtime.dtypes import buffer_bytes
from rlx_runtime.errors import BindError, PackageError, ShapeError
from rlx_runtime.manifest import DimSpec, Guard, TensorSpec
from rlx_runtime.signature import Signature, as_int, show

if TYPE_CHECKING:
    from rlx_runtime.binding import Weights

PLAN_LIMIT = 256
"""Plans that an executable remembers, one per combination of shapes."""
SPECIALIZATION_LIMIT = 8


@dataclass(frozen=True)
class Artifact:
    """What a compiler makes: the manifest, the objects ("kernels.o", "support.o", "device.ptx", …) and the text of the stages."""

    manifest: Mapping[str, Any]
    objects: Mapping[str, bytes]
    stages: Mapping[str, str]


CodegenHook = Callable[["Executable", Mapping[str, int]], Artifact]


def executable_of(artifact: Artifact) -> Executable:
    """The executable of an artifact, of the class that its target needs. Without "support.o" the runtime makes its own.

    PackageError if something is damaged, TargetError if this machine cannot run the code; code for a device is loaded when it is
    first needed.
    """
    if artifact.manifest.get("device") is not None:
        from rlx_runtime.gpu.executable import DeviceExecutable

        return DeviceExecutable(artifact.manifest, artifact.objects, artifact.stages)
    from rlx_runtime.cpu_executable import CpuExecutable

    return CpuExecutable(artifact.manifest, artifact.objects, artifact.stages)


class Executable:
    """Compiled code for one model, valid for every shape in the ranges of its dims. It never compiles by itself.

    `manifest`, `objects` and `stages` are as in ARCHITECTURE.md. An executable may be called from several threads.

    Calling it: `exe(x, y, P=17, out=buffer, state=st)`. Inputs are positional or by name, of exactly the declared dtype; dim
    inputs are ints by name. The result is an array, or a tuple in the order of `outputs`; `out` is one array, or a sequence or a
    mapping by name for several. BindError if an argument does not fit the signature, ShapeError if a shape, a range or a guard is
    violated, RuntimeFault if the code reports a fault; the outputs then have no meaning.
    """

    _codegen: ClassVar[CodegenHook | None] = None
    _code: Any
    """A `HostCode`, or what stands in for one."""

    def _setup(self, code: Any, bound: Any, fixed: Mapping[str, int]) -> None:
        self._code = code
        self._bound = bound
        self._manifest = code.manifest
        self._signature = Signature(code.manifest, fixed)
        self._plans: OrderedDict[Any, Plan] = OrderedDict()
        self._specializations: OrderedDict[tuple[bool, tuple[tuple[str, int], ...]], Executable] = OrderedDict()

    def _derive(self, bound: Any, fixed: Mapping[str, int], code: Any = None) -> Executable:
        derived = type(self).__new__(type(self))
        derived._setup(code or self._code, bound, fixed)
        return derived

    # -- what it is

    @property
    def name(self) -> str:
        return self._manifest.name

    @property
    def target(self) -> str:
        return self._manifest.target

    @property
    def label(self) -> str:
        """What a call does here: "executed", "emulated", or "compiled only" where nothing can run the code."""
        return "executed"

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._manifest.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._manifest.outputs

    @property
    def params(self) -> tuple[TensorSpec, ...]:
        return self._manifest.params

    @property
    def states(self) -> tuple[TensorSpec, ...]:
        return self._manifest.states

    @property
    def dims(self) -> tuple[DimSpec, ...]:
        return self._manifest.dims

    @property
    def dim_inputs(self) -> tuple[str, ...]:
        return self._manifest.dim_inputs

    @property
    def guards(self) -> tuple[Guard, ...]:
        return self._manifest.guards

    @property
    def fixed_dims(self) -> dict[str, int]:
        """The dims that `specialize` fixed."""
        return dict(self._signature.fixed)

    @property
    def is_bound(self) -> bool:
        return self._bound is not None

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self._manifest.raw

    @property
    def stages(self) -> Mapping[str, str]:
        """The IR text of the stages, by name."""
        return self._code.stages

    @property
    def objects(self) -> Mapping[str, bytes]:
        return self._code.objects

    def __repr__(self) -> str:
        fixed = "".join(f", {name}={value}" for name, value in self._signature.fixed.items())
        return f"<Executable {self.name}: {self.target}{fixed}{'' if self._bound else ', weights not bound'}>"

    def memory_analysis(self, **dims: int) -> dict[str, Any]:
        """Bytes by purpose.

        "params", "packed", "constants", "code" do not depend on dims. "arena", "inputs", "outputs" and "states" are those of a
        call with the given dims; dims neither given nor fixed are taken at their maximum ("dims" says which were used). If a
        guard refuses these dims, the four are None and "guard" has its text.
        """
        fixed = Signature(self._manifest, {**self._signature.fixed, **dims}).fixed
        used = {dim.name: fixed.get(dim.name, dim.max - dim.max % dim.multiple_of) for dim in self.dims}
        analysis: dict[str, Any] = {
            "dims": used,
            "params": sum(spec_bytes(spec, {}) for spec in self.params),
            "packed": self._manifest.packed_bytes,
            "constants": sum(len(data) for data in self._manifest.constants.values()),
            "code": sum(len(data) for name, data in self.objects.items() if name != "support.o"),
        }
        try:
            plan = self._code.plan(used, self._code.thread_limit())
        except ShapeError as error:
            return {**analysis, "arena": None, "inputs": None, "outputs": None, "states": None, "guard": error.message}
        analysis["arena"] = plan.arena_bytes
        for kind in ("inputs", "outputs", "states"):
            analysis[kind] = sum(spec_bytes(spec, used) for spec in getattr(self, kind))
        return analysis

    def call_threads(self, dims: Mapping[str, int]) -> int:
        """Threads of the host that a call with these dims (all of them) uses."""
        return self._code.plan(dims, self._code.thread_limit()).threads

    # -- weights, specialization

    def bind(self, weights: str | os.PathLike[str] | Mapping[str, Any]) -> Executable:
        """A new executable with weights: a safetensors file, or arrays by name (NumPy or DLPack).

        The prepare program runs once and packs what it packs. BindError lists all names that are missing, extra, mis-shaped or of
        another dtype; PackageError if the file is damaged.
        """
        raise NotImplementedError

    def packed_weights(self) -> Weights | None:
        """The bound weights as a package holds them; None if there are none."""
        raise NotImplementedError

    def with_weights(self, weights: Weights) -> Executable:
        """A new executable with weights that were bound before."""
        raise NotImplementedError

    def _new_code(self, made: Artifact) -> HostCode:
        """The loaded code of an artifact for the same target."""
        raise NotImplementedError

    def new_state(self, **dims: int) -> dict[str, Any]:
        """Zeroed state arrays by name; `dims` are those of their shapes. A call updates them in place."""
        fixed = Signature(self._manifest, {**self._signature.fixed, **dims}).fixed
        state = {}
        for spec in self.states:
            try:
                shape = spec.concrete(fixed)
            except KeyError as error:
                raise ShapeError(f"state '{spec.name}' has shape {show(spec.shape)}: give {error}", code="undetermined") from None
            state[spec.name] = self._zeros(spec, shape)
        return state

    def _zeros(self, spec: TensorSpec, shape: tuple[int, ...]) -> Any:
        raise NotImplementedError

    def specialize(self, *, codegen: bool = True, **dims: int) -> Executable:
        """An executable with some dims fixed; it shares the packed weights.

        With `codegen` the compiler makes new kernels for these dims: PackageError with code "no-compiler" where there is none.
        Without, the code stays and only the plan is made in advance. ShapeError if a dim is unknown, out of range, or fixed
        otherwise already. The last 8 are kept, see `specializations`.
        """
        fixed = {**self._signature.fixed, **{name: as_int(value, f"dim '{name}'") for name, value in dims.items()}}
        for name, value in self._signature.fixed.items():
            if fixed[name] != value:
                raise ShapeError(f"dim '{name}' is already fixed to {value}", code="fixed-dim")
        key = (codegen, tuple(sorted(fixed.items())))
        found = self._specializations.pop(key, None)
        if found is None:
            Signature(self._manifest, fixed)  # refuse before compiling
            found = self._generate(fixed) if codegen else self._derive(self._bound, fixed)
            if found._signature.is_fixed:
                found._plan_of([], None)
        self._specializations[key] = found
        while len(self._specializations) > SPECIALIZATION_LIMIT:
            self._specializations.popitem(last=False)
        return found

    @property
    def specializations(self) -> dict[tuple[tuple[str, int], ...], Executable]:
        """The kept specializations by their dims, `(("B", 1), ("S", 128))`; the least recently asked for first."""
        return {dims: executable for (_, dims), executable in self._specializations.items()}

    def _generate(self, fixed: Mapping[str, int]) -> Executable:
        hook = Executable._codegen
        if hook is None:
            raise PackageError(
                "specialize(codegen=True) needs the compiler",
                code="no-compiler",
                hint="import rlx, or use specialize(codegen=False)",
            )
        made = hook(self, fixed)
        code = self._new_code(made)
        if (code.manifest.packed, code.manifest.params) != (self._manifest.packed, self._manifest.params) and self._bound:
            raise PackageError(
                "the new kernels have another weight layout than the bound weights",
                code="weight-layout",
                hint="specialize first, then bind",
            )
        return self._derive(self._bound.moved_to(code) if self._bound else None, fixed, code)

    def save(self, path: str | os.PathLike[str], weights: str = "none") -> None:
        """Write a package; `weights="packed"` puts the bound weights in, in the form the code uses. Atomic: all or nothing."""
        from rlx_runtime.package import save

        save(self, path, weights)

    # -- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def run(
        self, inputs: Mapping[str, Any], out: Mapping[str, Any] | None = None, state: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Call by name; dim inputs are among the inputs. Returns the outputs by name."""
        results = self._run(inputs, self._named_outputs(out), state)
        return {spec.name: array for spec, array in zip(self.outputs, results)}

    def submit(self, *args: Any, stream: Any = None, **kwargs: Any) -> Any:
        """Call in the background: something with `done()` and `result()`. TargetError for a stream where there are none."""
        raise NotImplementedError

    def _run(self, given: Mapping[str, Any], out: Sequence[Any] | None, state: Mapping[str, Any] | None) -> list[Any]:
        """The call itself: the outputs in order."""
        raise NotImplementedError

    def _named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs by name."""
        names = [spec.name for spec in self.inputs]
        if len(args) > len(names):
            raise BindError(f"{len(args)} positional arguments for {len(names)} inputs", code="arguments",
                            hint="dim inputs are given by name")  # fmt: skip
        for name in names[: len(args)]:
            if name in kwargs:
                raise BindError(f"input '{name}' is given twice", code="arguments")
        return {**dict(zip(names, args)), **kwargs}

    def _call(self, /, *args: Any, out: Any = None, state: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        results = self._run(self._named(args, kwargs), self._listed_outputs(out), state)
        return results[0] if len(results) == 1 else tuple(results)

    def _listed_outputs(self, out: Any) -> list[Any | None] | None:
        if out is None or isinstance(out, Mapping):
            return self._named_outputs(out)
        listed = [out] if len(self.outputs) == 1 and not isinstance(out, list | tuple) else out
        if not isinstance(listed, list | tuple) or len(listed) != len(self.outputs):
            raise BindError(f"out must be {len(self.outputs)} arrays", code="out")
        return list(listed)

    def _named_outputs(self, out: Mapping[str, Any] | None) -> list[Any | None] | None:
        if out is None:
            return None
        for name in out:
            if all(name != spec.name for spec in self.outputs):
                raise BindError(f"there is no output '{name}'", code="out")
        return [out.get(spec.name) for spec in self.outputs]

    def _given_inputs(self, given: Mapping[str, Any]) -> list[Any]:
        """The inputs in order; BindError if one is missing or there is no such input."""
        arrays = []
        for spec in self.inputs:
            if spec.name not in given:
                raise BindError(f"input '{spec.name}' is missing", code="missing-input", hint=self._input_names())
            arrays.append(given[spec.name])
        if len(given) > len(arrays):
            for name in given:
                if name not in self.dim_inputs and all(name != spec.name for spec in self.inputs):
                    raise BindError(f"there is no input '{name}'", code="unknown-input", hint=self._input_names())
        return arrays

    def _given_states(self, state: Mapping[str, Any] | None) -> list[Any]:
        """The states in order; BindError as for inputs."""
        if not self.states:
            if state:
                raise BindError("this model has no state", code="state")
            return []
        if state is None:
            raise BindError("this model needs a state", code="state", hint="pass state=exe.new_state(…)")
        for name in state:
            if all(name != spec.name for spec in self.states):
                raise BindError(f"there is no state '{name}'", code="state")
        for spec in self.states:
            if spec.name not in state:
                raise BindError(f"state '{spec.name}' is missing", code="state")
        return [state[spec.name] for spec in self.states]

    def _input_names(self) -> str:
        return "the inputs are: " + (", ".join([spec.name for spec in self.inputs] + list(self.dim_inputs)) or "none")

    def _plan_of(self, shapes: Sequence[tuple[int, ...]], given: Mapping[str, Any] | None) -> Plan:
        """The plan for these input shapes and dim inputs, remembered; `given` is None when all dims are fixed."""
        scalars = self._signature.dim_input_values(given) if given is not None and self.dim_inputs else ()
        threads = self._code.thread_limit()
        key = (tuple(shapes), scalars, threads) if given is not None else None
        plan = self._plans.get(key)
        if plan is None:
            dims = self._signature.fixed if given is None else self._signature.solve(shapes, scalars)
            plan = self._plans[key] = self._code.plan(dims, threads)
            while len(self._plans) > PLAN_LIMIT:
                self._plans.popitem(last=False)
        return plan


def set_codegen_hook(hook: CodegenHook | None) -> None:
    """Install what `specialize(codegen=True)` calls: `hook(executable, dims) -> Artifact`, with all fixed dims.

    The artifact must keep the params and the packed layout of the executable it was made from.
    """
    Executable._codegen = staticmethod(hook) if hook is not None else None


def spec_bytes(spec: TensorSpec, dims: Mapping[str, int]) -> int:
    """Bytes of a buffer for these dims."""
    return buffer_bytes(spec.dtype, int(np.prod(spec.concrete(dims), dtype=np.int64)))

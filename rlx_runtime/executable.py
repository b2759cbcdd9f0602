"""Executable: compiled code that is called with arrays."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rlx_runtime import arena, team
from rlx_runtime.arena import aligned_block
from rlx_runtime.binding import Bound, bind_weights
from rlx_runtime.code import Code, Plan
from rlx_runtime.dtypes import buffer_bytes, numpy_dtype, unpack_i4
from rlx_runtime.errors import BindError, PackageError, ShapeError, TargetError
from rlx_runtime.fastcall import DECLINED, FAULTED, FastSlot
from rlx_runtime.manifest import DimSpec, Guard, TensorSpec
from rlx_runtime.signature import Signature, as_int, show
from rlx_runtime.weights import as_array, check_dtype, contiguous

if TYPE_CHECKING:
    from concurrent.futures import Future

Array = NDArray[Any]
PLAN_LIMIT = 256
"""Plans that an executable remembers, one per combination of shapes."""
SPECIALIZATION_LIMIT = 8


@dataclass(frozen=True)
class Artifact:
    """What a compiler makes: the manifest, the objects ("kernels.o", "support.o") and the text of the stages."""

    manifest: Mapping[str, Any]
    objects: Mapping[str, bytes]
    stages: Mapping[str, str]


CodegenHook = Callable[["Executable", Mapping[str, int]], Artifact]


class Executable:
    """Compiled code for one model, valid for every shape in the ranges of its dims. It never compiles by itself.

    `manifest`, `objects` and `stages` are as in ARCHITECTURE.md; without "support.o" the runtime makes its own. PackageError if
    something is damaged, TargetError if this machine cannot run the code. An executable may be called from several threads.

    Calling it: `exe(x, y, P=17, out=buffer, state=st)`. Inputs are positional or by name, NumPy or DLPack in host memory, of
    exactly the declared dtype; dim inputs are ints by name. Inputs that are not C-contiguous and aligned are copied. The result
    is an array, or a tuple in the order of `outputs`; `out` is one array, or a sequence or a mapping by name for several.
    BindError if an argument does not fit the signature, ShapeError if a shape, a range or a guard is violated, RuntimeFault if
    the code reports a fault; the outputs then have no meaning.
    """

    _codegen: ClassVar[CodegenHook | None] = None

    def __init__(self, manifest: Mapping[str, Any], objects: Mapping[str, bytes], stages: Mapping[str, str]) -> None:
        code = Code(manifest, objects, stages)
        self._setup(code, None, code.manifest.fixed)
        if not code.manifest.params:
            self._bound = bind_weights(code, {})

    def _setup(self, code: Code, bound: Bound | None, fixed: Mapping[str, int]) -> None:
        self._code = code
        self._bound = bound
        self._manifest = code.manifest
        self._signature = Signature(code.manifest, fixed)
        self._plans: OrderedDict[Any, Plan] = OrderedDict()
        self._specializations: OrderedDict[tuple[bool, tuple[tuple[str, int], ...]], Executable] = OrderedDict()
        specs = (*self._manifest.inputs, *self._manifest.outputs)
        self._simple = not self._manifest.states and not any(spec.dtype == "i4" for spec in specs)
        self._slot = FastSlot(code.support)
        self._fast = self._slot.function

    def _derive(self, bound: Bound | None, fixed: Mapping[str, int], code: Code | None = None) -> Executable:
        derived = Executable.__new__(Executable)
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

    @property
    def code(self) -> Code:
        """The loaded code, for the package writer."""
        return self._code

    @property
    def bound(self) -> Bound | None:
        """The bound weights, for the package writer."""
        return self._bound

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
            "params": sum(_bytes(spec, {}) for spec in self.params),
            "packed": self._manifest.packed_bytes,
            "constants": sum(len(data) for data in self._manifest.constants.values()),
            "code": len(self._code.objects["kernels.o"]),
        }
        try:
            plan = self._code.plan(used, self._code.thread_limit())
        except ShapeError as error:
            return {**analysis, "arena": None, "inputs": None, "outputs": None, "states": None, "guard": error.message}
        analysis["arena"] = plan.arena_bytes
        for kind in ("inputs", "outputs", "states"):
            analysis[kind] = sum(_bytes(spec, used) for spec in getattr(self, kind))
        return analysis

    # -- weights, specialization, state

    def with_bound(self, bound: Bound) -> Executable:
        """A new executable with weights that were bound before, as the package reader has them."""
        return self._derive(bound, self._signature.fixed)

    def bind(self, weights: str | os.PathLike[str] | Mapping[str, Any]) -> Executable:
        """A new executable with weights: a safetensors file, or arrays by name (NumPy or DLPack).

        The prepare program runs once and packs what it packs; params that the code uses as they are stay where they lie (in the
        mapped file, or in the caller's arrays). BindError lists all names that are missing, extra, mis-shaped or of another
        dtype; PackageError if the file is damaged.
        """
        return self._derive(bind_weights(self._code, weights), self._signature.fixed)

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
        code = Code(made.manifest, made.objects, made.stages)
        if (code.manifest.packed, code.manifest.params) != (self._manifest.packed, self._manifest.params) and self._bound:
            raise PackageError(
                "the new kernels have another weight layout than the bound weights",
                code="weight-layout",
                hint="specialize first, then bind",
            )
        return self._derive(self._bound.moved_to(code) if self._bound else None, fixed, code)

    def new_state(self, **dims: int) -> dict[str, Array]:
        """Zeroed state arrays by name, 64-byte aligned; `dims` are those of their shapes. A call updates them in place."""
        fixed = Signature(self._manifest, {**self._signature.fixed, **dims}).fixed
        state = {}
        for spec in self.states:
            try:
                shape = spec.concrete(fixed)
            except KeyError as error:
                raise ShapeError(f"state '{spec.name}' has shape {show(spec.shape)}: give {error}", code="undetermined") from None
            state[spec.name] = aligned_block(_bytes(spec, fixed)).view(numpy_dtype(spec.dtype)).reshape(shape)
        return state

    def save(self, path: str | os.PathLike[str], weights: str = "none") -> None:
        """Write a package; `weights="packed"` puts the bound weights in, in the form the code uses. Atomic: all or nothing."""
        from rlx_runtime.package import save

        save(self, path, weights)

    # -- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._fast(*args, **kwargs)
        if result is DECLINED:
            return self._call(*args, **kwargs)
        if result is FAULTED:
            raise self._code.fault(self._manifest.main, self._slot.fault_status())
        return result

    def run(
        self, inputs: Mapping[str, Any], out: Mapping[str, Array] | None = None, state: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Call by name; dim inputs are among the inputs. Returns the outputs by name."""
        results = self._run(inputs, self._named_outputs(out), state)
        return {spec.name: array for spec, array in zip(self.outputs, results)}

    def submit(self, *args: Any, stream: None = None, **kwargs: Any) -> Future[Any]:
        """Call in the background: a future with `done()` and `result()`. Code for the CPU knows no streams (TargetError)."""
        if stream is not None:
            raise TargetError("the target 'cpu' has no streams", code="stream")
        from rlx_runtime.background import submit

        return submit(self, args, kwargs)

    def _call(self, /, *args: Any, out: Any = None, state: Mapping[str, Array] | None = None, **kwargs: Any) -> Any:
        names = [spec.name for spec in self.inputs]
        if len(args) > len(names):
            raise BindError(f"{len(args)} positional arguments for {len(names)} inputs", code="arguments",
                            hint="dim inputs are given by name")  # fmt: skip
        for name in names[: len(args)]:
            if name in kwargs:
                raise BindError(f"input '{name}' is given twice", code="arguments")
        results = self._run({**dict(zip(names, args)), **kwargs}, self._listed_outputs(out), state)
        return results[0] if len(results) == 1 else tuple(results)

    def _listed_outputs(self, out: Any) -> list[Array | None] | None:
        if out is None or isinstance(out, Mapping):
            return self._named_outputs(out)
        listed = [out] if len(self.outputs) == 1 and not isinstance(out, list | tuple) else out
        if not isinstance(listed, list | tuple) or len(listed) != len(self.outputs):
            raise BindError(f"out must be {len(self.outputs)} arrays", code="out")
        return list(listed)

    def _named_outputs(self, out: Mapping[str, Array] | None) -> list[Array | None] | None:
        if out is None:
            return None
        for name in out:
            if all(name != spec.name for spec in self.outputs):
                raise BindError(f"there is no output '{name}'", code="out")
        return [out.get(spec.name) for spec in self.outputs]

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

    def _input_arrays(self, given: Mapping[str, Any]) -> list[Array]:
        arrays = []
        for spec in self.inputs:
            if spec.name not in given:
                raise BindError(f"input '{spec.name}' is missing", code="missing-input", hint=self._input_names())
            array = as_array(given[spec.name], f"input '{spec.name}'")
            check_dtype(array, spec, f"input '{spec.name}'")
            arrays.append(array)
        if len(given) > len(arrays):
            for name in given:
                if name not in self.dim_inputs and all(name != spec.name for spec in self.inputs):
                    raise BindError(f"there is no input '{name}'", code="unknown-input", hint=self._input_names())
        return arrays

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

    def _state_arrays(self, state: Mapping[str, Array] | None, plan: Plan) -> list[Array]:
        if not self.states:
            if state:
                raise BindError("this model has no state", code="state")
            return []
        if state is None:
            raise BindError("this model needs a state", code="state", hint="pass state=exe.new_state(…)")
        for name in state:
            if all(name != spec.name for spec in self.states):
                raise BindError(f"there is no state '{name}'", code="state")
        arrays = []
        for spec, shape in zip(self.states, plan.state_shapes):
            if spec.name not in state:
                raise BindError(f"state '{spec.name}' is missing", code="state")
            arrays.append(_writable(state[spec.name], spec, shape, f"state '{spec.name}'"))
        return arrays

    def _output_buffers(self, out: Sequence[Array | None] | None, plan: Plan) -> tuple[list[Array], list[Array]]:
        results: list[Array] = []
        buffers: list[Array] = []
        for position, (spec, shape) in enumerate(zip(self.outputs, plan.output_shapes)):
            given = out[position] if out is not None else None
            if given is None:
                given = np.empty(shape, numpy_dtype(spec.dtype))
            else:
                given = _writable(given, spec, shape, f"out '{spec.name}'")
            results.append(given)
            buffers.append(np.empty(buffer_bytes("i4", given.size), np.uint8) if spec.dtype == "i4" else given)
        return results, buffers

    def _check_disjoint(self, inputs: Sequence[Array], states: Sequence[Array], outputs: Sequence[Array]) -> None:
        """What the call writes shares no memory with anything else of the call; BindError names the two."""
        named = [(f"input '{spec.name}'", array) for spec, array in zip(self.inputs, inputs)]
        if self._bound is not None:
            named += [(f"parameter '{name}'", array) for name, array in self._bound.params.items()]
        written = [(f"state '{spec.name}'", array) for spec, array in zip(self.states, states)]
        written += [(f"out '{spec.name}'", array) for spec, array in zip(self.outputs, outputs)]
        for what, array in written:
            for other, memory in named:
                if np.may_share_memory(array, memory):
                    raise BindError(f"{what} overlaps {other} in memory", code="overlap")
            named.append((what, array))


def set_codegen_hook(hook: CodegenHook | None) -> None:
    """Install what `specialize(codegen=True)` calls: `hook(executable, dims) -> Artifact`, with all fixed dims.

    The artifact must keep the params and the packed layout of the executable it was made from.
    """
    Executable._codegen = staticmethod(hook) if hook is not None else None


def _writable(array: Any, spec: TensorSpec, shape: tuple[int, ...], what: str) -> Array:
    """`array` if the code can write it as it is; BindError otherwise."""
    if not isinstance(array, np.ndarray):
        raise BindError(f"{what} is no NumPy array but {type(array).__name__}", code="not-array")
    if array.dtype != numpy_dtype(spec.dtype):
        raise BindError(f"{what} has dtype {array.dtype}, expected {spec.dtype}", code="dtype")
    if array.shape != shape:
        raise BindError(f"{what} has shape {show(array.shape)}, expected {show(shape)}", code="shape")
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned and flags.writeable):
        lacks = "C-contiguous" if not flags.c_contiguous else "aligned" if not flags.aligned else "writable"
        raise BindError(f"{what} is not {lacks}", code="layout")
    return array


def _bytes(spec: TensorSpec, dims: Mapping[str, int]) -> int:
    return buffer_bytes(spec.dtype, int(np.prod(spec.concrete(dims), dtype=np.int64)))

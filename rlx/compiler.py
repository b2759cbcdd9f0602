"""From a model to code: `rlx.lower` and `Lowered`.

Stages as in JAX: a model is lowered (all IR levels, plan, reports), the lowered form is compiled (native code), the
executable is bound to weights. Nothing compiles implicitly after that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from rlx._version import __version__
from rlx.executables import generate
from rlx.options import Options
from rlx.reports import CostAnalysis, DispatchReport, FusionReport, MemoryPlanReport
from rlx.universe import get_all_passes
from rlx_backends.gpu.backend import GpuBackend
from rlx_backends.passes.lir_force_schedules import LirForceSchedulesPass
from rlx_backends.registry import backend
from rlx_backends.support.manifest import build_manifest
from rlx_backends.support.plan_function import guards
from rlx_dialects.lir import ProgramOp, programs
from rlx_frontends.model import Model
from rlx_passes.manager import PassManager
from rlx_passes.mir.mir_specialize import MirSpecializePass
from rlx_passes.support.printing import as_text
from rlx_runtime.errors import LowerError, PackageError, TargetError

if TYPE_CHECKING:
    from rlx_runtime import Artifact, Executable

STAGES = ("hir", "mir", "lir", "kernel")


@dataclass
class Lowered:
    """A model at every level, planned for one target. Dims may still be symbolic."""

    model: Model
    target: str
    options: Options
    modules: Mapping[str, ModuleOp]
    """The module at the end of each stage that the target's pipeline has."""
    fixed: Mapping[str, int] = field(default_factory=dict)
    """Dims bound by specialization."""

    def as_text(self, stage: str = "lir") -> str:
        """The IR of a stage (hir, mir, lir, kernel), or what the target emits from it (llvm, asm). LowerError for an unknown
        one.
        """
        if stage in self.modules:
            return as_text(self.modules[stage])
        emitted = self._backend_text(stage)
        if emitted is None:
            known = ", ".join([*self.modules, *getattr(backend(self.target), "texts", ())])
            raise LowerError(f"target '{self.target}' has no stage '{stage}'; it has: {known}", code="unknown-stage")
        return emitted

    def as_binary(self, stage: str) -> bytes:
        """What the target's assembler or linker makes of the kernels (cubin, hsaco). LowerError for a stage that there is not,
        TargetError if the tool is missing.
        """
        chosen: Any = backend(self.target)
        if stage not in getattr(chosen, "binaries", ()):
            raise LowerError(f"target '{self.target}' has no binary '{stage}'", code="unknown-stage")
        return chosen.binary(stage, self.modules["kernel"], self._machine, self.options.to_json())

    def _backend_text(self, stage: str) -> str | None:
        chosen = backend(self.target)
        if stage not in getattr(chosen, "texts", ()) or "kernel" not in self.modules:
            return None
        return chosen.text(stage, self.modules["kernel"], self._machine, self.options.to_json())  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def _machine(self) -> Any:
        return backend(self.target).target(self.options.machine(self.target))

    @cached_property
    def main(self) -> ProgramOp:
        return next(p for p in programs(self.modules["lir"]) if p.sym_name.data == "main")

    @cached_property
    def fusion_report(self) -> FusionReport:
        """What was fused, and how every edge of the optimized MIR ended."""
        return FusionReport.of(self.modules["mir"], self.modules["lir"])

    @cached_property
    def dispatch_report(self) -> DispatchReport:
        """For each item of the schedule: form, schedule, shape of the work."""
        return DispatchReport.of(self.target, self.modules["lir"])

    @cached_property
    def memory_plan(self) -> MemoryPlanReport:
        """Where every buffer lies."""
        return MemoryPlanReport.of(self.main)

    def cost_analysis(self, **dims: int) -> dict[str, Any]:
        """`{"flops", "bytes", "launches"}`: numbers for given dims, formulas in the symbols without."""
        return CostAnalysis.of(self.main).to_json(dims)

    @cached_property
    def guards(self) -> tuple[str, ...]:
        """What a call's dims must satisfy beyond their ranges."""
        return tuple(f"{g.lhs.data} {g.relation.data} {g.rhs.data}" for g in guards(self.main))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over canonical IR, options and the resolved target: equal inputs give equal code."""
        parts = [self.as_text("lir"), json.dumps(self.options.to_json(), sort_keys=True), repr(self._machine), self.target]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the runtime needs to know."""
        reports = {
            "fusion": self.fusion_report.to_json(),
            "dispatch": self.dispatch_report.to_json(),
            "memory": self.memory_plan.to_json(),
            "cost": CostAnalysis.of(self.main).formulas(),
        }
        made = build_manifest(
            self.modules["lir"], name=self.model.name, target=self.target, compiler=__version__, reports=reports
        )
        chosen: Any = backend(self.target)
        machine: Any = self._machine
        if isinstance(chosen, GpuBackend):  # its host code runs on any CPU, emulated kernels where they were compiled
            machine = backend("cpu").target({}) if self.options.emulate else None
        if machine is not None:
            made["cpu"] = {"name": machine.name, "features": list(getattr(machine, "features", ()))}
        made["options"] = self.options.to_json()
        if self.options.threads:
            made["threads"] = self.options.threads
        if self.fixed:
            # The code knows these dims no more; callers still see them, after the dims that are left.
            made["fixed"] = dict(self.fixed)
            known = {dim["name"] for dim in made["dims"]}  # a dim that an argument carries is still among them
            made["dims"] += [
                {"name": name, "min": value, "max": value, "multiple_of": 1, "runtime": False, "dim_input": None}
                for name, value in self.fixed.items()
                if name not in known
            ]
        return made

    @cached_property
    def stages(self) -> Mapping[str, str]:
        """The text of every stage, printed when read."""
        return _Stages(self)

    def compile(self) -> Executable:
        """An executable for this lowering: valid for every shape in its ranges. TargetError if it cannot run here."""
        if "kernel" not in self.modules:
            from rlx.numpy_executable import NumpyExecutable

            return NumpyExecutable(self.manifest, self.modules["lir"], self.stages)
        from rlx_runtime import executable_of, set_codegen_hook

        set_codegen_hook(generate)
        return executable_of(self.artifact())

    def artifact(self) -> Artifact:
        """Manifest, objects and stage texts: all that a package holds. PackageError if the target makes no code."""
        from rlx_runtime import Artifact, support_object

        if "kernel" not in self.modules:
            raise PackageError(f"target '{self.target}' has no code to save", code="no-code", hint="compile for target 'cpu'")
        chosen, module, machine = backend(self.target), self.modules["kernel"], self._machine
        options = self.options.to_json()
        objects = chosen.compile(module, machine, options)
        manifest = self.manifest
        if isinstance(chosen, GpuBackend):
            manifest = {**manifest, "device": chosen.describe_device(module, machine, options)}
        return Artifact(manifest, {"support.o": support_object(), **objects}, self.stages)


class _Stages(Mapping[str, str]):
    """Stage name to text."""

    def __init__(self, lowered: Lowered) -> None:
        self._lowered = lowered

    @property
    def model(self) -> Model:
        return self._lowered.model

    def __getitem__(self, stage: str) -> str:
        if stage not in self._lowered.modules:
            raise KeyError(stage)
        return self._lowered.as_text(stage)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lowered.modules)

    def __len__(self) -> int:
        return len(self._lowered.modules)


def pipeline_of(target: str, options: Options) -> str:
    """The pipeline text for a target: its named pipeline with the options that differ from their defaults."""
    arguments = {"boundary": options.boundary, "effort": options.plan_effort}
    arguments |= options.machine(target)
    given = [f'{key}="{value}"' for key, value in arguments.items() if value not in ("", "default", "external")]
    return f"{target}-default{{{' '.join(given)}}}" if given else f"{target}-default"


def lower(
    model: Model,
    target: str = "cpu",
    options: Options | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    dump: str | None = None,
) -> Lowered:
    """Run a target's pipeline on a copy of `model`; dims may stay symbolic, `dims` binds some.

    Raises:
        TargetError: the target is unknown or cannot be compiled for here.
        ShapeError: a given dim is unknown or out of its range.
        LowerError: an op has no kernel form on this target.
    """
    options = options or Options()
    if options.precision != "f32":
        raise TargetError(f"target '{target}' computes f32 in f32, not in {options.precision}", code="precision")
    chosen = backend(target)
    chosen.target(options.machine(target))
    if options.emulate and not isinstance(chosen, GpuBackend):
        raise TargetError(f"target '{target}' runs as it is: there is nothing to emulate", code="emulate")
    modules: dict[str, ModuleOp] = {"hir": model.module}
    module = model.module.clone()

    def keep(name: str, current: ModuleOp) -> None:
        step = manager.steps[len(manager.records) - 1]
        if step.ends_stage and step.stage is not None and step.stage.name in STAGES:
            # The last stage needs no copy: nothing changes it any more.
            modules[step.stage.name] = current if step is manager.steps[-1] else current.clone()

    manager = PassManager(pipeline_of(target, options), available=get_all_passes(), dump=dump, after_pass=keep)
    given: dict[str, ModulePass] = {}
    if dims:
        given[MirSpecializePass.name] = MirSpecializePass.of(**dims)
    if options.schedules:
        forced = tuple(f"{label}={schedule}" for label, schedule in options.schedules)
        given[LirForceSchedulesPass.name] = LirForceSchedulesPass(forced)
    # The named pipelines hold these passes without arguments, which do nothing.
    manager.steps = tuple(replace(step, run=given.get(step.name, step.run)) for step in manager.steps)
    manager.run(module)
    return Lowered(model, target, options, modules, dict(dims or {}))


__all__ = ["Lowered", "lower"]

"""The CPU backend: LIR to kernel IR to LLVM text to a native object."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rlx_backends.cpu.target import CpuTarget, host, named
from rlx_runtime.errors import LowerError, TargetError

if TYPE_CHECKING:  # asking for the target alone is cheap: a cached artifact needs no more
    from xdsl.dialects.builtin import ModuleOp

    from rlx_backends.base import FormSchedules
    from rlx_backends.support.entry import EntryWriter
    from rlx_backends.support.kernel_builder import KernelBuilder
    from rlx_dialects.lir import FormOp

_SCHEDULES = {
    "lir.map": "map",
    "lir.reduce": "reduce",
    "lir.contract": "contract",
    "lir.attention": "attention",
    "lir.scan": "sequential",
    "lir.sort": "sequential",
    "lir.scatter": "sequential",
}

_V2 = ("sse4.1", "sse4.2", "ssse3", "sse3", "popcnt")
_V3 = (*_V2, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")
LEVELS = {
    "x86-64": (),
    "x86-64-v2": _V2,
    "x86-64-v3": _V3,
    "x86-64-v4": (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
}
"""The features of the architecture levels of the x86-64 psABI."""


class CpuBackend:
    """Target "cpu": the machine this runs on unless the options name another."""

    name = "cpu"
    texts = ("llvm", "asm")

    def target(self, options: Mapping[str, Any]) -> CpuTarget:
        """`cpu` and `features` as in `rlx.Options`. TargetError where a name needs features to be given."""
        cpu, features = options.get("cpu") or "", options.get("features") or ""
        base = host()
        if not cpu and not features:
            return base
        known = base.features if cpu in ("", base.name) else LEVELS.get(cpu)
        if known is None and not features:
            raise TargetError(
                f"the features of cpu '{cpu}' are not known",
                code="unknown-cpu",
                hint=f'give them, as in features="+avx2,+fma", or use one of {", ".join(LEVELS)}',
            )
        kept = dict.fromkeys(known or ())
        for word in filter(None, features.split(",")):
            sign, feature = word[0], word[1:]
            if sign == "+":
                kept[feature] = None
            elif sign == "-":
                kept.pop(feature, None)
            else:
                raise TargetError(f"feature '{word}' must start with + or -", code="bad-features")
        return named(cpu or base.name, tuple(kept))

    @property
    def kernel_builder(self) -> type[KernelBuilder]:
        from rlx_backends.support.kernel_builder import KernelBuilder

        return KernelBuilder

    @property
    def entry_writer(self) -> type[EntryWriter]:
        from rlx_backends.support.entry import EntryWriter

        return EntryWriter

    def schedules(self, form: FormOp) -> FormSchedules:
        """The module of `schedules/` for this form."""
        module = _SCHEDULES.get(form.name)
        if module is None:
            from rlx_passes.support.locations import location_of

            raise LowerError(f"target 'cpu' has no schedule for '{form.name}'", code="no-schedule", location=location_of(form))
        return import_module(f"rlx_backends.cpu.schedules.{module}")  # pyright: ignore[reportReturnType]

    def text(self, stage: str, module: ModuleOp, target: CpuTarget, options: Mapping[str, Any]) -> str:
        """LLVM IR, or the assembly made from it."""
        from rlx_backends.cpu.compile import assembly
        from rlx_backends.cpu.emit import emit

        llvm = emit(module, target)
        return llvm if stage == "llvm" else assembly(llvm, target, _level(options))

    def compile(self, module: ModuleOp, target: CpuTarget, options: Mapping[str, Any]) -> Mapping[str, bytes]:
        """`kernels.o`, from the object cache where the same text was compiled for the same features before."""
        from rlx_backends.cpu.compile import compile_text
        from rlx_backends.cpu.emit import emit

        return {"kernels.o": compile_text(emit(module, target), target, _level(options))}


def _level(options: Mapping[str, Any]) -> int:
    """LLVM's code generation level."""
    return int(options.get("codegen_level") or 1)


BACKEND = CpuBackend()

"""The backend class that the GPU targets share."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rlx_backends.gpu.target import GpuTarget, gpu_target
from rlx_runtime.errors import LowerError

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from rlx_backends.base import FormSchedules
    from rlx_backends.gpu.entry import LaunchWriter
    from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
    from rlx_dialects.lir import FormOp

HOST = "host"
"""The stage of the host code."""
SIMULATOR = "device.sim.o"
_SCHEDULES = {
    "lir.map": "map",
    "lir.reduce": "reduce",
    "lir.contract": "contract",
    "lir.attention": "attention",
    "lir.scan": "scan",
    "lir.sort": "sort",
    "lir.scatter": "scatter",
}


class GpuBackend:
    """One GPU target; `name` is that of its dialect too.

    A subclass adds its device code: the object that its driver loads (`device_code`), all objects (`device_objects`), and the
    texts on the way (`device_texts`, `device_text`).
    """

    name: str
    device_code: str
    device_texts: tuple[str, ...]
    binaries: tuple[str, ...] = ()
    """Stages that are no text: what the target's own assembler or linker makes."""

    @property
    def texts(self) -> tuple[str, ...]:
        """What the kernels become, and the host code that launches them."""
        return (*self.device_texts, HOST)

    def target(self, options: Mapping[str, Any]) -> GpuTarget:
        """The architecture that `cpu` names, or the usual one."""
        return gpu_target(self.name, options)

    @property
    def kernel_builder(self) -> type[GpuKernelBuilder]:
        from rlx_backends.gpu.kernel_builder import GpuKernelBuilder

        return GpuKernelBuilder

    @property
    def entry_writer(self) -> type[LaunchWriter]:
        from rlx_backends.gpu.entry import LaunchWriter

        return LaunchWriter

    def schedules(self, form: FormOp) -> FormSchedules:
        """The module of `schedules/` for this form."""
        module = _SCHEDULES.get(form.name)
        if module is None:
            from rlx_passes.support.locations import location_of

            raise LowerError(
                f"target '{self.name}' has no schedule for '{form.name}'", code="no-schedule", location=location_of(form)
            )
        return import_module(f"rlx_backends.gpu.schedules.{module}")  # pyright: ignore[reportReturnType]

    def text(self, stage: str, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> str:
        """The LLVM IR of the host code, or a text of the device code."""
        if stage == HOST:
            from rlx_backends.gpu.host import host_text

            return host_text(module)
        return self.device_text(stage, module, target, options)

    def compile(self, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> Mapping[str, bytes]:
        """`kernels.o`, the host code, and the device code; with `options["emulate"]` that is for the launch simulator."""
        from rlx_backends.gpu.host import host_object

        if options.get("emulate"):
            from rlx_backends.gpu.simulator import compile_kernels

            device: Mapping[str, bytes] = {SIMULATOR: compile_kernels(module)}
        else:
            device = self.device_objects(module, target, options)
        return {"kernels.o": host_object(module, options), **device}

    def describe_device(self, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> dict[str, Any]:
        """The manifest's section "device" for what `compile` makes."""
        from rlx_backends.support.manifest import device_section

        return device_section(module, self.name, target.name, SIMULATOR if options.get("emulate") else self.device_code)

    # -- what each target adds

    def device_text(self, stage: str, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> str:
        """A stage of `device_texts`."""
        raise NotImplementedError

    def binary(self, stage: str, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> bytes:
        """A stage of `binaries`. TargetError says which tool is missing."""
        raise NotImplementedError

    def device_objects(self, module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> Mapping[str, bytes]:
        """The device code by name, `device_code` among it. LowerError or TargetError says what cannot be compiled."""
        raise NotImplementedError

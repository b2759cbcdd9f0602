"""The backend class that the GPU targets share."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rlx_backends.gpu.target import GpuTarget, gpu_target
from rlx_runtime.errors import LowerError

if TYPE_CHECKING:
    from rlx_backends.base import FormSchedules
    from rlx_backends.gpu.entry import LaunchWriter
    from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
    from rlx_dialects.lir import FormOp

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
    """One GPU target; `name` is that of its dialect too. A subclass adds `texts`, `text` and `compile`."""

    name: str

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

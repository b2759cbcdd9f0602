"""The entry of a program for a GPU: where every buffer lies on the device, and one launch for each form, in order.

The device runs the launches of a call one after the other, so nothing has to wait in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.support.entry import EntryWriter
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_dialects import kernel
from rlx_dialects.lir import FormOp
from rlx_dialects.rlx import declared_dims

if TYPE_CHECKING:
    from rlx_backends.gpu.target import GpuTarget


class LaunchWriter(EntryWriter):
    """Writes one `kernel.entry` that launches kernels."""

    def separate(self, form: FormOp) -> None:
        """Nothing: launches run in order."""

    def symbol_argument(self, name: str) -> SSAValue:
        for number, dim in enumerate(declared_dims(self.program)):
            if dim.symbol.data == name and dim.runtime.data:
                return self.emit(kernel.DimPointerOp(number))
        return super().symbol_argument(name)

    def fault_arguments(self) -> list[SSAValue]:
        return [*super().fault_arguments(), self.emit(kernel.StatusPointerOp())]

    def run(self, builder: KernelBuilder, arguments: list[SSAValue]) -> None:
        assert isinstance(builder, GpuKernelBuilder)
        target: GpuTarget = self.kernels.target
        grid = [self.value(extent) for extent in builder.grid]
        self.block.add_op(target.ops.launch(builder.name, grid, arguments))

"""Building the GPU kernel of one form, at the level of one thread.

The arguments are those of `support.kernel_builder`, with two differences: a runtime dim arrives as a pointer to its value (so
that a recorded schedule serves every value), and a kernel that can fault gets the schedule item and the status words.
Buffers start at multiples of 16 bytes.

A schedule calls `launch` once, then writes the body. Grid extents are dim expressions over the symbols that the launch knows:
`grid_extent` replaces runtime dims by their largest value, and the kernel checks what is left over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Attribute, SSAValue

from rlx_backends.gpu.target import GpuTarget
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_dialects.dims import DimExpr, DimLike, as_expr, sym
from rlx_dialects.gpu import GpuFacts, GpuOps, KernelOp
from rlx_dialects.kernel.functions import Function
from rlx_dialects.kernel.types import INDEX, ptr, ptr_type
from rlx_dialects.lir import BufferType, FormOp, ProgramOp
from rlx_dialects.rlx import declared_dims
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

if TYPE_CHECKING:
    from xdsl.ir import Operation

BUFFER_ALIGNMENT = 16
i64 = IntegerType(64)
i32 = IntegerType(32)


def runtime_symbols(form: FormOp) -> frozenset[str]:
    """The runtime dims of the program around a form: no grid, scratch or choice may depend on them."""
    parent: Operation | None = form
    while parent is not None and not isinstance(parent, ProgramOp):
        parent = parent.parent_op()
    if parent is None:
        return frozenset()
    return frozenset(dim.symbol.data for dim in declared_dims(parent) if dim.runtime.data)


class GpuKernelBuilder(KernelBuilder):
    """Writes the kernel of `form`. `gpu` are the facts of the architecture, `ops` the classes of its dialect."""

    target: GpuTarget

    @property
    def gpu(self) -> GpuFacts:
        return self.target.facts

    @property
    def ops(self) -> GpuOps:
        return self.target.ops

    # -- what differs from a function of the team

    def new_function(self, name: str, inputs: Sequence[Attribute]) -> Function:
        self.grid: tuple[DimExpr, ...] = ()
        """Blocks along x, y, z, over symbols of the program."""
        self._ids: dict[tuple[str, str], SSAValue] = {}
        self._last_shared: Operation | None = None
        return self.ops.kernel(name, inputs, arch=self.target.name)

    def buffer_alignment(self, kind: BufferType) -> int | None:
        return BUFFER_ALIGNMENT

    def symbol_type(self, symbol: str) -> Attribute:
        return ptr(INDEX) if symbol in runtime_symbols(self.form) else INDEX

    def symbol_value(self, argument: SSAValue) -> SSAValue:
        return argument if argument.type == INDEX else self.load(argument, 0)

    def fault_types(self) -> list[Attribute]:
        return [INDEX, ptr(i64)]

    # -- the grid

    def launch(self, grid: Sequence[DimLike], block: Sequence[int]) -> None:
        """How many blocks run the kernel, and the threads of one, along x, y, z. LowerError if a grid depends on a runtime dim
        or on an iteration dim.
        """
        self.grid = tuple(as_expr(extent) for extent in grid)
        unknown = frozenset[str]().union(*(extent.symbols for extent in self.grid)) - set(self.symbols)
        if unknown or frozenset[str]().union(*(e.symbols for e in self.grid)) & runtime_symbols(self.form):
            raise LowerError(f"a grid of {self.grid} is not known at the launch", code="grid", location=location_of(self.form))
        cast(KernelOp, self.func).set_block(block)

    def grid_extent(self, extent: DimLike) -> DimExpr:
        """An upper bound of an extent that is known at the launch: runtime dims at their largest value."""
        extent = as_expr(extent)
        runtime = runtime_symbols(self.form) & extent.symbols
        if not runtime:
            return extent
        bound = extent.substitute({name: self.facts.bounds(sym(name))[1] or 0 for name in runtime})
        high = self.facts.bounds(extent)[1]
        if not bound.is_const and high is None:
            return bound
        return bound if high is None or not bound.is_const else as_expr(min(high, bound.value))

    # -- ids, made once at the start

    def _id(self, role: str, axis: str = "") -> SSAValue:
        found = self._ids.get((role, axis))
        if found is None:
            made = getattr(self.ops, role)(axis) if axis else getattr(self.ops, role)()
            first = self.entry.first_op
            if first is None:
                self.entry.add_op(made)
            else:
                self.entry.insert_op_before(made, first)
            found = self._ids[role, axis] = made.result
        return found

    def thread(self, axis: str = "x") -> SSAValue:
        """This thread's place in its block."""
        return self._id("thread_id", axis)

    def block_at(self, axis: str = "x") -> SSAValue:
        """This block's place in the grid."""
        return self._id("block_id", axis)

    def lane(self) -> SSAValue:
        """This thread's place in its subgroup."""
        return self._id("lane_id")

    def subgroup(self) -> SSAValue:
        """The number of this thread's subgroup in the block."""
        return self._id("subgroup_id")

    def bind_point(self, dims: Sequence[tuple[str, DimExpr]], place: SSAValue) -> None:
        """Bind each dim to its part of a place in the row-major space of `dims`; the place lies inside it."""
        rest = place
        for position in range(len(dims) - 1, -1, -1):
            name, extent = dims[position]
            if extent == 1:
                self.bind(name, 0)
            elif all(outer == 1 for _, outer in dims[:position]):
                self.bind(name, rest)
            else:
                values = {"p": rest, **{symbol: self.env[symbol] for symbol in extent.symbols}}
                self.bind(name, self.apply(sym("p") % extent, values))
                rest = self.apply(sym("p") // extent, values)

    # -- what threads share

    def shared(self, count: int, element: Attribute, align: int = BUFFER_ALIGNMENT) -> SSAValue:
        """Memory of the block: `count` elements."""
        made = self.ops.shared(count, element, align)
        if self.entry.first_op is None:
            self.entry.add_op(made)
        else:
            self.entry.insert_op_before(made, self.entry.first_op)
        return made.result

    def barrier(self) -> None:
        """All threads of the block meet; every thread of the block must come here."""
        self.op(self.ops.barrier())

    def subgroup_barrier(self) -> None:
        self.op(self.ops.subgroup_barrier())

    def shuffle(self, kind: str, value: SSAValue, offset: int | SSAValue) -> SSAValue:
        """The scalar of another lane of the subgroup."""
        lane = self.constant(offset, i32) if isinstance(offset, int) else offset
        return self.value(self.ops.shuffle(kind, value, lane))

    def subgroup_reduce(self, kind: str, value: SSAValue) -> SSAValue:
        """The combination of a scalar over all lanes, in every lane."""
        return self.value(self.ops.subgroup_reduce(kind, value))

    def atomic(self, kind: str, value: SSAValue, pointer: SSAValue, index: int | SSAValue) -> SSAValue:
        """`pointer[index] = kind(pointer[index], value)` at once; gives what was there."""
        assert ptr_type(pointer).element_type == value.type
        return self.value(self.ops.atomic(kind, value, pointer, self.index(index)))

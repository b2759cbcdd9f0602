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

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Attribute, SSAValue

from rlx_backends.gpu.target import GpuTarget
from rlx_backends.support.kernel_builder import Index, KernelBuilder, total
from rlx_dialects.dims import DimExpr, DimLike, as_expr, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.gpu import GpuFacts, GpuOps, KernelOp
from rlx_dialects.kernel.functions import Function
from rlx_dialects.kernel.types import INDEX, byte_size, ptr, ptr_type, shape_of
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


def launch_bound(form: FormOp, facts: Facts, extent: DimLike) -> DimExpr:
    """An upper bound of an extent of `form` that is known before the call: runtime dims at their largest value."""
    extent = as_expr(extent)
    runtime = runtime_symbols(form) & extent.symbols
    if not runtime:
        return extent
    bound = extent.substitute({name: facts.bounds(sym(name))[1] or 0 for name in runtime})
    high = facts.bounds(extent)[1]
    if not bound.is_const and high is None:
        return bound
    return bound if high is None or not bound.is_const else as_expr(min(high, bound.value))


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
        self.multiples: dict[str, int] = {}
        """Symbols of loops that are bound to multiples of a number where vectors are loaded and stored."""
        self._offsets: dict[SSAValue, DimExpr] = {}
        return self.ops.kernel(name, inputs, arch=self.target.name)

    def buffer_alignment(self, kind: BufferType) -> int | None:
        return BUFFER_ALIGNMENT

    def symbol_type(self, symbol: str) -> Attribute:
        return ptr(INDEX) if symbol in runtime_symbols(self.form) else INDEX

    def symbol_value(self, argument: SSAValue) -> SSAValue:
        return argument if argument.type == INDEX else self.load(argument, 0)

    def fault_types(self) -> list[Attribute]:
        return [INDEX, ptr(i64)]

    # -- alignment

    def at(self, expr: DimLike) -> SSAValue:
        value = super().at(expr)
        self._offsets[value] = as_expr(expr)
        return value

    def load(
        self,
        pointer: SSAValue,
        index: Index,
        shape: Sequence[int] = (),
        *,
        stride: Index | None = None,
        mask: SSAValue | None = None,
        fill: SSAValue | None = None,
        nontemporal: bool = False,
    ) -> SSAValue:
        if stride is None:
            pointer, index = self._aligned(pointer, index, shape)
        return super().load(pointer, index, shape, stride=stride, mask=mask, fill=fill, nontemporal=nontemporal)

    def store(
        self,
        value: SSAValue,
        pointer: SSAValue,
        index: Index,
        *,
        stride: Index | None = None,
        mask: SSAValue | None = None,
        nontemporal: bool = False,
    ) -> None:
        if stride is None:
            pointer, index = self._aligned(pointer, index, shape_of(value.type))
        super().store(value, pointer, index, stride=stride, mask=mask, nontemporal=nontemporal)

    def _aligned(self, pointer: SSAValue, index: Index, shape: Sequence[int]) -> tuple[SSAValue, Index]:
        """The place of a vector as a pointer that promises what is known of its alignment: a whole access where it is enough.
        The promise counts where divisors of dims decide, which the index itself does not show.
        """
        expr = self._offsets.get(index) if isinstance(index, SSAValue) else None
        if len(shape) != 1 or expr is None or expr.is_const:
            return pointer, index
        kind = ptr_type(pointer)
        size = byte_size(kind.element_type)
        wanted = min(size * (shape[0] & -shape[0]), kind.align.data, self.gpu.vector_bytes)
        scaled = {name: sym(name) * by for name, by in self.multiples.items() if name in expr.symbols and by > 1}
        if wanted <= size or self.facts.divisor(expr.substitute(scaled)) * size % wanted:
            return pointer, index
        return self.offset(pointer, index, wanted), 0

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
        return launch_bound(self.form, self.facts, extent)

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

    def bind_point(self, dims: Sequence[tuple[str, DimExpr]], place: Index) -> None:
        """Bind each dim to its part of a place in the row-major space of `dims`; the place lies inside it."""
        narrow = (self.facts.bounds(total(extent for _, extent in dims))[1] or 2**31) < 2**31
        rest = place
        for position in range(len(dims) - 1, -1, -1):
            name, extent = dims[position]
            if extent == 1:
                self.bind(name, 0)
            elif all(outer == 1 for _, outer in dims[:position]):
                self.bind(name, rest)
            else:
                rest, part = self._divided(rest, extent, narrow)
                self.bind(name, part)

    def _divided(self, value: Index, extent: DimExpr, narrow: bool) -> tuple[Index, Index]:
        """Quotient and remainder; 64-bit division is slow, so 32 bits are used where they are enough."""
        values = {"p": value, **{symbol: self.env[symbol] for symbol in extent.symbols}}
        if not narrow or self.known(value) is not None or (extent.is_const and extent.value & (extent.value - 1) == 0):
            return self.apply(sym("p") // extent, values), self.apply(sym("p") % extent, values)
        by = self.constant(extent.value, i32) if extent.is_const else self.narrow(self.at(extent))
        part = self.narrow(self.index(value))
        both = [self.value(op(part, by)) for op in (arith.DivUIOp, arith.RemUIOp)]
        return self.cast("extui", both[0], INDEX), self.cast("extui", both[1], INDEX)

    def narrow(self, value: SSAValue) -> SSAValue:
        """An index that fits, as i32."""
        known = self.known(value)
        return self.cast("trunci", value, i32) if known is None else self.constant(known, i32)

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

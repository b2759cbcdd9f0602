"""Slices of a matrix in shared memory for matrix units: as the matrix lies in global memory, rows of 16-byte vectors.

A slice of a matrix that is read along the depth is `[side][depth]`, else `[depth][side]`. Rows are padded by 16 bytes, so that
the rows that a fragment is made of lie in different banks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.staging import Point, Reading, Stage
from rlx_backends.support.kernel_builder import Operand
from rlx_dialects.cuda.copies import CpAsyncOp
from rlx_dialects.dims import DimLike, sym

ROW_PAD = 8
"""Elements between rows: 16 bytes of 16-bit floats."""


class MatrixStage(Stage):
    """Slices that fragments are loaded from. `extents` and `tile` are (side, depth)."""

    def __init__(
        self,
        b: GpuKernelBuilder,
        name: str,
        extents: tuple[DimLike, DimLike],
        tile: tuple[int, int],
        threads: int,
        how: Reading,
    ):
        super().__init__(b, name, extents, tile, threads, how)
        self.deep = self.along == "depth"
        self.stride = tile[self.deep] + ROW_PAD
        self.size = tile[not self.deep] * self.stride

    def at_depth(self, depth: SSAValue) -> list[SSAValue]:
        """Bind the places of slice number `depth`; which of them lie inside the depth, empty if all do."""
        b, size = self.b, self._sizes("depth")
        inside: list[SSAValue] = []
        exact = self.vectors is None and b.facts.divisor(self.units["depth"]) % size == 0
        for item in self._axis_items("depth"):
            place = b.add(b.mul(depth, size), self.places[item]["depth"])
            if not exact:
                end = b.at(self.units["depth"])
                inside.append(b.test("slt", place, end))
                place = b.minimum(place, b.sub(end, 1))
            b.bind(self._symbol("depth", item), place)
        return inside

    def _local(self, item: int) -> SSAValue:
        """Where one of this thread's vectors lies in a slice."""
        b, places = self.b, self.places[item]
        far, near = ("side", "depth") if self.deep else ("depth", "side")
        return b.add(b.mul(places[far], self.stride), b.mul(places[near], self.lanes))

    def park(self, values: Sequence[SSAValue], pointer: SSAValue, start: SSAValue) -> None:
        """Put what was fetched into a slice that begins at `start` of shared memory."""
        for item, value in enumerate(values):
            self._each(item, lambda item=item, value=value: self.b.store(value, pointer, self.b.add(start, self._local(item))))

    def copy(self, depth: SSAValue, point: Point, operand: Operand, pointer: SSAValue, start: SSAValue) -> None:
        """Start the copy of slice number `depth` into shared memory from `start` on, 16 bytes for each vector."""
        b, nbytes = self.b, 16
        inside = self.at_depth(depth)
        for item in range(self.items):
            places = {axis: sym(self._symbol(axis, item)) for axis in ("side", "depth")}
            places[self.along] = places[self.along] * self.lanes
            source = b.at(b.offset_of(operand, point(places["side"], places["depth"])))
            valid = None
            if inside:
                there = inside[min(item, len(inside) - 1)]
                valid = b.value(arith.SelectOp(there, b.constant(nbytes, i32), b.constant(0, i32)))
            target = b.add(start, self._local(item))
            made = CpAsyncOp(pointer, target, operand.pointer, source, nbytes, valid)
            self._each(item, lambda made=made: self._add(made))

    def _add(self, op: CpAsyncOp) -> None:
        self.b.op(op)

    def _each(self, item: int, do: Callable[[], None]) -> None:
        """Run for one vector; the last one not in threads that have none."""
        if self.vectors is not None and item == self.items - 1:
            self.b.when(self.b.test("slt", self.b.thread(), self.vectors - item * self.threads), do)
        else:
            do()

"""The inner step of a product: what one thread adds to its accumulators. Narrow floats accumulate in f32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute, SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_dialects.dims import sym
from rlx_dialects.kernel.types import element_of, is_float
from rlx_dialects.kernel.vector import ExtractOp
from rlx_dialects.rlx import dtypes

GROUP = 4
"""Neighbouring rows or columns that a thread has."""
UNROLL = 8
"""Depths in one iteration."""


def accumulator_kind(kind: Attribute) -> Attribute:
    """The type that products of a kind are summed in."""
    return f32 if is_float(kind) and dtypes.bit_width(kind) < 32 else kind


def zero(b: GpuKernelBuilder, kind: Attribute, shape: Sequence[int] = ()) -> SSAValue:
    """An accumulator of products of `kind` before the first one."""
    return b.splat(0, accumulator_kind(kind), shape)


def converted(b: GpuKernelBuilder, value: SSAValue, kind: Attribute) -> SSAValue:
    """A float scalar or vector in another float type."""
    source = element_of(value.type)
    if source == kind:
        return value
    return b.cast("extf" if dtypes.bit_width(source) < dtypes.bit_width(kind) else "truncf", value, kind)


def multiply(b: GpuKernelBuilder, left: SSAValue, right: SSAValue, acc: SSAValue) -> SSAValue:
    """`acc + left · right` of scalars or vectors of one shape."""
    kind = element_of(acc.type)
    if is_float(kind):
        return b.fma(converted(b, left, kind), converted(b, right, kind), acc)
    return b.value(arith.AddiOp(acc, b.value(arith.MuliOp(left, right))))


def finished(b: GpuKernelBuilder, sums: Sequence[SSAValue], kinds: Sequence[Attribute]) -> list[SSAValue]:
    """Accumulators in the types that the epilogue takes."""
    return [converted(b, acc, kind) if is_float(kind) else acc for acc, kind in zip(sums, kinds, strict=True)]


@dataclass(frozen=True)
class Slice:
    """A slice in shared memory: rows (side 0) or columns (side 1) of a tile, `[depth][side]` from `start` on."""

    pointer: SSAValue
    start: SSAValue
    stride: int
    side: int


class FmaStep:
    """Products of a tile of slices by multiply-adds on registers, without matrix units.

    A thread has `rows` × `columns` results, in groups of four of each (fewer rows where it has fewer) that lie a part of the
    tile apart, so that neighbouring threads read neighbouring vectors of a slice. What another step would replace: `start`,
    `slice`, `results`.
    """

    def __init__(self, b: GpuKernelBuilder, tile: tuple[int, int], thread: tuple[int, int], kinds: Sequence[Attribute]):
        self.b = b
        self.kinds = [accumulator_kind(kind) for kind in kinds]
        self.sizes = min(thread[0], GROUP), GROUP
        """Rows and columns of a group."""
        self.rows = thread[0]
        self.groups = thread[0] // self.sizes[0], thread[1] // GROUP
        across = tile[1] // thread[1]
        self.threads = across * (tile[0] // thread[0])
        self.apart = tile[0] // self.groups[0], tile[1] // self.groups[1]
        """Rows and columns between the groups of a thread."""
        self.place = (
            b.apply(sym("t") // across * self.sizes[0], {"t": b.thread()}),
            b.apply(sym("t") % across * GROUP, {"t": b.thread()}),
        )
        """This thread's first row and column in the tile."""

    def start(self) -> list[SSAValue]:
        """No products yet: for each accumulator, group of rows, row and group of columns a vector of four."""
        count = self.rows * self.groups[1]
        return [self.b.splat(0, kind, (GROUP,)) for kind in self.kinds for _ in range(count)]

    def _load(self, pointer: SSAValue, base: SSAValue, side: int) -> list[SSAValue]:
        step, size = self.apart[side], self.sizes[side]
        shape = (size,) if size > 1 else ()
        return [self.b.load(pointer, self.b.add(base, g * step), shape) for g in range(self.groups[side])]

    def slice(
        self, sums: Sequence[SSAValue], pairs: Sequence[tuple[Slice, Slice]], depth: int, slices: Sequence[Slice]
    ) -> list[SSAValue]:
        """The sums after all depths of the current slices: of each accumulator those of its rows and of its columns."""
        b = self.b
        unroll = min(depth, UNROLL)
        bases = {one: b.add(one.start, self.place[one.side]) for one in slices}

        def step(k: SSAValue, *sums: SSAValue) -> Sequence[SSAValue]:
            now = list(sums)
            for u in range(unroll):
                loaded: dict[Slice, list[SSAValue]] = {}
                for one in slices:
                    place = b.add(b.add(bases[one], b.mul(k, one.stride)), u * one.stride)
                    loaded[one] = self._load(one.pointer, place, one.side)
                rows = {one: self._spread(loaded[one]) for one in slices if one.side == 0}
                at = 0
                for left, right in pairs:
                    for value in rows[left]:
                        for columns in loaded[right]:
                            now[at] = multiply(b, value, columns, now[at])
                            at += 1
            return now

        return list(b.loop(0, depth, unroll, step, sums))

    def _spread(self, vectors: Sequence[SSAValue]) -> list[SSAValue]:
        """Each element in all lanes of a vector."""
        b, size = self.b, self.sizes[0]
        scalars = vectors if size == 1 else [b.value(ExtractOp(v, i)) for v in vectors for i in range(size)]
        return [b.broadcast(value, (GROUP,)) for value in scalars]

    def results(self, sums: Sequence[SSAValue]) -> list[tuple[SSAValue, list[tuple[SSAValue, list[SSAValue]]]]]:
        """(row of the tile, [(column of the tile in vectors of four, the sums there)]) of everything this thread has."""
        b, count = self.b, len(sums) // len(self.kinds)
        found: list[tuple[SSAValue, list[tuple[SSAValue, list[SSAValue]]]]] = []
        column = b.apply(sym("c") // GROUP, {"c": self.place[1]})
        for row in range(self.rows):
            place = b.add(self.place[0], row // self.sizes[0] * self.apart[0] + row % self.sizes[0])
            pieces: list[tuple[SSAValue, list[SSAValue]]] = []
            for group in range(self.groups[1]):
                at = row * self.groups[1] + group
                values = [sums[number * count + at] for number in range(len(self.kinds))]
                pieces.append((b.add(column, group * self.apart[1] // GROUP), values))
            found.append((place, pieces))
        return found

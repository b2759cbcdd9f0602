"""Register tiles: the memory streams that feed rank-1 updates, and the loop over them.

Symbols of a tile: its first row, its panel, a column inside the panel, and the place along the summed dim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from rlx_backends.support.kernel_builder import Index, KernelBuilder, Operand
from rlx_backends.support.regions import Region
from rlx_backends.support.sites import Site, load_place
from rlx_dialects.dims import DimExpr, floordiv, mod, sym
from rlx_dialects.kernel.types import shape_of
from rlx_dialects.lir import LayoutAttr

ROW, PANEL, COLUMN, DEPTH = "tile.row", "tile.panel", "tile.column", "tile.depth"
UNROLL = 4
"""Steps of the summed dim in one iteration; with 16 the code generator loses its way."""

CACHE_LINE = 64

Pointers = tuple[SSAValue, ...]
Mask = Callable[[], "SSAValue | None"]
"""Gives the mask of the columns of the current panel that exist, None if all do."""


def unravel(place: DimExpr, dims: Sequence[tuple[str, DimExpr]]) -> dict[str, DimExpr]:
    """Each of the dims (name, extent) in terms of one row-major place."""
    found: dict[str, DimExpr] = {}
    for position, (name, extent) in reversed(list(enumerate(dims))):
        found[name] = mod(place, extent) if position else place
        place = floordiv(place, extent) if position else place
    return found


@dataclass(frozen=True)
class Source:
    """`begin()` at the first place of an unrolled step, then `value(pointers, u, size)` for each place after it: a
    vector of `size`.
    """

    begin: Callable[[], Pointers]
    value: Callable[[Pointers, int, int], SSAValue]

    def then(self, convert: Callable[[SSAValue], SSAValue]) -> Source:
        """The same with every vector converted."""
        return Source(self.begin, lambda pointers, u, size: convert(self.value(pointers, u, size)))


def direct_source(
    b: KernelBuilder,
    region: Region,
    wanted: SSAValue,
    operands: Mapping[SSAValue, Operand],
    point: Mapping[str, DimExpr],
    along: str,
    mask: Mask | None = None,
) -> Source:
    """`wanted`, a value of the region, from loads of its operands at every place; unpadded operands are loaded under the mask."""
    streams = {
        arg: Stream(
            b, operand.pointer, b.offset_of(operand, point), along, None if isinstance(operand.kind.layout, LayoutAttr) else mask
        )
        for arg, operand in operands.items()
    }

    def begin() -> Pointers:
        return tuple(stream.begin() for stream in streams.values())

    def value(pointers: Pointers, u: int, size: int) -> SSAValue:
        args = {arg: s.load(p, u, size) for (arg, s), p in zip(streams.items(), pointers, strict=True)}
        found = region.run(args, Site(point, ((along, size),), (None,)), wanted=[wanted])[0]
        return found if shape_of(found.type) else b.broadcast(found, (size,))

    return Source(begin, value)


def plain_source(b: KernelBuilder, pointer: SSAValue, offset: DimExpr, along: str, mask: Mask | None = None) -> Source:
    """Elements of memory as they are."""
    stream = Stream(b, pointer, offset, along, mask)

    def value(pointers: Pointers, u: int, size: int) -> SSAValue:
        found = stream.load(pointers[0], u, size)
        return found if shape_of(found.type) else b.broadcast(found, (size,))

    return Source(lambda: (stream.begin(),), value)


class Stream:
    """One memory stream over the summed dim: a pointer per step, then constant displacements."""

    def __init__(self, b: KernelBuilder, pointer: SSAValue, offset: DimExpr, along: str, mask: Mask | None = None):
        self.b = b
        self.mask = mask or (lambda: None)
        self.pointer = pointer
        self.offset = offset
        self.along = along
        self.depth = offset.coefficient(DEPTH)
        self.step = offset.coefficient(along)

    def begin(self) -> SSAValue:
        return self.pointer if self.depth is None or self.step is None else self.b.offset(self.pointer, self.b.at(self.offset))

    def load(self, pointer: SSAValue, u: int, size: int) -> SSAValue:
        b = self.b
        if self.depth is None or self.step is None:
            offset = self.offset.substitute({DEPTH: sym(DEPTH) + u})
            return load_place(b, self.pointer, b.facts.simplify(offset), Site({}, ((self.along, size),), (None,)), self.mask())
        place = b.at(self.depth * u)
        if self.step == 0:
            return b.load(pointer, place)
        # Rows are scalars to be broadcast, even where they are neighbours.
        stride = None if self.step == 1 and self.along == COLUMN else b.at(self.step)
        return b.load(pointer, place, (size,), stride=stride, mask=self.mask())


def sum_products(
    b: KernelBuilder,
    left: Source,
    rights: Sequence[Source],
    shape: tuple[int, int],
    lower: Index,
    upper: Index,
    starts: Sequence[SSAValue],
) -> tuple[SSAValue, ...]:
    """`start + Σ left · right` over places from `lower` to `upper`, for a tile of `shape` of each right side; `lower` is a
    multiple of UNROLL.
    """

    def step(unroll: int, *sums: SSAValue) -> Sequence[SSAValue]:
        pointers = left.begin(), [right.begin() for right in rights]
        now = list(sums)
        for u in range(unroll):
            rows = left.value(pointers[0], u, shape[0])
            for number, (right, place) in enumerate(zip(rights, pointers[1], strict=True)):
                now[number] = b.outer_fma(rows, right.value(place, u, shape[1]), now[number])
        return now

    whole = b.whole(upper, UNROLL)
    sums = b.for_dim(DEPTH, lower, whole, UNROLL, lambda *s: step(UNROLL, *s), starts)
    return tuple(b.for_dim(DEPTH, whole, upper, 1, lambda *s: step(1, *s), sums))

"""How a factor of a product reaches the tile: from where it lies, or through scratch that is written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.ir import SSAValue

from rlx_backends.cpu.schedules.contract_plan import Factor, reduce_names
from rlx_backends.support.kernel_builder import KernelBuilder, Operand
from rlx_backends.support.regions import Region, needed_ops
from rlx_backends.support.sites import Site, full, load, load_place, mask_of, tile_steps
from rlx_backends.support.spaces import lanes_for
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.kernel.types import byte_size, shape_of
from rlx_dialects.kernel.vector import TransposeOp
from rlx_dialects.lir import ContractOp

ROW, PANEL, COLUMN, DEPTH = "tile.row", "tile.panel", "tile.column", "tile.depth"
"""Symbols of the tile: its first row, its panel, a column inside the panel, and k over all reduce dims."""
TRANSPOSED_DEPTH = 16

Pointers = tuple[SSAValue, ...]


@dataclass(frozen=True)
class Source:
    """`begin()` at the first k of an unrolled step, then `value(pointers, u, size)` for each k after it: a vector of `size`."""

    begin: Callable[[], Pointers]
    value: Callable[[Pointers, int, int], SSAValue]


def direct_source(
    b: KernelBuilder, region: Region, factor: Factor, operands: Mapping[SSAValue, Operand], point: Mapping[str, DimExpr], along: str
) -> Source:
    """Loads at every k, and the ops of the prologue."""
    streams = {arg: _Stream(b, operand.pointer, b.offset_of(operand, point), along) for arg, operand in operands.items()}

    def begin() -> Pointers:
        return tuple(stream.begin() for stream in streams.values())

    def value(pointers: Pointers, u: int, size: int) -> SSAValue:
        args = {arg: s.load(p, u, size) for (arg, s), p in zip(streams.items(), pointers, strict=True)}
        found = region.run(args, Site(point, ((along, size),), (None,)), wanted=[factor.value])[0]
        return found if shape_of(found.type) else b.broadcast(found, (size,))

    return Source(begin, value)


def scratch_source(b: KernelBuilder, pointer: SSAValue, offset: DimExpr, along: str) -> Source:
    """The factor itself, evaluated before."""
    stream = _Stream(b, pointer, offset, along)

    def value(pointers: Pointers, u: int, size: int) -> SSAValue:
        found = stream.load(pointers[0], u, size)
        return found if shape_of(found.type) else b.broadcast(found, (size,))

    return Source(lambda: (stream.begin(),), value)


class _Stream:
    """One memory stream over k: a pointer per step, then constant displacements."""

    def __init__(self, b: KernelBuilder, pointer: SSAValue, offset: DimExpr, along: str):
        self.b = b
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
            return load_place(b, self.pointer, b.facts.simplify(offset), Site({}, ((self.along, size),), (None,)))
        place = b.at(self.depth * u)
        if self.step == 0:
            return b.load(pointer, place)
        # Rows are scalars to be broadcast, even where they are neighbours.
        stride = None if self.step == 1 and self.along == COLUMN else b.at(self.step)
        return b.load(pointer, place, (size,), stride=stride)


# -- writing scratch


def _args(b: KernelBuilder, factor: Factor, elements: Mapping[SSAValue, Operand], site: Site) -> dict[SSAValue, SSAValue]:
    return {arg: load(b, operand, site) for arg, operand in elements.items() if operand.number in factor.operands}


def _depth_place(form: ContractOp, names: Sequence[str]) -> DimExpr:
    place = const(0)
    for name in names:
        place = place * form.extents[name] + sym(name)
    return place


def write_rows(
    b: KernelBuilder,
    form: ContractOp,
    region: Region,
    factor: Factor,
    elements: Mapping[SSAValue, Operand],
    point: Mapping[str, DimExpr],
    scratch: SSAValue,
    stride: DimExpr,
    start: SSAValue,
    end: SSAValue,
) -> None:
    """`scratch[row - start][k] = factor(row, k)` for rows from `start` to `end`; vectors run along the last reduce dim."""
    names = reduce_names(form)
    last = names[-1]
    extent = form.extents[last]
    lanes = lanes_for(extent, b.target.vector_bits // 8 // byte_size(factor.value.type), b.facts)
    place = _depth_place(form, names)

    def vector() -> None:
        count = None if b.facts.divisor(extent) % lanes == 0 else b.at(extent - sym(last))
        site = Site(point, ((last, lanes),), (count,))
        value = region.run(_args(b, factor, elements, site), site, wanted=[factor.value])[0]
        target = b.at((sym(ROW) - sym("tile.start")) * stride + place)
        b.store(full(b, value, site), scratch, target, mask=mask_of(b, site))

    def row() -> None:
        outer = [(name, 0, form.extents[name]) for name in names[:-1]]
        b.for_all(outer, lambda: b.for_dim(last, 0, b.at(extent), lanes, vector))

    b.bind("tile.start", start)
    b.for_dim(ROW, start, end, 1, row)


def write_panel(
    b: KernelBuilder,
    form: ContractOp,
    region: Region,
    factor: Factor,
    elements: Mapping[SSAValue, Operand],
    point: Mapping[str, DimExpr],
    scratch: SSAValue,
    width: int,
    columns: DimExpr,
) -> None:
    """`scratch[k][column] = factor(k, column)` for the columns of the panel; columns beyond the last are zero or whatever the prologue makes of zero."""
    names = reduce_names(form)
    count = None if b.facts.divisor(columns) % width == 0 else b.at(columns - sym(PANEL) * width)
    if _write_transposed(b, form, region, factor, elements, point, scratch, width, count):
        return
    site = Site(point, ((COLUMN, width),), (count,))
    place = _depth_place(form, names) * width

    def vector() -> None:
        value = region.run(_args(b, factor, elements, site), site, wanted=[factor.value])[0]
        b.store(full(b, value, site), scratch, b.at(place))

    b.for_all([(name, 0, form.extents[name]) for name in names], vector)


def _write_transposed(
    b: KernelBuilder,
    form: ContractOp,
    region: Region,
    factor: Factor,
    elements: Mapping[SSAValue, Operand],
    point: Mapping[str, DimExpr],
    scratch: SSAValue,
    width: int,
    count: SSAValue | None,
) -> bool:
    """The panel by squares transposed in registers, where k is contiguous and columns are not."""
    names = reduce_names(form)
    last = names[-1]
    used = [operand for operand in elements.values() if operand.number in factor.operands]
    pure = all(type(op).__module__ == arith.__name__ for op in needed_ops(form.body.block, [factor.value]))
    if len(used) != 1 or not pure or len(used) != len(factor.operands):
        return False
    size = TRANSPOSED_DEPTH
    extent = form.extents[last]
    site = Site(point, ((COLUMN, width), (last, size)), (count, None))
    steps = tile_steps(b, used[0], site)
    if steps is None or steps[1] != 1 or steps[0] in (0, 1):
        return False
    exact = b.facts.divisor(extent) % size == 0
    place = _depth_place(form, names) * width

    def square() -> None:
        rest = None if exact else b.at(extent - sym(last))
        here = Site(point, site.lanes, (count, rest))
        value = region.run(_args(b, factor, elements, here), here, wanted=[factor.value])[0]
        turned = b.value(TransposeOp(value))
        mask = None if rest is None else b.mask([rest, width], (size, width))
        b.store(turned, scratch, b.at(place), stride=b.index(width), mask=mask)

    outer = [(name, 0, form.extents[name]) for name in names[:-1]]
    b.for_all(outer, lambda: b.for_dim(last, 0, b.at(extent), size, square))
    return True

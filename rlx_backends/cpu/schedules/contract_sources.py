"""Factors of a product that reach the tile through scratch: panels of columns and blocks of rows, written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects import arith
from xdsl.ir import SSAValue

from rlx_backends.cpu.schedules.contract_plan import Factor, reduce_names
from rlx_backends.cpu.schedules.tiles import COLUMN, PANEL, ROW
from rlx_backends.support.kernel_builder import KernelBuilder, Operand
from rlx_backends.support.regions import Region, needed_ops
from rlx_backends.support.sites import Site, full, load, mask_of, tile_steps
from rlx_backends.support.spaces import lanes_for
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.kernel.vector import TransposeOp
from rlx_dialects.lir import ContractOp

TRANSPOSED_DEPTH = 16


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
    """`scratch[k][column] = factor(k, column)` for the columns of the panel; columns beyond the last are zero or
    whatever the prologue makes of zero.
    """
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

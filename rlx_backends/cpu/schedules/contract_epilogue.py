"""The end of a register tile: epilogue and stores.

Short epilogues work on the tile in registers. Others would spill it: the tile goes to the stack (first-level cache) and is
finished row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects import arith
from xdsl.ir import SSAValue

from rlx_backends.cpu.schedules.tiles import CACHE_LINE, COLUMN, PANEL, ROW
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, load, store, tile_steps
from rlx_dialects.dims import DimExpr, sym
from rlx_dialects.kernel.pointers import AllocaOp, PrefetchOp
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import ContractOp, YieldOp

SHORT = 6
"""Ops that a tile in registers is worth."""
_CHEAP = (
    arith.ConstantOp, arith.AddfOp, arith.SubfOp, arith.MulfOp, arith.MaximumfOp, arith.MinimumfOp, arith.TruncFOp, arith.ExtFOp,
    arith.AddiOp, arith.SubiOp, arith.MuliOp, YieldOp,
)  # fmt: skip


class Epilogue:
    """Finishes tiles of up to `tile` rows × columns."""

    def __init__(self, b: KernelBuilder, form: ContractOp, point: Mapping[str, DimExpr], tile: tuple[int, int], columns: DimExpr):
        self.b = b
        self.block = form.epilogue.block
        self.point = point
        self.height, self.width = tile
        self.columns = columns
        self.exact = b.facts.divisor(columns) % self.width == 0
        self.kinds = [value.type for value in form.product.lhs]
        self.whole, self.extras = block_args(self.block.args[len(self.kinds) :], b.extra)
        self.short = self._is_short()
        self.parked: list[SSAValue] = []
        if not self.short:
            self.parked = [b.value(AllocaOp(self.height * self.width, kind)) for kind in self.kinds]

    def _is_short(self) -> bool:
        ops = list(self.block.ops)
        if self.whole or len(ops) > SHORT or not all(isinstance(op, _CHEAP) for op in ops):
            return False
        site = Site(self.point, ((ROW, self.height), (COLUMN, self.width)), (None, None))
        extras = [tile_steps(self.b, operand, site) for operand in self.extras.values()]
        outs = [tile_steps(self.b, operand, site) for operand in self.b.outs]
        return None not in extras and all(steps is not None and steps[1] == 1 for steps in outs)

    def ask(self, row: SSAValue, size: int) -> None:
        """Prefetch what the end of the tile at `row` adds by element: its rows lie apart, and often in another cache."""
        b = self.b
        b.bind(ROW, row)
        site = Site(self.point, ((ROW, size), (COLUMN, self.width)), (None, None))
        for operand in self.extras.values():
            steps = tile_steps(b, operand, site)
            if steps is None or steps[0] == 0 or steps[1] != 1:
                continue
            line = CACHE_LINE // byte_size(operand.kind.scalar_type)
            first = b.offset(operand.pointer, b.at(b.offset_of(operand, self.point)))
            for i in range(size):
                for start in range(0, self.width, line):
                    b.op(PrefetchOp(first, b.at(steps[0] * i + start), 3))

    def write(self, sums: Sequence[SSAValue], row: SSAValue, size: int) -> None:
        """`sums` are the accumulators, tiles of `size` rows from `row` on."""
        b = self.b
        count = None if self.exact else b.at(self.columns - sym(PANEL) * self.width)
        region = Region(b, self.block, self.whole)
        args = list(self.block.args)
        if self.short:
            site = Site(self.point, ((ROW, size), (COLUMN, self.width)), (None, count))
            values = dict(zip(args, sums, strict=False)) | {arg: load(b, operand, site) for arg, operand in self.extras.items()}
            for operand, value in zip(b.outs, region.run(values, site), strict=True):
                store(b, operand, value, site)
            return
        for tile, parked in zip(sums, self.parked, strict=True):
            b.store(tile, parked, 0, stride=self.width)

        def one(i: SSAValue) -> None:
            b.bind(ROW, b.add(row, i))
            site = Site(self.point, ((COLUMN, self.width),), (count,))
            place = b.mul(i, self.width)
            values = {arg: b.load(parked, place, (self.width,)) for arg, parked in zip(args, self.parked, strict=False)}
            values |= {arg: load(b, operand, site) for arg, operand in self.extras.items()}
            for operand, value in zip(b.outs, region.run(values, site), strict=True):
                store(b, operand, value, site)

        b.loop(0, size, 1, one)

"""The end of a product: the epilogue region on sums, and stores; rows and columns beyond the end are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.ir import Attribute, SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.contract_inner import finished
from rlx_backends.gpu.schedules.contract_plan import ContractPlan
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, load, store
from rlx_dialects.dims import DimExpr, ceildiv, sym
from rlx_dialects.lir import ContractOp

ROW, COLUMN, LANE = "end.row", "end.column", "end.lane"

Piece = tuple[SSAValue, Sequence[SSAValue]]
"""Columns counted in vectors, and the sums there, one for each accumulator."""


class Epilogue:
    """Finishes rows of vectors of `lanes` columns. `point` places the batch dims."""

    def __init__(self, b: GpuKernelBuilder, form: ContractOp, plan: ContractPlan, point: Mapping[str, DimExpr], lanes: int):
        self.b = b
        self.block = form.epilogue.block
        self.lanes = lanes
        self.rows, self.columns = plan.rows.extent, plan.columns.extent
        self.kinds: list[Attribute] = [left.value.type for left, _ in plan.pairs]
        self.whole, self.extras = block_args(self.block.args[len(self.kinds) :], b.extra)
        b.declare({ROW: self.rows, COLUMN: ceildiv(self.columns, lanes), LANE: lanes})
        b.bind(LANE, 0)
        column = sym(COLUMN) if lanes == 1 else sym(COLUMN) * lanes + sym(LANE)
        self.point = {**point, **plan.rows.point(sym(ROW)), **plan.columns.point(column)}
        self.whole_vectors = b.facts.divisor(self.columns) % lanes == 0

    def row(self, row: SSAValue, pieces: Sequence[Piece], *, exact: bool = False) -> None:
        """Finish some vectors of one row; with `exact` all of them exist."""
        b = self.b

        def write() -> None:
            b.bind(ROW, row)
            for column, sums in pieces:
                if exact:
                    self._piece(column, sums)
                else:
                    inside = b.test("slt", column, b.at(ceildiv(self.columns, self.lanes)))
                    b.when(inside, lambda column=column, sums=sums: self._piece(column, sums))

        if exact:
            write()
        else:
            b.when(b.test("slt", row, b.at(self.rows)), write)

    def _piece(self, column: SSAValue, sums: Sequence[SSAValue]) -> None:
        b = self.b
        b.bind(COLUMN, column)
        site = Site(self.point)
        if self.lanes > 1:
            count = None if self.whole_vectors else b.at(self.columns - sym(COLUMN) * self.lanes)
            site = Site(self.point, ((LANE, self.lanes),), (count,))
        args = dict(zip(self.block.args, finished(b, sums, self.kinds), strict=False))
        args |= {arg: load(b, operand, site) for arg, operand in self.extras.items()}
        for operand, value in zip(b.outs, Region(b, self.block, self.whole).run(args, site), strict=True):
            store(b, operand, value, site)

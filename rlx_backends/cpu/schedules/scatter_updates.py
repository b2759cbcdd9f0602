"""`lir.scatter` by owner: each thread applies the updates that fall into its share of the first destination dim, in iteration order."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.ir import Operation, SSAValue

from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.regions import INDEX_OUT_OF_RANGE, Region, as_index, block_args
from rlx_backends.support.sites import Site, both, full, load, load_place, mask_of, negated
from rlx_dialects.dims import DimExpr, const, sym
from rlx_dialects.kernel.team import FaultOp
from rlx_dialects.kernel.types import is_float
from rlx_dialects.lir import IndexOp, ScatterOp
from rlx_dialects.rlx import dtypes


def lower(b: KernelBuilder, form: ScatterOp, lanes: int) -> None:
    """Every thread walks all updates."""
    _Scatter(b, form, lanes).write()


class _Scatter:
    def __init__(self, b: KernelBuilder, form: ScatterOp, lanes: int):
        self.b = b
        self.form = form
        (self.out,) = b.outs
        self.block = form.body.block
        last = self.block.last_op
        assert last is not None
        *self.indices, self.update = last.operands
        self.whole, self.elements = block_args(self.block.args, b.ins)
        self.region = Region(b, self.block, self.whole)
        self.lanes = lanes if lanes > 1 and self._moves_along_last_dim() else 1
        self.dims = [(it.symbol.data, *it.range) for it in form.group("parallel")]

    def _moves_along_last_dim(self) -> bool:
        """Whether the innermost dim is the last destination index itself, always in range, and moves no other index."""
        parallel = self.form.group("parallel")
        if not parallel or not self.indices or parallel[-1].bounds.data:
            return False
        name, extents = parallel[-1].symbol.data, self.out.kind.dims
        last = self._expr(self.indices[-1])
        if last is None or last.coefficient(name) != 1 or not self._inside(last, extents[-1]):
            return False
        varying = {arg for arg, operand in self.elements.items() if name in operand.access.symbols}
        for op in self.block.ops:
            if (isinstance(op, IndexOp) and name in op.expr.data.symbols) or not varying.isdisjoint(op.operands):
                varying |= set(op.results)
        offset = self.out.kind.offset([*(const(0) for _ in extents[:-1]), sym(name)])
        return varying.isdisjoint(self.indices[:-1]) and self.b.facts.simplify(offset).coefficient(name) == 1

    def _expr(self, value: SSAValue) -> DimExpr | None:
        owner = value.owner
        while isinstance(owner, arith.IndexCastOp):
            owner = owner.input.owner
        return owner.expr.data if isinstance(owner, IndexOp) else None

    def _inside(self, expr: DimExpr, extent: DimExpr) -> bool:
        return self.b.facts.prove_le(0, expr) is True and self.b.facts.prove_lt(expr, extent) is True

    def write(self) -> None:
        b = self.b
        first_extent = self.out.kind.dims[0] if self.out.kind.rank else const(1)
        self.low, self.high = b.partition(b.at(first_extent))
        if self.lanes == 1:
            b.for_all(self.dims, lambda: self._update(Site()))
            return
        *outer, (name, _, extent) = self.dims
        exact = b.facts.divisor(extent) % self.lanes == 0

        def vector() -> None:
            count = None if exact else b.at(extent - sym(name))
            self._update(Site({}, ((name, self.lanes),), (count,)))

        b.for_all(outer, lambda: b.for_dim(name, 0, b.at(extent), self.lanes, vector))

    def _update(self, site: Site) -> None:
        b = self.b
        args = {arg: load(b, operand, site) for arg, operand in self.elements.items()}
        values = self.region.run(args, site)
        extents = self.out.kind.dims
        exprs: list[DimExpr] = []
        mine: SSAValue | None = None
        for position, (index, extent) in enumerate(zip(self.indices, extents, strict=True)):
            place = self._expr(index)
            if place is None or not self._inside(place, extent):
                value = as_index(b, values[position])
                size = b.at(extent)
                ok = b.test("ult", value, size)
                if self.form.oob.data == "error":
                    assert b.item is not None
                    number = b.index(self.out.number)
                    b.op(FaultOp(INDEX_OUT_OF_RANGE, b.item, [number, value, size], negated(b, ok)))
                name = b.fresh("to")
                b.declare({name: extent})
                # Out-of-range updates are skipped below, so any place will do for them.
                b.bind(name, value)
                mine, place = both(b, mine, ok), sym(name)
            exprs.append(place)
        owner = b.at(exprs[0]) if exprs else b.index(0)
        owned = both(b, b.test("sge", owner, self.low), b.test("slt", owner, self.high))
        mine = both(b, mine, owned)
        assert mine is not None
        offset = b.facts.simplify(self.out.kind.offset(exprs))

        def apply() -> None:
            update = full(b, values[-1], site)
            if self.form.combine.data != "set":
                update = self._combined(load_place(b, self.out.pointer, offset, site), update)
            b.store(update, self.out.pointer, b.at(offset), mask=mask_of(b, site) if site.lanes else None)

        b.when(mine, apply)

    def _combined(self, old: SSAValue, new: SSAValue) -> SSAValue:
        b, kind = self.b, self.form.combine.data
        element = self.out.kind.element_type
        narrow = is_float(element) and dtypes.bit_width(element) < 32
        if narrow:
            wide = dtypes.dtype("f32")
            old, new = b.cast("extf", old, wide), b.cast("extf", new, wide)
        ops: dict[str, type[Operation]]
        if is_float(element):
            ops = {"add": arith.AddfOp, "max": arith.MaximumfOp, "min": arith.MinimumfOp}
        elif dtypes.is_unsigned_int(element):
            ops = {"add": arith.AddiOp, "max": arith.MaxUIOp, "min": arith.MinUIOp}
        else:
            ops = {"add": arith.AddiOp, "max": arith.MaxSIOp, "min": arith.MinSIOp}
        result = b.value(ops[kind](old, new))  # pyright: ignore[reportCallIssue]
        return b.cast("truncf", result, element) if narrow else result


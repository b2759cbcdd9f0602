"""Schedules of `lir.scatter`. Equal destinations combine in iteration order, whatever the size of the team.

* `columns`: an iteration dim is itself an index of the result, so its points never meet: it runs along vectors and the team
  shares it; the other dims are loops in order.
* `destinations`: every thread visits all points in order and updates the elements of its own share of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr, StringAttr, f32, i1, i64
from xdsl.ir import SSAValue

from rlx_backends.cpu.schedules.columns import along
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.regions import Region, Values, as_index, block_args, report_index
from rlx_backends.support.sites import Site, both, full, load, load_place, mask_of, negated
from rlx_backends.support.spaces import Space, int_param, text_param, widest
from rlx_dialects.dims import DimExpr, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size, element_of, is_float
from rlx_dialects.lir import BufferType, FormOp, IndexOp, IterAttr, ScatterOp, ScheduleAttr
from rlx_dialects.rlx import dtypes

UNROLL = 2
"""Native vectors in flight."""


def choose(form: FormOp, target: Any, facts: Facts) -> ScheduleAttr:
    """`columns` along a dim that lies contiguously in the result, if there is one."""
    assert isinstance(form, ScatterOp)
    name = _column(form, facts)
    if name is None:
        return ScheduleAttr.get("destinations")
    lanes = min(UNROLL * target.vector_bits // 8 // widest(form), target.vector_bits // 8)
    return ScheduleAttr.get("columns", {"dim": StringAttr(name), "lanes": IntegerAttr(lanes, i64)})


def _column(form: ScatterOp, facts: Facts) -> str | None:
    """A dim that is one index of the result, up to what does not change, and that no other index depends on."""
    if any(it.bounds.data for it in _iters(form)):
        return None
    space = Space(form, facts)
    depends = space.dependences(form.body.block)
    indices, kind = _indices(form), _kind(form)
    for name in form.extents:
        users = [position for position, index in enumerate(indices) if name in depends.get(index, frozenset())]
        place = _place(indices[users[0]]) if len(users) == 1 else None
        if place is None or not (place - sym(name)).symbols.isdisjoint(form.extents):
            continue
        if not (space.facts.prove_le(0, place) and space.facts.prove_lt(place, kind.dims[users[0]])):
            continue
        symbols = [sym(name) if position in users else sym(f"index.{position}") for position in range(len(indices))]
        if space.facts.simplify(kind.offset(symbols)).coefficient(name) == 1:
            return name
    return None


def _iters(form: ScatterOp) -> list[IterAttr]:
    return [it for it in form.iters.data if isinstance(it, IterAttr)]


def _kind(form: ScatterOp) -> BufferType:
    kind = form.outs[0].type
    assert isinstance(kind, BufferType)
    return kind


def _indices(form: ScatterOp) -> list[SSAValue]:
    last = form.body.block.last_op
    assert last is not None
    return list(last.operands[:-1])


def _place(value: SSAValue) -> DimExpr | None:
    """The expression over iteration dims that an index is; None if it is computed from data."""
    op = value.owner
    if isinstance(op, arith.IndexCastOp):
        return _place(op.input)
    return op.expr.data if isinstance(op, IndexOp) else None


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """See the head of the file."""
    assert isinstance(form, ScatterOp)
    scatter = _Scatter(kernel, form)
    if schedule.kind.data == "columns":
        scatter.columns(text_param(schedule, "dim"), int_param(schedule, "lanes"))
    else:
        scatter.destinations()


class _Scatter:
    """The body of a scatter at a point, or at a vector of points that never meet."""

    def __init__(self, b: KernelBuilder, form: ScatterOp):
        self.b = b
        self.form = form
        self.block = form.body.block
        self.whole, self.elements = block_args(self.block.args, b.ins)
        self.out = b.outs[0]
        last = self.block.last_op
        assert last is not None
        self.value = last.operands[-1]
        self.loops = [(it.symbol.data, *it.range) for it in _iters(form)]

    def columns(self, name: str, lanes: int) -> None:
        """The indices are computed and checked once for all columns."""
        b = self.b
        extent = self.form.extents[name]
        lower, upper = b.partition(b.at(extent), lanes)
        exact = b.facts.divisor(extent) % lanes == 0

        def row() -> None:
            region = Region(b, self.block, self.whole)
            fixed = {arg: operand for arg, operand in self.elements.items() if name not in operand.access.symbols}
            known: Values = {arg: load(b, operand, Site()) for arg, operand in fixed.items()}
            offset, inside = self._destination(region, known)
            region.invariants(known, Site({}, ((name, lanes),), (None,)))

            def chunk(count: SSAValue | None) -> None:
                site = Site({}, ((name, lanes),), (count,))
                args: Values = {arg: load(b, operand, site) for arg, operand in self.elements.items() if arg not in fixed}
                (value,) = region.run(args, site, wanted=[self.value])
                value = full(b, value, site)
                if self.form.combine.data != "set":
                    value = self._combined(load_place(b, self.out.pointer, offset, site), value)
                b.store(value, self.out.pointer, b.at(offset), mask=mask_of(b, site))

            self._if(inside, lambda: along(b, name, lower, upper, lanes, exact, chunk))

        b.for_all([loop for loop in self.loops if loop[0] != name], row)

    def destinations(self) -> None:
        """A point whose destination is another thread's is left before its value is computed."""
        b = self.b
        lower, upper = b.partition(b.at(self.out.kind.elements))

        def visit() -> None:
            region = Region(b, self.block, self.whole)
            args: Values = {arg: load(b, operand, Site()) for arg, operand in self.elements.items()}
            offset, inside = self._destination(region, args)

            def update() -> None:
                at = b.at(offset)

                def write() -> None:
                    (value,) = region.run(args, Site(), wanted=[self.value])
                    if self.form.combine.data != "set":
                        value = self._combined(b.load(self.out.pointer, at), value)
                    b.store(value, self.out.pointer, at)

                self._if(both(b, b.test("sge", at, lower), b.test("slt", at, upper)), write)

            self._if(inside, update)

        b.for_all(self.loops, visit)

    def _if(self, condition: SSAValue | None, body: Callable[[], object]) -> None:
        def then() -> None:
            body()

        if condition is None:
            body()
        else:
            self.b.when(condition, then)

    def _destination(self, region: Region, args: Values) -> tuple[DimExpr, SSAValue | None]:
        """The place of the updated element, and the condition under which it exists where that is not certain."""
        b, kind = self.b, self.out.kind
        indices = _indices(self.form)
        computed = [index for index in indices if _place(index) is None]
        values = dict(zip(computed, region.run(args, Site(), wanted=computed), strict=True)) if computed else {}
        exprs: list[DimExpr] = []
        inside: SSAValue | None = None
        for index, extent in zip(indices, kind.dims, strict=True):
            place = _place(index)
            if place is not None and b.facts.prove_le(0, place) and b.facts.prove_lt(place, extent):
                exprs.append(place)
                continue
            value = as_index(b, values[index]) if place is None else b.at(place)
            size = b.at(extent)
            ok = b.test("ult", value, size)
            if self.form.oob.data == "error":
                report_index(b, self.out, value, size, negated(b, ok))
            inside = both(b, inside, ok)
            name = b.fresh("index")
            b.declare({name: extent})
            b.bind(name, value)
            exprs.append(sym(name))
        return b.facts.simplify(kind.offset(exprs)), inside

    def _combined(self, old: SSAValue, value: SSAValue) -> SSAValue:
        """`old` and `value` in one; narrow floats by way of f32."""
        b = self.b
        element = element_of(value.type)
        if is_float(element) and byte_size(element) < 4:
            wide = self._merge(b.cast("extf", old, f32), b.cast("extf", value, f32))
            return b.cast("truncf", wide, element)
        return self._merge(old, value)

    def _merge(self, old: SSAValue, value: SSAValue) -> SSAValue:
        combine, element = self.form.combine.data, element_of(value.type)
        if is_float(element):
            op = {"add": arith.AddfOp, "max": arith.MaximumfOp, "min": arith.MinimumfOp}[combine]
        elif element == i1:
            op = {"add": arith.OrIOp, "max": arith.OrIOp, "min": arith.AndIOp}[combine]
        elif dtypes.is_unsigned_int(self.out.kind.element_type):
            op = {"add": arith.AddiOp, "max": arith.MaxUIOp, "min": arith.MinUIOp}[combine]
        else:
            op = {"add": arith.AddiOp, "max": arith.MaxSIOp, "min": arith.MinSIOp}[combine]
        return self.b.value(op(old, value))

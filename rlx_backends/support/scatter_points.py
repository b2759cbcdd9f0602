"""The points of a `lir.scatter`: where they go, and how they combine there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.dialects.builtin import f32, i1
from xdsl.ir import SSAValue

from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.regions import Region, Values, as_index, block_args, report_index
from rlx_backends.support.sites import Site, both, negated
from rlx_backends.support.spaces import Space
from rlx_dialects.dims import DimExpr, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size, element_of, is_float
from rlx_dialects.lir import BufferType, IndexOp, IterAttr, ScatterOp
from rlx_dialects.rlx import dtypes


def column_dim(form: ScatterOp, facts: Facts) -> str | None:
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


@dataclass(frozen=True)
class Destination:
    """Where a point goes: the element's `offset` in the result over bound symbols, the `indices` it follows from, and the
    condition under which it exists (None: always).
    """

    offset: DimExpr
    indices: tuple[DimExpr, ...]
    inside: SSAValue | None


class ScatterPoints:
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

    def when(self, condition: SSAValue | None, body: Callable[[], object]) -> None:
        """`body()` where the condition holds; None always does."""

        def then() -> None:
            body()

        if condition is None:
            body()
        else:
            self.b.when(condition, then)

    def destination(self, region: Region, args: Values, reports: SSAValue | None = None) -> Destination:
        """Computes and checks the indices; `reports`: whether this thread is the one to report a bad one (None: it is)."""
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
                bad = both(b, negated(b, ok), reports)
                assert bad is not None
                report_index(b, self.out, value, size, bad)
            inside = both(b, inside, ok)
            name = b.fresh("index")
            b.declare({name: extent})
            b.bind(name, value)
            exprs.append(sym(name))
        return Destination(b.facts.simplify(kind.offset(exprs)), tuple(exprs), inside)

    def combined(self, old: SSAValue, value: SSAValue) -> SSAValue:
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

"""Re-emitting a form's scalar region as vector code.

`Region` evaluates `arith`, `math`, `lir.index` and `lir.read` at a site. What does not depend on the lanes is evaluated once by
`invariants`, usually outside the loop over vectors; `run` does the rest. Scalars meet vectors by broadcast.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import arith
from xdsl.dialects.builtin import IndexType, IntegerType
from xdsl.ir import Block, Operation, SSAValue

from rlx_backends.support.kernel_builder import KernelBuilder, Operand
from rlx_backends.support.sites import Site, both, load_place, mask_of, negated
from rlx_dialects.dims import DimExpr, sym
from rlx_dialects.kernel.elementwise import ApplyOp
from rlx_dialects.kernel.memory import GatherOp
from rlx_dialects.kernel.team import FaultOp
from rlx_dialects.kernel.types import INDEX, shape_of
from rlx_dialects.lir import EachOp, FoldOp, IndexOp, ReadOp
from rlx_dialects.lir.types import scalar_type

Values = dict[SSAValue, SSAValue]
INDEX_OUT_OF_RANGE = 1
"""The status code of a fault (call ABI)."""


@dataclass
class _State:
    """What is known so far: values, and of the reads' indices the symbols they are bound to and the conditions under which they
    are in range.
    """

    values: Values = field(default_factory=dict)
    indices: dict[tuple[Operation, int], DimExpr] = field(default_factory=dict)
    conditions: dict[tuple[Operation, int], SSAValue] = field(default_factory=dict)


class Region:
    """One scalar block of a form. `operands` are its whole-buffer arguments."""

    def __init__(self, b: KernelBuilder, block: Block, operands: Mapping[SSAValue, Operand] | None = None):
        self.b = b
        self.block = block
        self.operands = dict(operands or {})
        self._known = _State()
        self._places: dict[SSAValue, DimExpr] = {}
        """Values that are index expressions, over iteration dims."""
        self._find_places(block)

    def _find_places(self, block: Block) -> None:
        """Those of the block, and for a stage of a reduce those around it."""
        around = block.parent_op()
        if isinstance(around, EachOp | FoldOp) and around.parent is not None:
            self._find_places(around.parent)
        for op in block.ops:
            if isinstance(op, IndexOp):
                self._places[op.result] = op.expr.data
            elif isinstance(op, arith.IndexCastOp) and op.input in self._places:
                self._places[op.result] = self._places[op.input]

    def invariants(self, args: Values, site: Site) -> None:
        """Evaluate here what follows from `args` alone and does not vary with the lanes of `site`."""
        self._known.values |= args
        self._run(self._known, site, invariant=True)

    def run(
        self, args: Values, site: Site, outer: Values | None = None, wanted: Sequence[SSAValue] | None = None
    ) -> list[SSAValue]:
        """The operands of the block's terminator, or the `wanted` values, at `site`: scalars or vectors of its shape.

        `outer` are values captured from around the region; of the arguments only those that the wanted values need must be given.
        """
        last = self.block.last_op
        assert last is not None
        results = list(last.operands) if wanted is None else list(wanted)
        known = self._known
        state = _State({**(outer or {}), **known.values, **args}, dict(known.indices), dict(known.conditions))
        self._run(state, site, None if wanted is None else needed_ops(self.block, results, state.values), invariant=False)
        return [self._value(v, state.values, site) for v in results]

    def _run(self, state: _State, site: Site, only: set[Operation] | None = None, *, invariant: bool) -> None:
        lanes, values = set(site.names), state.values
        for op in self.block.ops:
            if op is self.block.last_op or (op.results and op.results[0] in values) or (only is not None and op not in only):
                continue
            if isinstance(op, arith.ConstantOp):
                values[op.result] = self.b.attribute(op.value)
            elif op.results[0] in self._places:
                # Made where it is needed: reads take the expression instead.
                continue
            elif isinstance(op, ReadOp):
                self._read(op, state, site, invariant)
            else:
                operands = [self._available(v, values, site, lanes, invariant) for v in op.operands]
                if all(v is not None for v in operands):
                    values[op.results[0]] = self.b.lift(op, [v for v in operands if v is not None])

    def _available(self, value: SSAValue, values: Values, site: Site, lanes: set[str], invariant: bool) -> SSAValue | None:
        if invariant and (value in self._places and site.place(self._places[value]).symbols & lanes):
            return None
        if value in values:
            return values[value]
        if value in self._places:
            return self._value(value, values, site)
        if invariant:
            return None
        raise KeyError(f"no value for operand of type {value.type} in a {self.block.parent_op()}")

    def _value(self, value: SSAValue, values: Values, site: Site) -> SSAValue:
        found = values.get(value)
        if found is None:
            found = values[value] = self._index(site.place(self._places[value]), value, site)
        return found

    def _index(self, expr: DimExpr, value: SSAValue, site: Site) -> SSAValue:
        b = self.b
        expr = b.facts.simplify(expr)
        used = [(name, size) for name, size in site.lanes if name in expr.symbols]
        if not used:
            made = b.at(expr)
        elif len(site.lanes) == 1:
            made = b.lanes_at(expr, *used[0])
        else:
            assert len(used) == 1, "an index over both dims of a tile is not a vector"
            made = b.lanes_at(expr, *used[0])
            made = b.broadcast(made, site.shape, "column" if used[0] == site.lanes[0] else "row")
        return made if isinstance(value.type, IndexType) else self._narrowed(made, value.type)

    def _narrowed(self, value: SSAValue, kind: object) -> SSAValue:
        assert isinstance(kind, IntegerType)
        return self.b.cast("bitcast" if kind.width.data == 64 else "trunci", value, kind)

    # -- lir.read

    def _read(self, op: ReadOp, state: _State, site: Site, invariant: bool) -> None:
        b, operand = self.b, self.operands[op.source]
        lanes = set(site.names)
        exprs: list[DimExpr] = []
        vectors: dict[str, SSAValue] = {}
        mask: SSAValue | None = None
        for position, (index, extent) in enumerate(zip(op.indices, operand.kind.dims, strict=True)):
            key = (op, position)
            expr = state.indices.get(key)
            if expr is not None:
                exprs.append(expr)
                continue
            if index in self._places:
                expr = b.facts.simplify(site.place(self._places[index]))
                later = invariant and bool(expr.symbols & lanes)
                if b.facts.prove_le(0, expr) and b.facts.prove_lt(expr, extent):
                    exprs += [] if later else [expr]
                    continue
                value = None if later else self._index(expr, index, site)
            else:
                value = state.values.get(index)
            if value is None:
                continue
            value = as_index(b, value)
            if shape_of(value.type):
                name = f"lanes{len(vectors)}"
                vectors[name], ok = self._checked_lanes(op, operand, value, extent, site)
                mask = both(b, mask, ok)
                exprs.append(sym(name))
                continue
            value, condition = self._checked(op, operand, value, extent)
            name = b.fresh("read")
            b.declare({name: extent})
            b.bind(name, value)
            state.indices[key] = sym(name)
            if condition is not None:
                state.conditions[key] = condition
            exprs.append(sym(name))
        if len(exprs) < len(op.indices):
            return
        condition = both(b, *(state.conditions.get((op, position)) for position in range(len(op.indices))))
        fill = b.attribute(op.fill) if op.fill is not None else b.constant(0, scalar_type(operand.kind.element_type))
        offset = b.facts.simplify(operand.kind.offset(exprs))
        state.values[op.result] = self._element(operand, offset, vectors, mask, condition, fill, site)

    def _element(
        self,
        operand: Operand,
        offset: DimExpr,
        vectors: dict[str, SSAValue],
        mask: SSAValue | None,
        condition: SSAValue | None,
        fill: SSAValue,
        site: Site,
    ) -> SSAValue:
        b = self.b
        varies = bool(offset.symbols & set(site.names)) or bool(vectors)
        if not varies:
            if condition is None:
                return b.load(operand.pointer, b.at(offset))
            return b.when(condition, lambda: [b.load(operand.pointer, b.at(offset))], lambda: [fill])[0]
        assert len(site.lanes) == 1, "a read is made for vectors, not for tiles"
        if condition is not None:
            mask = both(b, mask, b.broadcast(condition, site.shape))
        if not vectors:
            return load_place(b, operand.pointer, offset, site, mask, fill)
        bound: dict[str, SSAValue] = dict(vectors)
        for name in sorted(offset.symbols - set(vectors)):
            bound[name] = b.lanes_at(sym(name), *site.lanes[0]) if name in site.names else b.index(b.env[name])
        lanes = next(iter(vectors.values())) if offset.is_symbol else b.value(ApplyOp(offset, bound))
        mask = both(b, mask, mask_of(b, site))
        return b.value(GatherOp(operand.pointer, lanes, mask=mask, fill=None if mask is None else fill))

    def _checked(self, op: ReadOp, operand: Operand, value: SSAValue, extent: DimExpr) -> tuple[SSAValue, SSAValue | None]:
        """A scalar index made safe, and the condition under which the element exists where that is not certain."""
        b = self.b
        size = b.at(extent)
        if op.oob.data == "clamp":
            return b.maximum(b.minimum(value, b.sub(size, 1)), 0), None
        ok = b.test("ult", value, size)
        if op.oob.data == "error":
            report_index(b, operand, value, size, negated(b, ok))
            if b.facts.prove_lt(0, extent):
                return b.pick(ok, value, 0), None
        return b.pick(ok, value, 0), ok

    def _checked_lanes(
        self, op: ReadOp, operand: Operand, value: SSAValue, extent: DimExpr, site: Site
    ) -> tuple[SSAValue, SSAValue | None]:
        b, shape = self.b, shape_of(value.type)
        size = b.at(extent)
        limit = b.broadcast(size, shape)
        if op.oob.data == "clamp":
            last = b.value(arith.SubiOp(limit, b.splat(1, INDEX, shape)))
            low = b.value(arith.MinSIOp(value, last))
            return b.value(arith.MaxSIOp(low, b.splat(0, INDEX, shape))), None
        ok = b.cmp("ult", value, limit)
        if op.oob.data == "error":
            bad = both(b, negated(b, ok), mask_of(b, site))
            assert bad is not None
            # As an unsigned number a bad index is the largest, or one of equals.
            worst = b.reduce("maxui", b.select(bad, value, b.splat(0, INDEX, shape)))
            report_index(b, operand, worst, size, b.reduce("or", bad))
        return value, ok


def report_index(b: KernelBuilder, operand: Operand, index: SSAValue, extent: SSAValue, bad: SSAValue) -> None:
    """Fault if `bad`: an index of an operand is outside its extent."""
    assert b.item is not None
    b.op(FaultOp(INDEX_OUT_OF_RANGE, b.item, [b.index(operand.number), index, extent], bad, b.status))


def as_index(b: KernelBuilder, value: SSAValue) -> SSAValue:
    """An i64 or i32, or a vector of them, as `index`."""
    element = value.type if not shape_of(value.type) else value.type.element_type  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(element, IndexType):
        return value
    assert isinstance(element, IntegerType)
    return b.cast("bitcast" if element.width.data == 64 else "extsi", value, INDEX)


def needed_ops(block: Block, wanted: Sequence[SSAValue], known: Collection[SSAValue] = ()) -> set[Operation]:
    """The ops of a block that the wanted values depend on, but for those behind the known values."""
    needed: set[Operation] = set()
    pending = list(wanted)
    while pending:
        value = pending.pop()
        op = value.owner
        if value not in known and isinstance(op, Operation) and op.parent_block() is block and op not in needed:
            needed.add(op)
            pending += op.operands
    return needed


def block_args(args: Sequence[SSAValue], operands: Sequence[Operand]) -> tuple[dict[SSAValue, Operand], dict[SSAValue, Operand]]:
    """A region's arguments that stand for operands: (whole buffers, elements)."""
    pairs = list(zip(args, operands, strict=True))
    whole = {arg: operand for arg, operand in pairs if operand.access.is_whole}
    return whole, {arg: operand for arg, operand in pairs if not operand.access.is_whole}

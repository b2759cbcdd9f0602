"""What the lowering rules of convert-mir-to-lir share: where each tensor lives, and how to emit a form.

A rule is a function `(low: Lowering, op) -> None` in a table keyed by op class; it emits forms and binds the op's results with
`low.bind`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import AnyFloat, FloatAttr, f32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from rlx_dialects.dims import DimExpr, DimLike, as_expr, const, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import (
    AccessAttr,
    AllocOp,
    AttentionOp,
    BufferType,
    ContractOp,
    EachOp,
    FoldOp,
    IterAttr,
    MapOp,
    ProductOp,
    ReduceOp,
    RowType,
    ViewOp,
    buffer,
)
from rlx_dialects.rlx import StateType, TensorType
from rlx_passes.support.region_builder import RegionBuilder, scalar_constant

Read = tuple[SSAValue, Sequence[DimLike] | None] | tuple[SSAValue, Sequence[DimLike], Attribute]
"""A buffer and the indices it is read or written at; None hands the whole buffer to the region. A third is what is read where
an index is out of range.
"""

Scalars = Sequence[SSAValue]


def product(dims: Sequence[DimExpr]) -> DimExpr:
    total = const(1)
    for dim in dims:
        total = total * dim
    return total


def tensor_of(value: SSAValue) -> TensorType | StateType:
    assert isinstance(value.type, TensorType | StateType)
    return value.type


@dataclass
class Lowering:
    """The state of lowering one function into one program."""

    facts: Facts
    block: Block
    buffers: dict[SSAValue, SSAValue] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()
    op: Operation | None = None

    # -- values

    def buffer(self, value: SSAValue) -> SSAValue:
        """The buffer of a MIR value."""
        return self.buffers[value]

    def bind(self, value: SSAValue, target: SSAValue) -> None:
        self.buffers[value] = target
        if target.name_hint is None:
            target.name_hint = value.name_hint

    def emit(self, op: Operation) -> Operation:
        if self.op is not None:
            op.location = self.op.location
        self.block.add_op(op)
        return op

    def alloc(self, dims: Sequence[DimLike], element_type: Attribute, hint: str | None = None) -> SSAValue:
        result = self.emit(AllocOp(buffer(dims, element_type))).results[0]
        result.name_hint = hint
        return result

    def new(self, value: SSAValue) -> SSAValue:
        """A temporary for a result, bound to it."""
        kind = tensor_of(value)
        target = self.alloc(kind.dims, kind.element_type, value.name_hint)
        self.bind(value, target)
        return target

    def view(self, source: SSAValue, dims: Sequence[DimLike]) -> SSAValue:
        """`source` under another shape of equal size."""
        kind = source.type
        assert isinstance(kind, BufferType)
        target = buffer(dims, kind.element_type)
        if target == kind:
            return source
        view = self.emit(ViewOp(source, target)).results[0]
        view.name_hint = source.name_hint
        return view

    def names(self, count: int, stem: str = "i") -> list[str]:
        """Names for iteration dims that are not symbols of the program."""
        found: list[str] = []
        number = 0
        while len(found) < count:
            name = f"{stem}{number}"
            if name not in self.reserved:
                found.append(name)
            number += 1
        return found

    # -- forms

    @property
    def label(self) -> str | None:
        return self.op.name.split(".")[-1] if self.op is not None else None

    def map(
        self,
        dims: Sequence[tuple[str, DimLike]],
        ins: Sequence[Read],
        outs: Sequence[Read],
        body: Callable[[RegionBuilder, Scalars], Sequence[SSAValue]],
    ) -> None:
        """Emit a `lir.map` over `dims`; `body` gets one scalar (or whole buffer) per read and gives one per write."""
        builder = RegionBuilder([argument(read) for read in ins])
        region = builder.region(*body(builder, builder.args))
        iters = [IterAttr.get(name, "parallel", extent) for name, extent in dims]
        self.emit(MapOp(iters, accesses(ins), accesses(outs), [region], label=self.label))

    def reduce(
        self,
        rows: Sequence[tuple[str, DimLike]],
        axes: Sequence[tuple[str, DimLike]],
        ins: Sequence[Read],
        outs: Sequence[Read],
        body: Callable[[RowBuilder, Scalars], Sequence[SSAValue]],
    ) -> None:
        """Emit a `lir.reduce`; `body` gets a row value for each read that uses an axis, a scalar for the others."""
        names = {name for name, _ in axes}
        kinds = [
            RowType(argument(read)) if any(as_expr(e).symbols & names for e in read[1] or ()) else argument(read) for read in ins
        ]
        builder = RowBuilder(kinds)
        region = builder.region(*body(builder, builder.args))
        iters = [IterAttr.get(n, "parallel", e) for n, e in rows] + [IterAttr.get(n, "reduce", e) for n, e in axes]
        self.emit(ReduceOp(iters, accesses(ins), accesses(outs), [region], label=self.label))

    def contract(
        self,
        parallel: Sequence[tuple[str, DimLike]],
        reduced: Sequence[tuple[str, DimLike]],
        ins: Sequence[Read],
        outs: Sequence[Read],
        products: Callable[[RegionBuilder, Scalars], Sequence[tuple[SSAValue, SSAValue]]],
        epilogue: Callable[[RegionBuilder, Scalars, Scalars], Sequence[SSAValue]],
        extra: Sequence[Read] = (),
    ) -> None:
        """Emit a `lir.contract`; `products` gives the factor pairs, `epilogue` gets accumulators and extra elements."""
        body = RegionBuilder([argument(read) for read in ins])
        pairs = products(body, body.args)
        body.block.add_op(ProductOp(pairs))
        sums = [a.type for a, _ in pairs]
        end = RegionBuilder([*sums, *(argument(read) for read in extra)])
        region = end.region(*epilogue(end, end.args[: len(sums)], end.args[len(sums) :]))
        iters = [IterAttr.get(n, "parallel", e) for n, e in parallel] + [IterAttr.get(n, "reduce", e) for n, e in reduced]
        self.emit(
            ContractOp(
                iters, accesses(ins), accesses(outs), [Region(body.block), region], extra=accesses(extra), label=self.label
            )
        )

    def attention(
        self,
        iters: Sequence[IterAttr],
        ins: Sequence[Read],
        out: Read,
        scale: float,
        score: Callable[[RegionBuilder, SSAValue, Scalars], SSAValue],
        extra: Sequence[Read] = (),
        score_type: AnyFloat = f32,
    ) -> None:
        """Emit a `lir.attention` over query, key and value."""
        builder = RegionBuilder([score_type, *(argument(read) for read in extra)])
        region = builder.region(score(builder, builder.args[0], builder.args[1:]))
        params: dict[str, Attribute] = {"scale": FloatAttr(scale, score_type)}
        self.emit(
            AttentionOp(iters, accesses(ins), accesses([out]), [region], extra=accesses(extra), params=params, label=self.label)
        )


class RowBuilder(RegionBuilder):
    """The body of a `lir.reduce`: stages over row values, scalar ops per row."""

    def each(self, rows: Scalars, body: Callable[[RegionBuilder, Scalars], SSAValue]) -> SSAValue:
        """A new row value, pointwise from `rows`."""
        inner = RegionBuilder([row.type.element_type for row in rows])  # pyright: ignore[reportAttributeAccessIssue]
        value = body(inner, inner.args)
        return self.add_op(EachOp(rows, inner.region(value), [RowType(value.type)]))

    def fold(self, kind: str, row: SSAValue, identity: float, *, unsigned: bool = False) -> SSAValue:
        """One scalar per row by add, mul, max or min, in the row's type; `unsigned` says how max and min read integers."""
        element = row.type.element_type  # pyright: ignore[reportAttributeAccessIssue]
        regions: list[Region] = []
        for _ in range(2):
            inner = RegionBuilder([element, element])
            regions.append(inner.region(inner.binary(kind, *inner.args, unsigned=unsigned)))
        return self.add_op(FoldOp([row], [scalar_constant(identity, element)], *regions, [element]))  # pyright: ignore[reportCallIssue]


def argument(read: Read) -> Attribute:
    kind = read[0].type
    assert isinstance(kind, BufferType)
    return kind if read[1] is None else kind.scalar_type


def accesses(reads: Sequence[Read]) -> list[tuple[SSAValue, AccessAttr]]:
    return [(read[0], AccessAttr.get(read[1], read[2] if len(read) == 3 else None)) for read in reads]


def syms(names: Sequence[str]) -> list[DimExpr]:
    return [sym(name) for name in names]

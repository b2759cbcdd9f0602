"""lir-fuse-forms: grow the regions of neighbouring forms into each other, so that a value between them never goes to memory.

One rule set for all targets, on forms, not on tensor ops:

* a `lir.map` is inlined into the forms that read its result (prologue): always if it only moves data, otherwise if its one
  reader visits each element no more often than the map would;
* a `lir.map` that is the only reader of a contract's or reduce's result moves into that form (epilogue).

Views between the two are looked through. What must not fuse: a contract's operand with arithmetic in it (it would be computed
again for each tile), a place that is no longer linear in the loops, and anything whose sources are written in between.

Before:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %t = lir.alloc : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%t[i, j]) {
  ^bb0(%a: f32):
    %b = math.exp %a : f32
    lir.yield %b : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
  lir.map (r : 4, c : 8) ins(%t[r, c]) outs(%y[r, c]) {
  ^bb0(%a: f32):
    %b = arith.negf %a : f32
    lir.yield %b : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}
```
After:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  lir.map (r : 4, c : 8) ins(%x[r, c]) outs(%y[r, c]) {
  ^bb0(%a: f32):
    %b = math.exp %a : f32
    %c = arith.negf %b : f32
    lir.yield %c : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}
```

Expects: LIR before planning. Ensures: LIR; no map whose only reader could hold it. Numerics: exact (f16 and bf16 intermediates
keep their rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from rlx_dialects.dims import DimExpr
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import (
    AllocOp,
    AttentionOp,
    ContractOp,
    FormOp,
    IndexOp,
    MapOp,
    ReduceOp,
    ViewOp,
    YieldOp,
    programs,
)
from rlx_dialects.lir.structure import CopyOp
from rlx_dialects.rlx import facts_of
from rlx_passes.support.accesses import (
    buffer_type,
    has_offset,
    indices_in,
    is_affine_place,
    iteration_facts,
    plain_symbols,
    through_views,
)
from rlx_passes.support.inlining import append_epilogue, drop_results, inline_producer

CHEAP_OPS = 4
"""A map of at most so many arithmetic ops may be computed again by a second reader."""

_MOVES = (arith.ConstantOp, arith.ExtFOp, arith.ExtSIOp, arith.ExtUIOp, arith.IndexCastOp, IndexOp, YieldOp)


@dataclass
class Edges:
    """Who writes and reads each temporary of one block, kept up to date as forms are replaced."""

    writers: dict[SSAValue, list[Operation]] = field(default_factory=dict)
    readers: dict[SSAValue, list[tuple[Operation, SSAValue]]] = field(default_factory=dict)

    @classmethod
    def of(cls, block: Block) -> Edges:
        edges = cls()
        for op in block.ops:
            edges.note(op)
        return edges

    def note(self, op: Operation) -> None:
        if isinstance(op, FormOp):
            for value, _ in op.writes:
                self.writers.setdefault(_root(value), []).append(op)
            for value, _ in op.reads:
                self.readers.setdefault(_root(value), []).append((op, value))
        elif not isinstance(op, ViewOp):
            # Copies and control flow: readers and writers that nothing fuses with.
            for inner in op.walk():
                for value in inner.operands:
                    if isinstance(value.owner, AllocOp | ViewOp):
                        self.readers.setdefault(_root(value), []).append((op, value))
                        if not isinstance(inner, CopyOp) or value is inner.target:
                            self.writers.setdefault(_root(value), []).append(op)

    def forget(self, form: FormOp) -> None:
        """Call before `form` is erased: its operands must still be there."""
        for value, _ in form.writes:
            root = _root(value)
            self.writers[root] = [op for op in self.writers[root] if op is not form]
        for value, _ in form.reads:
            root = _root(value)
            self.readers[root] = [(op, v) for op, v in self.readers[root] if op is not form]

    def is_dead(self, value: SSAValue) -> bool:
        """A temporary that nobody reads."""
        root = _root(value)
        return isinstance(root.owner, AllocOp) and not self.readers.get(root)


def _root(value: SSAValue) -> SSAValue:
    while isinstance(value.owner, ViewOp):
        value = value.owner.source
    return value


def _arithmetic(form: MapOp) -> int:
    return sum(not isinstance(op, _MOVES) for op in form.body.block.ops)


def _names(form: FormOp) -> frozenset[str]:
    return frozenset(form.extents)


def _written_between(first: Operation, last: Operation, sources: set[SSAValue]) -> bool:
    """Whether anything after `first` and before `last` may write one of the buffers."""
    op = first.next_op
    while op is not None and op is not last:
        for inner in op.walk():
            if isinstance(inner, FormOp) and any(_root(value) in sources for value, _ in inner.writes):
                return True
            if isinstance(inner, CopyOp) and _root(inner.target) in sources:
                return True
        op = op.next_op
    return False


def _points(form: FormOp) -> DimExpr:
    total = None
    for extent in form.extents.values():
        total = extent if total is None else total * extent
    return total if total is not None else DimExpr(())


def _fuse_producer(consumer: FormOp, edges: Edges, facts: Facts) -> FormOp | None:
    """Inline one map into `consumer`; the fused form, or None if there was nothing to inline."""
    if not isinstance(consumer, MapOp | ReduceOp | ContractOp | AttentionOp):
        return None
    for position, (value, access) in enumerate(consumer.reads):
        if access.is_whole or access.is_guarded:
            continue
        root = _root(value)
        writers = edges.writers.get(root, [])
        if not isinstance(root.owner, AllocOp) or len(writers) != 1:
            continue
        producer = writers[0]
        if not isinstance(producer, MapOp) or len(producer.outs) != 1 or producer.parent is not consumer.parent:
            continue
        if has_offset(producer.outs[0]):
            continue
        places = plain_symbols(producer.out_accesses[0].exprs, _names(producer))
        if places is None or len(places) != len(producer.extents):
            continue
        if not _worthwhile(producer, consumer, position, len(edges.readers.get(root, []))):
            continue
        as_operand = isinstance(consumer, ContractOp | AttentionOp) and position < len(consumer.ins)
        if as_operand and any(a.is_whole or a.is_guarded for a in producer.in_accesses):
            continue
        if as_operand and isinstance(consumer, AttentionOp) and not _is_identity(producer):
            continue
        sources = {_root(v) for v, _ in producer.reads}
        if _written_between(producer, consumer, sources):
            continue
        inner = iteration_facts(consumer, facts)
        reached, exprs = through_views(value, access.exprs, inner)
        if reached is not root:
            continue
        env = dict(zip(places, indices_in(producer.outs[0], root, exprs, inner), strict=True))
        moved = [
            (v, [inner.simplify(e.substitute(env)) for e in a.exprs]) for v, a in producer.reads if not a.is_whole
        ]
        names = _names(consumer)
        if isinstance(consumer, ContractOp | AttentionOp) and not all(
            is_affine_place(buffer_type(v), e, names, inner) for v, e in moved
        ):
            continue
        edges.forget(consumer)
        fused = inline_producer(producer, consumer, position, env, inner)
        edges.note(fused)
        if edges.is_dead(root):
            edges.forget(producer)
            producer.detach()
            producer.erase()
        return fused
    return None


def _is_identity(form: MapOp) -> bool:
    """One operand, yielded as it is."""
    end = form.body.block.last_op
    return len(form.ins) == 1 and isinstance(end, YieldOp) and end.values[0] is form.body.block.args[0]


def _worthwhile(producer: MapOp, consumer: FormOp, position: int, readers: int) -> bool:
    work = _arithmetic(producer)
    if work == 0:
        # A contract or attention may widen its operand as it loads; anything computed would be computed per tile.
        return True
    if isinstance(consumer, ContractOp | AttentionOp) and position < len(consumer.ins):
        return False
    if readers > 1 and work > CHEAP_OPS:
        return False
    once = not (_points(consumer) - _points(producer)).terms
    return once or work <= CHEAP_OPS


def _fuse_consumer(producer: FormOp, edges: Edges, facts: Facts) -> FormOp | None:
    """Move the one map that reads `producer`'s result into it; the fused form, or None."""
    if not isinstance(producer, ContractOp | ReduceOp) or len(producer.outs) != 1:
        return None
    root = _root(producer.outs[0])
    readers = edges.readers.get(root, [])
    if not isinstance(root.owner, AllocOp) or len(readers) != 1 or len(edges.writers.get(root, [])) != 1:
        return None
    consumer, value = readers[0]
    if not isinstance(consumer, MapOp) or consumer.parent is not producer.parent or len(consumer.outs) != 1:
        return None
    if any(access.is_whole for access in consumer.in_accesses):
        return None
    access = consumer.in_accesses[list(consumer.ins).index(value)]
    if access.is_guarded or has_offset(value):
        return None
    places = plain_symbols(producer.out_accesses[0].exprs, _names(producer))
    reads = plain_symbols(access.exprs, _names(consumer))
    if places is None or reads is None or len(reads) != len(consumer.extents):
        return None
    inner = iteration_facts(producer, facts)
    # A map that reads a part of the result (a slice) visits fewer points than the form.
    whole = zip(reads, buffer_type(value).dims, strict=True)
    if any(inner.prove_eq(consumer.extents[name], dim) is not True for name, dim in whole):
        return None
    # The map's dims in terms of the form's: what the map reads at its dims is what the form writes at these.
    _, written = through_views(producer.outs[0], producer.out_accesses[0].exprs, inner)
    env = dict(zip(reads, indices_in(value, root, written, inner), strict=True))
    others = [(v, a) for v, a in consumer.reads if v is not value]
    if len(others) != len(consumer.reads) - 1:
        return None
    names = _names(producer)
    for v, a in [*others, *consumer.writes]:
        exprs = [inner.simplify(e.substitute(env)) for e in a.exprs]
        if not is_affine_place(buffer_type(v), exprs, names, inner):
            return None
        # An axis of extent 1 may vanish from the place; what the form writes would then be no row any more.
        if v in consumer.outs and _crosses_axis(producer, exprs) != _crosses_axis(producer, producer.out_accesses[0].exprs):
            return None
    # The fused form stands where the map stood: nothing in between may change what the form reads.
    if _written_between(producer, consumer, {_root(v) for v, _ in producer.reads}):
        return None
    edges.forget(producer)
    edges.forget(consumer)
    fused = append_epilogue(producer, consumer, value, env, inner)
    edges.note(fused)
    return fused


def _crosses_axis(form: FormOp, exprs: Sequence[DimExpr]) -> bool:
    """Whether a place differs along a row of a reduce."""
    axes = {it.symbol.data for it in form.group("reduce")} if isinstance(form, ReduceOp) else set()
    return any(e.symbols & axes for e in exprs)


def fuse_block(block: Block, facts: Facts) -> int:
    """Apply both rules until nothing changes; returns how many forms were fused away."""
    edges = Edges.of(block)
    total = 0
    while True:
        erase_dead_forms(block, edges)
        drop_dead_results(block, edges)
        fused = 0
        for op in list(block.ops):
            # A form that grew may grow on; forms fused into others have left the block.
            form = op if isinstance(op, FormOp) else None
            while form is not None and form.parent is block:
                form = _fuse_producer(form, edges, facts) or _fuse_consumer(form, edges, facts)
                fused += form is not None
        total += fused
        if not fused:
            return total


def erase_dead_forms(block: Block, edges: Edges) -> None:
    """Drop forms that write only temporaries which nobody reads, last first, so that what only they read goes too."""
    for op in reversed(list(block.ops)):
        if isinstance(op, FormOp) and op.outs and all(edges.is_dead(v) for v, _ in op.writes):
            edges.forget(op)
            block.erase_op(op)


def drop_dead_results(block: Block, edges: Edges) -> None:
    """A form with several results loses those that go to temporaries nobody reads."""
    for op in list(block.ops):
        if not isinstance(op, MapOp | ReduceOp | ContractOp) or len(op.outs) < 2:
            continue
        dead = [n for n, (v, _) in enumerate(op.writes) if edges.is_dead(v)]
        if dead and len(dead) < len(op.outs):
            edges.forget(op)
            edges.note(drop_results(op, dead))


def erase_unused_temporaries(block: Block) -> None:
    """Drop views and allocs nobody uses."""
    for op in reversed(list(block.ops)):
        if isinstance(op, AllocOp | ViewOp) and not op.results[0].uses:
            block.erase_op(op)


@dataclass(frozen=True)
class LirFuseFormsPass(ModulePass):
    """`program` limits it to the program of that name."""

    name = "lir-fuse-forms"

    program: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for program in programs(op):
            if self.program not in ("", program.sym_name.data):
                continue
            facts = facts_of(program)
            nested = (r for inner in program.walk() for r in inner.regions if not isinstance(inner, FormOp))
            for region in [program.body, *nested]:
                for block in region.blocks:
                    if any(isinstance(child, FormOp) for child in block.ops):
                        fuse_block(block, facts)
                        erase_unused_temporaries(block)

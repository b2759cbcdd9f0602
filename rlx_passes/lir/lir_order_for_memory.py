"""lir-order-for-memory: run independent operations in an order that keeps less alive.

Forms keep their order where one needs what the other made or rewrites what it reads. Among the others, one that ends the life of
more bytes than it begins goes first. The new order is taken only if it needs no more bytes than the old one at any sampled value
of the dims, and fewer at one.

In the example 64 KiB of %a and of %b are alive together, though each has one reader, which leaves a row of it.

Before:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<64 x 256 x f32>
  %y = lir.output @y : !lir.buffer<256 x f32>
  %z = lir.output @z : !lir.buffer<256 x f32>
  %a = lir.alloc : !lir.buffer<64 x 256 x f32>
  %b = lir.alloc : !lir.buffer<64 x 256 x f32>
  lir.map (i : 64, j : 256) ins(%x[i, j]) outs(%a[i, j]) {
  ^bb0(%e: f32):
    %r = math.exp %e : f32
    lir.yield %r : f32
  } : !lir.buffer<64 x 256 x f32>, !lir.buffer<64 x 256 x f32>
  lir.map (i : 64, j : 256) ins(%x[i, j]) outs(%b[i, j]) {
  ^bb0(%e: f32):
    %r = math.sin %e : f32
    lir.yield %r : f32
  } : !lir.buffer<64 x 256 x f32>, !lir.buffer<64 x 256 x f32>
  lir.map (j : 256) ins(%a[1, j]) outs(%y[j]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<64 x 256 x f32>, !lir.buffer<256 x f32>
  lir.map (j : 256) ins(%b[2, j]) outs(%z[j]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<64 x 256 x f32>, !lir.buffer<256 x f32>
}
```
After:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<64 x 256 x f32>
  %y = lir.output @y : !lir.buffer<256 x f32>
  %z = lir.output @z : !lir.buffer<256 x f32>
  %a = lir.alloc : !lir.buffer<64 x 256 x f32>
  %b = lir.alloc : !lir.buffer<64 x 256 x f32>
  lir.map (i : 64, j : 256) ins(%x[i, j]) outs(%a[i, j]) {
  ^bb0(%e: f32):
    %r = math.exp %e : f32
    lir.yield %r : f32
  } : !lir.buffer<64 x 256 x f32>, !lir.buffer<64 x 256 x f32>
  lir.map (j : 256) ins(%a[1, j]) outs(%y[j]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<64 x 256 x f32>, !lir.buffer<256 x f32>
  lir.map (i : 64, j : 256) ins(%x[i, j]) outs(%b[i, j]) {
  ^bb0(%e: f32):
    %r = math.sin %e : f32
    lir.yield %r : f32
  } : !lir.buffer<64 x 256 x f32>, !lir.buffer<64 x 256 x f32>
  lir.map (j : 256) ins(%b[2, j]) outs(%z[j]) {
  ^bb0(%e: f32):
    lir.yield %e : f32
  } : !lir.buffer<64 x 256 x f32>, !lir.buffer<256 x f32>
}
```

Expects: LIR before planning. Ensures: the same operations; within a block, buffers and views come first. Numerics: exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.traits import IsTerminator

from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import AllocOp, BufferType, CopyOp, FormOp, IfOp, ProgramOp, WhileOp, programs
from rlx_dialects.rlx import facts_of
from rlx_passes.support.live_bytes import live_bytes
from rlx_passes.support.liveness import accesses_of

MOST_SAMPLES = 16


def order_program(program: ProgramOp) -> None:
    samples = _samples(program, facts_of(program))
    for block in [program.block, *(r.block for op in program.walk() if isinstance(op, IfOp | WhileOp) for r in op.regions)]:
        work: list[Operation] = [op for op in block.ops if isinstance(op, FormOp | CopyOp | IfOp | WhileOp)]
        before = [live_bytes(program, dims).bound for dims in samples]
        for dims in samples:
            order = _greedy_order(work, dims)
            if order == work:
                continue
            original = _arrange(block, order)
            after = [live_bytes(program, each).bound for each in samples]
            if after != before and all(new <= old for new, old in zip(after, before, strict=True)):
                work, before = order, after
            else:
                _restore(block, original)


def _samples(program: ProgramOp, facts: Facts) -> list[dict[str, int]]:
    """Corners and middles of the ranges of the dims, as far as the facts admit them."""
    names = sorted(
        {name for op in program.walk() if isinstance(op, AllocOp) for dim in _kind(op.result).dims for name in dim.symbols}
    )
    values: list[list[int]] = []
    for name in names:
        known = facts.symbol(name)
        middle = int((known.lower + 1) ** 0.5 * (known.upper + 1) ** 0.5)
        step = known.multiple_of
        values.append(sorted({-(-known.lower // step) * step, middle // step * step, known.upper // step * step}))
    found = [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values)]
    found = [dims for dims in found if facts.admits(dims)]
    return found[:: max(1, -(-len(found) // MOST_SAMPLES))]


def _kind(value: SSAValue) -> BufferType:
    assert isinstance(value.type, BufferType)
    return value.type


@dataclass
class _Node:
    """An operation of the schedule with what it and its regions touch."""

    reads: set[SSAValue]
    writes: set[SSAValue]


def _node(op: Operation) -> _Node:
    touched = [access for nested in op.walk() for access in accesses_of(nested)]
    return _Node({a.root for a in touched if a.kind == "read"}, {a.root for a in touched if a.kind != "read"})


def _greedy_order(work: list[Operation], dims: Mapping[str, int]) -> list[Operation]:
    """Of what may run next, always what changes the live bytes least; ties as they stand."""
    nodes = [_node(op) for op in work]
    needs = [
        {
            earlier
            for earlier in range(at)
            if nodes[earlier].writes & (node.reads | node.writes) or nodes[earlier].reads & node.writes
        }
        for at, node in enumerate(nodes)
    ]
    env = {"threads": 1, **dims}
    block = work[0].parent if work else None
    sizes: dict[SSAValue, int] = {}
    users: dict[SSAValue, set[int]] = {}
    for at, node in enumerate(nodes):
        for root in node.reads | node.writes:
            # What comes from outside of the block lives through it in any order.
            if isinstance(root.owner, AllocOp) and root.owner.parent is block:
                sizes[root] = _kind(root).size_bytes.evaluate(env)
                users.setdefault(root, set()).add(at)
    live: set[SSAValue] = set()
    done: dict[int, None] = {}

    def change(at: int) -> int:
        roots = {root for root in nodes[at].reads | nodes[at].writes if root in sizes}
        born = sum(sizes[root] for root in roots if root not in live)
        dead = sum(sizes[root] for root in roots if users[root] <= done.keys() | {at})
        return born - dead

    while len(done) < len(work):
        ready = [at for at in range(len(work)) if at not in done and needs[at] <= done.keys()]
        chosen = min(ready, key=lambda at: (change(at), at))
        done[chosen] = None
        live |= {root for root in nodes[chosen].reads | nodes[chosen].writes if root in sizes}
    return [work[at] for at in done]


def _arrange(block: Block, order: list[Operation]) -> list[Operation]:
    """Put the work of `block` in this order, after its buffers and views; returns the operations as they stood."""
    before = list(block.ops)
    chosen = set(order)
    ends = [op for op in before if op.has_trait(IsTerminator)]
    _restore(block, [*(op for op in before if op not in chosen and op not in ends), *order, *ends])
    return before


def _restore(block: Block, ops: list[Operation]) -> None:
    for op in ops:
        op.detach()
    block.add_ops(ops)


@dataclass(frozen=True)
class LirOrderForMemoryPass(ModulePass):
    name = "lir-order-for-memory"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for program in programs(op):
            order_program(program)

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
from rlx_passes.support.live_bytes import live_bytes_at
from rlx_passes.support.liveness import accesses_of

MOST_SAMPLES = 16


def order_program(program: ProgramOp) -> None:
    samples = _samples(program, facts_of(program))
    before = _bounds(program, samples)
    for block in [program.block, *(r.block for op in program.walk() if isinstance(op, IfOp | WhileOp) for r in op.regions)]:
        work = _Work.of(block)
        tried = [list(range(len(work.ops)))]
        for dims in samples:
            order = work.order(dims)
            if order in tried:
                continue
            tried.append(order)
            original = _arrange(block, [work.ops[at] for at in order])
            after = _bounds(program, samples)
            if after != before and all(new <= old for new, old in zip(after, before, strict=True)):
                before = after
            else:
                _restore(block, original)


def _bounds(program: ProgramOp, samples: list[dict[str, int]]) -> list[int]:
    return [figures.bound for figures in live_bytes_at(program, samples)]


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
class _Work:
    """The schedule of one block: for each operation what it waits for, who waits for it, and which own buffers it touches."""

    ops: list[Operation]
    waits: list[set[int]]
    waiters: list[list[int]]
    touched: list[list[SSAValue]]
    users: dict[SSAValue, int]

    @classmethod
    def of(cls, block: Block) -> _Work:
        ops: list[Operation] = [op for op in block.ops if isinstance(op, FormOp | CopyOp | IfOp | WhileOp)]
        work = cls(ops, [set() for _ in ops], [[] for _ in ops], [], {})
        writer: dict[SSAValue, int] = {}
        readers: dict[SSAValue, list[int]] = {}
        for at, op in enumerate(ops):
            found = [access for nested in op.walk() for access in accesses_of(nested)]
            reads = dict.fromkeys(a.root for a in found if a.kind == "read")
            writes = dict.fromkeys(a.root for a in found if a.kind != "read")
            for root in (*reads, *writes):
                work.waits[at] |= {writer[root]} if root in writer else set()
            for root in writes:
                work.waits[at] |= set(readers.pop(root, ()))
                writer[root] = at
            for root in reads:
                readers.setdefault(root, []).append(at)
            work.waits[at].discard(at)
            for earlier in work.waits[at]:
                work.waiters[earlier].append(at)
            # What comes from outside of the block lives through it in any order.
            own = [root for root in reads | writes if isinstance(root.owner, AllocOp) and root.owner.parent is block]
            work.touched.append(own)
            for root in own:
                work.users[root] = work.users.get(root, 0) + 1
        return work

    def order(self, dims: Mapping[str, int]) -> list[int]:
        """Of what may run next, always what adds least to the live bytes; ties as they stand."""
        env = {"threads": 1, **dims}
        sizes = {root: _kind(root).size_bytes.evaluate(env) for root in self.users}
        left = dict(self.users)
        waiting = [len(waits) for waits in self.waits]
        ready = [at for at, count in enumerate(waiting) if not count]
        done: list[int] = []

        def change(at: int) -> int:
            born = sum(sizes[root] for root in self.touched[at] if left[root] == self.users[root])
            return born - sum(sizes[root] for root in self.touched[at] if left[root] == 1)

        while ready:
            chosen = min(ready, key=lambda at: (change(at), at))
            ready.remove(chosen)
            done.append(chosen)
            for root in self.touched[chosen]:
                left[root] -= 1
            for waiter in self.waiters[chosen]:
                waiting[waiter] -= 1
                if not waiting[waiter]:
                    ready.append(waiter)
        return done


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

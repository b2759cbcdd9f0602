"""rlx-cse: compute each value once.

Equal operations on equal operands give equal results, so later copies become uses of the first. The walk is linear: an
operation is looked up in a table of what is visible, never compared with the ones in between (xDSL's `cse` is quadratic on
repeated reads). An operation that only reads memory is shared while nothing in between may have written.

Before:
```mlir
%a = arith.mulf %x, %y : f32
%b = arith.mulf %x, %y : f32
%c = arith.addf %a, %b : f32
```
After:
```mlir
%a = arith.mulf %x, %y : f32
%c = arith.addf %a, %a : f32
```

Expects: any IR. Ensures: no two side-effect-free operations without regions are equal where one sees the other. Operations
without a memory-effect trait are never touched. Numerics: exact.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.ir import Block, Operation
from xdsl.traits import IsolatedFromAbove, IsTerminator, MemoryEffectKind, get_effects

from rlx_passes.support.operation_pass import OperationPass

_NO_WRITES = frozenset({MemoryEffectKind.READ, MemoryEffectKind.ALLOC})


class _Scope:
    """The operations that can be shared, and a count that goes up whenever memory may have been written."""

    def __init__(self) -> None:
        self.known: dict[Hashable, Operation] = {}
        self.epoch = 0

    def visit_regions(self, op: Operation) -> None:
        inner = _Scope() if op.has_trait(IsolatedFromAbove) else self
        for region in op.regions:
            for block in region.blocks:
                inner.visit_block(block)
        self.epoch += 1

    def visit_block(self, block: Block) -> None:
        # A block may run again after a later write of its own, so reads from outside do not carry into it.
        self.epoch += 1
        added: list[Hashable] = []
        for op in block.ops:
            if op.regions:
                self.visit_regions(op)
            elif not op.has_trait(IsTerminator):
                self._visit(op, added)
        for key in added:
            del self.known[key]

    def _visit(self, op: Operation, added: list[Hashable]) -> None:
        effects = get_effects(op)
        if effects is None:
            self.epoch += 1
            return
        kinds = {effect.kind for effect in effects}
        if not kinds <= _NO_WRITES:
            self.epoch += 1
        if not kinds <= {MemoryEffectKind.READ} or not op.results:
            return
        key = (
            type(op),
            op.name,
            tuple(op.operands),
            frozenset(op.properties.items()),
            frozenset(op.attributes.items()),
            tuple(result.type for result in op.results),
            self.epoch if kinds else None,
        )
        first = self.known.setdefault(key, op)
        if first is op:
            added.append(key)
            return
        for old, new in zip(op.results, first.results):
            old.replace_all_uses_with(new)  # hands on its name hint
        assert op.parent is not None
        op.parent.erase_op(op)


@dataclass(frozen=True)
class RlxCsePass(OperationPass):
    name = "rlx-cse"

    def apply_to(self, ctx: Context, op: Operation) -> None:
        _Scope().visit_regions(op)

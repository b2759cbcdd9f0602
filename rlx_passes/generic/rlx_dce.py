"""rlx-dce: drop operations whose results nobody uses.

One sweep from the last operation to the first: a user goes before what it used, so chains of dead operations fall in the
same sweep.

Before:
```mlir
%dead = arith.mulf %x, %x : f32
%deader = arith.addf %dead, %x : f32
%y = arith.addf %x, %x : f32
"test.op"(%y) : (f32) -> ()
```
After:
```mlir
%y = arith.addf %x, %x : f32
"test.op"(%y) : (f32) -> ()
```

Expects: any IR. Ensures: every operation left is used, may write or free memory, or has effects unknown to the compiler.
Terminators, symbols and operations without a memory-effect trait stay. Numerics: exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.ir import Operation
from xdsl.traits import IsTerminator, MemoryEffectKind, SymbolOpInterface, get_effects

from rlx_passes.support.operation_pass import OperationPass

_DROPPABLE = frozenset({MemoryEffectKind.READ, MemoryEffectKind.ALLOC})


def sweep(op: Operation) -> None:
    """Erase the dead operations inside `op`, last to first."""
    for region in op.regions:
        for block in reversed(region.blocks):
            current = block.last_op
            while current is not None:
                before = current.prev_op
                sweep(current)
                if is_dead(current):
                    block.erase_op(current)
                current = before


def is_dead(op: Operation) -> bool:
    """Whether nothing would be missed without `op`: no result is used, and its effects are known to be none, reads or
    allocations."""
    if any(result.first_use is not None for result in op.results):
        return False
    if op.has_trait(IsTerminator) or op.has_trait(SymbolOpInterface):
        return False
    effects = get_effects(op)
    return effects is not None and all(effect.kind in _DROPPABLE for effect in effects)


@dataclass(frozen=True)
class RlxDcePass(OperationPass):
    name = "rlx-dce"

    def apply_to(self, ctx: Context, op: Operation) -> None:
        sweep(op)

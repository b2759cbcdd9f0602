"""lir-boundary-to-arena: with `boundary=arena`, keep a copy of every boundary buffer in the arena; with `boundary=external`, do
nothing.

Inputs, weights and states are copied in when the program starts, outputs and states are copied out when it ends, and the forms
work on the copies alone. It costs the copies; it is for hosts that hand over one block of memory.

Before {boundary=arena}:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    %b = math.exp %a : f32
    lir.yield %b : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}
```
After:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x 8 x f32>
  %y = lir.output @y : !lir.buffer<4 x 8 x f32>
  %0 = lir.alloc : !lir.buffer<4 x 8 x f32>
  lir.copy %x to %0 : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
  %1 = lir.alloc : !lir.buffer<4 x 8 x f32>
  lir.map (i : 4, j : 8) ins(%0[i, j]) outs(%1[i, j]) {
  ^bb0(%a: f32):
    %b = math.exp %a : f32
    lir.yield %b : f32
  } : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
  lir.copy %1 to %y : !lir.buffer<4 x 8 x f32>, !lir.buffer<4 x 8 x f32>
}
```

Expects: LIR before planning. Ensures: forms touch no boundary buffer. Numerics: exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from rlx_dialects.lir import AllocOp, BufferType, CopyOp, DimInputOp, OutputOp, PackedOp, ProgramOp, StateOp, programs
from rlx_dialects.lir.structure import BOUNDARY


def move_boundary(program: ProgramOp) -> None:
    block = program.block
    # A dim input is a number of the call, not memory.
    leaves = [op for op in block.ops if isinstance(op, BOUNDARY) and not isinstance(op, DimInputOp)]
    first = next((op for op in block.ops if not isinstance(op, BOUNDARY)), None)

    def emit(op: Operation) -> None:
        if first is None:
            block.add_op(op)
        else:
            block.insert_op_before(op, first)

    for leaf in leaves:
        made = isinstance(leaf, OutputOp) or (isinstance(leaf, PackedOp) and program.sym_name.data == "prepare")
        kind = leaf.result.type
        assert isinstance(kind, BufferType)
        copy = AllocOp(kind)
        copy.location = leaf.location
        emit(copy)
        leaf.result.replace_all_uses_with(copy.result)
        if not made:
            emit(CopyOp(leaf.result, copy.result))
        if made or isinstance(leaf, StateOp):
            block.add_op(CopyOp(copy.result, leaf.result))


@dataclass(frozen=True)
class LirBoundaryToArenaPass(ModulePass):
    name = "lir-boundary-to-arena"

    boundary: Literal["external", "arena"] = "external"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if self.boundary == "arena":
            for program in programs(op):
                move_boundary(program)

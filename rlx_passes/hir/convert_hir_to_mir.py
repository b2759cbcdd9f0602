"""convert-hir-to-mir: blocks become tensor ops, broadcasting becomes explicit.

One rule per op, chosen by its class; rules build MIR before the op and give the values of its results. What a block becomes
depends on `policy`: `direct` uses fused MIR ops where there are some, `fusable` leaves primitives for the fusion passes to
find. Unset, it is what the function's `hir.policy` says, else direct. Ops of MIR between those of HIR stay as they are.

Before:
```mlir
%y = hir.linear %x, %w, bias %b(activation = gelu)
    : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x 4 x f32>
```
After:
```mlir
%y = mir.matmul_bias_act %x, %w, bias %b(activation = gelu)
    : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x 4 x f32>
```

Before {policy=fusable}:
```mlir
%y = hir.linear %x, %w, bias %b(activation = gelu)
    : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 4 x f32>, !rlx.tensor<4 x f32>) -> !rlx.tensor<B x 4 x f32>
```
After:
```mlir
%0 = mir.matmul %x, %w : (!rlx.tensor<B x 8 x f32>, !rlx.tensor<8 x 4 x f32>) -> !rlx.tensor<B x 4 x f32>
%1 = mir.broadcast %b : (!rlx.tensor<4 x f32>) -> !rlx.tensor<B x 4 x f32>
%2 = mir.add %0, %1 : !rlx.tensor<B x 4 x f32>
%y = mir.gelu %2 : !rlx.tensor<B x 4 x f32>
```

Expects: HIR, or HIR mixed with MIR. Ensures: MIR only. Numerics: exact up to the order of sums for f32 and f64; narrower floats
are rounded after every MIR op instead of after every HIR op.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block
from xdsl.passes import ModulePass

from rlx_dialects.hir import HirOp
from rlx_passes.hir import block_ops, tensor_ops
from rlx_passes.hir.lowering import Lowering
from rlx_passes.support.locations import location_of
from rlx_passes.support.verify import assert_only_dialects
from rlx_runtime.errors import LowerError

RULES = {**tensor_ops.RULES, **block_ops.RULES}
POLICY = "hir.policy"


def lower_block(block: Block, policy: str) -> None:
    """Replace every HIR op of `block`."""
    low = Lowering(policy == "direct", block)
    op = block.first_op
    while op is not None:
        following = op.next_op
        if isinstance(op, HirOp):
            rule = RULES.get(type(op))
            if rule is None:
                raise LowerError(f"no rule lowers '{op.name}'", location=location_of(op))
            low.anchor = op
            for result, value in zip(op.results, rule(low, op), strict=True):
                value = low.conform(value, result)
                if value.name_hint is None:
                    value.name_hint = result.name_hint
                result.replace_all_uses_with(value)
            block.erase_op(op)
        op = following


@dataclass(frozen=True)
class ConvertHirToMirPass(ModulePass):
    name = "convert-hir-to-mir"

    policy: Literal["direct", "fusable"] | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.walk():
            if not isinstance(function, FuncOp):
                continue
            stated = function.attributes.pop(POLICY, None)
            policy = self.policy or (stated.data if isinstance(stated, StringAttr) else "direct")
            if policy not in ("direct", "fusable"):
                raise LowerError(f"{POLICY} is '{policy}'; it must be direct or fusable", location=location_of(function))
            for block in function.body.blocks:
                lower_block(block, policy)
        assert_only_dialects(op, ("builtin", "func", "mir"), "mir")

"""mir-fuse-residual-norm: fold the add before a norm into the norm.

A transformer block adds its residual and normalizes the sum; apart, the sum is written to memory and read back. The fused
op makes both in one pass and keeps the sum as a result, because the next block's residual usually needs it.

Before:
```mlir
%s = mir.add %x, %r : !rlx.tensor<B x 128 x f32>
%y = mir.rms_norm %s, %g(eps = 1.0e-06) : (!rlx.tensor<B x 128 x f32>, !rlx.tensor<128 x f32>) -> !rlx.tensor<B x 128 x f32>
```
After:
```mlir
%s, %y = mir.residual_rms_norm %x, %r, %g(eps = 1.0e-06) :
    (!rlx.tensor<B x 128 x f32>, !rlx.tensor<B x 128 x f32>, !rlx.tensor<128 x f32>) ->
    (!rlx.tensor<B x 128 x f32>, !rlx.tensor<B x 128 x f32>)
```

A broadcast operand is a bias, not a residual: it stays with the op that made the other operand.

Expects: MIR. Ensures: no norm whose input is an add of two tensors that both exist in memory, unless another reader of the
sum has to come before the norm's parameters. Numerics: exact in f32 and f64; smaller floats normalize the unrounded sum.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern
from xdsl.rewriter import InsertPoint

from rlx_dialects import mir
from rlx_passes.support.mir_values import available_at, is_before
from rlx_passes.support.rewriting import rewrite
from rlx_passes.support.statistics import CountingPass


@dataclass
class FuseAddIntoNorm(RewritePattern):
    statistics: Counter[str]

    def match_and_rewrite(self, norm: mir.LayerNormOp | mir.RmsNormOp, rewriter: PatternRewriter) -> None:
        add = norm.x.owner
        if not isinstance(add, mir.AddOp) or add.parent is not norm.parent or add.lhs.type != add.rhs.type:
            return
        if isinstance(add.lhs.owner, mir.BroadcastOp) or isinstance(add.rhs.owner, mir.BroadcastOp):
            return
        # The fused op stands where the add stood, so that every reader of the sum comes after it; if the norm's parameters come
        # later than that, where the norm stood.
        place: Operation = add
        if not all(available_at(value, add) for value in norm.operands[1:]):
            place = norm
            if any(use.operation is not norm and not is_before(norm, use.operation) for use in add.result.uses):
                return
        fused: mir.ResidualLayerNormOp | mir.ResidualRmsNormOp
        if isinstance(norm, mir.LayerNormOp):
            fused = mir.ResidualLayerNormOp(add.lhs, add.rhs, norm.scale, norm.bias, norm.eps.data)
            self.statistics["residual_layer_norm"] += 1
        else:
            fused = mir.ResidualRmsNormOp(add.lhs, add.rhs, norm.scale, norm.eps.data)
            self.statistics["residual_rms_norm"] += 1
        fused.location = norm.location
        rewriter.insert(fused, InsertPoint.before(place))
        rewriter.replace(norm, [], [fused.normed])
        rewriter.replace(add, [], [fused.sum])


@dataclass(frozen=True)
class MirFuseResidualNormPass(CountingPass):
    name = "mir-fuse-residual-norm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rewrite(op, [((mir.LayerNormOp, mir.RmsNormOp), FuseAddIntoNorm(self.statistics))])

"""mir-fuse-matmul-bias-act: put bias, residual and activation behind the matmul they follow.

A linear layer is a matrix product, a bias added to each row and often an activation or a residual. Apart, each reads and
writes the whole result; together they happen while the result is in registers.

Before:
```mlir
%p = mir.matmul %x, %w : (!rlx.tensor<B x 64 x f32>, !rlx.tensor<64 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
%rows = mir.broadcast %b : (!rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
%s = mir.add %p, %rows : !rlx.tensor<B x 8 x f32>
%y = mir.gelu %s : !rlx.tensor<B x 8 x f32>
```
After:
```mlir
%y = mir.matmul_bias_act %x, %w, bias %b(activation = gelu) :
    (!rlx.tensor<B x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<8 x f32>) -> !rlx.tensor<B x 8 x f32>
```

The chain matmul, + bias, + residual, activation may start at a matmul and end anywhere. Each value in it has one reader
(being an output is a reader too), the bias is exactly [N], the residual has the type of the product and comes after the
bias, as it does in the fused op.

Options: `residual` (default true): take residuals in.

Expects: MIR. Ensures: no float `mir.matmul` whose only reader could be its epilogue. Numerics: exact in f32 and f64;
smaller floats keep f32 inside the chain.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from rlx_dialects import mir
from rlx_dialects.rlx import dtypes
from rlx_passes.generic.rlx_dce import RlxDcePass
from rlx_passes.support.mir_values import dims, only_user
from rlx_passes.support.rewriting import rewrite
from rlx_passes.support.statistics import CountingPass

ACTIVATIONS: dict[type[Operation], str] = {
    mir.ReluOp: "relu",
    mir.GeluOp: "gelu",
    mir.GeluTanhOp: "gelu_tanh",
    mir.SiluOp: "silu",
    mir.TanhOp: "tanh",
    mir.SigmoidOp: "sigmoid",
}


@dataclass
class FuseEpilogue(RewritePattern):
    residuals: bool
    statistics: Counter[str]

    @op_type_rewrite_pattern
    def match_and_rewrite(self, matmul: mir.MatmulOp, rewriter: PatternRewriter) -> None:
        if not dtypes.is_float(matmul.result.type.element_type):
            return
        chain: list[Operation] = [matmul]
        bias: SSAValue | None = None
        residual: SSAValue | None = None
        activation = "none"
        while activation == "none" and (user := only_user(chain[-1].results[0])) and user.parent is matmul.parent:
            if type(user) in ACTIVATIONS:
                activation = ACTIVATIONS[type(user)]
            elif not isinstance(user, mir.AddOp):
                break
            else:
                other = user.rhs if user.lhs is chain[-1].results[0] else user.lhs
                if bias is None and residual is None and (found := _row_bias(other)) is not None:
                    bias = found
                elif residual is None and self.residuals and other.type == matmul.result.type:
                    residual = other
                else:
                    break
            chain.append(user)
        if len(chain) == 1:
            return
        # The fused op stands where the chain ends: bias and residual are defined there.
        rewriter.replace(chain.pop(), mir.MatmulBiasActOp(matmul.lhs, matmul.rhs, bias, residual, activation))
        for op in reversed(chain):
            rewriter.erase(op)
        self.statistics["matmul_bias_act"] += 1


def _row_bias(value: SSAValue) -> SSAValue | None:
    """The [N] that `value` [..., N] repeats for every row."""
    owner = value.owner
    if not isinstance(owner, mir.BroadcastOp) or len(dims(owner.x)) != 1:
        return None
    last = len(dims(value)) - 1
    return owner.x if owner.result_axes == (last,) and dims(owner.x)[0] is dims(value)[last] else None


@dataclass(frozen=True)
class MirFuseMatmulBiasActPass(CountingPass):
    name = "mir-fuse-matmul-bias-act"

    residual: bool = True

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rewrite(op, FuseEpilogue(self.residual, self.statistics))
        RlxDcePass().apply(ctx, op)

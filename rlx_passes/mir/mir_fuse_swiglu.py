"""mir-fuse-swiglu: recognize gated linear units.

`silu(x · gate) * (x · up)` reads x twice and writes two wide intermediates; `mir.swiglu_matmul` keeps both sums of products
in registers and writes the gated value only. Where the gate or the other factor is no such product, `silu(a) * b` becomes
`mir.swiglu`.

Before:
```mlir
%u = mir.matmul %x, %up : (!rlx.tensor<B x 64 x f32>, !rlx.tensor<64 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
%g = mir.matmul %x, %gate : (!rlx.tensor<B x 64 x f32>, !rlx.tensor<64 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
%s = mir.silu %g : !rlx.tensor<B x 8 x f32>
%y = mir.mul %s, %u : !rlx.tensor<B x 8 x f32>
```
After:
```mlir
%y = mir.swiglu_matmul %x, %up, %gate :
    (!rlx.tensor<B x 64 x f32>, !rlx.tensor<64 x 8 x f32>, !rlx.tensor<64 x 8 x f32>) -> !rlx.tensor<B x 8 x f32>
```

Every intermediate has one reader (being an output is a reader too); both products have the same left side and weights of one
type and rank 2. Either factor may come first, in any order of declaration.

Expects: MIR, before mir-fuse-matmul-bias-act, which would take the silu into the gate's product. Ensures: no product of a
`mir.silu` that has no other reader. Numerics: exact in f32 and f64; smaller floats keep f32 inside.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from rlx_dialects import mir
from rlx_passes.support.mir_values import dims, only_user
from rlx_passes.support.rewriting import rewrite
from rlx_passes.support.statistics import CountingPass


@dataclass
class FuseSwiglu(RewritePattern):
    statistics: Counter[str]

    @op_type_rewrite_pattern
    def match_and_rewrite(self, mul: mir.MulOp, rewriter: PatternRewriter) -> None:
        candidates = [
            (side.owner, other)
            for side, other in ((mul.lhs, mul.rhs), (mul.rhs, mul.lhs))
            if isinstance(side.owner, mir.SiluOp) and only_user(side) is mul
        ]
        for silu, up in candidates:
            products = _products_of_one_input(silu.x, up)
            if products is not None:
                gate_product, up_product = products
                rewriter.replace(mul, mir.SwigluMatmulOp(up_product.lhs, up_product.rhs, gate_product.rhs))
                for op in (silu, gate_product, up_product):
                    rewriter.erase(op)
                self.statistics["swiglu_matmul"] += 1
                return
        for silu, up in candidates[:1]:
            rewriter.replace(mul, mir.SwigluOp(silu.x, up))
            rewriter.erase(silu)
            self.statistics["swiglu"] += 1


def _products_of_one_input(gate: SSAValue, up: SSAValue) -> tuple[mir.MatmulOp, mir.MatmulOp] | None:
    """The two matmuls, if each is read once and they share the left side."""
    g, u = gate.owner, up.owner
    if not isinstance(g, mir.MatmulOp) or not isinstance(u, mir.MatmulOp) or g is u:
        return None
    if only_user(gate) is None or only_user(up) is None or g.lhs is not u.lhs:
        return None
    return (g, u) if g.rhs.type == u.rhs.type and len(dims(g.rhs)) == 2 else None


@dataclass(frozen=True)
class MirFuseSwigluPass(CountingPass):
    name = "mir-fuse-swiglu"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rewrite(op, FuseSwiglu(self.statistics))

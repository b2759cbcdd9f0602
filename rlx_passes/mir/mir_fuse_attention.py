"""mir-fuse-attention: recognize attention written in primitive ops.

Imported models spell attention out: scores = q · kᵀ, a scale, a mask, softmax, · v. Apart, the scores of all heads go to
memory and back three times; `mir.attention` never writes them and skips keys that a rule on positions takes out.

Before:
```mlir
%kt = mir.transpose %k(perm = [0, 1, 3, 2]) : (!rlx.tensor<B x 8 x S x 64 x f32>) -> !rlx.tensor<B x 8 x 64 x S x f32>
%s = mir.matmul %q, %kt :
    (!rlx.tensor<B x 8 x S x 64 x f32>, !rlx.tensor<B x 8 x 64 x S x f32>) -> !rlx.tensor<B x 8 x S x S x f32>
%c = mir.constant dense<8.0> : !rlx.tensor<f32>
%root = mir.broadcast %c : (!rlx.tensor<f32>) -> !rlx.tensor<B x 8 x S x S x f32>
%t = mir.div %s, %root : !rlx.tensor<B x 8 x S x S x f32>
%p = mir.softmax %t(axis = 3) : !rlx.tensor<B x 8 x S x S x f32>
%o = mir.matmul %p, %v :
    (!rlx.tensor<B x 8 x S x S x f32>, !rlx.tensor<B x 8 x S x 64 x f32>) -> !rlx.tensor<B x 8 x S x 64 x f32>
```
After:
```mlir
%o = mir.attention %q, %k, %v(layout = bhsd, kind = none, scale = 0.125) : (!rlx.tensor<B x 8 x S x 64 x f32>,
    !rlx.tensor<B x 8 x S x 64 x f32>, !rlx.tensor<B x 8 x S x 64 x f32>) -> !rlx.tensor<B x 8 x S x 64 x f32>
```

Found: scales on scores, queries or keys; a soft cap; added masks; selects against -inf or a number like the lowest one,
as a rule on positions (causal, sliding window) where the condition compares indices; several masks; key and value heads
that are repeated for groups of query heads; heads in front of or behind the sequence; batch and heads in one axis. Every
intermediate from the scores to the weights has one reader.

Expects: MIR, canonical. Ensures: no softmax between two matmuls of this shape. Numerics: scales are reassociated (exact for
powers of two); smaller floats keep f32 inside.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.pattern_rewriter import PatternRewriter, RewritePattern, op_type_rewrite_pattern

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.rlx import facts_of, tensor_type
from rlx_passes.generic.rlx_dce import RlxDcePass
from rlx_passes.support.attention_masks import BATCH, EXCLUDING, KEY, Positions, Small, positions, smallest
from rlx_passes.support.mir_values import dims, number, only_user
from rlx_passes.support.rewriting import rewrite
from rlx_passes.support.statistics import CountingPass


@dataclass
class Scores:
    """What stands between the product of queries and keys and the softmax."""

    product: mir.MatmulOp | None = None
    scale: float = 1.0
    softcap: float | None = None
    rules: list[Positions] = field(default_factory=list)
    added: list[Small] = field(default_factory=list)
    choices: list[tuple[Small, bool, float]] = field(default_factory=list)
    """Conditions, whether true means masked, and the number that masked scores become."""


def read_scores(value: SSAValue, reader: Operation) -> Scores | None:
    """Follow the scores from the softmax back to their product; None if something else is in between."""
    scores = Scores()
    masks_allowed = True
    while only_user(value) is reader and isinstance(value.owner, Operation):
        reader = value.owner
        scaled = _scaled(reader)
        if isinstance(reader, mir.MatmulOp):
            scores.product = reader
            return scores
        if scaled is not None:
            inner = scaled[0].owner
            if isinstance(inner, mir.TanhOp) and scores.scale == 1.0 and scores.softcap is None:
                cap = _scaled(inner.x.owner)
                if cap is None or abs(cap[1] * scaled[1] - 1) > 1e-6 or only_user(inner.result) is not reader:
                    return None
                if only_user(inner.x) is not inner or not isinstance(inner.x.owner, Operation):
                    return None
                scores.softcap = scaled[1]
                value, reader = cap[0], inner.x.owner
            else:
                scores.scale *= scaled[1]
                value = scaled[0]
            masks_allowed = False
        elif masks_allowed and isinstance(reader, mir.AddOp):
            score, mask = (reader.lhs, reader.rhs) if _leads_to_product(reader.lhs) else (reader.rhs, reader.lhs)
            scores.added.append(smallest(mask))
            value = score
        elif masks_allowed and isinstance(reader, mir.SelectOp):
            masked_if_true = number(reader.lhs) is not None
            fill = number(reader.lhs if masked_if_true else reader.rhs)
            if fill is None or fill > EXCLUDING:
                return None
            rule = positions(reader.cond, facts_of(reader), negated=masked_if_true)
            if rule is not None and (fill == -inf or _has_keys(rule, reader)):
                scores.rules.append(rule)
            else:
                scores.choices.append((smallest(reader.cond), masked_if_true, float(fill)))
            value = reader.rhs if masked_if_true else reader.lhs
        else:
            return None
    return None


def _has_keys(rule: Positions, scores: Operation) -> bool:
    """Does the rule leave every query a key? Without, a finite fill means equal weights and exclusion means zeros."""
    *_, queries, keys = dims(scores.results[0])
    return rule.window is None or facts_of(scores).prove_le(rule.past + queries, keys) is True


def _scaled(op: object) -> tuple[SSAValue, float] | None:
    """(x, c) of an op that is x · c for a number c."""
    if isinstance(op, mir.MulOp):
        for x, c in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
            if (n := number(c)) is not None:
                return x, float(n)
    if isinstance(op, mir.DivOp) and (n := number(op.rhs)):
        return op.lhs, 1 / float(n)
    return None


def _leads_to_product(value: SSAValue) -> bool:
    """Does a chain of the ops that may stand on scores lead from `value` to a matmul?"""
    owner = value.owner
    if isinstance(owner, mir.AddOp | mir.MulOp | mir.DivOp | mir.SelectOp):
        return _leads_to_product(owner.lhs) or _leads_to_product(owner.rhs)
    return isinstance(owner, mir.MatmulOp) or (isinstance(owner, mir.TanhOp) and _leads_to_product(owner.x))


@dataclass
class FuseAttention(RewritePattern):
    statistics: Counter[str]

    @op_type_rewrite_pattern
    def match_and_rewrite(self, weighted: mir.MatmulOp, rewriter: PatternRewriter) -> None:
        softmax = weighted.lhs.owner
        rank = len(dims(weighted.rhs))
        if not isinstance(softmax, mir.SoftmaxOp) or only_user(weighted.lhs) is not weighted or rank not in (3, 4):
            return
        if len(dims(weighted.lhs)) != rank or softmax.axis.data != rank - 1:
            return
        scores = read_scores(softmax.x, softmax)
        if scores is None or scores.product is None or len(dims(scores.product.rhs)) != rank or len(scores.rules) > 1:
            return
        new = _Builder(rewriter)
        q, kt, v = scores.product.lhs, scores.product.rhs, weighted.rhs
        if (found := _scaled(q.owner)) is not None:
            q, scores.scale = found[0], scores.scale * found[1]
        if (found := _scaled(kt.owner)) is not None:
            kt, scores.scale = found[0], scores.scale * found[1]
        swap = (*range(rank - 2), rank - 1, rank - 2)
        if isinstance(kt.owner, mir.TransposeOp):
            k, perm = kt.owner.x, tuple(kt.owner.perm.data[axis] for axis in swap)
        else:
            k, perm = kt, swap
        if (found := _scaled(k.owner)) is not None:
            k, scores.scale = found[0], scores.scale * found[1]
        if perm != tuple(range(rank)):
            k = new(mir.TransposeOp(k, perm))
        if rank == 3:
            q, k, v = (new(mir.ReshapeOp(t, (dims(t)[0], 1, *dims(t)[1:]))) for t in (q, k, v))
        else:
            k, v = _ungroup(k, v)
        kind, mask = _mask(scores, new, (dims(q)[0], dims(k)[2]), scores.product.result)
        layout = "bhsd"
        heads_behind = [t.owner for t in (q, k, v)]
        if all(isinstance(t, mir.TransposeOp) and t.perm.data == (0, 2, 1, 3) for t in heads_behind):
            q, k, v = (t.operands[0] for t in heads_behind if isinstance(t, mir.TransposeOp))
            layout = "bshd"
        rule = scores.rules[0] if kind in ("causal", "sliding") else None
        result = new(
            mir.AttentionOp(
                q, k, v, mask, layout=layout, kind=kind, scale=scores.scale, softcap=scores.softcap,
                window=rule.window if rule else None, past=rule.past if rule and rule.past is not const(0) else None,
            )
        )  # fmt: skip
        if layout == "bshd":
            result = new(mir.TransposeOp(result, (0, 2, 1, 3)))
        if rank == 3:
            result = new(mir.ReshapeOp(result, dims(weighted.result)))
        rewriter.replace(weighted, [], [result])
        self.statistics["attention"] += 1


def _mask(
    scores: Scores, new: _Builder, batch_and_keys: tuple[DimExpr, DimExpr], product: SSAValue
) -> tuple[str, SSAValue | None]:
    """The kind of mask, and its operand. What no other kind says becomes an added mask."""
    if not scores.added and not scores.choices:
        return ("none" if not scores.rules else "causal" if scores.rules[0].window is None else "sliding"), None
    if not scores.rules and not scores.added and len(scores.choices) == 1:
        small, masked_if_true, fill = scores.choices[0]
        shape = small.shape()
        if fill == -inf and shape[1] == shape[2] == 1 and (shape[BATCH], shape[KEY]) == batch_and_keys:
            kept = new(mir.LogicalNotOp(small.value)) if masked_if_true else small.value
            return "custom", new(mir.ReshapeOp(kept, batch_and_keys))
    element_type = tensor_type(product).element_type
    terms = [(small.value, small) for small in scores.added]
    for small, masked_if_true, fill in scores.choices:
        terms.append((_choose(new, small.value, masked_if_true, fill, element_type), small))
    parts = [(new(mir.ReshapeOp(value, small.shape())), small.shape()) for value, small in terms]
    rows, columns = dims(product)[-2:]
    if scores.rules:
        allowed = _rule_tensor(new, scores.rules[0], rows, columns)
        value = _choose(new, allowed, False, -inf, element_type)
        parts.append((new(mir.ReshapeOp(value, (1, 1, rows, columns))), [const(1), const(1), rows, columns]))
    # One shape that holds all parts; the key axis of a mask is never repeated by the op.
    shape = [next((s[axis] for _, s in parts if s[axis] != 1), const(1)) for axis in range(3)] + [columns]
    total = None
    for value, small_shape in parts:
        wide = value if small_shape == shape else new(mir.BroadcastOp(value, shape))
        total = wide if total is None else new(mir.AddOp(total, wide))
    return "bias", total


def _choose(new: _Builder, condition: SSAValue, masked_if_true: bool, fill: float, element_type: Attribute) -> SSAValue:
    """0 where a key is kept, `fill` where it is not, in the shape of the condition."""
    zero, low = (
        new(mir.BroadcastOp(new(mir.ConstantOp.of(n, element_type)), dims(condition)))
        for n in (0.0, fill)
    )
    return new(mir.SelectOp(condition, *((low, zero) if masked_if_true else (zero, low))))


def _rule_tensor(new: _Builder, rule: Positions, rows: DimExpr, columns: DimExpr) -> SSAValue:
    """The rule as a [rows, columns] tensor of i1."""
    past = new(mir.BroadcastOp(new(mir.DimValueOp(rule.past)), (rows,)))
    position = new(mir.BroadcastOp(new(mir.AddOp(new(mir.IotaOp(rows)), past)), (rows, columns), (0,)))
    key = new(mir.BroadcastOp(new(mir.IotaOp(columns)), (rows, columns)))
    allowed = new(mir.LeOp(key, position))
    if rule.window is None:
        return allowed
    width = new(mir.BroadcastOp(new(mir.ConstantOp.of(rule.window, "i64")), (rows, columns)))
    return new(mir.AndOp(allowed, new(mir.GeOp(key, new(mir.SubOp(position, width))))))


def _ungroup(k: SSAValue, v: SSAValue) -> tuple[SSAValue, SSAValue]:
    """Keys and values before they were repeated for groups of query heads, if both were, alike."""
    before = _repeated(k), _repeated(v)
    if before[0] is not None and before[1] is not None and dims(before[0])[1] is dims(before[1])[1]:
        return before[0], before[1]
    return k, v


def _repeated(value: SSAValue) -> SSAValue | None:
    """x [B, G, S, D] of `value` [B, G · R, S, D] = reshape(broadcast(x, [B, G, R, S, D]))."""
    reshape = value.owner
    if not isinstance(reshape, mir.ReshapeOp) or not isinstance(broadcast := reshape.x.owner, mir.BroadcastOp):
        return None
    b, h, s, d = dims(value)
    middle = dims(broadcast.result)
    if len(middle) != 5 or (middle[0], middle[3], middle[4]) != (b, s, d) or middle[1] * middle[2] is not h:
        return None
    x = broadcast.x
    return x if broadcast.result_axes == (0, 1, 3, 4) and dims(x) == (b, middle[1], s, d) else None


class _Builder:
    """Inserts ops before the matched one and gives their results; reshapes to the same shape are left out."""

    def __init__(self, rewriter: PatternRewriter):
        self.rewriter = rewriter

    def __call__(self, op: Operation) -> SSAValue:
        if isinstance(op, mir.ReshapeOp) and op.x.type == op.result.type:
            return op.x
        self.rewriter.insert(op)
        return op.results[0]


@dataclass(frozen=True)
class MirFuseAttentionPass(CountingPass):
    name = "mir-fuse-attention"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        rewrite(op, FuseAttention(self.statistics))
        RlxDcePass().apply(ctx, op)

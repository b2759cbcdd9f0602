"""Rules for HIR's blocks: linear, norms, embedding and pooling, attention and the layers built of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from xdsl.ir import Operation, SSAValue

from rlx_dialects import hir, mir
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.rlx import dtypes
from rlx_passes.hir.lowering import Lowering

Rule = Callable[[Lowering, Any], Sequence[SSAValue]]


def _linear(low: Lowering, op: hir.LinearOp) -> Sequence[SSAValue]:
    return [low.linear(op.x, op.w, op.bias, op.activation.data)]


def _layer_norm(low: Lowering, op: hir.LayerNormOp) -> Sequence[SSAValue]:
    return [low.layer_norm(op.x, op.scale, op.bias, op.eps.value.data)]


def _rms_norm(low: Lowering, op: hir.RmsNormOp) -> Sequence[SSAValue]:
    return [low.value(mir.RmsNormOp(op.x, op.scale, op.eps.value.data))]


def _residual_layer_norm(low: Lowering, op: hir.ResidualLayerNormOp) -> Sequence[SSAValue]:
    eps = op.eps.value.data
    if low.fused:
        bias = low.splat_like(0.0, op.scale) if op.bias is None else op.bias
        return low.add(mir.ResidualLayerNormOp(op.x, op.residual, op.scale, bias, eps)).results
    total = low.value(mir.AddOp(op.x, op.residual))
    return [total, low.layer_norm(total, op.scale, op.bias, eps)]


def _residual_rms_norm(low: Lowering, op: hir.ResidualRmsNormOp) -> Sequence[SSAValue]:
    eps = op.eps.value.data
    if low.fused:
        return low.add(mir.ResidualRmsNormOp(op.x, op.residual, op.scale, eps)).results
    total = low.value(mir.AddOp(op.x, op.residual))
    return [total, low.value(mir.RmsNormOp(total, op.scale, eps))]


def _embedding(low: Lowering, op: hir.EmbeddingOp) -> Sequence[SSAValue]:
    return [low.value(mir.GatherOp(op.table, op.ids, op.oob.data))]


def _mean_pool(low: Lowering, op: hir.MeanPoolOp) -> Sequence[SSAValue]:
    x = low.wide(op.x)
    weights = low.cast(op.mask, low.element_type(x))
    total = low.value(mir.ReduceSumOp(low.value(mir.MulOp(x, low.broadcast(weights, low.dims(x), [0, 1]))), [1]))
    count = low.value(mir.ReduceSumOp(weights, [1], keepdims=True))
    count = low.value(mir.MaxOp(count, low.splat_like(1e-9, count)))
    mean = low.value(mir.DivOp(total, low.broadcast(count, low.dims(total))))
    return [low.cast(mean, low.element_type(op.x))]


def _l2_normalize(low: Lowering, op: hir.L2NormalizeOp) -> Sequence[SSAValue]:
    x = low.wide(op.x)
    squares = low.value(mir.ReduceSumOp(low.value(mir.MulOp(x, x)), [len(low.dims(x)) - 1], keepdims=True))
    norm = low.value(mir.SqrtOp(squares))
    norm = low.value(mir.MaxOp(norm, low.splat_like(op.eps.value.data, norm)))
    return [low.cast(low.value(mir.DivOp(x, low.broadcast(norm, low.dims(x)))), low.element_type(op.x))]


# -- attention


def _attention(low: Lowering, op: hir.AttentionOp) -> Sequence[SSAValue]:
    heads, kv_heads, scale = op.heads.value.data, op.kv_heads.value.data, op.score_scale
    assert scale is not None  # the verifier asks for a scale where the head size is symbolic
    kind, window, mask = op.mask.data, None if op.window is None else op.window.value.data, None
    if op.bias is not None or (op.key_mask is not None and kind != "none"):
        # MIR has one mask per op; several become one bias.
        alone = op.key_mask is None and kind == "none"
        kind, window, mask = "bias", None, _full_bias(low, op) if alone else _bias(low, op)
    elif op.key_mask is not None:
        kind, mask = "custom", op.key_mask
    past = None if kind in ("bias", "custom", "none") or op.past_length == 0 else op.past_length
    softcap = None if op.softcap is None else op.softcap.value.data
    q = low.split_heads(op.q, heads)
    if not op.reads_state:
        k, v = low.split_heads(op.k, kv_heads), low.split_heads(op.v, kv_heads)
        attended = mir.AttentionOp(
            q, k, v, mask, layout="bshd", kind=kind, scale=scale, window=window, softcap=softcap, past=past
        )
        return [low.merge_heads(low.value(attended))]
    attended = mir.AttentionOp(
        low.transpose(q, (0, 2, 1, 3)), op.k, op.v, mask, layout="bhsd", kind=kind, scale=scale, window=window,
        softcap=softcap, past=past, key_extent=op.key_length,
    )  # fmt: skip
    return [low.merge_heads(low.transpose(low.value(attended), (0, 2, 1, 3)))]


def _full_bias(low: Lowering, op: hir.AttentionOp) -> SSAValue:
    """The bias with all its keys; the other axes may stay 1."""
    assert op.bias is not None
    return low.broadcast(op.bias, (*low.dims(op.bias)[:3], op.key_length))


def _bias(low: Lowering, op: hir.AttentionOp) -> SSAValue:
    """One additive mask for everything that excludes keys: the bias or zero where a key is allowed, -inf elsewhere."""
    batch, length, _ = low.dims(op.q)
    element_type = low.element_type(op.q)
    heads = const(1) if op.bias is None else low.dims(op.bias)[1]
    full = (batch, heads, length, op.key_length)
    allowed = [] if op.mask.data == "none" else [_positions_allowed(low, op, length)]
    if op.key_mask is not None:
        allowed.append(low.broadcast(_kept(low, op.key_mask), full, [0, 3]))
    together = low.broadcast(allowed[0], full)
    for other in allowed[1:]:
        together = low.value(mir.AndOp(together, low.broadcast(other, full)))
    added = low.splat(0.0, full, element_type) if op.bias is None else low.broadcast(op.bias, full)
    return low.value(mir.SelectOp(together, added, low.splat(-math.inf, full, element_type)))


def _kept(low: Lowering, mask: SSAValue) -> SSAValue:
    """True where a mask is true or at least one half."""
    element_type = low.element_type(mask)
    if element_type == dtypes.BOOL:
        return mask
    return low.value(mir.GeOp(mask, low.splat_like(0.5 if dtypes.is_float(element_type) else 1, mask)))


def _positions_allowed(low: Lowering, op: hir.AttentionOp, length: DimExpr) -> SSAValue:
    """[S, T]: whether the key of column t may be read by the query of row s."""
    shape = (length, op.key_length)
    first = low.broadcast(low.value(mir.DimValueOp(op.past_length)), (length,))
    position = low.value(mir.AddOp(low.value(mir.IotaOp(length)), first))
    query = low.broadcast(position, shape, [0])
    key = low.broadcast(low.value(mir.IotaOp(op.key_length)), shape, [1])
    allowed = low.value(mir.LeOp(key, query))
    if op.window is None:
        return allowed
    oldest = low.value(mir.SubOp(query, low.splat(op.window.value.data, shape, low.element_type(query))))
    return low.value(mir.AndOp(allowed, low.value(mir.GeOp(key, oldest))))


def _rope(low: Lowering, op: hir.RopeOp) -> Sequence[SSAValue]:
    heads = low.dims(op.x)[2] // op.head_dim.value.data
    batch, length, _ = low.dims(op.x)
    x = low.reshape(op.x, (batch, length, heads, op.head_dim.value.data))
    return [low.merge_heads(_rotate(low, x, op.theta.value.data, op.rotated, op.offset.data))]


def _rotate(low: Lowering, x: SSAValue, theta: float, rotated: int, offset: DimExpr) -> SSAValue:
    """Rotary positions on x [B, S, H, D]."""
    return low.value(mir.RopeOp(x, layout="bshd", theta=theta, n_rot=rotated, offset=None if offset == 0 else offset))


def _cache_update(low: Lowering, op: hir.CacheUpdateOp) -> Sequence[SSAValue]:
    new = op.new
    if len(low.dims(new)) == 3:
        new = low.transpose(low.split_heads(new, low.dims(op.state)[1].value), (0, 2, 1, 3))
    return [low.value(mir.CacheUpdateOp(op.state, new, at=op.at.data, axis=2))]


# -- layers


def _swiglu_ffn(low: Lowering, op: hir.SwigluFfnOp) -> Sequence[SSAValue]:
    return [low.swiglu_ffn(op.x, op.up, op.gate, op.down)]


def _encoder_block(low: Lowering, op: hir.EncoderBlockOp) -> Sequence[SSAValue]:
    heads, eps = op.heads.value.data, op.eps.value.data
    size = low.dims(op.x)[2] // heads
    q, k, v = (low.split_heads(low.linear(op.x, w, b), heads) for w, b in ((op.q_w, op.q_b), (op.k_w, op.k_b), (op.v_w, op.v_b)))
    kind = "none" if op.mask is None else "custom"
    attended = low.value(mir.AttentionOp(q, k, v, op.mask, layout="bshd", kind=kind, scale=size.value**-0.5))
    total = low.linear(low.merge_heads(attended), op.o_w, op.o_b, residual=op.x)
    h = low.layer_norm(total, op.norm1_scale, op.norm1_bias, eps)
    wide = low.linear(h, op.up_w, op.up_b, op.activation.data)
    total = low.linear(wide, op.down_w, op.down_b, residual=h)
    return [low.layer_norm(total, op.norm2_scale, op.norm2_bias, eps)]


def _decoder_block(low: Lowering, op: hir.DecoderBlockOp) -> Sequence[SSAValue]:
    heads, kv_heads, eps, past = op.heads.value.data, op.kv_heads.value.data, op.eps.value.data, op.past.data
    size, theta = op.head_dim.value, op.theta.value.data
    normed = low.value(mir.RmsNormOp(op.x, op.norm1, eps))
    q = _rotate(low, low.split_heads(low.matmul(normed, op.q_w), heads), theta, size, past)
    k = _rotate(low, low.split_heads(low.matmul(normed, op.k_w), kv_heads), theta, size, past)
    v = low.split_heads(low.matmul(normed, op.v_w), kv_heads)
    q, k, v = (low.transpose(x, (0, 2, 1, 3)) for x in (q, k, v))
    k_out = low.value(mir.CacheUpdateOp(op.k_state, k, at=past, axis=2))
    v_out = low.value(mir.CacheUpdateOp(op.v_state, v, at=past, axis=2))
    window = None if op.window is None else op.window.value.data
    attended = mir.AttentionOp(
        q, k_out, v_out, layout="bhsd", kind="causal" if window is None else "sliding", scale=size**-0.5, window=window,
        past=None if past == 0 else past, key_extent=past + low.dims(op.x)[1],
    )  # fmt: skip
    packed = low.merge_heads(low.transpose(low.value(attended), (0, 2, 1, 3)))
    h = low.linear(packed, op.o_w, residual=op.x)
    normed = low.value(mir.RmsNormOp(h, op.norm2, eps))
    return [low.swiglu_ffn(normed, op.up, op.gate, op.down, residual=h), k_out, v_out]


RULES: dict[type[Operation], Rule] = {
    hir.LinearOp: _linear,
    hir.LayerNormOp: _layer_norm,
    hir.RmsNormOp: _rms_norm,
    hir.ResidualLayerNormOp: _residual_layer_norm,
    hir.ResidualRmsNormOp: _residual_rms_norm,
    hir.EmbeddingOp: _embedding,
    hir.MeanPoolOp: _mean_pool,
    hir.L2NormalizeOp: _l2_normalize,
    hir.AttentionOp: _attention,
    hir.RopeOp: _rope,
    hir.CacheUpdateOp: _cache_update,
    hir.SwigluFfnOp: _swiglu_ffn,
    hir.EncoderBlockOp: _encoder_block,
    hir.DecoderBlockOp: _decoder_block,
}

"""Attention and rotary position embedding. Positions are index expressions; no op reads a table of positions."""

from __future__ import annotations

from xdsl.dialects.builtin import IntAttr, StringAttr
from xdsl.irdl import irdl_op_definition, operand_def, opt_operand_def, opt_prop_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, DimLike, const
from rlx_dialects.mir.attributes import RealAttr
from rlx_dialects.mir.base import TENSOR, TENSOR_OR_STATE, MirOp, UniformOp, Value
from rlx_dialects.mir.shapes import (
    Known,
    Shaped,
    is_bool,
    require_choice,
    require_elements,
    require_rank,
    same_dtype,
    type_text,
)
from rlx_dialects.rlx import DimExprAttr, StateType, TensorType, shaped_type, tensor

LAYOUTS = ("bshd", "bhsd")
"""Order of batch, sequence, head and head-dim axes."""

KINDS = ("none", "causal", "sliding", "custom", "bias")


def sequence_axis(layout: str) -> int:
    return 1 if layout == "bshd" else 2


def head_axis(layout: str) -> int:
    return 2 if layout == "bshd" else 1


@irdl_op_definition
class AttentionOp(MirOp):
    """`softmax(mask(cap(scale · Q Kᵀ))) · V` per head (Vaswani et al. 2017, eq. 1); `cap(s) = softcap · tanh(s / softcap)`.

    Shapes (layout bshd): q [B, Q, H, D], k [B, K, G, D], v [B, K, G, E] -> [B, Q, H, E]; layout bhsd has heads second. H is
    a multiple of G; query head h reads key head h // (H/G). `past` is the position of query 0 (default 0), so query i is at
    position past + i and key j at j. With `key_extent` only that many leading keys exist; k and v may have more room (a cache).

    kind: `none`; `causal`: key j ≤ position of the query; `sliding`: additionally j ≥ position - window; `custom`: mask
    [B, K], i1 or a number, keeps key j of batch b where it is true or ≥ 0.5; `bias`: mask [B|1, H|1, Q|1, K] is added to
    the scores as given. Keys that are masked out are excluded; a row without keys (or with scores of -inf only) gives zeros.

    ```mlir
    %o = mir.attention %q, %k, %v, mask %m(layout = bshd, kind = custom, scale = 0.125) :
        (!rlx.tensor<B x S x 8 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>, !rlx.tensor<B x S x 2 x 64 x f32>,
        !rlx.tensor<B x S x i1>) -> !rlx.tensor<B x S x 8 x 64 x f32>
    ```
    """

    name = "mir.attention"
    q = operand_def(TENSOR)
    k = operand_def(TENSOR_OR_STATE)
    v = operand_def(TENSOR_OR_STATE)
    mask = opt_operand_def(TENSOR)
    layout = prop_def(StringAttr)
    kind = prop_def(StringAttr)
    scale = prop_def(RealAttr)
    window = opt_prop_def(IntAttr)
    softcap = opt_prop_def(RealAttr)
    past = opt_prop_def(DimExprAttr)
    key_extent = opt_prop_def(DimExprAttr)
    result = result_def(TENSOR)

    def __init__(
        self,
        q: Value,
        k: Value,
        v: Value,
        mask: Value | None = None,
        *,
        layout: str,
        kind: str = "none",
        scale: float,
        window: int | None = None,
        softcap: float | None = None,
        past: DimLike | None = None,
        key_extent: DimLike | None = None,
    ):
        self._build(
            q, k, v, mask, layout=layout, kind=kind, scale=scale, window=window, softcap=softcap, past=past, key_extent=key_extent
        )

    @staticmethod
    def infer(
        known: Known,
        q: TensorType,
        k: Shaped,
        v: Shaped,
        mask: TensorType | None,
        layout: str,
        kind: str,
        scale: float,
        window: int | None,
        softcap: float | None,
        past: DimExpr | None,
        key_extent: DimExpr | None,
    ) -> TensorType:
        require_choice(layout, LAYOUTS, "layout")
        require_choice(kind, KINDS, "kind")
        for what, t in (("q", q), ("k", k), ("v", v)):
            require_rank(t, 4, what)
            require_elements(t, "float", what)
            same_dtype(q, t, f"q and {what}")
        s, h = sequence_axis(layout), head_axis(layout)
        known.equal(q.dims[0], k.dims[0], "batch of q and k")
        known.equal(q.dims[3], k.dims[3], "head dim of q and k")
        known.same_dims(k.dims[:3], v.dims[:3], "k and v without their last axis")
        known.divides(k.dims[h], q.dims[h], "query heads and key heads")
        if isinstance(k, StateType) != isinstance(v, StateType):
            raise VerifyException("k and v must both be tensors or both be states")
        keys = k.dims[s]
        if key_extent is not None:
            known.at_most(key_extent, keys, "key_extent and the room of k")
            keys = key_extent
        if (kind == "sliding") != (window is not None) or (window is not None and window < 0):
            raise VerifyException("kind = sliding needs window = n with n ≥ 0, and no other kind takes it")
        if past is not None:
            known.at_most(0, past, "past")
        _check_mask(known, mask, kind, q, keys, s, h)
        return tensor((*q.dims[:3], v.dims[3]), q.element_type)

    @property
    def keys(self) -> DimExpr:
        """How many keys there are."""
        if self.key_extent is not None:
            return self.key_extent.data
        return shaped_type(self.k).dims[sequence_axis(self.layout.data)]

    @property
    def first_position(self) -> DimExpr:
        """The position of query 0."""
        return const(0) if self.past is None else self.past.data


def _check_mask(known: Known, mask: TensorType | None, kind: str, q: TensorType, keys: DimExpr, s: int, h: int) -> None:
    if (mask is not None) != (kind in ("custom", "bias")):
        raise VerifyException(f"kind = {kind} {'needs' if mask is None else 'takes no'} mask operand")
    if mask is None:
        return
    if kind == "custom":
        if not is_bool(mask.element_type):
            require_elements(mask, "number", "mask")
        known.same_dims(mask.dims, (q.dims[0], keys), "mask and [batch, keys]")
        return
    require_rank(mask, 4, "bias mask")
    same_dtype(q, mask, "q and mask")
    wanted = (q.dims[0], q.dims[h], q.dims[s], keys)
    for axis, (found, full) in enumerate(zip(mask.dims, wanted)):
        if axis == 3 or found != 1:
            known.equal(found, full, f"dim {axis} of bias mask {type_text(mask)} and of [batch, heads, queries, keys]")


@irdl_op_definition
class RopeOp(UniformOp):
    """Rotary position embedding (Su et al. 2021, eq. 34), pairs (i, i + n_rot/2) as in GPT-NeoX.

    With `c, s = cos, sin(position · theta^(-2i/n_rot))` for i < n_rot/2: `y[i] = c·x[i] - s·x[i + n_rot/2]`,
    `y[i + n_rot/2] = s·x[i] + c·x[i + n_rot/2]`; elements from n_rot on are copied. The position of sequence index t is
    `offset + t` (offset defaults to 0).

    Shapes: x [B, S, H, D] (layout bshd) or [B, H, S, D] (bhsd) -> the same.

    ```mlir
    %y = mir.rope %x(layout = bshd, theta = 10000.0, n_rot = 64, offset = P) : !rlx.tensor<B x S x 8 x 64 x f32>
    ```
    """

    name = "mir.rope"
    x = operand_def(TENSOR)
    layout = prop_def(StringAttr)
    theta = prop_def(RealAttr)
    n_rot = prop_def(IntAttr)
    offset = opt_prop_def(DimExprAttr)
    result = result_def(TENSOR)

    def __init__(self, x: Value, *, layout: str, theta: float, n_rot: int, offset: DimLike | None = None):
        self._build(x, layout=layout, theta=theta, n_rot=n_rot, offset=offset)

    @staticmethod
    def infer(known: Known, x: TensorType, layout: str, theta: float, n_rot: int, offset: DimExpr | None) -> TensorType:
        require_choice(layout, LAYOUTS, "layout")
        require_rank(x, 4, "x")
        require_elements(x, "float", "x")
        if theta <= 0:
            raise VerifyException(f"theta must be positive, found {theta}")
        if n_rot < 2 or n_rot % 2:
            raise VerifyException(f"n_rot must be positive and even, found {n_rot}")
        known.at_most(n_rot, x.dims[3], "n_rot and head dim")
        if offset is not None:
            known.at_most(0, offset, "offset")
        return x

    @property
    def first_position(self) -> DimExpr:
        """The position of sequence index 0."""
        return const(0) if self.offset is None else self.offset.data


OPS = (AttentionOp, RopeOp)

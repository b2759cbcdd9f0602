"""The `hir` dialect: what a person builds. Blocks of models, and enough tensor ops to join them.

Shapes are inferred from operands by one total rule per op (`infer`); a type in text is checked against it. All ops are
pure; state has value semantics. Literals are `mir.constant`, and any other op of MIR may stand between those of HIR. NumPy
semantics stand in `rlx_dialects.hir.semantics`.
"""

from xdsl.ir import Dialect

from rlx_dialects.hir.attention import AttentionOp, CacheUpdateOp, RopeOp
from rlx_dialects.hir.base import HirOp
from rlx_dialects.hir.blocks import DecoderBlockOp, EncoderBlockOp, SwigluFfnOp
from rlx_dialects.hir.data_movement import BroadcastOp, ConcatOp, ReshapeOp, SliceOp, TransposeOp
from rlx_dialects.hir.elementwise import (
    AbsOp,
    AddOp,
    AndOp,
    AtanOp,
    CeilOp,
    CosOp,
    DivOp,
    ErfOp,
    ExpOp,
    FloorOp,
    GeluOp,
    GeluTanhOp,
    LogOp,
    MaxOp,
    MinOp,
    MulOp,
    NegOp,
    NotOp,
    OrOp,
    PowOp,
    ReluOp,
    RoundOp,
    RsqrtOp,
    SigmoidOp,
    SiluOp,
    SinOp,
    SqrtOp,
    SubOp,
    TanhOp,
    TanOp,
)  # fmt: skip
from rlx_dialects.hir.embedding import EmbeddingOp, L2NormalizeOp, MeanPoolOp
from rlx_dialects.hir.linear import LinearOp, MatmulOp
from rlx_dialects.hir.norm import LayerNormOp, ResidualLayerNormOp, ResidualRmsNormOp, RmsNormOp
from rlx_dialects.hir.reduction import ReduceOp, SoftmaxOp
from rlx_dialects.hir.selection import CastOp, CompareOp, SelectOp

UNARY = (
    NegOp, AbsOp, ExpOp, LogOp, SqrtOp, RsqrtOp, SinOp, CosOp, TanOp, AtanOp, TanhOp, ErfOp, SigmoidOp, ReluOp, GeluOp,
    GeluTanhOp, SiluOp, FloorOp, CeilOp, RoundOp, NotOp,
)  # fmt: skip
BINARY = (AddOp, SubOp, MulOp, DivOp, MaxOp, MinOp, PowOp, AndOp, OrOp)

HIR = Dialect(
    "hir",
    [
        LinearOp, MatmulOp, LayerNormOp, RmsNormOp, ResidualLayerNormOp, ResidualRmsNormOp, EmbeddingOp, MeanPoolOp,
        L2NormalizeOp, AttentionOp, RopeOp, CacheUpdateOp, SwigluFfnOp, EncoderBlockOp, DecoderBlockOp,
        *UNARY, *BINARY, CompareOp, SelectOp, CastOp, ReduceOp, SoftmaxOp, ReshapeOp, TransposeOp, SliceOp,
        ConcatOp, BroadcastOp,
    ],
)  # fmt: skip

__all__ = [
    "BINARY", "HIR", "UNARY", "HirOp",
    "AbsOp", "AddOp", "AndOp", "AtanOp", "AttentionOp", "BroadcastOp", "CacheUpdateOp", "CastOp", "CeilOp", "CompareOp",
    "ConcatOp", "CosOp", "DecoderBlockOp", "DivOp", "EmbeddingOp", "EncoderBlockOp", "ErfOp", "ExpOp", "FloorOp",
    "GeluOp", "GeluTanhOp", "L2NormalizeOp", "LayerNormOp", "LinearOp", "LogOp", "MatmulOp", "MaxOp", "MeanPoolOp", "MinOp",
    "MulOp", "NegOp", "NotOp", "OrOp", "PowOp", "ReduceOp", "ReluOp", "ReshapeOp", "ResidualLayerNormOp", "ResidualRmsNormOp",
    "RmsNormOp", "RopeOp", "RoundOp", "RsqrtOp", "SelectOp", "SigmoidOp", "SiluOp", "SinOp", "SliceOp",
    "SoftmaxOp", "SqrtOp", "SubOp", "SwigluFfnOp", "TanOp", "TanhOp", "TransposeOp",
]  # fmt: skip

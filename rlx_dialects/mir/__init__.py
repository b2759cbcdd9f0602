"""The `mir` dialect: primitive and fused tensor ops with value semantics.

Every op is pure, infers its results, and has NumPy semantics in `semantics`. Dtypes agree everywhere, broadcasting is explicit.
One file per family; `base` holds what all ops share.
"""

from xdsl.ir import Dialect

from rlx_dialects.mir import attention, constant, contraction, elementwise, fused, movement, norm, reduction, state
from rlx_dialects.mir.attention import AttentionOp, RopeOp
from rlx_dialects.mir.attributes import DenseAttr, IntsAttr, RealAttr
from rlx_dialects.mir.base import MirOp
from rlx_dialects.mir.constant import ConstantOp
from rlx_dialects.mir.contraction import MatmulOp
from rlx_dialects.mir.elementwise import (
    AbsOp,
    AddOp,
    AndOp,
    AtanOp,
    BinaryOp,
    CastOp,
    CeilOp,
    CompareOp,
    CosOp,
    DivOp,
    EqOp,
    ErfOp,
    ExpOp,
    FloorOp,
    GeluOp,
    GeluTanhOp,
    GeOp,
    GtOp,
    LeOp,
    LogicalNotOp,
    LogOp,
    LtOp,
    MaxOp,
    MinOp,
    MulOp,
    NegOp,
    NeOp,
    OrOp,
    PowOp,
    RecipOp,
    ReluOp,
    RoundOp,
    RsqrtOp,
    SelectOp,
    SigmoidOp,
    SiluOp,
    SinOp,
    SqrtOp,
    SubOp,
    TanhOp,
    TanOp,
    UnaryOp,
)
from rlx_dialects.mir.fused import ACTIVATIONS, MatmulBiasActOp, SwigluMatmulOp, SwigluOp
from rlx_dialects.mir.movement import (
    BroadcastOp,
    ConcatOp,
    DimValueOp,
    GatherOp,
    IotaOp,
    ReshapeOp,
    SliceOp,
    TransposeOp,
)
from rlx_dialects.mir.norm import LayerNormOp, ResidualLayerNormOp, ResidualRmsNormOp, RmsNormOp, SoftmaxOp
from rlx_dialects.mir.reduction import ReduceMaxOp, ReduceMeanOp, ReduceMinOp, ReduceOp, ReduceProdOp, ReduceSumOp
from rlx_dialects.mir.shapes import Known, Need
from rlx_dialects.mir.state import CacheUpdateOp, StateReadOp

MIR = Dialect(
    "mir",
    [
        *constant.OPS, *elementwise.OPS, *contraction.OPS, *reduction.OPS, *norm.OPS, *attention.OPS, *movement.OPS, *state.OPS,
        *fused.OPS,
    ],
    [IntsAttr, RealAttr, DenseAttr],
)  # fmt: skip

__all__ = [
    "ACTIVATIONS", "MIR",
    "AbsOp", "AddOp", "AndOp", "AtanOp", "AttentionOp", "BinaryOp", "BroadcastOp", "CacheUpdateOp", "CastOp", "CeilOp",
    "CompareOp", "ConcatOp", "ConstantOp", "CosOp", "DenseAttr", "DimValueOp", "DivOp", "EqOp", "ErfOp", "ExpOp", "FloorOp",
    "GatherOp", "GeOp", "GeluOp", "GeluTanhOp", "GtOp", "IntsAttr", "IotaOp", "Known", "LayerNormOp", "LeOp", "LogOp",
    "LogicalNotOp", "LtOp", "MatmulBiasActOp", "MatmulOp", "MaxOp", "MinOp", "MirOp", "MulOp", "NeOp", "Need", "NegOp", "OrOp",
    "PowOp", "RealAttr", "RecipOp", "ReduceMaxOp", "ReduceMeanOp", "ReduceMinOp", "ReduceOp", "ReduceProdOp", "ReduceSumOp",
    "ReluOp", "ReshapeOp", "ResidualLayerNormOp", "ResidualRmsNormOp", "RmsNormOp", "RopeOp", "RoundOp", "RsqrtOp", "SelectOp",
    "SigmoidOp", "SiluOp", "SinOp", "SliceOp", "SoftmaxOp", "SqrtOp", "StateReadOp", "SubOp", "SwigluMatmulOp", "SwigluOp",
    "TanOp", "TanhOp", "TransposeOp", "UnaryOp",
]  # fmt: skip

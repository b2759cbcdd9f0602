"""The `mir` dialect: primitive and fused tensor ops with value semantics.

Every op is pure, infers its results, and has NumPy semantics in `semantics`. Dtypes agree everywhere, broadcasting is explicit.
One file per family; `base` holds what all ops share.
"""

from xdsl.ir import Dialect

from rlx_dialects.mir import (
    attention,
    constant,
    contraction,
    convolution,
    elementwise,
    fused,
    movement,
    norm,
    ordering,
    quantization,
    recurrence,
    reduction,
    scattering,
    state,
    unary,
)
from rlx_dialects.mir.attention import AttentionOp, RopeOp
from rlx_dialects.mir.attributes import DenseAttr, IntsAttr, RealAttr
from rlx_dialects.mir.base import MirOp
from rlx_dialects.mir.constant import ConstantOp
from rlx_dialects.mir.contraction import DotGeneralOp, GroupedMatmulOp, LoraMatmulOp, MatmulOp
from rlx_dialects.mir.convolution import AvgPoolOp, ConvOp, ConvTransposeOp, MaxPoolOp, PadOp, ResizeOp
from rlx_dialects.mir.elementwise import (
    AddOp,
    AndOp,
    BinaryOp,
    CastOp,
    CompareOp,
    DivOp,
    EqOp,
    GeOp,
    GtOp,
    LeOp,
    LtOp,
    MaxOp,
    MinOp,
    MulOp,
    NeOp,
    OrOp,
    PowOp,
    SelectOp,
    SubOp,
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
from rlx_dialects.mir.norm import (
    BatchNormOp,
    ChannelNormOp,
    GroupNormOp,
    LayerNormOp,
    ResidualLayerNormOp,
    ResidualRmsNormOp,
    RmsNormOp,
    SoftmaxOp,
)
from rlx_dialects.mir.ordering import ArgMaxOp, ArgMinOp, CumsumOp, SortOp, TopKOp
from rlx_dialects.mir.quantization import DequantizeOp, DequantMatmulOp, FakeQuantizeOp, QuantizedMatmulOp, QuantizeOp
from rlx_dialects.mir.recurrence import GatedDeltaOp, SelectiveScanOp
from rlx_dialects.mir.reduction import ReduceMaxOp, ReduceMeanOp, ReduceMinOp, ReduceOp, ReduceProdOp, ReduceSumOp
from rlx_dialects.mir.scattering import GatherNdOp, ScatterAddOp, ScatterOp, TakeOp
from rlx_dialects.mir.shapes import Known, Need
from rlx_dialects.mir.state import CacheUpdateOp, StateReadOp
from rlx_dialects.mir.unary import (
    AbsOp,
    AtanOp,
    CeilOp,
    CosOp,
    ErfOp,
    ExpOp,
    FloorOp,
    GeluOp,
    GeluTanhOp,
    LogicalNotOp,
    LogOp,
    NegOp,
    RecipOp,
    ReluOp,
    RoundOp,
    RsqrtOp,
    SigmoidOp,
    SiluOp,
    SinOp,
    SqrtOp,
    TanhOp,
    TanOp,
    UnaryOp,
)

FAMILIES = (
    constant, unary, elementwise, contraction, convolution, reduction, norm, attention, movement, ordering, scattering,
    quantization, recurrence, state, fused,
)  # fmt: skip

MIR = Dialect("mir", [op for family in FAMILIES for op in family.OPS], [IntsAttr, RealAttr, DenseAttr])

__all__ = [
    "ACTIVATIONS", "MIR", "AbsOp", "AddOp", "AndOp", "ArgMaxOp", "ArgMinOp", "AtanOp", "AttentionOp", "AvgPoolOp",
    "BatchNormOp", "BinaryOp", "BroadcastOp", "CacheUpdateOp", "CastOp", "CeilOp", "ChannelNormOp", "CompareOp", "ConcatOp",
    "ConstantOp", "ConvOp", "ConvTransposeOp", "CosOp", "CumsumOp", "DenseAttr", "DequantMatmulOp", "DequantizeOp",
    "DimValueOp", "DivOp", "DotGeneralOp", "EqOp", "ErfOp", "ExpOp", "FakeQuantizeOp", "FloorOp", "GatedDeltaOp",
    "GatherNdOp", "GatherOp", "GeOp", "GeluOp", "GeluTanhOp", "GroupNormOp", "GroupedMatmulOp", "GtOp", "IntsAttr", "IotaOp",
    "Known", "LayerNormOp", "LeOp", "LogOp", "LogicalNotOp", "LoraMatmulOp", "LtOp", "MatmulBiasActOp", "MatmulOp", "MaxOp",
    "MaxPoolOp", "MinOp", "MirOp", "MulOp", "NeOp", "Need", "NegOp", "OrOp", "PadOp", "PowOp", "QuantizeOp",
    "QuantizedMatmulOp", "RealAttr", "RecipOp", "ReduceMaxOp", "ReduceMeanOp", "ReduceMinOp", "ReduceOp", "ReduceProdOp",
    "ReduceSumOp", "ReluOp", "ReshapeOp", "ResidualLayerNormOp", "ResidualRmsNormOp", "ResizeOp", "RmsNormOp", "RopeOp",
    "RoundOp", "RsqrtOp", "ScatterAddOp", "ScatterOp", "SelectOp", "SelectiveScanOp", "SigmoidOp", "SiluOp", "SinOp",
    "SliceOp", "SoftmaxOp", "SortOp", "SqrtOp", "StateReadOp", "SubOp", "SwigluMatmulOp", "SwigluOp", "TakeOp", "TanOp",
    "TanhOp", "TopKOp", "TransposeOp", "UnaryOp",
]  # fmt: skip

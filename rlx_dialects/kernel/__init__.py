"""The `kernel` dialect: a form after its schedule is applied.

Bodies are `scf`, `arith` and `math` over scalars, 1-D and 2-D vectors; this dialect adds pointers and memory access, register
tiles, the team of threads, and functions. Emitters split vectors into native registers: nothing is unrolled in the IR.
"""

from xdsl.ir import Dialect

from rlx_dialects.kernel.elementwise import ApplyOp, CastOp, CmpOp, SelectOp
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.functions import (
    ArenaOp,
    BufferOp,
    CallOp,
    DimOp,
    DimPointerOp,
    EntryOp,
    FuncOp,
    Function,
    GuardOp,
    PlanOp,
    PlanResultOp,
    ReturnOp,
    StatusPointerOp,
)
from rlx_dialects.kernel.memory import GatherOp, LoadOp, ScatterOp, StoreOp
from rlx_dialects.kernel.pointers import AllocaOp, OffsetOp, PrefetchOp, PtrCastOp
from rlx_dialects.kernel.reduction import ReduceOp, ReduceWithOp, YieldOp
from rlx_dialects.kernel.team import BarrierOp, FaultOp, NumThreadsOp, Partition2dOp, PartitionOp, ThreadIdOp
from rlx_dialects.kernel.types import PtrType, ptr, vector
from rlx_dialects.kernel.vector import (
    BroadcastOp,
    ExtractOp,
    InsertOp,
    IotaOp,
    MaskOp,
    OuterDotOp,
    OuterFmaOp,
    ShuffleOp,
    TransposeOp,
)

KERNEL = Dialect(
    "kernel",
    [
        # functions
        FuncOp, EntryOp, PlanOp, ReturnOp, CallOp, BufferOp, ArenaOp, DimOp, DimPointerOp, StatusPointerOp, GuardOp, PlanResultOp,
        # team
        ThreadIdOp, NumThreadsOp, PartitionOp, Partition2dOp, BarrierOp, FaultOp,
        # memory
        LoadOp, StoreOp, GatherOp, ScatterOp, OffsetOp, PtrCastOp, PrefetchOp, AllocaOp,
        # vectors
        BroadcastOp, OuterFmaOp, OuterDotOp, TransposeOp, IotaOp, MaskOp, ShuffleOp, ExtractOp, InsertOp,
        ReduceOp, ReduceWithOp, YieldOp,
        # element-wise
        CmpOp, SelectOp, CastOp, ApplyOp,
    ],
    [PtrType, FragmentType],
)  # fmt: skip

__all__ = [
    "KERNEL", "AllocaOp", "ApplyOp", "ArenaOp", "BarrierOp", "BroadcastOp", "BufferOp", "CallOp", "CastOp", "CmpOp", "DimOp",
    "DimPointerOp", "EntryOp", "ExtractOp", "FaultOp", "FragmentType", "FuncOp", "Function", "GatherOp", "GuardOp",
    "InsertOp", "IotaOp", "LoadOp", "MaskOp", "NumThreadsOp", "OffsetOp", "OuterDotOp", "OuterFmaOp", "Partition2dOp",
    "PartitionOp", "PlanOp", "PlanResultOp", "PrefetchOp", "PtrCastOp", "PtrType", "ReduceOp", "ReduceWithOp", "ReturnOp",
    "ScatterOp", "SelectOp", "ShuffleOp", "StatusPointerOp", "StoreOp", "ThreadIdOp", "TransposeOp", "YieldOp", "ptr",
    "vector",
]  # fmt: skip

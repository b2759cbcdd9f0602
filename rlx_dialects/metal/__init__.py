"""The `metal` dialect: kernels of Apple GPUs. Bodies are the `kernel` dialect; only what the target alone has stands here.

Sections, the same in each GPU dialect: kernels and launches, ids, shared memory, barriers and fences, subgroups, atomics
(`core.py`); matrix ops (`matrix.py`); asynchronous copies (`copies.py`); math under its exact names (`math.py`).
"""

from xdsl.ir import Dialect

from rlx_dialects.gpu.table import GpuOps
from rlx_dialects.metal.copies import COPIES
from rlx_dialects.metal.core import (
    CORE,
    AtomicOp,
    BarrierOp,
    BlockDimOp,
    BlockIdOp,
    FenceOp,
    GridDimOp,
    KernelOp,
    LaneIdOp,
    LaunchOp,
    SharedOp,
    ShuffleOp,
    SubgroupBarrierOp,
    SubgroupIdOp,
    SubgroupReduceOp,
    ThreadIdOp,
    VoteOp,
)
from rlx_dialects.metal.math import MATH
from rlx_dialects.metal.matrix import MATRIX, SimdgroupFillOp, SimdgroupLoadOp, SimdgroupMultiplyAccumulateOp, SimdgroupStoreOp

METAL = Dialect("metal", [*CORE, *MATRIX, *COPIES, *MATH])

OPS = GpuOps(
    "metal", KernelOp, LaunchOp, ThreadIdOp, BlockIdOp, BlockDimOp, GridDimOp, LaneIdOp, SubgroupIdOp, SharedOp, BarrierOp,
    SubgroupBarrierOp, FenceOp, ShuffleOp, SubgroupReduceOp, VoteOp, AtomicOp,
    SimdgroupLoadOp, SimdgroupFillOp, SimdgroupMultiplyAccumulateOp, SimdgroupStoreOp,
)  # fmt: skip

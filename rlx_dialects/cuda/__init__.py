"""The `cuda` dialect: kernels of NVIDIA GPUs. Bodies are the `kernel` dialect; only what the target alone has stands here.

Sections, the same in each GPU dialect: kernels and launches, ids, shared memory, barriers and fences, subgroups, atomics
(`core.py`); matrix ops (`matrix.py`); asynchronous copies (`copies.py`); math under its exact names (`math.py`).
"""

from xdsl.ir import Dialect

from rlx_dialects.cuda.copies import COPIES, TensorMapType
from rlx_dialects.cuda.core import (
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
from rlx_dialects.cuda.math import MATH
from rlx_dialects.cuda.matrix import MATRIX, MmaFillOp, MmaLoadOp, MmaStoreOp, MmaSyncOp
from rlx_dialects.gpu.table import GpuOps

CUDA = Dialect("cuda", [*CORE, *MATRIX, *COPIES, *MATH], [TensorMapType])

OPS = GpuOps(
    "cuda", KernelOp, LaunchOp, ThreadIdOp, BlockIdOp, BlockDimOp, GridDimOp, LaneIdOp, SubgroupIdOp, SharedOp, BarrierOp,
    SubgroupBarrierOp, FenceOp, ShuffleOp, SubgroupReduceOp, VoteOp, AtomicOp,
    MmaLoadOp, MmaFillOp, MmaSyncOp, MmaStoreOp,
)  # fmt: skip

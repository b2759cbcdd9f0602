"""The `rocm` dialect: kernels of AMD GPUs. Bodies are the `kernel` dialect; only what the target alone has stands here.

Sections, the same in each GPU dialect: kernels and launches, ids, shared memory, barriers and fences, subgroups, atomics
(`core.py`); matrix ops (`matrix.py`); asynchronous copies (`copies.py`); math under its exact names (`math.py`).
"""

from xdsl.ir import Dialect

from rlx_dialects.gpu.table import GpuOps
from rlx_dialects.rocm.copies import COPIES
from rlx_dialects.rocm.core import (
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
from rlx_dialects.rocm.math import MATH
from rlx_dialects.rocm.matrix import MATRIX, MatrixFillOp, MatrixLoadOp, MatrixMultiplyOp, MatrixStoreOp

ROCM = Dialect("rocm", [*CORE, *MATRIX, *COPIES, *MATH])

OPS = GpuOps(
    "rocm", KernelOp, LaunchOp, ThreadIdOp, BlockIdOp, BlockDimOp, GridDimOp, LaneIdOp, SubgroupIdOp, SharedOp, BarrierOp,
    SubgroupBarrierOp, FenceOp, ShuffleOp, SubgroupReduceOp, VoteOp, AtomicOp,
    MatrixLoadOp, MatrixFillOp, MatrixMultiplyOp, MatrixStoreOp,
)  # fmt: skip

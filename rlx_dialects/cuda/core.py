"""The core of the `cuda` dialect: kernels and launches, ids, shared memory, barriers and fences, subgroups, atomics.

The names of the PTX ISA stand in parentheses.
"""

from __future__ import annotations

from xdsl.ir import Attribute
from xdsl.irdl import irdl_op_definition

from rlx_dialects.cuda.copies import TensorMapType
from rlx_dialects.gpu import ops

# -- kernels and launches


@irdl_op_definition
class KernelOp(ops.KernelOp):
    """A kernel of an NVIDIA GPU; `arch` is LLVM's name of the architecture: `sm_80` to `sm_120`, `sm_90a` with all of Hopper.

    ```mlir
    cuda.kernel @copy(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>)
        attributes {arch = "sm_90a", block = array<i64: 128>} {
      %block = cuda.block_id x
      %size = cuda.block_dim x
      %thread = cuda.thread_id x
      %start = arith.muli %block, %size : index
      %i = arith.addi %start, %thread : index
      %v = kernel.load %x[%i] : !kernel.ptr<f32, global> -> f32
      kernel.store %v, %y[%i] : f32, !kernel.ptr<f32, global>
      kernel.return
    }
    ```
    """

    name = "cuda.kernel"

    def takes(self, type_: Attribute) -> bool:
        return isinstance(type_, TensorMapType)


@irdl_op_definition
class LaunchOp(ops.LaunchOp):
    """Runs a kernel on a grid of blocks; in an entry.

    ```mlir
    cuda.launch @copy grid(%n) (%x, %y) : !kernel.ptr<f32, global>, !kernel.ptr<f32, global>
    ```
    """

    name = "cuda.launch"


# -- ids


@irdl_op_definition
class ThreadIdOp(ops.IdOp):
    """This thread's place in its block (`%tid`).

    ```mlir
    %t = cuda.thread_id x
    ```
    """

    name = "cuda.thread_id"


@irdl_op_definition
class BlockIdOp(ops.IdOp):
    """This block's place in the grid (`%ctaid`).

    ```mlir
    %b = cuda.block_id x
    ```
    """

    name = "cuda.block_id"


@irdl_op_definition
class BlockDimOp(ops.IdOp):
    """Threads of a block along an axis (`%ntid`).

    ```mlir
    %n = cuda.block_dim x
    ```
    """

    name = "cuda.block_dim"


@irdl_op_definition
class GridDimOp(ops.IdOp):
    """Blocks of the grid along an axis (`%nctaid`).

    ```mlir
    %n = cuda.grid_dim x
    ```
    """

    name = "cuda.grid_dim"


@irdl_op_definition
class LaneIdOp(ops.LaneOp):
    """This thread's place in its warp (`%laneid`).

    ```mlir
    %l = cuda.lane_id
    ```
    """

    name = "cuda.lane_id"


@irdl_op_definition
class SubgroupIdOp(ops.LaneOp):
    """The number of this thread's warp in its block; threads are counted x first.

    ```mlir
    %s = cuda.subgroup_id
    ```
    """

    name = "cuda.subgroup_id"


# -- shared memory


@irdl_op_definition
class SharedOp(ops.SharedOp):
    """Shared memory of the block (`.shared`): undefined at the start.

    ```mlir
    %s = cuda.shared 1024 : !kernel.ptr<f32, shared, align 16>
    ```
    """

    name = "cuda.shared"


# -- barriers and fences


@irdl_op_definition
class BarrierOp(ops.BarrierOp):
    """All threads of the block meet (`barrier.sync 0`).

    ```mlir
    cuda.barrier
    ```
    """

    name = "cuda.barrier"


@irdl_op_definition
class SubgroupBarrierOp(ops.BarrierOp):
    """All threads of the warp meet (`bar.warp.sync`).

    ```mlir
    cuda.subgroup_barrier
    ```
    """

    name = "cuda.subgroup_barrier"


@irdl_op_definition
class FenceOp(ops.FenceOp):
    """Orders this thread's writes for the threads of a scope (`fence.acq_rel.cta`, `.gpu`, `.sys`).

    ```mlir
    cuda.fence device
    ```
    """

    name = "cuda.fence"


# -- subgroups


@irdl_op_definition
class ShuffleOp(ops.ShuffleOp):
    """The value of another lane of the warp (`shfl.sync`).

    ```mlir
    %w = cuda.shuffle xor %v, %offset : f32
    ```
    """

    name = "cuda.shuffle"


@irdl_op_definition
class SubgroupReduceOp(ops.SubgroupReduceOp):
    """Combines a scalar over the warp; every lane has the result.

    ```mlir
    %s = cuda.subgroup_reduce add %v : f32
    ```
    """

    name = "cuda.subgroup_reduce"


@irdl_op_definition
class VoteOp(ops.VoteOp):
    """Whether a condition holds in any or all lanes of the warp.

    ```mlir
    %b = cuda.vote any %c
    ```
    """

    name = "cuda.vote"


# -- atomics


@irdl_op_definition
class AtomicOp(ops.AtomicOp):
    """A relaxed read-modify-write of one element (`atom.relaxed.gpu`).

    ```mlir
    %old = cuda.atomic add %v, %p[%i] : !kernel.ptr<f32, global>
    ```
    """

    name = "cuda.atomic"


CORE = [
    KernelOp, LaunchOp, ThreadIdOp, BlockIdOp, BlockDimOp, GridDimOp, LaneIdOp, SubgroupIdOp, SharedOp, BarrierOp,
    SubgroupBarrierOp, FenceOp, ShuffleOp, SubgroupReduceOp, VoteOp, AtomicOp,
]  # fmt: skip

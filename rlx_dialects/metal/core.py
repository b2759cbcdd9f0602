"""The core of the `metal` dialect: kernels and launches, ids, shared memory, barriers and fences, subgroups, atomics.

The names of the Metal Shading Language stand in parentheses.
"""

from __future__ import annotations

from xdsl.irdl import irdl_op_definition

from rlx_dialects.gpu import ops

# -- kernels and launches


@irdl_op_definition
class KernelOp(ops.KernelOp):
    """A kernel of an Apple GPU; `arch` is the GPU family, such as `apple9`.

    ```mlir
    metal.kernel @copy(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>)
        attributes {arch = "apple9", block = array<i64: 128>} {
      %block = metal.block_id x
      %size = metal.block_dim x
      %thread = metal.thread_id x
      %start = arith.muli %block, %size : index
      %i = arith.addi %start, %thread : index
      %v = kernel.load %x[%i] : !kernel.ptr<f32, global> -> f32
      kernel.store %v, %y[%i] : f32, !kernel.ptr<f32, global>
      kernel.return
    }
    ```
    """

    name = "metal.kernel"


@irdl_op_definition
class LaunchOp(ops.LaunchOp):
    """Runs a kernel on a grid of blocks; in an entry.

    ```mlir
    metal.launch @copy grid(%n) (%x, %y) : !kernel.ptr<f32, global>, !kernel.ptr<f32, global>
    ```
    """

    name = "metal.launch"


# -- ids


@irdl_op_definition
class ThreadIdOp(ops.IdOp):
    """This thread's place in its block (`thread_position_in_threadgroup`).

    ```mlir
    %t = metal.thread_id x
    ```
    """

    name = "metal.thread_id"


@irdl_op_definition
class BlockIdOp(ops.IdOp):
    """This block's place in the grid (`threadgroup_position_in_grid`).

    ```mlir
    %b = metal.block_id x
    ```
    """

    name = "metal.block_id"


@irdl_op_definition
class BlockDimOp(ops.IdOp):
    """Threads of a block along an axis (`threads_per_threadgroup`).

    ```mlir
    %n = metal.block_dim x
    ```
    """

    name = "metal.block_dim"


@irdl_op_definition
class GridDimOp(ops.IdOp):
    """Blocks of the grid along an axis (`threadgroups_per_grid`).

    ```mlir
    %n = metal.grid_dim x
    ```
    """

    name = "metal.grid_dim"


@irdl_op_definition
class LaneIdOp(ops.LaneOp):
    """This thread's place in its simdgroup (`thread_index_in_simdgroup`).

    ```mlir
    %l = metal.lane_id
    ```
    """

    name = "metal.lane_id"


@irdl_op_definition
class SubgroupIdOp(ops.LaneOp):
    """The number of this thread's simdgroup in its block; threads are counted x first.

    ```mlir
    %s = metal.subgroup_id
    ```
    """

    name = "metal.subgroup_id"


# -- shared memory


@irdl_op_definition
class SharedOp(ops.SharedOp):
    """Memory of the threadgroup (`threadgroup`): undefined at the start.

    ```mlir
    %s = metal.shared 1024 : !kernel.ptr<f32, shared, align 16>
    ```
    """

    name = "metal.shared"


# -- barriers and fences


@irdl_op_definition
class BarrierOp(ops.BarrierOp):
    """All threads of the block meet (`threadgroup_barrier`).

    ```mlir
    metal.barrier
    ```
    """

    name = "metal.barrier"


@irdl_op_definition
class SubgroupBarrierOp(ops.BarrierOp):
    """All threads of the simdgroup meet (`simdgroup_barrier`).

    ```mlir
    metal.subgroup_barrier
    ```
    """

    name = "metal.subgroup_barrier"


@irdl_op_definition
class FenceOp(ops.FenceOp):
    """Orders this thread's writes for the threads of a scope (`atomic_thread_fence`).

    ```mlir
    metal.fence device
    ```
    """

    name = "metal.fence"


# -- subgroups


@irdl_op_definition
class ShuffleOp(ops.ShuffleOp):
    """The value of another lane of the simdgroup (`simd_shuffle`).

    ```mlir
    %w = metal.shuffle xor %v, %offset : f32
    ```
    """

    name = "metal.shuffle"


@irdl_op_definition
class SubgroupReduceOp(ops.SubgroupReduceOp):
    """Combines a scalar over the simdgroup; every lane has the result.

    ```mlir
    %s = metal.subgroup_reduce add %v : f32
    ```
    """

    name = "metal.subgroup_reduce"


@irdl_op_definition
class VoteOp(ops.VoteOp):
    """Whether a condition holds in any or all lanes of the simdgroup.

    ```mlir
    %b = metal.vote any %c
    ```
    """

    name = "metal.vote"


# -- atomics


@irdl_op_definition
class AtomicOp(ops.AtomicOp):
    """A relaxed read-modify-write of one element (`atomic_fetch_add_explicit`).

    ```mlir
    %old = metal.atomic add %v, %p[%i] : !kernel.ptr<f32, global>
    ```
    """

    name = "metal.atomic"


CORE = [
    KernelOp, LaunchOp, ThreadIdOp, BlockIdOp, BlockDimOp, GridDimOp, LaneIdOp, SubgroupIdOp, SharedOp, BarrierOp,
    SubgroupBarrierOp, FenceOp, ShuffleOp, SubgroupReduceOp, VoteOp, AtomicOp,
]  # fmt: skip

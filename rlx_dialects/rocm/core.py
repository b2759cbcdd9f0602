"""The core of the `rocm` dialect: kernels and launches, ids, shared memory, barriers and fences, subgroups, atomics.

The names of AMD's ISA guides stand in parentheses.
"""

from __future__ import annotations

from xdsl.irdl import irdl_op_definition

from rlx_dialects.gpu import ops

# -- kernels and launches


@irdl_op_definition
class KernelOp(ops.KernelOp):
    """A kernel of an AMD GPU; `arch` is LLVM's name of the architecture, such as `gfx942`.

    ```mlir
    rocm.kernel @copy(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>)
        attributes {arch = "gfx942", block = array<i64: 128>} {
      %block = rocm.block_id x
      %size = rocm.block_dim x
      %thread = rocm.thread_id x
      %start = arith.muli %block, %size : index
      %i = arith.addi %start, %thread : index
      %v = kernel.load %x[%i] : !kernel.ptr<f32, global> -> f32
      kernel.store %v, %y[%i] : f32, !kernel.ptr<f32, global>
      kernel.return
    }
    ```
    """

    name = "rocm.kernel"


@irdl_op_definition
class LaunchOp(ops.LaunchOp):
    """Runs a kernel on a grid of blocks; in an entry.

    ```mlir
    rocm.launch @copy grid(%n) (%x, %y) : !kernel.ptr<f32, global>, !kernel.ptr<f32, global>
    ```
    """

    name = "rocm.launch"


# -- ids


@irdl_op_definition
class ThreadIdOp(ops.IdOp):
    """This thread's place in its block (workitem id).

    ```mlir
    %t = rocm.thread_id x
    ```
    """

    name = "rocm.thread_id"


@irdl_op_definition
class BlockIdOp(ops.IdOp):
    """This block's place in the grid (workgroup id).

    ```mlir
    %b = rocm.block_id x
    ```
    """

    name = "rocm.block_id"


@irdl_op_definition
class BlockDimOp(ops.IdOp):
    """Threads of a block along an axis (workgroup size).

    ```mlir
    %n = rocm.block_dim x
    ```
    """

    name = "rocm.block_dim"


@irdl_op_definition
class GridDimOp(ops.IdOp):
    """Blocks of the grid along an axis (number of workgroups).

    ```mlir
    %n = rocm.grid_dim x
    ```
    """

    name = "rocm.grid_dim"


@irdl_op_definition
class LaneIdOp(ops.LaneOp):
    """This thread's place in its wavefront (`mbcnt`).

    ```mlir
    %l = rocm.lane_id
    ```
    """

    name = "rocm.lane_id"


@irdl_op_definition
class SubgroupIdOp(ops.LaneOp):
    """The number of this thread's wavefront in its block; threads are counted x first.

    ```mlir
    %s = rocm.subgroup_id
    ```
    """

    name = "rocm.subgroup_id"


# -- shared memory


@irdl_op_definition
class SharedOp(ops.SharedOp):
    """Local data share of the workgroup (LDS): undefined at the start.

    ```mlir
    %s = rocm.shared 1024 : !kernel.ptr<f32, shared, align 16>
    ```
    """

    name = "rocm.shared"


# -- barriers and fences


@irdl_op_definition
class BarrierOp(ops.BarrierOp):
    """All threads of the block meet (`s_barrier`).

    ```mlir
    rocm.barrier
    ```
    """

    name = "rocm.barrier"


@irdl_op_definition
class SubgroupBarrierOp(ops.BarrierOp):
    """All threads of the wavefront meet (wavefronts run in step; orders memory).

    ```mlir
    rocm.subgroup_barrier
    ```
    """

    name = "rocm.subgroup_barrier"


@irdl_op_definition
class FenceOp(ops.FenceOp):
    """Orders this thread's writes for the threads of a scope (release and acquire of `workgroup`, `agent`, `system`).

    ```mlir
    rocm.fence device
    ```
    """

    name = "rocm.fence"


# -- subgroups


@irdl_op_definition
class ShuffleOp(ops.ShuffleOp):
    """The value of another lane of the wavefront (`ds_bpermute_b32`).

    ```mlir
    %w = rocm.shuffle xor %v, %offset : f32
    ```
    """

    name = "rocm.shuffle"


@irdl_op_definition
class SubgroupReduceOp(ops.SubgroupReduceOp):
    """Combines a scalar over the wavefront; every lane has the result.

    ```mlir
    %s = rocm.subgroup_reduce add %v : f32
    ```
    """

    name = "rocm.subgroup_reduce"


@irdl_op_definition
class VoteOp(ops.VoteOp):
    """Whether a condition holds in any or all lanes of the wavefront.

    ```mlir
    %b = rocm.vote any %c
    ```
    """

    name = "rocm.vote"


# -- atomics


@irdl_op_definition
class AtomicOp(ops.AtomicOp):
    """A relaxed read-modify-write of one element (`global_atomic`, `ds_`).

    ```mlir
    %old = rocm.atomic add %v, %p[%i] : !kernel.ptr<f32, global>
    ```
    """

    name = "rocm.atomic"


CORE = [
    KernelOp, LaunchOp, ThreadIdOp, BlockIdOp, BlockDimOp, GridDimOp, LaneIdOp, SubgroupIdOp, SharedOp, BarrierOp,
    SubgroupBarrierOp, FenceOp, ShuffleOp, SubgroupReduceOp, VoteOp, AtomicOp,
]  # fmt: skip

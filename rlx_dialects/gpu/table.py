"""The op classes of a target, by role: what the shared lowering of forms builds kernels from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module

from rlx_dialects.gpu import matrix, ops


@dataclass(frozen=True)
class GpuOps:
    """One class for each role; the names of the fields of `core.py` are the mnemonics."""

    dialect: str
    kernel: type[ops.KernelOp]
    launch: type[ops.LaunchOp]
    thread_id: type[ops.IdOp]
    block_id: type[ops.IdOp]
    block_dim: type[ops.IdOp]
    grid_dim: type[ops.IdOp]
    lane_id: type[ops.LaneOp]
    subgroup_id: type[ops.LaneOp]
    shared: type[ops.SharedOp]
    barrier: type[ops.BarrierOp]
    subgroup_barrier: type[ops.BarrierOp]
    fence: type[ops.FenceOp]
    shuffle: type[ops.ShuffleOp]
    subgroup_reduce: type[ops.SubgroupReduceOp]
    vote: type[ops.VoteOp]
    atomic: type[ops.AtomicOp]
    matrix_load: type[matrix.FragmentLoadOp]
    matrix_fill: type[matrix.FragmentFillOp]
    matrix_multiply: type[matrix.MultiplyOp]
    matrix_store: type[matrix.FragmentStoreOp]


@cache
def dialect_of(target: str) -> GpuOps:
    """The ops of "cuda", "rocm" or "metal"."""
    return import_module(f"rlx_dialects.{target}").OPS

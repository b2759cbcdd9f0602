"""AMD's part in the emission: ids, barriers and fences, moves between lanes by DPP, swizzles and `ds_bpermute`."""

from __future__ import annotations

from functools import partial
from math import prod

from xdsl.dialects.builtin import ModuleOp

from rlx_backends.gpu.llvm import handlers
from rlx_backends.gpu.llvm_isa import Isa, module_asks
from rlx_backends.gpu.llvm_matrix import Layout, registers_of
from rlx_backends.gpu.target import GpuTarget
from rlx_backends.llvm import FunctionEmitter, TargetEmission, emit_module
from rlx_backends.llvm.math import math_table
from rlx_backends.rocm import copies, math, matrix
from rlx_backends.rocm.target import CODE_OBJECT_VERSION, CONSTANT, SPACES, TRIPLE, is_rdna
from rlx_dialects.gpu import AXES, KernelOp
from rlx_dialects.gpu.matrix import MultiplyOp
from rlx_dialects.kernel.fragment import FragmentType

LANES = 16
"""Lanes of a register: what one access of 16 bytes takes of the smallest elements. LLVM takes vectors apart."""

_NOT_USED: tuple[str, ...] = (
    "dispatch-ptr", "queue-ptr", "dispatch-id", "hostcall-ptr", "heap-ptr", "default-queue", "completion-action",
    "multigrid-sync-arg", "lds-kernel-id", "flat-scratch-init", "cluster-id-x", "cluster-id-y", "cluster-id-z",
)  # fmt: skip
"""What no kernel asks the loader for. LLVM assumes that it needs all of it, at a cost in registers and arguments."""

# Controls of `v_mov_b32_dpp`.
_ROW_ROTATE, _HALF_MIRROR, _MIRROR, _ROW_XOR = 0x120, 0x141, 0x140, 0x160


def emit(module: ModuleOp, target: GpuTarget) -> str:
    """LLVM IR text of the kernels of a module."""
    return emit_module(module, emission(target))


def emission(target: GpuTarget) -> TargetEmission:
    """What the shared emitter must know of this GPU."""
    isa = Gcn(target.facts)
    return TargetEmission(
        lanes=LANES,
        math=math_table(0),
        handlers={**handlers(isa), **copies.HANDLERS, **math.HANDLERS},
        fragments=partial(registers_of, isa),
        function_attributes="convergent nounwind",
        helper_attributes="alwaysinline",
        spaces=SPACES,
        table_space=CONSTANT,
        scalar_math=True,
        reciprocal="llvm.amdgcn.rcp.f32",
        unroll=True,
        branch_on_masks=True,
        header=f'target triple = "{TRIPLE}"\n',
        metadata=f'!llvm.module.flags = !{{!4}}\n!4 = !{{i32 1, !"amdhsa_code_object_version", i32 {CODE_OBJECT_VERSION}00}}\n',
    )


class Gcn(Isa):
    """GCN's descendants: CDNA with 64 lanes, RDNA with 32."""

    convention = "amdgpu_kernel"
    scopes = {"block": 'syncscope("workgroup") ', "device": 'syncscope("agent") ', "system": ""}  # noqa: RUF012
    # Memory of the device itself, where the instruction for it is right.
    atomic_metadata = ", !amdgpu.no.fine.grained.memory !3, !amdgpu.no.remote.memory !3, !amdgpu.ignore.denormal.mode !3"

    def kernel_attributes(self, f: FunctionEmitter, op: KernelOp) -> str:
        threads = prod(op.block)
        unused: list[str] = list(_NOT_USED)
        for axis in AXES[1:]:
            if op.block[AXES.index(axis)] == 1 or not self._asks_for_thread(f, op, axis):
                unused.append(f"workitem-id-{axis}")
            if not module_asks(f, op, self.ops.block_id, axis):
                unused.append(f"workgroup-id-{axis}")
        if not any(module_asks(f, op, self.ops.grid_dim, axis) for axis in AXES):
            unused.append("implicitarg-ptr")
        attributes = [f'"amdgpu-no-{name}"' for name in unused]
        attributes.append(f'"amdgpu-flat-work-group-size"="{threads},{threads}" "uniform-work-group-size"="true"')
        return " ".join(attributes)

    def _asks_for_thread(self, f: FunctionEmitter, op: KernelOp, axis: str) -> bool:
        """Lanes and subgroups are counted over all axes."""
        kinds = (self.ops.lane_id, self.ops.subgroup_id, self.ops.shuffle)
        return module_asks(f, op, self.ops.thread_id, axis) or any(module_asks(f, op, kind, axis) for kind in kinds)

    def thread_id(self, f: FunctionEmitter, axis: str, limit: int) -> str:
        return f.intrinsic(f"llvm.amdgcn.workitem.id.{axis}", "i32", [], f"range(i32 0, {limit})")

    def block_id(self, f: FunctionEmitter, axis: str) -> str:
        limit = self.facts.max_grid[AXES.index(axis)]
        return f.intrinsic(f"llvm.amdgcn.workgroup.id.{axis}", "i32", [], f"range(i32 0, {limit})")

    def grid_dim(self, f: FunctionEmitter, axis: str) -> str:
        """The runtime puts the extents of the grid behind the arguments."""
        place = f.intrinsic("llvm.amdgcn.implicitarg.ptr", "ptr addrspace(4)", [])
        address = f.address(place, "i32", str(AXES.index(axis)), "ptr addrspace(4)")
        return f.emit(f"load i32, ptr addrspace(4) {address}, align 4, !invariant.load !3")

    def lane_id(self, f: FunctionEmitter) -> str:
        """The number of lanes below this one."""
        all_lanes = ("i32", "-1")
        count = f.intrinsic("llvm.amdgcn.mbcnt.lo", "i32", [all_lanes, ("i32", "0")])
        if self.facts.subgroup == 64:
            count = f.intrinsic("llvm.amdgcn.mbcnt.hi", "i32", [all_lanes, ("i32", count)])
        return count

    def uniform(self, f: FunctionEmitter, register: str, converged: bool) -> str:
        return f.intrinsic("llvm.amdgcn.readfirstlane.i32", "i32", [("i32", register)])

    # -- barriers: the instruction orders no memory

    def barrier(self, f: FunctionEmitter) -> None:
        f.line('fence syncscope("workgroup") release')
        f.intrinsic("llvm.amdgcn.s.barrier", "void", [])
        f.line('fence syncscope("workgroup") acquire')

    def subgroup_barrier(self, f: FunctionEmitter) -> None:
        f.line('fence syncscope("wavefront") release')
        f.intrinsic("llvm.amdgcn.wave.barrier", "void", [])
        f.line('fence syncscope("wavefront") acquire')

    # -- between lanes

    def shuffle(self, f: FunctionEmitter, kind: str, word: str, offset: int) -> str | None:
        """Moves of the vector unit where it has them: within 16 lanes, and across 32 by a swizzle."""
        if kind == "idx":
            return f.intrinsic("llvm.amdgcn.readlane.i32", "i32", [("i32", word), ("i32", str(offset))])
        if kind != "xor":
            return None
        if offset < 4:
            return self._dpp(f, word, sum((lane ^ offset) << (2 * lane) for lane in range(4)))
        if is_rdna(self.facts.arch) and offset < 16:
            return self._dpp(f, word, _ROW_XOR + offset)
        if offset == 4:  # mirrored in eights, then in fours
            return self._dpp(f, self._dpp(f, word, _HALF_MIRROR), 0b00_01_10_11)
        if offset in (7, 15):
            return self._dpp(f, word, _HALF_MIRROR if offset == 7 else _MIRROR)
        if offset == 8:
            return self._dpp(f, word, _ROW_ROTATE + 8)
        if offset < 32:  # in each half of the lanes: keep all five bits of the lane's number, flip those of the offset
            return f.intrinsic("llvm.amdgcn.ds.swizzle", "i32", [("i32", word), ("i32", str(offset << 10 | 31))])
        return None

    def _dpp(self, f: FunctionEmitter, word: str, control: int) -> str:
        """A word moved within rows of 16 lanes; all lanes and all banks take part."""
        flags = [("i32", "15"), ("i32", "15"), ("i1", "true")]
        arguments = [("i32", "poison"), ("i32", word), ("i32", str(control)), *flags]
        return f.intrinsic("llvm.amdgcn.update.dpp.i32", "i32", arguments)

    def read_lane(self, f: FunctionEmitter, word: str, lane: str) -> str:
        address = f.emit(f"shl nuw nsw i32 {lane}, 2")
        return f.intrinsic("llvm.amdgcn.ds.bpermute", "i32", [("i32", address), ("i32", word)])

    def vote(self, f: FunctionEmitter, kind: str, condition: str) -> str:
        """The lanes that say yes, or no, as bits."""
        mask = f"i{self.facts.subgroup}"
        asked = condition if kind == "any" else f.emit(f"xor i1 {condition}, true")
        bits = f.intrinsic(f"llvm.amdgcn.ballot.{mask}", mask, [("i1", asked)])
        return f.emit(f"icmp {'ne' if kind == 'any' else 'eq'} {mask} {bits}, 0")

    # -- matrices

    def fragment(self, kind: FragmentType) -> Layout:
        return matrix.layout(self.facts, kind)

    def multiply(self, f: FunctionEmitter, op: MultiplyOp) -> list[str]:
        return matrix.multiply(self.facts, f, op)

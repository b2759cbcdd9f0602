"""NVIDIA's part in the emission: PTX's special registers, barriers, shuffles and votes."""

from __future__ import annotations

from functools import partial

from xdsl.dialects.builtin import ModuleOp

from rlx_backends.cuda import copies, math, matrix
from rlx_backends.cuda.target import CONST, SPACES, TRIPLE
from rlx_backends.gpu.llvm import handlers
from rlx_backends.gpu.llvm_isa import Isa
from rlx_backends.gpu.llvm_matrix import Layout, registers_of
from rlx_backends.gpu.target import GpuTarget
from rlx_backends.llvm import FunctionEmitter, TargetEmission, emit_module
from rlx_backends.llvm.math import math_table
from rlx_dialects.gpu import AXES, KernelOp
from rlx_dialects.gpu.matrix import FragmentLoadOp, MultiplyOp
from rlx_dialects.kernel.fragment import FragmentType

LANES = 16
"""Lanes of a register: what one access of 16 bytes takes of the smallest elements. LLVM takes vectors apart."""
_ALL = ("i32", "-1")
"""The mask of a whole warp."""
_SHUFFLES = {"xor": ("bfly", 31), "up": ("up", 0), "down": ("down", 31), "idx": ("idx", 31)}


def emit(module: ModuleOp, target: GpuTarget) -> str:
    """LLVM IR text of the kernels of a module."""
    return emit_module(module, emission(target))


def emission(target: GpuTarget) -> TargetEmission:
    """What the shared emitter must know of this GPU."""
    isa = Ptx(target.facts)
    return TargetEmission(
        lanes=LANES,
        math=math_table(0),
        handlers={**handlers(isa), **copies.HANDLERS, **math.HANDLERS},
        fragments=partial(registers_of, isa),
        function_attributes="convergent nounwind",
        helper_attributes="alwaysinline",
        spaces=SPACES,
        table_space=CONST,
        scalar_math=True,
        reciprocal="llvm.nvvm.rcp.approx.ftz.f",
        unroll=True,
        branch_on_masks=True,
        header=f'target triple = "{TRIPLE}"\n',
    )


class Ptx(Isa):
    """The PTX ISA from sm_80 on."""

    convention = "ptx_kernel"
    scopes = {"block": 'syncscope("block") ', "device": 'syncscope("device") ', "system": ""}  # noqa: RUF012

    def kernel_attributes(self, f: FunctionEmitter, op: KernelOp) -> str:
        return f'"nvvm.maxntid"="{",".join(map(str, op.block))}"'

    def _special(self, f: FunctionEmitter, name: str, low: int, high: int) -> str:
        """A special register, in [low, high)."""
        return f.intrinsic(f"llvm.nvvm.read.ptx.sreg.{name}", "i32", [], f"range(i32 {low}, {high})")

    def thread_id(self, f: FunctionEmitter, axis: str, limit: int) -> str:
        return self._special(f, f"tid.{axis}", 0, limit)

    def block_id(self, f: FunctionEmitter, axis: str) -> str:
        return self._special(f, f"ctaid.{axis}", 0, self.facts.max_grid[AXES.index(axis)])

    def grid_dim(self, f: FunctionEmitter, axis: str) -> str:
        limit = self.facts.max_grid[AXES.index(axis)]
        return self._special(f, f"nctaid.{axis}", 1, limit + 1 if limit < 2**31 - 1 else -(2**31))

    def lane_id(self, f: FunctionEmitter) -> str:
        return self._special(f, "laneid", 0, self.facts.subgroup)

    def uniform(self, f: FunctionEmitter, register: str, converged: bool) -> str:
        """A word that comes from lane 0 is known to be the same in the whole warp, and so are branches on it."""
        return self.shuffle(f, "idx", register, 0) if converged else register

    def barrier(self, f: FunctionEmitter) -> None:
        f.intrinsic("llvm.nvvm.barrier.cta.sync.aligned.all", "void", [("i32", "0")])

    def subgroup_barrier(self, f: FunctionEmitter) -> None:
        f.intrinsic("llvm.nvvm.bar.warp.sync", "void", [_ALL])

    def shuffle(self, f: FunctionEmitter, kind: str, word: str, offset: int) -> str:
        return self._shuffle(f, kind, word, str(offset))

    def read_lane(self, f: FunctionEmitter, word: str, lane: str) -> str:
        return self._shuffle(f, "idx", word, lane)

    def _shuffle(self, f: FunctionEmitter, kind: str, word: str, offset: str) -> str:
        name, clamp = _SHUFFLES[kind]
        arguments = [_ALL, ("i32", word), ("i32", offset), ("i32", str(clamp))]
        return f.intrinsic(f"llvm.nvvm.shfl.sync.{name}.i32", "i32", arguments)

    def vote(self, f: FunctionEmitter, kind: str, condition: str) -> str:
        return f.intrinsic(f"llvm.nvvm.vote.{kind}.sync", "i1", [_ALL, ("i1", condition)])

    # -- matrices

    def fragment(self, kind: FragmentType) -> Layout:
        return matrix.layout(kind)

    def load_fragment(self, f: FunctionEmitter, op: FragmentLoadOp) -> list[str] | None:
        return matrix.load(self, f, op)

    def operand(self, f: FunctionEmitter, kind: FragmentType, element: str) -> str:
        return matrix.operand(f, kind, element)

    def multiply(self, f: FunctionEmitter, op: MultiplyOp) -> list[str]:
        return matrix.multiply(f, op)

"""What a GPU backend says about its instructions, and where in the text an op stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xdsl.ir import Operation

from rlx_backends.llvm.function import FunctionEmitter
from rlx_dialects.gpu import GpuFacts, GpuOps, KernelOp, dialect_of
from rlx_dialects.gpu.matrix import FragmentLoadOp, MultiplyOp
from rlx_dialects.gpu.ops import IdOp
from rlx_dialects.kernel.fragment import FragmentType
from rlx_dialects.kernel.functions import FuncOp

if TYPE_CHECKING:
    from rlx_backends.gpu.llvm_matrix import Layout


class Isa(ABC):
    """The instructions of one architecture. Ids, lanes and words are registers of 32 bits."""

    convention: str
    """The calling convention of kernels."""
    scopes: Mapping[str, str]
    """`syncscope(…)` of block, device and system."""
    atomic_metadata: str = ""
    """What stands behind a floating-point atomic."""

    def __init__(self, facts: GpuFacts):
        self.facts = facts

    @property
    def ops(self) -> GpuOps:
        return dialect_of(self.facts.dialect)

    @abstractmethod
    def kernel_attributes(self, f: FunctionEmitter, op: KernelOp) -> str:
        """Attributes of a kernel: the size of its block, and what it does without."""

    @abstractmethod
    def thread_id(self, f: FunctionEmitter, axis: str, limit: int) -> str:
        """This thread's place in its block, below `limit`."""

    @abstractmethod
    def block_id(self, f: FunctionEmitter, axis: str) -> str:
        """This block's place in the grid."""

    @abstractmethod
    def grid_dim(self, f: FunctionEmitter, axis: str) -> str:
        """Blocks of the grid."""

    @abstractmethod
    def lane_id(self, f: FunctionEmitter) -> str:
        """This thread's place in its subgroup, from the hardware."""

    def uniform(self, f: FunctionEmitter, register: str, converged: bool) -> str:
        """A word that all lanes of a subgroup hold, made known as such. `converged`: all lanes are here."""
        return register

    @abstractmethod
    def barrier(self, f: FunctionEmitter) -> None:
        """All threads of the block meet, and see what the others wrote."""

    @abstractmethod
    def subgroup_barrier(self, f: FunctionEmitter) -> None:
        """All threads of the subgroup meet, and see what the others wrote."""

    @abstractmethod
    def shuffle(self, f: FunctionEmitter, kind: str, word: str, offset: int) -> str | None:
        """The word of the lane at a constant distance, 0 < offset < subgroup; None if there is no better way than `read_lane`.

        A lane that does not exist leaves the word as it is.
        """

    @abstractmethod
    def read_lane(self, f: FunctionEmitter, word: str, lane: str) -> str:
        """The word of an existing lane."""

    @abstractmethod
    def vote(self, f: FunctionEmitter, kind: str, condition: str) -> str:
        """An `i1`: whether a condition holds in `any` or `all` lanes."""

    # -- matrices

    def member(self, f: FunctionEmitter, op: Operation, kind: FragmentType) -> str:
        """This thread's number among those that hold a fragment together."""
        from rlx_backends.gpu.llvm_ids import lane

        return lane(self, f, op)

    @abstractmethod
    def fragment(self, kind: FragmentType) -> Layout:
        """Which elements of a fragment the lanes hold."""

    def load_fragment(self, f: FunctionEmitter, op: FragmentLoadOp) -> list[str] | None:
        """The registers of a fragment by an instruction of its own; None where plain loads are to be used."""
        return None

    def operand(self, f: FunctionEmitter, kind: FragmentType, element: str) -> str:
        """A scalar as a fragment of this kind holds it."""
        return element

    @abstractmethod
    def multiply(self, f: FunctionEmitter, op: MultiplyOp) -> list[str]:
        """The registers of `a · b + c`."""


def kernel_around(op: Operation) -> KernelOp | None:
    """The kernel that an op stands in; None in a helper function."""
    parent = op.parent_op()
    while parent is not None and not isinstance(parent, KernelOp):
        parent = parent.parent_op()
    return parent


def module_asks(f: FunctionEmitter, op: KernelOp, kind: type[Operation], axis: str) -> bool:
    """Whether a kernel, or any helper that it might call, uses the id op `kind` along an axis."""
    functions = [op, *(each for each in f.module.module.body.block.ops if isinstance(each, FuncOp))]
    ids = (inner for each in functions for inner in each.walk() if isinstance(inner, kind))
    return any(not isinstance(inner, IdOp) or inner.axis.data == axis for inner in ids)

"""Passes that work on one operation at a time, so that a pipeline may nest them: `builtin.module(func.func(rlx-cse))`."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass


@dataclass(frozen=True)
class OperationPass(ModulePass):
    """A pass that looks at nothing outside of the operation it runs on.

    `anchors` names the operations that a pipeline may nest it in; on a module it does all of them.
    """

    anchors: ClassVar[tuple[str, ...]] = ("func.func", "lir.program", "kernel.func")

    @abstractmethod
    def apply_to(self, ctx: Context, op: Operation) -> None:
        """Run on the regions of `op`."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        self.apply_to(ctx, op)


@dataclass(frozen=True)
class NestedPass(ModulePass):
    """`anchor(inner)` of a pipeline: `inner` on every operation named `anchor` directly inside the module."""

    name = "nested"

    anchor: str
    inner: OperationPass

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for child in list(op.ops):
            if child.name == self.anchor:
                self.inner.apply_to(ctx, child)

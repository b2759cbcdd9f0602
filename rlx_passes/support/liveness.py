"""Who touches which storage when: accesses in schedule order, and how long buffers live.

Positions count the operations of a program in order, regions included; an operation with regions spans the positions inside.
Storage is a root: what lies behind a chain of views.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from xdsl.ir import Block, Operation, SSAValue

from rlx_dialects.lir import (
    AccessAttr,
    ConditionOp,
    CopyOp,
    FormOp,
    IfOp,
    ProgramOp,
    ScatterOp,
    WhileOp,
    root_buffer,
)

Kind = Literal["read", "write", "scratch"]


@dataclass(frozen=True)
class Access:
    """One operand of one operation: `value` as it is named there, `root` the storage behind it; `access` where a form gives a
    map."""

    op: Operation
    value: SSAValue
    root: SSAValue
    kind: Kind
    segment: str = ""
    access: AccessAttr | None = None


def accesses_of(op: Operation) -> Iterator[Access]:
    """What one operation touches itself, its regions aside. A scatter reads what it updates."""
    if isinstance(op, FormOp):
        for segment, operands, accesses in (
            ("ins", op.ins, op.in_accesses),
            ("extra", op.extra, op.extra_accesses),
            ("outs", op.outs, op.out_accesses),
        ):
            for value, access in zip(operands, accesses, strict=True):
                root = root_buffer(value)
                if segment != "outs" or isinstance(op, ScatterOp):
                    yield Access(op, value, root, "read", segment, access)
                if segment == "outs":
                    yield Access(op, value, root, "write", segment, access)
        for value in op.scratch:
            yield Access(op, value, root_buffer(value), "scratch", "scratch")
    elif isinstance(op, CopyOp):
        yield Access(op, op.source, root_buffer(op.source), "read")
        yield Access(op, op.target, root_buffer(op.target), "write")
    elif isinstance(op, IfOp | ConditionOp):
        yield Access(op, op.flag, root_buffer(op.flag), "read")


class Schedule:
    """Positions and accesses of a program as it stands."""

    def __init__(self, program: ProgramOp):
        self.program = program
        self.spans: dict[Operation, tuple[int, int]] = {}
        """First and last position of each operation, its regions included."""
        self.accesses: dict[SSAValue, list[Access]] = {}
        self.length = self._visit(program.block, 0)

    def _visit(self, block: Block, position: int) -> int:
        for op in block.ops:
            start = position
            position += 1
            for access in accesses_of(op):
                self.accesses.setdefault(access.root, []).append(access)
            if isinstance(op, IfOp | WhileOp):
                for region in op.regions:
                    position = self._visit(region.block, position)
            self.spans[op] = (start, position - 1)
        return position

    def lifetime(self, root: SSAValue) -> tuple[int, int] | None:
        """First and last position at which `root` (made inside the program) holds something; None if nothing touches it.

        A buffer from outside of a loop lives through the whole loop; one that a single branch of an `if` uses lives there only.
        """
        found = self.accesses.get(root)
        owner = root.owner
        if not found or not isinstance(owner, Operation) or owner.parent is None:
            return None
        scope = self._scope(owner.parent, [access.op for access in found])
        spans = [self.spans[_child_of(scope, access.op)] for access in found]
        return min(low for low, _ in spans), max(high for _, high in spans)

    def _scope(self, block: Block, ops: list[Operation]) -> Block:
        """The innermost block that holds `ops` and is reached from `block` through branches alone."""
        while True:
            children = {_child_of(block, op) for op in ops}
            if len(children) > 1:
                return block
            (child,) = children
            regions = {_region_block(child, op) for op in ops}
            if not isinstance(child, IfOp) or len(regions) > 1 or None in regions:
                return block
            inner = regions.pop()
            assert inner is not None
            block = inner


def _child_of(block: Block, op: Operation) -> Operation:
    """The operation of `block` that is or holds `op`."""
    while op.parent is not block:
        parent = op.parent_op()
        assert parent is not None
        op = parent
    return op


def _region_block(parent: Operation, op: Operation) -> Block | None:
    """The block directly inside `parent` that holds `op`; None if that is `parent` itself."""
    block: Block | None = None
    while op is not parent:
        block = op.parent
        above = op.parent_op()
        assert above is not None
        op = above
    return block

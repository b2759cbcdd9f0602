"""What a plan really does: byte by byte, who owns what, at given dims and on given paths.

Every write marks its bytes with its buffer, every read checks the marks. Points of a form run in any order, so a form that reads what another of its
points writes is wrong whatever the marks say. Nothing here reasons about symbols.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.ir import Block, Operation, SSAValue

from rlx_dialects.dims import sym
from rlx_dialects.lir import (
    AccessAttr,
    BufferType,
    ConditionOp,
    ContractOp,
    CopyOp,
    FormOp,
    IfOp,
    InputOp,
    IterAttr,
    MapOp,
    OutputOp,
    ParamOp,
    ProgramOp,
    ReduceOp,
    SlotOp,
    ViewOp,
    WhileOp,
)
from rlx_dialects.lir.semantics import Buffer, Grid
from rlx_dialects.rlx import dtypes

Array = np.ndarray[Any, Any]
IN_PLACE = {MapOp: "ins", ReduceOp: "ins", ContractOp: "extra"}


class Broken(Exception):
    """The plan goes wrong; the text says how."""


@dataclass(frozen=True)
class _Touch:
    """Bytes that one operand reaches, one row of `starts` per point, each `width` long."""

    root: SSAValue
    segment: str
    starts: Array
    width: int

    @property
    def flat(self) -> Array:
        return (self.starts.reshape(-1, 1) + np.arange(self.width)).reshape(-1)


class Truth:
    """Judges a program as it stands; where operands lie within their buffers is kept between calls, offsets are read anew."""

    def __init__(self, program: ProgramOp):
        self.program = program
        self.kept: dict[tuple[Any, ...], tuple[SSAValue, Array, int]] = {}
        kinds = {type(op) for op in program.walk()}
        self.paths = list(
            itertools.product((True, False) if IfOp in kinds else (True,), (0, 2) if WhileOp in kinds else (0,))
        )

    def is_broken(self, assignments: list[dict[str, int]]) -> str | None:
        """How the plan breaks at some of the dims on some path, or None."""
        for dims in assignments:
            for branch, rounds in self.paths:
                try:
                    _Run(self, dims, branch, rounds).run()
                except Broken as broken:
                    return f"{broken} at {dims}"
        return None


class _Run:
    def __init__(self, truth: Truth, dims: Mapping[str, int], branch: bool, rounds: int):
        self.truth, self.dims, self.branch, self.rounds = truth, dims, branch, rounds
        self.key = tuple(dims.items())
        arena = truth.program.arena
        size = arena.data.evaluate(dims) if arena is not None else 0
        self.owner = np.full(max(size, 0), -1, np.int64)
        self.marks = np.zeros(max(size, 0), np.bool_)
        self.outside: dict[SSAValue, Array] = {}
        self.ids: dict[SSAValue, int] = {}
        self.base: dict[SSAValue, int] = {}

    def run(self) -> None:
        self.block(self.truth.program.block)
        for root, owned in self.outside.items():
            if isinstance(root.owner, OutputOp) and (owned < 0).any():
                raise Broken("an output is not complete")

    def block(self, block: Block) -> None:
        for op in block.ops:
            if isinstance(op, SlotOp):
                self.slot(op)
            elif isinstance(op, InputOp | ParamOp | OutputOp):
                size = _size(op.result, self.dims)
                self.ids[op.result] = len(self.ids)
                full = -1 if isinstance(op, OutputOp) else self.ids[op.result]
                self.outside[op.result] = np.full(size, full, np.int64)
            elif isinstance(op, IfOp):
                self.read(self.whole(op, op.flag))
                self.block((op.then_body if self.branch else op.else_body).block)
            elif isinstance(op, WhileOp):
                for _ in range(self.rounds):
                    self.block(op.condition.block)
                    self.block(op.body.block)
                self.block(op.condition.block)
            elif isinstance(op, ConditionOp):
                self.read(self.whole(op, op.flag))
            elif isinstance(op, CopyOp):
                self.apply(op, [self.whole(op, op.source)], [self.whole(op, op.target)], [])
            elif isinstance(op, FormOp):
                grid = Grid([it for it in op.iters.data if isinstance(it, IterAttr)], self.dims)
                reads = [self.touch(op, value, access, grid, "ins") for value, access in zip(op.ins, op.in_accesses)]
                reads += [self.touch(op, value, access, grid, "extra") for value, access in zip(op.extra, op.extra_accesses)]
                writes = [self.touch(op, value, access, grid, "outs") for value, access in zip(op.outs, op.out_accesses)]
                self.apply(op, reads, writes, list(op.scratch))

    def slot(self, op: SlotOp) -> None:
        start = op.offset.data.evaluate(self.dims)
        if start % 64:
            raise Broken(f"a slot at {start}")
        if start < 0 or start + self.slot_bytes(op) > len(self.owner):
            raise Broken("a slot outside of the arena")
        self.base[op.result] = start
        # A new id at every entry: what a round before left here is not this buffer's.
        self.ids[op.result] = self.ids.get(op.result, 0) + 1000 + len(self.ids)

    def slot_bytes(self, op: SlotOp) -> int:
        return _size(op.result, self.dims) if op.stride is None else op.stride.data.evaluate(self.dims) * self.dims["threads"]

    def whole(self, op: Operation, value: SSAValue) -> _Touch:
        assert isinstance(value.type, BufferType)
        grid = Grid([IterAttr.get(f"d{n}", "parallel", dim) for n, dim in enumerate(value.type.dims)], self.dims)
        return self.touch(op, value, AccessAttr.get([sym(name) for name in grid.names]), grid, "whole")

    def touch(self, op: Operation, value: SSAValue, access: AccessAttr, grid: Grid, segment: str) -> _Touch:
        key = (op, value, access, segment, self.key)
        if key not in self.truth.kept:
            self.truth.kept[key] = self.locate(value, access, grid)
        root, starts, width = self.truth.kept[key]
        return _Touch(root, segment, starts + self.base.get(root, 0), width)

    def locate(self, value: SSAValue, access: AccessAttr, grid: Grid) -> tuple[SSAValue, Array, int]:
        kind = value.type
        assert isinstance(kind, BufferType)
        view = Buffer(kind, self.dims, np.empty(0, np.uint8))
        indices = [grid.values(expr) for expr in access.exprs]
        for index, extent in zip(indices, view.shape, strict=True):
            if (index < 0).any() or (index >= extent).any():
                raise Broken("an index out of range")
        offset, root = 0, value
        while isinstance(root.owner, ViewOp):
            offset += root.owner.offset.data.evaluate(self.dims) if root.owner.offset is not None else 0
            root = root.owner.source
        width = dtypes.bit_width(kind.element_type) // 8
        return root, np.broadcast_to((view.offsets(indices) + offset) * width, grid.shape), width

    # -- marks

    def place(self, root: SSAValue) -> Array:
        return self.owner if root in self.base else self.outside[root]

    def read(self, touch: _Touch) -> None:
        if (self.place(touch.root)[touch.flat] != self.ids[touch.root]).any():
            raise Broken("a read of bytes that are not the buffer's")

    def apply(self, op: Operation, reads: list[_Touch], writes: list[_Touch], scratch: list[SSAValue]) -> None:
        for touch in reads:
            self.read(touch)
        written: list[_Touch] = []
        for result in writes:
            if isinstance(result.root.owner, InputOp | ParamOp):
                raise Broken("a write to an input")
            for other in (*reads, *written):
                if (other.root in self.base) == (result.root in self.base) and (other.root in self.base or other.root is result.root):
                    self.check_pair(op, other, result)
            written.append(result)
        for root in scratch:
            slot = root.owner
            assert isinstance(slot, SlotOp)
            span = slice(self.base[root], self.base[root] + self.slot_bytes(slot))
            self.marks[span] = True
            for touch in (*reads, *writes):
                if touch.root in self.base and self.marks[touch.flat].any():
                    raise Broken("scratch over an operand")
            self.marks[span] = False
            self.owner[span] = self.ids[root]
        for result in writes:
            self.place(result.root)[result.flat] = self.ids[result.root]

    def check_pair(self, op: Operation, other: _Touch, result: _Touch) -> None:
        marks = self.marks if result.root in self.base else np.zeros(len(self.outside[result.root]), np.bool_)
        marks[result.flat] = True
        hit = marks[other.flat].reshape(-1, other.width).any(axis=1).reshape(other.starts.shape)
        marks[result.flat] = False
        if not hit.any():
            return
        allowed = other.segment == IN_PLACE.get(type(op)) and other.width == result.width
        if not allowed or (hit & (other.starts != result.starts)).any():
            raise Broken("a point that reads what another writes")


def _size(value: SSAValue, dims: Mapping[str, int]) -> int:
    assert isinstance(value.type, BufferType)
    return value.type.size_bytes.evaluate(dims)


def all_dims(threads: Iterator[int] | None = None) -> list[dict[str, int]]:
    """Every value of the dims of the random programs; the team's size alternates."""
    counts = threads or itertools.cycle((1, 3))
    return [{"B": b, "S": s, "threads": next(counts)} for b in (3, 1, 2) for s in (2, 1)]

"""Ids in LLVM text: words of the hardware as indices, with the facts that the block gives."""

from __future__ import annotations

from math import prod

from xdsl.ir import Operation, SSAValue

from rlx_backends.gpu.llvm_isa import Isa, kernel_around
from rlx_backends.llvm.function import FunctionEmitter
from rlx_dialects.gpu import AXES
from rlx_dialects.gpu.ops import IdOp, LaneOp


def _index(f: FunctionEmitter, result: SSAValue, word: str) -> None:
    """Define an index as an unsigned word."""
    f.define(result, [word if word[0] != "%" else f.emit(f"zext nneg i32 {word} to i64")])


def _place(isa: Isa, f: FunctionEmitter, op: Operation, axis: str) -> str:
    around = kernel_around(op)
    limit = isa.facts.max_block[AXES.index(axis)] if around is None else around.block[AXES.index(axis)]
    return "0" if limit == 1 else isa.thread_id(f, axis, limit)


def thread_id(isa: Isa, f: FunctionEmitter, op: IdOp) -> None:
    _index(f, op.result, _place(isa, f, op, op.axis.data))


def block_id(isa: Isa, f: FunctionEmitter, op: IdOp) -> None:
    _index(f, op.result, isa.block_id(f, op.axis.data))


def block_dim(isa: Isa, f: FunctionEmitter, op: IdOp) -> None:
    around = kernel_around(op)
    if around is None:
        raise f.error(op, "only a kernel knows the size of its block", hint="pass it to the function as an argument")
    f.define(op.result, [str(around.block[AXES.index(op.axis.data)])])


def grid_dim(isa: Isa, f: FunctionEmitter, op: IdOp) -> None:
    _index(f, op.result, isa.grid_dim(f, op.axis.data))


def _thread_number(isa: Isa, f: FunctionEmitter, op: Operation, block: tuple[int, int, int]) -> str:
    """This thread's number in its block, counted x first."""
    number, stride = _place(isa, f, op, "x"), block[0]
    for axis, size in zip(AXES[1:], block[1:]):
        if size > 1:
            part = f.emit(f"mul nuw nsw i32 {_place(isa, f, op, axis)}, {stride}")
            number = f.emit(f"add nuw nsw i32 {number}, {part}")
        stride *= size
    return number


def lane(isa: Isa, f: FunctionEmitter, op: Operation) -> str:
    """This thread's lane, as a word."""
    around = kernel_around(op)
    if around is None:
        return isa.lane_id(f)
    number, width = _thread_number(isa, f, op, around.block), isa.facts.subgroup
    return number if prod(around.block) <= width else f.emit(f"and i32 {number}, {width - 1}")


def lane_id(isa: Isa, f: FunctionEmitter, op: LaneOp) -> None:
    _index(f, op.result, lane(isa, f, op))


def subgroup_id(isa: Isa, f: FunctionEmitter, op: LaneOp) -> None:
    around = kernel_around(op)
    if around is None:
        raise f.error(op, "only a kernel knows its subgroups", hint="pass the number to the function as an argument")
    width, threads = isa.facts.subgroup, prod(around.block)
    if threads <= width:
        f.define(op.result, ["0"])
        return
    number = _thread_number(isa, f, op, around.block)
    group = f.emit(f"lshr i32 {number}, {width.bit_length() - 1}")
    converged = op.parent_op() is around and threads % width == 0
    _index(f, op.result, isa.uniform(f, group, converged))

"""Exchange between the lanes of a subgroup, in LLVM text: shuffles, reductions by butterflies, votes."""

from __future__ import annotations

from math import prod

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import Operation, SSAValue

from rlx_backends.gpu.llvm_ids import lane
from rlx_backends.gpu.llvm_isa import Isa, kernel_around
from rlx_backends.llvm import casts
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.reductions import combiner
from rlx_backends.llvm.values import SIZES
from rlx_dialects.gpu.ops import ShuffleOp, SubgroupReduceOp, VoteOp

_WORD = 32


def whole_subgroups(isa: Isa, f: FunctionEmitter, op: Operation) -> None:
    """LowerError if the block ends in a part of a subgroup: lanes that do not exist cannot take part."""
    around = kernel_around(op)
    threads = isa.facts.subgroup if around is None else prod(around.block)
    if threads % isa.facts.subgroup:
        raise f.error(op, f"takes whole subgroups of {isa.facts.subgroup}, but the block has {threads} threads")


# -- scalars as words


def _to_words(f: FunctionEmitter, register: str, element: str) -> list[str]:
    """A scalar in registers of 32 bits, the low one first."""
    if element in ("float", "double"):
        integer = "i32" if element == "float" else "i64"
        register, element = f.emit(f"bitcast {element} {register} to {integer}"), integer
    if element == "i32":
        return [register]
    if SIZES[element] * 8 < _WORD:
        return [f.emit(f"zext {element} {register} to i32")]
    high = f.emit(f"lshr i64 {register}, {_WORD}")
    return [f.emit(f"trunc i64 {part} to i32") for part in (register, high)]


def _from_words(f: FunctionEmitter, words: list[str], element: str) -> str:
    if element in ("i32", "float"):
        register = words[0]
    elif SIZES[element] * 8 < _WORD:
        return f.emit(f"trunc i32 {words[0]} to {element}")
    else:
        low, high = (f.emit(f"zext i32 {word} to i64") for word in words)
        register = f.emit(f"or disjoint i64 {low}, {f.emit(f'shl nuw i64 {high}, {_WORD}')}")
    if element in ("float", "double"):
        return f.emit(f"bitcast {'i32' if element == 'float' else 'i64'} {register} to {element}")
    return register


# -- shuffles


def _constant(value: SSAValue) -> int | None:
    owner = value.owner
    if isinstance(owner, arith.ConstantOp) and isinstance(owner.value, IntegerAttr):
        return owner.value.value.data
    return None


def _source(f: FunctionEmitter, kind: str, mine: str, offset: str) -> str:
    """The number of the lane that is asked; out of range where there is none."""
    if kind == "idx":
        return offset
    instruction = {"xor": "xor", "up": "sub", "down": "add"}[kind]
    return f.emit(f"{instruction} i32 {mine}, {offset}")


def move(isa: Isa, f: FunctionEmitter, op: Operation, kind: str, words: list[str], offset: int | str) -> list[str]:
    """Words of another lane; `offset` is a constant or a register."""
    width = isa.facts.subgroup
    if isinstance(offset, int) and 0 < offset < width:
        moved = [isa.shuffle(f, kind, word, offset) for word in words]
        if None not in moved:
            return [word for word in moved if word is not None]
    mine = lane(isa, f, op)
    asked = _source(f, kind, mine, str(offset))
    exists = f.emit(f"icmp ult i32 {asked}, {width}")
    safe = f.emit(f"select i1 {exists}, i32 {asked}, i32 {mine}")
    return [isa.read_lane(f, word, safe) for word in words]


def shuffle(isa: Isa, f: FunctionEmitter, op: ShuffleOp) -> None:
    whole_subgroups(isa, f, op)
    element = f.type_of(op.source.type)
    constant = _constant(op.offset)
    words = _to_words(f, f.scalar(op.source), element)
    moved = move(isa, f, op, op.kind.data, words, f.scalar(op.offset) if constant is None else constant)
    f.define(op.result, [_from_words(f, moved, element)])


# -- reductions and votes


def reduce(isa: Isa, f: FunctionEmitter, op: SubgroupReduceOp) -> None:
    """Partners at half the width, then at a quarter, …: the same order on every target of equal width.

    Narrow floats are reduced in f32 and rounded once, at the end.
    """
    whole_subgroups(isa, f, op)
    type_ = op.source.type
    narrow = casts.is_narrow(type_)
    total = f.scalar(op.source)
    if narrow:
        total = casts.widen(f, total, type_, 0)
    element = "float" if narrow else f.type_of(type_)
    combine = combiner(f, op, element)
    distance = isa.facts.subgroup // 2
    while distance:
        words = move(isa, f, op, "xor", _to_words(f, total, element), distance)
        total = combine([total], [_from_words(f, words, element)], 0)[0]
        distance //= 2
    f.define(op.result, [casts.narrow(f, total, type_, 0) if narrow else total])


def vote(isa: Isa, f: FunctionEmitter, op: VoteOp) -> None:
    whole_subgroups(isa, f, op)
    f.define(op.result, [isa.vote(f, op.kind.data, f.scalar(op.source))])

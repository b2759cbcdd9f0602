"""Valid plans of many kinds, and blind changes to them. Each change returns what undoes it, or None where it does not apply."""

from __future__ import annotations

import random
from collections.abc import Callable

from xdsl.dialects.builtin import ArrayAttr
from xdsl.ir import Operation

from rlx_dialects.dims import DimExpr, ceildiv, const, sym
from rlx_dialects.lir import AccessAttr, CopyOp, FormOp, InputOp, ProgramOp, SlotOp
from rlx_dialects.rlx.types import DimExprAttr

Undo = Callable[[], None]


def slots(program: ProgramOp) -> list[SlotOp]:
    return [op for op in program.walk() if isinstance(op, SlotOp)]


def size_of(op: SlotOp) -> DimExpr:
    kind = op.result.type
    size = kind.size_bytes if op.stride is None else op.stride.data * sym("threads")  # pyright: ignore[reportAttributeAccessIssue]
    return ceildiv(size, 64) * 64


# -- other valid plans


def keep(program: ProgramOp, rng: random.Random) -> None:
    """The plan as it is."""


def stack(program: ProgramOp, rng: random.Random) -> None:
    """Every slot at bytes of its own, in random order, with gaps."""
    found = slots(program)
    rng.shuffle(found)
    top = const(0)
    for op in found:
        top = top + rng.choice((0, 0, 64, 128 * sym("B")))
        op.offset = DimExprAttr(top)
        top = top + size_of(op)
    program.arena = DimExprAttr(top)


def shift(program: ProgramOp, rng: random.Random) -> None:
    """The whole plan further up, and room above it."""
    by = rng.choice((64 * sym("B"), 64 * sym("B") * sym("S"), const(192)))
    for op in slots(program):
        op.offset = DimExprAttr(op.offset.data + by)
    assert program.arena is not None
    program.arena = DimExprAttr(program.arena.data + by + rng.choice((0, 64)))


# -- blind changes


def _set_offset(op: SlotOp, offset: DimExpr) -> Undo:
    before = op.offset

    def undo() -> None:
        op.offset = before

    op.offset = DimExprAttr(offset)
    return undo


def share(program: ProgramOp, rng: random.Random) -> Undo | None:
    """A slot to where another one lies."""
    found = slots(program)
    if len(found) < 2:
        return None
    a, b = rng.sample(found, 2)
    return _set_offset(a, b.offset.data)


def share_in_form(program: ProgramOp, rng: random.Random) -> Undo | None:
    """A result of a form to where one of its operands lies."""
    pairs = [
        (out.owner, operand.owner)
        for form in program.walk()
        if isinstance(form, FormOp | CopyOp)
        for out in (form.outs if isinstance(form, FormOp) else [form.target])
        for operand in form.operands
        if isinstance(out.owner, SlotOp) and isinstance(operand.owner, SlotOp) and out is not operand
    ]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    assert isinstance(a, SlotOp)
    assert isinstance(b, SlotOp)
    return _set_offset(a, b.offset.data)


def move(program: ProgramOp, rng: random.Random) -> Undo | None:
    found = slots(program)
    if not found:
        return None
    op = rng.choice(found)
    by = rng.choice((const(-64), const(64), const(-128), 64 * sym("B"), -64 * sym("B"), const(32), 4 * sym("B"), -op.offset.data))
    return _set_offset(op, op.offset.data + by)


def shrink(program: ProgramOp, rng: random.Random) -> Undo:
    before = program.arena
    assert before is not None

    def undo() -> None:
        program.arena = before

    program.arena = DimExprAttr(before.data - rng.choice((64, 4096)))
    return undo


def _work(program: ProgramOp) -> list[Operation]:
    return [op for op in program.walk() if isinstance(op, FormOp | CopyOp)]


def swap(program: ProgramOp, rng: random.Random) -> Undo | None:
    """Two neighbours of the schedule the other way round."""
    pairs = [(op, op.next_op) for op in _work(program) if isinstance(op.next_op, FormOp | CopyOp)]
    if not pairs:
        return None
    first, second = rng.choice(pairs)
    block = first.parent
    assert block is not None
    assert second is not None
    first.detach()
    block.insert_op_after(first, second)

    def undo() -> None:
        first.detach()
        block.insert_op_before(first, second)

    return undo


def drop(program: ProgramOp, rng: random.Random) -> Undo | None:
    op = rng.choice(_work(program))
    block, before = op.parent, op.next_op
    assert block is not None
    op.detach()

    def undo() -> None:
        if before is None:
            block.add_op(op)
        else:
            block.insert_op_before(op, before)

    return undo


def misread(program: ProgramOp, rng: random.Random) -> Undo | None:
    """One index of one operand off by one."""
    form = rng.choice([op for op in program.walk() if isinstance(op, FormOp)])
    accesses = list(form.accesses.data)
    position = rng.randrange(len(accesses))
    access = accesses[position]
    assert isinstance(access, AccessAttr)
    if not access.exprs:
        return None
    exprs = list(access.exprs)
    axis = rng.randrange(len(exprs))
    exprs[axis] = exprs[axis] + rng.choice((1, -1))
    before = form.accesses
    form.accesses = ArrayAttr([*accesses[:position], AccessAttr.get(exprs), *accesses[position + 1 :]])

    def undo() -> None:
        form.accesses = before

    return undo


def overwrite(program: ProgramOp, rng: random.Random) -> Undo | None:
    """A result goes into an input of its type."""
    inputs = [op.result for op in program.block.ops if isinstance(op, InputOp)]
    choices = [
        (form, at, given)
        for form in program.walk()
        if isinstance(form, FormOp)
        for at, value in enumerate(form.operands)
        for given in inputs
        if value in form.outs and value.type == given.type
    ]
    if not choices:
        return None
    form, at, given = rng.choice(choices)
    before = form.operands[at]
    form.operands[at] = given

    def undo() -> None:
        form.operands[at] = before

    return undo


MUTATIONS = (share, share, share_in_form, share_in_form, move, move, shrink, swap, drop, misread, overwrite)

"""Questions that patterns on MIR ask of a value: who reads it, is it one number, where does it come from."""

from __future__ import annotations

from xdsl.ir import Operation, SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr
from rlx_dialects.rlx import shaped_type


def only_user(value: SSAValue) -> Operation | None:
    """The operation that reads `value`, if it has exactly one use. Being an output is a use, by the return."""
    use = value.get_user_of_unique_use()
    return use


def dims(value: SSAValue) -> tuple[DimExpr, ...]:
    """The shape of a tensor or state."""
    return shaped_type(value).dims


def scalar_constant(value: SSAValue) -> mir.ConstantOp | None:
    """The constant of which every element of `value` is the one element, seen through broadcasts, reshapes and transposes."""
    owner = value.owner
    while isinstance(owner, mir.BroadcastOp | mir.ReshapeOp | mir.TransposeOp):
        owner = owner.x.owner
    return owner if isinstance(owner, mir.ConstantOp) and owner.is_splat() else None


def number(value: SSAValue) -> float | int | bool | None:
    """The number that every element of `value` is, if it is known."""
    constant = scalar_constant(value)
    return None if constant is None else constant.elements()[0]


def is_before(a: Operation, b: Operation) -> bool:
    """Does `a` stand before `b` in the same block?"""
    return a.parent is b.parent and a is not b and a.is_before_in_block(b)


def available_at(value: SSAValue, op: Operation) -> bool:
    """Is `value` defined before `op`, in its block or as an argument of it?"""
    owner = value.owner
    return not isinstance(owner, Operation) or is_before(owner, op)

"""Reading what masks the scores of an attention written in primitive ops.

Scores are [batch, head, query, key]; rank 3 scores have no head axis. A mask is an addend or a `select` against a very
negative number, usually broadcast from something smaller; what it says is either a rule on positions or a tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from rlx_dialects import mir
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.mir.shapes import is_number
from rlx_dialects.rlx import tensor_type
from rlx_passes.support.mir_values import dims, number

BATCH, HEAD, QUERY, KEY = range(4)

EXCLUDING = -1e30
"""A fill at or below this takes a key out: its weight is 0 in f32 and f64, and adding a score to it changes no bit in f32."""


@dataclass(frozen=True)
class Positions:
    """Key j is allowed for query i if j <= i + past and, with a window, j >= i + past - window."""

    past: DimExpr
    window: int | None = None


@dataclass(frozen=True)
class Small:
    """A tensor and the score axis of each of its axes, increasing; it is repeated along the others and where it has length 1."""

    value: SSAValue
    axes: tuple[int, ...]

    def shape(self) -> list[DimExpr]:
        """Its shape with all four axes, 1 where it is repeated."""
        shape = [const(1)] * 4
        for dim, axis in zip(dims(self.value), self.axes):
            shape[axis] = dim
        return shape


def score_axes(rank: int) -> tuple[int, ...]:
    """The score axis of each axis of a tensor of scores."""
    return (BATCH, HEAD, QUERY, KEY) if rank == 4 else (BATCH, QUERY, KEY)


def smallest(value: SSAValue) -> Small:
    """Look through the broadcasts that made a tensor of the shape of the scores."""
    axes = score_axes(len(dims(value)))
    while isinstance(owner := value.owner, mir.BroadcastOp):
        axes = tuple(axes[axis] for axis in owner.result_axes)
        value = owner.x
    return Small(value, axes)


def positions(condition: SSAValue, facts: Facts, *, negated: bool) -> Positions | None:
    """The rule on positions that the scores-shaped `condition` (or its opposite) states, if it is one."""
    small = smallest(condition)
    owner = small.value.owner
    if isinstance(owner, mir.LogicalNotOp):
        return _positions(owner.x, small.axes, facts, not negated)
    return _positions(small.value, small.axes, facts, negated)


def _positions(condition: SSAValue, axes: tuple[int, ...], facts: Facts, negated: bool) -> Positions | None:
    owner = condition.owner
    if isinstance(owner, mir.AndOp) and not negated:
        sides = [_limit(value, axes, False) for value in (owner.lhs, owner.rhs)]
    else:
        sides = [_limit(condition, axes, negated)]
    uppers = [bound for kind, bound in filter(None, sides) if kind == "upper"]
    lowers = [bound for kind, bound in filter(None, sides) if kind == "lower"]
    if len(uppers) != 1 or len(uppers) + len(lowers) != len(sides) or not facts.prove_le(0, uppers[0]):
        return None
    if not lowers:
        return Positions(uppers[0])
    window = uppers[0] - lowers[0]
    return Positions(uppers[0], window.value) if window.is_const and window.value >= 0 else None


_Relation = type[mir.LeOp] | type[mir.LtOp] | type[mir.GeOp] | type[mir.GtOp]
_SWAPPED: dict[_Relation, _Relation] = {mir.LeOp: mir.GeOp, mir.LtOp: mir.GtOp, mir.GeOp: mir.LeOp, mir.GtOp: mir.LtOp}
_OPPOSITE: dict[_Relation, _Relation] = {mir.LeOp: mir.GtOp, mir.LtOp: mir.GeOp, mir.GeOp: mir.LtOp, mir.GtOp: mir.LeOp}


def _limit(condition: SSAValue, axes: tuple[int, ...], negated: bool) -> tuple[str, DimExpr] | None:
    """('upper', c) for key <= query + c, ('lower', c) for key >= query + c."""
    owner = condition.owner
    while isinstance(owner, mir.BroadcastOp):
        axes = tuple(axes[axis] for axis in owner.result_axes)
        owner = owner.x.owner
    if not isinstance(owner, mir.LeOp | mir.LtOp | mir.GeOp | mir.GtOp):
        return None
    lhs, rhs = _index(owner.lhs, axes), _index(owner.rhs, axes)
    if lhs is None or rhs is None:
        return None
    relation = _OPPOSITE[type(owner)] if negated else type(owner)
    if (lhs[0], rhs[0]) == ({QUERY: 1}, {KEY: 1}):
        lhs, rhs, relation = rhs, lhs, _SWAPPED[relation]
    elif (lhs[0], rhs[0]) != ({KEY: 1}, {QUERY: 1}):
        return None
    offset = rhs[1] - lhs[1]
    if relation in (mir.LeOp, mir.LtOp):
        return "upper", offset if relation is mir.LeOp else offset - 1
    return "lower", offset if relation is mir.GeOp else offset + 1


def _index(value: SSAValue, axes: Sequence[int]) -> tuple[dict[int, int], DimExpr] | None:
    """A tensor of integers as (score axis -> factor of its index, constant part)."""
    owner = value.owner
    match owner:
        case mir.BroadcastOp():
            return _index(owner.x, [axes[axis] for axis in owner.result_axes])
        case mir.ReshapeOp():
            kept = [axis for axis, dim in zip(axes, dims(value)) if dim != 1]
            source = dims(owner.x)
            return _index(owner.x, kept) if list(source) == [dim for dim in dims(value) if dim != 1] else None
        case mir.IotaOp():
            return {axes[0]: 1}, const(0)
        case mir.DimValueOp():
            return {}, owner.expr.data
        case mir.ConstantOp():
            n = number(value)
            return ({}, const(n)) if isinstance(n, int) and not isinstance(n, bool) else None
        case mir.CastOp():
            return _index(owner.x, axes) if is_number(tensor_type(owner.x).element_type) else None
        case mir.SliceOp():
            inner = _index(owner.x, axes)
            if inner is None or any(step != 1 for step in owner.steps):
                return None
            return inner[0], inner[1] + sum((inner[0].get(axis, 0) * s for axis, s in zip(axes, owner.starts.data)), const(0))
        case mir.AddOp() | mir.SubOp():
            sides = _index(owner.lhs, axes), _index(owner.rhs, axes)
            if sides[0] is None or sides[1] is None:
                return None
            sign = 1 if isinstance(owner, mir.AddOp) else -1
            total = dict(sides[0][0])
            for axis, factor in sides[1][0].items():
                total[axis] = total.get(axis, 0) + sign * factor
            return {axis: factor for axis, factor in total.items() if factor}, sides[0][1] + sides[1][1] * sign
        case _:
            return None

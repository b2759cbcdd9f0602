"""Shape and dtype checks shared by the inference rules of MIR ops.

`Known` is what inference may rely on. While a module is being built nothing is known of its symbols, so only contradictions
are refused; the verifier passes the module's facts and then what cannot be proved is refused as well, if it is an equality.
Inequalities that cannot be decided are collected in `needs`: they become guards at the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.ir import Attribute
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr, DimLike, as_expr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.rlx import StateType, TensorType, dtypes
from rlx_dialects.rlx.types import shape_text

Shaped = TensorType | StateType


@dataclass(frozen=True)
class Need:
    """`lhs <= rhs` must hold at run time; `what` says for whom."""

    lhs: DimExpr
    rhs: DimExpr
    what: str


class Known:
    """Facts about the symbols in scope (None while building), and the inequalities met that they do not decide."""

    def __init__(self, facts: Facts | None = None):
        self.facts = facts
        self.needs: list[Need] = []

    def equal(self, a: DimLike, b: DimLike, what: str) -> None:
        """Refuse dims that differ, or that no fact makes equal."""
        a, b = as_expr(a), as_expr(b)
        if a is b:
            return
        difference = a - b
        if difference.is_const:
            raise VerifyException(f"{what}: {a} and {b} differ")
        if self.facts is None:
            return
        verdict = self.facts.prove_eq(a, b)
        if verdict is False:
            raise VerifyException(f"{what}: {a} and {b} differ")
        if verdict is None:
            raise VerifyException(
                f"{what}: cannot prove {a} == {b}; if it always holds, state it: b.constrain({a} == {b})"
            )

    def at_most(self, a: DimLike, b: DimLike, what: str) -> None:
        """Refuse a > b; an open question becomes a need."""
        a, b = as_expr(a), as_expr(b)
        difference = b - a
        if difference.is_const:
            verdict = difference.value >= 0
        else:
            verdict = self.facts.prove_le(a, b) if self.facts is not None else None
        if verdict is False:
            raise VerifyException(f"{what}: {a} exceeds {b}")
        if verdict is None:
            self.needs.append(Need(a, b, what))

    def divides(self, divisor: DimLike, value: DimLike, what: str) -> None:
        """Refuse a `value` that is not proved a multiple of `divisor`."""
        divisor, value = as_expr(divisor), as_expr(value)
        rest = value % divisor
        if rest is const(0):
            return
        verdict = False if rest.is_const else self.facts.prove_divides(divisor, value) if self.facts is not None else True
        if not verdict:
            raise VerifyException(f"{what}: {value} is not a multiple of {divisor}")

    def same_dims(self, a: Sequence[DimExpr], b: Sequence[DimExpr], what: str) -> None:
        if a == b:
            return
        if len(a) != len(b):
            raise VerifyException(f"{what}: shapes {shape(a)} and {shape(b)} have different ranks")
        for position, (left, right) in enumerate(zip(a, b)):
            self.equal(left, right, f"{what}: shapes {shape(a)} and {shape(b)} at dim {position}")

    def same_type(self, a: Shaped, b: Shaped, what: str) -> None:
        if a is b:
            return
        same_dtype(a, b, what)
        self.same_dims(a.dims, b.dims, what)


UNPROVED = Known()
"""For building: only contradictions are refused. Its needs are never read."""


def shape(dims: Iterable[DimExpr]) -> str:
    return f"[{', '.join(map(str, dims))}]"


def type_text(t: Shaped) -> str:
    return f"{shape_text(t.dims)}{t.element_type}"


def same_dtype(a: Shaped, b: Shaped, what: str) -> None:
    if a.element_type != b.element_type:
        raise VerifyException(f"{what}: element types {a.element_type} and {b.element_type} differ; insert a mir.cast")


def require_rank(t: Shaped, rank: int, what: str) -> None:
    if t.rank != rank:
        raise VerifyException(f"{what} must have rank {rank}, found {type_text(t)}")


def require_axis(axis: int, t: Shaped, what: str = "axis") -> None:
    if not 0 <= axis < t.rank:
        raise VerifyException(f"{what} {axis} is outside of [0, {t.rank - 1}], the axes of {type_text(t)}")


def require_choice(value: str, choices: Sequence[str], what: str) -> None:
    if value not in choices:
        raise VerifyException(f"{what} is '{value}'; it must be one of {', '.join(choices)}")


def is_bool(element_type: Attribute) -> bool:
    return element_type == dtypes.BOOL


def is_number(element_type: Attribute) -> bool:
    return dtypes.is_float(element_type) or (dtypes.is_int(element_type) and not is_bool(element_type))


CLASSES = {
    "float": dtypes.is_float,
    "signed": lambda e: dtypes.is_float(e) or dtypes.is_signed_int(e),
    "number": is_number,
    "bool": is_bool,
    "int": lambda e: dtypes.is_int(e) and not is_bool(e),
    "bits": lambda e: dtypes.is_int(e) or is_bool(e),
}
"""Classes of element types by name."""

_CLASS_TEXT = {
    "float": "a float type",
    "signed": "a float or signed integer type",
    "number": "a float or integer type",
    "bool": "i1",
    "int": "an integer type",
    "bits": "i1 or an integer type",
}


def require_elements(t: Shaped, wanted: str, what: str = "operand") -> None:
    """Refuse an element type outside of the class `wanted` (a key of CLASSES)."""
    if not CLASSES[wanted](t.element_type):
        raise VerifyException(f"{what} needs {_CLASS_TEXT[wanted]} as element type, found {t.element_type}")


def product(dims: Iterable[DimExpr]) -> DimExpr:
    total = const(1)
    for dim in dims:
        total = total * dim
    return total

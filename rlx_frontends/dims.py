"""Dims as a user writes them: symbols with bounds, arithmetic on them, and constraints between them.

A `Dim` knows the declarations of the symbols in it, so that a model learns them where the dim is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from rlx_dialects.dims import DimExpr, as_expr, ceildiv, floordiv, mod, sym
from rlx_dialects.dims.bounds import INDEX_MAX
from rlx_dialects.dims.facts import SymbolFacts
from rlx_runtime.errors import ShapeError

DimLike: TypeAlias = "Dim | DimExpr | int"


class Dim:
    """A symbolic dimension: `Dim("S", 1, 512)`, or an expression such as `B * S`, `S + 1`, `(S + 1) // 2`.

    Args:
        name: an identifier; equal names in one model are one symbol.
        lower, upper: the range, both ends included. multiple_of: every value is a multiple of this.
        runtime: the value decides no layout and no offset, so that one compiled program serves all values.

    `==`, `<=`, `<`, `>=`, `>` give a `Constraint` for `ModelBuilder.constrain`. ShapeError for an empty range.
    """

    __slots__ = ("declared", "expr")

    def __init__(self, name: str, lower: int = 0, upper: int = INDEX_MAX, *, multiple_of: int = 1, runtime: bool = False) -> None:
        if not name.isidentifier():
            raise ShapeError(f"a dim is named by an identifier, found {name!r}")
        try:
            facts = SymbolFacts(name, lower, upper, multiple_of, runtime)
        except ValueError as error:
            raise ShapeError(str(error)) from None
        self.expr = sym(name)
        self.declared: Mapping[str, SymbolFacts] = {name: facts}

    @classmethod
    def of(cls, value: DimLike, declared: Mapping[str, SymbolFacts] | None = None) -> Dim:
        """A dim from an integer or an expression; `declared` says what its symbols are."""
        if isinstance(value, Dim):
            return value
        dim = object.__new__(cls)
        dim.expr = as_expr(value)
        dim.declared = {name: facts for name, facts in (declared or {}).items() if name in dim.expr.symbols}
        return dim

    # -- queries

    @property
    def name(self) -> str:
        """The name of a symbol; ShapeError for other expressions."""
        return self._facts.name

    @property
    def lower(self) -> int:
        return self._facts.lower

    @property
    def upper(self) -> int:
        return self._facts.upper

    @property
    def multiple_of(self) -> int:
        return self._facts.multiple_of

    @property
    def runtime(self) -> bool:
        return self._facts.runtime

    @property
    def _facts(self) -> SymbolFacts:
        if not self.expr.is_symbol:
            raise ShapeError(f"'{self}' is not a symbol")
        name = str(self.expr)
        return self.declared.get(name) or SymbolFacts(name)

    def __str__(self) -> str:
        return str(self.expr)

    def __repr__(self) -> str:
        return f"Dim({self})"

    def __hash__(self) -> int:
        return hash(self.expr)

    # -- arithmetic

    def __add__(self, other: DimLike) -> Dim:
        return _combine(self, other, self.expr + _expr(other))

    def __sub__(self, other: DimLike) -> Dim:
        return _combine(self, other, self.expr - _expr(other))

    def __rsub__(self, other: DimLike) -> Dim:
        return _combine(self, other, _expr(other) - self.expr)

    def __mul__(self, other: DimLike) -> Dim:
        return _combine(self, other, self.expr * _expr(other))

    def __floordiv__(self, other: DimLike) -> Dim:
        return _combine(self, other, _positive(floordiv, self, other))

    def __rfloordiv__(self, other: DimLike) -> Dim:
        return _combine(self, other, _positive(floordiv, other, self))

    def __mod__(self, other: DimLike) -> Dim:
        return _combine(self, other, _positive(mod, self, other))

    def __rmod__(self, other: DimLike) -> Dim:
        return _combine(self, other, _positive(mod, other, self))

    __radd__ = __add__
    __rmul__ = __mul__

    def ceildiv(self, other: DimLike) -> Dim:
        """⌈self / other⌉."""
        return _combine(self, other, _positive(ceildiv, self, other))

    # -- constraints

    def __eq__(self, other: object) -> Constraint:
        if not isinstance(other, Dim | DimExpr | int):
            return NotImplemented
        return Constraint(self, "==", Dim.of(other))

    def __ne__(self, other: object) -> bool:
        return NotImplemented if not isinstance(other, Dim | DimExpr | int) else not self == other

    def __le__(self, other: DimLike) -> Constraint:
        return Constraint(self, "<=", Dim.of(other))

    def __lt__(self, other: DimLike) -> Constraint:
        return Constraint(self + 1, "<=", Dim.of(other))

    def __ge__(self, other: DimLike) -> Constraint:
        return Constraint(Dim.of(other), "<=", self)

    def __gt__(self, other: DimLike) -> Constraint:
        return Constraint(Dim.of(other) + 1, "<=", self)


@dataclass(frozen=True, eq=False)
class Constraint:
    """`lhs == rhs` or `lhs <= rhs`, to be stated with `ModelBuilder.constrain`.

    Its truth is known only where the two sides differ by a number; otherwise `bool()` raises TypeError.
    """

    lhs: Dim
    relation: str
    rhs: Dim

    def __str__(self) -> str:
        return f"{self.lhs} {self.relation} {self.rhs}"

    def __bool__(self) -> bool:
        difference = self.rhs.expr - self.lhs.expr
        if difference.is_const:
            return difference.value == 0 if self.relation == "==" else difference.value >= 0
        raise TypeError(f"whether {self} holds depends on the values; state it with b.constrain({self})")


def merge(known: Mapping[str, SymbolFacts], more: Mapping[str, SymbolFacts]) -> dict[str, SymbolFacts]:
    """Both sets of declarations; ShapeError where they disagree."""
    for name, facts in more.items():
        if name in known and known[name] != facts:
            raise ShapeError(f"dim '{name}' is declared as {_text(known[name])} and as {_text(facts)}")
    return {**known, **more}


def _text(facts: SymbolFacts) -> str:
    multiple = f" multiple_of {facts.multiple_of}" if facts.multiple_of > 1 else ""
    return f"[{facts.lower}, {facts.upper}]{multiple}{' runtime' if facts.runtime else ''}"


def _expr(value: DimLike) -> DimExpr:
    return value.expr if isinstance(value, Dim) else as_expr(value)


def _combine(a: DimLike, b: DimLike, expr: DimExpr) -> Dim:
    declared: Mapping[str, SymbolFacts] = {}
    for value in (a, b):
        if isinstance(value, Dim):
            declared = merge(declared, value.declared)
    return Dim.of(expr, declared)


def _positive(function: Callable[[DimExpr, DimExpr], DimExpr], a: DimLike, b: DimLike) -> DimExpr:
    try:
        return function(_expr(a), _expr(b))
    except ZeroDivisionError as error:
        raise ShapeError(str(error)) from None

"""What is known about symbols, and a three-valued prover.

`Facts` holds a range and a divisor per symbol, stated equalities and stated inequalities. Answers are `True` or `False` only if
they hold for every assignment within the facts, and `None` otherwise. A symbol nobody declared lies in [0, 2^31 - 1].
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

from rlx_dialects.dims.bounds import INDEX_MAX, Bounds
from rlx_dialects.dims.expr import Atom, DimExpr, DimLike, as_expr, const, floordiv, maximum, minimum, mod, sym
from rlx_dialects.dims.simplify import Simplifier

Relation = tuple[DimLike, DimLike]


@dataclasses.dataclass(frozen=True)
class SymbolFacts:
    """One symbol: lower <= value <= upper, a multiple of `multiple_of`; `runtime` ones may not decide a layout or an offset.

    ValueError if no value satisfies this.
    """

    name: str
    lower: int = 0
    upper: int = INDEX_MAX
    multiple_of: int = 1
    runtime: bool = False

    def __post_init__(self) -> None:
        sym(self.name)
        if self.multiple_of < 1:
            raise ValueError(f"dimension '{self.name}': multiple_of must be at least 1, found {self.multiple_of}")
        if self.lower + -self.lower % self.multiple_of > self.upper:
            raise ValueError(f"dimension '{self.name}': no multiple of {self.multiple_of} lies in [{self.lower}, {self.upper}]")


class Facts:
    """Immutable knowledge about symbols; answers are cached per instance.

    Args:
        symbols: ranges and divisors, at most one entry per name.
        equalities: pairs (a, b) with a == b. A pair that is affine in some symbol with factor ±1 replaces that symbol.
        inequalities: pairs (a, b) with a <= b.

    ValueError for a name declared twice, or if the statements contradict each other visibly.
    """

    def __init__(
        self, symbols: Iterable[SymbolFacts] = (), equalities: Iterable[Relation] = (), inequalities: Iterable[Relation] = ()
    ):
        self.symbols: dict[str, SymbolFacts] = {}
        for facts in symbols:
            if facts.name in self.symbols:
                raise ValueError(f"dimension '{facts.name}' is declared twice")
            self.symbols[facts.name] = facts
        self.equalities = tuple((as_expr(a), as_expr(b)) for a, b in equalities)
        self.inequalities = tuple((as_expr(a), as_expr(b)) for a, b in inequalities)
        self._ranges = {s.name: _aligned(s.lower, s.upper, s.multiple_of) for s in self.symbols.values()}
        self._multiples = {s.name: s.multiple_of for s in self.symbols.values() if s.multiple_of > 1}
        self._replace: dict[str, DimExpr] = {}
        self._zeros: set[DimExpr] = set()
        slacks: list[DimExpr] = []
        for a, b in self.equalities:
            self._use_equality(a, b, slacks)
        slacks += [self._replaced(b - a) for a, b in self.inequalities]
        # What replaced a symbol inherits the symbol's range.
        for name, expr in self._replace.items():
            low, high = self._ranges.get(name, (0, INDEX_MAX))
            slacks += [self._replaced(expr) - low, high - self._replaced(expr)]
        self._refine_ranges(slacks)
        for name, (low, high) in self._ranges.items():
            if low == high and name not in self._replace:
                self._replace[name] = const(low)
        self._replace = {name: self._replaced(expr) for name, expr in self._replace.items()}
        self._bounds = Bounds(self._ranges, self._multiples, *self._symbolic_bounds(slacks))
        self._simplifier = Simplifier(self._bounds)
        self._resolved: dict[DimExpr, DimExpr] = {}
        self._simplified: dict[DimExpr, DimExpr] = {}
        self._iterations: dict[tuple[tuple[str, DimExpr], ...], Facts] = {}
        self._equal: dict[DimExpr, bool | None] = {}
        self._at_most: dict[DimExpr, bool | None] = {}

    # -- questions

    def symbol(self, name: str) -> SymbolFacts:
        """What was declared for `name`, or the default range."""
        return self.symbols.get(name) or SymbolFacts(name)

    def resolve(self, expr: DimLike) -> DimExpr:
        """`expr` with stated equalities and one-valued symbols substituted."""
        expr = as_expr(expr)
        if not self._replace:
            return expr
        found = self._resolved.get(expr)
        if found is None:
            found = self._resolved[expr] = expr.substitute(self._replace)
        return found

    def simplify(self, expr: DimLike) -> DimExpr:
        """An expression of equal value within the facts, with what ranges and divisors decide removed."""
        expr = as_expr(expr)
        found = self._simplified.get(expr)
        if found is None:
            found = self._simplified[expr] = self._simplifier.simplify(self.resolve(expr))
        return found

    def bounds(self, expr: DimLike) -> tuple[int | None, int | None]:
        """(lowest, highest) value `expr` can be shown to stay within; None for an end that is not known."""
        return self._bounds.tight(self.simplify(expr))

    def divisor(self, expr: DimLike) -> int:
        """An integer that divides `expr` for every assignment; 0 if it is always 0."""
        return self._bounds.divisor(self.simplify(expr))

    def prove_eq(self, a: DimLike, b: DimLike) -> bool | None:
        a, b = as_expr(a), as_expr(b)
        if a is b:
            return True
        difference = a - b
        if difference not in self._equal:
            self._equal[difference] = self._prove_zero(self.simplify(difference))
        return self._equal[difference]

    def prove_le(self, a: DimLike, b: DimLike) -> bool | None:
        difference = as_expr(b) - a
        if difference.is_const:
            return difference.value >= 0
        if difference not in self._at_most:
            self._at_most[difference] = self._prove_nonnegative(self.resolve(difference))
        return self._at_most[difference]

    def prove_lt(self, a: DimLike, b: DimLike) -> bool | None:
        return self.prove_le(as_expr(a) + 1, b)

    def prove_divides(self, divisor: DimLike, expr: DimLike) -> bool | None:
        """Whether `divisor` divides `expr`; ValueError for a constant divisor below 1."""
        divisor, expr = self.simplify(divisor), self.simplify(expr)
        if divisor.is_const and divisor.value < 1:
            raise ValueError(f"divisibility by {divisor} is not defined")
        rest = self.simplify(mod(expr, divisor))
        if not rest.terms:
            return True
        return False if self._bounds.nonnegative(rest - 1) else None

    def admits(self, env: Mapping[str, int]) -> bool:
        """Whether the values of `env` keep every range, divisor, equality and inequality that mentions no other symbol."""
        for name, value in env.items():
            known = self.symbol(name)
            if not known.lower <= value <= known.upper or value % known.multiple_of:
                return False
        stated = [(a, b) for a, b in (*self.equalities, *self.inequalities) if (a - b).symbols <= env.keys()]
        equal = {(a, b) for a, b in self.equalities}
        return all(
            a.evaluate(env) == b.evaluate(env) if (a, b) in equal else a.evaluate(env) <= b.evaluate(env) for a, b in stated
        )

    def upper_without(self, expr: DimLike, names: Iterable[str]) -> DimExpr:
        """An expression that is at least `expr` within the facts and mentions none of `names`.

        `B * S * (S + P)` without P is `B * S * 4096` where `S + P <= 4096` is stated.
        """
        return self.simplify(self._outer(self.simplify(expr), frozenset(names), 1))

    def _outer(self, expr: DimExpr, names: frozenset[str], side: int) -> DimExpr:
        """An upper (side 1) or lower (side -1) bound of `expr` free of `names`."""
        for name in sorted(names & expr.symbols):
            factor = expr.coefficient(name)
            sign = self._sign(factor) * side if factor is not None else 0
            if factor is None or not sign:
                continue
            low, high = self._bounds.atom_interval(("sym", name))
            stated = (self._bounds.at_most if sign > 0 else self._bounds.at_least).get(name, [])
            ends = [end for end in stated if names.isdisjoint(end.symbols)]
            constant = const(high if sign > 0 else low)
            # A stated relation is the sharper end wherever it is not provably the worse one.
            end = next((e for e in ends if self.prove_le(*((constant, e) if sign > 0 else (e, constant))) is not True), constant)
            expr = expr - factor * sym(name) + factor * end
        if names.isdisjoint(expr.symbols):
            return expr
        total = const(0)
        for monomial, scale in expr.terms:
            term = const(scale)
            for atom in monomial:
                whole = DimExpr((((atom,), 1),))
                sign = self._sign(term) * side
                if names.isdisjoint(whole.symbols):
                    term = term * whole
                elif sign:
                    term = term * self._outer_atom(atom, names, sign)
                else:
                    low, high = self._bounds.interval(term * whole)
                    term = const(high if side > 0 else low)
            total = total + term
        return total

    def _outer_atom(self, atom: Atom, names: frozenset[str], side: int) -> DimExpr:
        low, high = self._bounds.atom_interval(atom)
        constant = const(high if side > 0 else low)
        if atom[0] in ("min", "max"):
            combine = minimum if atom[0] == "min" else maximum
            return combine(self._outer(atom[1], names, side), self._outer(atom[2], names, side))
        if atom[0] == "floordiv" and names.isdisjoint(atom[2].symbols):
            return floordiv(self._outer(atom[1], names, side), atom[2])
        return constant

    def _sign(self, expr: DimExpr) -> int:
        """1 or -1 where `expr` is provably >= 0 or <= 0, else 0."""
        return 1 if self._bounds.nonnegative(expr) else -1 if self._bounds.nonnegative(-expr) else 0

    # -- derived facts

    def with_symbols(self, extra: Iterable[SymbolFacts], inequalities: Iterable[Relation] = ()) -> Facts:
        """These facts with `extra` symbols (in place of ones of the same name) and further inequalities."""
        symbols = self.symbols | {facts.name: facts for facts in extra}
        return Facts(symbols.values(), self.equalities, (*self.inequalities, *inequalities))

    def with_iteration(self, extents: Mapping[str, DimLike]) -> Facts:
        """These facts with iteration dims: each name lies in [0, extent); later extents may mention earlier names."""
        key = tuple((name, as_expr(extent)) for name, extent in extents.items())
        found = self._iterations.get(key)
        if found is None:
            found = self._iterations[key] = self._iterating(key)
        return found

    def _iterating(self, extents: Iterable[tuple[str, DimExpr]]) -> Facts:
        symbols: list[SymbolFacts] = []
        limits: list[Relation] = []
        facts = self
        for name, extent in extents:
            if not extent.symbols.isdisjoint(facts_of.name for facts_of in symbols):
                facts = self.with_symbols(symbols, limits)
            high = facts.bounds(extent)[1]
            symbols.append(SymbolFacts(name, 0, max(0, (INDEX_MAX if high is None else high) - 1)))
            # Nothing runs over an extent that is never positive, so nothing need be known of its index there.
            if not extent.is_const and (high is None or high > 0):
                limits.append((sym(name), extent - 1))
        return self.with_symbols(symbols, limits)

    # -- proofs

    def _prove_zero(self, difference: DimExpr) -> bool | None:
        if not difference.terms or difference in self._zeros:
            return True
        if difference.is_const:
            return False
        modulus, constant = self._bounds.residue(difference)
        if modulus and constant % modulus:
            return False
        nonnegative = self._bounds.nonnegative
        if nonnegative(difference - 1) or nonnegative(-difference - 1):
            return False
        return True if nonnegative(difference) and nonnegative(-difference) else None

    def _prove_nonnegative(self, difference: DimExpr) -> bool | None:
        nonnegative = self._bounds.nonnegative
        for expr in (difference, self._simplifier.simplify(difference)):
            if nonnegative(expr) or expr in self._zeros:
                return True
            if nonnegative(-expr - 1):
                return False
        return None

    # -- construction

    def _replaced(self, expr: DimExpr) -> DimExpr:
        while not expr.symbols.isdisjoint(self._replace):
            expr = expr.substitute(self._replace)
        return expr

    def _use_equality(self, a: DimExpr, b: DimExpr, slacks: list[DimExpr]) -> None:
        difference = self._replaced(a - b)
        if difference.is_const:
            if difference.value:
                raise ValueError(f"'{a} == {b}' cannot hold together with the other constraints")
            return
        order = list(self.symbols)
        candidates = sorted(difference.symbols, key=lambda name: (order.index(name) if name in order else len(order), name))
        for name in reversed(candidates):
            factor = difference.coefficient(name)
            if factor is None or not factor.is_const or abs(factor.value) != 1:
                continue
            value = (difference - factor * sym(name)) * -factor.value
            if self._multiples.get(name, 1) > 1 and not self._move_multiple(name, value):
                continue
            self._replace[name] = value
            return
        self._zeros |= {difference, -difference}
        slacks += [difference, -difference]

    def _move_multiple(self, name: str, value: DimExpr) -> bool:
        """Pass the divisor of a replaced symbol on; only another plain symbol can hold it."""
        if not value.is_symbol:
            return value.is_const
        other = str(value)
        self._multiples[other] = math.lcm(self._multiples.get(other, 1), self._multiples[name])
        return True

    def _refine_ranges(self, slacks: list[DimExpr]) -> None:
        # Three rounds settle chains such as P + S <= C, C <= 4096; more would only sharpen, never correct.
        for _ in range(3):
            bounds = Bounds(dict(self._ranges), self._multiples)
            before = dict(self._ranges)
            for slack in slacks:
                if slack.is_const and slack.value < 0:
                    raise ValueError("the constraints on dimensions contradict each other")
                for name in sorted(slack.symbols):
                    factor = slack.coefficient(name)
                    if factor is None or not factor.is_const:
                        continue
                    room = bounds.interval(slack - factor * sym(name))[1]
                    low, high = self._ranges.get(name, (0, INDEX_MAX))
                    if factor.value > 0:
                        low = max(low, -(room // factor.value))
                    else:
                        high = min(high, room // -factor.value)
                    low, high = _aligned(low, high, self._multiples.get(name, 1))
                    if low > high:
                        raise ValueError(f"the constraints leave no value for dimension '{name}'")
                    self._ranges[name] = (low, high)
            if self._ranges == before:
                return

    def _symbolic_bounds(self, slacks: list[DimExpr]) -> tuple[dict[str, list[DimExpr]], dict[str, list[DimExpr]]]:
        """For each symbol what it is at least and at most, from statements that are affine in it."""
        at_least: dict[str, list[DimExpr]] = {}
        at_most: dict[str, list[DimExpr]] = {}
        plain = Bounds(self._ranges, self._multiples)
        for slack in dict.fromkeys(map(self._replaced, slacks)):
            if len(slack.symbols) < 2:
                continue
            for name in sorted(slack.symbols):
                factor = slack.coefficient(name)
                if factor is None:
                    continue
                rest = slack - factor * sym(name)
                if plain.interval(factor)[0] >= 1:
                    at_least.setdefault(name, []).append(-floordiv(rest, factor))
                elif plain.interval(-factor)[0] >= 1:
                    at_most.setdefault(name, []).append(floordiv(rest, -factor))
        return at_least, at_most


def _aligned(low: int, high: int, multiple: int) -> tuple[int, int]:
    return low + -low % multiple, high - high % multiple

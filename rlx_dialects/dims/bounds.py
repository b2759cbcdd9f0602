"""Sound integer bounds of dimension expressions.

`Bounds.interval` is interval arithmetic over canonical terms. `lower` sharpens it by elimination: one atom or symbol after
another is replaced by something it is known to be at least (or at most), as its coefficient asks, so that terms cancel before
intervals are taken. `S - S floordiv 2` becomes `(2·S - S) / 2` this way, and `B·S - 1 - i·S - j` becomes 0 when `i <= B - 1` and
`j <= S - 1`. Every step keeps "holds for all assignments", so what is not found is unknown, never wrong.

Divisors are taken to be positive, as everywhere in `dims`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from rlx_dialects.dims.expr import Atom, DimExpr, const, floordiv

INDEX_MAX = 2**31 - 1
Interval = tuple[int, int]
# A bound of an atom: (numerator, divisor) stands for numerator / divisor; divisor None for 1.
_Option = tuple[DimExpr, DimExpr | None]

# Limits of one outermost question: elimination steps in all, and how deep questions about operands nest.
_SEARCH_STEPS = 160
_SEARCH_DEPTH = 3


class Bounds:
    """Bounds under constant ranges, known multiples and symbolic bounds of symbols; results are cached."""

    def __init__(
        self,
        ranges: Mapping[str, Interval],
        multiples: Mapping[str, int],
        at_least: Mapping[str, list[DimExpr]] | None = None,
        at_most: Mapping[str, list[DimExpr]] | None = None,
    ):
        self.ranges = ranges
        self.multiples = multiples
        self.at_least = at_least or {}
        self.at_most = at_most or {}
        self._intervals: dict[DimExpr, Interval] = {}
        self._atoms: dict[Atom, Interval] = {}
        self._lowers: dict[DimExpr, int] = {}
        self._nonnegative: dict[DimExpr, bool] = {}
        self._steps = 0
        self._depth = 0

    # -- divisibility

    def atom_divisor(self, atom: Atom) -> int:
        """An integer that divides the atom for every assignment; 0 if the atom is always 0."""
        kind = atom[0]
        if kind == "sym":
            return 0 if self.ranges.get(atom[1]) == (0, 0) else self.multiples.get(atom[1], 1)
        if kind == "floordiv":
            divisor = self.divisor(atom[1])
            exact = atom[2].is_const and divisor % atom[2].value == 0
            return divisor // atom[2].value if exact else 1
        return math.gcd(self.divisor(atom[1]), self.divisor(atom[2]))

    def term_divisor(self, monomial: tuple[Atom, ...], scale: int) -> int:
        for atom in monomial:
            scale *= self.atom_divisor(atom)
        return abs(scale)

    def residue(self, expr: DimExpr) -> tuple[int, int]:
        """(g, c) with expr ≡ c modulo g for every assignment; g is 0 for a constant."""
        modulus = constant = 0
        for monomial, scale in expr.terms:
            if monomial:
                modulus = math.gcd(modulus, self.term_divisor(monomial, scale))
            else:
                constant = scale
        return modulus, constant

    def divisor(self, expr: DimExpr) -> int:
        return math.gcd(*self.residue(expr))

    # -- intervals

    def interval(self, expr: DimExpr) -> Interval:
        found = self._intervals.get(expr)
        if found is None:
            low = high = 0
            for monomial, scale in expr.terms:
                term = (scale, scale)
                for atom in monomial:
                    term = _product(term, self.atom_interval(atom))
                low, high = low + term[0], high + term[1]
            modulus, constant = self.residue(expr)
            if modulus > 1:
                low, high = low + (constant - low) % modulus, high - (high - constant) % modulus
            found = self._intervals[expr] = (low, high)
        return found

    def atom_interval(self, atom: Atom) -> Interval:
        if atom[0] == "sym":
            return self.ranges.get(atom[1], (0, INDEX_MAX))
        found = self._atoms.get(atom)
        if found is None:
            found = self._atoms[atom] = self._compute_atom_interval(atom)
        return found

    def _compute_atom_interval(self, atom: Atom) -> Interval:
        kind, x, d = atom
        # Symbolic bounds may lead from an operand back to itself, so deep inside a search plain intervals must do.
        measure = self.tight if self._depth < _SEARCH_DEPTH else self.interval
        (low, high), (d_low, d_high) = measure(x), measure(d)
        if kind == "min":
            return min(low, d_low), min(high, d_high)
        if kind == "max":
            return max(low, d_low), max(high, d_high)
        # Only positive divisors have a meaning, so the part of their range below 1 is void.
        d_low, d_high = max(d_low, 1), max(d_high, 1)
        if kind == "floordiv":
            return min(low // d_low, low // d_high), max(high // d_low, high // d_high)
        if 0 <= low and high < d_low:
            return low, high
        if d_low == d_high:
            if low // d_low == high // d_low:
                return low % d_low, high % d_low
            modulus, constant = self.residue(x)
            modulus = math.gcd(modulus, d_low)
            return constant % modulus, d_low - modulus + constant % modulus
        return 0, min(d_high - 1, high) if low >= 0 else d_high - 1

    def tight(self, expr: DimExpr) -> Interval:
        """The sharpest known bounds."""
        if expr.is_const:
            return expr.value, expr.value
        return self.lower(expr), -self.lower(-expr)

    # -- elimination

    def lower(self, expr: DimExpr) -> int:
        found = self._lowers.get(expr)
        if found is None:
            found = self._search(expr, None)
            if self._steps > 0 or not self._depth:
                self._lowers[expr] = found
        return found

    def nonnegative(self, expr: DimExpr) -> bool:
        """True where `expr` >= 0 is proved; False is "not proved"."""
        low, high = self.interval(expr)
        if low >= 0 or high < 0:
            return low >= 0
        found = self._nonnegative.get(expr)
        if found is None:
            found = self._lowers[expr] >= 0 if expr in self._lowers else self._search(expr, 0) >= 0
            if self._steps > 0 or not self._depth:
                self._nonnegative[expr] = found
        return found

    def _search(self, expr: DimExpr, goal: int | None) -> int:
        # Nested questions (signs of coefficients) share the budget of the outermost one, which bounds the whole search.
        if not self._depth:
            self._steps = _SEARCH_STEPS
        elif self._depth >= _SEARCH_DEPTH:
            return self.interval(expr)[0]
        self._depth += 1
        try:
            return self._eliminate(expr, goal, frozenset())
        finally:
            self._depth -= 1

    def _eliminate(self, expr: DimExpr, goal: int | None, gone: frozenset[str]) -> int:
        best = self.interval(expr)[0]
        if goal is not None and best >= goal:
            return best
        self._steps -= 1
        if self._steps <= 0 or expr.is_const:
            return best
        pivot = self._pivot(expr, gone)
        if pivot is None:
            return best
        factor, rest = _split(expr, pivot)
        sign = self._sign(factor)
        for group in self._options(pivot, sign, gone):
            # Within a group the least value counts; every group by itself is a sound bound.
            worst: int | None = None
            for bound, divisor in group:
                passed = gone | {pivot[1]} if pivot[0] == "sym" else gone
                value = self._after(factor, rest, bound, divisor, goal, passed)
                worst = value if worst is None else min(worst, value)
                if worst <= best:
                    break
            if worst is not None and worst > best:
                best = worst
                if goal is not None and best >= goal:
                    break
        return best

    def _after(
        self, factor: DimExpr, rest: DimExpr, bound: DimExpr, divisor: DimExpr | None, goal: int | None, gone: frozenset[str]
    ) -> int:
        """A lower bound of factor · bound / divisor + rest."""
        if divisor is None:
            return self._eliminate(factor * bound + rest, goal, gone)
        quotient = factor // divisor
        if quotient * divisor == factor:
            return self._eliminate(quotient * bound + rest, goal, gone)
        if divisor.is_const:
            wanted = None if goal is None else (goal - 1) * divisor.value + 1
            return -(-self._eliminate(factor * bound + divisor * rest, wanted, gone) // divisor.value)
        value = self._eliminate(factor * bound + divisor * rest, None if goal is None else min(goal, 0), gone)
        low, high = self.interval(divisor)
        by = max(low, 1) if value < 0 else max(high, 1)
        return -(-value // by)

    def _sign(self, factor: DimExpr) -> int:
        low, high = self.interval(factor)
        if low < 0 < high and len(factor.terms) > 1:
            return 1 if self.nonnegative(factor) else -1 if self.nonnegative(-factor) else 0
        return 1 if low >= 0 else -1 if high <= 0 else 0

    def _pivot(self, expr: DimExpr, gone: frozenset[str]) -> Atom | None:
        """What to eliminate next: outer atoms first, then symbols bounded by others, then symbols that occur twice."""
        seen: dict[Atom, int] = {}
        for monomial, _ in expr.terms:
            for atom in monomial:
                seen[atom] = seen.get(atom, 0) + 1
        compound = [atom for atom in seen if atom[0] != "sym"]
        if compound:
            return max(compound, key=lambda atom: len(str(atom[1])) + len(str(atom[2])))
        bounded = [atom for atom in seen if atom[1] not in gone and (atom[1] in self.at_least or atom[1] in self.at_most)]
        if bounded:
            # Symbols declared later are inner: their bounds mention outer ones.
            order = {name: index for index, name in enumerate(self.ranges)}
            return max(bounded, key=lambda atom: (order.get(atom[1], -1), atom[1]))
        repeated = [atom for atom, count in seen.items() if count > 1]
        return max(repeated, key=lambda atom: (seen[atom], atom[1])) if repeated else None

    def _options(self, pivot: Atom, sign: int, gone: frozenset[str]) -> Iterator[list[_Option]]:
        """Groups of replacements of the pivot; the true value is at least the least one of each group."""
        low, high = (const(bound) for bound in self.atom_interval(pivot))
        if pivot[0] == "sym":
            name = pivot[1]
            symbolic = self.at_least.get(name, ()) if sign > 0 else self.at_most.get(name, ()) if sign < 0 else ()
            if name not in gone:
                for bound in symbolic:
                    if name not in bound.symbols and gone.isdisjoint(bound.symbols):
                        yield [(bound, None)]
        else:
            kind, x, d = pivot
            if kind in ("min", "max"):
                either = (kind == "min") == (sign < 0) and sign != 0
                if either:
                    yield [(x, None)]
                    yield [(d, None)]
                else:
                    yield [(x, None), (d, None)]
                return
            step = math.gcd(self.divisor(x), d.value) if d.is_const else 1
            if kind == "floordiv" and sign:
                for end in self._quotients(x, d, sign):
                    yield [(end, None)]
                yield [(x if sign < 0 else x - d + step, d)]
            if kind == "mod" and sign < 0:
                if self.interval(x)[0] >= 0:
                    yield [(x, None)]
                yield [(d - step, None)]
        if sign == 0:
            yield [(low, None), (high, None)]
        else:
            yield [(low if sign > 0 else high, None)]


    def _quotients(self, x: DimExpr, d: DimExpr, sign: int) -> Iterator[DimExpr]:
        """What x floordiv d is at most (sign < 0) or at least: a symbol of x at its symbolic bound, where that divides out."""
        for name in sorted(x.symbols):
            factor = x.coefficient(name)
            side = 0 if factor is None else self._sign(factor) * sign
            for bound in (self.at_most if side < 0 else self.at_least if side > 0 else {}).get(name, ()):
                if name in bound.symbols:
                    continue
                end = floordiv(x.substitute({name: bound}), d)
                # Only a constant is left to divide, so this comes to an end.
                if all(atom[0] == "sym" or atom[1].is_const for monomial, _ in end.terms for atom in monomial):
                    yield end


def _product(a: Interval, b: Interval) -> Interval:
    corners = (a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1])
    return min(corners), max(corners)


def _split(expr: DimExpr, pivot: Atom) -> tuple[DimExpr, DimExpr]:
    """expr = factor · pivot + rest, dividing one power of the pivot out of each term that has it."""
    factor = const(0)
    rest = []
    for monomial, scale in expr.terms:
        if pivot in monomial:
            at = monomial.index(pivot)
            factor = factor + DimExpr(((monomial[:at] + monomial[at + 1 :], scale),))
        else:
            rest.append((monomial, scale))
    return factor, DimExpr(tuple(rest))  # some terms of a canonical sum, in its order, are canonical

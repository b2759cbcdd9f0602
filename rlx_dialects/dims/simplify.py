"""Rewrites that need ranges: divisions whose remainder is known, divisible sums, decided minima and maxima."""

from __future__ import annotations

import math

from rlx_dialects.dims.bounds import Bounds
from rlx_dialects.dims.expr import Atom, DimExpr, Monomial, const, floordiv, long_division, maximum, minimum, mod

_MAX_LEAVES = 8


class Simplifier:
    """Bottom-up rewriting under `bounds`; each atom is simplified once."""

    def __init__(self, bounds: Bounds):
        self._bounds = bounds
        self._atoms: dict[Atom, DimExpr] = {}

    def simplify(self, expr: DimExpr) -> DimExpr:
        if all(atom[0] == "sym" for monomial, _ in expr.terms for atom in monomial):
            return expr
        for _ in range(3):
            total = const(0)
            for monomial, scale in expr.terms:
                total = total + self._term(monomial, scale)
            if total is expr:
                break
            expr = total
        return expr

    def _term(self, monomial: Monomial, scale: int) -> DimExpr:
        product = const(scale)
        for atom in monomial:
            product = product * self._atom(atom)
        return self._undivide(product)

    def _undivide(self, term: DimExpr) -> DimExpr:
        """c·d·(x floordiv d) is c·x where d divides x."""
        if len(term.terms) != 1:
            return term
        monomial, scale = term.terms[0]
        for at, atom in enumerate(monomial):
            if atom[0] == "floordiv" and atom[2].is_const:
                divisor = atom[2].value
                if scale % divisor == 0 and self._bounds.divisor(atom[1]) % divisor == 0:
                    return DimExpr(((monomial[:at] + monomial[at + 1 :], scale // divisor),)) * atom[1]
        return term

    def _atom(self, atom: Atom) -> DimExpr:
        if atom[0] == "sym":
            return DimExpr((((atom,), 1),))
        found = self._atoms.get(atom)
        if found is None:
            kind, a, b = atom[0], self.simplify(atom[1]), self.simplify(atom[2])
            if kind in ("min", "max"):
                found = self._extremum(kind, a, b)
            else:
                found = (self._floordiv if kind == "floordiv" else self._mod)(a, b)
            self._atoms[atom] = found
        return found

    # -- division

    def _floordiv(self, a: DimExpr, b: DimExpr) -> DimExpr:
        whole = floordiv(a, b)
        result = whole
        for monomial, scale in whole.terms:
            for atom in monomial:
                if atom[0] == "floordiv" and len(monomial) == 1:
                    reduced = self._quotient(atom[1], atom[2])
                    if reduced is not None:
                        result = result + scale * (reduced - DimExpr((((atom,), 1),)))
        return result

    def _quotient(self, x: DimExpr, d: DimExpr) -> DimExpr | None:
        """x floordiv d in a simpler form, else None."""
        low, high = self._bounds.atom_interval(("floordiv", x, d))
        if low == high:
            return const(low)
        nonnegative = self._bounds.nonnegative
        if nonnegative(x):
            if nonnegative(d - x - 1):
                return const(0)
        elif nonnegative(-x - 1) and nonnegative(x + d):
            return const(-1)
        split = self._split(x, d)
        return self._floordiv(split[0], d) if split else None

    def _mod(self, a: DimExpr, b: DimExpr) -> DimExpr:
        whole = mod(a, b)
        result = whole
        for monomial, scale in whole.terms:
            # Canonical form may have taken a common factor out: every term is a product that ends in one mod.
            for at, atom in enumerate(monomial):
                if atom[0] == "mod":
                    reduced = self._remainder(atom[1], atom[2])
                    if reduced is not None:
                        others = DimExpr(((monomial[:at] + monomial[at + 1 :], scale),))
                        result = result + others * (reduced - DimExpr((((atom,), 1),)))
                    break
        return result

    def _remainder(self, x: DimExpr, d: DimExpr) -> DimExpr | None:
        """x mod d in a simpler form, else None."""
        if d.is_const:
            if self._bounds.divisor(x) % d.value == 0:
                return const(0)
            low, high = self._bounds.atom_interval(("mod", x, d))
            if low == high:
                return const(low)
            low, high = self._bounds.tight(x)
            if low // d.value == high // d.value:
                return x - low // d.value * d
        nonnegative = self._bounds.nonnegative
        if nonnegative(x):
            if nonnegative(d - x - 1):
                return x
        elif nonnegative(-x - 1) and nonnegative(x + d):
            return x + d
        split = self._split(x, d)
        return self._mod(split[0], d) + split[1] if split else None

    def _split(self, x: DimExpr, d: DimExpr) -> tuple[DimExpr, DimExpr] | None:
        """x = high + low with a common divisor g of `high` and d, and 0 <= low < g; then low does not reach the quotient."""
        if len(x.terms) < 2:
            return None
        if len(d.terms) != 1:
            whole, low = long_division(x, d)
            fits = whole.terms and self._bounds.nonnegative(low) and self._bounds.nonnegative(d - low - 1)
            return (whole * d, low) if fits else None
        shared: dict[tuple[Monomial, int], list[tuple[Monomial, int]]] = {}
        whole = d.terms[0]
        parts = [(term, self._common(term, whole)) for term in x.terms]
        for term, part in parts:
            if part != ((), 1):
                shared.setdefault(part, []).append(term)
        for monomial, scale in sorted(shared, key=lambda part: (-len(part[0]), -part[1])):
            high, low = const(0), const(0)
            for term, (own, own_scale) in parts:
                if own_scale % scale == 0 and _contains(own, monomial):
                    high = high + DimExpr((term,))
                else:
                    low = low + DimExpr((term,))
            step = DimExpr(((monomial, scale),))
            if low.terms and self._bounds.nonnegative(low) and self._bounds.nonnegative(step - low - 1):
                return high, low
        return None

    def _common(self, term: tuple[Monomial, int], whole: tuple[Monomial, int]) -> tuple[Monomial, int]:
        """A common divisor of two terms: shared atoms, times the gcd of what else is known to divide them."""
        left, right, both = list(term[0]), list(whole[0]), []
        for atom in term[0]:
            if atom in right:
                left.remove(atom)
                right.remove(atom)
                both.append(atom)
        scale = math.gcd(self._bounds.term_divisor(tuple(left), term[1]), self._bounds.term_divisor(tuple(right), whole[1]))
        return tuple(both), scale

    # -- minima and maxima

    def _extremum(self, kind: str, a: DimExpr, b: DimExpr) -> DimExpr:
        combine = minimum if kind == "min" else maximum
        leaves = _leaves(combine(a, b), kind)
        if len(leaves) > _MAX_LEAVES:
            return combine(a, b)
        kept: list[DimExpr] = []
        for at, leaf in enumerate(leaves):
            others = kept + leaves[at + 1 :]
            # A leaf that another one always beats (or ties with) never decides.
            if not any(self._bounds.nonnegative(leaf - other if kind == "min" else other - leaf) for other in others):
                kept.append(leaf)
        result = kept[-1]
        for leaf in kept[:-1]:
            result = combine(leaf, result)
        return result


def _leaves(expr: DimExpr, kind: str) -> list[DimExpr]:
    if len(expr.terms) == 1 and expr.terms[0][1] == 1 and len(expr.terms[0][0]) == 1 and expr.terms[0][0][0][0] == kind:
        atom = expr.terms[0][0][0]
        return _leaves(atom[1], kind) + _leaves(atom[2], kind)
    return [expr]


def _contains(monomial: Monomial, part: Monomial) -> bool:
    left = list(monomial)
    return all(atom in left and not left.remove(atom) for atom in part)

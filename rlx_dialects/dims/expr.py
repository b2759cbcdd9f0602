"""Dimension expressions: integer polynomials over named symbols, in canonical form.

An expression is a sum of integer multiples of monomials; a monomial is a product of atoms; an atom is a symbol or an
irreducible `floordiv`, `mod`, `min` or `max`. Two expressions that are equal by the rules below are the same object, so
equality of shapes is identity of their dims. `ceildiv(a, b)` is `floordiv(a + b - 1, b)`. Divisors must be positive.

Index maps of kernel forms are written in the same language; their symbols are iteration dims as well as shape symbols.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import ClassVar, TypeAlias

DimLike: TypeAlias = "DimExpr | int"
JsonExpr: TypeAlias = "int | str | list[JsonExpr]"

# An atom is ("sym", name) or (kind, operand, operand) with kind in floordiv, mod, min, max.
Atom: TypeAlias = tuple
Monomial: TypeAlias = tuple[Atom, ...]


class DimExpr:
    """A canonical dimension expression. Build with `sym`, `const` and Python's operators; instances are interned."""

    __slots__ = ("__dict__", "__weakref__", "_hash", "terms")
    terms: tuple[tuple[Monomial, int], ...]
    _interned: ClassVar[dict[tuple[tuple[Monomial, int], ...], DimExpr]] = {}

    def __new__(cls, terms: tuple[tuple[Monomial, int], ...]) -> DimExpr:  # noqa: PYI034
        found = cls._interned.get(terms)
        if found is None:
            found = super().__new__(cls)
            found.terms = terms
            # A constant equals the int of the same value, so it must hash like it.
            is_const = not terms or (len(terms) == 1 and not terms[0][0])
            found._hash = hash(terms[0][1] if terms else 0) if is_const else hash(terms)
            # setdefault keeps interning correct when two threads build the same expression at once.
            found = cls._interned.setdefault(terms, found)
        return found

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DimExpr):
            return self is other or self.terms == other.terms
        if isinstance(other, int):
            return self.is_const and self.value == other
        return NotImplemented

    def __reduce__(self) -> tuple[object, ...]:
        return (from_json, (self.to_json(),))

    # -- queries

    @property
    def is_const(self) -> bool:
        return not self.terms or (len(self.terms) == 1 and not self.terms[0][0])

    @property
    def value(self) -> int:
        """The integer of a constant expression; ValueError otherwise."""
        if not self.terms:
            return 0
        if not self.is_const:
            raise ValueError(f"dimension '{self}' is not a constant")
        return self.terms[0][1]

    @property
    def is_symbol(self) -> bool:
        return len(self.terms) == 1 and self.terms[0][1] == 1 and len(self.terms[0][0]) == 1 and self.terms[0][0][0][0] == "sym"

    @cached_property
    def symbols(self) -> frozenset[str]:
        return frozenset().union(*(_atom_symbols(atom) for monomial, _ in self.terms for atom in monomial))

    def coefficient(self, name: str) -> DimExpr | None:
        """The factor of symbol `name` if the expression is affine in it (the factor is free of it), else None."""
        factor: list[tuple[Monomial, int]] = []
        wanted = ("sym", name)
        for monomial, scale in self.terms:
            uses = [atom for atom in monomial if name in _atom_symbols(atom)]
            if not uses:
                continue
            if uses != [wanted]:
                return None
            rest = list(monomial)
            rest.remove(wanted)
            factor.append((tuple(rest), scale))
        return _from_terms(dict(factor))

    # -- evaluation and substitution

    def evaluate(self, env: Mapping[str, int]) -> int:
        """The value with every symbol bound; KeyError names a missing one, ZeroDivisionError a non-positive divisor."""
        total = 0
        for monomial, scale in self.terms:
            for atom in monomial:
                scale *= _evaluate_atom(atom, env)
            total += scale
        return total

    def substitute(self, env: Mapping[str, DimLike]) -> DimExpr:
        """Replace symbols by expressions or integers; symbols not in `env` stay."""
        if self.symbols.isdisjoint(env):
            return self
        return self.rebuild(lambda name: as_expr(env[name]) if name in env else sym(name))

    def rebuild(self, leaf: Callable[[str], DimExpr]) -> DimExpr:
        """Rebuild bottom-up with `leaf` in place of each symbol."""
        total = const(0)
        for monomial, scale in self.terms:
            product = const(scale)
            for atom in monomial:
                if atom[0] == "sym":
                    product = product * leaf(atom[1])
                else:
                    product = product * _OPS[atom[0]](atom[1].rebuild(leaf), atom[2].rebuild(leaf))
            total = total + product
        return total

    # -- arithmetic

    def __add__(self, other: DimLike) -> DimExpr:
        other = as_expr(other)
        if not other.terms or not self.terms:
            return self if self.terms else other
        terms = dict(self.terms)
        for monomial, scale in other.terms:
            terms[monomial] = terms.get(monomial, 0) + scale
        return _from_terms(terms)

    def __mul__(self, other: DimLike) -> DimExpr:
        other = as_expr(other)
        terms: dict[Monomial, int] = {}
        for m0, c0 in self.terms:
            for m1, c1 in other.terms:
                monomial = tuple(sorted(m0 + m1, key=_atom_key)) if m0 and m1 else m0 or m1
                terms[monomial] = terms.get(monomial, 0) + c0 * c1
        return _from_terms(terms)

    def __neg__(self) -> DimExpr:
        return self * -1

    def __sub__(self, other: DimLike) -> DimExpr:
        return self + as_expr(other) * -1

    def __rsub__(self, other: DimLike) -> DimExpr:
        return as_expr(other) - self

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, other: DimLike) -> DimExpr:
        return floordiv(self, other)

    def __rfloordiv__(self, other: DimLike) -> DimExpr:
        return floordiv(other, self)

    def __mod__(self, other: DimLike) -> DimExpr:
        return mod(self, other)

    def __rmod__(self, other: DimLike) -> DimExpr:
        return mod(other, self)

    # -- text and JSON

    def __str__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        if not self.terms:
            return "0"
        parts: list[str] = []
        # Highest degree first, constant last; ties in the canonical order, so text is stable.
        for monomial, scale in sorted(self.terms, key=lambda t: (-len(t[0]), tuple(map(_atom_key, t[0])))):
            factors = [_atom_text(atom) for atom in monomial]
            if abs(scale) != 1 or not factors:
                factors.append(str(abs(scale)))
            sign = ("-" if scale < 0 else "") if not parts else (" - " if scale < 0 else " + ")
            parts.append(sign + " * ".join(factors))
        text = "".join(parts)
        alone = _single_atom(self)
        # A lone division needs no parentheses; as part of something it has them.
        return text[1:-1] if alone is not None and alone[0] in ("floordiv", "mod") else text

    def __repr__(self) -> str:
        return f"DimExpr({self})"

    def to_json(self) -> JsonExpr:
        """An int, a symbol name, or `[op, a, b, …]` with op in + * floordiv mod min max."""
        if self.is_const:
            return self.value
        terms: list[JsonExpr] = []
        for monomial, scale in self.terms:
            factors: list[JsonExpr] = [] if scale == 1 and monomial else [scale]
            for atom in monomial:
                factors.append(atom[1] if atom[0] == "sym" else [atom[0], atom[1].to_json(), atom[2].to_json()])
            terms.append(factors[0] if len(factors) == 1 else ["*", *factors])
        return terms[0] if len(terms) == 1 else ["+", *terms]


RESERVED = frozenset(("floordiv", "ceildiv", "mod", "min", "max"))
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]*")
_SYMBOLS: dict[str, DimExpr] = {}


def sym(name: str) -> DimExpr:
    """The symbol `name`. ValueError for a name that would not read back: not an identifier, or a word of the grammar."""
    found = _SYMBOLS.get(name)
    if found is None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a dimension: use letters, digits and '_', not starting with a digit")
        if name in RESERVED:
            raise ValueError(f"'{name}' cannot name a dimension: it is an operator of dimension expressions")
        found = _SYMBOLS[name] = DimExpr((((("sym", name),), 1),))
    return found


def const(value: int) -> DimExpr:
    return DimExpr((((), int(value)),) if value else ())


def as_expr(value: DimLike) -> DimExpr:
    return value if isinstance(value, DimExpr) else const(value)


def floordiv(a: DimLike, b: DimLike) -> DimExpr:
    """⌊a / b⌋ for b > 0; multiples of b leave the division."""
    a, b = as_expr(a), as_expr(b)
    if b.is_const and b.value <= 0:
        raise ZeroDivisionError(f"floordiv of '{a}' by {b}: the divisor must be positive")
    quotient, rest = _divide(a, b)
    if rest.is_const and b.is_const:
        return quotient + rest.value // b.value
    if not rest.terms:
        return quotient
    inner = _single_atom(rest)
    if inner is not None and inner[0] == "floordiv":
        return quotient + floordiv(inner[1], inner[2] * b)
    reduced = _cancel(rest, b)
    if reduced is not None:
        upper, lower, _, _ = reduced
        return quotient + floordiv(upper, lower)
    return quotient + DimExpr((((("floordiv", rest, b),), 1),))


def mod(a: DimLike, b: DimLike) -> DimExpr:
    """a - b * ⌊a / b⌋ for b > 0."""
    a, b = as_expr(a), as_expr(b)
    if b.is_const and b.value <= 0:
        raise ZeroDivisionError(f"mod of '{a}' by {b}: the divisor must be positive")
    _, rest = _divide(a, b)
    if rest.is_const and b.is_const:
        return const(rest.value % b.value)
    if not rest.terms:
        return const(0)
    inner = _single_atom(rest)
    if inner is not None and inner[0] == "mod" and not _divide(inner[2], b)[1].terms:
        return mod(inner[1], b)
    reduced = _cancel(rest, b)
    if reduced is not None:
        upper, lower, factor, left = reduced
        return factor * mod(upper, lower) + left
    return DimExpr((((("mod", rest, b),), 1),))


def ceildiv(a: DimLike, b: DimLike) -> DimExpr:
    return floordiv(as_expr(a) + as_expr(b) - 1, b)


def minimum(a: DimLike, b: DimLike) -> DimExpr:
    return _extremum("min", as_expr(a), as_expr(b))


def maximum(a: DimLike, b: DimLike) -> DimExpr:
    return _extremum("max", as_expr(a), as_expr(b))


def from_json(value: JsonExpr) -> DimExpr:
    """The inverse of `DimExpr.to_json`; ValueError on anything else."""
    if isinstance(value, int):
        return const(value)
    if isinstance(value, str):
        return sym(value)
    op = value[0] if isinstance(value, list) and len(value) >= 3 else None
    if not isinstance(op, str) or op not in _OPS or (len(value) > 3 and op in ("floordiv", "mod")):
        raise ValueError(f"not a dimension expression: {value!r}")
    result = from_json(value[1])
    for operand in value[2:]:
        result = _OPS[op](result, from_json(operand))
    return result


_OPS: dict[str, Callable[[DimLike, DimLike], DimExpr]] = {
    "+": lambda a, b: as_expr(a) + b,
    "*": lambda a, b: as_expr(a) * b,
    "floordiv": floordiv,
    "mod": mod,
    "min": minimum,
    "max": maximum,
}


# -- canonicalization


def _atom_symbols(atom: Atom) -> frozenset[str]:
    return frozenset((atom[1],)) if atom[0] == "sym" else atom[1].symbols | atom[2].symbols


def _atom_text(atom: Atom) -> str:
    if atom[0] == "sym":
        return atom[1]
    if atom[0] in ("min", "max"):
        return f"{atom[0]}({atom[1]}, {atom[2]})"
    return f"({_operand_text(atom[1])} {atom[0]} {_operand_text(atom[2])})"


def _operand_text(expr: DimExpr) -> str:
    alone = _single_atom(expr)
    simple = (expr.is_const and expr.value >= 0) or (alone is not None and alone[0] in ("sym", "min", "max"))
    return str(expr) if simple else f"({expr})"


def _atom_key(atom: Atom) -> tuple[str, str]:
    return (atom[0] if atom[0] != "sym" else "", _atom_text(atom))


@cache
def _monomial_key(monomial: Monomial) -> tuple[object, ...]:
    return (len(monomial), *map(_atom_key, monomial))


def _from_terms(terms: dict[Monomial, int]) -> DimExpr:
    kept = {monomial: scale for monomial, scale in terms.items() if scale}
    if len(kept) < 2:
        return DimExpr(tuple(kept.items()))
    if any(atom[0] == "mod" for monomial in kept for atom in monomial):
        joined = _join_divmod(kept)
        if joined is not None:
            return joined
    return DimExpr(tuple((monomial, kept[monomial]) for monomial in sorted(kept, key=_monomial_key)))


def _join_divmod(terms: dict[Monomial, int]) -> DimExpr | None:
    """c·(x mod d) + c·d·(x floordiv d) is c·x; None where nothing joins."""
    for monomial, scale in terms.items():
        for position, atom in enumerate(monomial):
            if atom[0] != "mod":
                continue
            _, x, d = atom
            others = DimExpr(((monomial[:position] + monomial[position + 1 :], scale),))
            quotient = floordiv(x, d)
            partner = others * d * quotient
            # Every term of c·d·⌊x/d⌋ must be present for the join to shrink the expression.
            if partner.terms and monomial not in dict(partner.terms) and all(terms.get(m) == c for m, c in partner.terms):
                rest = {m: c for m, c in terms.items() if m != monomial and m not in dict(partner.terms)}
                return DimExpr(tuple((m, rest[m]) for m in sorted(rest, key=_monomial_key))) + others * x
    return None


def _divide(a: DimExpr, b: DimExpr) -> tuple[DimExpr, DimExpr]:
    """Split a = q·b + r, moving every term of `a` that is a multiple of `b` into q."""
    if len(b.terms) != 1:
        return _divide_by_sum(a, b)
    divisor, divisor_scale = b.terms[0]
    quotient: dict[Monomial, int] = {}
    rest: dict[Monomial, int] = {}
    for monomial, scale in a.terms:
        left = _monomial_quotient(monomial, divisor)
        q, r = divmod(scale, divisor_scale) if left is not None else (0, scale)
        if q and left is not None:
            quotient[left] = quotient.get(left, 0) + q
        if r:
            rest[monomial] = r
    if not quotient:
        return const(0), a
    # Terms left behind may join into new multiples of b, so the split repeats until nothing moves.
    more, remainder = _divide(_from_terms(rest), b)
    return _from_terms(quotient) + more, remainder


def _divide_by_sum(a: DimExpr, b: DimExpr) -> tuple[DimExpr, DimExpr]:
    quotient, rest = long_division(a, b)
    return (quotient, rest) if rest.is_const else (const(0), a)  # other remainders are no simpler than `a`


def long_division(a: DimExpr, b: DimExpr) -> tuple[DimExpr, DimExpr]:
    """(q, r) with a = q·b + r by polynomial division; what the leading term of `b` does not divide is left in r."""
    if not b.terms:
        raise ZeroDivisionError(f"division of '{a}' by 0")
    lead, lead_scale = max(b.terms, key=lambda term: _monomial_key(term[0]))
    quotient, rest, left_over = const(0), a, const(0)
    for _ in range(4 * len(a.terms)):
        if not rest.terms:
            break
        top, scale = max(rest.terms, key=lambda term: _monomial_key(term[0]))
        left = _monomial_quotient(top, lead)
        if left is None or scale % lead_scale:
            head = DimExpr(((top, scale),))
            rest, left_over = rest - head, left_over + head
        else:
            step = DimExpr(((left, scale // lead_scale),))
            quotient, rest = quotient + step, rest - step * b
    return quotient, rest + left_over


def _monomial_quotient(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    left = list(monomial)
    try:
        for atom in divisor:
            left.remove(atom)
    except ValueError:
        return None
    return tuple(left)


def _single_atom(expr: DimExpr) -> Atom | None:
    if len(expr.terms) == 1 and expr.terms[0][1] == 1 and len(expr.terms[0][0]) == 1:
        return expr.terms[0][0][0]
    return None


def _cancel(a: DimExpr, b: DimExpr) -> tuple[DimExpr, DimExpr, DimExpr, int] | None:
    """Write a = g·upper + left and b = g·lower with 0 <= left < g, for the largest visible factor g; None where g is 1.

    Then a floordiv b = upper floordiv lower and a mod b = g·(upper mod lower) + left.
    """
    scale = math.gcd(*(c for m, c in a.terms if m), *(c for _, c in b.terms))
    shared = list(a.terms[0][0])
    for monomial, _ in (*a.terms, *b.terms):
        left = list(monomial)
        shared = [atom for atom in shared if atom in left and not left.remove(atom)]
    if shared:
        # A constant term has no symbolic factor, so every term of `a` takes part here.
        factor = tuple(shared)
        scale = math.gcd(scale, *(c for _, c in a.terms))
        return _strip(a, factor, scale), _strip(b, factor, scale), DimExpr(((factor, scale),)), 0
    if scale <= 1:
        return None
    constant = next((c for m, c in a.terms if not m), 0)
    left = constant % scale
    return _strip(a - left, (), scale), _strip(b, (), scale), const(scale), left


def _strip(expr: DimExpr, factor: Monomial, scale: int) -> DimExpr:
    return _from_terms({_monomial_quotient(m, factor) or (): c // scale for m, c in expr.terms})


def _extremum(kind: str, a: DimExpr, b: DimExpr) -> DimExpr:
    difference = a - b
    if difference.is_const:
        smaller, larger = (a, b) if difference.value <= 0 else (b, a)
        return smaller if kind == "min" else larger
    # Flatten, drop duplicates and order, so that min(a, min(b, a)) is min(a, b).
    leaves: dict[str, DimExpr] = {}
    for side in (a, b):
        stack = [side]
        while stack:
            expr = stack.pop()
            atom = _single_atom(expr)
            if atom is not None and atom[0] == kind:
                stack += [atom[1], atom[2]]
            else:
                leaves[str(expr)] = expr
    # Of leaves that differ by a constant only the extreme one matters.
    sign = 1 if kind == "min" else -1
    kept: dict[DimExpr, DimExpr] = {}
    for leaf in leaves.values():
        offset = next((c for m, c in leaf.terms if not m), 0)
        shape = leaf - offset
        other = kept.get(shape)
        if other is None or sign * (leaf - other).value < 0:
            kept[shape] = leaf
    ordered = sorted(kept.values(), key=str)
    result = ordered[-1]
    for expr in reversed(ordered[:-1]):
        result = DimExpr(((((kind, expr, result),), 1),))
    return result


def _evaluate_atom(atom: Atom, env: Mapping[str, int]) -> int:
    if atom[0] == "sym":
        return env[atom[1]]
    a, b = atom[1].evaluate(env), atom[2].evaluate(env)
    if atom[0] == "min":
        return min(a, b)
    if atom[0] == "max":
        return max(a, b)
    if b <= 0:
        raise ZeroDivisionError(f"'{_atom_text(atom)}' divides by {b}")
    return a // b if atom[0] == "floordiv" else a % b

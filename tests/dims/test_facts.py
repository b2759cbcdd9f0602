"""Ranges, the three-valued prover against brute force, and simplification."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlx_dialects.dims import Facts, SymbolFacts, ceildiv, const, floordiv, maximum, minimum, mod, parse_dim, sym
from tests.dims.strategies import NAMES, expressions

B, S, P, T, C = (sym(name) for name in "BSPTC")


@st.composite
def small_facts(draw: st.DrawFn) -> tuple[Facts, list[dict[str, int]]]:
    """Facts over short ranges, with every assignment that satisfies them."""
    symbols, ranges = [], []
    for name in NAMES:
        lower, width, step = draw(st.integers(1, 5)), draw(st.integers(0, 4)), draw(st.sampled_from((1, 1, 2, 3)))
        lower *= step
        symbols.append(SymbolFacts(name, lower, lower + width * step, step))
        ranges.append(range(lower, lower + width * step + 1, step))
    a, b = (sym(name) for name in draw(st.permutations(NAMES))[:2])
    scale, offset = draw(st.integers(1, 3)), draw(st.integers(-3, 12))
    relation = draw(st.sampled_from(("none", "le", "product", "eq")))
    inequalities, equalities = [], []
    if relation == "le":
        inequalities.append((scale * a, b + offset))
    elif relation == "product":
        inequalities.append((a * b, const(12 + offset)))
    elif relation == "eq":
        equalities.append((scale * a, b + offset))
    assignments = [
        env
        for values in itertools.product(*ranges)
        for env in [dict(zip(NAMES, values, strict=True))]
        if all(x.evaluate(env) <= y.evaluate(env) for x, y in inequalities)
        and all(x.evaluate(env) == y.evaluate(env) for x, y in equalities)
    ]
    try:
        return Facts(symbols, equalities, inequalities), assignments
    except ValueError:
        assert not assignments
        return Facts(symbols), [dict(zip(NAMES, values, strict=True)) for values in itertools.product(*ranges)]


@settings(max_examples=250, deadline=None)
@given(small_facts(), expressions, expressions, st.sampled_from((1, 2, 3, 4, 6)))
def test_answers_hold_for_every_assignment(known, a, b, divisor):
    facts, assignments = known
    low, high = facts.bounds(a)
    simple = facts.simplify(a)
    answers = facts.prove_eq(a, b), facts.prove_le(a, b), facts.prove_lt(a, b), facts.prove_divides(divisor, a)
    step = facts.divisor(a)
    for env in assignments:
        x, y = a.evaluate(env), b.evaluate(env)
        assert simple.evaluate(env) == x
        assert low is None or low <= x
        assert high is None or x <= high
        assert x % step == 0 if step else x == 0
        for answer, truth in zip(answers, (x == y, x <= y, x < y, x % divisor == 0), strict=True):
            assert answer is None or answer == truth


@settings(max_examples=80, deadline=None)
@given(small_facts(), expressions, st.sampled_from((S, B * 2, S + P)))
def test_symbolic_divisors(known, a, divisor):
    facts, assignments = known
    answer = facts.prove_divides(divisor, a)
    simple = facts.simplify(mod(a, divisor) + 3 * floordiv(a, divisor))
    for env in assignments:
        x, d = a.evaluate(env), divisor.evaluate(env)
        assert answer is None or answer == (x % d == 0)
        assert simple.evaluate(env) == x % d + 3 * (x // d)


FACTS = Facts(
    [SymbolFacts("B", 1, 64), SymbolFacts("S", 1, 512), SymbolFacts("P", 0, 4096, runtime=True), SymbolFacts("E", 8, 64, 8)],
    inequalities=[(P + S, const(4096))],
)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("B * S", (1, 64 * 512)),
        ("S - S floordiv 2", (1, 256)),
        ("S - ceildiv2", (0, 256)),
        ("P + S", (1, 4096)),
        ("4096 - P - S", (0, 4095)),
        ("P", (0, 4095)),
        ("S mod 7", (0, 6)),
        ("E mod 32", (0, 24)),
        ("S * S - S", (0, 512 * 511)),
        ("B * S - B", (0, 64 * 511)),
        ("min(S, 16)", (1, 16)),
        ("max(S, 16) - 16", (0, 496)),
        ("S - min(S, P)", (0, 512)),
        ("Q", (0, 2**31 - 1)),
        ("E + 1", (9, 65)),
    ],
)
def test_bounds(text, bounds):
    assert FACTS.bounds(parse_dim(text.replace("ceildiv2", "(S ceildiv 2)"))) == bounds


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("(i * 32 + j) floordiv 32", "i"),
        ("(i * 32 + j) mod 32", "j"),
        ("(i * 32 + j) floordiv 64", "(i floordiv 2)"),
        ("(i * 32 + j) mod 64", "(i mod 2) * 32 + j"),
        ("(b * S + s) floordiv S", "b"),
        ("(b * S + s) mod S", "s"),
        ("((b * S + s) * 768 + k) floordiv 768", "S * b + s"),
        ("((b * S + s) * 768 + k) floordiv (S * 768)", "b"),
        ("((b * S + s) * 768 + k) mod (S * 768)", "s * 768 + k"),
        ("(b * (S + P) + t) floordiv (S + P)", "b"),
        ("(b * (S + P) + t) mod (S + P)", "t"),
        ("s floordiv S", "0"),
        ("s mod S", "s"),
        ("(E floordiv 8) * 8", "E"),
        ("E mod 8", "0"),
        ("(E * S * 4 ceildiv 32) * 32", "E * S * 4"),
        ("(E + j mod 8) floordiv 8", "(E floordiv 8)"),
        ("min(s, S)", "s"),
        ("max(s, max(S, 0))", "S"),
        ("min(P + S, 4096)", "P + S"),
        ("T", "S"),
        ("T + mod2", "S + (S mod 2)"),
    ],
)
def test_simplify(text, simple):
    facts = Facts(FACTS.symbols.values(), [(S, T)], FACTS.inequalities)
    facts = facts.with_iteration({"b": B, "s": S, "t": S + P, "i": 24, "j": 32, "k": 768})
    assert facts.simplify(parse_dim(text.replace("mod2", "S mod 2"))) is parse_dim(simple)


def test_proofs():
    facts = FACTS
    assert facts.prove_eq(B, B) is True
    assert facts.prove_eq(B, S) is None
    assert facts.prove_eq(B, B + 1) is False
    assert facts.prove_eq(2 * S, 2 * P + 1) is False
    assert facts.prove_eq(S, P + 5000) is False
    assert facts.prove_le(S, B * S) is True
    assert facts.prove_le(4097, P + S) is False
    assert facts.prove_le(S, P) is None
    assert facts.prove_lt(S, S + 1) is True
    assert facts.prove_lt(S, S) is False
    assert facts.prove_le(floordiv(S, 2) + floordiv(S, 2), S) is True
    assert facts.prove_le(S, 8 * ceildiv(S, 8)) is True
    assert facts.prove_le(B * floordiv(S, B), S) is True
    assert facts.prove_divides(8, sym("E") * S) is True
    assert facts.prove_divides(8, sym("E") + 1) is False
    assert facts.prove_divides(8, S) is None
    assert facts.prove_divides(S, B * S) is True
    assert facts.prove_divides(S + P, B * S + B * P) is True
    with pytest.raises(ValueError, match="not defined"):
        facts.prove_divides(0, S)


def test_an_undeclared_symbol_is_not_negative():
    assert Facts().prove_le(0, sym("anything")) is True
    assert Facts().symbol("anything").upper == 2**31 - 1


def test_index_of_a_flattened_loop_stays_inside():
    facts = FACTS.with_iteration({"i": B, "j": S})
    flat = sym("i") * S + sym("j")
    assert facts.prove_lt(flat, B * S) is True
    assert facts.prove_le(0, flat) is True
    rows = FACTS.with_iteration({"m": B * S})
    assert rows.prove_lt(sym("m") // S, B) is True
    tiled = Facts([SymbolFacts("S", 1, 512)]).with_iteration({"o": ceildiv(S, 32), "w": minimum(32, S)})
    assert tiled.prove_lt(sym("o") * 32, S) is True


def test_product_constraint():
    facts = Facts([SymbolFacts("B", 1, 64), SymbolFacts("S", 1, 512)], inequalities=[(B * S, const(8192))])
    assert facts.prove_le(B * S, 8192) is True
    assert facts.prove_le(3 * B * S, 3 * 8192) is True
    assert facts.prove_le(B * S, 8191) is None


def test_equalities_chain_and_keep_ranges():
    facts = Facts([SymbolFacts("S", 1, 512), SymbolFacts("T", 1, 100, 4), SymbolFacts("C")], [(S, T), (C, S + P)])
    assert facts.prove_eq(S * B, T * B) is True
    assert facts.bounds(S) == (4, 100)
    assert facts.divisor(S) == 4
    assert facts.prove_le(S, C) is True
    assert facts.prove_eq(C - P, T) is True
    assert Facts([SymbolFacts("S", 3, 3)]).simplify(S * B + mod(S, 2)) is 3 * B + 1


def test_equality_that_names_no_symbol_alone():
    facts = Facts([SymbolFacts("B", 1, 8), SymbolFacts("S", 1, 8)], [(2 * B, 3 * S)])
    assert facts.prove_eq(2 * B, 3 * S) is True
    assert facts.prove_le(2 * B, 3 * S) is True
    assert facts.bounds(B) == (3, 6)


def test_extremes_are_decided():
    assert FACTS.simplify(maximum(S, minimum(S * B, 4 * S))) is FACTS.simplify(minimum(S * B, 4 * S))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SymbolFacts("S", 5, 4), "no multiple of 1 lies in"),
        (lambda: SymbolFacts("S", 1, 7, 8), "no multiple of 8"),
        (lambda: SymbolFacts("S", multiple_of=0), "at least 1"),
        (lambda: SymbolFacts("mod"), "cannot name"),
        (lambda: Facts([SymbolFacts("S"), SymbolFacts("S")]), "declared twice"),
        (lambda: Facts([], [(S, S + 1)]), "cannot hold"),
        (lambda: Facts([SymbolFacts("S", 1, 4)], [], [(const(5), S)]), "no value for dimension 'S'"),
        (lambda: Facts([], [], [(const(5), const(4))]), "contradict"),
    ],
)
def test_contradictions_are_reported(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@settings(max_examples=80, deadline=None)
@given(small_facts(), expressions, st.sets(st.sampled_from(NAMES), min_size=1, max_size=2))
def test_upper_bounds_without_symbols(known, a, names):
    facts, assignments = known
    upper = facts.upper_without(a, names)
    assert upper.symbols.isdisjoint(names)
    for env in assignments:
        assert facts.admits(env)
        assert upper.evaluate(env) >= a.evaluate(env)


def test_upper_bound_uses_what_is_stated():
    assert FACTS.upper_without(B * S * (P + S), ["P"]) is B * S * 4096
    assert FACTS.upper_without(ceildiv(P + S, 32) * B, ["P"]) is 128 * B
    assert FACTS.upper_without(minimum(P, 100) + S, ["P"]) is S + 100


def test_admits():
    assert FACTS.admits({"B": 1, "S": 512, "P": 3584})
    assert not FACTS.admits({"B": 1, "S": 512, "P": 3585})
    assert not FACTS.admits({"E": 12})
    assert FACTS.admits({"P": 4000})


def test_an_index_over_an_extent_that_is_never_positive() -> None:
    """The body of such a loop never runs; asking for facts inside it is no contradiction."""
    facts = Facts([SymbolFacts("S", 1, 7)]).with_iteration({"i": sym("S") // 8, "j": sym("S")})
    assert facts.bounds(sym("i")) == (0, 0)
    assert facts.prove_lt(sym("j"), sym("S")) is True

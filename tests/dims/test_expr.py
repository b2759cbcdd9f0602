"""Canonical form: values, text, JSON, substitution, identity of equal expressions."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlx_dialects.dims import ceildiv, const, floordiv, from_json, maximum, minimum, mod, parse_dim, sym
from tests.dims.strategies import NAMES, environments, expressions, valued

B, S, P, T = sym("B"), sym("S"), sym("P"), sym("T")


@settings(max_examples=400, deadline=None)
@given(st.data(), environments)
def test_value_is_kept(data, env):
    expr, value = data.draw(valued(env))
    assert expr.evaluate(env) == value


@settings(max_examples=300, deadline=None)
@given(expressions)
def test_text_and_json_read_back(expr):
    assert parse_dim(str(expr)) is expr
    assert from_json(expr.to_json()) is expr
    assert pickle.loads(pickle.dumps(expr)) is expr
    assert expr.rebuild(sym) is expr


@settings(max_examples=200, deadline=None)
@given(expressions, st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9)), environments)
def test_substitution_commutes_with_evaluation(expr, numbers, env):
    swap = {name: sym(name) * 2 + other for name, other in numbers.items()}
    bound = {name: (swap[name].evaluate(env) if name in swap else env[name]) for name in NAMES}
    assert expr.substitute(swap).evaluate(env) == expr.evaluate(bound)
    assert expr.substitute(dict(env)).value == expr.evaluate(env)


@settings(max_examples=200, deadline=None)
@given(expressions, expressions)
def test_arithmetic_identities_are_identity(a, b):
    assert a + b is b + a
    assert a * b is b * a
    assert a - a is const(0)
    assert (a + b) - b is a
    assert minimum(a, b) is minimum(b, a)
    assert maximum(a, a) is a


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (const(0), "0"),
        (const(-3), "-3"),
        (B * S * 4 - S + 1, "B * S * 4 - S + 1"),
        (floordiv(const(-7), 2), "-4"),
        (mod(const(-7), 3), "2"),
        (mod(S, 1), "0"),
        (floordiv(S, 1), "S"),
        (floordiv(4 * S + 2, 4), "S"),
        (floordiv(2 * S + 1, 4), "S floordiv 2"),
        (mod(2 * S + 1, 4), "(S mod 2) * 2 + 1"),
        (ceildiv(64 * S, 128), "(S + 1) floordiv 2"),
        (floordiv(floordiv(S, 2), 3), "S floordiv 6"),
        (mod(mod(S, 12), 4), "S mod 4"),
        (4 * floordiv(S, 4) + mod(S, 4), "S"),
        (floordiv(S * P, S * B), "P floordiv B"),
        (mod(S * P, S * B), "S * (P mod B)"),
        (floordiv(B * S + B * P, S + P), "B"),
        (mod(B * S + B * P, S + P), "0"),
        (minimum(S, minimum(S + 1, T)), "min(S, T)"),
        (maximum(S, maximum(T, S - 2)), "max(S, T)"),
        (-floordiv(S - 1, 2), "-((S + 1) floordiv 2) + 1"),
    ],
)
def test_canonical_text(expr, text):
    assert str(expr) == text
    assert parse_dim(text) is expr


def test_constants_equal_and_hash_like_integers():
    for value in (0, 3, -7):
        assert const(value) == value
        assert {value: "x"}[const(value)] == "x"
    assert S != 3
    assert const(3) != "3"


def test_coefficient():
    assert (B * S * 3 + B + 1).coefficient("B") is 3 * S + 1
    assert (S * S).coefficient("S") is None
    assert floordiv(S, 2).coefficient("S") is None
    assert S.coefficient("B") is const(0)


@pytest.mark.parametrize("word", ["floordiv", "ceildiv", "mod", "min", "max", "", "2S", "a b", "S+1"])
def test_names_that_would_not_read_back_are_refused(word):
    with pytest.raises(ValueError, match="cannot name a dimension"):
        sym(word)


@pytest.mark.parametrize("name", ["x", "f32", "modulo", "minimum", "_0", "$", "a.b", "$0"])
def test_unusual_names(name):
    assert parse_dim(f"({name} + 1) mod 3 * {name}") is mod(sym(name) + 1, 3) * sym(name)


@pytest.mark.parametrize("text", ["", "S +", "(S", "min(S)", "S 2", "S floordiv 0", "S mod -1", "S ! T", "mod", "2 * floordiv"])
def test_bad_text(text):
    with pytest.raises(ValueError):
        parse_dim(text)


@pytest.mark.parametrize("value", [[], ["+"], ["floordiv", "S"], ["mod", 1, 2, 3], ["div", 1, 2], 1.5, None])
def test_bad_json(value):
    with pytest.raises(ValueError):
        from_json(value)


def test_divisors_must_be_positive():
    for operation in (floordiv, mod, ceildiv):
        for divisor in (0, -2):
            with pytest.raises(ZeroDivisionError, match="positive"):
                operation(S, divisor)
    with pytest.raises(ZeroDivisionError, match="divides by 0"):
        floordiv(S, B).evaluate({"S": 3, "B": 0})
    with pytest.raises(KeyError, match="S"):
        (S + 1).evaluate({})

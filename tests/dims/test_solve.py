"""Finding symbols from extents."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlx_dialects.dims import DimExpr, Solution, SolveError, const, floordiv, parse_dim, solve_symbols, sym

B, S, P = sym("B"), sym("S"), sym("P")


def run(solution: Solution, extents: dict[tuple[int, int], int], env: dict[str, int]) -> dict[str, int] | None:
    """Follow the steps, then check the guards; None if one is violated."""
    env = dict(env)
    for step in solution.steps:
        env[step.dim] = step.expr.evaluate({**env, "$": extents[step.input, step.axis]})
    for guard in solution.guards:
        scope = {**env, "$": extents[guard.input, guard.axis]}
        left, right = guard.expr.evaluate(scope), guard.rhs.evaluate(scope)
        holds = {"eq": left == right, "le": left <= right, "divides": left > 0 and right % left == 0}[guard.op]
        if not holds:
            return None
    return env


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_round_trip(data):
    env = {name: data.draw(st.integers(1, 9)) for name in "BSPT"}
    shapes: list[tuple[int, int, DimExpr]] = []
    for at, name in enumerate("BSPT"):
        others = [sym(other) for other in "BSPT"[:at]]
        offset = data.draw(st.sampled_from((*others, const(0), const(3))))
        factor = data.draw(st.sampled_from((*others, const(1), const(1), const(2), const(-1))))
        shapes.append((at, data.draw(st.integers(0, 3)), factor * sym(name) + offset + (20 if factor == -1 else 0)))
    shapes.append((9, 0, floordiv(S * 3, 2)))
    shapes = data.draw(st.permutations(shapes))
    extents = {(i, axis): expr.evaluate(env) for i, axis, expr in shapes}
    solution = solve_symbols(shapes)
    assert run(solution, extents, {}) == env
    wrong = data.draw(st.sampled_from(sorted(extents)))
    found = run(solution, extents | {wrong: extents[wrong] + 1}, {})
    # Whatever passes the guards explains every extent.
    if found is not None:
        assert all(expr.evaluate(found) == (extents | {wrong: extents[wrong] + 1})[i, a] for i, a, expr in shapes)


def test_plain_symbols_come_first_and_repeats_become_guards():
    shapes = [(0, 0, B * S), (0, 1, const(768)), (1, 0, B), (1, 1, S + P), (2, 0, B)]
    solution = solve_symbols(shapes, known={"P"})
    assert [(s.dim, s.input, s.axis, str(s.expr)) for s in solution.steps] == [("B", 1, 0, "$"), ("S", 1, 1, "$ - P")]
    assert [(g.input, g.axis, g.op, str(g.rhs)) for g in solution.guards] == [
        (0, 0, "eq", "B * S"), (0, 1, "eq", "768"), (2, 0, "eq", "B"),
    ]  # fmt: skip


def test_linear_extent_yields_divisibility():
    solution = solve_symbols([(0, 0, 2 * S + 1)])
    assert str(solution.steps[0].expr) == "(($ + 1) floordiv 2) - 1"
    guard = solution.guards[0]
    assert (guard.op, str(guard.expr), str(guard.rhs)) == ("divides", "2", "$ - 1")


def test_known_factor_may_be_zero():
    solution = solve_symbols([(0, 0, B), (0, 1, B * S)])
    assert run(solution, {(0, 0): 3, (0, 1): 12}, {}) == {"B": 3, "S": 4}
    assert run(solution, {(0, 0): 3, (0, 1): 13}, {}) is None
    assert run(solution, {(0, 0): 0, (0, 1): 0}, {}) is None


@pytest.mark.parametrize("text", ["S floordiv 2", "S mod 8", "S * T", "S * S", "max(S, 4)", "S + T"])
def test_what_cannot_be_solved_names_a_symbol(text):
    with pytest.raises(SolveError, match="dimension 'S' cannot be found") as caught:
        solve_symbols([(0, 0, parse_dim(text)), (0, 1, const(4))])
    assert caught.value.symbol == "S"


def test_a_symbol_in_no_shape():
    with pytest.raises(SolveError, match="'P' occurs in no input shape"):
        solve_symbols([(0, 0, S)], wanted=["S", "P"])
    assert solve_symbols([(0, 0, S)], known={"P"}, wanted=["S", "P"]).guards == []


def test_an_extent_that_ignores_the_symbol_is_a_guard():
    assert solve_symbols([(0, 0, S), (0, 1, S - S + 4)]).guards[0].rhs == 4

"""Symbolic arena plans: valid at every dims, and little larger than a plan made for those dims."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlx_dialects.dims import DimExpr, DimLike, Facts, SymbolFacts, as_expr, const, floordiv, sym
from rlx_passes.support.packing import plan_arena
from rlx_passes.support.packing_symbolic import plan_symbolic

B, S, P = sym("B"), sym("S"), sym("P")
FACTS = Facts([SymbolFacts("B", 1, 64), SymbolFacts("S", 1, 512)])

Buffer = tuple[str, int, int, DimLike]


def check(buffers: list[Buffer], offsets: dict[str, DimExpr], arena: DimExpr, env: dict[str, int], alignment: int) -> int:
    """Pair by pair at the given dims; returns the arena's size."""
    top = arena.evaluate(env)
    assert top % alignment == 0
    rows = [(low, high, offsets[name].evaluate(env), as_expr(size).evaluate(env)) for name, low, high, size in buffers]
    for _, _, offset, size in rows:
        assert offset >= 0
        assert offset % alignment == 0
        assert offset + size <= top
    for (a_low, a_high, a, a_size), (b_low, b_high, b, b_size) in itertools.combinations(rows, 2):
        if a_low < b_high and b_low < a_high and a_size and b_size:
            assert a + a_size <= b or b + b_size <= a
    return top


sizes = st.one_of(
    st.integers(0, 2000),
    st.builds(lambda c: c * B * S, st.sampled_from((1, 4, 77, 1536, 6144))),
    st.builds(lambda c: c * B * S * S, st.sampled_from((3, 20, 48))),
    st.builds(lambda c, d: c * S * (S + d) + 4 * B, st.integers(1, 9), st.integers(0, 40)),
    st.builds(lambda c: 4 * floordiv(S + c, 2) * B, st.integers(0, 5)),
    st.builds(lambda c: c * (S - 1), st.integers(1, 64)),
)


@st.composite
def buffer_sets(draw: st.DrawFn) -> list[Buffer]:
    rows = draw(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6), sizes), max_size=16))
    return [(f"b{at}", low, low + life, size) for at, (low, life, size) in enumerate(rows)]


@settings(max_examples=60, deadline=None)
@given(
    buffer_sets(), st.sampled_from((1, 64)), st.lists(st.tuples(st.integers(1, 64), st.integers(1, 512)), min_size=1, max_size=6)
)
def test_plans_are_valid_at_any_dims(buffers, alignment, dims):
    offsets, arena = plan_symbolic(buffers, FACTS, alignment)
    assert list(offsets) == [name for name, *_ in buffers]
    for batch, length in [*dims, (1, 1), (64, 512)]:
        check(buffers, offsets, arena, {"B": batch, "S": length}, alignment)


def encoder(layers: int, width: int, heads: int, fused: bool) -> list[Buffer]:
    """Live ranges of an encoder over B sequences of S tokens: rows of c·B·S bytes, scores of 4·B·heads·S·S."""
    row, scores = 4 * B * S * width, 4 * B * heads * S * S
    projections = [("qkv", 1, 6, 3 * row)] if fused else [("q", 1, 4, row), ("k", 2, 4, row), ("v", 3, 6, row)]
    steps = [
        *projections, ("x", 0, 7, row), ("scores", 4, 5, scores), ("probs", 5, 6, scores), ("context", 6, 7, row),
        ("sum", 7, 10, row), ("rows", 7, 8, 4 * B * S), ("up", 8, 9, 4 * row), ("down", 9, 10, row),
    ]  # fmt: skip
    buffers: list[Buffer] = [("mask", 0, 10 * layers + 1, 4 * B * S)]
    for layer in range(layers):
        buffers += [(f"{name}{layer}", 10 * layer + low, 10 * layer + high + 1, size) for name, low, high, size in steps]
    return buffers


@pytest.mark.parametrize(
    "buffers",
    [encoder(3, 384, 12, False), encoder(2, 768, 12, True), encoder(2, 77, 5, False)],
    ids=["separate", "fused", "odd"],
)
def test_close_to_the_plan_for_given_dims(buffers):
    offsets, arena = plan_symbolic(buffers, FACTS)
    source = random.Random(1)
    for _ in range(12):
        env = {"B": source.choice((1, 2, 8, 64)), "S": source.randint(1, 512)}
        top = check(buffers, offsets, arena, env, 64)
        _, concrete = plan_arena([(name, low, high, as_expr(size).evaluate(env)) for name, low, high, size in buffers])
        assert top <= 1.1 * concrete, env
    assert max(len(str(offset)) for offset in offsets.values()) < 600


def test_equal_layers_share_their_offsets():
    offsets, _ = plan_symbolic(encoder(8, 384, 12, False), FACTS)
    assert len(set(offsets.values())) < len(offsets) / 4


def test_proved_multiples_stack_without_a_maximum():
    row = 4 * B * S * 384
    offsets, arena = plan_symbolic([("a", 0, 2, row), ("b", 1, 3, 4 * row), ("c", 2, 4, row), ("d", 3, 5, 2 * row)], FACTS)
    assert arena is 5 * row
    assert all("max" not in str(offset) for offset in offsets.values())


def test_many_kinds_of_sizes_keep_expressions_short():
    source = random.Random(4)
    names = [sym(name) for name in "ABCDEFGH"]
    facts = Facts([SymbolFacts(str(name), 1, 100) for name in names])
    buffers = [
        (at, low := source.randrange(20), low + source.randint(1, 9), 64 * source.choice(names) * source.choice(names))
        for at in range(40)
    ]
    offsets, arena = plan_symbolic(buffers, facts)
    for _ in range(5):
        check(buffers, offsets, arena, {str(name): source.randint(1, 100) for name in names}, 64)
    assert max(str(offset).count("max(") for offset in offsets.values()) <= 3


def test_runtime_dims_count_with_their_upper_bound():
    facts = Facts([SymbolFacts("S", 1, 512), SymbolFacts("P", 0, 4096, runtime=True)], inequalities=[(P + S, const(4096))])
    offsets, arena = plan_symbolic([("scores", 0, 2, 4 * S * (P + S)), ("row", 1, 3, 4 * S * 64)], facts)
    assert arena is 4 * S * 4096 + 4 * S * 64
    assert "P" not in arena.symbols.union(*(offset.symbols for offset in offsets.values()))


def test_constants_and_nothing():
    assert plan_symbolic([], FACTS) == ({}, const(0))
    offsets, arena = plan_symbolic([("a", 0, 2, 100), ("b", 1, 3, 60), ("z", 0, 3, 0)], FACTS)
    assert arena == 192
    assert sorted(offset.value for offset in offsets.values())[:2] == [0, 0]


def test_equal_input_gives_an_equal_plan():
    assert plan_symbolic(encoder(2, 96, 3, False), FACTS) == plan_symbolic(encoder(2, 96, 3, False), FACTS)


@pytest.mark.parametrize(
    ("buffers", "message"),
    [
        ([("a", 0, 1, S - 2)], "'a': size 'S - 2' is not known to be non-negative"),
        ([("a", 1, 1, S)], "'a' has an empty live range"),
        ([("a", 0, 1, S), ("a", 0, 1, S)], "'a' is listed twice"),
    ],
)
def test_bad_input(buffers, message):
    with pytest.raises(ValueError, match=message):
        plan_symbolic(buffers, FACTS)

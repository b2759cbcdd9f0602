"""The arena planner: valid plans always, optimal ones where brute force can tell, and the bound on typical models."""

from __future__ import annotations

import doctest
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlx_passes.support import packing
from rlx_passes.support.packing import live_bytes_bound, plan_arena

Buffer = tuple[str, int, int, int]


def check(buffers: list[Buffer], offsets: dict[str, int], arena: int, alignment: int) -> None:
    """Every rule of a plan, pair by pair."""
    assert list(offsets) == [buffer[0] for buffer in buffers]
    assert arena % alignment == 0
    for name, _, _, size in buffers:
        assert offsets[name] >= 0
        assert offsets[name] % alignment == 0
        assert offsets[name] + size <= arena
    for (a, a_low, a_high, a_size), (b, b_low, b_high, b_size) in itertools.combinations(buffers, 2):
        if a_low < b_high and b_low < a_high and a_size and b_size:
            assert offsets[a] + a_size <= offsets[b] or offsets[b] + b_size <= offsets[a], (a, b)


def bound(buffers: list[Buffer], alignment: int) -> int:
    return live_bytes_bound((low, high, -(-size // alignment) * alignment) for _, low, high, size in buffers)


def optimum(buffers: list[Buffer], alignment: int) -> int:
    """The least arena: some order, each buffer on top of the placed ones it meets, gives an optimal plan."""
    best = None
    for order in itertools.permutations(buffers):
        tops: list[tuple[int, int, int]] = []
        for _, low, high, size in order:
            base = max((top for other_low, other_high, top in tops if other_low < high and low < other_high), default=0)
            tops.append((low, high, base + -(-size // alignment) * alignment))
        arena = max((top for _, _, top in tops), default=0)
        best = arena if best is None else min(best, arena)
    return best or 0


@st.composite
def buffer_sets(draw: st.DrawFn, most: int = 40) -> list[Buffer]:
    rows = draw(st.lists(st.tuples(st.integers(-3, 20), st.integers(1, 12), st.integers(0, 3000)), max_size=most))
    return [(f"b{at}", low, low + life, size) for at, (low, life, size) in enumerate(rows)]


@settings(max_examples=150, deadline=None)
@given(buffer_sets(), st.sampled_from((1, 8, 64, 256)))
def test_plans_are_valid(buffers, alignment):
    offsets, arena = plan_arena(buffers, alignment)
    check(buffers, offsets, arena, alignment)
    assert arena >= bound(buffers, alignment)
    assert arena <= sum(-(-size // alignment) * alignment for *_, size in buffers)


def test_tiny_cases_against_brute_force():
    source = random.Random(7)
    misses = 0
    for _ in range(60):
        buffers = []
        for at in range(source.randint(1, 6)):
            low = source.randrange(6)
            buffers.append((f"b{at}", low, low + source.randint(1, 4), source.randint(1, 12)))
        offsets, arena = plan_arena(buffers, 1)
        check(buffers, offsets, arena, 1)
        best = optimum(buffers, 1)
        assert arena >= best
        misses += arena > best
    assert misses == 0


def test_equal_input_gives_an_equal_plan():
    source = random.Random(3)
    buffers = [(f"b{at}", low := source.randrange(60), low + source.randint(1, 15), source.randint(1, 5000)) for at in range(80)]
    first = plan_arena(buffers)
    assert plan_arena(buffers) == first
    assert list(first[0]) == [name for name, *_ in buffers]
    renamed = plan_arena([(at, *rest) for at, (_, *rest) in enumerate(buffers)])
    assert list(renamed[0].values()) == list(first[0].values())


def test_more_effort_is_never_worse():
    source = random.Random(11)
    buffers = [(f"b{at}", low := source.randrange(12), low + source.randint(1, 6), source.randint(1, 90)) for at in range(14)]
    default, most = plan_arena(buffers, 1), plan_arena(buffers, 1, effort="max")
    check(buffers, *most, 1)
    assert most[1] <= default[1]


def transformer(layers: int, tokens: int, width: int, heads: int) -> list[Buffer]:
    """Live ranges of an encoder: residual stream, fused q/k/v, scores, attention result, widened feed-forward."""
    buffers: list[Buffer] = []
    time, row = 1, 4 * tokens
    for layer in range(layers):
        start = time
        steps = [
            ("q", 1, 4),
            ("k", 2, 4),
            ("v", 3, 6),
            ("scores", 4, 5),
            ("probs", 5, 6),
            ("context", 6, 7),
            ("sum", 7, 10),
            ("up", 8, 9),
            ("down", 9, 10),
        ]
        sizes = {"scores": 4 * heads * tokens * tokens, "probs": 4 * heads * tokens * tokens, "up": 4 * row * width}
        buffers += [(f"{name}{layer}", start + low, start + high + 1, sizes.get(name, row * width)) for name, low, high in steps]
        buffers.append((f"x{layer}", start, start + 8, row * width))
        time = start + 10
    return buffers


def residual_network(blocks: int) -> list[Buffer]:
    buffers: list[Buffer] = []
    for block in range(blocks):
        size = 4 * 64 * 112 * 112 >> (block // 2)
        start = 3 * block
        buffers += [
            (f"x{block}", start, start + 3, size),
            (f"a{block}", start + 1, start + 3, size),
            (f"b{block}", start + 2, start + 4, size),
        ]
    return buffers


@pytest.mark.parametrize(
    "buffers",
    [transformer(12, 128, 384, 12), transformer(18, 77, 512, 8), residual_network(30)],
    ids=["encoder12", "encoder18", "residual"],
)
def test_typical_models_meet_the_bound(buffers):
    offsets, arena = plan_arena(buffers)
    check(buffers, offsets, arena, 64)
    assert arena == bound(buffers, 64)


def test_independent_stretches_share_space():
    buffers = [("a", 0, 5, 100), ("b", 5, 9, 100), ("c", 20, 21, 64)]
    assert plan_arena(buffers) == ({"a": 0, "b": 0, "c": 0}, 128)


def test_empty_and_zero_sizes():
    assert plan_arena([]) == ({}, 0)
    assert plan_arena([("z", 0, 4, 0)]) == ({"z": 0}, 0)
    offsets, arena = plan_arena([("a", 0, 4, 65), ("z", 0, 4, 0), ("b", 0, 4, 1)])
    assert arena == 192
    assert offsets["z"] % 64 == 0


@pytest.mark.parametrize(
    ("buffers", "options", "message"),
    [
        ([("a", 0, 1, -4)], {}, "'a' has negative size -4"),
        ([("a", 2, 2, 4)], {}, r"'a' has an empty live range \[2, 2\)"),
        ([("a", 0, 1, 4), ("a", 1, 2, 4)], {}, "'a' is listed twice"),
        ([], {"alignment": 48}, "48 is not a power of two"),
        ([], {"alignment": 0}, "0 is not a power of two"),
        ([], {"effort": "all"}, "unknown effort 'all'"),
    ],
)
def test_bad_input(buffers, options, message):
    with pytest.raises(ValueError, match=message):
        plan_arena(buffers, **options)


def test_the_example_in_the_documentation():
    assert doctest.testmod(packing).failed == 0

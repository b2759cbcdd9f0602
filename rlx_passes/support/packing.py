"""Static arena planning: offsets for buffers whose live ranges are known.

Buffers that are live together must not overlap; the arena should be little larger than the most bytes ever live at once, which no
plan can beat. The problem is two-dimensional packing with one coordinate (time) fixed, and NP-hard.

The planner builds plans from several priority orders and stops at the first that meets the lower bound. The main construction
fills the arena from the bottom up: of all buffers not placed yet, one that can go lowest is next, ties by priority, so a
buffer is stacked right on what it meets. Buffers that meet the most other bytes come first, as they are the hardest to place
later. Where a gap remains, a seeded local search over the priority order follows; its budget counts steps, not time, so equal
input gives an equal plan everywhere.

>>> plan_arena([("a", 0, 2, 100), ("b", 1, 3, 60), ("c", 2, 4, 100)])
({'a': 0, 'b': 128, 'c': 0}, 192)
"""

from __future__ import annotations

import bisect
import dataclasses
import heapq
import itertools
import random
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Literal, TypeVar

Id = TypeVar("Id", bound=Hashable)
Effort = Literal["fast", "default", "max"]

# Search budgets: conflict visits in all (some 10 million a second), and trials per buffer, which bound small problems.
_BUDGET: dict[str, tuple[int, int]] = {"fast": (0, 0), "default": (5_000_000, 8), "max": (100_000_000, 160)}
# Plans this near the bound are not worth more than a short search.
_NEAR = 1.06
_NEAR_BUDGET = (250_000, 2)


def plan_arena(
    buffers: Iterable[tuple[Id, int, int, int]], alignment: int = 64, effort: Effort = "default"
) -> tuple[dict[Id, int], int]:
    """Place buffers so that no two that are live at once overlap.

    Args:
        buffers: (id, lower, upper, size in bytes); live in the half-open interval [lower, upper). Zero sizes are legal.
        alignment: every offset is a multiple of this power of two, and so is the arena.
        effort: "fast" only constructs; "default" also searches where that leaves a gap to the lower bound; "max" searches some
            twenty times longer.

    Returns:
        (offset of each id in input order, arena size in bytes).

    Raises:
        ValueError: a negative size, an empty live range, a repeated id, an alignment that is not a power of
            two, or an unknown effort.
    """
    items = list(buffers)
    _validate(items, alignment)
    if effort not in _BUDGET:
        raise ValueError(f"unknown effort {effort!r}: use 'fast', 'default' or 'max'")
    sized = [at for at, item in enumerate(items) if item[3]]
    ranges = [(items[at][1], items[at][2], -(-items[at][3] // alignment) * alignment) for at in sized]
    offsets = [0] * len(items)
    arena = bound = live_bytes_bound(ranges)
    # Stretches of time that share no buffer are independent of each other.
    for group in _independent(ranges):
        problem = _Problem.build([ranges[k] for k in group])
        placed, top = _pack(problem, bound, effort)
        arena = max(arena, top)
        for k, offset in zip(group, placed, strict=True):
            offsets[sized[k]] = offset
    return {item[0]: offset for item, offset in zip(items, offsets, strict=True)}, arena


def live_bytes_bound(ranges: Iterable[tuple[int, int, int]]) -> int:
    """The most bytes live at one time, over (lower, upper, size): no arena can be smaller."""
    events = sorted(event for lower, upper, size in ranges for event in ((lower, size), (upper, -size)))
    live = most = 0
    for _, change in events:  # at equal times releases sort first
        live += change
        most = max(most, live)
    return most


def constructions(ranges: list[tuple[int, int, int]]) -> Iterator[tuple[list[int], int]]:
    """The plans (offsets, height) that `plan_arena` starts from, over (lower, upper, aligned size)."""
    problem = _Problem.build(ranges)
    for order, stacked in _orders(problem):
        plan = _stack(problem, order, None) if stacked else _first_fit(problem, order)
        assert plan is not None
        yield plan


def find_conflicts(ranges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """For each half-open live range the indices of the others it shares a time with."""
    conflicts: list[list[int]] = [[] for _ in ranges]
    active: list[int] = []
    for at in sorted(range(len(ranges)), key=lambda k: ranges[k][0]):
        active = [other for other in active if ranges[other][1] > ranges[at][0]]
        for other in active:
            conflicts[at].append(other)
            conflicts[other].append(at)
        active.append(at)
    return conflicts


def _validate(items: Sequence[tuple[Hashable, int, int, int]], alignment: int) -> None:
    if alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"alignment {alignment} is not a power of two")
    seen: set[Hashable] = set()
    for id_, lower, upper, size in items:
        if id_ in seen:
            raise ValueError(f"buffer {id_!r} is listed twice")
        seen.add(id_)
        if size < 0:
            raise ValueError(f"buffer {id_!r} has negative size {size}")
        if upper <= lower:
            raise ValueError(f"buffer {id_!r} has an empty live range [{lower}, {upper})")


def _independent(ranges: Sequence[tuple[int, int, int]]) -> list[list[int]]:
    groups: list[list[int]] = []
    end = None
    for at in sorted(range(len(ranges)), key=lambda k: ranges[k][0]):
        if end is None or ranges[at][0] >= end:
            groups.append([])
            end = ranges[at][1]
        groups[-1].append(at)
        end = max(end, ranges[at][1])
    return groups


@dataclasses.dataclass(frozen=True)
class _Problem:
    """Aligned sizes, live ranges and, per buffer, the buffers it is live together with."""

    ranges: list[tuple[int, int, int]]
    sizes: list[int]
    conflicts: list[list[int]]

    @staticmethod
    def build(ranges: list[tuple[int, int, int]]) -> _Problem:
        conflicts = find_conflicts([(lower, upper) for lower, upper, _ in ranges])
        return _Problem(ranges, [size for _, _, size in ranges], conflicts)


def _pack(problem: _Problem, bound: int, effort: Effort) -> tuple[list[int], int]:
    """The best plan found; anything within `bound` is as good as optimal."""
    best: tuple[list[int], int] | None = None
    starts: list[tuple[int, list[int]]] = []
    for order, stacked in _orders(problem):
        # No plan is rejected here: each order must give its own height.
        plan = _stack(problem, order, None) if stacked else _first_fit(problem, order)
        assert plan is not None
        if best is None or plan[1] < best[1]:
            best = plan
        if best[1] <= bound:
            return best
        if stacked:
            starts.append((plan[1], order))
    assert best is not None
    starts.sort(key=lambda start: start[0])
    chains = {"fast": 0, "default": 1, "max": 4}[effort]
    for number, (_, order) in enumerate(starts[:chains]):
        visits, trials = _BUDGET[effort] if effort == "max" or best[1] > bound * _NEAR else _NEAR_BUDGET
        cost = len(order) + sum(map(len, problem.conflicts))
        found = _search(problem, order, bound, min(visits // cost, trials * len(order)) // chains, number)
        if found[1] < best[1]:
            best = found
        if best[1] <= bound:
            break
    return best


def _orders(problem: _Problem) -> Iterable[tuple[list[int], bool]]:
    """Priority orders, most promising first, and whether they are for stacking (else for first fit)."""
    ranges, sizes = problem.ranges, problem.sizes
    everyone = range(len(sizes))
    span = [upper - lower for lower, upper, _ in ranges]
    met = [sum(sizes[other] for other in problem.conflicts[at]) + sizes[at] for at in everyone]
    crowd = _crowding(problem)
    keys: list[tuple[list[tuple[int, ...]], bool]] = [
        ([(-sizes[at], ranges[at][0]) for at in everyone], False),
        ([(ranges[at][0], -sizes[at]) for at in everyone], False),
        ([(-crowd[at], -span[at]) for at in everyone], True),
        ([(-met[at],) for at in everyone], True),
        ([(-crowd[at], -span[at] * sizes[at]) for at in everyone], True),
        ([(-span[at],) for at in everyone], True),
        ([(-len(problem.conflicts[at]),) for at in everyone], True),
        ([(-span[at] * sizes[at],) for at in everyone], True),
        ([(-met[at],) for at in everyone], False),
    ]
    for key, stacked in keys:
        yield sorted(everyone, key=lambda at: (key[at], -sizes[at], at)), stacked


def _crowding(problem: _Problem) -> list[int]:
    """For each buffer the most bytes live at any time within its own live range."""
    # Live bytes peak where a buffer starts, so starts are the only times to look at.
    times = sorted({lower for lower, _, _ in problem.ranges})
    change = [0] * (len(times) + 1)
    inside = [(bisect.bisect_left(times, lower), bisect.bisect_left(times, upper)) for lower, upper, _ in problem.ranges]
    for (first, last), size in zip(inside, problem.sizes, strict=True):
        change[first] += size
        change[last] -= size
    live = list(itertools.accumulate(change))
    return [max(live[first:last]) for first, last in inside]


def _first_fit(problem: _Problem, order: Sequence[int]) -> tuple[list[int], int]:
    """Each buffer in turn at the lowest offset that is free throughout its life."""
    sizes = problem.sizes
    offsets = [-1] * len(sizes)
    top = 0
    for at in order:
        size, offset = sizes[at], 0
        for low, high in sorted((offsets[o], offsets[o] + sizes[o]) for o in problem.conflicts[at] if offsets[o] >= 0):
            if low - offset >= size:
                break
            offset = max(offset, high)
        offsets[at] = offset
        top = max(top, offset + size)
    return offsets, top


def _stack(problem: _Problem, order: Sequence[int], limit: int | None) -> tuple[list[int], int] | None:
    """From the bottom up: of the buffers that can go lowest the first in `order`. None once the plan must exceed `limit`."""
    sizes, conflicts = problem.sizes, problem.conflicts
    offsets = [-1] * len(sizes)
    floor = [0] * len(sizes)
    top = 0
    queue = [(0, rank, at) for rank, at in enumerate(order)]  # sorted, so a heap already
    push, pop = heapq.heappush, heapq.heappop
    while queue:
        low, rank, at = pop(queue)
        if floor[at] != low:
            push(queue, (floor[at], rank, at))
            continue
        offsets[at] = low
        high = low + sizes[at]
        if high > top:
            top = high
        for other in conflicts[at]:
            # Placed buffers lie below `high` as well; raising their floor is harmless.
            if floor[other] < high:
                floor[other] = high
                if limit is not None and offsets[other] < 0 and high + sizes[other] > limit:
                    return None
    return offsets, top


def _search(problem: _Problem, order: list[int], bound: int, trials: int, seed: int) -> tuple[list[int], int]:
    """Hill climbing over priority orders: move a buffer, preferably one that sticks out, and keep what is no higher."""
    source = random.Random(seed).random  # the float stream is the same in every Python version
    count = len(order)
    plan = _stack(problem, order, None)
    assert plan is not None
    sizes = problem.sizes
    for _ in range(trials):
        if plan[1] <= bound:
            break
        offsets, top = plan
        trial = list(order)
        choice = source()
        if choice < 0.75:
            line = top if choice < 0.5 else bound
            outside = [k for k, at in enumerate(order) if offsets[at] + sizes[at] >= line]
            place = outside[int(source() * len(outside))]
        else:
            place = int(source() * count)
        moved = trial.pop(place)
        trial.insert(int(source() * (place + 1 if source() < 0.7 else count)), moved)
        if source() < 0.5:
            a, b = int(source() * count), int(source() * count)
            trial[a], trial[b] = trial[b], trial[a]
        found = _stack(problem, trial, top)
        if found is not None:
            plan, order = found, trial
    return plan

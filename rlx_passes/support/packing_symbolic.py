"""Arena planning for buffers whose sizes are dimension expressions: one plan for every value of the dims.

A plan is an order: each buffer stands on the highest of those placed before it that it is live together with, so its offset is
`max(offset + size)` over these. Any order is safe at any dims; a good one wastes little. Orders are taken from concrete plans at
sample values of the dims and improved by a short local search; they are judged by the worst ratio of arena to live bytes over
all samples.

Offsets are kept as the terms of that maximum. Terms that another provably reaches are dropped. Where too many remain, two are
joined into one that is at least both: over non-negative monomials, the larger coefficient of each.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from rlx_dialects.dims import DimExpr, DimLike, Facts, ceildiv, const, maximum, sym
from rlx_passes.support.packing import constructions, find_conflicts, live_bytes_bound, plan_arena

Id = TypeVar("Id", bound=Hashable)
Score = tuple[float, float]

# An offset is a maximum of at most this many sums.
_MAX_TERMS = 4
_MAX_SAMPLES = 16
# Geometric steps through the range of a symbol.
_PARTS = 12
# Local search ends once no sample is further from its bound than this; its budget is trials, and conflict visits in all.
_CLOSE = 1.02
_TRIALS = 200
_VISITS = 2_000_000


def plan_symbolic(
    buffers: Iterable[tuple[Id, int, int, DimLike]], facts: Facts, alignment: int = 64
) -> tuple[dict[Id, DimExpr], DimExpr]:
    """Place buffers so that no two that are live at once overlap, whatever the dims within `facts`.

    Args:
        buffers: (id, lower, upper, size in bytes as an expression >= 0); live in the half-open interval [lower, upper).
        facts: ranges of the symbols. A runtime symbol may not decide an offset, so sizes count with its upper bound.
        alignment: every offset is a multiple of this power of two, and so is the arena.

    Returns:
        (offset of each id in input order, arena size in bytes), free of runtime symbols.

    Raises:
        ValueError: a size that is not provably non-negative, or what `plan_arena` refuses.
    """
    items = list(buffers)
    # Ids, ranges and the alignment are checked before anything relies on them.
    plan_arena([(id_, lower, upper, 1) for id_, lower, upper, _ in items], alignment, "fast")
    sizes = [_aligned_size(id_, size, facts, alignment) for id_, _, _, size in items]
    task = _Task.build([(lower, upper) for _, lower, upper, _ in items], sizes, _samples(sizes, facts))
    offsets, arena = _Placement(task, facts, alignment).place(_choose_order(task))
    return {item[0]: offset for item, offset in zip(items, offsets, strict=True)}, arena


def _aligned_size(id_: Hashable, given: DimLike, facts: Facts, alignment: int) -> DimExpr:
    size = facts.resolve(given)
    runtime = [name for name in size.symbols if facts.symbol(name).runtime]
    if runtime:
        size = facts.upper_without(size, runtime)
    if facts.prove_le(0, size) is not True:
        raise ValueError(f"buffer {id_!r}: size '{given}' is not known to be non-negative")
    return facts.simplify(alignment * ceildiv(size, alignment))


def _samples(sizes: Sequence[DimExpr], facts: Facts) -> list[dict[str, int]]:
    """Assignments to judge orders by: geometric steps through the ranges, as far as the stated inequalities admit them.

    Which buffer is larger can change anywhere within a range (B·S·768 against B·h·S·S), so ends alone would mislead.
    """
    points: dict[str, list[int]] = {}
    for name in sorted(frozenset().union(*(size.symbols for size in sizes))):
        low, high = (max(end or 0, 0) for end in facts.bounds(sym(name)))
        step = max(facts.divisor(sym(name)), 1)
        ratio = math.log((high + 1) / (low + 1))
        inner = [int((low + 1) * math.exp(ratio * part / _PARTS)) for part in range(1, _PARTS)]
        inner.sort(key=lambda value: abs(math.log((value + 1) / math.sqrt((low + 1) * (high + 1)))))
        points[name] = [*(min(max(value - value % step, low), high) for value in inner), high, low]
    base = {name: values[0] for name, values in points.items()}
    found = [base]
    for at in range(1, _PARTS + 1):
        found += [base | {name: values[at]} for name, values in points.items()]
    for end in (-2, -1):
        found.append({name: values[end] for name, values in points.items()})
    unique = list({tuple(env.items()): env for env in found}.values())
    kept: dict[tuple[int, ...], dict[str, int]] = {}
    for at, env in enumerate(unique):
        # A sample that does not occur costs quality, not safety, so the first one stays in any case.
        if at and not facts.admits(env):
            continue
        column = [size.evaluate(env) for size in sizes]
        # Sizes in the same proportions pack alike: a dim that scales all of them needs no samples of its own.
        kept.setdefault(tuple(200 * size // (max(column) or 1) for size in column), env)
    return list(kept.values())[:_MAX_SAMPLES]


@dataclasses.dataclass(frozen=True)
class _Task:
    """Live ranges and conflicts, sizes as expressions and at each sample, and the live bytes at each sample."""

    ranges: list[tuple[int, int]]
    conflicts: list[list[int]]
    sizes: list[DimExpr]
    samples: list[dict[str, int]]
    sampled: list[list[int]]
    bounds: list[int]

    @staticmethod
    def build(ranges: list[tuple[int, int]], sizes: list[DimExpr], samples: list[dict[str, int]]) -> _Task:
        sampled = [[size.evaluate(env) for size in sizes] for env in samples]
        bounds = [
            live_bytes_bound((low, high, size) for (low, high), size in zip(ranges, column, strict=True)) for column in sampled
        ]
        return _Task(ranges, find_conflicts(ranges), sizes, samples, sampled, bounds)

    def score(self, order: Sequence[int], limit: Score | None = None) -> Score | None:
        """(worst, mean) ratio of arena to live bytes over the samples; None as soon as it must be worse than `limit`."""
        worst, total = 1.0, 0.0
        for sizes, bound in zip(self.sampled, self.bounds, strict=True):
            _, top = self.stack(order, sizes)
            ratio = top / bound if bound else 1.0
            worst, total = max(worst, ratio), total + ratio
            if limit is not None and worst > limit[0]:
                return None
        score = (worst, total / len(self.samples))
        return None if limit is not None and score > limit else score

    def stack(self, order: Sequence[int], sizes: Sequence[int]) -> tuple[list[int], int]:
        """Offsets and height when each buffer in turn stands on the highest one below it."""
        floor, top = [0] * len(sizes), 0
        offsets = [0] * len(sizes)
        for at in order:
            offsets[at] = floor[at]
            high = floor[at] + sizes[at]
            top = max(top, high)
            for other in self.conflicts[at]:
                if floor[other] < high:
                    floor[other] = high
        return offsets, top


def _choose_order(task: _Task) -> list[int]:
    """The order with the best score: bottom to top in a concrete plan of some sample, then local search."""
    everyone = range(len(task.sizes))
    best: tuple[Score, list[int]] | None = None
    seen: set[tuple[int, ...]] = set()
    for column, bound in zip(task.sampled, task.bounds, strict=True):
        for offsets, top in constructions([(*task.ranges[at], column[at]) for at in everyone]):
            order = sorted(everyone, key=lambda at: (offsets[at], -column[at], at))
            if best is not None and (top > bound * best[0][0] or tuple(order) in seen):
                continue
            seen.add(tuple(order))
            score = task.score(order, best[0] if best else None)
            if score is not None:
                best = (score, order)
        if best is not None and best[0][0] <= _CLOSE:
            break
    assert best is not None
    score, order = best
    source = random.Random(0).random
    cost = (len(order) + sum(map(len, task.conflicts))) * len(task.samples) + 1
    for _ in range(min(_TRIALS, _VISITS // cost)):
        if score[0] <= _CLOSE:
            break
        trial = list(order)
        moved = trial.pop(_critical(task, order, source))
        trial.insert(int(source() * len(order)), moved)
        if source() < 0.5:
            a, b = int(source() * len(order)), int(source() * len(order))
            trial[a], trial[b] = trial[b], trial[a]
        found = task.score(trial, score)
        if found is not None:
            score, order = found, trial
    return order


def _critical(task: _Task, order: list[int], source: Callable[[], float]) -> int:
    """The place in `order` of a buffer to move: mostly one that reaches above the live bytes of some sample."""
    if source() < 0.7:
        at_sample = int(source() * len(task.samples))
        sizes, bound = task.sampled[at_sample], task.bounds[at_sample]
        offsets, _ = task.stack(order, sizes)
        outside = [place for place, at in enumerate(order) if offsets[at] + sizes[at] > bound]
        if outside:
            return outside[int(source() * len(outside))]
    return int(source() * len(order))


class _Placement:
    """Turns an order into expressions; a maximum is a list of sums none of which provably reaches another."""

    def __init__(self, task: _Task, facts: Facts, alignment: int):
        self._task = task
        self._facts = facts
        self._alignment = alignment
        self._values: dict[DimExpr, tuple[int, ...]] = {}

    def place(self, order: Sequence[int]) -> tuple[list[DimExpr], DimExpr]:
        tops: dict[int, list[DimExpr]] = {}
        offsets = [const(0)] * len(order)
        for at in order:
            size = self._task.sizes[at]
            if not size.terms:
                continue
            below = dict.fromkeys(top for other in self._task.conflicts[at] for top in tops.get(other, ()))
            terms = self._reduce(list(below)) or [const(0)]
            offsets[at] = _maximum(terms)
            tops[at] = [term + size for term in terms]
        highest = dict.fromkeys(top for terms in tops.values() for top in terms)
        return offsets, _maximum(self._reduce(list(highest)) or [const(0)])

    def _reduce(self, terms: list[DimExpr]) -> list[DimExpr]:
        """At most `_MAX_TERMS` sums whose maximum is at least every given one."""
        kept: list[DimExpr] = []
        for term in sorted(terms, key=lambda term: (-sum(self._value(term)), str(term))):
            if not any(self._reaches(other, term) for other in kept):
                kept.append(term)
        while len(kept) > _MAX_TERMS:
            pairs = [(self._join(a, b), a, b) for a, b in itertools.combinations(kept, 2)]
            joined, a, b = min(pairs, key=lambda pair: (self._increase(*pair), str(pair[0])))
            kept = [joined, *(term for term in kept if term not in (a, b) and not self._reaches(joined, term))]
        return kept

    def _value(self, term: DimExpr) -> tuple[int, ...]:
        found = self._values.get(term)
        if found is None:
            found = self._values[term] = tuple(term.evaluate(env) for env in self._task.samples)
        return found

    def _reaches(self, high: DimExpr, low: DimExpr) -> bool:
        """Whether high >= low for all dims; the samples refute most pairs without a proof."""
        if any(a < b for a, b in zip(self._value(high), self._value(low), strict=True)):
            return False
        return self._facts.prove_le(low, high) is True

    def _join(self, a: DimExpr, b: DimExpr) -> DimExpr:
        """A sum that is at least `a` and `b`, both of which are non-negative."""
        left, right = dict(a.terms), dict(b.terms)
        joined = const(0)
        for monomial in dict.fromkeys((*left, *right)):
            whole = DimExpr(((monomial, 1),))
            if self._facts.prove_le(0, whole) is not True:
                return a + b
            joined = joined + max(left.get(monomial, 0), right.get(monomial, 0)) * whole
        return joined if self._facts.divisor(joined) % self._alignment == 0 else a + b

    def _increase(self, joined: DimExpr, a: DimExpr, b: DimExpr) -> float:
        columns = zip(self._value(joined), self._value(a), self._value(b), self._task.bounds, strict=True)
        return max((high - max(x, y)) / max(bound, 1) for high, x, y, bound in columns)


def _maximum(terms: Sequence[DimExpr]) -> DimExpr:
    result = terms[0]
    for term in terms[1:]:
        result = maximum(result, term)
    return result

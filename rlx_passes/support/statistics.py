"""Passes that say what they did: counts by name, which the pass manager keeps in its records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from xdsl.passes import ModulePass


@dataclass(frozen=True)
class CountingPass(ModulePass):
    """A pass with counts of what it did, `{"swiglu": 2}`; a run adds to them."""

    statistics: Counter[str] = field(default_factory=Counter, init=False, repr=False, compare=False)

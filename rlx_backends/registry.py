"""Finding backends by target name: the entry-point group `rlx.backends`, ours included."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from rlx_runtime.errors import TargetError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from rlx_backends.base import Backend

_OWN = {name: f"rlx_backends.{name}" for name in ("cpu", "numpy", "cuda", "rocm", "metal")}


@cache
def backend(name: str) -> Backend:
    """The backend called `name`; TargetError lists the ones there are."""
    if name in _OWN:
        return import_module(_OWN[name]).BACKEND
    for entry in _entries():
        if entry.name == name:
            return entry.load()
    raise TargetError(f"unknown target '{name}'", code="unknown-target", hint=f"known targets: {', '.join(names())}")


def names() -> list[str]:
    """Every target name, ours first."""
    return [*_OWN, *sorted(e.name for e in _entries() if e.name not in _OWN)]


def _entries() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group="rlx.backends")

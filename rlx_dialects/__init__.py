"""What the IR is and what each operation means. Imports xDSL; NumPy only in `<dialect>/semantics.py`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xdsl.ir import Dialect

_DIALECTS = ("rlx", "hir", "mir", "lir", "kernel", "cuda", "rocm", "metal")
"""Each is a package `rlx_dialects.<name>` with a `Dialect` object `<NAME>`."""


def get_all_dialects() -> dict[str, Callable[[], Dialect]]:
    """Name -> factory; a dialect is imported when its factory is called."""

    def factory(name: str) -> Callable[[], Dialect]:
        return lambda: getattr(import_module(f"rlx_dialects.{name}"), name.upper())

    return {name: factory(name) for name in _DIALECTS}

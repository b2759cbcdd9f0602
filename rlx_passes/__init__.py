"""How the IR changes: one pass per file, the file named like the pass, folders in pipeline order. Imports `rlx_dialects`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xdsl.passes import ModulePass

PassFactory = Callable[[], "type[ModulePass]"]

_PASSES: dict[str, tuple[str, ...]] = {
    "generic": ("rlx-cse", "rlx-dce"),
    "hir": ("convert-hir-to-mir",),
    "mir": (
        "mir-canonicalize",
        "mir-fuse-attention",
        "mir-fuse-swiglu",
        "mir-fuse-residual-norm",
        "mir-fuse-matmul-bias-act",
        "mir-hoist-parameters",
        "mir-specialize",
        "mir-drop-unused-arguments",
    ),
    "mir_to_lir": ("convert-mir-to-lir",),
    "lir": (
        "lir-fuse-forms",
        "lir-coalesce-copies",
        "lir-boundary-to-arena",
        "lir-order-for-memory",
        "lir-plan-memory",
        "lir-verify-plan",
    ),
}
"""Folder -> the names of its passes. `mir/mir_fuse_swiglu.py` holds `mir-fuse-swiglu` as class `MirFuseSwigluPass`."""


def pass_factories(package: str, names: Iterable[str]) -> dict[str, PassFactory]:
    """Lazy factories of the passes `names` in the folder `package` (`rlx_passes.mir`), by the naming rule above."""

    def factory(name: str) -> PassFactory:
        module, cls = name.replace("-", "_"), "".join(word.capitalize() for word in name.split("-")) + "Pass"
        return lambda: getattr(import_module(f"{package}.{module}"), cls)

    return {name: factory(name) for name in names}


def get_all_passes() -> dict[str, PassFactory]:
    """Name -> factory of every pass of this package; a pass is imported when its factory is called."""
    table: dict[str, PassFactory] = {}
    for folder, names in _PASSES.items():
        table |= pass_factories(f"rlx_passes.{folder}", names)
    return table

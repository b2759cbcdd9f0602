"""How compiled code runs. Imports none of the other packages and no xDSL.

`load(path)` reads a package; an `Executable` is bound to weights and called. Importing this package is cheap:
NumPy and llvmlite are imported when something is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlx_runtime.executable import Artifact, Executable, executable_of, set_codegen_hook
    from rlx_runtime.native import support_object
    from rlx_runtime.package import load

__all__ = ["Artifact", "Executable", "executable_of", "load", "set_codegen_hook", "support_object"]

_MODULES = {"load": "package", "support_object": "native"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'executable')}"), name)

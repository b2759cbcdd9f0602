"""RLX: a machine-learning compiler on xDSL.

`import rlx` loads nothing but this file; every public name is imported when it is first used.
"""

from importlib import import_module
from typing import Any

from rlx._version import __version__

_MODULE_OF = {
    "Array": "rlx_runtime.gpu.array",
    "BindError": "rlx_runtime.errors",
    "CacheError": "rlx_runtime.errors",
    "Executable": "rlx_runtime",
    "Lowered": "rlx.compiler",
    "Options": "rlx.options",
    "compile": "rlx.executables",
    "load": "rlx.executables",
    "lower": "rlx.compiler",
    "Dim": "rlx_frontends.dims",
    "Error": "rlx_runtime.errors",
    "LegalizeError": "rlx_runtime.errors",
    "LowerError": "rlx_runtime.errors",
    "Model": "rlx.model",
    "ModelBuilder": "rlx_frontends.builder",
    "PackageError": "rlx_runtime.errors",
    "PassManager": "rlx.pass_manager",
    "ParseError": "rlx_runtime.errors",
    "RuntimeFault": "rlx_runtime.errors",
    "ShapeError": "rlx_runtime.errors",
    "TargetError": "rlx_runtime.errors",
    "VerifyError": "rlx_runtime.errors",
    "parse": "rlx.model",
    "pipelines": "rlx_passes.pipelines",
    "plan_arena": "rlx_passes.support.packing",
}
"""Public name -> the module that defines it."""
_RENAMED = {"pipelines": "PIPELINES"}
_SUBMODULES = ("models",)

__all__ = ["__version__", *_MODULE_OF, *_SUBMODULES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"rlx.{name}")
    try:
        module = _MODULE_OF[name]
    except KeyError:
        raise AttributeError(f"module 'rlx' has no attribute '{name}'") from None
    value = getattr(import_module(module), _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

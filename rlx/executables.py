"""Where executables come from: `rlx.compile` (from a model, or from the cache of what was compiled before) and `rlx.load`.

This module imports no pass: with a cached artifact or a package, the compiler is loaded only when it has something to do.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rlx.options import Options
from rlx_runtime.errors import ShapeError

if TYPE_CHECKING:
    from rlx.compiler import Lowered
    from rlx_frontends.model import Model
    from rlx_runtime import Artifact, Executable


def compile(
    model: Model,
    target: str = "cpu",
    options: Options | None = None,
    *,
    weights: Any = None,
    dims: Mapping[str, int] | None = None,
) -> Executable:
    """`rlx.lower`, `compile`, and if given `bind(weights)`, in one call; errors are theirs.

    What was compiled is kept in the cache (see `rlx cache`), and taken from there when the model, the target, the options, the
    dims and the compiler are the same. `RLX_CACHE=0` turns that off. CacheError if `RLX_CACHE_DIR` names a folder that cannot be
    written.
    """
    from rlx_backends.support import cache_folder

    options, dims = options or Options(), _ints(dims or {})
    if target == "numpy" or not cache_folder.enabled():
        made = _lower(model, target, options, dims).compile()
    else:
        made = _cached(model, target, options, dims)
    return made if weights is None else made.bind(weights)


def load(path: str | os.PathLike[str], *, verify: bool = False) -> Executable:
    """The executable of a package; arguments and errors as in `rlx_runtime.load`."""
    from rlx_runtime import load, set_codegen_hook

    set_codegen_hook(_generate)
    return load(path, verify=verify)


def _cached(model: Model, target: str, options: Options, dims: Mapping[str, int]) -> Executable:
    from rlx import artifact_cache
    from rlx_runtime import Executable, set_codegen_hook

    set_codegen_hook(_generate)
    parts = artifact_cache.key_parts(model, target, options, dims)
    key = artifact_cache.key_of(parts)
    found = artifact_cache.find(key)
    if found is not None:
        found.code.stages = _Stages(model, target, options, dims)
        return found
    made = _lower(model, target, options, dims).artifact()
    executable = Executable(made.manifest, made.objects, made.stages)  # first, as code that cannot run here is not kept
    artifact_cache.store(key, parts, made.manifest, made.objects)
    return executable


def _lower(model: Model, target: str, options: Options, dims: Mapping[str, int]) -> Lowered:
    from rlx.compiler import lower

    return lower(model, target, options, dims=dims)


def _generate(executable: Executable, dims: Mapping[str, int]) -> Artifact:
    """The compiler behind `specialize`, imported when it is asked for."""
    from rlx.compiler import generate

    return generate(executable, dims)


def _ints(dims: Mapping[str, Any]) -> dict[str, int]:
    """The values as plain ints; ShapeError for one that is no integer."""
    found: dict[str, int] = {}
    for name, value in dims.items():
        try:
            found[name] = operator.index(value)
        except TypeError:
            raise ShapeError(f"dim '{name}' must be an integer, not {type(value).__name__}", code="dim-type") from None
    return found


class _Stages(Mapping[str, str]):
    """The stage texts of an artifact from the cache: the model is lowered again if somebody reads them."""

    def __init__(self, model: Model, target: str, options: Options, dims: Mapping[str, int]) -> None:
        self.model = model
        self._arguments = (target, options, dims)

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return _lower(self.model, *self._arguments).stages

    def __getitem__(self, stage: str) -> str:
        return self._texts[stage]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


__all__ = ["compile", "load"]

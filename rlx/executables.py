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
from rlx_runtime.errors import PackageError, ShapeError

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

    What was compiled, also by `specialize`, is kept in the cache (see `rlx cache`), and taken from there when the model, the
    target, the options, the dims and the compiler are the same. `RLX_CACHE=0` turns that off. CacheError if `RLX_CACHE_DIR`
    names a folder that cannot be written.
    """
    options, dims = options or Options(), _ints(dims or {})
    if target == "numpy":
        made = _lower(model, target, options, dims).compile()
    else:
        from rlx_runtime import executable_of, set_codegen_hook

        set_codegen_hook(generate)
        made = executable_of(_artifact(model, target, options, dims))
    return made if weights is None else made.bind(weights)


def load(path: str | os.PathLike[str], *, verify: bool = False) -> Executable:
    """The executable of a package; arguments and errors as in `rlx_runtime.load`."""
    from rlx_runtime import load, set_codegen_hook

    set_codegen_hook(generate)
    return load(path, verify=verify)


def generate(executable: Executable, dims: Mapping[str, int]) -> Artifact:
    """New code for an executable with these dims bound: what `specialize` asks for. The model is the executable's first stage.

    PackageError if it has none.
    """
    stages = executable.stages
    model = getattr(stages, "model", None)
    if model is None:
        if "hir" not in stages:
            raise PackageError("there is no model to compile again: the stage 'hir' is missing", code="no-model")
        from rlx.model import parse

        model = parse(stages["hir"], name=executable.name)
    return _artifact(model, executable.target, Options.from_json(executable.manifest.get("options", {})), dims)


def _artifact(model: Model, target: str, options: Options, dims: Mapping[str, int]) -> Artifact:
    """From the cache, or compiled and then kept there."""
    from rlx_backends.support import cache_folder

    if not cache_folder.enabled():
        return _lower(model, target, options, dims).artifact()
    from rlx import artifact_cache
    from rlx_runtime import Artifact

    parts = artifact_cache.key_parts(model, target, options, dims)
    key = artifact_cache.key_of(parts)
    found = artifact_cache.find(key)
    if found is not None:
        return Artifact(found.manifest, found.objects, _Stages(model, target, options, dims))
    made = _lower(model, target, options, dims).artifact()
    artifact_cache.store(key, parts, made.manifest, made.objects)
    return made


def _lower(model: Model, target: str, options: Options, dims: Mapping[str, int]) -> Lowered:
    from rlx.compiler import lower

    return lower(model, target, options, dims=dims)


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


__all__ = ["compile", "generate", "load"]

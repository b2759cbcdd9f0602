"""Whole compiled artifacts on disk: what makes `rlx.compile` of a model that was compiled before a matter of milliseconds.

An artifact is stored as a package without weights and without stage texts, under the SHA-256 of everything that it depends on
(`key_parts`). The parts are kept in the package's manifest, so that `rlx cache why` can say what an entry was made from.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlx._version import __version__
from rlx.options import Options
from rlx_backends.registry import backend
from rlx_backends.support import cache_folder
from rlx_runtime.errors import PackageError

if TYPE_CHECKING:
    from rlx_frontends.model import Model
    from rlx_runtime.package import Contents

FORMAT = "rlx artifact 1"
BUILT_FROM = "built_from"
"""The manifest's field with the parts of the key."""
_PACKAGES = ("rlx", "rlx_backends", "rlx_dialects", "rlx_frontends", "rlx_passes", "rlx_runtime")
_log = logging.getLogger(__name__)


def key_parts(model: Model, target: str, options: Options, dims: Mapping[str, int]) -> dict[str, Any]:
    """Everything that the code for `model` depends on, by name. TargetError as in `rlx.lower`."""
    return {
        "name": model.name,
        "model": hashlib.sha256(model.as_text().encode()).hexdigest(),
        "locations": _locations(model),
        "target": target,
        "options": options.to_json(),
        "dims": dict(sorted(dims.items())),
        **environment(target, options),
    }


def environment(target: str, options: Options) -> dict[str, str]:
    """The parts that this installation and this machine contribute."""
    import llvmlite.binding as llvm

    machine = repr(backend(target).target(options.machine(target)))
    if options.emulate:
        machine += f" on {backend('cpu').target({})!r}"
    return {
        "format": FORMAT,
        "rlx": __version__,
        "llvm": ".".join(map(str, llvm.llvm_version_info)),
        "source": source_stamp(),
        "machine": machine,
    }


def key_of(parts: Mapping[str, Any]) -> str:
    """The file name of an entry."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find(key: str) -> Contents | None:
    """The artifact stored under a key, without stage texts; None if there is none or it is damaged, in which case it goes."""
    path = cache_folder.path_of("artifacts", key)
    if not path.is_file():
        return None
    from rlx_runtime.package import read

    try:
        found = read(path)
        if key_of(found.manifest.pop(BUILT_FROM, {})) != key:
            raise PackageError("it was made from something else", code="damaged", location=str(path))
    except PackageError as error:
        _log.warning("a damaged entry of the cache is removed: %s", error)
        cache_folder.remove(path)
        return None
    cache_folder.touch(path)
    return found


def store(key: str, parts: Mapping[str, Any], manifest: Mapping[str, Any], objects: Mapping[str, bytes]) -> None:
    """Keep an artifact.

    A folder that cannot be written is a CacheError if `RLX_CACHE_DIR` names it, else a warning in the log.
    """
    from rlx_runtime.package import write

    path = cache_folder.path_of("artifacts", key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, {**manifest, BUILT_FROM: dict(parts)}, objects, {})
    except OSError as error:
        cache_folder.complain(path, error.strerror or str(error))
    except PackageError as error:
        cache_folder.complain(path, error.message)
    else:
        cache_folder.evict(keep=path)


@cache
def source_stamp() -> str:
    """A hash over path, size and time of every source file of the project: an edit gives another.

    Reading the files would take longer than a hit may.
    """
    digest = hashlib.sha256()
    base = Path(__file__).parent.parent
    for package in _PACKAGES:
        for line in sorted(_stamps(str(base / package), package)):
            digest.update(line.encode())
    return digest.hexdigest()


def _stamps(folder: str, name: str) -> Iterator[str]:
    with os.scandir(folder) as listing:
        for item in listing:
            if item.is_dir(follow_symlinks=False):
                if item.name != "__pycache__":
                    yield from _stamps(item.path, f"{name}/{item.name}")
            elif item.name.endswith(".py"):
                status = item.stat()
                yield f"{name}/{item.name} {status.st_size} {status.st_mtime_ns}\n"


def _locations(model: Model) -> str:
    """A hash of the places that the operations come from: faults and guards of the code name them."""
    digest = hashlib.sha256()
    for op in model.module.walk():
        digest.update(f"{op.location}\n".encode())
    return digest.hexdigest()

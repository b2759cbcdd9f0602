"""The cache folder: where it is, how files come into it, which ones leave.

`RLX_CACHE_DIR` names it (default: the user's cache folder), `RLX_CACHE=0` turns it off, `RLX_CACHE_LIMIT` says how large it may
grow (`500M`, `4G`; default 2G). Each kind of file has a folder of its own: `objects/*.o`, `artifacts/*.rlxpkg`. A file that is
used gets the present time, so the oldest files are those that nobody needs.

Files appear by renaming, so processes may share the folder and a reader never sees half a file.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlx_runtime.errors import CacheError

KINDS = {"objects": ".o", "artifacts": ".rlxpkg"}
"""Folder -> ending of the files in it."""
DEFAULT_LIMIT = 2 << 30
_UNFINISHED = (".part", ".rlxpkg-")
_STALE_SECONDS = 3600
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A file of the cache; `used` is when it was last written or read, in seconds since the epoch."""

    kind: str
    path: Path
    size: int
    used: float

    @property
    def key(self) -> str:
        return self.path.name.removesuffix(KINDS[self.kind])


def enabled() -> bool:
    """Whether the cache is used at all."""
    return os.environ.get("RLX_CACHE", "1") != "0"


def root() -> Path:
    """The cache folder; it need not exist."""
    if named := os.environ.get("RLX_CACHE_DIR"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("rlx"))


def path_of(kind: str, key: str) -> Path:
    return root() / kind / f"{key}{KINDS[kind]}"


def limit() -> int:
    """How many bytes the cache may hold; CacheError if `RLX_CACHE_LIMIT` is no size."""
    text = os.environ.get("RLX_CACHE_LIMIT")
    return DEFAULT_LIMIT if not text else parse_size(text)


def parse_size(text: str) -> int:
    """Bytes from `1048576`, `512K`, `500M` or `4G`; CacheError otherwise."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text.strip().upper())
    if match is None:
        raise CacheError(f"{text!r} is no size", code="size", hint="a size is a number of bytes, or 512K, 500M, 4G")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]


def touch(path: Path) -> None:
    """Say that a file was used just now."""
    try:
        os.utime(path)
    except OSError:  # of another user, or gone: it is only a hint
        pass


def remove(path: Path) -> None:
    """Remove a file of the cache, if it can be."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("cannot remove %s from the cache: %s", path, error.strerror)


def store(path: Path, data: bytes) -> None:
    """Write a file of the cache. A failure is a warning in the log, or CacheError if `RLX_CACHE_DIR` names the folder."""
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        complain(path, error.strerror or str(error))
    else:
        evict(keep=path)


def complain(path: Path, reason: str) -> None:
    """CacheError if `RLX_CACHE_DIR` is set, else a warning in the log."""
    if os.environ.get("RLX_CACHE_DIR"):
        raise CacheError(
            f"cannot write to the cache folder: {reason}",
            code="write",
            location=str(path.parent),
            hint="set RLX_CACHE_DIR to a folder that can be written, or RLX_CACHE=0",
        )
    _log.warning("cannot write to the cache folder %s: %s", path.parent, reason)


def entries() -> list[Entry]:
    """Every file of the cache, the least recently used first."""
    found: list[Entry] = []
    for kind, ending in KINDS.items():
        for path, status in _files(root() / kind):
            if path.name.endswith(ending) and not path.name.startswith("."):
                found.append(Entry(kind, path, status.st_size, status.st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def evict(most: int | None = None, *, keep: Path | None = None) -> list[Entry]:
    """Remove what was not used for longest until at most `most` bytes are left (default: `limit()`); returns what went."""
    most = limit() if most is None else most
    found = entries()
    total = sum(entry.size for entry in found)
    gone: list[Entry] = []
    for entry in found:
        if total <= most:
            break
        if entry.path != keep:
            remove(entry.path)
            gone.append(entry)
            total -= entry.size
    return gone


def sweep(now: float) -> int:
    """Remove files that writers left unfinished more than an hour before `now`; returns how many."""
    count = 0
    for kind in KINDS:
        for path, status in _files(root() / kind):
            unfinished = path.name.endswith(_UNFINISHED[0]) or path.name.startswith(_UNFINISHED[1])
            if unfinished and status.st_mtime < now - _STALE_SECONDS:
                remove(path)
                count += 1
    return count


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        with os.scandir(folder) as listing:
            for item in listing:
                try:
                    if item.is_file(follow_symlinks=False):
                        yield Path(item.path), item.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process removed it
                    continue
    except OSError:  # no cache yet, or one that cannot be read: it holds nothing for us
        return

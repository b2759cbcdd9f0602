"""Look into the cache of compiled code, and clean it up.

    rlx cache ls            # what there is, the least recently used first
    rlx cache why 3f2a      # what an entry was made from, and whether that would be found now
    rlx cache gc            # remove damaged and unfinished files, then the oldest beyond the limit
    rlx cache clear         # remove everything

RLX_CACHE_DIR names the folder, RLX_CACHE=0 turns the cache off, RLX_CACHE_LIMIT says how large it may grow (default: 2G).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from typing import Any

from rlx.cli.arguments import human_bytes
from rlx.cli.common import FAILED, OK, UsageError
from rlx_backends.support import cache_folder
from rlx_backends.support.cache_folder import Entry
from rlx_runtime.errors import CacheError, Error, PackageError

_ACTIONS = ("ls", "why", "gc", "clear")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=", ".join(_ACTIONS))
    parser.add_argument("key", nargs="?", metavar="KEY", help="why: the key of an entry, or how it begins")
    parser.add_argument("--limit", metavar="SIZE", help="gc: keep at most this much, as in 500M (default: RLX_CACHE_LIMIT)")


def run(args: argparse.Namespace) -> int:
    """Do what ACTION says. UsageError for a key that is missing or not wanted."""
    if (args.key is not None) != (args.action == "why"):
        raise UsageError("why needs a key" if args.action == "why" else f"{args.action} takes no key")
    if args.limit is not None and args.action != "gc":
        raise UsageError("--limit is for gc")
    if args.action == "why":
        return _why(args)
    report = _list() if args.action == "ls" else _collect(args) if args.action == "gc" else _clear()
    print(json.dumps(report, indent=2) if args.json else _as_text(report))
    return OK


def _list() -> dict[str, Any]:
    found = cache_folder.entries()
    return {
        "folder": str(cache_folder.root()),
        "enabled": cache_folder.enabled(),
        "bytes": sum(entry.size for entry in found),
        "limit": cache_folder.limit(),
        "entries": [_describe(entry) for entry in found],
    }


def _describe(entry: Entry) -> dict[str, Any]:
    described: dict[str, Any] = {"kind": entry.kind, "key": entry.key, "bytes": entry.size, "used": entry.used}
    if entry.kind == "artifacts":
        try:
            parts = _parts(entry)
            described |= {"name": parts["name"], "target": parts["target"], "dims": parts["dims"]}
        except PackageError as error:
            described["damaged"] = error.message
    return described


def _parts(entry: Entry) -> dict[str, Any]:
    """What the key of an artifact was made from; PackageError if the file is damaged."""
    from rlx.artifact_cache import BUILT_FROM
    from rlx_runtime.package import read

    parts = read(entry.path).manifest.get(BUILT_FROM)
    if not isinstance(parts, dict) or not {"name", "target", "dims", "options"} <= parts.keys():
        raise PackageError("it does not say what it was made from", code="damaged")
    return parts


def _intact(entry: Entry) -> bool:
    """Whether the contents are those that were written."""
    if entry.kind == "objects":
        try:
            data = entry.path.read_bytes()
        except OSError:
            return False
        return hashlib.sha256(data[32:]).digest() == data[:32]
    try:
        from rlx.artifact_cache import key_of

        return key_of(_parts(entry)) == entry.key
    except PackageError:
        return False


def _collect(args: argparse.Namespace) -> dict[str, Any]:
    most = cache_folder.limit() if args.limit is None else cache_folder.parse_size(args.limit)
    unfinished = cache_folder.sweep(time.time())
    damaged = [entry for entry in cache_folder.entries() if not _intact(entry)]
    for entry in damaged:
        cache_folder.remove(entry.path)
    evicted = cache_folder.evict(most)
    return _left({"unfinished": unfinished, "damaged": len(damaged), "evicted": len(evicted)}, [*damaged, *evicted])


def _clear() -> dict[str, Any]:
    gone = cache_folder.evict(0)
    unfinished = cache_folder.sweep(time.time() + 2 * 3600)
    return _left({"unfinished": unfinished, "removed": len(gone)}, gone)


def _left(counts: dict[str, int], gone: list[Entry]) -> dict[str, Any]:
    left = cache_folder.entries()
    sizes = {"freed": sum(entry.size for entry in gone), "bytes": sum(entry.size for entry in left), "left": len(left)}
    return {"folder": str(cache_folder.root()), **counts, **sizes}


def _why(args: argparse.Namespace) -> int:
    matches = [entry for entry in cache_folder.entries() if entry.key.startswith(args.key.lower())]
    if len(matches) != 1:
        what = "the keys of several entries begin" if matches else "no entry's key begins"
        raise CacheError(f"{what} with '{args.key}'", code="key", hint="rlx cache ls")
    entry = matches[0]
    report: dict[str, Any] = {"kind": entry.kind, "key": entry.key, "file": str(entry.path), "intact": _intact(entry)}
    if entry.kind == "artifacts" and report["intact"]:
        parts = _parts(entry)
        report |= {"parts": parts, "differences": _differences(parts)}
    print(json.dumps(report, indent=2) if args.json else _why_text(report))
    return OK if report["intact"] else FAILED


def _differences(parts: dict[str, Any]) -> dict[str, str]:
    """Which parts this installation would make otherwise now, and what they would be: these make the next lookup a miss."""
    from rlx.artifact_cache import environment
    from rlx.options import Options

    try:
        now = environment(parts["target"], Options.from_json(parts["options"]))
    except (Error, TypeError) as error:
        return {"target": f"{error}"}
    return {name: value for name, value in now.items() if parts.get(name) != value}


def _as_text(report: dict[str, Any]) -> str:
    if "entries" not in report:
        words = ", ".join(f"{value} {name}" for name, value in report.items() if name not in ("folder", "freed", "bytes", "left"))
        return (
            f"{report['folder']}: {words}; {human_bytes(report['freed'])} freed,"
            f" {human_bytes(report['bytes'])} in {report['left']} files left"
        )
    state = "" if report["enabled"] else ", turned off by RLX_CACHE=0"
    lines = [f"{report['folder']}: {human_bytes(report['bytes'])} of {human_bytes(report['limit'])}{state}"]
    for entry in report["entries"]:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry["used"]))
        what = f"damaged: {entry['damaged']}" if "damaged" in entry else ""
        if "name" in entry:
            dims = " ".join(f"{name}={value}" for name, value in entry["dims"].items())
            what = f"{entry['name']} for {entry['target']} {dims}".rstrip()
        lines.append(f"  {entry['key'][:12]}  {entry['kind'][:-1]:8}  {human_bytes(entry['bytes']):>10}  {used}  {what}".rstrip())
    return "\n".join(lines)


def _why_text(report: dict[str, Any]) -> str:
    lines = [f"{report['kind'][:-1]} {report['key']}", f"  file         {report['file']}"]
    if not report["intact"]:
        return "\n".join([*lines, "  the file is damaged: it will be made again"])
    if "parts" not in report:
        return "\n".join([*lines, "  an object file: its key is a hash of LLVM text, CPU features, and LLVM's version"])
    for name, value in report["parts"].items():
        shown = " ".join(f"{key}={item}" for key, item in value.items() if item) if isinstance(value, dict) else value
        lines.append(f"  {name:12} {shown}")
        if name in report["differences"]:
            lines.append(f"  {'':12} now {report['differences'][name]}")
    if report["differences"]:
        lines.append(f"  a lookup misses now: {', '.join(report['differences'])} changed")
    else:
        lines.append("  the same model, options and dims find it now")
    return "\n".join(lines)

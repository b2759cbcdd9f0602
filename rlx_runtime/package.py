"""Packages: an executable in one file.

A `.rlxpkg` is a zip of stored members, each at a multiple of 64 bytes (weights.bin: 4096), so that they can be mapped.
manifest.json has the SHA-256 and size of every other member; SEAL, the last one, lists the member names and ends in the SHA-256
of manifest.json.

Loading reads and checks everything but weights.bin, and maps that: its pages come from the file when the code first reads them,
and are shared between processes. Its size is always checked; its hash only if it is small (16 MB) or if `verify=True`, because
hashing 90 MB takes longer than everything else together. Replacing a package is safe while it is mapped (`save` writes a new file
and renames it); changing one in place is not.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.arena import ALIGNMENT
from rlx_runtime.binding import Weights
from rlx_runtime.dtypes import buffer_bytes, numpy_dtype
from rlx_runtime.errors import PackageError
from rlx_runtime.manifest import FORMAT, parse_manifest
from rlx_runtime.native import missing_features, support_object

if TYPE_CHECKING:
    from rlx_runtime.executable import Executable

SMALL_WEIGHTS = 16 << 20
"""weights.bin up to this size is hashed at every load."""
_WEIGHTS = "weights.bin"
_PAGE = mmap.ALLOCATIONGRANULARITY
_PADDING_FIELD = 0x7878
"""Id of the extra field that pads a member's header; readers skip fields that they do not know."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Contents:
    """What a package holds, checked but not loaded: nothing in it needs to run on this machine.

    `weights` is the table of weights.bin, and `weights_region` its (offset, bytes, SHA-256), or None.
    """

    manifest: dict[str, Any]
    objects: Mapping[str, bytes]
    stages: Mapping[str, str]
    weights: Any
    weights_region: tuple[int, int, str] | None


def save(executable: Executable, path: str | os.PathLike[str], weights: str = "none") -> None:
    """Write a package at `path`, replacing what was there in one step.

    `weights="packed"` needs bound weights (PackageError otherwise) and writes the packed region and the params used as they are.
    """
    if weights not in ("none", "packed"):
        raise PackageError(f'weights must be "none" or "packed", not {weights!r}', code="argument")
    bound = executable.packed_weights() if weights == "packed" else None
    if weights == "packed" and bound is None:
        raise PackageError("there are no weights to save", code="unbound", hint="bind them first")
    raw = dict(executable.manifest)
    if executable.fixed_dims:
        raw["fixed"] = executable.fixed_dims
    write(path, raw, executable.objects, executable.stages, bound)


def write(
    path: str | os.PathLike[str],
    manifest: Mapping[str, Any],
    objects: Mapping[str, bytes],
    stages: Mapping[str, str],
    bound: Weights | None = None,
) -> None:
    """`save` for an artifact that need not run on this machine."""
    raw = dict(manifest)
    reports = dict(raw.get("reports") or {})
    plan = reports.pop("memory", None)
    raw["reports"] = reports
    members: dict[str, Any] = {"plan.json": json.dumps(plan).encode(), **objects}
    if "support.o" not in members:
        members["support.o"] = support_object()
    members |= {f"stages/{name}.mlir": text.encode() for name, text in stages.items()}
    parts: list[NDArray[np.uint8]] = []
    if bound is not None:
        raw["weights"], parts = _weight_parts(bound)
    table = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in members.items()}
    if parts:
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part.data)
        table[_WEIGHTS] = {"sha256": digest.hexdigest(), "bytes": sum(part.nbytes for part in parts)}
    raw["members"] = table
    text = json.dumps(raw, ensure_ascii=False).encode()
    seal = "\n".join(["manifest.json", *table, hashlib.sha256(text).hexdigest()]).encode()

    import tempfile  # loading does without it

    target = os.path.abspath(os.fspath(path))
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".rlxpkg-", dir=os.path.dirname(target))
        try:
            with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w") as archive:
                _write(archive, file, "manifest.json", [text])
                for name, data in members.items():
                    _write(archive, file, name, [data])
                if parts:
                    _write(archive, file, _WEIGHTS, parts, _PAGE)
                _write(archive, file, "SEAL", [seal])
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise PackageError(f"cannot write the package: {error.strerror}", code="file", location=target) from None


def load(path: str | os.PathLike[str], *, verify: bool = False) -> Executable:
    """The executable of a package, with its weights if it has them.

    PackageError with code "file" (cannot be read), "damaged" (cut short, changed, or no package), "newer" (a format this runtime
    does not know), "abi", "cpu-features" (the code requires what this machine lacks) or "manifest".
    """
    return _opened(path, lambda file: _load(file, verify))


def read(path: str | os.PathLike[str]) -> Contents:
    """The contents of a package, checked as `load` checks them, for tools that look at code which this machine may not run."""
    return _opened(path, _read_contents)


def _opened(path: str | os.PathLike[str], read_file: Callable[[BinaryIO], _T]) -> _T:
    """`read_file` of the opened file; every PackageError names the file."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            return read_file(file)
    except PackageError as error:
        if error.location is None or str(error.location).startswith(name):
            error.location = name
        else:
            error.location = f"{name}: {error.location}"
        raise
    except OSError as error:
        raise PackageError(f"cannot read the package: {error.strerror}", code="file", location=name) from None


def _read_contents(file: BinaryIO) -> Contents:
    places = _directory(file)
    seal = _read(file, places, "SEAL", "SEAL").decode("utf-8", "replace").split("\n")
    manifest = _read(file, places, "manifest.json", "manifest.json")
    if hashlib.sha256(manifest).hexdigest() != seal[-1]:
        raise _damaged("manifest.json is not the one that SEAL names")
    try:
        raw = json.loads(manifest)
        version = raw["format"]
        table = {str(key): (str(entry["sha256"]), int(entry["bytes"])) for key, entry in raw.pop("members").items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(f"manifest.json is not a manifest: {error!r}") from None
    if version != FORMAT:
        parse_manifest(raw)  # says that the format is newer
    if seal[:-1] != ["manifest.json", *table] or set(places) != {"manifest.json", "SEAL", *table}:
        raise _damaged("the members are not those that SEAL names")
    members: dict[str, bytes] = {}
    for member, (digest, size) in table.items():
        if places[member][1] != size:
            raise _damaged(f"{member} has {places[member][1]} bytes, the manifest says {size}")
        if member != _WEIGHTS:
            members[member] = data = _read(file, places, member, member)
            if hashlib.sha256(data).hexdigest() != digest:
                raise _damaged(f"the contents of {member} have changed")
    weights = raw.pop("weights", None)
    try:
        raw["reports"]["memory"] = json.loads(members.pop("plan.json"))
        stages = {key[7:-5]: data.decode() for key, data in members.items() if key.startswith("stages/")}
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(f"plan.json or a stage cannot be read: {error!r}") from None
    region = None
    if weights is not None:
        if _WEIGHTS not in places:
            raise _damaged("weights.bin is missing")
        region = (*places[_WEIGHTS], table[_WEIGHTS][0])
    objects = {key: data for key, data in members.items() if not key.startswith("stages/")}
    return Contents(raw, objects, stages, weights, region)


def _load(file: BinaryIO, verify: bool) -> Executable:
    from rlx_runtime.executable import Artifact, executable_of

    contents = _read_contents(file)
    if missing := missing_features(parse_manifest(contents.manifest).features):
        raise PackageError(
            f"the code requires CPU features that this machine lacks: {', '.join(missing)}",
            code="cpu-features",
            hint="compile for this machine, or for a CPU that both have",
        )
    executable = executable_of(Artifact(contents.manifest, contents.objects, contents.stages))
    if contents.weights_region is None:
        return executable
    offset, size, digest = contents.weights_region
    region = _map(file, offset, size)
    if (verify or size <= SMALL_WEIGHTS) and hashlib.sha256(region.data).hexdigest() != digest:
        raise _damaged("the contents of weights.bin have changed")
    return executable.with_weights(_weights(executable, contents.weights, region))


def _weight_parts(bound: Weights) -> tuple[dict[str, Any], list[NDArray[np.uint8]]]:
    """The table of weights.bin, and its contents in order, each part padded to 64 bytes."""
    parts: list[NDArray[np.uint8]] = []
    end = 0

    def add(data: NDArray[np.uint8]) -> int:
        nonlocal end
        padding = np.zeros(-data.nbytes % ALIGNMENT, np.uint8)
        parts.extend([data, padding])
        start, end = end, end + data.nbytes + padding.nbytes
        return start

    packed = [add(bound.packed), bound.packed.nbytes]
    params = {name: add(array.reshape(-1).view(np.uint8)) for name, array in bound.params.items()}
    return {"packed": packed, "params": params}, parts


def _weights(executable: Executable, table: Any, region: NDArray[np.uint8]) -> Weights:
    manifest = parse_manifest(executable.manifest)
    specs = {spec.name: spec for spec in executable.params}
    try:
        start, size = table["packed"]
        packed = region[start : start + size]
        params: dict[str, NDArray[Any]] = {}
        for name, offset in table["params"].items():
            spec = specs[name]
            shape = spec.concrete({})
            nbytes = buffer_bytes(spec.dtype, int(np.prod(shape, dtype=np.int64)))
            data = region[offset : offset + nbytes]
            if data.nbytes != nbytes or offset % ALIGNMENT:
                raise ValueError(f"'{name}' at {offset}")
            params[name] = data if spec.dtype == "i4" else data.view(numpy_dtype(spec.dtype)).reshape(shape)
        if packed.nbytes != manifest.packed_bytes or start % ALIGNMENT:
            raise ValueError(f"a packed region of {packed.nbytes} bytes at {start}")
        return Weights({name: params[name] for kind, name in manifest.main.buffers if kind == "param"}, packed)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(f"the table of weights.bin does not fit the model: {error!r}") from None


def _map(file: BinaryIO, offset: int, size: int) -> NDArray[np.uint8]:
    if size == 0:
        return np.zeros(0, np.uint8)
    if offset % _PAGE == 0:
        return np.frombuffer(mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ, offset=offset), np.uint8)
    raise _damaged("weights.bin is not aligned to a page")


# -- the container


def _write(archive: zipfile.ZipFile, file: BinaryIO, name: str, parts: list[Any], alignment: int = ALIGNMENT) -> None:
    """Add a member so that its data starts at a multiple of `alignment`."""
    info = zipfile.ZipInfo(name)  # dated 1980: equal contents make equal files
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.file_size = sum(memoryview(part).nbytes for part in parts)
    large = info.file_size >= 1 << 31
    header = 30 + len(name.encode()) + (20 if large else 0) + 4
    info.extra = struct.pack("<HH", _PADDING_FIELD, padding := -(file.tell() + header) % alignment) + bytes(padding)
    with archive.open(info, "w", force_zip64=large) as member:
        for part in parts:
            member.write(part)


def _directory(file: BinaryIO) -> dict[str, tuple[int, int]]:
    """Offset of the data and size of every member; PackageError if the file is not a zip of stored members."""
    total = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError, OSError, EOFError) as error:
        raise _damaged(f"not a package, or cut short ({error})") from None
    places: dict[str, tuple[int, int]] = {}
    for entry in entries:
        header = os.pread(file.fileno(), 30, entry.header_offset) if 0 <= entry.header_offset < total else b""
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise _damaged(f"the header of {entry.filename!r} is not where it should be")
        name_bytes, extra_bytes = struct.unpack_from("<HH", header, 26)
        start = entry.header_offset + 30 + name_bytes + extra_bytes
        name = os.pread(file.fileno(), name_bytes, entry.header_offset + 30)
        if name != entry.filename.encode() or entry.filename in places:
            raise _damaged(f"two names for one member: {entry.filename!r} and {name!r}")
        stored = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
        if not stored or entry.file_size != entry.compress_size or start + entry.file_size > total:
            raise _damaged(f"{entry.filename!r} is compressed, encrypted or cut short")
        places[entry.filename] = (start, entry.file_size)
    return places


def _read(file: BinaryIO, places: Mapping[str, tuple[int, int]], name: str, what: str) -> bytes:
    if name not in places:
        raise _damaged(f"{what} is missing: this is no package")
    start, size = places[name]
    data = os.pread(file.fileno(), size, start)
    if len(data) != size:
        raise _damaged(f"{what} is cut short")
    return data


def _damaged(reason: str) -> PackageError:
    return PackageError(reason, code="damaged", hint="make the package again")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

"""The manifest of a compiled artifact, checked and in typed form. ARCHITECTURE.md has the JSON layout."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from rlx_runtime import dtypes
from rlx_runtime.errors import PackageError
from rlx_runtime.exprs import Evaluator, JsonExpr, compile_expr, expr_text

FORMAT = 1
ABI = 1
_T = TypeVar("_T")
_BUFFER_KINDS = ("input", "output", "state", "param", "packed", "constant")


@dataclass(frozen=True)
class DimSpec:
    """A symbol of the shapes: in [min, max], a multiple of `multiple_of`; `dim_input` names the scalar that gives it, if any."""

    name: str
    min: int
    max: int
    multiple_of: int
    runtime: bool
    dim_input: str | None

    def complaint(self, value: int) -> str | None:
        """Why `value` is not allowed, or None."""
        if not self.min <= value <= self.max:
            return f"{self.name} = {value} is outside [{self.min}, {self.max}]"
        if value % self.multiple_of:
            return f"{self.name} = {value} is not a multiple of {self.multiple_of}"
        return None


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype (API name) and shape of an input, output, state or param. Symbolic extents are text: `("B", "P + S", 768)`."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    evaluators: tuple[Evaluator, ...] = field(compare=False)

    def concrete(self, dims: Mapping[str, int]) -> tuple[int, ...]:
        return tuple([evaluate(dims) for evaluate in self.evaluators])

    def __repr__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(str(extent) for extent in self.shape)}]"


@dataclass(frozen=True)
class Guard:
    """A condition on the dims that holds in every call, checked by the plan function."""

    text: str
    location: str | None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Solve:
    """Dim `dim` is `evaluate` of the dims solved before and of "$", the extent of axis `axis` of input `input`."""

    dim: str
    input: int
    axis: int
    evaluate: Evaluator


@dataclass(frozen=True)
class Program:
    entry: str
    plan: str
    buffers: tuple[tuple[str, str], ...]
    items: tuple[Mapping[str, Any], ...]

    @cached_property
    def buffer_index(self) -> dict[tuple[str, str], int]:
        return {buffer: index for index, buffer in enumerate(self.buffers)}


@dataclass(frozen=True)
class Packed:
    name: str
    dtype: str
    nbytes: int
    offset: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class DeviceKernel:
    """A kernel of the device code: threads of a block along x, y, z, bytes of shared memory, arguments ("ptr" or "i64")."""

    name: str
    block: tuple[int, int, int]
    shared: int
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Device:
    """The device code: its dialect, architecture, object, kernels, whether one of them may report a fault, and the numbers of the
    dims that launches depend on otherwise than through memory.
    """

    dialect: str
    arch: str
    code: str
    kernels: tuple[DeviceKernel, ...]
    faults: bool
    launch_dims: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """The typed manifest; `raw` is the dict that it was read from."""

    raw: Mapping[str, Any]
    name: str
    target: str
    features: tuple[str, ...]
    threads: int | None
    dims: tuple[DimSpec, ...]
    fixed: Mapping[str, int]
    solve: tuple[Solve, ...]
    guards: tuple[Guard, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[TensorSpec, ...]
    dim_inputs: tuple[str, ...]
    params: tuple[TensorSpec, ...]
    main: Program
    prepare: Program | None
    packed: tuple[Packed, ...]
    packed_bytes: int
    constants: Mapping[str, bytes]
    device: Device | None


def parse_manifest(raw: Mapping[str, Any]) -> Manifest:
    """Check a manifest and give it types.

    PackageError with code "newer" or "abi" if this runtime does not know its format or call ABI, and with code "manifest" and
    the place of the fault if anything is missing, of the wrong type, or refers to what is not there.
    """
    root = _Node(raw, "manifest")
    if (version := root.integer("format", 1)) != FORMAT:
        raise PackageError(f"format {version} is newer than this runtime, which reads format {FORMAT}", code="newer")
    if (abi := root.integer("abi", 0)) != ABI:
        raise PackageError(f"the code has call ABI {abi}, this runtime has {ABI}", code="abi", hint="compile the model again")
    dims = tuple(root.each("dims", _dim))
    names = _unique([dim.name for dim in dims], "manifest.dims")
    inputs = tuple(root.each("inputs", lambda node: _tensor(node, names)))
    programs = root.child("programs")
    params = tuple(root.each("params", lambda node: _tensor(node, ())))
    manifest = Manifest(
        raw=raw,
        name=root.string("name"),
        target=root.string("target"),
        features=tuple(root.child("cpu").strings("features")) if root.has("cpu") else (),
        threads=root.integer("threads", 1) if root.has("threads") else None,
        dims=dims,
        fixed=dict(root.child("fixed").integers()) if root.has("fixed") else {},
        solve=tuple(root.each("solve", lambda node: _solve(node, names, inputs))),
        guards=tuple(root.each("guards", lambda node: Guard(node.string("text"), node.optional_string("loc")))),
        inputs=inputs,
        outputs=tuple(root.each("outputs", lambda node: _tensor(node, names))),
        states=tuple(root.each("states", lambda node: _tensor(node, names))),
        dim_inputs=tuple(root.strings("dim_inputs")),
        params=params,
        main=_program(programs.child("main")),
        prepare=_program(programs.child("prepare")) if programs.has("prepare") else None,
        packed=tuple(root.each("packed", _packed)),
        packed_bytes=root.integer("packed_bytes", 0),
        constants=dict(root.each("constants", _constant)),
        device=_device(root.child("device")) if root.has("device") else None,
    )
    _check_references(manifest, names)
    return manifest


def _check_references(manifest: Manifest, names: Collection[str]) -> None:
    known = {
        "input": _unique([spec.name for spec in (*manifest.inputs, *manifest.states)], "manifest.inputs and states"),
        "output": _unique([spec.name for spec in manifest.outputs], "manifest.outputs"),
        "state": [spec.name for spec in manifest.states],
        "param": _unique([spec.name for spec in manifest.params], "manifest.params"),
        "packed": _unique([packed.name for packed in manifest.packed], "manifest.packed"),
        "constant": manifest.constants,
    }
    for program in filter(None, (manifest.main, manifest.prepare)):
        place = f"manifest.programs.{'main' if program is manifest.main else 'prepare'}.buffers"
        _unique(program.buffers, place)
        for kind, name in program.buffers:
            if name not in known[kind] or (program is manifest.prepare and kind in ("input", "output", "state")):
                raise _fault(place, f"there is no {kind} '{name}' for this program")
    written = {buffer for buffer in manifest.main.buffers if buffer[0] in ("output", "state")}
    for kind, specs in (("output", manifest.outputs), ("state", manifest.states)):
        for spec in specs:
            if (kind, spec.name) not in written:
                raise _fault("manifest.programs.main.buffers", f"{kind} '{spec.name}' is missing")
    for spec in manifest.states:
        if spec.dtype == "i4":
            raise _fault("manifest.states", f"'{spec.name}' is i4: a state has no packed elements")
    for packed in manifest.packed:
        if packed.offset % 64 or packed.offset + packed.nbytes > manifest.packed_bytes:
            raise _fault(
                "manifest.packed", f"'{packed.name}' is misaligned or outside the region of {manifest.packed_bytes} bytes"
            )
    for name in (*manifest.fixed, *(entry.dim for entry in manifest.solve)):
        if name not in names:
            raise _fault("manifest", f"unknown dim '{name}'")
    for dim in manifest.dims:
        if dim.dim_input is not None and dim.dim_input not in manifest.dim_inputs:
            raise _fault("manifest.dims", f"unknown dim input '{dim.dim_input}'")


class _Node:
    """A JSON object and where it stands; every accessor checks the type."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, Mapping):
            raise _fault(place, f"expected an object, found {type(value).__name__}")
        self.value: Mapping[str, Any] = value
        self.place = place

    def has(self, key: str) -> bool:
        return self.value.get(key) is not None

    def get(self, key: str, *types: type[_T]) -> _T:
        found = self.value.get(key)
        if not isinstance(found, types) or (isinstance(found, bool) and bool not in types):
            wanted = " or ".join(type_.__name__ for type_ in types)
            raise _fault(
                f"{self.place}.{key}", f"expected {wanted}, found {type(found).__name__ if key in self.value else 'nothing'}"
            )
        return found

    def string(self, key: str) -> str:
        return self.get(key, str)

    def optional_string(self, key: str) -> str | None:
        return self.string(key) if self.has(key) else None

    def integer(self, key: str, least: int) -> int:
        if (found := self.get(key, int)) < least:
            raise _fault(f"{self.place}.{key}", f"expected at least {least}, found {found}")
        return found

    def integers(self) -> list[tuple[str, int]]:
        return [(key, self.integer(key, 0)) for key in self.value]

    def strings(self, key: str) -> list[str]:
        found = self.get(key, list)
        for index, item in enumerate(found):
            if not isinstance(item, str):
                raise _fault(f"{self.place}.{key}[{index}]", f"expected str, found {type(item).__name__}")
        return found

    def child(self, key: str) -> _Node:
        return _Node(self.value.get(key), f"{self.place}.{key}")

    def each(self, key: str, build: Callable[[_Node], _T]) -> list[_T]:
        return [build(_Node(item, f"{self.place}.{key}[{index}]")) for index, item in enumerate(self.get(key, list))]


def _fault(place: str, message: str) -> PackageError:
    return PackageError(message, code="manifest", location=place)


def _unique(names: list[_T] | tuple[_T, ...], place: str) -> list[_T] | tuple[_T, ...]:
    if len(set(names)) != len(names):
        raise _fault(place, f"'{next(name for name in names if names.count(name) > 1)}' occurs more than once")
    return names


def _dim(node: _Node) -> DimSpec:
    dim = DimSpec(
        name=node.string("name"),
        min=node.integer("min", 0),
        max=node.integer("max", 0),
        multiple_of=node.integer("multiple_of", 1),
        runtime=node.get("runtime", bool),
        dim_input=node.optional_string("dim_input"),
    )
    if not re.fullmatch(r"[A-Za-z_]\w*", dim.name) or dim.min > dim.max:
        raise _fault(node.place, f"'{dim.name}' in [{dim.min}, {dim.max}] is not a dim")
    return dim


def _expr(value: JsonExpr, names: Collection[str], place: str) -> Evaluator:
    try:
        return compile_expr(value, names)
    except (ValueError, RecursionError, SyntaxError, MemoryError) as error:
        raise _fault(place, str(error)) from None


def _tensor(node: _Node, names: Collection[str]) -> TensorSpec:
    if (dtype := node.string("dtype")) not in dtypes.NAMES:
        raise _fault(f"{node.place}.dtype", f"unknown dtype '{dtype}'")
    shape = node.get("shape", list)
    evaluators = tuple(_expr(extent, names, f"{node.place}.shape") for extent in shape)
    return TensorSpec(node.string("name"), dtype, tuple(e if isinstance(e, int) else expr_text(e) for e in shape), evaluators)


def _solve(node: _Node, names: Collection[str], inputs: tuple[TensorSpec, ...]) -> Solve:
    solve = Solve(
        dim=node.string("dim"),
        input=node.integer("input", 0),
        axis=node.integer("axis", 0),
        evaluate=_expr(node.get("expr", int, str, list), {*names, "$"}, f"{node.place}.expr"),
    )
    if solve.input >= len(inputs) or solve.axis >= len(inputs[solve.input].shape):
        raise _fault(node.place, f"there is no axis {solve.axis} of input {solve.input}")
    return solve


def _program(node: _Node) -> Program:
    buffers: list[tuple[str, str]] = []
    for index, item in enumerate(node.get("buffers", list)):
        if not (isinstance(item, list) and len(item) == 2 and item[0] in _BUFFER_KINDS and isinstance(item[1], str)):
            raise _fault(f"{node.place}.buffers[{index}]", f"expected [kind, name], found {item!r}")
        buffers.append((item[0], item[1]))
    items = node.each("items", lambda item: item.value) if node.has("items") else []
    return Program(node.string("entry"), node.string("plan"), tuple(buffers), tuple(items))


def _packed(node: _Node) -> Packed:
    if (dtype := node.string("dtype")) not in dtypes.NAMES:
        raise _fault(f"{node.place}.dtype", f"unknown dtype '{dtype}'")
    sources = tuple(node.strings("sources"))
    return Packed(node.string("name"), dtype, node.integer("bytes", 0), node.integer("offset", 0), sources)


def _device(node: _Node) -> Device:
    return Device(
        dialect=node.string("dialect"),
        arch=node.string("arch"),
        code=node.string("code"),
        kernels=tuple(node.each("kernels", _device_kernel)),
        faults=node.get("faults", bool),
        launch_dims=_numbers(node, "launch_dims"),
    )


def _numbers(node: _Node, key: str) -> tuple[int, ...]:
    found = node.get(key, list)
    if not all(type(number) is int and number >= 0 for number in found):
        raise _fault(f"{node.place}.{key}", "expected numbers")
    return tuple(found)


def _device_kernel(node: _Node) -> DeviceKernel:
    block, arguments = node.get("block", list), tuple(node.strings("arguments"))
    if len(block) != 3 or not all(type(size) is int and size > 0 for size in block) or not set(arguments) <= {"ptr", "i64"}:
        raise _fault(node.place, "not a kernel")
    return DeviceKernel(node.string("name"), (block[0], block[1], block[2]), node.integer("shared", 0), arguments)


def _constant(node: _Node) -> tuple[str, bytes]:
    try:
        data = base64.b64decode(node.string("data"), validate=True)
    except binascii.Error:
        raise _fault(f"{node.place}.data", "not base64") from None
    if len(data) != node.integer("bytes", 0):
        raise _fault(node.place, f"{len(data)} bytes of data, but 'bytes' is {node.value['bytes']}")
    return node.string("name"), data

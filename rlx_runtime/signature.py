"""From the shapes of a call to the values of its dims, with every check that needs no native code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlx_runtime.errors import BindError, ShapeError
from rlx_runtime.manifest import Manifest, TensorSpec

Shape = tuple[int, ...]


class Signature:
    """The dims and shapes of an executable, some dims fixed."""

    def __init__(self, manifest: Manifest, fixed: Mapping[str, int]) -> None:
        self.manifest = manifest
        self.fixed = dict(fixed)
        self.dims = {dim.name: dim for dim in manifest.dims}
        self.dim_of_input = {dim.dim_input: dim.name for dim in manifest.dims if dim.dim_input is not None}
        for name, value in self.fixed.items():
            if name not in self.dims:
                raise ShapeError(
                    f"there is no dim '{name}'", code="unknown-dim", hint=f"the dims are: {', '.join(self.dims) or 'none'}"
                )
            if type(value) is not int:
                raise ShapeError(f"dim '{name}' must be an int, not {type(value).__name__}", code="dim-type")
            if complaint := self.dims[name].complaint(value):
                raise ShapeError(f"dim {complaint}", code="range")

    @property
    def is_fixed(self) -> bool:
        return len(self.fixed) == len(self.dims)

    def dim_input_values(self, given: Mapping[str, Any]) -> tuple[int, ...]:
        """The dim inputs of a call in the manifest's order; BindError if one is missing or no integer."""
        values = []
        for name in self.manifest.dim_inputs:
            value = given.get(name)
            if value is None:
                dim = self.dim_of_input.get(name)
                if name in given or dim not in self.fixed:
                    raise BindError(f"dim input '{name}' is missing: pass {name}=<int>", code="missing-input")
                value = self.fixed[dim]
            values.append(as_int(value, f"dim input '{name}'"))
        return tuple(values)

    def solve(self, shapes: Sequence[Shape], dim_inputs: Sequence[int]) -> dict[str, int]:
        """The value of every dim.

        ShapeError names the input, the axis, the expected expression and what was found, or the dim and its range.
        """
        manifest = self.manifest
        for spec, shape in zip(manifest.inputs, shapes, strict=True):
            if len(shape) != len(spec.shape):
                raise ShapeError(
                    f"input '{spec.name}' has rank {len(shape)} and shape {list(shape)}, expected {show(spec.shape)}", code="rank"
                )
        dims = dict(self.fixed)
        origin: dict[str, str] = {}
        for name, value in zip(manifest.dim_inputs, dim_inputs, strict=True):
            if (dim := self.dim_of_input.get(name)) is not None:
                self._settle(dims, dim, value, f"dim input '{name}' is {value}")
                origin[dim] = f"dim input '{name}' is {value}"
        for entry in manifest.solve:
            if entry.dim in dims:
                continue  # fixed: the extents below are compared with it
            spec, extent = manifest.inputs[entry.input], shapes[entry.input][entry.axis]
            try:
                value = entry.evaluate({**dims, "$": extent})
            except ZeroDivisionError:
                raise _mismatch(spec, entry.axis, "an extent that determines " + entry.dim, extent) from None
            origin[entry.dim] = f"input '{spec.name}' axis {entry.axis} is {extent}"
            self._settle(dims, entry.dim, value, origin[entry.dim])
        for name in self.dims:
            if name not in dims:
                raise ShapeError(f"no input determines dim '{name}'", code="undetermined", hint=f"use specialize({name}=…)")
        self.check_extents("input", manifest.inputs, shapes, dims)
        return dims

    def check_extents(self, what: str, specs: Sequence[TensorSpec], shapes: Sequence[Shape], dims: Mapping[str, int]) -> None:
        """ShapeError unless every shape is what its spec says for these dims."""
        for spec, shape in zip(specs, shapes, strict=True):
            expected = spec.concrete(dims)
            if expected != tuple(shape):
                if len(expected) != len(shape):
                    raise ShapeError(
                        f"{what} '{spec.name}' has rank {len(shape)} and shape {list(shape)}, expected {show(spec.shape)}",
                        code="rank",
                    )
                axis = next(axis for axis in range(len(expected)) if expected[axis] != shape[axis])
                text, value = str(spec.shape[axis]), str(expected[axis])
                raise _mismatch(spec, axis, value if text == value else f"{text} = {value}", shape[axis], what)

    def _settle(self, dims: dict[str, int], name: str, value: int, origin: str) -> None:
        if name in dims and dims[name] != value:
            raise ShapeError(f"{origin}, but dim {name} is fixed to {dims[name]}", code="fixed-dim")
        if complaint := self.dims[name].complaint(value):
            raise ShapeError(f"{origin}: dim {complaint}", code="range")
        dims[name] = value


def as_int(value: Any, what: str) -> int:
    """`value` as an int: a Python or NumPy integer, or a rank-0 integer array; BindError otherwise."""
    if type(value) is int:
        return value
    if not isinstance(value, bool) and getattr(value, "ndim", 0) == 0:
        try:
            return value.__index__()
        except (AttributeError, TypeError):
            pass
    raise BindError(f"{what} must be an integer, not {type(value).__name__}", code="dim-input-type")


def show(shape: Sequence[int | str]) -> str:
    return "[" + ", ".join(str(extent) for extent in shape) + "]"


def _mismatch(spec: TensorSpec, axis: int, expected: str, got: int, what: str = "input") -> ShapeError:
    return ShapeError(
        f"{what} '{spec.name}' axis {axis}: expected {expected}, got {got}",
        code="extent",
        hint=f"'{spec.name}' has shape {show(spec.shape)}",
    )

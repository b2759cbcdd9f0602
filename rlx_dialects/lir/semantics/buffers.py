"""Storage with layouts, and index grids over iteration dims.

Every array of a form has one axis per iteration dim, in the form's order; an axis along which a value does not change has length
1. So broadcasting does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from xdsl.dialects.builtin import FileLineColLoc, IntegerType
from xdsl.ir import Operation

from rlx_dialects.dims import DimExpr
from rlx_dialects.lir.semantics.scalars import Array, scalar_dtype, storage_dtype
from rlx_dialects.lir.types import BufferType, IterAttr, LayoutAttr
from rlx_dialects.rlx import dtypes
from rlx_runtime.errors import Location, RuntimeFault

POISON = 0xFF
"""Every float format reads this byte pattern as NaN, every index as −1."""


def fault(op: Operation, message: str, code: str) -> RuntimeFault:
    """A fault at `op`, with its place in the source where that is known."""
    place, found = None, op
    while found is not None and place is None:
        loc = found.location
        if isinstance(loc, FileLineColLoc):
            place = Location(loc.filename.data, loc.line.data, loc.column.data)
        found = found.parent_op()
    return RuntimeFault(f"'{op.name}' {message}", code=code, location=place)


def evaluate_dim(expr: DimExpr, env: Mapping[str, Any]) -> Any:
    """`expr` where symbols may be integers or integer arrays; KeyError names a missing one."""
    total: Any = 0
    for monomial, scale in expr.terms:
        product: Any = scale
        for atom in monomial:
            if atom[0] == "sym":
                product = product * env[atom[1]]
                continue
            a, b = evaluate_dim(atom[1], env), evaluate_dim(atom[2], env)
            product = product * _DIM_OPS[atom[0]](a, b)
        total = total + product
    return total


_DIM_OPS = {"floordiv": lambda a, b: a // b, "mod": lambda a, b: a % b, "min": np.minimum, "max": np.maximum}


class Grid:
    """The points of a form (or of a tile of it): one axis per iteration dim."""

    def __init__(self, iters: Sequence[IterAttr], dims: Mapping[str, int], ranges: Sequence[tuple[int, int]] | None = None):
        self.iters = tuple(iters)
        self.dims = dims
        self.names = tuple(it.symbol.data for it in iters)
        self.ranges = tuple(ranges) if ranges is not None else tuple((0, int(it.dim.evaluate(dims))) for it in iters)
        self.shape = tuple(high - low for low, high in self.ranges)
        self._values: dict[DimExpr, Any] = {}

    @cached_property
    def env(self) -> dict[str, Any]:
        """Dims, and for each iteration dim the array of its values along its axis."""
        env: dict[str, Any] = dict(self.dims)
        for axis, (name, (low, high)) in enumerate(zip(self.names, self.ranges, strict=True)):
            shape = [1] * len(self.names)
            shape[axis] = high - low
            env[name] = np.arange(low, high, dtype=np.int64).reshape(shape)
        return env

    def values(self, expr: DimExpr) -> Array:
        """`expr` at every point."""
        found = self._values.get(expr)
        if found is None:
            found = np.asarray(evaluate_dim(expr, self.env), np.int64)
            found = self._values[expr] = found.reshape(found.shape or (1,) * len(self.names))
        return found

    @cached_property
    def mask(self) -> Array | None:
        """Which points the bounds admit; None without bounds."""
        result: Array | None = None
        for it in self.iters:
            if it.bounds.data:
                low, high = it.range
                at = self.env[it.symbol.data]
                inside = (at >= self.values(low)) & (at < self.values(high))
                result = inside if result is None else result & inside
        return result

    def axes(self, group: str) -> tuple[int, ...]:
        return tuple(axis for axis, it in enumerate(self.iters) if it.group.data == group)

    def narrowed(self, ranges: Mapping[int, tuple[int, int]]) -> Grid:
        """The same grid with other (global) ranges on some axes."""
        return Grid(self.iters, self.dims, [ranges.get(axis, old) for axis, old in enumerate(self.ranges)])

    def collapsed(self, axes: Sequence[int]) -> Grid:
        """The grid without some dims: their axes have length 1 and no bounds."""
        iters = [
            IterAttr.get(it.symbol.data, it.group.data, it.dim) if axis in axes else it for axis, it in enumerate(self.iters)
        ]
        return Grid(iters, self.dims, [(0, 1) if axis in axes else old for axis, old in enumerate(self.ranges)])

    def tiles(self, axes: Sequence[int], parts: int) -> Iterator[Grid]:
        """Split along `axes`, outermost first, into about `parts` grids in iteration order."""
        axis = next((a for a in axes if self.shape[a] > 1), None)
        if parts <= 1 or axis is None:
            yield self
            return
        low, high = self.ranges[axis]
        step = max(1, math.ceil((high - low) / parts))
        rest = math.ceil(parts / (high - low)) if step == 1 else 1
        for start in range(low, high, step):
            yield from self.narrowed({axis: (start, min(start + step, high))}).tiles(axes, rest)


@dataclass
class _Affine:
    """Indices as constant + Σ coefficient · dim, per buffer dim."""

    start: list[int]
    factors: list[list[int]]

    @classmethod
    def of(cls, exprs: Sequence[DimExpr], grid: Grid) -> _Affine | None:
        at_zero = {**grid.dims, **dict.fromkeys(grid.names, 0)}
        names = frozenset(grid.names)
        start: list[int] = []
        factors: list[list[int]] = []
        for expr in exprs:
            row: list[int] = []
            for name in grid.names:
                if name not in expr.symbols:
                    row.append(0)
                    continue
                factor = expr.coefficient(name)
                if factor is None or factor.symbols & names:
                    return None
                row.append(factor.evaluate(grid.dims))
            start.append(expr.evaluate(at_zero))
            factors.append(row)
        return cls(start, factors)

    def span(self, dim: int, grid: Grid) -> tuple[int, int]:
        """Lowest and highest index of one buffer dim over the (non-empty) grid."""
        low = high = self.start[dim]
        for factor, (first, end) in zip(self.factors[dim], grid.ranges, strict=True):
            ends = (factor * first, factor * (end - 1))
            low, high = low + min(ends), high + max(ends)
        return low, high


class Buffer:
    """Memory of a buffer type at given dims.

    `storage` is flat: elements as `storage_dtype` gives them, or bytes of two elements for `i4`. `start` is the first element.
    """

    def __init__(self, kind: BufferType, dims: Mapping[str, int], storage: Array, *, wide: bool = False, start: int = 0):
        self.kind = kind
        self.env = dims
        self.storage = storage
        self.wide = wide
        self.start = start
        self.shape = tuple(int(d.evaluate(dims)) for d in kind.dims)
        self.physical = tuple(int(d.evaluate(dims)) for d in kind.physical_dims)
        self.packed = kind.element_type == IntegerType(4)
        self.scalar = scalar_dtype(kind.scalar_type, wide)

    @classmethod
    def poisoned(cls, kind: BufferType, dims: Mapping[str, int], *, wide: bool = False) -> Buffer:
        """A buffer of its own, filled with poison."""
        return cls(kind, dims, cls.view_bytes(kind, np.full(cls.size_bytes(kind, dims, wide), POISON, np.uint8), wide), wide=wide)

    @staticmethod
    def size_bytes(kind: BufferType, dims: Mapping[str, int], wide: bool = False) -> int:
        if kind.element_type == IntegerType(4):
            return kind.size_bytes.evaluate(dims)
        return kind.elements.evaluate(dims) * storage_dtype(kind.element_type, wide).itemsize

    @staticmethod
    def view_bytes(kind: BufferType, raw: Array, wide: bool = False) -> Array:
        return raw.view(storage_dtype(kind.element_type, wide))

    @classmethod
    def from_array(
        cls, kind: BufferType, dims: Mapping[str, int], array: Array, *, wide: bool = False, share: bool = False
    ) -> Buffer:
        """A buffer that holds the logical `array`; with `share` on the array's own memory where its form allows."""
        dtype = storage_dtype(kind.element_type, wide)
        plain = not isinstance(kind.layout, LayoutAttr) and kind.element_type not in (IntegerType(4), dtypes.BOOL)
        if share and plain and array.dtype == dtype and array.flags.c_contiguous:
            return cls(kind, dims, array.reshape(-1), wide=wide)
        result = cls.poisoned(kind, dims, wide=wide)
        result.fill(array)
        return result

    def view(self, kind: BufferType, offset: int) -> Buffer:
        """The same storage as another shape, `offset` elements in."""
        return Buffer(kind, self.env, self.storage, wide=self.wide, start=self.start + offset)

    # -- whole contents

    def offsets(self, indices: Sequence[Array]) -> Array:
        """Element offsets in `storage` of logical indices (arrays that broadcast together)."""
        if isinstance(self.kind.layout, LayoutAttr):
            env = {**self.env, **dict(zip(self.kind.layout.names.data, indices, strict=True))}
            indices = [evaluate_dim(expr, env) for expr in self.kind.layout.physical.data]
        result: Any = 0
        for index, extent in zip(indices, self.physical, strict=True):
            result = result * extent + index
        return np.asarray(result + self.start, np.int64)

    def _all_offsets(self) -> Array:
        if not self.shape:
            return self.offsets(())
        return np.broadcast_to(self.offsets(np.ogrid[tuple(slice(0, n) for n in self.shape)]), self.shape)

    def logical(self) -> Array:
        """A copy of the contents in logical order, as region values."""
        return np.array(self.gather(self._all_offsets()))

    def fill(self, values: Array) -> None:
        """Write all logical elements; padding stays."""
        self.scatter(self._all_offsets(), values)

    def gather(self, offsets: Array) -> Array:
        if self.packed:
            nibble = (self.storage[offsets >> 1] >> ((offsets & 1) * 4).astype(np.uint8)) & 15
            return (((nibble + 8) & 15).astype(np.int8) - 8).astype(np.int8)
        return self._as_values(self.storage[offsets])

    def _as_values(self, raw: Array) -> Array:
        if self.scalar.kind == "b":
            return raw != 0
        return raw.view(self.scalar) if raw.dtype != self.scalar else raw

    def scatter(self, offsets: Array, values: Array) -> None:
        """Write `values` (which broadcast to `offsets`); of equal offsets the last in order stays."""
        if not self.packed:
            self.storage[offsets] = np.broadcast_to(values, offsets.shape)
            return
        nibbles = np.broadcast_to(values, offsets.shape).reshape(-1).astype(np.int8).view(np.uint8) & 15
        offsets = offsets.reshape(-1)
        for half in (0, 1):
            here = (offsets & 1) == half
            at = offsets[here] >> 1
            keep = np.uint8(0xF0 if half == 0 else 0x0F)
            self.storage[at] = (self.storage[at] & keep) | (nibbles[here] << np.uint8(4 * half))

    # -- access over a grid

    def strided(self, affine: _Affine, grid: Grid, storage: Array, shape: Sequence[int], start: int) -> Array:
        """A view with one axis per iteration dim; NumPy checks that it stays inside `storage`."""
        strides = [0] * len(grid.names)
        step, offset = 1, 0
        for dim in reversed(range(len(shape))):
            offset += affine.start[dim] * step
            for axis, factor in enumerate(affine.factors[dim]):
                strides[axis] += factor * step
                offset += factor * grid.ranges[axis][0] * step
            step *= shape[dim]
        lengths = [n if self._uses(affine, axis) else 1 for axis, n in enumerate(grid.shape)]
        size = storage.itemsize
        return np.ndarray(lengths, storage.dtype, storage, (start + offset) * size, [s * size for s in strides])

    @staticmethod
    def _uses(affine: _Affine, axis: int) -> bool:
        return any(row[axis] for row in affine.factors)

    def read(self, op: Operation, exprs: Sequence[DimExpr], grid: Grid, fill: Array | None = None) -> Array:
        """The elements at `exprs` over the grid; `fill` where an index is out of range, a RuntimeFault without it."""
        affine = _Affine.of(exprs, grid)
        if affine is not None and 0 in grid.shape:
            return np.empty([n if self._uses(affine, axis) else 1 for axis, n in enumerate(grid.shape)], self.scalar)
        if affine is not None and not self.packed and not isinstance(self.kind.layout, LayoutAttr) and 0 not in self.shape:
            spans = [affine.span(dim, grid) for dim in range(len(self.shape))]
            pads = [(max(0, -low), max(0, high - n + 1)) for (low, high), n in zip(spans, self.shape, strict=True)]
            if not any(map(any, pads)):
                return self._as_values(self.strided(affine, grid, self.storage, self.shape, self.start))
            if fill is not None:
                count = math.prod(self.shape)
                logical = self._as_values(self.storage[self.start : self.start + count]).reshape(self.shape)
                logical = np.pad(logical, pads, constant_values=fill)
                shifted = _Affine([s + before for s, (before, _) in zip(affine.start, pads, strict=True)], affine.factors)
                return self.strided(shifted, grid, logical.reshape(-1), logical.shape, 0)
        indices = [grid.values(expr) for expr in exprs]
        return self.read_at(op, indices, "error" if fill is None else "fill", fill, grid.mask, "access")

    def read_at(
        self, op: Operation, indices: Sequence[Array], policy: str, fill: Array | None, mask: Array | None, code: str
    ) -> Array:
        """The elements at index arrays, by an out-of-range policy; points outside `mask` never fault."""
        outside: Array | None = None
        for dim, (index, extent) in enumerate(zip(indices, self.shape, strict=True)):
            bad = (index < 0) | (index >= extent)
            if policy == "error" and (bad if mask is None else bad & mask).any():
                value = np.broadcast_to(index, bad.shape)[bad].flat[0] if mask is None else _first(index, bad & mask)
                raise fault(op, f"reads index {int(value)} of dim {dim}, which has extent {extent}", code)
            outside = bad if outside is None else outside | bad
        if 0 in self.shape:
            shape = np.broadcast_shapes(*(np.shape(index) for index in indices))
            return np.broadcast_to(np.zeros((), self.scalar) if fill is None else fill, shape)
        clipped = [np.clip(index, 0, extent - 1) for index, extent in zip(indices, self.shape, strict=True)]
        result = self.gather(self.offsets(clipped))
        if policy != "fill" or fill is None or outside is None:
            return result
        return np.where(outside, fill, result).astype(self.scalar)

    def write(self, op: Operation, exprs: Sequence[DimExpr], grid: Grid, values: Array) -> None:
        """Write `values` over the grid where its mask admits. RuntimeFault if an index is out of range."""
        if 0 in grid.shape:
            return
        affine = _Affine.of(exprs, grid)
        simple = not self.packed and not isinstance(self.kind.layout, LayoutAttr) and grid.mask is None
        if affine is not None and simple and 0 not in self.shape:
            spans = [affine.span(dim, grid) for dim in range(len(self.shape))]
            if all(low >= 0 and high < n for (low, high), n in zip(spans, self.shape, strict=True)):
                self.strided(affine, grid, self.storage, self.shape, self.start)[...] = values
                return
        indices = [grid.values(expr) for expr in exprs]
        for dim, (index, extent) in enumerate(zip(indices, self.shape, strict=True)):
            bad = (index < 0) | (index >= extent)
            bad = bad if grid.mask is None else bad & grid.mask
            if bad.any():
                raise fault(op, f"writes index {int(_first(index, bad))} of dim {dim}, which has extent {extent}", "access")
        masked = (1,) * len(grid.names) if grid.mask is None else grid.mask.shape
        shape = np.broadcast_shapes(masked, *(index.shape for index in indices))
        offsets = np.broadcast_to(self.offsets(indices), shape)
        if grid.mask is not None:
            chosen = np.broadcast_to(grid.mask, shape)
            offsets, values = offsets[chosen], np.broadcast_to(values, shape)[chosen]
        self.scatter(offsets, values)


def _first(index: Array, bad: Array) -> Any:
    return np.broadcast_to(index, bad.shape)[bad].flat[0]

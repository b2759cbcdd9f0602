"""Copies of a matrix in shared memory, slice by slice: how the threads of a block fetch elements and where they put them.

A matrix has a side (rows or columns of a tile) and a depth (what is summed over). A slice holds `side` × `depth` elements as
`[depth][side]`, so that the elements of one depth lie next to each other. Fetching and parking are two steps: what is fetched
stays in registers while the slice before is worked on.

Places beyond the end of the side are read at the last element there is; those beyond the depth give 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.ir import Attribute, SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.support.sites import Site, full
from rlx_dialects.dims import DimExpr, DimLike, as_expr, ceildiv, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size, shape_of
from rlx_dialects.lir import AccessAttr, BufferType

MAX_LANES = 8
"""Elements that one thread reads at once."""
PAD = 4
"""Elements between the rows of a slice, against bank conflicts; vectors of four stay aligned."""

Point = Callable[[DimExpr, DimExpr], "dict[str, DimExpr]"]
"""The iteration dims at a place of the side and a place of the depth."""
Read = Callable[[Site], SSAValue]
"""The elements of the matrix at a site, in the type that slices hold."""


@dataclass(frozen=True)
class Reading:
    """How neighbouring threads read a matrix: along its `side` or along its `depth`, `lanes` elements each."""

    along: str
    lanes: int


def reading(
    facts: Facts,
    accesses: Sequence[tuple[Attribute, AccessAttr]],
    extents: tuple[DimExpr, DimExpr],
    point: Point,
    vector_bytes: int,
) -> Reading:
    """The axis along which most elements lie side by side, at addresses that are multiples of the size of a vector of them.

    `accesses` are the buffers that the matrix is made of, `extents` its (side, depth); no accesses are read one by one.
    """
    best = Reading("side", 1)
    for along in ("depth", "side"):
        for lanes in (MAX_LANES, 4, 2, 1):
            better = lanes > best.lanes or (lanes == best.lanes and along == "depth")
            if better and _reads(facts, accesses, extents, point, Reading(along, lanes), vector_bytes):
                best = Reading(along, lanes)
                break
    return best if accesses else Reading("depth", 1)


def _reads(
    facts: Facts,
    accesses: Sequence[tuple[Attribute, AccessAttr]],
    extents: tuple[DimExpr, DimExpr],
    point: Point,
    how: Reading,
    vector_bytes: int,
) -> bool:
    lanes, deep = how.lanes, how.along == "depth"
    if facts.divisor(extents[deep]) % lanes:
        return False
    facts = facts.with_iteration({"s": extents[0], "d": extents[1], "unit": ceildiv(extents[deep], lanes), "lane": lanes})
    vector = sym("unit") * lanes + sym("lane")
    places = point(sym("s") if deep else vector, vector if deep else sym("d"))
    moves = False
    for kind, access in accesses:
        assert isinstance(kind, BufferType)
        offset = facts.simplify(kind.offset(access.exprs).substitute(places))
        step = offset.coefficient("lane")
        if step == 0 and "lane" not in offset.symbols:
            continue
        if step != 1 or (lanes > 1 and access.is_guarded):
            return False
        if lanes * byte_size(kind.scalar_type) > vector_bytes or facts.divisor(offset - sym("lane")) % lanes:
            return False
        moves = True
    return moves


def stride_of(side: int) -> int:
    """Elements from one depth of a slice to the next."""
    return side + PAD


class Stage:
    """Slices of one matrix. `extents` and `tile` are (side, depth)."""

    def __init__(
        self,
        b: GpuKernelBuilder,
        name: str,
        extents: tuple[DimLike, DimLike],
        tile: tuple[int, int],
        threads: int,
        how: Reading,
    ):
        self.b = b
        self.name, self.threads = name, threads
        self.side, self.depth = map(as_expr, extents)
        self.tile = tile
        along, lanes = how.along, how.lanes
        self.along = along
        sizes = {"side": tile[0], "depth": tile[1]}
        while lanes > 1 and (tile[0] * tile[1] < threads * lanes or sizes[along] % lanes):
            lanes //= 2
        self.lanes = lanes
        self.across = sizes[along] // lanes
        """Vectors along the axis that is read."""
        vectors = tile[0] * tile[1] // lanes
        self.items = -(-vectors // threads)
        """Vectors of a slice that one thread fetches."""
        self.vectors = vectors if vectors % threads else None
        """Vectors of a slice where the threads have more between them."""
        self.regular = threads % self.across == 0
        """Whether all vectors of a thread lie at one place along the axis that is read."""
        self.stride = stride_of(tile[0])
        self.size = tile[1] * self.stride
        self.units = {"side": self.side, "depth": self.depth}
        self.units[along] = ceildiv(self.units[along], lanes)
        self.lane = f"{name}.lane"
        symbols: dict[str, DimLike] = {self.lane: lanes}
        for axis in ("side", "depth"):
            symbols |= {self._symbol(axis, item): self.units[axis] for item in range(self.items)}
        b.declare(symbols)
        b.bind(self.lane, 0)
        self.places = [self._places(item, threads) for item in range(self.items)]

    def _places(self, item: int, threads: int) -> dict[str, SSAValue]:
        """Where in a slice one of this thread's vectors lies, in vectors along the axis that is read."""
        b, other = self.b, "depth" if self.along == "side" else "side"
        if self.regular:
            near = b.apply(sym("t") % self.across, {"t": b.thread()})
            far = b.add(b.apply(sym("t") // self.across, {"t": b.thread()}), item * (threads // self.across))
        else:
            vector = {"t": b.add(b.thread(), item * threads)}
            near, far = b.apply(sym("t") % self.across, vector), b.apply(sym("t") // self.across, vector)
        return {self.along: near, other: far}

    def _symbol(self, axis: str, item: int) -> str:
        return f"{self.name}.{axis}.{item if item in self._axis_items(axis) else 0}"

    def _axis_items(self, axis: str) -> range:
        """The vectors of a thread whose places along an axis differ."""
        return range(1 if axis == self.along and self.regular else self.items)

    def _sizes(self, axis: str) -> int:
        size = self.tile[0] if axis == "side" else self.tile[1]
        return size // self.lanes if axis == self.along else size

    def at(self, side: SSAValue) -> None:
        """From here on, slices begin at `side` tiles along the side."""
        b, size = self.b, self._sizes("side")
        exact = self.vectors is None and b.facts.divisor(self.units["side"]) % size == 0
        for item in self._axis_items("side"):
            place = b.add(b.mul(side, size), self.places[item]["side"])
            if not exact:
                place = b.minimum(place, b.at(self.units["side"] - 1))
            b.bind(self._symbol("side", item), place)

    def fetch(self, depth: SSAValue, point: Point, read: Read) -> list[SSAValue]:
        """The vectors of slice number `depth` that this thread reads."""
        b, size = self.b, self._sizes("depth")
        exact = self.vectors is None and b.facts.divisor(self.units["depth"]) % size == 0
        inside: list[SSAValue] = []
        for item in self._axis_items("depth"):
            place = b.add(b.mul(depth, size), self.places[item]["depth"])
            if not exact:
                end = b.at(self.units["depth"])
                inside.append(b.test("slt", place, end))
                place = b.minimum(place, b.sub(end, 1))
            b.bind(self._symbol("depth", item), place)
        found: list[SSAValue] = []
        for item in range(self.items):
            places = {axis: sym(self._symbol(axis, item)) for axis in ("side", "depth")}
            places[self.along] = places[self.along] * self.lanes + sym(self.lane)
            if self.lanes == 1:
                places[self.along] = sym(self._symbol(self.along, item))
                site = Site(point(places["side"], places["depth"]))
            else:
                site = Site(point(places["side"], places["depth"]), ((self.lane, self.lanes),), (None,))
            value = full(b, read(site), site)
            if inside:
                valid = inside[min(item, len(inside) - 1)]
                shape = shape_of(value.type)
                none = b.splat(0, value.type if not shape else value.type.element_type, shape)  # pyright: ignore[reportAttributeAccessIssue]
                value = b.select(b.broadcast(valid, shape) if shape else valid, value, none)
            found.append(value)
        return found

    def park(self, values: Sequence[SSAValue], pointer: SSAValue, start: SSAValue) -> None:
        """Put what was fetched into a slice that begins at `start` of shared memory."""
        b = self.b

        deep = self.along == "depth"
        stride = self.stride if deep and self.lanes > 1 else None

        def put(item: int) -> None:
            side, depth = self.places[item]["side"], self.places[item]["depth"]
            row = b.mul(b.mul(depth, self.lanes if deep else 1), self.stride)
            place = b.add(row, b.mul(side, 1 if deep else self.lanes))
            b.store(values[item], pointer, b.add(start, place), stride=stride)

        for item in range(self.items):
            if self.vectors is not None and item == self.items - 1:
                last = self.vectors - item * self.threads
                b.when(b.test("slt", b.thread(), last), lambda item=item: put(item))
            else:
                put(item)

    def shared(self, kind: Attribute, slices: int = 1) -> SSAValue:
        """Memory for some slices."""
        return self.b.shared(slices * self.size, kind)

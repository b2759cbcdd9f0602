"""Copies of a matrix in shared memory, slice by slice: how the threads of a block fetch elements and where they put them.

A matrix has a side (rows or columns of a tile) and a depth (what is summed over). A slice holds `side` × `depth` elements as
`[depth][side]`, so that the elements of one depth lie next to each other. Fetching and parking are two steps: what is fetched
stays in registers while the slice before is worked on.

Places beyond the end of the side are read at the last element there is; those beyond the depth give 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.ir import Attribute, SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.support.sites import Site, full
from rlx_dialects.dims import DimExpr, DimLike, as_expr, ceildiv, sym
from rlx_dialects.kernel.types import shape_of

PAD = 4
"""Elements between the rows of a slice, against bank conflicts; vectors of four stay aligned."""

Point = Callable[[DimExpr, DimExpr], "dict[str, DimExpr]"]
"""The iteration dims at a place of the side and a place of the depth."""
Read = Callable[[Site], SSAValue]
"""The elements of the matrix at a site, in the type that slices hold."""


def stride_of(side: int) -> int:
    """Elements from one depth of a slice to the next."""
    return side + PAD


class Stage:
    """Slices of one matrix. `extents` and `tile` are (side, depth); `along` and `lanes` say how a thread reads."""

    def __init__(
        self,
        b: GpuKernelBuilder,
        name: str,
        extents: tuple[DimLike, DimLike],
        tile: tuple[int, int],
        threads: int,
        along: str,
        lanes: int,
    ):
        self.b = b
        self.name = name
        self.side, self.depth = map(as_expr, extents)
        self.tile = tile
        self.along = along
        sizes = {"side": tile[0], "depth": tile[1]}
        while lanes > 1 and (tile[0] * tile[1] < threads * lanes or sizes[along] % lanes):
            lanes //= 2
        self.lanes = lanes
        self.across = sizes[along] // lanes
        """Vectors along the axis that is read."""
        self.items = max(1, tile[0] * tile[1] // (threads * lanes))
        """Vectors of a slice that one thread fetches."""
        self.apart = threads // self.across
        """Places of the other axis between two of them."""
        assert threads % self.across == 0, f"{threads} threads do not cover rows of {self.across} vectors"
        self.idle = tile[0] * tile[1] // lanes < threads
        self.stride = stride_of(tile[0])
        self.size = tile[1] * self.stride
        self.units = {"side": self.side, "depth": self.depth}
        self.units[along] = ceildiv(self.units[along], lanes)
        self.lane = f"{name}.lane"
        symbols: dict[str, DimLike] = {self.lane: lanes}
        for item in range(self.items):
            symbols |= {self._symbol("side", item): self.units["side"], self._symbol("depth", item): self.units["depth"]}
        b.declare(symbols)
        b.bind(self.lane, 0)
        self.near = b.apply(sym("t") % self.across, {"t": b.thread()})
        """This thread's vector along the axis that is read, and its first place along the other."""
        self.far = b.apply(sym("t") // self.across, {"t": b.thread()})

    def _symbol(self, axis: str, item: int) -> str:
        return f"{self.name}.{axis}.{item if axis != self.along else 0}"

    def _local(self, axis: str, item: int) -> SSAValue:
        """This thread's place in a slice, in vectors along the axis that is read."""
        return self.near if axis == self.along else self.b.add(self.far, item * self.apart)

    def _axis_items(self, axis: str) -> range:
        return range(1 if axis == self.along else self.items)

    def _sizes(self, axis: str) -> int:
        size = self.tile[0] if axis == "side" else self.tile[1]
        return size // self.lanes if axis == self.along else size

    def at(self, side: SSAValue) -> None:
        """From here on, slices begin at `side` tiles along the side."""
        b, size = self.b, self._sizes("side")
        exact = not self.idle and b.facts.divisor(self.units["side"]) % size == 0
        for item in self._axis_items("side"):
            place = b.add(b.mul(side, size), self._local("side", item))
            if not exact:
                place = b.minimum(place, b.at(self.units["side"] - 1))
            b.bind(self._symbol("side", item), place)

    def fetch(self, depth: SSAValue, point: Point, read: Read) -> list[SSAValue]:
        """The vectors of slice number `depth` that this thread reads."""
        b, size = self.b, self._sizes("depth")
        exact = not self.idle and b.facts.divisor(self.units["depth"]) % size == 0
        inside: list[SSAValue] = []
        for item in self._axis_items("depth"):
            place = b.add(b.mul(depth, size), self._local("depth", item))
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

        def put() -> None:
            for item, value in enumerate(values):
                side, depth = self._local("side", item), self._local("depth", item)
                vectors = self.lanes if self.along == "side" else 1, self.lanes if self.along == "depth" else 1
                place = b.add(b.mul(b.mul(depth, vectors[1]), self.stride), b.mul(side, vectors[0]))
                stride = self.stride if self.along == "depth" and self.lanes > 1 else None
                b.store(value, pointer, b.add(start, place), stride=stride)

        if self.idle:
            b.when(b.test("slt", b.thread(), self.tile[0] * self.tile[1] // self.lanes), put)
        else:
            put()

    def shared(self, kind: Attribute, slices: int = 1) -> SSAValue:
        """Memory for some slices."""
        return self.b.shared(slices * self.size, kind)

"""Vectors along one dim, shared by schedules: full ones, then at most one masked one; rows × columns for each thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from xdsl.ir import SSAValue

from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.sites import Site
from rlx_backends.support.spaces import Dim, rows_of
from rlx_dialects.dims import DimExpr, sym


def along(
    b: KernelBuilder,
    name: str,
    lower: SSAValue,
    upper: SSAValue,
    lanes: int,
    exact: bool,
    body: Callable[..., Sequence[SSAValue] | None],
    init: Sequence[SSAValue] = (),
) -> tuple[SSAValue, ...]:
    """`body(count, *carried)` for each vector of [lower, upper), with symbol `name` bound to its first element.

    `count` is None if all lanes hold a point; the last vector may have less. `exact` says that it has not.
    """
    low, high = b.known(lower), b.known(upper)
    if low is not None and high is not None and high <= low:
        return tuple(init)
    if low is not None and high is not None and high - low <= lanes:
        b.bind(name, lower)
        return tuple(body(None if high - low == lanes else b.sub(upper, lower), *init) or ())
    end = upper if exact else b.apply(sym("lo") + (sym("hi") - sym("lo")) // lanes * lanes, {"lo": lower, "hi": upper})
    carried = b.for_dim(name, lower, end, lanes, lambda *values: body(None, *values), init)
    if exact or (b.known(end) is not None and b.known(end) == high):
        return carried

    def tail() -> Sequence[SSAValue]:
        b.bind(name, end)
        return body(b.sub(upper, end), *carried) or ()

    if high is not None and b.known(end) is not None:
        return tuple(tail())
    return b.when(b.test("slt", end, upper), tail, (lambda: carried) if carried else None)


def for_columns(
    b: KernelBuilder,
    point: Mapping[str, DimExpr],
    parallel: Sequence[Dim],
    name: str,
    lanes: int,
    body: Callable[[Site], None],
) -> None:
    """`body` at this thread's share of the parallel dims: vectors along dim `name`, or single points if there is no such dim."""
    across = next((dim for dim in parallel if dim.name == name), None)
    if across is None:
        lower, upper = b.partition(b.at(rows_of(parallel)))
        b.for_points([(dim.name, dim.extent) for dim in parallel], lower, upper, lambda: body(Site(point)))
        return
    others = [dim for dim in parallel if dim is not across]
    rows, extent = b.at(rows_of(others)), b.at(across.extent)
    size = b.known(extent)
    if size is not None and size <= lanes:
        lower_row, upper_row = b.partition(rows)
        lower_lane, upper_lane = b.index(0), extent
    else:
        lower_row, upper_row, lower_lane, upper_lane = b.partition_2d(rows, extent, (1, lanes))
    exact = b.facts.divisor(across.extent) % lanes == 0

    def columns() -> None:
        def vector(count: SSAValue | None) -> None:
            body(Site(point, ((name, lanes),), (count,)))

        along(b, name, lower_lane, upper_lane, lanes, exact, vector)

    b.for_points([(dim.name, dim.extent) for dim in others], lower_row, upper_row, columns)

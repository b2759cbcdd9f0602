"""`lir.contract` with one thread for each result: correct for every contract."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.contract_inner import finished, multiply, zero
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, load, store
from rlx_backends.support.spaces import Dim, Space, rows_of
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.lir import ContractOp

THREADS = 256


def lower(kernel: GpuKernelBuilder, form: ContractOp) -> None:
    """Neighbouring threads have neighbouring results; each sums over the reduce dims in order."""
    b = kernel
    space = Space(form, b.facts)
    dims = space.collapse([it.symbol.data for it in form.group("parallel")])
    dims.sort(key=lambda dim: -_misplaced(space, dim))
    point: dict[str, DimExpr] = {it.symbol.data: const(0) for it in form.group("parallel")}
    for dim in dims:
        del point[dim.name]
    site = Site(point)
    count = rows_of(dims)
    b.launch([(b.grid_extent(count) + (THREADS - 1)) // THREADS], [THREADS])
    first = b.add(b.mul(b.block_at(), THREADS), b.thread())
    whole, elements = block_args(form.body.block.args, b.ins)
    kinds = [value.type for value in form.product.lhs]

    def step(*sums: SSAValue) -> Sequence[SSAValue]:
        region = Region(b, form.body.block, whole)
        values = region.run({arg: load(b, operand, site) for arg, operand in elements.items()}, site)
        return [multiply(b, values[i], values[len(sums) + i], acc) for i, acc in enumerate(sums)]

    def element() -> None:
        b.bind_point([(dim.name, dim.extent) for dim in dims], first)
        ranges = [(it.symbol.data, *it.range) for it in form.group("reduce")]
        sums = b.for_all(ranges, step, [zero(b, kind) for kind in kinds])
        block = form.epilogue.block
        buffers, extras = block_args(block.args[len(sums) :], b.extra)
        args = dict(zip(block.args, finished(b, sums, kinds), strict=False))
        args |= {arg: load(b, operand, site) for arg, operand in extras.items()}
        for operand, value in zip(b.outs, Region(b, block, buffers).run(args, site), strict=True):
            store(b, operand, value, site)

    b.when(b.test("slt", first, b.at(count)), element)


def _misplaced(space: Space, dim: Dim) -> int:
    """How many results do not move by one element along a dim: the dim with none runs along the threads."""
    first = len(space.operands) - len(space.form.outs)
    return sum(1 for number in range(first, len(space.operands)) if space.step(number, dim.name) != 1)

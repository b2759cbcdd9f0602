"""`lir.contract` without register tiles: each point in turn, vectors along the last reduce dim. Correct for every contract."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith
from xdsl.ir import SSAValue

from rlx_backends.support.kernel_builder import KernelBuilder, total
from rlx_backends.support.regions import Region, block_args
from rlx_backends.support.sites import Site, full, load, mask_of, store
from rlx_backends.support.spaces import lanes_for, widest
from rlx_dialects.kernel.types import is_float
from rlx_dialects.lir import ContractOp, IterAttr


def lower(kernel: KernelBuilder, form: ContractOp) -> None:
    """Points of the parallel dims are shared by the team."""
    b = kernel
    points = [(it.symbol.data, it.dim) for it in form.group("parallel")]
    reduce = form.group("reduce")
    whole, elements = block_args(form.body.block.args, b.ins)
    kinds = [value.type for value in form.product.lhs]
    lanes = 1
    if reduce:
        lanes = lanes_for(reduce[-1].dim, b.target.vector_bits // 8 // widest(form), b.facts)
    shape = (lanes,) if lanes > 1 else ()

    def vector(site: Site, sums: Sequence[SSAValue]) -> list[SSAValue]:
        region = Region(b, form.body.block, whole)
        values = region.run({arg: load(b, operand, site) for arg, operand in elements.items()}, site)
        mask = mask_of(b, site) if site.lanes else None
        made: list[SSAValue] = []
        for number, acc in enumerate(sums):
            x, y = full(b, values[number], site), full(b, values[len(sums) + number], site)
            if is_float(kinds[number]):
                new = b.fma(x, y, acc)
            else:
                new = b.value(arith.AddiOp(acc, b.value(arith.MuliOp(x, y))))
            made.append(new if mask is None else b.select(mask, new, acc))
        return made

    def inner(it: IterAttr, *sums: SSAValue) -> Sequence[SSAValue]:
        name, (lower, upper) = it.symbol.data, it.range
        if lanes == 1:
            return b.for_dim(name, b.at(lower), b.at(upper), 1, lambda *s: vector(Site(), s), sums)
        exact = lower == 0 and b.facts.divisor(upper) % lanes == 0

        def chunk(*sums: SSAValue) -> Sequence[SSAValue]:
            count = None if exact else b.sub(b.at(upper), b.index(b.env[name]))
            return vector(Site({}, ((name, lanes),), (count,)), sums)

        return b.for_dim(name, b.at(lower), b.at(upper), lanes, chunk, sums)

    def point() -> None:
        zeros = [b.splat(0, kind, shape) for kind in kinds]
        if reduce:
            outer = [(it.symbol.data, *it.range) for it in reduce[:-1]]
            sums: Sequence[SSAValue] = b.for_all(outer, lambda *s: inner(reduce[-1], *s), zeros)
        else:
            sums = vector(Site(), zeros)
        ends = [b.reduce("add", s) if shape else s for s in sums]
        site, block = Site(), form.epilogue.block
        buffers, extras = block_args(block.args[len(ends) :], b.extra)
        args = dict(zip(block.args, ends, strict=False)) | {arg: load(b, operand, site) for arg, operand in extras.items()}
        for operand, value in zip(b.outs, Region(b, block, buffers).run(args, site), strict=True):
            store(b, operand, value, site)

    lower_point, upper_point = b.partition(b.at(total(extent for _, extent in points)))
    b.for_points(points, lower_point, upper_point, point)

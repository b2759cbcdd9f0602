"""What a product looks like to a GPU: which dims are rows, columns, batch and depth, and how each factor is read.

Of a pair `a · b` the row factor varies with the rows, the column factor with the columns; dims with which both vary, or
neither, are batch. Several dims of one role count as one, in row-major order: index maps are reached through division.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.dialects.builtin import DenseArrayBase
from xdsl.ir import SSAValue

from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules.contract_inner import accumulator_kind
from rlx_backends.gpu.schedules.staging import Reading, reading
from rlx_backends.support.regions import needed_ops
from rlx_backends.support.spaces import Dim, Space, rows_of
from rlx_dialects.dims import DimExpr, const, floordiv, mod, sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import ContractOp, ReadOp, ScheduleAttr


@dataclass(frozen=True)
class Side:
    """Dims that count as one, the last fastest."""

    dims: tuple[Dim, ...] = ()

    @property
    def extent(self) -> DimExpr:
        return rows_of(self.dims)

    def point(self, place: DimExpr) -> dict[str, DimExpr]:
        """The iteration dims at a place."""
        found: dict[str, DimExpr] = {}
        for position in range(len(self.dims) - 1, -1, -1):
            dim = self.dims[position]
            found |= dict.fromkeys(dim.members, const(0))
            found[dim.name] = mod(place, dim.extent) if position else place
            place = floordiv(place, dim.extent) if position else place
        return found


@dataclass(frozen=True)
class Factor:
    """One side of a product: the value in the region, and the numbers of the `ins` that it comes from."""

    value: SSAValue
    along_columns: bool
    operands: tuple[int, ...] = field(compare=False)


@dataclass(frozen=True)
class ContractPlan:
    """Roles of dims, and the pairs (row factor, column factor)."""

    batch: tuple[Dim, ...]
    rows: Side
    columns: Side
    depth: Side
    pairs: tuple[tuple[Factor, Factor], ...]

    @property
    def factors(self) -> list[Factor]:
        """Every factor once."""
        return list(dict.fromkeys(f for pair in self.pairs for f in pair))

    def side(self, factor: Factor) -> Side:
        return self.columns if factor.along_columns else self.rows

    @property
    def element_bytes(self) -> int:
        """Of an accumulator."""
        return max(byte_size(accumulator_kind(left.value.type)) for left, _ in self.pairs)


def plan_of(form: ContractOp, facts: Facts) -> ContractPlan | None:
    """The roles of the dims; None where reduce dims are bounded or there are none."""
    if any(it.bounds.data for it in form.iters.data) or not form.group("reduce"):  # pyright: ignore[reportAttributeAccessIssue]
        return None
    space = Space(form, facts)
    depends = space.dependences(form.body.block)
    pairs = list(zip(form.product.lhs, form.product.rhs, strict=True))
    dims = space.collapse([it.symbol.data for it in form.group("parallel")])

    def on(value: SSAValue, dim: Dim) -> bool:
        return not depends[value].isdisjoint(dim.members)

    results = range(len(space.operands) - len(form.outs), len(space.operands))

    def column_score(dim: Dim) -> float:
        contiguous = all(space.step(result, dim.name) == 1 for result in results)
        return min(space.size(dim.extent), 64) * (4.0 if contiguous else 1.0)

    candidates = [dim for dim in dims if all(on(a, dim) != on(b, dim) for a, b in pairs)]
    seed = max(reversed(candidates), key=column_score, default=None)
    oriented = [(a, b) if seed is None or on(b, seed) else (b, a) for a, b in pairs]
    rows = [dim for dim in candidates if all(on(a, dim) for a, _ in oriented)]
    columns = [dim for dim in candidates if all(on(b, dim) for _, b in oriented)]
    columns.sort(key=lambda dim: dim is seed)
    batch = tuple(dim for dim in dims if dim not in rows and dim not in columns)
    depth = space.collapse([it.symbol.data for it in form.group("reduce")])
    made = [
        (Factor(a, False, operands_of(form, a)), Factor(b, True, operands_of(form, b)))
        for a, b in oriented
    ]  # fmt: skip
    return ContractPlan(batch, Side(tuple(rows)), Side(tuple(columns)), Side(tuple(depth)), tuple(made))


def operands_of(form: ContractOp, value: SSAValue) -> tuple[int, ...]:
    """The `ins` that a value of the body is computed from."""
    block = form.body.block
    used = {value, *(v for op in needed_ops(block, [value]) for v in op.operands)}
    return tuple(i for i, arg in enumerate(block.args) if arg in used)


def reading_of(form: ContractOp, plan: ContractPlan, factor: Factor, facts: Facts, vector_bytes: int) -> Reading:
    """How the threads of a block read a factor."""
    side = plan.side(factor)
    gathered = any(isinstance(op, ReadOp) for op in needed_ops(form.body.block, [factor.value]))
    accesses = [(form.ins[number].type, form.in_accesses[number]) for number in factor.operands]
    extents = side.extent, plan.depth.extent
    facts = facts.with_iteration(form.extents)
    return reading(facts, [] if gathered else accesses, extents, lambda s, d: side.point(s) | plan.depth.point(d), vector_bytes)


def batch_point(b: GpuKernelBuilder, plan: ContractPlan) -> tuple[list[tuple[str, DimExpr]], dict[str, DimExpr]]:
    """Symbols of the batch dims with their extents, and the iteration dims in terms of them."""
    symbols: list[tuple[str, DimExpr]] = []
    point: dict[str, DimExpr] = {}
    for number, dim in enumerate(plan.batch):
        symbols.append((f"batch.{number}", dim.extent))
        point |= dict.fromkeys(dim.members, const(0))
        point[dim.name] = sym(symbols[-1][0])
    b.declare(dict(symbols))
    return symbols, point


def ints_param(schedule: ScheduleAttr, name: str) -> tuple[int, ...]:
    """A list of integers of a schedule's parameters."""
    value = schedule.params.data[name]
    assert isinstance(value, DenseArrayBase), f"schedule {schedule} has no integers '{name}'"
    return tuple(int(item) for item in value.get_values())

"""What a product looks like to the CPU: which dims are rows, columns and batch of a register tile, and how each factor
reaches it.

Of a pair `a · b` one factor varies with the columns (the vector dim), the other with the rows. A factor is read where it lies
(`direct`) if that is one vector or one column of scalars at each k; otherwise it is evaluated into scratch first: columns by
panels `[K][NR]`, rows by blocks `[rows][K]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, StringAttr, i64
from xdsl.ir import Attribute, SSAValue

from rlx_backends.support.kernel_builder import total
from rlx_backends.support.regions import needed_ops
from rlx_backends.support.spaces import Dim, Space
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.kernel.types import byte_size
from rlx_dialects.lir import BufferType, ContractOp, IndexOp, PackedOp, ParamOp, ReadOp, ScheduleAttr, root_buffer
from rlx_dialects.rlx import dtypes

MAX_ROWS = 8
ROW_BLOCK = 64
"""Rows evaluated into scratch at a time: 64 x K values stay in L2 for usual K."""
MIN_BLOCK = 128
"""Fewer rows would read the weights too often."""
SKINNY_ROWS = 4
CACHE_PERIOD = 4096
"""Bytes after which addresses share a set of the first-level cache."""
CHEAP_PROLOGUE = 2
"""Ops on a factor that may be done again for every tile."""


@dataclass(frozen=True)
class Factor:
    """One side of a product: the value in the region, the operands it comes from, whether it is read where it lies."""

    value: SSAValue
    operands: tuple[int, ...]
    along_columns: bool
    direct: bool


@dataclass(frozen=True)
class ContractPlan:
    """Names of the parallel dims by role (several are one dim in row-major order), and the pairs of factors (row side,
    column side).
    """

    batch: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    pairs: tuple[tuple[Factor, Factor], ...]

    @property
    def factors(self) -> list[Factor]:
        """Every factor once."""
        return list(dict.fromkeys(f for pair in self.pairs for f in pair))

    @property
    def copied_rows(self) -> list[Factor]:
        return [f for f in self.factors if not f.direct and not f.along_columns]

    @property
    def panels(self) -> list[Factor]:
        return [f for f in self.factors if not f.direct and f.along_columns]


def extent_of(form: ContractOp, names: Sequence[str]) -> DimExpr:
    return total(form.extents[name] for name in names)


def reduce_names(form: ContractOp) -> tuple[str, ...]:
    return tuple(it.symbol.data for it in form.group("reduce"))


def has_bounds(form: ContractOp) -> bool:
    return any(it.bounds.data for it in form.iters.data)  # pyright: ignore[reportAttributeAccessIssue]


def plan_of(form: ContractOp, facts: Facts) -> ContractPlan | None:
    """The roles of the dims; None where no dim can run along vectors as the columns of a tile."""
    if has_bounds(form) or not form.group("reduce"):
        return None
    space = Space(form, facts)
    depends = space.dependences(form.body.block)
    pairs = [(a, b) for a, b in zip(form.product.lhs, form.product.rhs, strict=True)]
    dims = space.collapse([it.symbol.data for it in form.group("parallel")])

    def on(value: SSAValue, dim: Dim) -> bool:
        return not depends[value].isdisjoint(dim.members)

    outs = range(len(space.operands) - len(form.outs), len(space.operands))

    def column_score(dim: Dim) -> float:
        contiguous = all(space.step(out, dim.name) == 1 for out in outs)
        size = min(space.size(dim.extent), 64)
        sides = [b if on(b, dim) else a for a, b in pairs]
        easy = all(_is_weight(form, i) or space.step(i, dim.name) == 1 for v in sides for i in operands_of(form, v))
        return size * (4.0 if contiguous else 1.0) * (1.5 if easy else 1.0)

    candidates = [dim for dim in dims if all(on(a, dim) != on(b, dim) for a, b in pairs)]
    if not candidates:
        return None
    columns = max(candidates, key=column_score)
    oriented = [(a, b) if on(b, columns) else (b, a) for a, b in pairs]
    possible = [dim for dim in dims if dim is not columns and all(on(a, dim) and not on(b, dim) for a, b in oriented)]
    rows = max(possible, key=lambda dim: space.size(dim.extent), default=None)
    batch = tuple(name for dim in dims if dim is not columns and dim is not rows for name in dim.members)
    row_names = rows.members if rows else ()
    factors = [
        (
            _factor(form, space, a, row_names, along_columns=False, rows=rows),
            _factor(form, space, b, columns.members, along_columns=True, rows=rows),
        )
        for a, b in oriented
    ]
    return ContractPlan(batch, row_names, columns.members, tuple(factors))


def operands_of(form: ContractOp, value: SSAValue) -> tuple[int, ...]:
    """The `ins` that a value of the body is computed from."""
    block = form.body.block
    used = {value, *(v for op in needed_ops(block, [value]) for v in op.operands)}
    return tuple(i for i, arg in enumerate(block.args) if arg in used)


def _is_weight(form: ContractOp, number: int) -> bool:
    return isinstance(root_buffer(form.ins[number]).owner, ParamOp | PackedOp)


def packable(form: ContractOp, number: int, columns: Sequence[str]) -> bool:
    """Whether an operand is a weight whose every index is one dim: all reduce dims and all columns, nothing else."""
    if not _is_weight(form, number) or form.in_accesses[number].is_guarded:
        return False
    exprs = form.in_accesses[number].exprs
    names = [str(e) for e in exprs if e.is_symbol]
    return len(names) == len(exprs) == len(set(names)) and set(names) == {*reduce_names(form), *columns}


def _factor(
    form: ContractOp, space: Space, value: SSAValue, names: Sequence[str], *, along_columns: bool, rows: Dim | None
) -> Factor:
    operands = operands_of(form, value)
    ops = needed_ops(form.body.block, [value])
    direct = not any(isinstance(op, ReadOp | IndexOp) for op in ops)
    reduce = reduce_names(form)
    few_rows = rows is None or space.size(rows.extent) <= MAX_ROWS
    for number in operands:
        access = form.in_accesses[number]
        if access.is_whole or access.is_guarded:
            direct = False
            continue
        if along_columns and packable(form, number, names):
            continue
        along = space.collapse(reduce, [number])
        moved = space.collapse(names, [number])
        steps = [space.step(number, dim.name) for dim in (*along, *moved)]
        if len(along) > 1 or len(moved) > 1 or any(step is None for step in steps):
            direct = False
        elif along_columns and moved and steps[-1] not in (0, 1):
            direct = False
        elif not along_columns and moved and not few_rows and _shares_cache_sets(form, number, steps[-1]):
            direct = False
    if not along_columns and ops:
        direct = few_rows and direct
    if along_columns and len(ops) > CHEAP_PROLOGUE and not few_rows:
        direct = False
    return Factor(value, operands, along_columns, direct)


def _shares_cache_sets(form: ContractOp, number: int, step: DimExpr | None) -> bool:
    """Whether neighbouring rows lie a multiple of 4 KB apart: the rows of a tile would push each other out of the
    first-level cache.
    """
    kind = form.ins[number].type
    assert isinstance(kind, BufferType)
    return step is not None and step.is_const and step.value * byte_size(kind.scalar_type) % CACHE_PERIOD == 0


# -- tiles


def tile_of(form: ContractOp, plan: ContractPlan, target: Any, facts: Facts) -> tuple[int, int]:
    """(MR, NR): two native vectors of columns shared by the accumulators, rows that fill the registers and divide a
    static row count.
    """
    element = plan.pairs[0][0].value.type
    lanes = target.vector_bits // 8 // byte_size(element)
    columns = max(2 * lanes // len(plan.pairs), lanes)
    high = facts.bounds(extent_of(form, plan.columns))[1]
    while high is not None and columns // 2 >= max(high, 4):
        columns //= 2
    registers = 32 if target.vector_bits == 512 else 16
    vectors = -(-columns // lanes) * len(plan.pairs)
    most = max(1, min(14, (registers - 1 - vectors) // vectors))
    default = min(MAX_ROWS, most)
    low, high = facts.bounds(extent_of(form, plan.rows)) if plan.rows else (1, 1)
    if high is not None and high < default:
        default = next(size for size in (8, 4, 2, 1) if size <= max(high, 1))
    if low is not None and low == high and low > default and low % default:
        default = next((size for size in range(most, default // 2, -1) if low % size == 0), default)
    return default, columns


def row_tiles(first: int) -> tuple[int, ...]:
    """Heights of tiles that cover any number of rows: the first repeatedly, then halves."""
    return (first, *(size for size in (8, 4, 2, 1) if size < first))


def block_rows(form: ContractOp, plan: ContractPlan, tile: tuple[int, int], target: Any, facts: Facts) -> int:
    """Rows that go through all panels together, so that they stay in the second-level cache; 0 for all of a thread's rows."""
    height = tile[0]
    if plan.copied_rows:
        return ROW_BLOCK // height * height
    depth = Space(form, facts).size(extent_of(form, reduce_names(form)))
    rows = max(MIN_BLOCK, target.l2_bytes // 2 // (depth * element_bytes(plan))) // height * height
    high = facts.bounds(extent_of(form, plan.rows))[1] if plan.rows else 1
    return 0 if high is not None and high <= rows else rows


def element_bytes(plan: ContractPlan) -> int:
    return byte_size(plan.pairs[0][0].value.type)


def is_integer_product(plan: ContractPlan) -> bool:
    return not dtypes.is_float(plan.pairs[0][0].value.type)


def padded_depth(depth: DimExpr, bytes_each: int) -> DimExpr:
    """The row stride of a copied block: rows a multiple of 2 KB apart would share the sets of the first-level cache."""
    if depth.is_const:
        stride = -(-depth.value // 16) * 16
        return const(stride + 16 if stride * bytes_each % 2048 == 0 else stride)
    return depth + 16


# -- plans as parameters of a schedule


def _names_attr(names: Sequence[str]) -> Attribute:
    return ArrayAttr([StringAttr(name) for name in names])


def _names_of(value: Attribute) -> tuple[str, ...]:
    assert isinstance(value, ArrayAttr)
    return tuple(item.data for item in value.data if isinstance(item, StringAttr))


def encode(plan: ContractPlan, tile: tuple[int, int]) -> dict[str, Attribute]:
    """The parameters of a tile schedule; `copied` numbers the factors (in order of the pairs) that go through scratch."""
    copied = [number for number, factor in enumerate(plan.factors) if not factor.direct]
    return {
        "batch": _names_attr(plan.batch),
        "rows": _names_attr(plan.rows),
        "columns": _names_attr(plan.columns),
        "copied": DenseArrayBase.from_list(i64, copied),
        "tile": DenseArrayBase.from_list(i64, list(tile)),
    }


def ints_of(value: Attribute) -> tuple[int, ...]:
    assert isinstance(value, DenseArrayBase)
    return tuple(int(item) for item in value.get_values())


def decode(form: ContractOp, schedule: ScheduleAttr, facts: Facts) -> ContractPlan:
    """The plan that `encode` stored. Packing may have changed operands since, so nothing is decided anew."""
    params = schedule.params.data
    batch, rows, columns = (_names_of(params[key]) for key in ("batch", "rows", "columns"))
    copied = ints_of(params["copied"])
    depends = Space(form, facts).dependences(form.body.block)
    made: dict[tuple[SSAValue, bool], Factor] = {}

    def factor(value: SSAValue, along_columns: bool) -> Factor:
        key = (value, along_columns)
        if key not in made:
            made[key] = Factor(value, operands_of(form, value), along_columns, len(made) not in copied)
        return made[key]

    pairs: list[tuple[Factor, Factor]] = []
    for a, b in zip(form.product.lhs, form.product.rhs, strict=True):
        if depends[b].isdisjoint(columns):
            a, b = b, a
        pairs.append((factor(a, False), factor(b, True)))
    return ContractPlan(batch, rows, columns, tuple(pairs))

"""The plan function of a program: guards, arena size, worthwhile threads, output shapes; so that none of these needs a
compiler at run time.
"""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.builtin import IndexType, IntegerAttr
from xdsl.ir import Block, Operation, Region, SSAValue

from rlx_backends.support.boundary import THREADS
from rlx_dialects import kernel
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import AttentionOp, BufferType, ContractOp, FormOp, OutputOp, ProgramOp
from rlx_dialects.rlx import ConstraintAttr, declared_dims
from rlx_dialects.rlx.symbols import CONSTRAINTS, GUARDS

SMALL_WORK = 200_000
"""Scalar operations under which waking the team costs more than it brings (about 10 µs of one core)."""


def guards(program: ProgramOp) -> list[ConstraintAttr]:
    """What the entry checks, in the order of the manifest: stated constraints, then what the forms rely on."""
    found: list[ConstraintAttr] = []
    for key in (CONSTRAINTS, GUARDS):
        listed = program.attributes.get(key)
        found += [c for c in getattr(listed, "data", ()) if isinstance(c, ConstraintAttr)]
    return list(dict.fromkeys(found))


def work(form: FormOp) -> DimExpr:
    """Scalar operations of a form, roughly: points times ops per point."""
    points = const(1)
    for it in form.extents.values():
        points = points * it
    inner = sum(1 for region in form.regions for _ in region.walk())
    return points * (2 if isinstance(form, ContractOp | AttentionOp) else inner)


def total_work(program: ProgramOp) -> DimExpr:
    total = const(0)
    for op in program.walk():
        if isinstance(op, FormOp):
            total = total + work(op)
    return total


def plan_function(program: ProgramOp, facts: Facts) -> kernel.PlanOp:
    """`kernel.plan @rlx_<name>_plan`."""
    block = Block()

    def emit(op: Operation) -> SSAValue:
        block.add_op(op)
        return op.results[0]

    symbols = {dim.symbol.data: emit(kernel.DimOp(number)) for number, dim in enumerate(declared_dims(program))}
    symbols[THREADS] = emit(kernel.NumThreadsOp())

    def value(expr: DimExpr) -> SSAValue:
        if expr.is_const:
            return emit(arith.ConstantOp(IntegerAttr(expr.value, IndexType())))
        return emit(kernel.ApplyOp(expr, {name: symbols[name] for name in sorted(expr.symbols)}))

    for number, guard in enumerate(guards(program)):
        predicate = "sle" if guard.relation.data == "<=" else "eq"
        holds = emit(arith.CmpiOp(value(guard.lhs.data), value(guard.rhs.data), predicate))
        block.add_op(kernel.GuardOp(number, holds))
    arena = program.arena.data if program.arena is not None else const(0)
    block.add_op(kernel.PlanResultOp(0, value(arena)))
    small = emit(arith.CmpiOp(value(total_work(program)), value(const(SMALL_WORK)), "sle"))
    block.add_op(kernel.PlanResultOp(1, emit(arith.SelectOp(small, value(const(1)), symbols[THREADS]))))
    position = 2
    for op in program.block.ops:
        if isinstance(op, OutputOp):
            kind = op.result.type
            assert isinstance(kind, BufferType)
            for dim in kind.dims:
                block.add_op(kernel.PlanResultOp(position, value(facts.simplify(dim))))
                position += 1
    block.add_op(kernel.ReturnOp())
    return kernel.PlanOp(f"rlx_{program.sym_name.data}_plan", Region(block))

"""Which results of a form may lie where one of its operands lies.

A result may take an operand's place if the operand dies at the form, both are reached through maps that give the same element of
the same size at every point, and the form reads each element only for the point that writes it: the `ins` of a map or a reduce,
the `extra` of a contract. A schedule therefore stores a result's element only after its last read of the operands at that point.
"""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.ir import SSAValue

from rlx_dialects.dims import DimExpr, as_expr, const
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import AccessAttr, AllocOp, BufferType, ContractOp, FormOp, MapOp, ReduceOp, ViewOp
from rlx_dialects.rlx import dtypes
from rlx_passes.support.liveness import Access, Schedule, accesses_of

SEGMENTS: dict[type[FormOp], str] = {MapOp: "ins", ReduceOp: "ins", ContractOp: "extra"}


def view_start(value: SSAValue) -> DimExpr:
    """Elements from the start of the storage behind `value` to its own start."""
    start = const(0)
    while isinstance(value.owner, ViewOp):
        if value.owner.offset is not None:
            start = start + value.owner.offset.data
        value = value.owner.source
    return start


def place(value: SSAValue, access: AccessAttr) -> DimExpr:
    """Elements from the start of the storage behind `value` to the element that `access` reaches."""
    kind = value.type
    assert isinstance(kind, BufferType)
    return view_start(value) + kind.offset(access.exprs)


def in_place_pairs(schedule: Schedule, facts: Facts) -> dict[SSAValue, SSAValue]:
    """Result root -> operand root whose place it takes. Each operand is taken once; buffers are of equal size."""
    lifetimes = {root: schedule.lifetime(root) for root in schedule.accesses if _is_candidate(root)}
    pairs: dict[SSAValue, SSAValue] = {}
    taken: set[SSAValue] = set()
    for op, (position, _) in schedule.spans.items():
        if not isinstance(op, FormOp) or type(op) not in SEGMENTS:
            continue
        touched = list(accesses_of(op))
        for result in touched:
            span = lifetimes.get(result.root)
            if result.kind != "write" or span is None or span[0] != position or result.root in pairs:
                continue
            for operand in _candidates(op, result, touched, facts):
                ends = lifetimes.get(operand)
                if operand not in taken and ends is not None and ends[1] == position and _equal_size(operand, result.root, facts):
                    pairs[result.root] = operand
                    taken.add(operand)
                    break
    return pairs


def _is_candidate(root: SSAValue) -> bool:
    return isinstance(root.owner, AllocOp) and root.owner.per_thread is None


def _candidates(op: FormOp, result: Access, touched: list[Access], facts: Facts) -> Iterator[SSAValue]:
    """Roots read by `op` only at the element that `result` writes, where they may be."""
    writes = [a for a in touched if a.root is result.root]
    if len(writes) != 1 or result.access is None or result.access.is_whole:
        return
    inside = facts.with_iteration(op.extents)
    target = place(result.value, result.access)
    width = dtypes.bit_width(_element(result.value))
    for root in dict.fromkeys(a.root for a in touched if a.kind == "read"):
        if all(
            a.kind == "read"
            and a.segment == SEGMENTS[type(op)]
            and a.access is not None
            and not a.access.is_whole
            and not a.access.is_guarded
            and dtypes.bit_width(_element(a.value)) == width
            and inside.prove_eq(place(a.value, a.access), target) is True
            for a in touched
            if a.root is root
        ):
            yield root


def _element(value: SSAValue):
    assert isinstance(value.type, BufferType)
    return value.type.element_type


def _equal_size(a: SSAValue, b: SSAValue, facts: Facts) -> bool:
    assert isinstance(a.type, BufferType)
    assert isinstance(b.type, BufferType)
    return facts.prove_eq(as_expr(a.type.size_bytes), b.type.size_bytes) is True

"""Moving one form's region into another's: the mechanics of `lir-fuse-forms`.

Both functions take `env`, the iteration dims of the map in terms of the form it moves into, and leave every buffer but the one
between them untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from rlx_dialects.dims import DimExpr
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import (
    AccessAttr,
    AttentionOp,
    ContractOp,
    EachOp,
    FormOp,
    IndexOp,
    IterAttr,
    LayoutAttr,
    MapOp,
    ReduceOp,
    RowType,
    ViewOp,
    YieldOp,
    buffer,
)
from rlx_passes.support.accesses import buffer_type, delinearize

Env = Mapping[str, DimExpr]
Read = tuple[SSAValue, AccessAttr]


def substituted(access: AccessAttr, env: Env, facts: Facts) -> AccessAttr:
    """The access with the map's dims replaced and simplified."""
    if access.is_whole:
        return access
    return AccessAttr.get([facts.simplify(e.substitute(env)) for e in access.exprs], access.fill if access.is_guarded else None)


def clone_body(
    body: Block, args: Sequence[SSAValue], into: Block, before: Operation | None, env: Env, facts: Facts
) -> list[SSAValue]:
    """Copy a scalar block's ops before `before` (an op of `into`, or None for its end); returns what it yielded."""
    mapping: dict[SSAValue, SSAValue] = dict(zip(body.args, args, strict=True))
    for op in body.ops:
        if isinstance(op, YieldOp):
            return [mapping[v] for v in op.values]
        if isinstance(op, IndexOp):
            copy = IndexOp(facts.simplify(op.expr.data.substitute(env)))
            mapping[op.result] = copy.result
        else:
            copy = op.clone(mapping)
        copy.location = op.location
        if before is None:
            into.add_op(copy)
        else:
            into.insert_op_before(copy, before)
    raise AssertionError("a scalar block ends in lir.yield")


def rebuild(form: FormOp, ins: Sequence[Read], extra: Sequence[Read], outs: Sequence[Read], label: str | None) -> FormOp:
    """The form with other operands, its regions moved over; not inserted yet."""
    properties = {k: v for k, v in form.properties.items() if k not in ("iters", "accesses", "operandSegmentSizes", "label")}
    regions = [form.detach_region(region) for region in list(form.regions)]
    new = type(form).create_from_parts(
        [it for it in form.iters.data if isinstance(it, IterAttr)],
        [[v for v, _ in ins], [v for v, _ in extra], [v for v, _ in outs], list(form.scratch)],
        [a for _, a in (*ins, *extra, *outs)],
        properties,
        regions,
    )
    if label:
        new.label = StringAttr(label)
    new.location = form.location
    return new


def joined_label(first: FormOp, second: FormOp) -> str | None:
    names = [op.label.data for op in (first, second) if op.label is not None]
    return "+".join(names) or None


def _reads_of(form: FormOp) -> tuple[list[Read], list[Read]]:
    return list(zip(form.ins, form.in_accesses, strict=True)), list(zip(form.extra, form.extra_accesses, strict=True))


def _axes(form: FormOp) -> frozenset[str]:
    return frozenset(it.symbol.data for it in form.group("reduce"))


def _arg_type(read: Read, axes: frozenset[str]) -> Attribute:
    value, access = read
    if access.is_whole:
        return value.type
    scalar = value.type.scalar_type  # pyright: ignore[reportAttributeAccessIssue]
    return RowType(scalar) if access.symbols & axes else scalar


def inline_producer(producer: MapOp, consumer: FormOp, position: int, env: Env, facts: Facts) -> FormOp:
    """Replace read `position` of `consumer` (ins, then extra) by the producing map's reads and body.

    The producer stays: other forms may read its result.
    """
    ins, extra = _reads_of(consumer)
    in_extra = position >= len(ins)
    segment = extra if in_extra else ins
    local = position - len(ins) if in_extra else position
    reads: list[Read] = [(v, substituted(a, env, facts)) for v, a in producer.reads]

    if isinstance(consumer, AttentionOp) and not in_extra:
        # No block argument stands for query, key or value: the caller made sure that the map only moves data.
        segment[local : local + 1] = reads
    else:
        block, at = _argument_place(consumer, in_extra, local)
        axes = _axes(consumer) if isinstance(consumer, ReduceOp) else frozenset[str]()
        old = block.args[at]
        fresh = [block.insert_arg(_arg_type(read, axes), at + n) for n, read in enumerate(reads)]
        if isinstance(consumer, ReduceOp) and isinstance(old.type, RowType):
            value = _each(producer.body.block, fresh, block, block.first_op, env, facts)[0]
        else:
            value = clone_body(producer.body.block, fresh, block, block.first_op, env, facts)[0]
        old.replace_all_uses_with(value)
        block.erase_arg(old)
        segment[local : local + 1] = reads

    new = rebuild(consumer, ins, extra, consumer.writes, joined_label(producer, consumer))
    block_of = consumer.parent
    assert block_of is not None
    block_of.insert_op_before(new, consumer)
    block_of.erase_op(consumer)
    return merge_equal_reads(new)


def _argument_place(consumer: FormOp, in_extra: bool, local: int) -> tuple[Block, int]:
    if isinstance(consumer, ContractOp):
        return (consumer.epilogue.block, len(consumer.product.lhs) + local) if in_extra else (consumer.body.block, local)
    assert isinstance(consumer, MapOp | ReduceOp | AttentionOp)
    return (consumer.body.block, 1 + local if isinstance(consumer, AttentionOp) else local)


def _each(body: Block, args: Sequence[SSAValue], into: Block, before: Operation | None, env: Env, facts: Facts) -> list[SSAValue]:
    """`lir.each` over the row arguments with a copy of `body`; per-row scalars are used directly."""
    rows = [arg for arg in args if isinstance(arg.type, RowType)]
    inner = Block(arg_types=[row.type.element_type for row in rows])  # pyright: ignore[reportAttributeAccessIssue]
    elements = iter(inner.args)
    mapped = [next(elements) if isinstance(arg.type, RowType) else arg for arg in args]
    values = clone_body(body, mapped, inner, None, env, facts)
    inner.add_op(YieldOp(*values))
    each = EachOp(rows, Region(inner), [RowType(v.type) for v in values])
    if before is None:
        into.add_op(each)
    else:
        into.insert_op_before(each, before)
    return list(each.outs)


def append_epilogue(producer: ContractOp | ReduceOp, consumer: MapOp, value: SSAValue, env: Env, facts: Facts) -> FormOp:
    """Move the map that reads `producer`'s one result (as `value`) to the end of `producer`; the fused form stands where
    the map stood.
    """
    ins, extra = _reads_of(producer)
    shape = buffer_type(producer.outs[0]).dims
    others, outs = (
        [reshaped_like(v, substituted(a, env, facts), shape, consumer, facts) for v, a in reads]
        for reads in ([read for read in consumer.reads if read[0] is not value], consumer.writes)
    )
    block = producer.epilogue.block if isinstance(producer, ContractOp) else producer.body.block
    end = block.last_op
    assert isinstance(end, YieldOp)
    result = end.values[0]
    axes = _axes(producer) if isinstance(producer, ReduceOp) else frozenset[str]()
    fresh = iter([block.insert_arg(_arg_type(read, axes), len(block.args)) for read in others])
    args = [result if v is value else next(fresh) for v, _ in consumer.reads]
    if isinstance(result.type, RowType):
        values = _each(consumer.body.block, args, block, end, env, facts)
    else:
        values = clone_body(consumer.body.block, args, block, end, env, facts)
    block.insert_op_before(YieldOp(*values), end)
    block.erase_op(end)
    (extra if isinstance(producer, ContractOp) else ins).extend(others)
    new = rebuild(producer, ins, extra, outs, joined_label(producer, consumer))
    parent = consumer.parent
    assert parent is not None
    parent.insert_op_before(new, consumer)
    parent.erase_op(consumer)
    parent.erase_op(producer)
    return merge_equal_reads(new)


def reshaped_like(value: SSAValue, access: AccessAttr, dims: Sequence[DimExpr], before: Operation, facts: Facts) -> Read:
    """The same elements through a view of shape `dims` where that makes the indices free of divisions; otherwise unchanged."""
    kind = buffer_type(value)
    divided = any("floordiv" in str(e) or " mod " in str(e) for e in access.exprs)
    if not divided or access.is_guarded or isinstance(kind.layout, LayoutAttr):
        return value, access
    target = buffer(dims, kind.element_type)
    if target.elements != kind.elements:
        return value, access
    exprs = delinearize(facts.simplify(kind.offset(access.exprs)), dims, facts)
    view = ViewOp(value, target)
    view.result.name_hint = value.name_hint
    assert before.parent is not None
    before.parent.insert_op_before(view, before)
    return view.result, AccessAttr.get(exprs)


def drop_results(form: FormOp, dead: Sequence[int]) -> FormOp:
    """The form without the results at these positions."""
    block = form.epilogue.block if isinstance(form, ContractOp) else form.regions[0].block
    end = block.last_op
    assert isinstance(end, YieldOp)
    kept = [value for n, value in enumerate(end.values) if n not in dead]
    block.insert_op_before(YieldOp(*kept), end)
    block.erase_op(end)
    ins, extra = _reads_of(form)
    outs = [write for n, write in enumerate(form.writes) if n not in dead]
    new = rebuild(form, ins, extra, outs, form.label.data if form.label else None)
    parent = form.parent
    assert parent is not None
    parent.insert_op_before(new, form)
    parent.erase_op(form)
    return new


def merge_equal_reads(form: FormOp) -> FormOp:
    """Two reads of one buffer at the same place become one block argument; the later operand goes. Returns the form's
    replacement.
    """
    if isinstance(form, AttentionOp):
        return form
    ins, extra = _reads_of(form)
    for segment, in_extra in ((ins, False), (extra, True)):
        seen: dict[tuple[SSAValue, AccessAttr], SSAValue] = {}
        drop: list[int] = []
        for local, read in enumerate(segment):
            block, at = _argument_place(form, in_extra, local)
            first = seen.setdefault(read, block.args[at])
            if first is not block.args[at]:
                block.args[at].replace_all_uses_with(first)
                drop.append(local)
        for local in reversed(drop):
            block, at = _argument_place(form, in_extra, local)
            block.erase_arg(block.args[at])
            del segment[local]
        if drop:
            new = rebuild(form, ins, extra, form.writes, form.label.data if form.label else None)
            parent = form.parent
            assert parent is not None
            parent.insert_op_before(new, form)
            parent.erase_op(form)
            form = new
    return form

"""lir-pack-parameters: store weights in the layouts that the chosen schedules read.

A schedule may want an operand in another layout (`FormSchedules.packs`). Where that operand is a parameter, `@prepare` gains
a map that writes the packed copy, once per binding of weights, and `@main` reads that. One parameter packed equally for
several forms is packed once. A
derived parameter that only the packing reads becomes a temporary of `@prepare`.

Before {cpu=x86-64-v4}:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<9 x 8 x f32>
  %w = lir.param @w : !lir.buffer<32 x 8 x f32>
  %y = lir.output @y : !lir.buffer<9 x 32 x f32>
  lir.contract (m : 9, n : 32 | k : 8) ins(%x[m, k], %w[n, k]) outs(%y[m, n])
      params {schedule = [#lir.schedule<"packed" {batch = [], rows = ["m"], columns = ["n"], copied = array<i64>,
        tile = array<i64: 8, 32>, prefetch = 2 : i64, lines = 4 : i64}>]} {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%acc: f32):
    lir.yield %acc : f32
  }
      : !lir.buffer<9 x 8 x f32>, !lir.buffer<32 x 8 x f32>, !lir.buffer<9 x 32 x f32>
}
```
After:
```mlir
lir.program @prepare {
  %p = lir.packed @w.packed : !lir.buffer<8 x 32 x f32,
      #lir.layout<(a0, a1) -> (a1 floordiv 32, a0, a1 mod 32) in [1, 8, 32]>>
  %w = lir.param @w : !lir.buffer<32 x 8 x f32>
  lir.map (i0 : 8, i1 : 32) ins(%w[i1, i0]) outs(%p[i0, i1]) params {label = "pack"} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<32 x 8 x f32>, !lir.buffer<8 x 32 x f32,
      #lir.layout<(a0, a1) -> (a1 floordiv 32, a0, a1 mod 32) in [1, 8, 32]>>
}
lir.program @main {
  %x = lir.input @x : !lir.buffer<9 x 8 x f32>
  %w = lir.packed @w.packed : !lir.buffer<8 x 32 x f32,
      #lir.layout<(a0, a1) -> (a1 floordiv 32, a0, a1 mod 32) in [1, 8, 32]>>
  %y = lir.output @y : !lir.buffer<9 x 32 x f32>
  lir.contract (m : 9, n : 32 | k : 8) ins(%x[m, k], %w[k, n]) outs(%y[m, n])
      params {schedule = [#lir.schedule<"packed" {batch = [], rows = ["m"], columns = ["n"], copied = array<i64>,
        tile = array<i64: 8, 32>, prefetch = 2 : i64, lines = 4 : i64}>]} {
  ^bb0(%a: f32, %b: f32):
    lir.product (%a, %b) : f32
  } epilogue {
  ^bb0(%acc: f32):
    lir.yield %acc : f32
  }
      : !lir.buffer<9 x 8 x f32>, !lir.buffer<8 x 32 x f32,
      #lir.layout<(a0, a1) -> (a1 floordiv 32, a0, a1 mod 32) in [1, 8, 32]>>, !lir.buffer<9 x 32 x f32>
}
```

Expects: LIR with schedules. Ensures: every operand a schedule wants packed is a parameter in that layout. Numerics: exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from rlx_backends.base import Backend, Pack
from rlx_backends.registry import backend
from rlx_dialects.dims import DimExpr, as_expr, sym
from rlx_dialects.lir import (
    AccessAttr,
    AllocOp,
    BufferType,
    FormOp,
    IterAttr,
    MapOp,
    PackedOp,
    ParamOp,
    ProgramOp,
    ScheduleAttr,
    ViewOp,
    buffer,
    programs,
    root_buffer,
)
from rlx_dialects.rlx import facts_of
from rlx_passes.support.locations import location_of
from rlx_passes.support.region_builder import RegionBuilder
from rlx_runtime.errors import LowerError


@dataclass
class Packing:
    """The packed copies made so far, by what they hold."""

    module: ModuleOp
    main: ProgramOp
    prepare: ProgramOp | None
    made: dict[tuple[str, str], str] = field(default_factory=dict)

    def program(self) -> ProgramOp:
        if self.prepare is None:
            self.prepare = ProgramOp("prepare")
            self.module.body.block.insert_op_before(self.prepare, self.main)
        return self.prepare

    def source(self, leaf: ParamOp | PackedOp) -> SSAValue:
        """The parameter inside `@prepare`."""
        block = self.program().block
        name = leaf.sym_name.data
        for op in block.ops:
            if isinstance(op, type(leaf)) and op.sym_name.data == name:
                return op.result
        assert isinstance(leaf, ParamOp), "a derived parameter is made in @prepare"
        kind = leaf.result.type
        assert isinstance(kind, BufferType)
        made = ParamOp(name, kind)
        made.result.name_hint = leaf.result.name_hint
        first = block.first_op
        block.insert_op_before(made, first) if first is not None else block.add_op(made)
        return made.result

    def fresh_name(self, base: str) -> str:
        names = set(self.made.values())
        name, number = f"{base}.packed", 0
        while name in names:
            number += 1
            name = f"{base}.packed{number}"
        return name


def _views(value: SSAValue) -> list[ViewOp]:
    chain: list[ViewOp] = []
    while isinstance(value.owner, ViewOp):
        chain.append(value.owner)
        value = value.owner.source
    return chain


def pack_operand(packing: Packing, form: FormOp, pack: Pack) -> None:
    """Make the packed copy (or find it) and let `form` read it."""
    value = form.ins[pack.operand]
    access = form.in_accesses[pack.operand]
    leaf = root_buffer(value).owner
    kind = value.type
    assert isinstance(kind, BufferType)
    if not isinstance(leaf, ParamOp | PackedOp):
        raise LowerError("a schedule packs an operand that is no parameter", code="bad-pack", location=location_of(form))
    indices = [as_expr(e) for e in pack.indices]
    names = [next(iter(e.symbols)) if e.is_symbol else "" for e in indices]
    if "" in names:
        raise LowerError("a packed operand is indexed by iteration dims", code="bad-pack", location=location_of(form))
    packed_type = buffer(pack.dims, kind.element_type, pack.layout)
    # Renamed to positions, so that equal packings of one parameter are recognized whatever the form calls its dims.
    canonical: dict[str, DimExpr] = {name: sym(f"i{position}") for position, name in enumerate(names)}
    places = [e.substitute(canonical) for e in access.exprs]
    key = (leaf.sym_name.data, f"{[str(v.result.type) for v in _views(value)]} {[str(e) for e in places]} {packed_type}")
    name = packing.made.get(key)
    if name is None:
        name = packing.made[key] = packing.fresh_name(leaf.sym_name.data)
        _emit_packing(packing, leaf, _views(value), places, packed_type, name, form)
    main = packing.main.block
    target = next((op.result for op in main.ops if isinstance(op, PackedOp) and op.sym_name.data == name), None)
    if target is None:
        made = PackedOp(name, packed_type)
        made.result.name_hint = value.name_hint
        main.insert_op_before(made, leaf)
        target = made.result
    form.operands[pack.operand] = target
    accesses = list(form.accesses.data)
    accesses[pack.operand] = AccessAttr.get(indices)
    form.accesses = type(form.accesses)(accesses)


def _emit_packing(
    packing: Packing,
    leaf: ParamOp | PackedOp,
    views: list[ViewOp],
    places: list[DimExpr],
    packed_type: BufferType,
    name: str,
    form: FormOp,
) -> None:
    block = packing.program().block
    source = packing.source(leaf)
    for view in reversed(views):
        kind = view.result.type
        assert isinstance(kind, BufferType)
        copy = ViewOp(source, kind, view.offset.data if view.offset else None)
        block.add_op(copy)
        source = copy.result
    target = PackedOp(name, packed_type)
    target.result.name_hint = source.name_hint
    first = block.first_op
    assert first is not None
    block.insert_op_before(target, first)
    body = RegionBuilder([packed_type.scalar_type])
    iters = [IterAttr.get(f"i{n}", "parallel", dim) for n, dim in enumerate(packed_type.dims)]
    made = MapOp(
        iters,
        [(source, AccessAttr.get(places))],
        [(target.result, AccessAttr.get([sym(f"i{n}") for n in range(packed_type.rank)]))],
        [body.region(body.args[0])],
        label="pack",
    )
    made.location = form.location
    block.add_op(made)


def drop_unused_parameters(packing: Packing) -> None:
    """Leaves of `@main` that nobody reads since packing go; what `@prepare` made for them only becomes a temporary.

    A parameter that nothing ever read stays: callers bind it under its name.
    """
    prepared = {op.sym_name.data for op in packing.prepare.block.ops if isinstance(op, ParamOp)} if packing.prepare else set()
    for op in list(reversed(list(packing.main.block.ops))):
        if op.results and op.results[0].uses:
            continue
        if isinstance(op, ViewOp | PackedOp) or (isinstance(op, ParamOp) and op.sym_name.data in prepared):
            packing.main.block.erase_op(op)
    if packing.prepare is None:
        return
    wanted = {op.sym_name.data for op in packing.main.block.ops if isinstance(op, PackedOp)}
    for op in list(packing.prepare.block.ops):
        if isinstance(op, PackedOp) and op.sym_name.data not in wanted:
            kind = op.result.type
            assert isinstance(kind, BufferType)
            alloc = AllocOp(kind)
            alloc.result.name_hint = op.result.name_hint
            packing.prepare.block.insert_op_before(alloc, op)
            op.result.replace_all_uses_with(alloc.result)
            packing.prepare.block.erase_op(op)


def pack_program(packing: Packing, chosen: Backend, target: object) -> None:
    facts = facts_of(packing.main)
    for form in [op for op in packing.main.walk() if isinstance(op, FormOp)]:
        if form.schedule is None:
            continue
        schedules = chosen.schedules(form)
        wanted: dict[int, Pack] = {}
        for entry in form.schedule.data:
            assert isinstance(entry, ScheduleAttr)
            for pack in schedules.packs(form, entry, target, facts):
                if wanted.setdefault(pack.operand, pack) != pack:
                    raise LowerError(
                        f"the schedules of one '{form.name}' want operand {pack.operand} in different layouts",
                        code="bad-pack",
                        location=location_of(form),
                    )
        for pack in wanted.values():
            pack_operand(packing, form, pack)
    drop_unused_parameters(packing)


@dataclass(frozen=True)
class LirPackParametersPass(ModulePass):
    """`target` names the backend, `cpu` and `features` its machine (default: the host)."""

    name = "lir-pack-parameters"

    target: str = "cpu"
    cpu: str = ""
    features: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        chosen = backend(self.target)
        machine = chosen.target({"cpu": self.cpu, "features": self.features})
        found = {program.sym_name.data: program for program in programs(op)}
        if "main" in found:
            pack_program(Packing(op, found["main"], found.get("prepare")), chosen, machine)

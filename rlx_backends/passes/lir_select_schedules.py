"""lir-select-schedules: decide how each form runs on the target, before memory is planned.

The backend's schedule module of each form gives up to four `(condition, schedule)` pairs and the scratch they need.
`lir.copy` becomes a map, so that it runs and is scheduled like everything else. Schedules already on a form stay: that is how
they are forced.

Before {cpu=x86-64-v4}:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  lir.copy %x to %y : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
}
```
After:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  lir.map (i0 : 4) ins(%x[i0]) outs(%y[i0])
      params {schedule = [#lir.schedule<"vector" {dim = "i0", lanes = 4 : i64}>], label = "copy"} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
}
```

Expects: LIR before planning. Ensures: every form has schedules and its scratch. Numerics: exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, NoneAttr
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from rlx_backends.base import Backend
from rlx_backends.registry import backend
from rlx_dialects.dims import sym
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import AccessAttr, AllocOp, BufferType, CopyOp, FormOp, IterAttr, MapOp, ProgramOp, buffer, programs
from rlx_dialects.rlx import dtypes, facts_of
from rlx_passes.support.locations import location_of
from rlx_passes.support.region_builder import RegionBuilder
from rlx_runtime.errors import LowerError

MAX_SCHEDULES = 4


def copy_as_map(op: CopyOp, facts: Facts) -> MapOp:
    """An identity map over the copied shape."""
    kind = op.source.type
    assert isinstance(kind, BufferType)
    names = [name for name in (f"i{n}" for n in range(kind.rank + len(facts.symbols))) if name not in facts.symbols][: kind.rank]
    body = RegionBuilder([kind.scalar_type])
    access = AccessAttr.get([sym(name) for name in names])
    iters = [IterAttr.get(name, "parallel", dim) for name, dim in zip(names, kind.dims, strict=True)]
    made = MapOp(iters, [(op.source, access)], [(op.target, access)], [body.region(body.args[0])], label="copy")
    made.location = op.location
    return made


def select(form: FormOp, chosen: Backend, target: object, facts: Facts) -> FormOp:
    """Give `form` its schedules and scratch; returns the form that replaces it."""
    schedules = chosen.schedules(form)
    if form.schedule is None:
        pairs = list(schedules.choose(form, target, facts))
        if not pairs or len(pairs) > MAX_SCHEDULES or not isinstance(pairs[-1].condition, NoneAttr):
            raise LowerError(
                f"target '{chosen.name}' gives {len(pairs)} schedules for '{form.name}'; "
                f"it needs 1 to {MAX_SCHEDULES}, the last unconditional",
                code="bad-schedules",
                location=location_of(form),
            )
        form.schedule = ArrayAttr(pairs)
    scratch = [need for entry in form.schedule.data for need in schedules.scratch(form, entry, target, facts)]  # pyright: ignore[reportArgumentType]
    if not scratch:
        return form
    block = form.parent
    assert block is not None
    buffers = []
    for need in scratch:
        alloc = AllocOp(buffer((need.elements,), need.element_type), per_thread=need.per_thread)
        alloc.result.name_hint = "scratch"
        alloc.location = form.location
        block.insert_op_before(alloc, form)
        buffers.append(alloc.result)
    properties = {k: v for k, v in form.properties.items() if k not in ("iters", "accesses", "operandSegmentSizes")}
    regions = [form.detach_region(region) for region in list(form.regions)]
    made = type(form).create_from_parts(
        list(form.iters.data),  # pyright: ignore[reportArgumentType]
        [list(form.ins), list(form.extra), list(form.outs), [*form.scratch, *buffers]],
        list(form.accesses.data),  # pyright: ignore[reportArgumentType]
        properties,
        regions,
    )
    made.location = form.location
    block.insert_op_before(made, form)
    block.erase_op(form)
    return made


def refuse_packed_elements(op: Operation, chosen: Backend) -> None:
    """Kernels reach bytes: a buffer of i4, two to a byte, is for `numpy` alone so far."""
    for value in op.results:
        if isinstance(value.type, BufferType) and dtypes.dtype_name(value.type.element_type) == "i4":
            raise LowerError(
                f"target '{chosen.name}' has no kernels for i4",
                code="dtype",
                location=location_of(op),
                hint="hold the values in i8, or run on target 'numpy'",
            )


def select_in_program(program: ProgramOp, chosen: Backend, target: object) -> None:
    facts = facts_of(program)
    for op in list(program.walk()):
        refuse_packed_elements(op, chosen)
        if isinstance(op, CopyOp):
            assert op.parent is not None
            made = copy_as_map(op, facts)
            op.parent.insert_op_before(made, op)
            op.parent.erase_op(op)
            op = made
        if isinstance(op, FormOp):
            select(op, chosen, target, facts)


@dataclass(frozen=True)
class LirSelectSchedulesPass(ModulePass):
    """`target` names the backend, `cpu` and `features` its machine (default: the host); `program` limits it to the program of
    that name.
    """

    name = "lir-select-schedules"

    target: str = "cpu"
    cpu: str = ""
    features: str = ""
    program: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        chosen = backend(self.target)
        machine = chosen.target({"cpu": self.cpu, "features": self.features})
        for program in programs(op):
            if self.program not in ("", program.sym_name.data):
                continue
            select_in_program(program, chosen, machine)

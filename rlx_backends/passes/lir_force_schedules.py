"""lir-force-schedules: put given schedules on forms, so that selection keeps them.

Selection decides by a cost model; a tuning record or a user who knows better says otherwise here. A form is named by its
label or by one of the op names its label joins. A name that no form of `@main` carries is an error: a forced schedule must
not be lost in silence.

Before {forced="copy=#lir.schedule<\\"slow\\">"}:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  lir.map (i : 4) ins(%x[i]) outs(%y[i]) params {label = "copy"} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
}
```
After:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  lir.map (i : 4) ins(%x[i]) outs(%y[i]) params {schedule = [#lir.schedule<"slow">], label = "copy"} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
}
```

Expects: LIR before planning. Ensures: the named forms have exactly the given schedule. Numerics: exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.parser import Parser
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import ParseError as XdslParseError

from rlx_dialects.lir import FormOp, ScheduleAttr, programs
from rlx_runtime.errors import LowerError


def parse_schedule(ctx: Context, text: str) -> ScheduleAttr:
    """`#lir.schedule<…>`; LowerError if the text is something else."""
    try:
        found = Parser(ctx, text).parse_attribute()
    except XdslParseError as error:
        raise LowerError(f"forced schedule '{text}' does not parse: {error.msg}", code="bad-schedule") from None
    if not isinstance(found, ScheduleAttr):
        raise LowerError(f"forced schedule '{text}' is no #lir.schedule", code="bad-schedule")
    return found


@dataclass(frozen=True)
class LirForceSchedulesPass(ModulePass):
    """`forced` holds `label=#lir.schedule<…>` for each form to force."""

    name = "lir-force-schedules"

    forced: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main = [p for p in programs(op) if p.sym_name.data == "main"]
        forms = [form for program in main for form in program.walk() if isinstance(form, FormOp) and form.label is not None]
        for entry in self.forced:
            label, _, text = entry.partition("=")
            schedule = parse_schedule(ctx, text)
            named = [f for f in forms if f.label and (f.label.data == label or label in f.label.data.split("+"))]
            if not named:
                known = ", ".join(sorted({f.label.data for f in forms if f.label}))
                message = f"no form is labelled '{label}' to force a schedule on"
                raise LowerError(message, code="bad-schedule", hint=f"labels: {known}")
            for form in named:
                form.schedule = ArrayAttr([schedule])

"""convert-lir-to-kernel: apply each form's schedule, and make the program's native entry.

Every form becomes a `kernel.func`; forms of equal structure share one. A program becomes `kernel.entry @rlx_<name>`, which
computes every buffer's place and runs the schedule with barriers where data dependencies need one, and `kernel.plan
@rlx_<name>_plan`, which checks guards and computes
sizes. Both read the call structure of ARCHITECTURE.md; the order of buffers and dims is that of the manifest.

Before:
```mlir
lir.program @main arena(0) attributes {rlx.dims = [#rlx.dim<B in [1, 4]>]} {
  %x = lir.input @x : !lir.buffer<B x f32>
  %y = lir.output @y : !lir.buffer<B x f32>
  lir.map (i : B) ins(%x[i]) outs(%y[i]) params {schedule = […]} {…}
}
```
After:
```mlir
kernel.func @map_0(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %B: index) {…}
kernel.entry @rlx_main {
  %x = kernel.buffer 0 : !kernel.ptr<f32, global>
  %y = kernel.buffer 1 : !kernel.ptr<f32, global>
  %B = kernel.dim 0
  kernel.call @map_0(%x, %y, %B) : (…) -> ()
  kernel.return
}
kernel.plan @rlx_main_plan {…}
```

Expects: planned LIR with schedules. Ensures: only kernel functions at top level. Numerics: as the schedules say.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from rlx_backends.registry import backend
from rlx_backends.support.entry import EntryWriter
from rlx_backends.support.kernel_cache import KernelCache
from rlx_backends.support.plan_function import plan_function
from rlx_dialects.lir import programs
from rlx_dialects.rlx import facts_of


@dataclass(frozen=True)
class ConvertLirToKernelPass(ModulePass):
    """`target` names the backend, `cpu` and `features` its machine (default: the host)."""

    name = "convert-lir-to-kernel"

    target: str = "cpu"
    cpu: str = ""
    features: str = ""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        chosen = backend(self.target)
        machine = chosen.target({"cpu": self.cpu, "features": self.features})
        kernels = KernelCache(chosen, machine)
        made = []
        for program in programs(op):
            facts = facts_of(program)
            made.append(EntryWriter(program, facts, kernels).write())
            made.append(plan_function(program, facts))
        block = op.body.block
        for program in programs(op):
            block.erase_op(program)
        block.add_ops([*kernels.functions, *made])

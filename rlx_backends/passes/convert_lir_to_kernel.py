"""convert-lir-to-kernel: apply each form's schedule, and make the program's native entry.

Every form becomes a `kernel.func`; forms of equal structure share one. A program becomes `kernel.entry @rlx_<name>`, which
computes every buffer's place and runs the schedule with barriers where data dependencies need one, and `kernel.plan
@rlx_<name>_plan`, which checks guards and computes
sizes. Both read the call structure of ARCHITECTURE.md; the order of buffers and dims is that of the manifest.

Before {cpu=x86-64-v4}:
```mlir
lir.program @main {
  %x = lir.input @x : !lir.buffer<4 x f32>
  %y = lir.output @y : !lir.buffer<4 x f32>
  lir.map (i0 : 4) ins(%x[i0]) outs(%y[i0]) params {schedule = [#lir.schedule<"vector" {dim = "i0", lanes = 4 : i64}>]} {
  ^bb0(%0: f32):
    lir.yield %0 : f32
  } : !lir.buffer<4 x f32>, !lir.buffer<4 x f32>
}
```
After:
```mlir
kernel.func @map_0(%0: !kernel.ptr<f32, global>, %1: !kernel.ptr<f32, global>) {
  %2 = arith.constant 1 : index
  %3 = arith.constant 4 : index
  %4 = arith.constant 0 : index
  %5, %6 = kernel.partition %2 unit 1
  scf.for %7 = %5 to %6 step %2 {
    %8 = kernel.load %0[%4] : !kernel.ptr<f32, global> -> vector<4xf32>
    kernel.store %8, %1[%4] : vector<4xf32>, !kernel.ptr<f32, global>
  }
  kernel.return
}
kernel.entry @rlx_main {
  %0 = kernel.num_threads
  %x = kernel.buffer 0 : !kernel.ptr<f32, global>
  %y = kernel.buffer 1 : !kernel.ptr<f32, global>
  kernel.call @map_0(%x, %y) : (!kernel.ptr<f32, global>, !kernel.ptr<f32, global>) -> ()
  kernel.return
}
kernel.plan @rlx_main_plan {
  %0 = kernel.num_threads
  %1 = arith.constant 0 : index
  kernel.plan_result 0, %1
  %2 = arith.constant 4 : index
  %3 = arith.constant 200000 : index
  %4 = arith.cmpi sle, %2, %3 : index
  %5 = arith.constant 1 : index
  %6 = arith.select %4, %5, %0 : index
  kernel.plan_result 1, %6
  %7 = arith.constant 4 : index
  kernel.plan_result 2, %7
  kernel.return
}
```

Expects: planned LIR with schedules. Ensures: only kernel functions at top level. Numerics: as the schedules say.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from rlx_backends.registry import backend
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
        writer, builder = chosen.entry_writer, chosen.kernel_builder
        kernels = KernelCache(chosen, machine, builder)
        made = []
        for program in programs(op):
            facts = facts_of(program)
            made.append(writer(program, facts, kernels).write())
            made.append(plan_function(program, facts))
        block = op.body.block
        for program in programs(op):
            block.erase_op(program)
        block.add_ops([*kernels.functions, *made])

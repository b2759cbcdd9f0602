"""From the kernels of a module to an object for the host."""

from __future__ import annotations

from dataclasses import replace

import llvmlite.binding as llvm
from xdsl.dialects.builtin import ModuleOp

from rlx_backends.cpu import compile as native
from rlx_backends.cpu.emit import emission, outer_dot
from rlx_backends.cpu.target import CpuTarget, host
from rlx_backends.gpu.simulator import launcher
from rlx_backends.gpu.simulator.checks import guard_accesses
from rlx_backends.gpu.simulator.copies import COPIES
from rlx_backends.gpu.simulator.fragments import hold_fragments
from rlx_backends.gpu.simulator.handlers import handlers
from rlx_backends.gpu.simulator.math import expand_math
from rlx_backends.gpu.simulator.scheduler import SCHEDULER
from rlx_backends.gpu.simulator.threads import Simulation
from rlx_backends.llvm import emit_module, objects
from rlx_backends.support import cache_folder
from rlx_dialects.gpu.ops import KernelOp
from rlx_dialects.kernel.vector import OuterDotOp

LEVEL = 1
"""LLVM's pipeline: it must run, as it splits the coroutines, and it makes loops of threads fast."""


def kernel_text(module: ModuleOp, target: CpuTarget, checked: bool) -> str:
    """LLVM IR text of all kernels of `module`, before any pass of LLVM's."""
    kernels = ModuleOp([op.clone() for op in module.body.block.ops if isinstance(op, KernelOp)])
    expand_math(kernels)
    simulation = Simulation(checked, hold_fragments(kernels))
    table = {OuterDotOp: outer_dot, **handlers(simulation)}
    if checked:
        table |= guard_accesses(kernels, simulation)
    text = emit_module(kernels, replace(emission(target), handlers=table, context="", context_ops=()))
    parts = [text, simulation.sites_text(), launcher.table(simulation.names), SCHEDULER]
    return "\n".join([*parts, COPIES] if "@sim.copies." in text else parts)


def compile_kernels(module: ModuleOp, *, checked: bool = True, target: CpuTarget | None = None) -> bytes:
    """The object `device.sim.o`: a launcher for each `X.kernel` of the module, found through the table `sim_kernels`.

    `int32 launcher(u32 grid x, y, z, u32 block x, y, z, void** params, context*)` runs the whole grid and returns 0 or the code
    of the report in the context (`layout`). With `checked`, each access is checked against the memory it may touch and the
    alignment it was promised. Objects are kept in the cache. LowerError if an op of a kernel cannot be simulated.
    """
    target = target or host()
    text = kernel_text(module, target, checked)
    if not cache_folder.enabled():
        return _compile(text, target)
    key = objects.object_key(f"; simulator, passes {LEVEL}\n{text}", native.machine(target))
    cached = objects.read_cached(key)
    if cached is None:
        cached = _compile(text, target)
        objects.write_cached(key, cached)
    return cached


def _compile(text: str, target: CpuTarget) -> bytes:
    module, machine = native.parse(text, target), native.target_machine(target)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=LEVEL))
    passes.getModulePassManager().run(module, passes)
    return machine.emit_object(module)


__all__ = ["compile_kernels", "kernel_text"]

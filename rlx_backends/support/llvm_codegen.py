"""LLVM text through LLVM's optimizer and code generator. It runs in a worker: LLVM ends its process where it finds no way.

Nothing here imports the IR, so that a worker starts quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import llvmlite.binding as llvm

OUTPUTS = ("llvm", "assembly", "object")


@dataclass(frozen=True)
class Machine:
    """What code is generated for: triple, LLVM's name of the architecture, features, kind of addresses."""

    triple: str
    cpu: str
    features: str = ""
    reloc: str = "default"

    @property
    def key(self) -> str:
        """What the code depends on besides its text."""
        version = ".".join(map(str, llvm.llvm_version_info))
        return "\0".join(("llvm", version, self.triple, self.cpu, self.features, self.reloc))


def generate(text: str, machine: Machine, outputs: Sequence[str]) -> dict[str, bytes]:
    """Optimize a module and emit it as each of `outputs`; RuntimeError if LLVM does not accept the text."""
    target = _target_machine(machine)
    module = llvm.parse_assembly(f'target datalayout = "{target.target_data}"\n{text}')
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    # A thread is a lane already: its code stays scalar, but for the vectors that are in the text.
    options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(target, options)
    builder.getModulePassManager().run(module, builder)
    optimized = module.as_bitcode()
    made: dict[str, bytes] = {}
    for output in outputs:
        fresh = llvm.parse_bitcode(optimized)  # emitting changes a module
        if output == "object":
            made[output] = target.emit_object(fresh)
        else:
            made[output] = (str(fresh) if output == "llvm" else target.emit_assembly(fresh)).encode()
    return made


@lru_cache(maxsize=8)
def _target_machine(machine: Machine) -> llvm.TargetMachine:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(machine.triple).create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=3, reloc=machine.reloc
    )

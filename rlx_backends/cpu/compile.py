"""LLVM text to an object file for a CPU, or to readable assembly; `rlx_backends.llvm.objects` does the work."""

from __future__ import annotations

import llvmlite.binding as llvm

from rlx_backends.cpu.target import CpuTarget
from rlx_backends.llvm import objects
from rlx_backends.llvm.objects import DEFAULT_LEVEL


def machine(target: CpuTarget, level: int = DEFAULT_LEVEL) -> objects.Machine:
    """The CPU as LLVM knows it."""
    return objects.host_machine(target.name, target.feature_text, level)


def target_machine(target: CpuTarget, level: int = DEFAULT_LEVEL) -> llvm.TargetMachine:
    return objects.target_machine(machine(target, level))


def parse(text: str, target: CpuTarget) -> llvm.ModuleRef:
    """The module of an LLVM text, verified. LowerError quotes LLVM's complaint: it means that the emitter is wrong."""
    return objects.parse(text, machine(target))


def compile_text(text: str, target: CpuTarget, level: int = DEFAULT_LEVEL) -> bytes:
    """The object file of an LLVM text, from the cache if it is there."""
    return objects.compile_text(text, machine(target, level))


def assembly(text: str, target: CpuTarget, level: int = DEFAULT_LEVEL) -> str:
    """The machine code of an LLVM text in readable form."""
    return objects.assembly(text, machine(target, level))

"""How the lanes of a subgroup hand each other values: everyone writes to slots, waits for the others, and reads."""

from __future__ import annotations

from xdsl.ir import Operation

from rlx_backends.gpu.simulator.threads import Simulation
from rlx_backends.llvm.function import FunctionEmitter
from rlx_backends.llvm.values import SIZES


def lane_of(sim: Simulation, f: FunctionEmitter) -> str:
    return f.emit(f"urem i64 %thread, {sim.lanes}")


def whole_subgroups(sim: Simulation, f: FunctionEmitter, op: Operation) -> None:
    """LowerError if the block ends in a part of a subgroup: on no GPU can lanes that do not exist take part."""
    if sim.threads % sim.lanes:
        raise f.error(op, f"takes whole subgroups of {sim.lanes}, but the block has {sim.threads} threads")


def exchange(sim: Simulation, f: FunctionEmitter, op: Operation, type_: str, register: str) -> str:
    """Hand a register to the subgroup and wait: the address of what all lanes gave, one after another.

    Lanes read it before they come to the next collective op but one, so two sets of slots are enough.
    """
    whole_subgroups(sim, f, op)
    slots = sim.load_word(f, "slots", "ptr")
    f.line(f"store {type_} {register}, ptr {f.address(slots, type_, lane_of(sim, f))}, align {SIZES[type_]}")
    sim.suspend(f, op, whole_block=False)
    return slots

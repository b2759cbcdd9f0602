"""From instructions to steps: places data, decodes every instruction once."""

from __future__ import annotations

import re

import numpy as np

from rlx_runtime.emulators.gcn import access, scalar
from rlx_runtime.emulators.gcn.convert import convert
from rlx_runtime.emulators.gcn.lanes import LANES
from rlx_runtime.emulators.gcn.matrix import matrix
from rlx_runtime.emulators.gcn.operands import Context, Register
from rlx_runtime.emulators.gcn.parse import Program
from rlx_runtime.emulators.gcn.vector import decode
from rlx_runtime.emulators.gcn.vector_float import TABLE as FLOATS
from rlx_runtime.emulators.gcn.vector_integer import TABLE as INTEGERS
from rlx_runtime.emulators.gcn.waves import ACCUMULATORS, VCC, Waves
from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.memory import DeviceMemory

_VECTOR = {**INTEGERS, **FLOATS}


def place_variables(program: Program, memory: DeviceMemory) -> dict[str, int]:
    """Device memory for the module's variables, with what they start with."""
    symbols: dict[str, int] = {}
    for name, (_align, content) in program.data.items():
        if name.endswith(".kd") or not content:
            continue
        symbols[name] = memory.alloc(len(content))
        memory.write(symbols[name], np.frombuffer(bytes(content), np.uint8))
    return symbols


def link(program: Program, symbols: dict[str, int]) -> tuple[list[Step], list[tuple[int, str]]]:
    """Steps and lines of the whole code of a module."""
    places = {place: name for name, place in program.labels.items() if not name.startswith(".")}
    steps: list[Step] = []
    lines: list[tuple[int, str]] = []
    c = Context("module", program.generation, program.lanes, program.labels, symbols, target_name=program.target)
    for place, instruction in enumerate(program.code):
        c.function = places.get(place, c.function)
        c.instruction = instruction
        steps.append(step_of(c))
        lines.append((instruction.line, instruction.text))
    return steps, lines


def step_of(c: Context) -> Step:
    """One instruction's step; EmulationError "unknown-instruction"."""
    name = c.instruction.name
    step: Step | None
    if name == "implicit":
        step = implicit(c)
    elif name in LANES:
        step = LANES[name](c)
    elif name.startswith("s_load_"):
        step = access.scalar_load(c)
    elif name.startswith("s_") or name.startswith("v_s_"):
        step = scalar.decode(c)
    elif name.startswith(("v_mfma", "v_wmma")):
        step = matrix(c)
    elif name.startswith("v_"):
        step = convert(c) or decode(c, _VECTOR)
    elif name.startswith("ds_"):
        step = access.shared_access(c) or access.atomic(c)
    else:
        step = access.nothing(c) or access.vector_access(c) or access.atomic(c)
    if step is None:
        raise c.unknown()
    return step


def implicit(c: Context) -> Step:
    """The compiler says that these registers hold nothing of use: they are written, with poison."""
    found: list[Register] = []
    for name in re.findall(r"(?:vgpr|sgpr|agpr)\d+|vcc\w*|scc", c.instruction.operands[0].lower()):
        match = re.fullmatch(r"(v|s|a)gpr(\d+)", name)
        if match:
            file = "s" if match[1] == "s" else "v"
            found.append(Register(file, int(match[2]) + (ACCUMULATORS if match[1] == "a" else 0), 1))
        elif name.startswith("vcc"):
            found += [Register("s", VCC, 1), Register("s", VCC + 1, 1)]

    def step(m: Waves) -> None:
        for r in found:
            if r.file == "v":
                m.write_vector(r.number, np.asarray(0xFFFFFFFF, np.uint32))
            elif m.scalar_defined[r.number] is None:
                m.write_scalar(r.number, np.uint32(0xFFFFFFFF))

    return step

"""The driver that runs AMDGCN assembly on the interpreter."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from rlx_runtime.emulators.driver import EmulatedDriver, Kernel
from rlx_runtime.emulators.gcn.link import link, place_variables
from rlx_runtime.emulators.gcn.parse import Program, parse
from rlx_runtime.emulators.gcn.waves import Code, Launch, Waves
from rlx_runtime.errors import RuntimeFault

CHUNK = 8192
"""Threads that run at once, in whole blocks."""


@dataclass
class _Module:
    program: Program
    symbols: dict[str, int]
    kernels: dict[str, Code] = field(default_factory=dict)


class GcnDriver(EmulatedDriver):
    """Runs the assembly text of a module for gfx90a, gfx942, gfx1100, gfx1201 and their kin."""

    name = "rocm"
    device = "AMDGCN interpreter"

    def _parse(self, text: str) -> _Module:
        program = parse(text)
        module = _Module(program, place_variables(program, self.memory))
        steps, lines = link(program, module.symbols)
        for name, kernel in program.kernels.items():
            start = program.labels[name]
            module.kernels[name] = Code(
                name, program.generation, program.lanes, steps, lines, start, kernel.settings, kernel.threads
            )
        return module

    def _release(self, module: _Module) -> None:
        for address in module.symbols.values():
            self.memory.free(address)

    def _kernel(self, module: _Module, name: str) -> Kernel:
        code, kernel = module.kernels[name], module.program.kernels[name]
        params = [(a.offset, a.size) for a in kernel.arguments if not a.kind.startswith("hidden")]
        return Kernel(name, (code, kernel), params, max(kernel.settings.get("kernarg_size", 0), 4))

    def _run(self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], shared: int, params: int) -> None:
        code, described = kernel.code
        threads = block[0] * block[1] * block[2]
        if threads > code.threads:
            raise RuntimeFault(f"{kernel.name} runs at most {code.threads} threads in a block, not {threads}", code="device")
        for argument in described.arguments:
            value = _hidden(argument.kind, grid, block, shared)
            if value is not None:
                raw = np.frombuffer(value.to_bytes(argument.size, "little"), np.uint8)
                self.memory.write(params + argument.offset, raw)
        launch = Launch((grid[0], grid[1], grid[2]), (block[0], block[1], block[2]), shared, self.memory, params)
        if code.settings.get("user_sgpr_dispatch_ptr"):
            launch.dispatch = self._packet(grid, block)
        total = grid[0] * grid[1] * grid[2]
        step = max(1, CHUNK // threads)
        try:
            for first in range(0, total, step):
                Waves(code, launch, np.arange(first, min(first + step, total)), self.serial).run()
        finally:
            if launch.dispatch:
                self.memory.free(launch.dispatch)

    def _packet(self, grid: tuple[int, ...], block: tuple[int, ...]) -> int:
        """A kernel dispatch packet (HSA): the sizes of the block at byte 4, of the grid in threads at byte 12."""
        packet = np.zeros(64, np.uint8)
        packet[4:10] = np.array(block, np.uint16).view(np.uint8)
        packet[12:24] = np.array([a * b for a, b in zip(grid, block)], np.uint32).view(np.uint8)
        address = self.memory.alloc(64)
        self.memory.write(address, packet)
        return address


def _hidden(kind: str, grid: tuple[int, ...], block: tuple[int, ...], shared: int) -> int | None:
    """The value of an argument that the compiler added; None for those of the caller."""
    if not kind.startswith("hidden_"):
        return None
    name, _, axis = kind.removeprefix("hidden_").rpartition("_")
    place = "xyz".find(axis)
    if name == "block_count" and place >= 0:
        return grid[place]
    if name == "group_size" and place >= 0:
        return block[place]
    if kind == "hidden_grid_dims":
        return 3 if grid[2] * block[2] > 1 else 2 if grid[1] * block[1] > 1 else 1
    return shared if kind == "hidden_dynamic_lds_size" else 0


@cache
def open_driver() -> GcnDriver:
    """The interpreter of this process."""
    return GcnDriver()

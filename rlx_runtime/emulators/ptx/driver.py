"""The driver that runs PTX on the interpreter."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from rlx_runtime.emulators.driver import EmulatedDriver, Kernel
from rlx_runtime.emulators.ptx.link import link, place_variables
from rlx_runtime.emulators.ptx.parse import Program, parse
from rlx_runtime.emulators.ptx.threads import Code, Launch, Threads
from rlx_runtime.errors import RuntimeFault

CHUNK = 8192
"""Threads that run at once, in whole blocks: enough that NumPy's work outweighs Python's, few enough for caches."""


@dataclass
class _Module:
    program: Program
    symbols: dict[str, tuple[str, int]]
    kernels: dict[str, tuple[Code, int]] = field(default_factory=dict)


class PtxDriver(EmulatedDriver):
    """Runs `device.ptx`."""

    name = "cuda"
    device = "PTX interpreter"

    def _parse(self, text: str) -> _Module:
        program = parse(text)
        module = _Module(program, place_variables(program, self.memory))
        for name, function in program.functions.items():
            if function.entry:
                module.kernels[name] = link(program, name, module.symbols)
        return module

    def _release(self, module: _Module) -> None:
        for _space, address in module.symbols.values():
            self.memory.free(address)

    def _kernel(self, module: _Module, name: str) -> Kernel:
        code, start = module.kernels[name]
        return Kernel(name, (code, start), code.params, code.params_bytes)

    def _run(self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], shared: int, params: int) -> None:
        code, start = kernel.code
        threads = block[0] * block[1] * block[2]
        if threads > code.threads:
            raise RuntimeFault(f"{kernel.name} runs at most {code.threads} threads in a block, not {threads}", code="device")
        launch = Launch((grid[0], grid[1], grid[2]), (block[0], block[1], block[2]), shared, self.memory, params)
        total = grid[0] * grid[1] * grid[2]
        step = max(1, CHUNK // threads)
        for first in range(0, total, step):
            machine = Threads(code, launch, np.arange(first, min(first + step, total)), self.serial)
            machine.pc[:] = start
            machine.run()


@cache
def open_driver() -> PtxDriver:
    """The interpreter of this process."""
    return PtxDriver()

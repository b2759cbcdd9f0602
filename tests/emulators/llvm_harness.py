"""LIR programs on the way of targets cuda and rocm, their kernels interpreted as the text that LLVM writes for the device.

`run_form` is the launch simulator's `run_form` with that text in between. Every test runs once with all blocks in step and once
with one subgroup of each block at a time; both must give the same bits.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from rlx_backends.numpy.lir_executor import run_lir
from rlx_backends.registry import backend
from rlx_dialects.gpu import KernelOp
from rlx_runtime.emulators.driver import LAUNCH, EmulatedDriver
from rlx_runtime.emulators.gcn import GcnDriver
from rlx_runtime.emulators.ptx import PtxDriver
from tests.backends.gpu.harness import Compiled, Device, ProgramRun, compare, compile_program, parse

DRIVERS = {"cuda": PtxDriver, "rocm": GcnDriver}
STAGES = {"cuda": "ptx", "rocm": "amdgcn"}
ARCHITECTURES = {"cuda": "sm_90a", "rocm": "gfx942"}


@lru_cache(maxsize=8)
def driver(dialect: str, serial: bool) -> EmulatedDriver:
    return DRIVERS[dialect](serial)


@lru_cache(maxsize=256)
def _loaded(text: str, dialect: str, serial: bool) -> int:
    return driver(dialect, serial).load(text.encode())


def device_text(module: ModuleOp, arch: str = "") -> str:
    """What LLVM writes for the kernels of a module."""
    op = next(op for op in module.body.block.ops if isinstance(op, KernelOp))
    made = backend(op.dialect)
    return made.text(STAGES[op.dialect], module, made.target({"cpu": arch or op.arch}), {})  # pyright: ignore[reportAttributeAccessIssue]


class TextDevice(Device):
    """A module of kernels, through the text of the device."""

    def __init__(self, source: ModuleOp | str, *, serial: bool = False, text: str | None = None):
        self.module = parse(source) if isinstance(source, str) else source
        self.kernels = {op.sym_name.data: op for op in self.module.body.block.ops if isinstance(op, KernelOp)}
        self.text = text or (device_text(self.module) if self.kernels else "")
        dialect = next(iter(self.kernels.values())).dialect if self.kernels else "cuda"
        self.driver = driver(dialect, serial)
        self.loaded = _loaded(self.text, dialect, serial) if self.kernels else 0
        call = LAUNCH(self.driver.launch_address)

        def launch(*arguments: Any) -> int:
            *front, params, extra = arguments
            return call(*front, ctypes.cast(params, ctypes.POINTER(ctypes.c_void_p)), extra)

        self._launch = launch

    def launch(self, name: str, grid: Sequence[int], arguments: Sequence[int]) -> None:
        # Shared memory of these kernels is static: the driver adds none.
        static = self.kernels[name].shared_bytes
        assert static >= 0
        function = self.driver.function(self.loaded, name, static)
        words = (ctypes.c_int64 * max(1, len(arguments)))(*arguments)
        base = ctypes.addressof(words)
        params = (ctypes.c_void_p * max(1, len(arguments)))(*(base + 8 * n for n in range(len(arguments))))
        extents = [*grid, 1, 1, 1][:3]
        code = self._launch(function, *extents, *self.kernels[name].block, 0, None, ctypes.addressof(params), None)
        assert code == 0, self.driver.explain(code)


class _Run(ProgramRun):
    text = ""

    def make_device(self) -> Device:
        return TextDevice(self.compiled.module, serial=self.reverse, text=self.text)


@lru_cache(maxsize=256)
def compiled_text(source: str, target: str, schedule: str | None, arch: str) -> tuple[Compiled, str]:
    compiled = compile_program(source, target, schedule)
    return compiled, device_text(compiled.module, arch)


def run_form(
    source: str,
    arrays: Mapping[str, np.ndarray],
    dims: Mapping[str, int] | None = None,
    *,
    target: str = "cuda",
    schedule: str | None = None,
    arch: str = "",
    rtol: float = 2e-6,
    kinds: Sequence[str] | None = None,
    exact_order: bool = True,
    serial: bool = True,
) -> dict[str, np.ndarray]:
    """Run an LIR program with the schedules of `target` as text of `arch` and compare with the NumPy executor in float64.

    `serial`: also with one subgroup of each block at a time, to the same bits if `exact_order`.
    """
    dims = dict(dims or {})
    compiled, text = compiled_text(source, target, schedule, arch)
    if kinds is not None:
        assert compiled.kinds == list(kinds), f"{compiled.kinds} were chosen"
    expected = run_lir(parse(source), arrays, dims, precision="f64")
    first: dict[str, np.ndarray] | None = None
    for each in (False, True) if serial else (False,):
        run = _Run(compiled, dims, each)
        run.text = text
        found = run.run(arrays)
        assert not run.status.any(), f"the program reports a fault: {run.status}"
        for name, values in found.items():
            compare(name, values, expected[name], rtol, f"{target} {compiled.kinds} dims {dims}")
            if first is not None and exact_order:
                assert values.tobytes() == first[name].tobytes(), f"{name} depends on the order of threads"
        first = first or found
    assert first is not None
    return first

"""Runs kernels of the `metal` dialect as Metal Shading Language through clang, and LIR programs on the way of target metal.

`MslDevice` has the interface of the launch simulator's device; `run_form` is its `run_form` with the text in between. Every test
runs with threads from first to last and from last to first.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from xdsl.dialects.builtin import IndexType, ModuleOp

from rlx_backends.metal.emit import emit
from rlx_backends.numpy.lir_executor import run_lir
from rlx_dialects import metal
from rlx_dialects.gpu import KernelOp
from rlx_dialects.kernel import CallOp, FuncOp, PtrType, ReturnOp
from rlx_runtime.emulators.msl import MslDriver, clang
from tests.backends.gpu.harness import Device, ProgramRun, compare, compile_program, parse

_LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, *[ctypes.c_uint32] * 7, *[ctypes.c_void_p] * 3)
needs_clang = pytest.mark.skipif(clang() is None, reason="needs clang 16 or newer to run the Metal Shading Language")


ELEMENTS = {
    "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i8": np.int8, "i16": np.int16, "i32": np.int32,
    "i64": np.int64, "index": np.int64,
}  # fmt: skip


def kernel(arguments: str, body: str, block: str = "64", name: str = "f") -> str:
    head = f'metal.kernel @{name}({arguments}) attributes {{arch = "apple9", block = array<i64: {block}>}}'
    return f"{head} {{\n{body}\nkernel.return\n}}\n"


def pointer(element: str, space: str = "global") -> str:
    return f"!kernel.ptr<{element}, {space}>"


def random(size: int, element: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    dtype = np.dtype(ELEMENTS[element])
    if dtype.kind == "i":
        return rng.integers(-100, 100, size).astype(dtype)
    return (rng.choice([-1, 1], size) * rng.uniform(0.25, 2, size)).astype(dtype)


def reversal(element: str = "f32", barrier: str = "metal.barrier") -> str:
    """Blocks of 64 elements, each turned around through shared memory."""
    return kernel(
        f"%x: {pointer(element)}, %y: {pointer(element)}",
        f"""
        %s = metal.shared 64 : !kernel.ptr<{element}, shared, align 16>
        %t = metal.thread_id x
        %b = metal.block_id x
        %at = kernel.apply [64 * b + t](b = %b, t = %t)
        %v = kernel.load %x[%at] : {pointer(element)} -> {element}
        kernel.store %v, %s[%t] : {element}, !kernel.ptr<{element}, shared, align 16>
        {barrier}
        %other = kernel.apply [63 - t](t = %t)
        %w = kernel.load %s[%other] : !kernel.ptr<{element}, shared, align 16> -> {element}
        kernel.store %w, %y[%at] : {element}, {pointer(element)}
        """,
    )


# -- running them


@lru_cache(maxsize=2)
def _driver(reverse: bool) -> MslDriver:
    return MslDriver(reverse)


@lru_cache(maxsize=512)
def _loaded(text: str, reverse: bool) -> int:
    return _driver(reverse).load(text.encode())


class MslDevice(Device):
    """A module of kernels, through its text."""

    def __init__(self, source: ModuleOp | str, *, reverse: bool = False, text: str | None = None):
        self.module = parse(source) if isinstance(source, str) else source
        self.kernels = {op.sym_name.data: op for op in self.module.body.block.ops if isinstance(op, KernelOp)}
        self.text = emit(self.module) if text is None else text
        self.driver = _driver(reverse)
        self.loaded = _loaded(self.text, reverse)
        self._launch = _LAUNCH(self.driver.launch_address)


class _Run(ProgramRun):
    def make_device(self) -> Device:
        return MslDevice(self.compiled.module, reverse=self.reverse)


def status_of(source: str, arrays: Mapping[str, np.ndarray], dims: Mapping[str, int]) -> list[int]:
    """The status words after a call."""
    run = _Run(compile_program(source, "metal"), dims)
    run.run(arrays)
    return [int(word) for word in run.status]


def run_form(
    source: str,
    arrays: Mapping[str, np.ndarray],
    dims: Mapping[str, int] | None = None,
    *,
    schedule: str | None = None,
    rtol: float = 2e-6,
    exact_order: bool = True,
) -> dict[str, np.ndarray]:
    """Run an LIR program as target metal would and compare with the NumPy executor in float64, as the launch simulator's harness."""
    dims = dict(dims or {})
    compiled = compile_program(source, "metal", schedule)
    expected = run_lir(parse(source), arrays, dims, precision="f64")
    first: dict[str, np.ndarray] | None = None
    for reverse in (False, True):
        run = _Run(compiled, dims, reverse)
        found = run.run(arrays)
        assert not run.status.any(), f"the program reports a fault: {run.status}"
        for name, values in found.items():
            compare(name, values, expected[name], rtol, f"{compiled.kinds} dims {dims}")
            if first is not None and exact_order:
                assert values.tobytes() == first[name].tobytes(), f"{name} depends on the order of threads"
        first = first or found
    assert first is not None
    return first


def run_kernel(source: str, name: str, grid: Sequence[int], *arguments: Any, same: bool = True) -> None:
    """Run a kernel of a text in the metal dialect on arrays, which it may change; the order of threads must not matter."""
    copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    MslDevice(source, reverse=True).run(name, grid, *copies)
    MslDevice(source).run(name, grid, *arguments)
    for number, (one, other) in enumerate(zip(arguments, copies)):
        if isinstance(one, np.ndarray) and same:
            assert one.tobytes() == other.tobytes(), f"argument {number} depends on the order of threads"


class MslProgram:
    """The interface of the CPU harness's `Program`: each `kernel.func` of pointers and sizes runs as a kernel of one thread."""

    def __init__(self, source: str, target: object = None):
        module = parse(source)
        for func in [op for op in module.body.block.ops if isinstance(op, FuncOp)]:
            inputs = func.function_type.inputs.data
            if all(isinstance(type_, PtrType | IndexType) for type_ in inputs) and not func.function_type.outputs.data:
                kernel = metal.KernelOp(_kernel_name(func.sym_name.data), inputs, arch="apple9", block=[1])
                kernel.body.block.add_ops([CallOp(func.sym_name.data, kernel.body.block.args), ReturnOp()])
                module.body.block.add_op(kernel)
        module.verify()
        self.device = MslDevice(module)
        self.text = self.device.text

    def run(self, name: str, *arguments: np.ndarray | int) -> None:
        self.device.run(_kernel_name(name), [1], *arguments)


def _kernel_name(function: str) -> str:
    return f"run_{function.replace('.', '_')}"

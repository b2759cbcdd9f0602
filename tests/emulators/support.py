"""LLVM text to device text, and kernels of it on the interpreters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from rlx_runtime.emulators.driver import EmulatedDriver
from rlx_runtime.emulators.gcn import GcnDriver
from rlx_runtime.emulators.ptx import PtxDriver

PTX_HEAD = """target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
"""
GCN_HEAD = """target triple = "amdgcn-amd-amdhsa"
declare i32 @llvm.amdgcn.workitem.id.x()
declare i32 @llvm.amdgcn.workgroup.id.x()
declare void @llvm.amdgcn.s.barrier()
"""
GCN = ("gfx90a", "gfx942", "gfx1100", "gfx1201")


@cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@cache
def assembly(ir: str, triple: str, cpu: str, features: str = "", opt: int = 3) -> str:
    """Device text of LLVM text."""
    _initialize()
    reloc = "pic" if "amdgcn" in triple else "default"
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=opt, reloc=reloc)
    module = llvm.parse_assembly(ir)
    module.verify()
    module.data_layout = str(machine.target_data)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=opt))
    passes.getModulePassManager().run(module, passes)
    return machine.emit_assembly(module)


def ptx(ir: str, cpu: str = "sm_90a", opt: int = 3) -> str:
    """PTX of LLVM text that may use the declarations of `PTX_HEAD`."""
    return assembly(PTX_HEAD + ir, "nvptx64-nvidia-cuda", cpu, opt=opt)


def gcn(ir: str, cpu: str = "gfx942", opt: int = 3) -> str:
    """AMDGCN assembly of LLVM text that may use the declarations of `GCN_HEAD`."""
    return assembly(GCN_HEAD + ir, "amdgcn-amd-amdhsa", cpu, opt=opt)


def ptx_module(body: str, registers: str = "", params: int = 4, variables: str = "", tail: str = "") -> str:
    """PTX around the body of a kernel `k`: `%rd1`… hold its pointers, `%r1` the number of the thread in the grid, `%rd0` four
    times that."""
    lines = [f".param .u64 p{i}" for i in range(params)]
    loads = "\n".join(f"ld.param.u64 %rd{i + 1}, [p{i}];" for i in range(params))
    return f""".version 8.0
.target sm_90a
.address_size 64
{variables}
{tail}
.visible .entry k({", ".join(lines)})
{{
  .reg .pred %p<20>; .reg .b16 %rs<40>; .reg .b32 %r<100>; .reg .b64 %rd<60>;
  {registers}
  {loads}
  mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mad.lo.s32 %r1, %r2, %r3, %r1;
  mul.wide.u32 %rd0, %r1, 4;
{body}
  ret;
}}
"""


def run(driver: EmulatedDriver, text: str, name: str, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any],
        shared: int = 0) -> list[np.ndarray]:  # fmt: skip
    """Launch a kernel; arrays are uploaded, and come back as they are after it."""
    function = driver.function(driver.load(text.encode()), name, shared)
    values: list[Any] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            address = driver.alloc(max(argument.nbytes, 1))
            driver.upload(address, argument)
            values.append(address)
        else:
            values.append(argument)
    driver.launch(function, grid, block, values, shared)
    found = []
    for argument, value in zip(arguments, values):
        if isinstance(argument, np.ndarray):
            back = np.empty_like(argument)
            driver.download(back, value)
            found.append(back)
    return found


def run_ptx(text: str, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], shared: int = 0, name: str = "k",
            serial: bool = False) -> list[np.ndarray]:  # fmt: skip
    return run(PtxDriver(serial), text, name, grid, block, arguments, shared)


def run_gcn(text: str, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], shared: int = 0, name: str = "k",
            serial: bool = False) -> list[np.ndarray]:  # fmt: skip
    return run(GcnDriver(serial), text, name, grid, block, arguments, shared)


def map_ptx(instructions: str, result: str, *inputs: np.ndarray, width: int = 4, registers: str = "") -> np.ndarray:
    """Runs `instructions` in a thread for each element: inputs are in `%a`, `%b`, `%c` (registers of their width), the result
    comes from `%d` as `result` (a NumPy type)."""
    names, lines, declared = "abc", [], []
    for i, values in enumerate(inputs):
        bits = values.dtype.itemsize * 8
        held = max(bits, 16)
        declared.append(f".reg .b{held} %{names[i]};")
        lines.append(f"mul.wide.u32 %rd20, %r1, {values.dtype.itemsize}; add.s64 %rd20, %rd{i + 1}, %rd20;")
        lines.append(f"ld.global.b{bits} %{names[i]}, [%rd20];")
    out = np.dtype(result)
    declared.append(f".reg .b{max(out.itemsize * 8, 16)} %d;")
    last = len(inputs) + 1
    lines += [instructions, f"mul.wide.u32 %rd20, %r1, {out.itemsize}; add.s64 %rd20, %rd{last}, %rd20;"]
    lines.append(f"st.global.b{out.itemsize * 8} [%rd20], %d;")
    n = len(inputs[0])
    size = -(-n // 64) * 64
    padded = [np.resize(values, size) for values in inputs]
    text = ptx_module("\n".join(lines), "\n".join(declared) + registers, params=last)
    found = run_ptx(text, (size // 64,), (64,), [*padded, np.zeros(size, out)])
    return found[-1][:n]


def without_barriers(text: str) -> str:
    """The negative control: the same code, its barriers left out."""
    return re.sub(r"\n\s*(?:bar\.sync|barrier\.sync|s_barrier\w*)\b[^\n]*", "", text)

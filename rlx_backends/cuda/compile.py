"""Kernels of NVIDIA GPUs to PTX, and PTX to machine code where one of NVIDIA's assemblers is at hand."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from rlx_backends.cuda.emit import emit
from rlx_backends.cuda.target import machine
from rlx_backends.gpu.codegen import generate
from rlx_backends.gpu.target import GpuTarget
from rlx_runtime.errors import LowerError

_NVJITLINK = "cuda.bindings.nvjitlink"


def device_objects(module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> dict[str, bytes]:
    """`device.ptx`: every kernel of the module. LowerError names a kernel that LLVM has no code for."""
    return {"device.ptx": ptx(module, target).encode()}


def ptx(module: ModuleOp, target: GpuTarget) -> str:
    """The kernels of a module as PTX text; it calls nothing that it does not contain."""
    text = generate(module, partial(emit, target=target), machine(target), ("assembly",))["assembly"].decode()
    if (missing := missing_function(text)) is not None:
        raise LowerError(f"the PTX calls '{missing}', which no GPU has", code="llvm")
    return text


def missing_function(text: str) -> str | None:
    """The first function that a PTX text declares but does not define: LLVM took an intrinsic's name for one."""
    found = re.search(r"^\s*\.extern\s+\.func\b[^;]*?([A-Za-z_$][\w$.]*)\s*(?:\([^()]*\))?\s*;", text, re.MULTILINE)
    return None if found is None else found[1]


# -- machine code


def assemblers() -> list[str]:
    """NVIDIA's assemblers that are installed: "ptxas" on the path, "nvjitlink" of the package nvidia-nvjitlink."""
    found = ["ptxas"] if shutil.which("ptxas") else []
    try:
        import_module(_NVJITLINK).version()
    except (ImportError, RuntimeError):
        return found
    return [*found, "nvjitlink"]


def cubin(text: str, target: GpuTarget, assembler: str) -> bytes:
    """PTX to machine code with one of `assemblers()`; LowerError quotes what it refuses."""
    return _ptxas(text, target.name) if assembler == "ptxas" else _nvjitlink(text, target.name)


def _ptxas(text: str, arch: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "device.ptx"), Path(folder, "device.cubin")
        source.write_text(text)
        done = subprocess.run(["ptxas", f"-arch={arch}", "-o", result, source], capture_output=True, text=True)
        if done.returncode:
            raise LowerError(f"ptxas refuses the PTX: {done.stderr.strip()}", code="ptx")
        return result.read_bytes()


def _nvjitlink(text: str, arch: str) -> bytes:
    nvjitlink = import_module(_NVJITLINK)
    data = text.encode()
    handle = nvjitlink.create(1, [f"-arch={arch}"])
    try:
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, data, len(data), "device")
        nvjitlink.complete(handle)
        result = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, result)
        return bytes(result)
    except nvjitlink.nvJitLinkError as error:
        log = bytearray(nvjitlink.get_error_log_size(handle))
        nvjitlink.get_error_log(handle, log)
        raise LowerError(f"nvJitLink refuses the PTX: {log.decode(errors='replace').strip()}", code="ptx") from error
    finally:
        nvjitlink.destroy(handle)

"""From the kernels of a module to device code: LLVM in a worker, results kept by content, failures named by kernel."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import ModuleOp

from rlx_backends.llvm.objects import read_cached, write_cached
from rlx_backends.support import cache_folder, codegen_worker
from rlx_backends.support.llvm_codegen import Machine
from rlx_dialects.gpu import KernelOp
from rlx_passes.support.locations import location_of
from rlx_runtime.errors import LowerError

_FORMAT = "rlx device code 1"
_GENERATE = "rlx_backends.support.llvm_codegen:generate"


def generate(
    module: ModuleOp, emit: Callable[[ModuleOp], str], machine: Machine, outputs: Sequence[str]
) -> dict[str, bytes]:
    """The outputs of `llvm_codegen.generate` for the text that `emit` writes of the module.

    LowerError names the kernel that LLVM has no code for.
    """
    text = emit(module)
    key = _key(text, machine, outputs)
    cached = read_cached(key) if cache_folder.enabled() else None
    if cached is not None:
        return _unpack(cached)
    try:
        made = codegen_worker.run(_GENERATE, text, machine, tuple(outputs))
    except (codegen_worker.TaskError, codegen_worker.WorkerDied) as error:
        raise _explained(module, emit, machine, outputs, str(error)) from error
    if cache_folder.enabled():
        write_cached(key, _pack(made))
    return made


def kernels(module: ModuleOp) -> list[KernelOp]:
    """The kernels of a module, in the order of its text, which is that of the manifest."""
    return [op for op in module.body.block.ops if isinstance(op, KernelOp)]


def _explained(
    module: ModuleOp, emit: Callable[[ModuleOp], str], machine: Machine, outputs: Sequence[str], complaint: str
) -> LowerError:
    """Try every kernel alone: which one is it?"""
    for number, kernel in enumerate(kernels(module)):
        alone = module.clone()
        for other, op in enumerate(kernels(alone)):
            if other != number:
                op.detach()
        try:
            codegen_worker.run(_GENERATE, emit(alone), machine, tuple(outputs))
        except (codegen_worker.TaskError, codegen_worker.WorkerDied) as error:
            return LowerError(
                f"LLVM has no code for kernel @{kernel.sym_name.data} on {machine.cpu}: {_short(str(error))}",
                code="llvm",
                location=location_of(kernel),
            )
    return LowerError(f"LLVM has no code for the kernels on {machine.cpu}: {_short(complaint)}", code="llvm")


def _short(complaint: str) -> str:
    """The lines that say what is wrong, without the trace of calls behind them."""
    return complaint.partition("PLEASE submit a bug report")[0].partition("Stack dump")[0].strip()[:1000]


# -- the cache


def _key(text: str, machine: Machine, outputs: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join((_FORMAT, machine.key, *outputs)).encode())
    digest.update(b"\0" + text.encode())
    return digest.hexdigest()


def _pack(made: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in made.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _unpack(stored: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}

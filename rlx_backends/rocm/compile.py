"""Kernels of AMD GPUs to a code object, and to assembly."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from rlx_backends.gpu.codegen import generate
from rlx_backends.gpu.target import GpuTarget
from rlx_backends.rocm import linker
from rlx_backends.rocm.emit import emit
from rlx_backends.rocm.target import machine


def device_objects(module: ModuleOp, target: GpuTarget, options: Mapping[str, Any]) -> dict[str, bytes]:
    """`device.hsaco`, which a driver loads, and `device.s`, the same code as text.

    LowerError names a kernel that LLVM has no code for; TargetError says which linker to install where there is none.
    """
    linker.find()
    made = generate(module, partial(emit, target=target), machine(target), ("object", "assembly"))
    return {"device.hsaco": linker.link(made["object"]), "device.s": made["assembly"]}


def assembly(module: ModuleOp, target: GpuTarget) -> str:
    """The kernels of a module in AMD's assembly; no linker is needed."""
    return generate(module, partial(emit, target=target), machine(target), ("object", "assembly"))["assembly"].decode()

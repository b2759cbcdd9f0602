"""Devices of this machine: what to compile for where nothing says otherwise, and whether a target really works here."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rlx_runtime.errors import LowerError, RuntimeFault, TargetError

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from rlx_runtime.gpu.driver import Driver

GPU_TARGETS = ("cuda", "rocm", "metal")
_ANSWER = 42


def device_arch(target: str) -> str:
    """The architecture of the device of a GPU target, or the latest known one whose code it runs; "" without a device."""
    from rlx_dialects.gpu import architectures
    from rlx_runtime.gpu.driver import open_driver

    try:
        driver = open_driver(target, "")
    except TargetError:
        return ""
    known = architectures(target)
    if driver.arch in known:
        return driver.arch
    return next((arch for arch in reversed(known) if driver.supports(arch)), "")


# -- trying a target


def probe(target: str) -> dict[str, str | None]:
    """Why a GPU target cannot be compiled for, emulated and executed here: None for what can."""
    from rlx_backends.gpu.backend import SIMULATOR
    from rlx_backends.gpu.simulator import compile_kernels
    from rlx_backends.registry import backend
    from rlx_dialects.gpu.facts import DEFAULT_ARCH
    from rlx_runtime.gpu.driver import open_driver

    chosen: Any = backend(target)
    machine = chosen.target({"cpu": device_arch(target) or DEFAULT_ARCH[target]})
    module = _answer_module(target, machine.name)
    found: dict[str, str | None] = {}
    objects: Mapping[str, bytes] = {}
    try:
        objects = chosen.device_objects(module, machine, {})
        found["compile"] = None
    except (LowerError, TargetError) as error:
        found["compile"] = error.message + (f" ({error.hint})" if error.hint else "")
    found["emulate"] = _run(lambda: (open_driver(target, SIMULATOR), compile_kernels(module)))
    code = objects.get(chosen.device_code)
    found["execute"] = found["compile"] if code is None else _run(lambda: (open_driver(target, chosen.device_code), code))
    return found


def _answer_module(target: str, arch: str) -> ModuleOp:
    """A kernel that writes one number."""
    from rlx_passes.support.context import make_context
    from rlx_passes.support.locations import parse_module

    text = f"""
{target}.kernel @answer(%p: !kernel.ptr<i32, global, align 16>) attributes {{arch = "{arch}", block = array<i64: 1>}} {{
  %answer = arith.constant {_ANSWER} : i32
  %i = arith.constant 0 : index
  kernel.store %answer, %p[%i] : i32, !kernel.ptr<i32, global, align 16>
  kernel.return
}}
"""
    return parse_module(make_context(), text, "answer.mlir")


def _run(opened: Callable[[], tuple[Driver, bytes]]) -> str | None:
    """Run the kernel through a driver: None if it gives the answer, else what went wrong."""
    try:
        driver, code = opened()
        found = _answer(driver, code)
    except (LowerError, TargetError, RuntimeFault) as error:
        return error.message
    return None if found == _ANSWER else f"a kernel wrote {found} instead of {_ANSWER}"


def _answer(driver: Driver, code: bytes) -> int:
    import numpy as np

    driver.activate()
    module, address = driver.load(code), driver.alloc(4)
    try:
        place, result = ctypes.c_void_p(address), np.zeros(1, np.int32)
        driver.upload(address, result)
        params = (ctypes.c_void_p * 1)(ctypes.addressof(place))
        signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, *[ctypes.c_uint] * 7, *[ctypes.c_void_p] * 3)
        error = signature(driver.launch_address)(driver.function(module, "answer", 0), 1, 1, 1, 1, 1, 1, 0, None, params, None)
        if error:
            raise RuntimeFault(driver.explain(error), code="launch")
        driver.synchronize()
        driver.download(result, address)
        return int(result[0])
    finally:
        driver.free(address)
        driver.unload(module)

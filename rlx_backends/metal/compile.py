"""The device code of a package: the text itself, because the device's own driver compiles it."""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.dialects.builtin import ModuleOp

from rlx_backends.metal.emit import emit

DEVICE_CODE = "device.msl"


def compile_device(module: ModuleOp) -> Mapping[str, bytes]:
    """`device.msl` of a module of kernels. LowerError for what the language cannot say."""
    return {DEVICE_CODE: emit(module).encode()}

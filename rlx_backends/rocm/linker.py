"""From an object to what a driver loads: a linker of the LLVM project, as it is found on the machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from rlx_runtime.errors import LowerError, TargetError

_NAMES = ("ld.lld", *(f"ld.lld-{version}" for version in range(23, 16, -1)))


@lru_cache(maxsize=1)
def find() -> tuple[str, ...]:
    """The command that links; TargetError says what to install where there is none."""
    for name in _NAMES:
        if path := shutil.which(name):
            return (path,)
    rocm = Path("/opt/rocm/llvm/bin/ld.lld")
    if rocm.exists():
        return (str(rocm),)
    if find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "ld.lld")
    raise TargetError(
        "target 'rocm' needs LLVM's linker, and this machine has none",
        code="no-linker",
        hint="install the Debian package lld-19, or the Python package ziglang",
    )


def link(data: bytes) -> bytes:
    """A code object (`.hsaco`) from the object that LLVM wrote; LowerError if a symbol is undefined."""
    command = find()
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "device.o"), Path(folder, "device.hsaco")
        source.write_bytes(data)
        done = subprocess.run(
            [*command, "-shared", "--no-undefined", "-o", result, source], capture_output=True, text=True
        )
        if done.returncode:
            raise LowerError(f"the linker refuses the code object: {done.stderr.strip()}", code="link")
        return result.read_bytes()

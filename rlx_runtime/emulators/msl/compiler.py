"""clang: finding it, checking the types of a text, making a library of it."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from rlx_runtime.errors import TargetError
from rlx_runtime.gpu.msl import KernelSource, kernels

_HERE = Path(__file__).parent
_VERSIONS = range(22, 15, -1)
_COMMON = (
    "-x", "c++", "-std=c++17", "-isystem", str(_HERE / "include"), "-Wall", "-Wno-unknown-attributes", "-Wno-unused-variable",
    "-Wno-unused-function", "-Wno-unused-const-variable", "-Wno-ignored-attributes", "-Wno-unused-but-set-variable",
    "-Wno-tautological-compare", "-Werror=double-promotion", "-Werror",
)  # fmt: skip
_RUN = ("-O1", "-g0", "-fPIC", "-shared", "-march=native", "-ffp-contract=off", "-fno-exceptions", "-fno-rtti", "-nostdlib++")
# Checks as calls, of functions that scheduler.cpp has: every access, and redzones between the arrays of threadgroups.
_CHECKED = (
    "-fsanitize=kernel-address",
    *(word for flag in ("-asan-stack=0", "-asan-globals=1", "-asan-instrumentation-with-call-threshold=0")
      for word in ("-mllvm", flag)),
)  # fmt: skip


@cache
def clang() -> str | None:
    """The path of a clang of version 16 or newer; None if there is none."""
    for name in (*(f"clang-{version}" for version in _VERSIONS), "clang"):
        path = shutil.which(name)
        if path is not None and _version(path) >= min(_VERSIONS):
            return path
    return None


def _version(path: str) -> int:
    try:
        shown = subprocess.run([path, "-dumpversion"], capture_output=True, text=True, check=True, timeout=30).stdout
        return int(shown.split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def _run(arguments: Sequence[str], what: str) -> None:
    compiler = clang()
    if compiler is None:
        raise TargetError(
            "running the Metal Shading Language on a CPU needs clang 16 or newer",
            code="no-clang",
            hint="apt-get install clang-19",
        )
    done = subprocess.run([compiler, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TargetError(f"clang refuses {what}:\n{done.stderr.strip()}", code="msl")


def check(text: str) -> list[KernelSource]:
    """Check types, address spaces and attributes of a text; returns its kernels. TargetError quotes clang."""
    found = kernels(text)
    path = _folder() / "check.metal"
    path.write_text(text)
    _run([*_COMMON, "-Wdouble-promotion", "-DRLX_MSL_CHECK", "-fsyntax-only", str(path)], "the text")
    return found


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="rlx-msl-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def scheduler_library() -> Path:
    """What runs kernels, compiled once in a process."""
    path = _folder() / "librlx_msl_scheduler.so"
    options = ["-x", "c++", "-std=c++17", "-O2", "-Wall", "-Werror", *_RUN[2:]]
    _run([*options, str(_HERE / "scheduler.cpp"), "-o", str(path)], "the scheduler")
    return path


def library(text: str, number: int) -> tuple[Path, list[KernelSource]]:
    """A shared library of the kernels of a text, with a function `rlx_bind_<name>` for each."""
    found = check(text)
    source, path = _folder() / f"kernels{number}.cpp", _folder() / f"kernels{number}.so"
    source.write_text(text + "\n" + _bindings(found))
    _run([*_COMMON, *_RUN, *_CHECKED, str(source), "-x", "none", str(scheduler_library()), "-lm", "-o", str(path)], "the text")
    return path, found


def _bindings(found: list[KernelSource]) -> str:
    """C++ that calls each kernel with the arguments of a launch; follows the text of the kernels."""
    lines: list[str] = []
    for kernel in found:
        head = f"void rlx_bind_{kernel.name}(void** p, const rlx_msl_ids* ids)"
        lines.append(f'extern "C" __attribute__((no_sanitize("kernel-address"))) {head} {{')
        arguments: list[str] = []
        for parameter in kernel.parameters:
            if parameter.buffer is None:
                arguments.append(f"ids->{parameter.attribute}")
            elif parameter.type.endswith("&"):
                # A copy on the stack of the thread, which it may read.
                value = parameter.type.removeprefix("constant ").removesuffix("&").strip()
                lines.append(f"  const {value} v{parameter.buffer} = *(const {value}*)p[{parameter.buffer}];")
                arguments.append(f"v{parameter.buffer}")
            else:
                arguments.append(f"*({parameter.type}*)p[{parameter.buffer}]")
        lines += [f"  {kernel.name}({', '.join(arguments)});", "}"]
    return "\n".join(lines) + "\n"

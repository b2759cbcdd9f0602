"""Show the signature of a model or a package, and how it was compiled.

    rlx inspect ffn.mlir                    # signature and dims
    rlx inspect ffn.mlir --target cpu       # lower it, and show the reports too
    rlx inspect ffn.rlxpkg --dim B=1 --dim S=128
    rlx inspect ffn.rlxpkg --stage lir      # the IR that is in the package
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlx.cli.arguments import (
    add_compile_flags,
    add_dims,
    add_model,
    human_bytes,
    integers,
    is_package,
    options_of,
    progress,
    read_model,
    refuse_compile_flags,
    target_of,
)
from rlx.cli.common import OK, UsageError

if TYPE_CHECKING:
    from rlx_frontends.model import Model
    from rlx_runtime.package import Contents


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--stage", metavar="STAGE", help="print the IR of a stage that the package holds")
    add_dims(parser, "give a symbolic dim a value for the costs; repeat for several")
    add_compile_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print what there is to know. A package is checked whole, but nothing of it is loaded: it may be for another CPU."""
    dims = integers(args.dim, "--dim")
    if is_package(args.model):
        refuse_compile_flags(args)
        from rlx_runtime.package import read

        contents = read(args.model)
        if args.stage is not None:
            return _print_stage(contents, args)
        report = _package_report(contents, args.model, dims)
    else:
        if args.stage is not None:
            raise UsageError("--stage is for packages", hint="rlx compile MODEL --emit STAGE prints the stages of a model")
        report = _model_report(read_model(args.model), args, dims)
    print(json.dumps(report, indent=2) if args.json else _as_text(report))
    return OK


def _print_stage(contents: Contents, args: argparse.Namespace) -> int:
    if args.stage not in contents.stages:
        known = ", ".join(contents.stages) or "none"
        raise UsageError(f"the package has no stage '{args.stage}'", code="unknown-stage", hint=f"it has: {known}")
    text = contents.stages[args.stage]
    print(json.dumps({"stage": args.stage, "text": text}, indent=2) if args.json else text.rstrip("\n"))
    return OK


def _model_report(model: Model, args: argparse.Namespace, dims: Mapping[str, int]) -> dict[str, Any]:
    report: dict[str, Any] = {"file": args.model, "kind": "model", "name": model.name, "level": model.level}
    report["dims"] = [
        {"name": d.name, "min": d.lower, "max": d.upper, "multiple_of": d.multiple_of, "runtime": d.runtime} for d in model.dims
    ]
    report["dim_inputs"] = list(model.dim_inputs)
    for kind in ("inputs", "params", "states", "outputs"):
        specs = getattr(model, kind)
        report[kind] = [{"name": s.name, "dtype": s.dtype, "shape": [_extent(e) for e in s.shape]} for s in specs]
    report["ops"] = _op_counts(model)
    options = options_of(args)
    if hasattr(args, "target") or dims:
        from rlx.compiler import lower

        with progress(args, f"lowering {args.model} for {target_of(args)}"):
            lowered = lower(model, target_of(args), options)
        manifest = lowered.manifest
        report |= {"target": lowered.target, "cpu": manifest.get("cpu"), "guards": list(lowered.guards)}
        report |= {"fingerprint": lowered.fingerprint, "packed_bytes": manifest["packed_bytes"]}
        report |= _costs(manifest, dims)
    return report


def _extent(value: Any) -> int | str:
    return value if isinstance(value, int) else str(value)


def _op_counts(model: Model) -> dict[str, int]:
    from collections import Counter

    counts = Counter(op.name for op in model.module.walk() if op.name.startswith(("hir.", "mir.")))
    return dict(counts.most_common())


def _package_report(contents: Contents, path: str, dims: Mapping[str, int]) -> dict[str, Any]:
    from rlx_runtime.manifest import parse_manifest
    from rlx_runtime.native import missing_features

    raw = contents.manifest
    parsed = parse_manifest(raw)
    missing = missing_features(parsed.features)
    report: dict[str, Any] = {"file": path, "kind": "package", "name": parsed.name, "bytes": os.path.getsize(path)}
    report |= {"target": parsed.target, "compiler": raw.get("compiler"), "cpu": raw.get("cpu"), "runs_here": not missing}
    if missing:
        report["missing_features"] = missing
    report |= {key: raw[key] for key in ("options", "fixed", "threads") if raw.get(key)}
    report["dims"] = [
        {"name": d.name, "min": d.min, "max": d.max, "multiple_of": d.multiple_of, "runtime": d.runtime} for d in parsed.dims
    ]
    report["dim_inputs"] = list(parsed.dim_inputs)
    for kind in ("inputs", "params", "states", "outputs"):
        specs = getattr(parsed, kind)
        report[kind] = [{"name": s.name, "dtype": s.dtype, "shape": list(s.shape)} for s in specs]
    report["guards"] = [guard.text for guard in parsed.guards]
    report["stages"] = list(contents.stages)
    report["objects"] = {name: len(data) for name, data in contents.objects.items()}
    report["packed_bytes"] = parsed.packed_bytes
    report["weights_bytes"] = contents.weights_region[1] if contents.weights_region else 0
    return report | _costs(raw, dims)


def _costs(manifest: Mapping[str, Any], dims: Mapping[str, int]) -> dict[str, Any]:
    """The reports of a manifest; with values for all dims, also the costs of a call."""
    from rlx.cli.costs import costs_of

    reports = manifest.get("reports") or {}
    found: dict[str, Any] = {"reports": {name: reports.get(name) for name in ("fusion", "dispatch", "memory")}}
    if (costs := costs_of(manifest, dims)) is not None:
        found["cost"] = costs
    return found


def _as_text(report: Mapping[str, Any]) -> str:
    lines = [f"{report['kind']} {report['name']} ({report['file']})"]
    for key in ("level", "target", "compiler", "fingerprint"):
        if report.get(key):
            lines.append(f"  {key:12} {report[key]}")
    if cpu := report.get("cpu"):
        lines.append(f"  cpu          {cpu['name']} {' '.join(cpu['features'])}".rstrip())
    if report.get("missing_features"):
        lines.append(f"  does not run here: this machine lacks {', '.join(report['missing_features'])}")
    for key in ("options", "fixed"):
        if report.get(key):
            lines.append(f"  {key:12} " + " ".join(f"{name}={value}" for name, value in report[key].items() if value))
    for dim in report["dims"]:
        multiple = f", a multiple of {dim['multiple_of']}" if dim["multiple_of"] > 1 else ""
        given = ", passed as an integer" if dim["name"] in report["dim_inputs"] else ""
        lines.append(f"  dim          {dim['name']} in [{dim['min']}, {dim['max']}]{multiple}{given}")
    for kind in ("inputs", "states", "outputs", "params"):
        for spec in report[kind]:
            shape = ", ".join(str(extent) for extent in spec["shape"])
            lines.append(f"  {kind[:-1]:12} {spec['name']}: {spec['dtype']}[{shape}]")
    lines += [f"  guard        {text}" for text in report.get("guards", ())]
    if "ops" in report:
        lines.append("  ops          " + ", ".join(f"{count} x {name}" for name, count in report["ops"].items()))
    if "stages" in report:
        lines.append(f"  stages       {', '.join(report['stages'])}")
        sizes = ", ".join(f"{name} {human_bytes(size)}" for name, size in report["objects"].items())
        lines.append(f"  objects      {sizes}")
        weights = report["weights_bytes"]
        lines.append(f"  weights      {human_bytes(weights) if weights else 'not in the package'}")
    if report.get("packed_bytes"):
        lines.append(f"  packed       {human_bytes(report['packed_bytes'])} of weights in layouts of their own")
    fusion = (report.get("reports") or {}).get("fusion")
    if fusion:
        lines.append(f"  fusion       {fusion['ops']} tensor ops run as {sum(fusion['forms'].values())} kernels")
        lines += [f"  {count:12} x {name}" for name, count in fusion["named"].items()]
        lines += [f"  {count:12} x {name} in one kernel" for name, count in fusion["forms"].items() if "+" in name]
    for name, value in (report.get("cost") or {}).items():
        lines.append(f"  {name:12} {value}")
    return "\n".join(lines)

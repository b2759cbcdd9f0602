"""The costs of a call, from the formulas in a manifest: no compiler is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlx_runtime.errors import PackageError
from rlx_runtime.exprs import compile_expr, expr_text


def check_dims(manifest: Mapping[str, Any], dims: Mapping[str, int]) -> None:
    """ShapeError for a dim that is unknown or out of its range."""
    from rlx_runtime.manifest import parse_manifest
    from rlx_runtime.signature import Signature

    parsed = parse_manifest(manifest)
    Signature(parsed, {**parsed.fixed, **dims})


def costs_of(manifest: Mapping[str, Any], dims: Mapping[str, int]) -> dict[str, Any] | None:
    """Flops, bytes moved, launches, arena bytes: numbers if all dims are given, else formulas; None if it has no formulas.

    ShapeError for a dim that is unknown or out of its range, PackageError for formulas that are none.
    """
    check_dims(manifest, dims)
    reports = manifest.get("reports") or {}
    cost, memory = reports.get("cost"), reports.get("memory")
    if not cost:
        return None
    formulas = {"flops": cost["flops"], "bytes": cost["bytes"], "launches": cost["launches"]}
    if isinstance(memory, Mapping) and "arena" in memory:
        formulas["arena"] = memory["arena"]
    known = {"threads": 1, **(manifest.get("fixed") or {}), **dims}
    names = {"threads", *(dim["name"] for dim in manifest["dims"])}
    found: dict[str, Any] = {}
    for name, expr in formulas.items():
        try:
            evaluate = compile_expr(expr, names)
        except ValueError as error:
            raise PackageError(f"the {name} of the cost report is no formula: {error}", code="manifest") from None
        found[name] = evaluate(known) if names <= known.keys() else expr_text(expr)
    return found

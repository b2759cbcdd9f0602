"""Runs MIR by name: inputs, parameters and states in, outputs and new states out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from xdsl.dialects.builtin import ModuleOp

from rlx_backends.numpy.hir_executor import execute
from rlx_dialects.mir.semantics import Array


def run_mir(
    module: ModuleOp,
    inputs: Mapping[str, Any],
    dims: Mapping[str, int] | None = None,
    params: Mapping[str, Any] | None = None,
    states: Mapping[str, Any] | None = None,
    precision: Literal["f64"] | None = None,
) -> dict[str, Array]:
    """Run `@main` of a MIR module, after `@prepare` where there is one.

    `inputs` holds dim inputs too; `dims` binds symbols that no shape gives. With precision "f64" every float is computed and
    returned in float64. The result has every output by name and the final value of every state by the state's name.

    Raises BindError for missing, unknown or mis-typed arguments, ShapeError for extents that contradict each other or the
    stated facts, RuntimeFault for an index out of range.
    """
    arguments = {**inputs, **(params or {}), **(states or {})}
    results = execute(module, arguments, dims, exact=precision == "f64")
    return {**results.outputs, **results.states}

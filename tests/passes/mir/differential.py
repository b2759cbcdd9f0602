"""Runs a module before and after a pipeline on the same random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute

from rlx_backends.numpy.hir_executor import execute, result_names, run_function, signature
from rlx_dialects.mir.semantics import extents, numpy_dtype
from rlx_dialects.rlx import StateType, TensorType, declared_dims, dtypes
from rlx_passes.manager import PassManager
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from rlx_runtime.errors import RuntimeFault

EXTENTS = {"B": 3, "S": 5, "T": 5, "P": 2, "Q": 2, "N": 17}
"""What symbols are bound to where a test does not say; moved into the declared range. T is always S."""


def random_array(type: Attribute, dims: Mapping[str, int], generator: np.random.Generator) -> Any:
    """Random non-zero elements of a tensor type; integers are small enough to index tables of the tests."""
    assert isinstance(type, TensorType | StateType)
    shape, dtype = extents(type.dims, dims), numpy_dtype(type.element_type)
    if dtypes.is_float(type.element_type):
        values = generator.uniform(0.25, 2.0, shape) * generator.choice([-1.0, 1.0], shape)
        return values.astype(dtype)
    return generator.integers(0, 2 if dtype == np.bool_ else 3, shape).astype(dtype)


def bound(function: FuncOp, dims: Mapping[str, int]) -> dict[str, int]:
    """Values of the symbols: those given, else those of EXTENTS inside the declared ranges."""
    values = {**EXTENTS, **dims}
    values["T"] = values["S"]
    for declared in declared_dims(function):
        facts = declared.facts
        if facts.name not in dims:
            value = min(max(values.get(facts.name, facts.lower), facts.lower), facts.upper)
            values[facts.name] = value - value % facts.multiple_of
    return values


def functions(module: ModuleOp) -> dict[str, FuncOp]:
    return {op.sym_name.data: op for op in module.ops if isinstance(op, FuncOp)}


def run_all(module: ModuleOp, arguments: Mapping[str, Any], dims: Mapping[str, int], exact: bool) -> dict[str, Any]:
    """The results of every function by name. A `@main` with a signature runs with `@prepare`, by the names of its arguments."""
    found: dict[str, Any] = {}
    for name, function in functions(module).items():
        values = bound(function, dims)
        if name == "main" and function.arg_attrs is not None:
            wanted = {key for each in functions(module).values() for _, key, _ in signature(each)}
            given = {key: value for key, value in arguments["main"].items() if key in wanted}
            results = execute(module, given, values, exact=exact)
            found |= {f"{name}: {key}": value for key, value in {**results.outputs, **results.states}.items()}
        elif name in arguments:
            results = run_function(function, arguments[name], values, exact=exact)
            found |= {f"{name}: {index}": value for index, value in enumerate(results)}
    return found


def check(text: str, pipeline: str, dims: Mapping[str, int] | None = None, *, bits: bool, tolerance: float = 2e-5) -> ModuleOp:
    """Run `pipeline` on `text` and compare all results before and after; the module after it is returned.

    In float64 they agree to 1e-12 of the largest magnitude. In the declared types they are the same bits if `bits`, else
    within `tolerance` of the largest magnitude. A fault stays a fault.
    """
    dims = dims or {}
    generator = np.random.default_rng(7)
    before, after = (parse_module(make_context(), text, "test") for _ in range(2))
    arguments: dict[str, Any] = {}
    present = functions(before)
    by_name = "main" in present and present["main"].arg_attrs is not None
    for name, function in present.items():
        values = bound(function, dims)
        if by_name:
            derived = {key for _, key in result_names(present["prepare"])} if "prepare" in present else set()
            arguments.setdefault("main", {}).update(
                (key, np.asarray(values[key]) if kind == "dim_input" else random_array(value.type, values, generator))
                for kind, key, value in signature(function)
                if key not in derived
            )
        else:
            arguments[name] = [random_array(argument.type, values, generator) for argument in function.body.block.args]
    PassManager(pipeline, verify="each").run(after)
    for exact in (False, True):
        try:
            wanted = run_all(before, arguments, dims, exact)
        except RuntimeFault:
            with pytest.raises(RuntimeFault):
                run_all(after, arguments, dims, exact)
            continue
        found = run_all(after, arguments, dims, exact)
        assert wanted.keys() == found.keys()
        for name, array in wanted.items():
            assert found[name].dtype == array.dtype, name
            if bits and not exact:
                np.testing.assert_array_equal(found[name], array, err_msg=name)
            else:
                a, b = np.asarray(array, np.float64), np.asarray(found[name], np.float64)
                scale = max(1.0, float(np.max(np.abs(a), initial=0.0)))
                np.testing.assert_allclose(b, a, rtol=0, atol=(1e-12 if exact else tolerance) * scale, err_msg=name)
    return after

"""Numbers for models: extents of the symbols, arrays for the arguments, and comparison of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

import rlx
from rlx_backends.numpy.hir_executor import execute, signature
from rlx_backends.numpy.lir_executor import run_lir
from rlx_dialects.lir import programs
from rlx_dialects.mir.semantics import extents, numpy_dtype
from rlx_dialects.rlx import dtypes, facts_of, shaped_type
from tests.differential.graph import WIDTH

Array = np.ndarray[Any, Any]
EXTENTS = (1, 2, 3, 5, 8, 17, 19)
"""What symbols are bound to, the large ones where the range goes that far."""
LARGE_EXTENTS = (64, 257, 520, 600)
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0)
EPSILON = {"f64": 2.0**-52, "f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}


def random_dims(model: rlx.Model, rng: np.random.Generator) -> dict[str, int]:
    """A value for each symbol, inside its range and all constraints."""
    facts = facts_of(model.main)
    for _ in range(1000):
        env = {}
        for dim in model.dims:
            likely = LARGE_EXTENTS if 500 < dim.upper < 1000 and rng.random() < 0.7 else EXTENTS
            value = min(max(int(rng.choice(likely)), dim.lower), dim.upper)
            env[dim.name] = value - value % dim.multiple_of
        if all(a.evaluate(env) == b.evaluate(env) for a, b in facts.equalities) and all(
            a.evaluate(env) <= b.evaluate(env) for a, b in facts.inequalities
        ):
            return env
    raise AssertionError("no extents satisfy the constraints")


def random_arguments(
    model: rlx.Model, dims: Mapping[str, int], rng: np.random.Generator, special: float = 0.0
) -> dict[str, Any]:
    """Every argument by name: floats of magnitudes in [0.25, 1.25], integers in [0, 3), dim inputs from `dims`.

    A share of `special` of the float inputs is NaN, infinite or a zero of either sign.
    """
    # Published models get weights of their usual size, so that logits keep theirs.
    found: dict[str, Any] = {} if model.name.startswith("random_") else dict(rlx.models.random_weights(model, int(rng.integers(99))))
    for kind, name, value in signature(model.main):
        if name in found:
            continue
        if kind == "dim_input":
            found[name] = np.asarray(dims[name], np.int64)
            continue
        wanted = shaped_type(value)
        shape, dtype = extents(wanted.dims, dims), numpy_dtype(wanted.element_type)
        if dtypes.is_float(wanted.element_type):
            numbers = np.asarray(rng.uniform(0.25, WIDTH, shape) * rng.choice([-1.0, 1.0], shape))
            if special and kind == "input":
                numbers = np.where(rng.random(shape) < special, rng.choice(SPECIAL, shape), numbers)
            found[name] = numbers.astype(dtype)
        else:
            found[name] = np.asarray(rng.integers(0, 2 if dtype == np.bool_ else 3, shape)).astype(dtype)
    return found


def is_lir(module: ModuleOp) -> bool:
    return any(True for _ in programs(module))


def run_module(module: ModuleOp, arguments: Mapping[str, Any], dims: Mapping[str, int], *, exact: bool) -> dict[str, Array]:
    """Outputs and final states of a module of any level but kernel, by the executor of its level; `exact` is float64.

    Arguments that the module no longer has are left out.
    """
    if is_lir(module):
        buffers = {name: value for name, value in arguments.items() if name not in dims}
        return run_lir(module, buffers, dims, precision="f64" if exact else None)
    functions = [op for op in module.ops if isinstance(op, FuncOp)]
    wanted = {name for function in functions for _, name, _ in signature(function)}
    results = execute(module, {name: value for name, value in arguments.items() if name in wanted}, dims, exact=exact)
    return {**results.outputs, **results.states}


def epsilon(model: rlx.Model) -> float:
    """The machine epsilon of the narrowest float in the model."""
    found = [EPSILON["f64"]]
    for op in (model.main, *model.main.walk()):
        for value in (*op.results, *(model.main.body.block.args if op is model.main else ())):
            element = getattr(value.type, "element_type", None)
            if element is not None and dtypes.is_float(element):
                found.append(EPSILON[dtypes.dtype_name(element)])
    return max(found)


def distance(found: Array, wanted: Array) -> float:
    """The largest difference, relative to the largest magnitude of `wanted` or 1; infinite where only one is finite."""
    if found.shape != wanted.shape:
        return np.inf
    if not wanted.size:
        return 0.0
    a, b = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(a - b))
    finite = np.abs(b)[np.isfinite(b)]
    worst = float(np.max(np.where(np.isnan(difference), np.inf, difference)))
    return worst / max(1.0, float(np.max(finite, initial=0.0)))


def assert_close(found: Mapping[str, Array], wanted: Mapping[str, Array], tolerance: float | Mapping[str, float], what: str) -> None:
    """Equal names and dtypes, and no result further than `tolerance` (see `distance`)."""
    assert set(wanted) <= set(found), f"{what}: results are {sorted(found)}, not {sorted(wanted)}"
    for name, array in wanted.items():
        allowed = tolerance if isinstance(tolerance, float) else tolerance[name]
        assert found[name].dtype == array.dtype, f"{what}: '{name}' is {found[name].dtype}, not {array.dtype}"
        far = distance(found[name], array)
        assert far <= allowed, f"{what}: '{name}' is off by {far:.3g}, allowed {allowed:.3g}\n{found[name]}\nis not\n{array}"


def assert_bits(found: Mapping[str, Array], wanted: Mapping[str, Array], what: str) -> None:
    """Equal bits; NaN equals NaN."""
    assert_close(found, wanted, 0.0, what)

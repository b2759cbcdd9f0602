"""Models on target "cpu" against NumPy: many shapes, poisoned memory, teams of one and two, specialized code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

import rlx
from rlx_backends.support import plan_function
from rlx_runtime import Executable, arena
from rlx_runtime.cpu_executable import CpuExecutable
from rlx_runtime.dtypes import numpy_dtype
from tests.differential.arguments import (
    Array,
    assert_bits,
    assert_close,
    distance,
    epsilon,
    random_arguments,
    random_dims,
    run_module,
)

EPSILONS = 64
"""What a result may be off by, in epsilons of the narrowest float, beyond 8 times the error of NumPy in the declared types."""


@contextmanager
def stress() -> Iterator[None]:
    """Arenas are poisoned before every call, and the least work is worth the whole team."""
    before = arena.poison, plan_function.SMALL_WORK
    arena.poison, plan_function.SMALL_WORK = True, 0
    try:
        yield
    finally:
        arena.poison, plan_function.SMALL_WORK = before


def call(executable: Executable, arguments: Mapping[str, Any], dims: Mapping[str, int], model: rlx.Model) -> dict[str, Array]:
    """Outputs and final states of one call, into outputs filled with 0xFF; `executable` is not bound yet."""
    bound = executable.bind({name: arguments[name] for name in model.params.names})
    return call_bound(bound, arguments, dims, model)


def call_bound(bound: Executable, arguments: Mapping[str, Any], dims: Mapping[str, int], model: rlx.Model) -> dict[str, Array]:
    inputs = {name: arguments[name] for name in model.inputs.names} | {name: int(dims[name]) for name in model.dim_inputs}
    state = {name: np.array(arguments[name]) for name in model.states.names}
    out = {spec.name: poisoned(spec.concrete(dims), spec.dtype) for spec in bound.outputs}
    results = bound.run(inputs, out=out, state=state or None)
    return {**results, **state}


def poisoned(shape: tuple[int, ...], dtype: str) -> Array:
    """An array of 0xFF bytes: NaN in every float type, -1 in integers."""
    kind = np.dtype(numpy_dtype(dtype))
    return np.full(int(np.prod(shape)) * kind.itemsize, 0xFF, np.uint8).view(kind).reshape(shape)


def tolerances(declared: Mapping[str, Array], exact: Mapping[str, Array], epsilon: float) -> dict[str, float]:
    """What each result may be off by."""
    return {name: EPSILONS * epsilon + 8 * distance(declared[name], exact[name]) for name in exact}


def check_native(
    model: rlx.Model,
    seed: int,
    options: rlx.Options | None = None,
    calls: int = 3,
    specialized: bool = True,
    special: float = 0.0,
) -> None:
    """Compile `model` once and compare a few calls of random shapes with NumPy in float64."""
    rng = np.random.default_rng(seed)
    eps = epsilon(model)
    with stress():
        whole = rlx.lower(model, "cpu", options).compile()
        teams = [whole, CpuExecutable({**whole.manifest, "threads": 1}, whole.objects, whole.stages)]
        for number in range(calls):
            dims = random_dims(model, rng)
            arguments = random_arguments(model, dims, rng, special)
            exact = run_module(model.module, arguments, dims, exact=True)
            declared = run_module(model.module, arguments, dims, exact=False)
            allowed = tolerances(declared, exact, eps)
            found, alone = (call(executable, arguments, dims, model) for executable in teams)
            close(found, declared, exact, allowed, f"target cpu, {dims}")
            assert_bits(alone, found, f"one thread and two, {dims}")
            if specialized and number == 0 and dims:
                fixed = {name: value for name, value in dims.items() if not model.dims[name].runtime}
                narrowed = call(teams[0].specialize(**fixed), arguments, dims, model)
                close(narrowed, declared, exact, allowed, f"specialized for {dims}")


def close(
    found: Mapping[str, Array], declared: Mapping[str, Array], exact: Mapping[str, Array], allowed: Mapping[str, float], what: str
) -> None:
    """Results of the declared types, near the exact ones."""
    for name, array in declared.items():
        assert found[name].dtype == array.dtype, f"{what}: '{name}' is {found[name].dtype}, not {array.dtype}"
    assert_close({name: np.asarray(found[name], np.float64) for name in exact},
                 {name: np.asarray(array, np.float64) for name, array in exact.items()}, allowed, what)  # fmt: skip

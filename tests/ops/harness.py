"""One MIR op, from its text through a target's whole pipeline, against an oracle that shares nothing with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

import rlx
from rlx_dialects.mir.semantics import NUMPY_DTYPES
from rlx_runtime.gpu.driver import open_driver
from tests.differential.native import poisoned, stress

Array = Any
TOLERANCE = {"f64": 1e-12, "f32": 2e-6, "f16": 2e-3, "bf16": 1.6e-2}
"""Relative to the largest magnitude of a result: about ten epsilons, two for the narrow types."""

EXTENTS = (1, 3, 17, 2, 33)


def model_of(line: str, operands: Sequence[str], results: Sequence[str], dims: Sequence[str] = ()) -> rlx.Model:
    """`%r0, … = line` as a model; operand types are `B x 8 x f32`, operands are called %x0, %x1, …; `dims` are symbols in [1, 64]."""
    operands, results = ([re.sub(r"\bu(\d+)$", r"ui\1", t) for t in kinds] for kinds in (operands, results))
    names = ", ".join(f"#rlx.dim<{dim} in [0, 64]>" for dim in dims)
    arguments = ", ".join(f'%x{i}: !rlx.tensor<{t}> {{rlx.input = "x{i}"}}' for i, t in enumerate(operands))
    given = ", ".join(f'!rlx.tensor<{t}> {{rlx.output = "r{i}"}}' for i, t in enumerate(results))
    heads = ", ".join(f"%r{i}" for i in range(len(results)))
    types = ", ".join(f"!rlx.tensor<{t}>" for t in results)
    ins = ", ".join(f"!rlx.tensor<{t}>" for t in operands)
    return rlx.parse(
        f"func.func @main({arguments}) -> ({given}) attributes {{rlx.dims = [{names}]}} {{\n"
        f"  {heads} = {line} : ({ins}) -> {f'({types})' if len(results) != 1 else types}\n"
        f"  func.return {heads} : {types}\n}}\n"
    )


GPUS = ("cuda", "rocm", "metal")


@cache
def has_device(target: str) -> bool:
    """Whether a GPU target is executed here; else it is emulated."""
    try:
        open_driver(target, f"device.{target}").activate()
    except rlx.TargetError:
        return False
    return True


_seen: dict[str, int] = {}


def emulated(line: str) -> tuple[str, ...]:
    """The GPU that this use of an op runs on, emulated: they take turns over the uses, so that each op meets all of them."""
    name = line.split()[0]
    _seen[name] = _seen.get(name, -1) + 1
    return (GPUS[_seen[name] % len(GPUS)],)


def check(
    line: str,
    operands: Sequence[str],
    results: Sequence[str],
    oracle: Callable[..., Any],
    make: Callable[[np.random.Generator, Mapping[str, int]], Sequence[Array]],
    *,
    dims: Sequence[str] = (),
    sizes: Sequence[Mapping[str, int]] = ({},),
    targets: Sequence[str] = ("numpy", "cpu"),
    tolerance: float | None = None,
) -> None:
    """The op on fresh arrays `make(rng, sizes)`, outputs poisoned, at every size, on every target, equals `oracle(*arrays)`.

    The oracle sees floats as float64; integer and bool results must be equal.
    """
    model = model_of(line, operands, results, dims)
    rng = np.random.default_rng(0)
    for target in (*targets, *emulated(line)):
        with stress():
            options = rlx.Options(emulate=target in GPUS and not has_device(target))
            executable = rlx.compile(model, target, options)
            for size in sizes[-2:] if target in GPUS else sizes:
                arrays = make(rng, size)
                wide = [a.astype(np.float64) if a.dtype not in (np.bool_,) and a.dtype.kind not in "iu" else a for a in arrays]
                wanted = oracle(*wide)
                wanted = wanted if isinstance(wanted, tuple) else (wanted,)
                out = {spec.name: poisoned(np.shape(w), spec.dtype) for spec, w in zip(executable.outputs, wanted, strict=True)}
                found = executable.run({f"x{i}": a for i, a in enumerate(arrays)}, out=out)
                for spec, want in zip(executable.outputs, wanted, strict=True):
                    compare(found[spec.name], np.asarray(want), spec.dtype, f"{target} {size} {spec.name}: {line}", tolerance)


def compare(found: Array, wanted: Array, dtype: str, what: str, tolerance: float | None = None) -> None:
    assert found.shape == wanted.shape, f"{what}: {found.shape} instead of {wanted.shape}"
    if dtype not in TOLERANCE:
        np.testing.assert_array_equal(found, wanted.astype(NUMPY_DTYPES[dtype]), err_msg=what)
        return
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = max(1.0, float(np.max(finite, initial=0.0)))
    bound = (tolerance or TOLERANCE[dtype]) * scale
    np.testing.assert_allclose(np.asarray(found, np.float64), wanted, rtol=0, atol=bound, err_msg=what)


def floats(rng: np.random.Generator, shape: Sequence[int], dtype: str = "f32") -> Array:
    """Of magnitudes in [0.25, 3), either sign."""
    return (rng.uniform(0.25, 3.0, shape) * rng.choice([-1.0, 1.0], shape)).astype(NUMPY_DTYPES[dtype])


def integers(rng: np.random.Generator, shape: Sequence[int], low: int, high: int, dtype: str = "i64") -> Array:
    """In [low, high)."""
    return rng.integers(low, high, shape).astype(NUMPY_DTYPES[dtype])

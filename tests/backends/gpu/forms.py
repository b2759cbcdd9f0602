"""Inputs of the tests of schedules on GPUs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rlx_dialects.lir.semantics import storage_dtype
from rlx_dialects.rlx import dtypes


def random(shape: tuple[int, ...], dtype: str = "f32", seed: int = 0) -> np.ndarray:
    """Non-zero numbers of both signs where there are some, of an API dtype; bools of both kinds."""
    rng = np.random.default_rng(seed)
    kind = storage_dtype(dtypes.dtype(dtype))
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    signs = 1 if dtype.startswith("u") else rng.choice([-1, 1], shape)
    if kind.kind in "iu":
        return (signs * rng.integers(1, 100, shape)).astype(kind)
    return (signs * rng.uniform(0.25, 2, shape)).astype(kind)


def program(dims: Mapping[str, str], body: str, constraints: str = "") -> str:
    """An LIR program with dims in ranges: `{"B": "[1, 8]"}`, with `runtime` behind the range where that is so."""
    declared = ", ".join(f"#rlx.dim<{name} in {limits}>" for name, limits in dims.items())
    stated = f", rlx.constraints = [#rlx.constraint<{constraints}>]" if constraints else ""
    return f"lir.program @main attributes {{rlx.dims = [{declared}]{stated}}} {{\n{body}\n}}"

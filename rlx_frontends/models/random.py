"""Random weights, for tests and benchmarks of models whose real weights are not at hand."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from rlx_frontends.model import Model

_DTYPES: dict[str, Any] = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16,
}  # fmt: skip


def random_weights(model: Model, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays for all float parameters of `model`: matrices N(0, 1/columns), vectors near 1 if named `*.weight`, else near 0.

    The same `seed` gives the same values. KeyError for a parameter that is no float.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray[Any, Any]] = {}
    for spec in model.params:
        shape = tuple(int(str(dim)) for dim in spec.shape)
        values = rng.standard_normal(shape, np.float32)
        if len(shape) > 1:
            values *= np.float32(shape[-1] ** -0.5)
        else:
            values = values * np.float32(0.1) + np.float32(spec.name.endswith(".weight"))
        found[spec.name] = values.astype(_DTYPES[spec.dtype])
    return found

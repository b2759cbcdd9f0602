"""NumPy with its BLAS (OpenBLAS in the wheels): what plain Python gets."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import kernel_cases, minilm_model
from benchmarks.worker import Prepared


def gelu(x: np.ndarray) -> np.ndarray:
    """gelu with erf by Abramowitz & Stegun 7.1.26 (absolute error 1.5e-7), because NumPy has none."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429) * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(coefficient)) * t
    erf = np.copysign(1 - series * np.exp(-z * z), x)
    return np.float32(0.5) * x * (1 + erf)


def minilm(inputs: dict[str, np.ndarray], threads: int) -> Prepared:
    """Threads are those of OPENBLAS_NUM_THREADS, which the harness sets."""
    model, ids, mask = minilm_model.parameters(), inputs["input_ids"], inputs["attention_mask"]

    def run() -> Any:
        return minilm_model.forward(model, ids, mask, gelu)

    return Prepared(run, lambda: dict(zip(minilm_model.OUTPUTS, run())), {"numpy": np.__version__})


def kernel(inputs: dict[str, np.ndarray], threads: int, kernel: str) -> Prepared:
    reference = kernel_cases.find(kernel).reference
    return Prepared(lambda: reference(inputs, gelu), lambda: {"out": reference(inputs, gelu)}, {"numpy": np.__version__})

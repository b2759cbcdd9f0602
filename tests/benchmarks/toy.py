"""Builders of toy contenders for the tests of the harness."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.worker import Prepared


def double(inputs: dict[str, np.ndarray], threads: int, factor: float = 2.0) -> Prepared:
    def run() -> Any:
        return inputs["x"] * factor

    return Prepared(run, lambda: {"y": run()}, {"toy": "1"})


def missing(inputs: dict[str, np.ndarray], threads: int) -> Prepared:
    raise ModuleNotFoundError("No module named 'toy'")


def dies(inputs: dict[str, np.ndarray], threads: int) -> Prepared:
    import os

    os._exit(7)

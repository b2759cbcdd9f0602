"""RLX on the CPU target: specialized to the shape, or the generic code that serves every shape."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from benchmarks import minilm_model
from benchmarks.worker import Prepared


@cache
def executable(target: str, dims: tuple[tuple[str, int], ...]) -> Any:
    """MiniLM compiled with these dims fixed (none: for all shapes) and bound, once for each process."""
    import rlx

    model, weights = rlx.models.minilm()
    return rlx.compile(model, target=target, weights=weights, dims=dict(dims))


def minilm(inputs: dict[str, np.ndarray], threads: int, specialize: bool, target: str = "cpu") -> Prepared:
    """NumPy arrays in, NumPy arrays out through `out=`; the threads are those of RLX_NUM_THREADS, which the harness sets."""
    import rlx

    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    batch, sequence = ids.shape
    call = executable(target, (("B", batch), ("S", sequence)) if specialize else ())
    shapes = ((batch, sequence, minilm_model.config().hidden_size), (batch, minilm_model.config().hidden_size))
    out = tuple(np.full(shape, np.nan, np.float32) for shape in shapes)

    def run() -> Any:
        return call(ids, mask, out=out)

    def outputs() -> dict[str, np.ndarray]:
        for array in out:
            array.fill(np.nan)
        run()
        return dict(zip(minilm_model.OUTPUTS, out))

    return Prepared(run, outputs, {"rlx": rlx.__version__})

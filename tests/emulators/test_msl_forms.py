"""LIR programs on the way of target metal, through the Metal Shading Language and clang, against the NumPy executor in float64.

One kernel for each form and each of f32, f16 and bf16, at odd sizes.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.emulators.msl_harness import needs_clang, run_form

pytestmark = needs_clang

DTYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
TOLERANCE = {"f32": 2e-6, "f16": 1e-3, "bf16": 8e-3}


def random(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Non-zero floats."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], shape) * rng.uniform(0.25, 2, shape)).astype(DTYPES[dtype])


MAP = """
lir.program @main attributes {{rlx.dims = [#rlx.dim<B in [0, 64]>, #rlx.dim<N in [0, 512]>]}} {{
  %x = lir.input @x : !lir.buffer<B x N x {t}>
  %g = lir.input @g : !lir.buffer<N x {t}>
  %y = lir.output @y : !lir.buffer<B x N x {t}>
  lir.map (i : B, j : N) ins(%x[i, j], %g[j]) outs(%y[i, j]) {{
  ^bb0(%a: {t}, %b: {t}):
    %m = arith.mulf %a, %b : {t}
    %e = math.tanh %m : {t}
    lir.yield %e : {t}
  }} : !lir.buffer<B x N x {t}>, !lir.buffer<N x {t}>, !lir.buffer<B x N x {t}>
}}
"""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 17), (5, 0), (7, 200)])
def test_map(dtype: str, rows: int, columns: int) -> None:
    arrays = {"x": random((rows, columns), dtype), "g": random((columns,), dtype, 1)}
    run_form(MAP.format(t=dtype), arrays, {"B": rows, "N": columns}, rtol=TOLERANCE[dtype])

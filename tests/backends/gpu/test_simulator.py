"""The launch simulator: results of schedules, threads that meet, and violations that must be found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.backends.gpu.harness import TARGETS, run_form


def random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Non-zero floats."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], shape) * rng.uniform(0.25, 2, shape)).astype(np.float32)


def program(dims: Mapping[str, str], body: str) -> str:
    declared = ", ".join(f"#rlx.dim<{name} in {limits}>" for name, limits in dims.items())
    return f"lir.program @main attributes {{rlx.dims = [{declared}]}} {{\n{body}\n}}"


ROWS = program(
    {"B": "[0, 64]", "N": "[0, 512]"},
    """
  %x = lir.input @x : !lir.buffer<B x N x f32>
  %g = lir.input @g : !lir.buffer<N x f32>
  %y = lir.output @y : !lir.buffer<B x N x f32>
  lir.map (i : B, j : N) ins(%x[i, j], %g[j]) outs(%y[i, j]) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.mulf %a, %b : f32
    %e = math.tanh %m : f32
    lir.yield %e : f32
  } : !lir.buffer<B x N x f32>, !lir.buffer<N x f32>, !lir.buffer<B x N x f32>""",
)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", [0, 1, 3, 17, 200])
def test_map_runs_on_every_dialect(target: str, size: int) -> None:
    for rows in (1, 5):
        arrays = {"x": random((rows, size)), "g": random((size,), 1)}
        run_form(ROWS, arrays, {"B": rows, "N": size}, target=target)

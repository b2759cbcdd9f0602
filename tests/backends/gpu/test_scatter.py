"""Scatters on the GPU dialects: equal destinations combine in iteration order, without atomics."""

from __future__ import annotations

import numpy as np
import pytest

from rlx_runtime.errors import LowerError
from tests.backends.gpu.forms import program, random
from tests.backends.gpu.harness import TARGETS, ProgramRun, compile_program, run_everywhere

SCATTER = """
  %u = lir.input @u : !lir.buffer<N x 20 x {dtype}>
  %i = lir.input @i : !lir.buffer<N x i64>
  %y = lir.state @y : !lir.buffer<11 x 20 x {dtype}>
  lir.scatter (n : N, j : 20) ins(%u[n, j], %i[n]) outs(%y) params {{combine = "{combine}", oob = "{oob}"}} {{
  ^bb0(%v: {dtype}, %id: i64):
    %j = lir.index {column}
    %c = arith.index_cast %j : index to i64
    lir.yield %id, %c, %v : i64, i64, {dtype}
  }} : !lir.buffer<N x 20 x {dtype}>, !lir.buffer<N x i64>, !lir.buffer<11 x 20 x {dtype}>"""


@pytest.mark.parametrize("combine", ["add", "max", "min", "set"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "i32", "i64", "bool"])
@pytest.mark.parametrize(("column", "kind"), [("j", "columns"), ("19 - j", "destinations")])
def test_scatter_combines_in_order(combine: str, dtype: str, column: str, kind: str) -> None:
    element = "i1" if dtype == "bool" else dtype
    text = program({"N": "[0, 99]"}, SCATTER.format(combine=combine, dtype=element, column=column, oob="drop"))
    for n in (0, 1, 3, 17, 40):
        ids = np.random.default_rng(n).integers(-1, 12, n)
        arrays = {"u": random((n, 20), dtype), "i": ids, "y": random((11, 20), dtype, 1)}
        run_everywhere(text, arrays, {"N": n}, rtol=5e-2 if dtype == "bf16" else 1e-5, kinds=[kind])


@pytest.mark.parametrize("column", ["j", "19 - j"])
def test_a_bad_index_is_reported(column: str) -> None:
    text = program({"N": "[0, 99]"}, SCATTER.format(combine="add", dtype="f32", column=column, oob="error"))
    for target in TARGETS:
        for reverse in (False, True):
            run = ProgramRun(compile_program(text, target), {"N": 4}, reverse)
            run.run({"u": random((4, 20)), "i": np.array([1, 11, -7, 2]), "y": random((11, 20))})
            assert list(run.status[:5]) == [1, 0, 2, 11, 11], "the first in order"


def test_scatter_to_one_number_and_by_a_runtime_count() -> None:
    text = program(
        {"N": "[0, 99] runtime"},
        """
  %u = lir.input @u : !lir.buffer<99 x f32>
  %y = lir.state @y : !lir.buffer<f32>
  lir.scatter (n : N) ins(%u[n]) outs(%y) params {combine = "add", oob = "error"} {
  ^bb0(%v: f32):
    lir.yield %v : f32
  } : !lir.buffer<99 x f32>, !lir.buffer<f32>""",
    )
    for n in (0, 1, 13, 99):
        run_everywhere(text, {"u": random((99,)), "y": random(())}, {"N": n}, rtol=1e-5)


@pytest.mark.parametrize("shares", [8, 64, 512])
def test_columns_are_divided(shares: int) -> None:
    text = program(
        {"N": "[0, 99]", "D": "[1, 99]"},
        SCATTER.format(combine="add", dtype="f32", column="j", oob="drop").replace("20", "D"),
    )
    force = f'#lir.schedule<"columns" {{dim = "j", shares = {shares} : i64}}>'
    for n, d in ((40, 1), (17, 33), (99, 70)):
        ids = np.random.default_rng(n).integers(0, 11, n)
        arrays = {"u": random((n, d)), "i": ids, "y": random((11, d), seed=1)}
        run_everywhere(text, arrays, {"N": n, "D": d}, rtol=1e-5, schedule=force)


@pytest.mark.parametrize("schedule", ['"columns" {dim = "k", shares = 8 : i64}', '"destinations" {dim = "", shares = 8 : i64}'])
def test_schedules_that_do_not_fit_are_refused(schedule: str) -> None:
    text = program({"N": "[0, 99]"}, SCATTER.format(combine="add", dtype="f32", column="j", oob="drop"))
    with pytest.raises(LowerError, match="of a scatter"):
        compile_program(text, "cuda", f"#lir.schedule<{schedule}>")

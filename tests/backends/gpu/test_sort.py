"""Sorts on the GPU dialects: selection, and networks in shared and in scratch memory."""

from __future__ import annotations

import numpy as np
import pytest

from rlx_runtime.errors import LowerError
from tests.backends.gpu.forms import program, random
from tests.backends.gpu.harness import compile_program, run_everywhere


def sort(order: str, dtype: str, limit: str, comparator: str = "", n: str = "[1, 2048]", rows: str = "[0, 64]") -> str:
    return program(
        {"B": rows, "N": n},
        f"""
  %x = lir.input @x : !lir.buffer<B x N x {dtype}>
  %z = lir.input @z : !lir.buffer<N x i64>
  %v = lir.output @v : !lir.buffer<B x {limit} x {dtype}>
  %w = lir.output @w : !lir.buffer<B x {limit} x i64>
  %p = lir.output @p : !lir.buffer<B x {limit} x i64>
  lir.sort (i : B | j : N | t : {limit}) ins(%x[i, j], %z[j]) outs(%v[i, t], %w[i, t], %p[i, t]) params {{order = "{order}"}}{comparator}
    : !lir.buffer<B x N x {dtype}>, !lir.buffer<N x i64>, !lir.buffer<B x {limit} x {dtype}>, !lir.buffer<B x {limit} x i64>, !lir.buffer<B x {limit} x i64>""",
    )


def rows(count: int, size: int, dtype: str) -> dict[str, np.ndarray]:
    """Rows with equal elements, and with NaN."""
    x = random((count, size), dtype)
    if dtype != "bool":
        x = np.round(x.astype(np.float64) * (2 if dtype[0] in "fb" else 0.1)).astype(x.dtype)
    if dtype == "f32" and count > 1:
        x[0, ::4], x[1, :] = np.nan, 1.0
    return {"x": x, "z": np.arange(size)[::-1].copy()}


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16", "i32", "i64", "u8", "bool"])
@pytest.mark.parametrize(("limit", "kind"), [("N", "shared"), ("1", "select"), ("40", "digits")])
def test_sorts_are_stable_and_put_nan_last(order: str, dtype: str, limit: str, kind: str) -> None:
    kind = "shared" if (dtype, kind) == ("i64", "digits") else kind  # a digit search takes keys of 32 bits
    text = sort(order, {"u8": "ui8", "bool": "i1"}.get(dtype, dtype), limit, n="[40, 2048]" if limit == "40" else "[5, 2048]")
    for size in (40, 200) if limit == "40" else (5, 17, 33, 300):
        run_everywhere(text, rows(3, size, dtype), {"B": 3, "N": size}, rtol=0, kinds=[kind])


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "i32", "u32", "i8", "u8", "bool"])
def test_selection_by_digits(order: str, dtype: str) -> None:
    """Zeros of both signs are equal, equal keys keep their order, infinities stand before NaN."""
    text = sort(order, {"u8": "ui8", "u32": "ui32", "bool": "i1"}.get(dtype, dtype), "min(N, 20)")
    for size in (1, 17, 33, 500):
        arrays = rows(3, size, dtype)
        if dtype == "f32" and size > 20:
            arrays["x"][2, :20] = np.array([0.0, -0.0, np.inf, -np.inf, np.nan] * 4)
            arrays["x"][2, 20:] = -0.0
        force = '#lir.schedule<"digits" {team = 256 : i64, size = 20 : i64}>'
        run_everywhere(text, arrays, {"B": 3, "N": size}, rtol=0, schedule=force)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 31, 33, 64, 129, 1000])
def test_networks_of_any_length(size: int) -> None:
    for kind in ('"shared" {team = 64 : i64, size = 2048 : i64}', '"scratch" {team = 128 : i64}'):
        text = sort("ascending", "f32", "N")
        run_everywhere(text, rows(2, size, "f32"), {"B": 2, "N": size}, rtol=0, schedule=f"#lir.schedule<{kind}>")


@pytest.mark.parametrize("team", [64, 256, 1024])
def test_selection_by_teams(team: int) -> None:
    for size in (7, 300):
        text = sort("descending", "f32", "7", n="[7, 2048]")
        for kind in ("select", "digits") if team >= 256 else ("select",):
            force = f'#lir.schedule<"{kind}" {{team = {team} : i64, size = 7 : i64}}>'
            run_everywhere(text, rows(2, size, "f32"), {"B": 2, "N": size}, rtol=0, schedule=force)


def test_rows_of_any_length_are_sorted_in_scratch() -> None:
    for count in (0, 1, 5):
        text = sort("descending", "f32", "N", n="[1, 200000]")
        run_everywhere(text, rows(count, 333, "f32"), {"B": count, "N": 333}, rtol=0, kinds=["scratch"])


def test_runtime_dims() -> None:
    for n, limits in (("[1, 300] runtime", "[1, 8]"), ("[1, 300]", "[1, 8] runtime")):
        for kind in ("shared", "scratch"):
            force = '"shared" {team = 64 : i64, size = 300 : i64}' if kind == "shared" else '"scratch" {team = 64 : i64}'
            text = sort("ascending", "i32", "N", n=n, rows=limits)
            run_everywhere(text, rows(3, 33, "i32"), {"B": 3, "N": 33}, schedule=f"#lir.schedule<{force}>")


def test_sort_by_a_comparator() -> None:
    comparator = """ comparator {
  ^bb0(%a: f32, %b: f32):
    %c = math.absf %a : f32
    %d = math.absf %b : f32
    %r = arith.cmpf ogt, %c, %d : f32
    lir.yield %r : i1
  }"""
    for limit in ("N", "2"):
        text = sort("opaque", "f32", limit, comparator, n="[2, 2048]")
        run_everywhere(text, {"x": random((4, 19)), "z": np.arange(19)}, {"B": 4, "N": 19}, rtol=0)


@pytest.mark.parametrize("schedule", ['"select" {team = 32 : i64}', '"shared" {team = 64 : i64, size = 9 : i64}', '"shared" {team = 8 : i64}', '"digits" {team = 256 : i64, size = 9 : i64}'])
def test_schedules_that_do_not_fit_are_refused(schedule: str) -> None:
    with pytest.raises(LowerError, match="of a sort"):
        compile_program(sort("ascending", "f32", "N"), "cuda", f"#lir.schedule<{schedule}>")

"""Maps on all three GPU dialects, on the launch simulator against float64 NumPy: dtypes, odd sizes, guards, gathers, states."""

from __future__ import annotations

import numpy as np
import pytest

from rlx_dialects.rlx import dtypes
from tests.backends.cpu.schedules.test_map import GATHER, program, random
from tests.backends.gpu.harness import TARGETS, ProgramRun, compile_program, run_everywhere, run_form

SIZES = [1, 3, 17, 64, 200]
DTYPES = ["f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "u64", "bool", "f8e4m3fn", "f8e5m2"]


@pytest.mark.parametrize("size", [0, *SIZES])
def test_rows_by_row_and_column(size: int) -> None:
    text = program(
        {"B": "[0, 64]", "N": "[0, 512]"},
        """
  %x = lir.input @x : !lir.buffer<B x N x f32>
  %g = lir.input @g : !lir.buffer<N x f32>
  %r = lir.input @r : !lir.buffer<B x f32>
  %y = lir.output @y : !lir.buffer<B x N x f32>
  lir.map (i : B, j : N) ins(%x[i, j], %g[j], %r[i]) outs(%y[i, j]) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %m, %c : f32
    %e = math.tanh %s : f32
    lir.yield %e : f32
  } : !lir.buffer<B x N x f32>, !lir.buffer<N x f32>, !lir.buffer<B x f32>, !lir.buffer<B x N x f32>""",
    )
    for rows in (1, 5):
        arrays = {"x": random((rows, size)), "g": random((size,), seed=1), "r": random((rows,), seed=2)}
        run_everywhere(text, arrays, {"B": rows, "N": size})


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_copied_and_selected(dtype: str) -> None:
    for n in (37, 64):
        kind = str(dtypes.dtype(dtype))
        scalar = kind.replace("ui", "i")
        text = program(
            {},
            f"""
  %x = lir.input @x : !lir.buffer<3 x {n} x {kind}>
  %z = lir.input @z : !lir.buffer<{n} x {kind}>
  %m = lir.input @m : !lir.buffer<3 x {n} x i1>
  %y = lir.output @y : !lir.buffer<3 x {n} x {kind}>
  lir.map (i : 3, j : {n}) ins(%x[i, j], %z[j], %m[i, j]) outs(%y[i, j]) {{
  ^bb0(%a: {scalar}, %b: {scalar}, %c: i1):
    %r = arith.select %c, %a, %b : {scalar}
    lir.yield %r : {scalar}
  }} : !lir.buffer<3 x {n} x {kind}>, !lir.buffer<{n} x {kind}>, !lir.buffer<3 x {n} x i1>, !lir.buffer<3 x {n} x {kind}>""",
        )
        arrays = {"x": random((3, n), dtype), "z": random((n,), dtype, 1), "m": random((3, n), "bool", 2)}
        run_everywhere(text, arrays, rtol=0)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "f64"])
def test_arithmetic_is_rounded_once(dtype: str) -> None:
    """Sums and products of narrow floats are computed in f32."""
    kind = str(dtypes.dtype(dtype))
    for n in (17, 64):
        text = program(
            {"N": "[1, 99]"},
            f"""
  %x = lir.input @x : !lir.buffer<N x {kind}>
  %z = lir.input @z : !lir.buffer<N x {kind}>
  %y = lir.output @y : !lir.buffer<N x {kind}>
  lir.map (i : N) ins(%x[i], %z[i]) outs(%y[i]) {{
  ^bb0(%a: {kind}, %b: {kind}):
    %s = arith.addf %a, %b : {kind}
    lir.yield %s : {kind}
  }} : !lir.buffer<N x {kind}>, !lir.buffer<N x {kind}>, !lir.buffer<N x {kind}>""",
        )
        x, z = random((n,), dtype), random((n,), dtype, 1)
        wide = np.float64 if dtype == "f64" else np.float32
        for target in TARGETS:
            found = run_form(text, {"x": x, "z": z}, {"N": n}, target=target, rtol=1e-2)["y"]
            np.testing.assert_array_equal(found, (x.astype(wide) + z.astype(wide)).astype(x.dtype))


@pytest.mark.parametrize("size", SIZES)
def test_transpose_slice_concat_and_padding(size: int) -> None:
    text = program(
        {"N": "[1, 299]"},
        """
  %x = lir.input @x : !lir.buffer<5 x N x f32>
  %y = lir.output @y : !lir.buffer<(N + 2) x 5 x f32>
  %p = lir.output @p : !lir.buffer<7 x (N + 4) x f32>
  lir.map (j : N, i : 5) ins(%x[i, j]) outs(%y[j, i]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<5 x N x f32>, !lir.buffer<(N + 2) x 5 x f32>
  lir.map (j : 2, i : 5) ins(%x[4 - i, 0]) outs(%y[N + j, i]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<5 x N x f32>, !lir.buffer<(N + 2) x 5 x f32>
  lir.map (i : 7, j : N + 4) ins(%x[i - 1, j - 3] else 7.0 : f32) outs(%p[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<5 x N x f32>, !lir.buffer<7 x (N + 4) x f32>""",
    )
    run_everywhere(text, {"x": random((5, size))}, {"N": size}, rtol=0)


@pytest.mark.parametrize("index", ["i64", "i32"])
@pytest.mark.parametrize("oob", ["error", "clamp", "fill 3.0 : f32"])
def test_rows_of_a_table(index: str, oob: str) -> None:
    body = GATHER.format(index=index, oob=oob, shape="N x 40", iters="n : N, c : 40", place="n, c", column="c")
    body = body.replace("oob(fill 3.0 : f32)", "oob(fill) 3.0 : f32")
    ids = np.array([3, 10, 0, 7, 7], f"int{index[1:]}")
    if oob != "error":
        ids[1], ids[3] = -2, 11
    run_everywhere(program({"N": "[1, 99]"}, body), {"t": random((11, 40)), "i": ids}, {"N": 5}, rtol=0)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bad", [-1, 11])
def test_an_index_out_of_range_is_reported(target: str, bad: int) -> None:
    rows = {"shape": "N x 40", "iters": "n : N, c : 40", "place": "n, c", "column": "c"}
    body = GATHER.format(index="i64", oob="error", **rows)
    text = program({"N": "[1, 99]"}, body)
    ids = np.arange(9) % 4
    ids[6] = bad
    run = ProgramRun(compile_program(text, target), {"N": 9})
    run.run({"t": random((11, 40)), "i": ids})
    assert list(run.status[:5]) == [1, 0, 1, bad, 11]


def test_rank_0_views_constants_and_index_values() -> None:
    text = program(
        {"N": "[1, 99]", "P": "[0, 4096]"},
        """
  %x = lir.input @x : !lir.buffer<f32>
  %c = lir.constant dense<[1.5, 2.5, 3.5]> : tensor<3xf32> to !lir.buffer<3 x f32>
  %y = lir.output @y : !lir.buffer<f32>
  %z = lir.output @z : !lir.buffer<N x 3 x f32>
  %w = lir.output @w : !lir.buffer<N x 3 x i64>
  lir.map () ins(%x[]) outs(%y[]) {
  ^bb0(%a: f32):
    %n = arith.negf %a : f32
    lir.yield %n : f32
  } : !lir.buffer<f32>, !lir.buffer<f32>
  lir.map (i : N, j : 3) ins(%c[j]) outs(%z[i, j], %w[i, j]) {
  ^bb0(%k: f32):
    %p = lir.index P + i * 2
    %d = arith.index_cast %p : index to i64
    %f = arith.sitofp %d : i64 to f32
    %s = arith.addf %f, %k : f32
    lir.yield %s, %d : f32, i64
  } : !lir.buffer<3 x f32>, !lir.buffer<N x 3 x f32>, !lir.buffer<N x 3 x i64>""",
    )
    run_everywhere(text, {"x": random(())}, {"N": 19, "P": 100})


@pytest.mark.parametrize("size", SIZES)
def test_state_at_a_runtime_dim(size: int) -> None:
    """One compiled program serves every value of the runtime dim, which kernels read from memory."""
    text = program(
        {"S": "[1, 299]", "P": "[0, 100] runtime"},
        """
  %k = lir.state @k : !lir.buffer<2 x 400 x 8 x f32>
  %n = lir.input @n : !lir.buffer<2 x S x 8 x f32>
  lir.map (b : 2, s : S, d : 8) ins(%n[b, s, d]) outs(%k[b, P + s, d]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<2 x S x 8 x f32>, !lir.buffer<2 x 400 x 8 x f32>""",
    )
    for start in (0, 5, 100):
        arrays = {"k": random((2, 400, 8)), "n": random((2, size, 8), seed=1)}
        run_everywhere(text, arrays, {"S": size, "P": start}, rtol=0)


def test_temporaries_lie_in_the_arena() -> None:
    text = program(
        {"N": "[1, 99]"},
        """
  %x = lir.input @x : !lir.buffer<N x 40 x f32>
  %t = lir.alloc : !lir.buffer<40 x N x f32>
  %y = lir.output @y : !lir.buffer<N x 40 x bf16>
  lir.map (i : N, j : 40) ins(%x[i, j]) outs(%t[j, i]) {
  ^bb0(%a: f32):
    %e = math.exp %a : f32
    lir.yield %e : f32
  } : !lir.buffer<N x 40 x f32>, !lir.buffer<40 x N x f32>
  lir.map (i : N, j : 40) ins(%t[39 - j, i]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    %e = arith.truncf %a : f32 to bf16
    lir.yield %e : bf16
  } : !lir.buffer<40 x N x f32>, !lir.buffer<N x 40 x bf16>""",
    )

    run_everywhere(text, {"x": random((13, 40))}, {"N": 13}, rtol=2**-8)

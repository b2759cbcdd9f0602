"""Maps on the GPU dialects against float64: dtypes, vectors and their tails, tiles, guards, tables, faults, runtime dims."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from rlx_dialects.rlx import dtypes
from rlx_runtime.errors import LowerError
from tests.backends.gpu.forms import program, random
from tests.backends.gpu.harness import TARGETS, ProgramRun, compile_program, run_everywhere, run_form

SIZES = [1, 3, 17, 33, 1000]
VECTOR = '#lir.schedule<"vector" {{dim = "{dim}", lanes = {lanes} : i64}}>'

ROWS = program(
    {"B": "[0, 4096]", "N": "[0, 2048]"},
    """
  %x = lir.input @x : !lir.buffer<B x N x f32>
  %g = lir.input @g : !lir.buffer<N x f32>
  %r = lir.input @r : !lir.buffer<B x f32>
  %y = lir.output @y : !lir.buffer<B x N x f32>
  lir.map (i : B, j : N) ins(%x[i, j], %g[j], %r[i]) outs(%y[i, j]) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %m, %c : f32
    lir.yield %s : f32
  } : !lir.buffer<B x N x f32>, !lir.buffer<N x f32>, !lir.buffer<B x f32>, !lir.buffer<B x N x f32>""",
)


@pytest.mark.parametrize("size", [0, *SIZES, 64])
def test_rows_by_row_vector(size: int) -> None:
    """With vectors where rows hold whole ones, which is known at the call."""
    for rows in (0, 1, 5):
        arrays = {"x": random((rows, size)), "g": random((size,), seed=1), "r": random((rows,), seed=2)}
        run_everywhere(ROWS, arrays, {"B": rows, "N": size}, kinds=["vector", "vector"])


@pytest.mark.parametrize("dtype", ["f32", "bf16", "i8"])
@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_a_space_that_is_one_dim_has_a_tail(dtype: str, lanes: int) -> None:
    text = program(
        {"A": "[0, 64]", "N": "[0, 2048]"},
        f"""
  %x = lir.input @x : !lir.buffer<A x N x {dtype}>
  %m = lir.input @m : !lir.buffer<A x N x i1>
  %y = lir.output @y : !lir.buffer<A x N x {dtype}>
  lir.map (i : A, j : N) ins(%x[i, j], %m[i, j]) outs(%y[i, j]) {{
  ^bb0(%a: {dtype}, %c: i1):
    %z = arith.constant {"0 : i8" if dtype == "i8" else f"0.0 : {dtype}"}
    %r = arith.select %c, %a, %z : {dtype}
    lir.yield %r : {dtype}
  }} : !lir.buffer<A x N x {dtype}>, !lir.buffer<A x N x i1>, !lir.buffer<A x N x {dtype}>""",
    )
    for a, n in ((0, 3), (1, 1), (1, 7), (3, 33), (2, 1000)):
        arrays = {"x": random((a, n), dtype), "m": random((a, n), "bool")}
        run_everywhere(text, arrays, {"A": a, "N": n}, rtol=0, schedule=VECTOR.format(dim="j", lanes=lanes))


@pytest.mark.parametrize(("lanes", "points"), [(1, 4), (2, 2), (4, 3)])
def test_several_vectors_of_a_thread(lanes: int, points: int) -> None:
    schedule = f'#lir.schedule<"vector" {{dim = "j", lanes = {lanes} : i64, points = {points} : i64}}>'
    for rows, size in ((0, 4), (1, 4), (5, 64), (12, 1000)):
        arrays = {"x": random((rows, size)), "g": random((size,), seed=1), "r": random((rows,), seed=2)}
        run_everywhere(ROWS, arrays, {"B": rows, "N": size}, schedule=schedule)


def test_large_maps_take_whole_accesses() -> None:
    """16 bytes of the widest buffer, aligned where dims are multiples; every row of a long one is a run of vectors."""
    body = ROWS.split("{\n", 1)[1].rsplit("}", 1)[0].replace("B x", "4096 x").replace("i : B", "i : 4096")
    for limits, lanes in (("[1, 4096] multiple_of 8", 4), ("[1, 4096]", 1)):
        ir = str(compile_program(program({"N": limits}, body), "cuda").module)
        assert ("align 16> -> vector<4xf32>" in ir) is True
        assert ir.count("cuda.launch") == (1 if lanes == 4 else 2)
        assert "kernel.offset" in ir


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "u64", "bool"])
def test_every_dtype_is_copied_and_selected(dtype: str) -> None:
    n = 36
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
    for lanes in (1, 4):
        run_everywhere(text, arrays, rtol=0, schedule=VECTOR.format(dim="j", lanes=lanes))


@pytest.mark.parametrize("size", SIZES)
def test_bf16_is_widened_and_rounded_once(size: int) -> None:
    text = program(
        {"N": "[1, 2048]"},
        """
  %x = lir.input @x : !lir.buffer<N x bf16>
  %y = lir.output @y : !lir.buffer<N x bf16>
  lir.map (i : N) ins(%x[i]) outs(%y[i]) {
  ^bb0(%a: bf16):
    %w = arith.extf %a : bf16 to f32
    %q = arith.mulf %w, %w : f32
    %s = arith.addf %q, %w : f32
    %t = arith.truncf %s : f32 to bf16
    lir.yield %t : bf16
  } : !lir.buffer<N x bf16>, !lir.buffer<N x bf16>""",
    )
    x = random((size,), "bf16")
    wide = x.astype(np.float32)
    for target in TARGETS:
        found = run_form(text, {"x": x}, {"N": size}, target=target, rtol=1e-2)["y"]
        np.testing.assert_array_equal(found, (wide * wide + wide).astype(ml_dtypes.bfloat16))


TRANSPOSE = """
  %x = lir.input @x : !lir.buffer<2 x A x N x {dtype}>
  %b = lir.input @b : !lir.buffer<A x {dtype}>
  %y = lir.output @y : !lir.buffer<N x 2 x A x {dtype}>
  lir.map (j : N, k : 2, i : A) ins(%x[k, i, j], %b[i]) outs(%y[j, k, i]) {{
  ^bb0(%a: {dtype}, %c: {dtype}):
    %s = arith.{op} %a, %c : {dtype}
    lir.yield %s : {dtype}
  }} : !lir.buffer<2 x A x N x {dtype}>, !lir.buffer<A x {dtype}>, !lir.buffer<N x 2 x A x {dtype}>"""


@pytest.mark.parametrize(("dtype", "op"), [("f32", "addf"), ("f16", "maximumf"), ("i64", "addi"), ("i8", "xori")])
@pytest.mark.parametrize("limits", ["[0, 99]", "[0, 99] runtime", "[32, 96] multiple_of 32"])
def test_transposes_go_through_shared_memory(dtype: str, op: str, limits: str) -> None:
    text = program({"A": "[0, 99]", "N": limits}, TRANSPOSE.format(dtype=dtype, op=op))
    sizes = [(32, 32), (64, 96)] if "multiple" in limits else [(0, 5), (5, 0), (1, 1), (3, 17), (33, 31), (64, 70)]
    for a, n in sizes:
        arrays = {"x": random((2, a, n), dtype), "b": random((a,), dtype, 1)}
        run_everywhere(text, arrays, {"A": a, "N": n}, rtol=1e-3 if dtype == "f16" else 2e-6, kinds=["tile"])


@pytest.mark.parametrize("size", SIZES[:-1])
def test_slices_concat_and_padding(size: int) -> None:
    text = program(
        {"N": "[1, 99]"},
        """
  %x = lir.input @x : !lir.buffer<5 x N x f32>
  %y = lir.output @y : !lir.buffer<(N + 2) x 5 x f32>
  %z = lir.output @z : !lir.buffer<7 x (N + 4) x f32>
  lir.map (j : N, i : 5) ins(%x[i, j]) outs(%y[j, i]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<5 x N x f32>, !lir.buffer<(N + 2) x 5 x f32>
  lir.map (j : 2, i : 5) ins(%x[4 - i, 0]) outs(%y[N + j, i]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<5 x N x f32>, !lir.buffer<(N + 2) x 5 x f32>
  lir.map (i : 7, j : N + 4) ins(%x[i - 1, j - 3] else 7.0 : f32) outs(%z[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<5 x N x f32>, !lir.buffer<7 x (N + 4) x f32>""",
    )
    run_everywhere(text, {"x": random((5, size))}, {"N": size}, rtol=0)


@pytest.mark.parametrize("lanes", [1, 4])
def test_padding_by_lanes(lanes: int) -> None:
    text = program(
        {"N": "[1, 99] multiple_of 4"},
        """
  %x = lir.input @x : !lir.buffer<3 x N x f32>
  %y = lir.output @y : !lir.buffer<5 x (N + 4) x f32>
  lir.map (i : 5, j : N + 4) ins(%x[i - 1, j - 3] else 7.0 : f32) outs(%y[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<3 x N x f32>, !lir.buffer<5 x (N + 4) x f32>""",
    )
    for size in (4, 32):
        run_everywhere(text, {"x": random((3, size))}, {"N": size}, rtol=0, schedule=VECTOR.format(dim="j", lanes=lanes))


@pytest.mark.parametrize("lanes", [1, 2])
def test_reshape_through_floordiv_and_mod(lanes: int) -> None:
    text = program(
        {"N": "[1, 99]"},
        """
  %x = lir.input @x : !lir.buffer<N x 6 x f32>
  %y = lir.output @y : !lir.buffer<(N * 6) x f32>
  lir.map (p : N * 6) ins(%x[(p floordiv 2) mod N, p mod 6]) outs(%y[p]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<N x 6 x f32>, !lir.buffer<(N * 6) x f32>""",
    )
    for size in (1, 3, 17, 33):
        run_everywhere(text, {"x": random((size, 6))}, {"N": size}, rtol=0, schedule=VECTOR.format(dim="p", lanes=lanes))


GATHER = """
  %t = lir.input @t : !lir.buffer<11 x 40 x f32>
  %i = lir.input @i : !lir.buffer<N x {index}>
  %y = lir.output @y : !lir.buffer<{shape} x f32>
  lir.map ({iters}) ins(%i[n], %t) outs(%y[{place}]) {{
  ^bb0(%id: {index}, %b: !lir.buffer<11 x 40 x f32>):
    %c = lir.index {column}
    %v = lir.read %b[%id, %c] oob({oob}) : !lir.buffer<11 x 40 x f32>, {index}, index
    lir.yield %v : f32
  }} : !lir.buffer<N x {index}>, !lir.buffer<11 x 40 x f32>, !lir.buffer<{shape} x f32>"""
ROW_READS = {"shape": "N x 40", "iters": "n : N, c : 40", "place": "n, c", "column": "c"}
LANE_READS = {"shape": "N", "iters": "n : N", "place": "n", "column": "n mod 40"}


@pytest.mark.parametrize("index", ["i64", "i32"])
@pytest.mark.parametrize("oob", ["error", "clamp", "fill 3.0 : f32"])
@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("form", ["rows", "lanes"])
def test_reads_of_a_table(index: str, oob: str, lanes: int, form: str) -> None:
    body = GATHER.format(index=index, oob=oob, **(ROW_READS if form == "rows" else LANE_READS))
    body = body.replace("oob(fill 3.0 : f32)", "oob(fill) 3.0 : f32")
    ids = np.random.default_rng(0).integers(0, 11, 33).astype(f"int{index[1:]}")
    if oob != "error":
        ids[[1, 12, 30]] = -5, 11, 2**30
    schedule = VECTOR.format(dim="c" if form == "rows" else "n", lanes=lanes)
    text = program({"N": "[1, 99]"}, body)
    run_everywhere(text, {"t": random((11, 40)), "i": ids}, {"N": 33}, rtol=0, schedule=schedule)


@pytest.mark.parametrize("form", ["rows", "lanes"])
@pytest.mark.parametrize("bad", [-1, 11])
def test_an_index_out_of_range_is_reported(form: str, bad: int) -> None:
    body = GATHER.format(index="i64", oob="error", **(ROW_READS if form == "rows" else LANE_READS))
    ids = np.arange(9) % 4
    ids[6] = bad
    for target in TARGETS:
        run = ProgramRun(compile_program(program({"N": "[1, 99]"}, body), target), {"N": 9})
        run.run({"t": random((11, 40)), "i": ids})
        assert list(run.status[:5]) == [1, 0, 1, bad, 11]


def test_rank_0_and_unit_extents() -> None:
    text = program(
        {},
        """
  %x = lir.input @x : !lir.buffer<f32>
  %u = lir.input @u : !lir.buffer<1 x 1 x f32>
  %y = lir.output @y : !lir.buffer<f32>
  %z = lir.output @z : !lir.buffer<1 x 1 x f32>
  lir.map () ins(%x[]) outs(%y[]) {
  ^bb0(%a: f32):
    %n = arith.negf %a : f32
    lir.yield %n : f32
  } : !lir.buffer<f32>, !lir.buffer<f32>
  lir.map (i : 1, j : 1) ins(%u[i, j]) outs(%z[i, j]) {
  ^bb0(%a: f32):
    %n = arith.negf %a : f32
    lir.yield %n : f32
  } : !lir.buffer<1 x 1 x f32>, !lir.buffer<1 x 1 x f32>""",
    )
    run_everywhere(text, {"x": random(()), "u": random((1, 1))})


@pytest.mark.parametrize("lanes", [1, 4])
def test_index_values_and_two_results(lanes: int) -> None:
    text = program(
        {"N": "[1, 99]", "P": "[0, 4096] runtime"},
        """
  %y = lir.output @y : !lir.buffer<N x 8 x f32>
  %z = lir.output @z : !lir.buffer<N x 8 x i64>
  lir.map (i : N, j : 8) outs(%y[i, j], %z[i, j]) {
    %p = lir.index P + i * 2
    %c = arith.index_cast %p : index to i64
    %f = arith.sitofp %c : i64 to f32
    %q = lir.index j * j + i
    %d = arith.index_cast %q : index to i64
    lir.yield %f, %d : f32, i64
  } : !lir.buffer<N x 8 x f32>, !lir.buffer<N x 8 x i64>""",
    )
    run_everywhere(text, {}, {"N": 19, "P": 100}, schedule=VECTOR.format(dim="j", lanes=lanes))


@pytest.mark.parametrize("size", SIZES[:-1])
def test_a_state_is_updated_in_place_at_a_runtime_place(size: int) -> None:
    text = program(
        {"S": "[1, 99]", "P": "[0, 101] runtime"},
        """
  %k = lir.state @k : !lir.buffer<2 x 200 x 8 x f32>
  %n = lir.input @n : !lir.buffer<2 x S x 8 x f32>
  lir.map (b : 2, s : S, d : 8) ins(%n[b, s, d]) outs(%k[b, P + s, d]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<2 x S x 8 x f32>, !lir.buffer<2 x 200 x 8 x f32>""",
    )
    run_everywhere(text, {"k": random((2, 200, 8)), "n": random((2, size, 8), seed=1)}, {"S": size, "P": 5}, rtol=0)


def test_a_runtime_extent_is_checked_in_the_kernel() -> None:
    text = program(
        {"P": "[0, 300] runtime"},
        """
  %x = lir.input @x : !lir.buffer<300 x 3 x f32>
  %y = lir.state @y : !lir.buffer<300 x 3 x f32>
  lir.map (i : P, j : 3) ins(%x[i, j]) outs(%y[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<300 x 3 x f32>, !lir.buffer<300 x 3 x f32>""",
    )
    for p in (0, 1, 100, 300):
        run_everywhere(text, {"x": random((300, 3)), "y": random((300, 3), seed=1)}, {"P": p}, rtol=0)


def test_a_packed_layout_is_written() -> None:
    layout = "#lir.layout<(k, n) -> (n floordiv 32, k, n mod 32) in [2, 7, 32]>"
    text = program(
        {},
        f"""
  %w = lir.input @w : !lir.buffer<64 x 7 x f32>
  %p = lir.output @p : !lir.buffer<7 x 64 x f32, {layout}>
  lir.map (k : 7, n : 64) ins(%w[n, k]) outs(%p[k, n]) {{
  ^bb0(%a: f32):
    lir.yield %a : f32
  }} : !lir.buffer<64 x 7 x f32>, !lir.buffer<7 x 64 x f32, {layout}>""",
    )
    w = random((64, 7))
    for target in TARGETS:
        found = ProgramRun(compile_program(text, target), {}).run({"w": w})["p"]
        for n in range(64):
            np.testing.assert_array_equal(found[n // 32, :, n % 32], w[n])


@pytest.mark.parametrize(
    "schedule",
    ['"vector" {dim = "k", lanes = 1 : i64}', '"tile" {dim = "i", across = "i"}', '"rows" {dim = "i", lanes = 1 : i64}'],
)
def test_schedules_that_do_not_fit_are_refused(schedule: str) -> None:
    with pytest.raises(LowerError, match="of a map over"):
        compile_program(ROWS, "cuda", f"#lir.schedule<{schedule}>")

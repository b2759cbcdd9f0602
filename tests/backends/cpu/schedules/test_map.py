"""Maps on the CPU against float64 NumPy: dtypes, odd sizes, views, guards, gathers, in place."""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import pytest

from rlx_dialects.lir.semantics import storage_dtype
from rlx_dialects.rlx import dtypes
from tests.backends.cpu.schedules.forms import ITEM, NativeRun, check

SIZES = [1, 3, 7, 17, 63]


def random(shape: tuple[int, ...], dtype: str = "f32", seed: int = 0) -> np.ndarray:
    """Non-zero values: floats from ±[0.25, 2], integers from ±[1, 9]."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    sign = rng.choice([-1, 1], shape) if not dtype.startswith("u") else 1
    if dtype.startswith(("i", "u")):
        return (sign * rng.integers(1, 9, shape)).astype(dtype.replace("u", "uint").replace("i", "int").replace("uintnt", "uint"))
    return (sign * rng.uniform(0.25, 2, shape)).astype(storage_dtype(dtypes.dtype(dtype)))


def program(dims: Mapping[str, str], body: str) -> str:
    declared = ", ".join(f"#rlx.dim<{name} in {limits}>" for name, limits in dims.items())
    return f"lir.program @main attributes {{rlx.dims = [{declared}]}} {{\n{body}\n}}"


@pytest.mark.parametrize("size", [0, *SIZES, 64, 200])
def test_rows_by_row_vector(size: int) -> None:
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
    lir.yield %s : f32
  } : !lir.buffer<B x N x f32>, !lir.buffer<N x f32>, !lir.buffer<B x f32>, !lir.buffer<B x N x f32>""",
    )
    for rows in (1, 5):
        arrays = {"x": random((rows, size)), "g": random((size,), seed=1), "r": random((rows,), seed=2)}
        check(text, arrays, {"B": rows, "N": size})


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "u64", "bool"])
def test_every_dtype_is_copied_and_selected(dtype: str) -> None:
    n = 37
    kind = str(dtypes.dtype(dtype))
    scalar = str(dtypes.dtype(dtype)).replace("ui", "i")
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
    check(text, {"x": random((3, n), dtype), "z": random((n,), dtype, 1), "m": random((3, n), "bool", 2)}, {})


@pytest.mark.parametrize("size", SIZES)
def test_bf16_is_widened_and_rounded_once(size: int) -> None:
    text = program(
        {"N": "[1, 99]"},
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
    native = NativeRun(text, {"x": x}, {"N": size}).run(1)["y"]
    wide = x.astype(np.float32)
    np.testing.assert_array_equal(native, (wide * wide + wide).astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize("size", SIZES)
def test_transpose_slice_and_concat(size: int) -> None:
    text = program(
        {"N": "[1, 99]"},
        """
  %x = lir.input @x : !lir.buffer<5 x N x f32>
  %y = lir.output @y : !lir.buffer<(N + 2) x 5 x f32>
  lir.map (j : N, i : 5) ins(%x[i, j]) outs(%y[j, i]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<5 x N x f32>, !lir.buffer<(N + 2) x 5 x f32>
  lir.map (j : 2, i : 5) ins(%x[4 - i, 0]) outs(%y[N + j, i]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<5 x N x f32>, !lir.buffer<(N + 2) x 5 x f32>""",
    )
    check(text, {"x": random((5, size))}, {"N": size}, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_padding_reads_fill_outside(size: int) -> None:
    text = program(
        {"N": "[1, 99]"},
        """
  %x = lir.input @x : !lir.buffer<3 x N x f32>
  %y = lir.output @y : !lir.buffer<5 x (N + 4) x f32>
  lir.map (i : 5, j : N + 4) ins(%x[i - 1, j - 3] else 7.0 : f32) outs(%y[i, j]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<3 x N x f32>, !lir.buffer<5 x (N + 4) x f32>""",
    )
    check(text, {"x": random((3, size))}, {"N": size}, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_reshape_through_floordiv_and_mod(size: int) -> None:
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
    check(text, {"x": random((size, 6))}, {"N": size}, rtol=0)


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


@pytest.mark.parametrize("index", ["i64", "i32"])
@pytest.mark.parametrize("oob", ["error", "clamp", "fill 3.0 : f32"])
def test_rows_of_a_table(index: str, oob: str) -> None:
    body = GATHER.format(index=index, oob=oob, shape="N x 40", iters="n : N, c : 40", place="n, c", column="c")
    body = body.replace("oob(fill 3.0 : f32)", "oob(fill) 3.0 : f32")
    ids = np.array([3, 10, 0, 7, 7], f"int{index[1:]}")
    if oob != "error":
        ids[1], ids[3] = -2, 11
    check(program({"N": "[1, 99]"}, body), {"t": random((11, 40)), "i": ids}, {"N": 5}, rtol=0)


@pytest.mark.parametrize("oob", ["error", "clamp", "fill 3.0 : f32"])
def test_elements_of_a_table_by_lanes(oob: str) -> None:
    body = GATHER.format(index="i64", oob=oob, shape="N", iters="n : N", place="n", column="n mod 40")
    body = body.replace("oob(fill 3.0 : f32)", "oob(fill) 3.0 : f32")
    ids = np.random.default_rng(0).integers(0, 11, 77)
    if oob != "error":
        ids[[1, 30, 70]] = -5, 11, 2**40
    check(program({"N": "[1, 99]"}, body), {"t": random((11, 40)), "i": ids}, {"N": 77}, rtol=0)


@pytest.mark.parametrize("shape", ["rows", "lanes"])
@pytest.mark.parametrize("bad", [-1, 11])
def test_an_index_out_of_range_is_reported(shape: str, bad: int) -> None:
    rows = {"shape": "N x 40", "iters": "n : N, c : 40", "place": "n, c", "column": "c"}
    lanes = {"shape": "N", "iters": "n : N", "place": "n", "column": "n mod 40"}
    body = GATHER.format(index="i64", oob="error", **(rows if shape == "rows" else lanes))
    ids = np.arange(9) % 4
    ids[6] = bad
    native = NativeRun(program({"N": "[1, 99]"}, body), {"t": random((11, 40)), "i": ids}, {"N": 9})
    native.run(1)
    assert list(native.status[:5]) == [1, ITEM, 1, bad, 11]


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
    check(text, {"x": random(()), "u": random((1, 1))}, {})


def test_index_values_and_two_results() -> None:
    text = program(
        {"N": "[1, 99]", "P": "[0, 4096]"},
        """
  %y = lir.output @y : !lir.buffer<N x 5 x f32>
  %z = lir.output @z : !lir.buffer<N x 5 x i64>
  lir.map (i : N, j : 5) outs(%y[i, j], %z[i, j]) {
    %p = lir.index P + i * 2
    %c = arith.index_cast %p : index to i64
    %f = arith.sitofp %c : i64 to f32
    %q = lir.index j * j + i
    %d = arith.index_cast %q : index to i64
    lir.yield %f, %d : f32, i64
  } : !lir.buffer<N x 5 x f32>, !lir.buffer<N x 5 x i64>""",
    )
    check(text, {}, {"N": 19, "P": 100})


@pytest.mark.parametrize("size", SIZES)
def test_state_is_updated_in_place(size: int) -> None:
    text = program(
        {"S": "[1, 99]", "P": "[0, 4096] runtime"},
        """
  %k = lir.state @k : !lir.buffer<2 x 200 x 8 x f32>
  %n = lir.input @n : !lir.buffer<2 x S x 8 x f32>
  lir.map (b : 2, s : S, d : 8) ins(%n[b, s, d]) outs(%k[b, P + s, d]) {
  ^bb0(%a: f32):
    lir.yield %a : f32
  } : !lir.buffer<2 x S x 8 x f32>, !lir.buffer<2 x 200 x 8 x f32>""",
    )
    check(text, {"k": random((2, 200, 8)), "n": random((2, size, 8), seed=1)}, {"S": size, "P": 5}, rtol=0)


def test_packed_layout_is_written() -> None:
    layout = "#lir.layout<(k, n) -> (n floordiv 32, k, n mod 32) in [2, 7, 32]>"
    text = program(
        {},
        f"""
  %w = lir.input @w : !lir.buffer<45 x 7 x f32>
  %p = lir.output @p : !lir.buffer<7 x 45 x f32, {layout}>
  lir.map (k : 7, n : 45) ins(%w[n, k]) outs(%p[k, n]) {{
  ^bb0(%a: f32):
    lir.yield %a : f32
  }} : !lir.buffer<45 x 7 x f32>, !lir.buffer<7 x 45 x f32, {layout}>""",
    )
    w = random((45, 7))
    found = NativeRun(text, {"w": w}, {}).run(2)["p"]
    for n in range(45):
        np.testing.assert_array_equal(found[n // 32, :, n % 32], w[n])

"""Vector ops: broadcasts, reductions, transposes, shuffles and products of tiles, on all vector widths."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from rlx_backends.cpu.target import CpuTarget
from tests.backends.cpu.harness import Program, aligned, targets

TARGETS = targets()
all_targets = pytest.mark.parametrize("target", TARGETS, ids=[f"{target.vector_bits}" for target in TARGETS])
SIZES = [1, 3, 16, 17, 29, 64]


def filled(shape: tuple[int, ...] | int, dtype: object = np.float32, seed: int = 0) -> np.ndarray:
    array = aligned(shape, dtype)
    rng = np.random.default_rng(seed)
    if np.issubdtype(np.dtype(dtype), np.integer):  # pyright: ignore[reportArgumentType]
        array[...] = rng.integers(-100, 100, array.shape)
    else:
        array[...] = rng.uniform(-2, 2, array.shape).astype(dtype)  # pyright: ignore[reportArgumentType]
    return array


@all_targets
def test_broadcasts_and_rows(target: CpuTarget) -> None:
    program = Program(
        """
        kernel.func @f(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %ld: index) {
          %c0 = arith.constant 0 : index
          %row = kernel.load %x[%c0] : !kernel.ptr<f32, global> -> vector<21xf32>
          %column = kernel.load %x[%c0] : !kernel.ptr<f32, global> -> vector<6xf32>
          %s = kernel.extract %row[20] : vector<21xf32>
          %a = kernel.broadcast %row as row : vector<21xf32> -> vector<6x21xf32>
          %b = kernel.broadcast %column as column : vector<6xf32> -> vector<6x21xf32>
          %c = kernel.broadcast %s : f32 -> vector<6x21xf32>
          %ab = arith.mulf %a, %b : vector<6x21xf32>
          %t = arith.addf %ab, %c : vector<6x21xf32>
          %r1 = kernel.extract %t[1] : vector<6x21xf32>
          %first = kernel.extract %r1[17] : vector<21xf32>
          %r2 = kernel.insert %first, %r1[2] : f32, vector<21xf32>
          %u = kernel.insert %r2, %t[5] : vector<21xf32>, vector<6x21xf32>
          kernel.store %u, %y[%c0] stride %ld : vector<6x21xf32>, !kernel.ptr<f32, global>
          kernel.return
        }
        """,
        target,
    )
    x, y = filled(21), aligned((6, 21))
    program.run("f", x, y, 21)
    expected = x * x[:6, None] + x[20]
    expected[5] = expected[1]
    expected[5, 2] = expected[1, 17]
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@all_targets
@pytest.mark.parametrize("size", SIZES)
def test_reductions_to_scalars(target: CpuTarget, size: int) -> None:
    floats = {
        "add": np.sum, "mul": np.prod, "maximumf": np.max, "minimumf": np.min, "maxnumf": np.fmax.reduce, "minnumf": np.fmin.reduce,
    }  # fmt: skip
    ints = {
        "add": np.sum, "mul": np.prod, "maxsi": np.max, "minsi": np.min, "and": np.bitwise_and.reduce, "or": np.bitwise_or.reduce,
        "xor": np.bitwise_xor.reduce,
    }  # fmt: skip
    lines = []
    for element, kinds, pointer in (("f32", floats, "%x"), ("i32", ints, "%i")):
        out = "%y" if element == "f32" else "%j"
        lines.append(f"%v{element} = kernel.load {pointer}[%c0] : !kernel.ptr<{element}, global> -> vector<{size}x{element}>")
        for at, kind in enumerate(kinds):
            lines.append(f"%at{element}{at} = arith.constant {at} : index")
            lines.append(f"%r{element}{at} = kernel.reduce {kind} %v{element} : vector<{size}x{element}> -> {element}")
            lines.append(f"kernel.store %r{element}{at}, {out}[%at{element}{at}] : {element}, !kernel.ptr<{element}, global>")
    body = "\n".join(lines)
    program = Program(
        f"""
        kernel.func @f(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %i: !kernel.ptr<i32, global>, %j: !kernel.ptr<i32, global>) {{
          %c0 = arith.constant 0 : index
          {body}
          kernel.return
        }}
        """,
        target,
    )
    x, y, i, j = filled(size), aligned(len(floats)), filled(size, np.int32), aligned(len(ints), np.int32)
    program.run("f", x, y, i, j)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(y, [f(exact) for f in floats.values()], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(j, np.array([f(i) for f in ints.values()]).astype(np.int32))
    if size > 2:
        x[size // 2] = np.nan
        program.run("f", x, y, i, j)
        np.testing.assert_array_equal(np.isnan(y), [True, True, True, True, False, False])
        np.testing.assert_array_equal(y[4:], [np.nanmax(x), np.nanmin(x)])


@all_targets
@pytest.mark.parametrize(("rows", "columns"), [(1, 5), (8, 32), (5, 17)])
@pytest.mark.parametrize("element", ["f32", "f16"])
def test_reductions_of_tiles(target: CpuTarget, rows: int, columns: int, element: str) -> None:
    dtype = {"f32": np.float32, "f16": np.float16}[element]
    ptr, tile = f"!kernel.ptr<{element}, global>", f"vector<{rows}x{columns}x{element}>"
    program = Program(
        f"""
        kernel.func @f(%x: {ptr}, %a: {ptr}, %b: {ptr}, %c: {ptr}, %d: {ptr}, %ld: index) {{
          %c0 = arith.constant 0 : index
          %t = kernel.load %x[%c0] stride %ld : {ptr} -> {tile}
          %r = kernel.reduce add %t over columns : {tile} -> vector<{rows}x{element}>
          kernel.store %r, %a[%c0] : vector<{rows}x{element}>, {ptr}
          %s = kernel.reduce maximumf %t over rows : {tile} -> vector<{columns}x{element}>
          kernel.store %s, %b[%c0] : vector<{columns}x{element}>, {ptr}
          %all = kernel.reduce add %t : {tile} -> {element}
          kernel.store %all, %c[%c0] : {element}, {ptr}
          %max = kernel.reduce maximumf %t over columns : {tile} -> vector<{rows}x{element}>
          %spread = kernel.broadcast %max as column : vector<{rows}x{element}> -> {tile}
          %diff = arith.subf %t, %spread : {tile}
          kernel.store %diff, %d[%c0] stride %ld : {tile}, {ptr}
          kernel.return
        }}
        """,
        target,
    )
    x = filled((rows, columns), dtype)
    a, b, c, d = aligned(rows, dtype), aligned(columns, dtype), aligned(1, dtype), aligned((rows, columns), dtype)
    program.run("f", x, a, b, c, d, columns)
    exact = x.astype(np.float64)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if element == "f32" else {"rtol": 6e-4, "atol": 1e-6}
    np.testing.assert_allclose(a.astype(np.float64), exact.sum(1), **tolerance)
    np.testing.assert_array_equal(b, x.max(0))
    np.testing.assert_allclose(c.astype(np.float64), [exact.sum()], **tolerance)
    np.testing.assert_allclose(d.astype(np.float64), exact - exact.max(1, keepdims=True), **tolerance)


@all_targets
@pytest.mark.parametrize("size", SIZES)
def test_masks_reduce_to_any_and_all(target: CpuTarget, size: int) -> None:
    program = Program(
        f"""
        kernel.func @f(%y: !kernel.ptr<i1, global>, %n: index) {{
          %c0 = arith.constant 0 : index
          %c1 = arith.constant 1 : index
          %m = kernel.mask %n : vector<{size}xi1>
          %any = kernel.reduce or %m : vector<{size}xi1> -> i1
          %all = kernel.reduce and %m : vector<{size}xi1> -> i1
          kernel.store %any, %y[%c0] : i1, !kernel.ptr<i1, global>
          kernel.store %all, %y[%c1] : i1, !kernel.ptr<i1, global>
          kernel.return
        }}
        """,
        target,
    )
    for n in (-1, 0, 1, size - 1, size, size + 1):
        y = aligned(2, np.bool_)
        program.run("f", y, n)
        assert y.tolist() == [n > 0, n >= size]


@all_targets
@pytest.mark.parametrize("size", SIZES)
def test_reduce_with_finds_the_first_maximum(target: CpuTarget, size: int) -> None:
    program = Program(
        f"""
        kernel.func @f(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<i64, global>) {{
          %c0 = arith.constant 0 : index
          %v = kernel.load %x[%c0] : !kernel.ptr<f32, global> -> vector<{size}xf32>
          %lanes = kernel.iota : vector<{size}xi64>
          %best, %at = kernel.reduce_with (%v, %lanes) : vector<{size}xf32>, vector<{size}xi64> {{
          ^bb0(%a: f32, %ai: i64, %b: f32, %bi: i64):
            %greater = arith.cmpf ogt, %a, %b : f32
            %equal = arith.cmpf oeq, %a, %b : f32
            %before = arith.cmpi slt, %ai, %bi : i64
            %tie = arith.andi %equal, %before : i1
            %keep = arith.ori %greater, %tie : i1
            %w = arith.select %keep, %a, %b : f32
            %wi = arith.select %keep, %ai, %bi : i64
            kernel.yield %w, %wi : f32, i64
          }}
          kernel.store %at, %y[%c0] : i64, !kernel.ptr<i64, global>
          kernel.return
        }}
        """,
        target,
    )
    for seed in range(3):
        x, y = filled(size, seed=seed), aligned(1, np.int64)
        x[:] = np.round(x)  # ties
        program.run("f", x, y)
        assert y[0] == np.argmax(x)


@all_targets
def test_reduce_with_merges_moments_per_row(target: CpuTarget) -> None:
    """Welford's combine with a count that is the same on both sides, from outside constants, on rows of a tile."""
    program = Program(
        """
        kernel.func @f(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %z: !kernel.ptr<f32, global>, %ld: index) {
          %c0 = arith.constant 0 : index
          %one = arith.constant 1.0 : f32
          %zero = arith.constant 0.0 : f32
          %t = kernel.load %x[%c0] stride %ld : !kernel.ptr<f32, global> -> vector<3x24xf32>
          %n = kernel.broadcast %one : f32 -> vector<3x24xf32>
          %m2 = kernel.broadcast %zero : f32 -> vector<3x24xf32>
          %mean, %s, %count = kernel.reduce_with (%t, %m2, %n) : vector<3x24xf32>, vector<3x24xf32>, vector<3x24xf32> {
          ^bb0(%a: f32, %as: f32, %an: f32, %b: f32, %bs: f32, %bn: f32):
            %total = arith.addf %an, %bn : f32
            %d = arith.subf %b, %a : f32
            %share = arith.divf %bn, %total : f32
            %step = arith.mulf %d, %share : f32
            %m = arith.addf %a, %step : f32
            %both = arith.addf %as, %bs : f32
            %dd = arith.mulf %d, %step : f32
            %ddn = arith.mulf %dd, %an : f32
            %v = arith.addf %both, %ddn : f32
            kernel.yield %m, %v, %total : f32, f32, f32
          }
          kernel.store %mean, %y[%c0] : vector<3xf32>, !kernel.ptr<f32, global>
          kernel.store %s, %z[%c0] : vector<3xf32>, !kernel.ptr<f32, global>
          kernel.return
        }
        """,
        target,
    )
    x, y, z = filled((3, 24)), aligned(3), aligned(3)
    program.run("f", x, y, z, 24)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(y, exact.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(z, exact.var(1) * 24, rtol=1e-5)


@all_targets
@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (8, 8), (4, 16), (32, 16), (5, 3), (17, 33), (1, 9)])
@pytest.mark.parametrize("element", ["f32", "i8", "bf16"])
def test_transpose(target: CpuTarget, rows: int, columns: int, element: str) -> None:
    dtype = {"f32": np.float32, "i8": np.int8, "bf16": ml_dtypes.bfloat16}[element]
    program = Program(
        f"""
        kernel.func @f(%x: !kernel.ptr<{element}, global>, %y: !kernel.ptr<{element}, global>, %ldx: index, %ldy: index) {{
          %c0 = arith.constant 0 : index
          %t = kernel.load %x[%c0] stride %ldx : !kernel.ptr<{element}, global> -> vector<{rows}x{columns}x{element}>
          %u = kernel.transpose %t : vector<{rows}x{columns}x{element}> -> vector<{columns}x{rows}x{element}>
          kernel.store %u, %y[%c0] stride %ldy : vector<{columns}x{rows}x{element}>, !kernel.ptr<{element}, global>
          kernel.return
        }}
        """,
        target,
    )
    x, y = filled((rows, columns), dtype), aligned((columns, rows), dtype)
    program.run("f", x, y, columns, rows)
    np.testing.assert_array_equal(y, x.T)


@all_targets
@pytest.mark.parametrize("size", [1, 3, 17, 32])
def test_shuffle_interleaves_and_reverses(target: CpuTarget, size: int) -> None:
    pattern = [lane for i in range(size) for lane in (i, size + size - 1 - i)]
    program = Program(
        f"""
        kernel.func @f(%x: !kernel.ptr<i8, global>, %y: !kernel.ptr<i8, global>, %z: !kernel.ptr<i8, global>) {{
          %c0 = arith.constant 0 : index
          %a = kernel.load %x[%c0] : !kernel.ptr<i8, global> -> vector<{size}xi8>
          %b = kernel.load %y[%c0] : !kernel.ptr<i8, global> -> vector<{size}xi8>
          %s = kernel.shuffle %a, %b {pattern} : vector<{size}xi8> -> vector<{2 * size}xi8>
          kernel.store %s, %z[%c0] : vector<{2 * size}xi8>, !kernel.ptr<i8, global>
          kernel.return
        }}
        """,
        target,
    )
    x, y, z = filled(size, np.int8), filled(size, np.int8, 1), aligned(2 * size, np.int8)
    program.run("f", x, y, z)
    np.testing.assert_array_equal(z, np.concatenate([x, y])[pattern])


@all_targets
@pytest.mark.parametrize(("kind", "accumulator"), [("bf16", "f32"), ("f16", "f32"), ("s8s8", "i32"), ("u8s8", "i32")])
@pytest.mark.parametrize(("rows", "columns"), [(3, 32), (2, 20)])
def test_outer_dot(target: CpuTarget, kind: str, accumulator: str, rows: int, columns: int) -> None:
    program = Program(
        f"""
        kernel.func @f(%a: !kernel.ptr<i32, global>, %b: !kernel.ptr<i32, global>, %c: !kernel.ptr<{accumulator}, global>, %ld: index) {{
          %c0 = arith.constant 0 : index
          %x = kernel.load %a[%c0] : !kernel.ptr<i32, global> -> vector<{rows}xi32>
          %y = kernel.load %b[%c0] : !kernel.ptr<i32, global> -> vector<{columns}xi32>
          %acc = kernel.load %c[%c0] stride %ld : !kernel.ptr<{accumulator}, global> -> vector<{rows}x{columns}x{accumulator}>
          %r = kernel.outer_dot {kind} %x, %y, %acc : vector<{rows}xi32>, vector<{columns}xi32>, vector<{rows}x{columns}x{accumulator}>
          kernel.store %r, %c[%c0] stride %ld : vector<{rows}x{columns}x{accumulator}>, !kernel.ptr<{accumulator}, global>
          kernel.return
        }}
        """,
        target,
    )
    parts = 4 if accumulator == "i32" else 2
    dtype = {"bf16": ml_dtypes.bfloat16, "f16": np.float16, "s8s8": np.int8, "u8s8": np.uint8}[kind]
    rng = np.random.default_rng(5)
    if parts == 4:
        a = rng.integers(0 if kind == "u8s8" else -128, 256 if kind == "u8s8" else 128, (rows, 4)).astype(dtype)
        b = rng.integers(-128, 128, (columns, 4)).astype(np.int8)
        a.flat[:2] = (255, 255) if kind == "u8s8" else (-128, 127)
        b.flat[:2] = (-128, 127)
    else:
        a, b = rng.uniform(-2, 2, (rows, 2)).astype(dtype), rng.uniform(-2, 2, (columns, 2)).astype(dtype)
    words_a, words_b = aligned(rows, np.int32), aligned(columns, np.int32)
    words_a.view(np.uint8)[:] = a.view(np.uint8).ravel()
    words_b.view(np.uint8)[:] = b.view(np.uint8).ravel()
    c = filled((rows, columns), np.float32 if parts == 2 else np.int32)
    before = c.astype(np.float64)
    program.run("f", words_a, words_b, c, columns)
    expected = before + a.astype(np.float64) @ b.astype(np.float64).T
    np.testing.assert_allclose(c, expected, rtol=0 if parts == 4 else 1e-5, atol=0 if parts == 4 else 1e-5)


@all_targets
@pytest.mark.parametrize("element", ["f32", "f64", "f16"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (8, 32), (5, 17)])
def test_outer_fma(target: CpuTarget, element: str, rows: int, columns: int) -> None:
    """A product of a column in memory, and of one in a register, with a row."""
    dtype = {"f32": np.float32, "f64": np.float64, "f16": np.float16}[element]
    ptr, tile = f"!kernel.ptr<{element}, global>", f"vector<{rows}x{columns}x{element}>"
    program = Program(
        f"""
        kernel.func @f(%a: {ptr}, %b: {ptr}, %c: {ptr}, %lda: index, %ldc: index) {{
          %c0 = arith.constant 0 : index
          %x = kernel.load %a[%c0] stride %lda : {ptr} -> vector<{rows}x{element}>
          %y = kernel.load %b[%c0] : {ptr} -> vector<{columns}x{element}>
          %two = arith.addf %x, %x : vector<{rows}x{element}>
          %acc = kernel.load %c[%c0] stride %ldc : {ptr} -> {tile}
          %t = kernel.outer_fma %x, %y, %acc : vector<{rows}x{element}>, vector<{columns}x{element}>, {tile}
          %u = kernel.outer_fma %two, %y, %t : vector<{rows}x{element}>, vector<{columns}x{element}>, {tile}
          kernel.store %u, %c[%c0] stride %ldc : {tile}, {ptr}
          kernel.return
        }}
        """,
        target,
    )
    a, b, c = filled((rows, 3), dtype), filled(columns, dtype, 1), filled((rows, columns), dtype, 2)
    expected = c.astype(np.float64) + 3 * a[:, :1].astype(np.float64) * b.astype(np.float64)
    program.run("f", a, b, c, 3, columns)
    tolerance = {"f32": 2e-6, "f64": 1e-14, "f16": 4e-3}[element]
    np.testing.assert_allclose(c.astype(np.float64), expected, rtol=tolerance, atol=3 * tolerance)

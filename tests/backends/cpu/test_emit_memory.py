"""Loads and stores: contiguous, strided, masked, gathered, on all vector widths; pointers, scratch, loops and branches."""

from __future__ import annotations

import numpy as np
import pytest

from rlx_backends.cpu.target import CpuTarget, host
from tests.backends.cpu.harness import Program, aligned, targets

TARGETS = targets()
ids = [f"{target.vector_bits}" for target in TARGETS]
all_targets = pytest.mark.parametrize("target", TARGETS, ids=ids)


def random(shape: tuple[int, ...], dtype: object = np.float32, offset: int = 0) -> np.ndarray:
    array = aligned(shape, dtype, offset)
    array[...] = np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)  # pyright: ignore[reportArgumentType]
    return array


@all_targets
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 17), (8, 32), (5, 7)])
def test_tile_copy_with_strides_and_masks(target: CpuTarget, rows: int, columns: int) -> None:
    """A tile moves between arrays of other widths; masked lanes are left alone, masked loads are filled."""
    program = Program(
        f"""
        kernel.func @whole(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %at: index, %ldx: index, %ldy: index) {{
          %zero = arith.constant 0 : index
          %t = kernel.load %x[%at] stride %ldx : !kernel.ptr<f32, global> -> vector<{rows}x{columns}xf32>
          kernel.store %t, %y[%zero] stride %ldy : vector<{rows}x{columns}xf32>, !kernel.ptr<f32, global>
          kernel.return
        }}
        kernel.func @part(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %z: !kernel.ptr<f32, global>, %r: index, %c: index, %ld: index) {{
          %zero = arith.constant 0 : index
          %fill = arith.constant 7.0 : f32
          %m = kernel.mask %r, %c : vector<{rows}x{columns}xi1>
          %t = kernel.load %x[%zero] stride %ld mask %m else %fill : !kernel.ptr<f32, global> -> vector<{rows}x{columns}xf32>
          kernel.store %t, %y[%zero] stride %ld mask %m : vector<{rows}x{columns}xf32>, !kernel.ptr<f32, global>
          kernel.store %t, %z[%zero] stride %ld : vector<{rows}x{columns}xf32>, !kernel.ptr<f32, global>
          kernel.return
        }}
        """,
        target,
    )
    x, y = random((rows + 2, columns + 3)), aligned((rows, columns + 5))
    before = y.copy()
    program.run("whole", x, y, columns + 4, columns + 3, columns + 5)
    np.testing.assert_array_equal(y[:, :columns], x[1 : 1 + rows, 1 : 1 + columns])
    np.testing.assert_array_equal(y[:, columns:], before[:, columns:])
    for r, c in ((rows, columns), (rows - 1, columns), (rows, columns - 1), (0, 5), (-3, 2), (100, 100)):
        x, y, z = random((rows, columns)), aligned((rows, columns)), aligned((rows, columns))
        before = y.copy()
        program.run("part", x, y, z, r, c, columns)
        inside = (np.arange(rows)[:, None] < r) & (np.arange(columns) < c)
        np.testing.assert_array_equal(y, np.where(inside, x, before))
        np.testing.assert_array_equal(z, np.where(inside, x, 7))


@all_targets
def test_columns(target: CpuTarget) -> None:
    """Strided 1-D access, as packed vectors, as lanes, and masked."""
    program = Program(
        """
        kernel.func @f(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %z: !kernel.ptr<f32, global>, %ld: index, %n: index) {
          %zero = arith.constant 0 : index
          %fill = arith.constant 9.0 : f32
          %m = kernel.mask %n : vector<5xi1>
          %a = kernel.load %x[%zero] stride %ld : !kernel.ptr<f32, global> -> vector<5xf32>
          %b = kernel.load %x[%zero] stride %ld mask %m else %fill : !kernel.ptr<f32, global> -> vector<5xf32>
          %s = arith.addf %a, %b : vector<5xf32>
          kernel.store %s, %y[%zero] stride %ld : vector<5xf32>, !kernel.ptr<f32, global>
          kernel.store %a, %z[%zero] stride %ld mask %m : vector<5xf32>, !kernel.ptr<f32, global>
          kernel.return
        }
        """,
        target,
    )
    x, y, z = random((5, 3)), aligned((5, 3)), aligned((5, 3))
    before = z.copy()
    program.run("f", x, y, z, 3, 3)
    np.testing.assert_array_equal(y[:, 0], x[:, 0] + np.where(np.arange(5) < 3, x[:, 0], 9))
    np.testing.assert_array_equal(z[:, 0], np.where(np.arange(5) < 3, x[:, 0], before[:, 0]))
    np.testing.assert_array_equal(z[:, 1:], before[:, 1:])


@all_targets
@pytest.mark.parametrize("element", ["f32", "i8", "f64", "bf16"])
def test_gather_and_scatter(target: CpuTarget, element: str) -> None:
    dtype = {"f32": np.float32, "i8": np.int8, "f64": np.float64, "bf16": np.int16}[element]
    program = Program(
        f"""
        kernel.func @f(%x: !kernel.ptr<{element}, global>, %i: !kernel.ptr<i32, global>, %y: !kernel.ptr<{element}, global>, %n: index) {{
          %zero = arith.constant 0 : index
          %m = kernel.mask %n : vector<19xi1>
          %at = kernel.load %i[%zero] mask %m : !kernel.ptr<i32, global> -> vector<19xi32>
          %v = kernel.gather %x[%at] mask %m : !kernel.ptr<{element}, global>, vector<19xi32> -> vector<19x{element}>
          kernel.scatter %v, %y[%at] mask %m : vector<19x{element}>, !kernel.ptr<{element}, global>, vector<19xi32>
          kernel.return
        }}
        """,
        target,
    )
    x, y = random((40,), dtype), aligned(40, dtype)
    index = aligned(17, np.int32)
    index[:] = np.random.default_rng(0).permutation(40)[:17]
    before = y.copy()
    program.run("f", x, index, y, 17)
    expected = before.copy()
    expected[index] = x[index]
    np.testing.assert_array_equal(y, expected)


def test_equal_scatter_indices_keep_the_last_lane() -> None:
    program = Program(
        """
        kernel.func @f(%y: !kernel.ptr<i64, global>) {
          %v = kernel.iota : vector<16xi64>
          %at = arith.constant dense<2> : vector<16xi64>
          kernel.scatter %v, %y[%at] : vector<16xi64>, !kernel.ptr<i64, global>, vector<16xi64>
          kernel.return
        }
        """
    )
    y = aligned(4, np.int64)
    program.run("f", y)
    assert y[2] == 15


def test_booleans_take_a_byte() -> None:
    program = Program(
        """
        kernel.func @f(%x: !kernel.ptr<i1, global>, %y: !kernel.ptr<i1, global>, %n: index) {
          %zero = arith.constant 0 : index
          %m = kernel.mask %n : vector<20xi1>
          %true = arith.constant true
          %v = kernel.load %x[%zero] mask %m else %true : !kernel.ptr<i1, global> -> vector<20xi1>
          %one = arith.constant dense<true> : vector<20xi1>
          %w = arith.xori %v, %one : vector<20xi1>
          kernel.store %w, %y[%zero] : vector<20xi1>, !kernel.ptr<i1, global>
          %s = kernel.load %x[%zero] : !kernel.ptr<i1, global> -> i1
          kernel.store %s, %y[%zero] : i1, !kernel.ptr<i1, global>
          kernel.return
        }
        """
    )
    x, y = aligned(20, np.bool_), aligned(20, np.uint8)
    x[:] = np.arange(20) % 3 == 0
    program.run("f", x, y, 18)
    expected = ~x
    expected[18:] = False
    expected[0] = x[0]
    np.testing.assert_array_equal(y, expected)


def test_pointers_scratch_and_prefetch() -> None:
    """Offsets, casts and scratch in a loop that would overflow the stack if scratch were made anew each time."""
    program = Program(
        """
        kernel.func @f(%x: !kernel.ptr<i64, global>, %y: !kernel.ptr<i32, global>, %n: index) {
          %c0 = arith.constant 0 : index
          %c1 = arith.constant 1 : index
          %c2 = arith.constant 2 : index
          %words = kernel.ptr_cast %x : !kernel.ptr<i64, global> to !kernel.ptr<i32, global>
          scf.for %i = %c0 to %n step %c1 {
            %scratch = kernel.alloca 65536 : !kernel.ptr<i32, private, align 64>
            %j = arith.muli %i, %c2 : index
            %p = kernel.offset %words, %j : !kernel.ptr<i32, global> -> !kernel.ptr<i32, global>
            kernel.prefetch %p[%c2] locality 3 : !kernel.ptr<i32, global>
            kernel.prefetch %p[%c2] locality 1 write : !kernel.ptr<i32, global>
            %v = kernel.load %p[%c1] : !kernel.ptr<i32, global> -> i32
            kernel.store %v, %scratch[%c1] : i32, !kernel.ptr<i32, private, align 64>
            %w = kernel.load %scratch[%c1] : !kernel.ptr<i32, private, align 64> -> i32
            kernel.store %w, %y[%i] : i32, !kernel.ptr<i32, global>
          }
          kernel.return
        }
        """
    )
    x, y = aligned(5000, np.int64), aligned(5000, np.int32)
    x[:] = np.arange(5000) * 2**33 + 5
    program.run("f", x, y, 5000)
    np.testing.assert_array_equal(y, np.arange(5000) * 2)


def test_alignment_is_known_where_it_is() -> None:
    """Aligned and streaming stores appear where pointer, index and stride allow them; nowhere else."""
    program = Program(
        """
        kernel.func @f(%p: !kernel.ptr<f32, global, align 64>, %q: !kernel.ptr<f32, global>, %n: index) {
          %c0 = arith.constant 0 : index
          %c16 = arith.constant 16 : index
          %zero = arith.constant dense<0.0> : vector<16xf32>
          scf.for %i = %c0 to %n step %c16 {
            kernel.store %zero, %p[%i] nontemporal : vector<16xf32>, !kernel.ptr<f32, global, align 64>
            kernel.store %zero, %q[%i] nontemporal : vector<16xf32>, !kernel.ptr<f32, global>
          }
          kernel.store %zero, %p[%n] nontemporal : vector<16xf32>, !kernel.ptr<f32, global, align 64>
          kernel.return
        }
        """,
        host(),
    )
    stores = [line.strip() for line in program.text.splitlines() if "store <" in line]
    assert [("align 64, !nontemporal" in line, "align 4" in line) for line in stores] == (
        [(True, False)] * (16 // host().lanes) + [(False, True)] * (32 // host().lanes)
    )


@all_targets
def test_loops_and_branches(target: CpuTarget) -> None:
    """Loops of no trip, carried vectors and scalars, nested branches, while."""
    program = Program(
        """
        kernel.func @sum(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %z: !kernel.ptr<i64, global>, %n: index) {
          %c0 = arith.constant 0 : index
          %c1 = arith.constant 1 : index
          %c3 = arith.constant 3 : index
          %zero = arith.constant 0.0 : f32
          %two = arith.constant 2.0 : f32
          %v0 = kernel.broadcast %zero : f32 -> vector<3xf32>
          %none = arith.constant 0 : i64
          %one = arith.constant 1 : i64
          %v, %count = scf.for %i = %c0 to %n step %c3 iter_args(%acc = %v0, %trips = %none) -> (vector<3xf32>, i64) {
            %left = arith.subi %n, %i : index
            %full = arith.cmpi sge, %left, %c3 : index
            %w = scf.if %full -> (vector<3xf32>) {
              %a = kernel.load %x[%i] : !kernel.ptr<f32, global> -> vector<3xf32>
              scf.yield %a : vector<3xf32>
            } else {
              %m = kernel.mask %left : vector<3xi1>
              %a = kernel.load %x[%i] mask %m : !kernel.ptr<f32, global> -> vector<3xf32>
              scf.yield %a : vector<3xf32>
            }
            %next = arith.addf %acc, %w : vector<3xf32>
            %more = arith.addi %trips, %one : i64
            scf.yield %next, %more : vector<3xf32>, i64
          }
          kernel.store %v, %y[%c0] : vector<3xf32>, !kernel.ptr<f32, global>
          kernel.store %count, %z[%c0] : i64, !kernel.ptr<i64, global>
          %big = scf.while (%p = %count) : (i64) -> i64 {
            %limit = arith.constant 100 : i64
            %go = arith.cmpi slt, %p, %limit : i64
            scf.condition(%go) %p : i64
          } do {
          ^bb0(%p: i64):
            %twice = arith.addi %p, %p : i64
            %up = arith.addi %twice, %one : i64
            scf.yield %up : i64
          }
          kernel.store %big, %z[%c1] : i64, !kernel.ptr<i64, global>
          kernel.return
        }
        """,
        target,
    )
    for n in (0, 1, 3, 17):
        x, y, z = random((n + 1,)), aligned(3), aligned(2, np.int64)
        program.run("sum", x, y, z, n)
        padded = np.zeros(3 * -(-n // 3), np.float64)
        padded[:n] = x[:n]
        np.testing.assert_allclose(y, padded.reshape(-1, 3).sum(0), rtol=1e-5, atol=1e-6)
        expected = -(-n // 3)
        assert z[0] == expected
        while expected < 100:
            expected = 2 * expected + 1
        assert z[1] == expected


def test_calls_with_several_results() -> None:
    program = Program(
        """
        kernel.func @pair(%v: vector<20xf32>, %i: index) -> (vector<20xf32>, index, f32) {
          %s = kernel.reduce add %v : vector<20xf32> -> f32
          %w = arith.addf %v, %v : vector<20xf32>
          kernel.return %w, %i, %s : vector<20xf32>, index, f32
        }
        kernel.func @one(%v: vector<20xf32>) -> f32 {
          %s = kernel.reduce mul %v : vector<20xf32> -> f32
          kernel.return %s : f32
        }
        kernel.func @main(%x: !kernel.ptr<f32, global>, %n: index) {
          %v = kernel.load %x[%n] : !kernel.ptr<f32, global> -> vector<20xf32>
          %w, %i, %s = kernel.call @pair(%v, %n) : (vector<20xf32>, index) -> (vector<20xf32>, index, f32)
          %t = kernel.call @one(%v) : (vector<20xf32>) -> f32
          %both = arith.addf %s, %t : f32
          %add = kernel.broadcast %both : f32 -> vector<20xf32>
          %r = arith.addf %w, %add : vector<20xf32>
          kernel.store %r, %x[%i] : vector<20xf32>, !kernel.ptr<f32, global>
          kernel.return
        }
        """
    )
    x = aligned(21)
    x[:] = np.random.default_rng(1).uniform(0.5, 1.5, 21)
    before = x.astype(np.float64)
    program.run("main", x, 1)
    np.testing.assert_allclose(x[1:], 2 * before[1:] + before[1:].sum() + before[1:].prod(), rtol=1e-5)

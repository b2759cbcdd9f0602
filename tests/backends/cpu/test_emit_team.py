"""The team of threads and the call ABI: shares, barriers, faults, interruption, entry and plan."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.backends.cpu.harness import Program, aligned

SHARES = Program(
    """
    kernel.func @shares(%y: !kernel.ptr<i64, global>, %n: index) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c6 = arith.constant 6 : index
      %t = kernel.thread_id
      %team = kernel.num_threads
      %at = kernel.apply [t * 6](t = %t)
      %lo, %hi = kernel.partition %n
      %ulo, %uhi = kernel.partition %n unit 8
      %p = kernel.offset %y, %at : !kernel.ptr<i64, global> -> !kernel.ptr<i64, global>
      %t64 = arith.index_cast %t : index to i64
      %team64 = arith.index_cast %team : index to i64
      %lo64 = arith.index_cast %lo : index to i64
      %hi64 = arith.index_cast %hi : index to i64
      %ulo64 = arith.index_cast %ulo : index to i64
      %uhi64 = arith.index_cast %uhi : index to i64
      %c2 = arith.constant 2 : index
      %c3 = arith.constant 3 : index
      %c4 = arith.constant 4 : index
      %c5 = arith.constant 5 : index
      kernel.store %t64, %p[%c0] : i64, !kernel.ptr<i64, global>
      kernel.store %team64, %p[%c1] : i64, !kernel.ptr<i64, global>
      kernel.store %lo64, %p[%c2] : i64, !kernel.ptr<i64, global>
      kernel.store %hi64, %p[%c3] : i64, !kernel.ptr<i64, global>
      kernel.store %ulo64, %p[%c4] : i64, !kernel.ptr<i64, global>
      kernel.store %uhi64, %p[%c5] : i64, !kernel.ptr<i64, global>
      kernel.return
    }
    kernel.func @caller(%y: !kernel.ptr<i64, global>, %n: index) {
      kernel.call @shares(%y, %n) : (!kernel.ptr<i64, global>, index) -> ()
      kernel.return
    }
    kernel.func @grid(%y: !kernel.ptr<i32, global>, %rows: index, %columns: index) {
      %c1 = arith.constant 1 : index
      %one = arith.constant 1 : i32
      %r0, %r1, %k0, %k1 = kernel.partition2d %rows, %columns unit [4, 8] prefer rows
      scf.for %r = %r0 to %r1 step %c1 {
        scf.for %c = %k0 to %k1 step %c1 {
          %at = kernel.apply [r * n + c](r = %r, n = %columns, c = %c)
          %old = kernel.load %y[%at] : !kernel.ptr<i32, global> -> i32
          %new = arith.addi %old, %one : i32
          kernel.store %new, %y[%at] : i32, !kernel.ptr<i32, global>
        }
      }
      kernel.return
    }
    """
)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 7, 64, 100])
def test_shares_cover_the_extent_once(threads: int, n: int) -> None:
    for function in ("shares", "caller"):
        y = aligned((threads, 6), np.int64)
        SHARES.run(function, y, n, threads=threads)
        assert y[:, 0].tolist() == list(range(threads))
        assert set(y[:, 1].tolist()) == {threads}
        for lo, hi, unit in ((y[:, 2], y[:, 3], 1), (y[:, 4], y[:, 5], 8)):
            assert lo[0] == 0
            assert hi[-1] == n
            assert (lo[1:] == hi[:-1]).all()
            units = -(-(hi - lo) // unit)
            assert units.max() - units.min() <= 1
            assert (lo[1:] % unit == 0).all() or n < unit


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (1, 1), (9, 17), (4, 64), (64, 8)])
def test_grids_cover_the_rectangle_once(threads: int, rows: int, columns: int) -> None:
    y = aligned((rows, columns), np.int32)
    y[:] = 0
    SHARES.run("grid", y, rows, columns, threads=threads)
    assert (y == 1).all()


BARRIER = """
kernel.entry @rlx_main {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %y = kernel.buffer 0 : !kernel.ptr<i64, global>
  %n = kernel.dim 0
  %t = kernel.thread_id
  %team = kernel.num_threads
  %next = kernel.apply [(t + 1) mod max(n, 1)](t = %t, n = %team)
  scf.for %i = %c0 to %n step %c1 {
    %mine = kernel.load %y[%t] : !kernel.ptr<i64, global> -> i64
    kernel.barrier
    %other = kernel.load %y[%next] : !kernel.ptr<i64, global> -> i64
    %sum = arith.addi %mine, %other : i64
    kernel.barrier
    kernel.store %sum, %y[%t] : i64, !kernel.ptr<i64, global>
    kernel.barrier interruptible
  }
  kernel.return
}
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_barriers_order_what_threads_write(threads: int) -> None:
    """Each round every thread adds its neighbour's number to its own: any lost order changes the result."""
    y = aligned(threads, np.int64)
    y[:] = np.arange(1, threads + 1)
    returned, status = Program(BARRIER).call("rlx_main", [y], [20], threads=threads)
    expected = list(range(1, threads + 1))
    for _ in range(20):
        expected = [(a + b) % (1 << 64) for a, b in zip(expected, expected[1:] + expected[:1])]
    assert y.tolist() == expected
    assert returned == [0] * threads
    assert not status.any()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_interrupted_call_is_left_by_all_threads(threads: int) -> None:
    y = aligned(threads, np.int64)
    y[:] = 1
    returned, status = Program(BARRIER).call("rlx_main", [y], [1000], threads=threads, code=3)
    assert returned == [1] * threads
    assert status[0] == 3
    assert y.tolist() == [2] * threads


def test_a_fault_does_not_interrupt() -> None:
    y = aligned(1, np.int64)
    y[:] = 1
    returned, _ = Program(BARRIER).call("rlx_main", [y], [3], code=1)
    assert returned == [0]
    assert y[0] == 8


def test_the_first_fault_stays() -> None:
    program = Program(
        """
        kernel.func @f(%x: !kernel.ptr<i64, global>, %n: index) {
          %c0 = arith.constant 0 : index
          %c1 = arith.constant 1 : index
          %item = arith.constant 42 : index
          scf.for %i = %c0 to %n step %c1 {
            %v = kernel.load %x[%i] : !kernel.ptr<i64, global> -> i64
            %at = arith.index_cast %v : i64 to index
            %bad = arith.cmpi uge, %at, %n : index
            kernel.fault 1 item %item(%c1, %at, %n) if %bad
          }
          kernel.return
        }
        """
    )
    x = aligned(5, np.int64)
    x[:] = [0, 4, -2, 5, 1]
    assert program.run("f", x, 5).tolist() == [1, 42, 1, -2, 5, 0]
    x[:] = [0, 1, 2, 3, 4]
    assert program.run("f", x, 5).tolist() == [0] * 6


def test_entry_reads_the_call() -> None:
    """Buffers, dims, and the arena at a byte offset; helper kernels are called."""
    program = Program(
        """
        kernel.func @fill(%p: !kernel.ptr<f32, global>, %n: index, %v: f32) {
          %c0 = arith.constant 0 : index
          %c1 = arith.constant 1 : index
          scf.for %i = %c0 to %n step %c1 {
            kernel.store %v, %p[%i] : f32, !kernel.ptr<f32, global>
          }
          kernel.return
        }
        kernel.entry @rlx_main {
          %c0 = arith.constant 0 : index
          %c2 = arith.constant 2 : index
          %x = kernel.buffer 0 : !kernel.ptr<f32, global>
          %y = kernel.buffer 1 : !kernel.ptr<f32, global>
          %n = kernel.dim 1
          %bytes = kernel.dim 0
          %t = kernel.arena %bytes : !kernel.ptr<f32, global>
          %v = kernel.load %x[%c2] : !kernel.ptr<f32, global> -> f32
          kernel.call @fill(%t, %n, %v) : (!kernel.ptr<f32, global>, index, f32) -> ()
          %w = kernel.load %t[%c2] : !kernel.ptr<f32, global> -> f32
          kernel.call @fill(%y, %n, %w) : (!kernel.ptr<f32, global>, index, f32) -> ()
          kernel.return
        }
        """
    )
    x, y = aligned(3), aligned(7)
    x[:] = [1, 2, 3]
    program.call("rlx_main", [x, y], [64, 7], arena=64 + 28)
    assert y.tolist() == [3] * 7


def test_plan_checks_guards_and_computes_sizes() -> None:
    program = Program(
        """
        kernel.plan @rlx_main_plan {
          %s = kernel.dim 0
          %p = kernel.dim 1
          %limit = arith.constant 512 : index
          %sum = arith.addi %s, %p : index
          %ok = arith.cmpi sle, %sum, %limit : index
          kernel.guard 0, %ok
          %rest = kernel.apply [s mod 8](s = %s)
          %zero = arith.constant 0 : index
          %divides = arith.cmpi eq, %rest, %zero : index
          kernel.guard 4, %divides
          %team = kernel.num_threads
          %bytes = kernel.apply [s * 4 + t * 64](s = %s, t = %team)
          kernel.plan_result 0, %bytes
          kernel.plan_result 1, %team
          kernel.plan_result 2, %sum
          kernel.return
        }
        """
    )
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)(program.address("rlx_main_plan"))

    def plan(*dims: int) -> tuple[int, list[int]]:
        values, out = np.array(dims, np.int64), np.full(3, -1, np.int64)
        return function(values.ctypes.data, 2, out.ctypes.data), out.tolist()

    assert plan(16, 3) == (0, [192, 2, 19])
    assert plan(512, 1)[0] == 1
    assert plan(12, 1)[0] == 5

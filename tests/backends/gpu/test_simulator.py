"""The launch simulator: threads that meet, subgroups, atomics, faults; and races, which must show."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from rlx_runtime.errors import LowerError
from tests.backends.gpu.harness import TARGETS, Device
from tests.backends.gpu.kernels import GLOBAL_ID, LANES, PTR, SHARED, poisoned, random, source

# -- threads that meet at barriers

TRANSPOSE = f"""
  %s = X.shared 256 : {SHARED}
  %x = X.thread_id x
  %y = X.thread_id y
  %bx = X.block_id x
  %by = X.block_id y
  %n = X.grid_dim x
  %m = X.grid_dim y
  %c16 = arith.constant 16 : index
  %columns = arith.muli %n, %c16 : index
  %rows = arith.muli %m, %c16 : index
  %row = kernel.apply [b * 16 + y](b = %by, y = %y)
  %column = kernel.apply [b * 16 + x](b = %bx, x = %x)
  %from = kernel.apply [r * n + c](r = %row, n = %columns, c = %column)
  %v = kernel.load %p[%from] : {PTR} -> f32
  %in = kernel.apply [y * 16 + x](x = %x, y = %y)
  kernel.store %v, %s[%in] : f32, {SHARED}
  BARRIER
  %out = kernel.apply [x * 16 + y](x = %x, y = %y)
  %w = kernel.load %s[%out] : {SHARED} -> f32
  %trow = kernel.apply [b * 16 + y](b = %bx, y = %y)
  %tcolumn = kernel.apply [b * 16 + x](b = %by, x = %x)
  %to = kernel.apply [r * m + c](r = %trow, m = %rows, c = %tcolumn)
  kernel.store %w, %q[%to] : f32, {PTR}
"""


def transpose(dialect: str, barrier: str, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    text = source(dialect, {"p": PTR, "q": PTR}, (16, 16), TRANSPOSE.replace("BARRIER", barrier))
    x, y = random((32, 48)), poisoned((48, 32))
    Device(text, reverse=reverse).run("k", (3, 2), x, y)
    return x.T, y


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("reverse", [False, True])
def test_transpose_through_shared_memory(dialect: str, reverse: bool) -> None:
    wanted, found = transpose(dialect, "X.barrier", reverse)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("barrier", ["", "X.subgroup_barrier"])
def test_transpose_without_its_barrier_is_wrong(dialect: str, barrier: str) -> None:
    wanted, found = transpose(dialect, barrier)
    assert np.isnan(found[found != wanted]).all()
    assert (found != wanted).sum() > 100


# Each block sums 256 elements: halves meet in shared memory. The number of rounds is an argument.
BLOCK_SUM = f"""
  %s = X.shared 256 : {SHARED}
  {GLOBAL_ID}
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %v = kernel.load %p[%i] : {PTR} -> f32
  kernel.store %v, %s[%t] : f32, {SHARED}
  FIRST
  %c128 = arith.constant 128 : index
  %end = scf.for %round = %c0 to %rounds step %c1 iter_args(%half = %c128) -> (index) {{
    %mine = arith.cmpi slt, %t, %half : index
    scf.if %mine {{
      %other = arith.addi %t, %half : index
      %a = kernel.load %s[%t] : {SHARED} -> f32
      %b = kernel.load %s[%other] : {SHARED} -> f32
      %sum = arith.addf %a, %b : f32
      kernel.store %sum, %s[%t] : f32, {SHARED}
    }}
    LOOP
    %next = kernel.apply [h floordiv 2](h = %half)
    scf.yield %next : index
  }}
  %total = kernel.load %s[%c0] : {SHARED} -> f32
  %y = arith.mulf %total, %v : f32
  kernel.store %y, %q[%i] : f32, {PTR}
"""


def block_sum(dialect: str, first: str, loop: str, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    body = BLOCK_SUM.replace("FIRST", first).replace("LOOP", loop)
    text = source(dialect, {"p": PTR, "q": PTR, "rounds": "index"}, (256,), body)
    x, y = random((5, 256)), poisoned((5, 256))
    Device(text, reverse=reverse).run("k", (5,), x, y, 8)
    wide = x.astype(np.float64)
    return wide * wide.sum(1, keepdims=True), y


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("reverse", [False, True])
def test_block_sum_with_barriers_in_a_loop(dialect: str, reverse: bool) -> None:
    wanted, found = block_sum(dialect, "X.barrier", "X.barrier", reverse)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize(("first", "loop"), [("", ""), ("X.barrier", ""), ("", "X.barrier"), ("X.subgroup_barrier", "X.barrier")])
def test_block_sum_without_a_barrier_is_wrong(dialect: str, first: str, loop: str) -> None:
    """In one of the two orders at least."""
    wrong = [not np.allclose(found, wanted, rtol=1e-3) for wanted, found in (block_sum(dialect, first, loop, r) for r in (False, True))]
    assert any(wrong)


def test_result_written_by_one_thread_needs_a_barrier() -> None:
    """Thread 0 writes what all read: the order from first to last hides the race, the other order shows it."""
    body = f"""
  %s = X.shared 1 : {SHARED}
  {GLOBAL_ID}
  %c0 = arith.constant 0 : index
  %v = kernel.load %p[%block] : {PTR} -> f32
  %first = arith.cmpi eq, %t, %c0 : index
  scf.if %first {{
    kernel.store %v, %s[%c0] : f32, {SHARED}
  }}
  BARRIER
  %w = kernel.load %s[%c0] : {SHARED} -> f32
  kernel.store %w, %q[%i] : f32, {PTR}
"""
    x = random(3)
    for barrier, right in (("X.barrier", [True, True]), ("", [True, False])):
        found = []
        for reverse in (False, True):
            y = poisoned((3, 64))
            text = source("cuda", {"p": PTR, "q": PTR}, (64,), body.replace("BARRIER", barrier))
            Device(text, reverse=reverse).run("k", (3,), x, y)
            found.append(bool((y == x[:, None]).all()))
        assert found == right


def test_shared_memory_is_poisoned_for_every_block() -> None:
    body = f"""
  %s = X.shared 32 : {SHARED}
  {GLOBAL_ID}
  %old = kernel.load %s[%t] : {SHARED} -> f32
  kernel.store %old, %q[%i] : f32, {PTR}
  %one = arith.constant 1.0 : f32
  kernel.store %one, %s[%t] : f32, {SHARED}
"""
    y = np.zeros((4, 32), np.float32)
    Device(source("cuda", {"q": PTR}, (32,), body)).run("k", (4,), y)
    assert np.isnan(y).all()


def test_values_live_across_barriers() -> None:
    """Vectors, narrow floats, pointers, private memory and loop variables keep their values while others run."""
    body = """
  %s = X.shared 64 : !kernel.ptr<bf16, shared, align 16>
  %a = kernel.alloca 4 : !kernel.ptr<f32, private, align 16>
  %t = X.thread_id x
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %c8 = arith.constant 8 : index
  %at = arith.muli %t, %c8 : index
  %p8 = kernel.offset %p, %at : !kernel.ptr<f32, global, align 16> -> !kernel.ptr<f32, global, align 16>
  %v = kernel.load %p8[%c0] : !kernel.ptr<f32, global, align 16> -> vector<8xf32>
  %zero = arith.constant 0.0 : f32
  kernel.store %zero, %a[%c3] : f32, !kernel.ptr<f32, private, align 16>
  %sum = scf.for %j = %c0 to %n step %c1 iter_args(%acc = %v) -> (vector<8xf32>) {
    %f = kernel.apply [j + t](j = %j, t = %t)
    %i = arith.index_cast %f : index to i32
    %x = kernel.cast sitofp %i : i32 to bf16
    kernel.store %x, %s[%t] : bf16, !kernel.ptr<bf16, shared, align 16>
    X.barrier
    %other = kernel.apply [(t + 1) mod 64](t = %t)
    %y = kernel.load %s[%other] : !kernel.ptr<bf16, shared, align 16> -> bf16
    X.barrier
    %w = kernel.cast extf %y : bf16 to f32
    %old = kernel.load %a[%c3] : !kernel.ptr<f32, private, align 16> -> f32
    %new = arith.addf %old, %w : f32
    kernel.store %new, %a[%c3] : f32, !kernel.ptr<f32, private, align 16>
    %all = kernel.broadcast %w : f32 -> vector<8xf32>
    %next = arith.addf %acc, %all : vector<8xf32>
    scf.yield %next : vector<8xf32>
  }
  %last = kernel.load %a[%c3] : !kernel.ptr<f32, private, align 16> -> f32
  %more = kernel.broadcast %last : f32 -> vector<8xf32>
  %result = arith.addf %sum, %more : vector<8xf32>
  kernel.store %result, %p8[%c0] : vector<8xf32>, !kernel.ptr<f32, global, align 16>
"""
    x = random((64, 8))
    wanted = x + 2 * sum(((np.arange(64) + 1) % 64 + j)[:, None] for j in range(5))
    Device(source("cuda", {"p": "!kernel.ptr<f32, global, align 16>", "n": "index"}, (64,), body)).run("k", (1,), x, 5)
    np.testing.assert_allclose(x, wanted, rtol=1e-6)


# -- subgroups


def shuffled(values: np.ndarray, kind: str, offsets: np.ndarray, lanes: int) -> np.ndarray:
    """What shuffles give: rows are blocks."""
    lane = np.arange(values.shape[1]) % lanes
    first = np.arange(values.shape[1]) - lane
    other = {"xor": lane ^ offsets, "up": lane - offsets, "down": lane + offsets, "idx": offsets}[kind]
    here = np.minimum(lanes, values.shape[1] - first)
    other = np.where((other >= 0) & (other < here), other, lane)
    return values[:, first + other]


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("kind", ["xor", "up", "down", "idx"])
@pytest.mark.parametrize("threads", [64, 192])
def test_shuffle(dialect: str, kind: str, threads: int) -> None:
    body = f"""
  {GLOBAL_ID}
  %v = kernel.load %p[%i] : {PTR} -> f32
  %o = kernel.load %o.p[%t] : !kernel.ptr<i32, global> -> i32
  %w = X.shuffle {kind} %v, %o : f32
  kernel.store %w, %q[%i] : f32, {PTR}
"""
    rng = np.random.default_rng(1)
    arguments = {"p": PTR, "o.p": "!kernel.ptr<i32, global>", "q": PTR}
    device = Device(source(dialect, arguments, (threads,), body))
    for offsets in (np.full(threads, 1), np.full(threads, 5), rng.integers(0, LANES[dialect] + 3, threads)):
        x, y = random((3, threads)), poisoned((3, threads))
        device.run("k", (3,), x, offsets.astype(np.int32), y)
        np.testing.assert_array_equal(y, shuffled(x, kind, offsets, LANES[dialect]))


@pytest.mark.parametrize(
    ("element", "dtype"),
    [("f64", np.float64), ("f16", np.float16), ("bf16", ml_dtypes.bfloat16), ("i64", np.int64), ("i16", np.int16), ("i8", np.int8)],
)
def test_shuffle_of_every_type(element: str, dtype: type) -> None:
    kind = f"!kernel.ptr<{element}, global>"
    body = f"""
  %t = X.thread_id x
  %v = kernel.load %p[%t] : {kind} -> {element}
  %o = arith.constant 3 : i32
  %w = X.shuffle xor %v, %o : {element}
  kernel.store %w, %q[%t] : {element}, {kind}
"""
    x, y = (random(64) * 50).astype(dtype), poisoned(64, dtype)
    Device(source("cuda", {"p": kind, "q": kind}, (64,), body)).run("k", (1,), x, y)
    np.testing.assert_array_equal(y, x[np.arange(64) ^ 3])


REDUCTIONS = {
    "add": lambda x: x.sum(-1),
    "mul": lambda x: x.prod(-1),
    "maximumf": lambda x: x.max(-1),
    "minimumf": lambda x: x.min(-1),
    "maxsi": lambda x: x.max(-1),
    "minsi": lambda x: x.min(-1),
    "maxui": lambda x: x.view(x.dtype.str.replace("i", "u")).max(-1).astype(x.dtype),
    "minui": lambda x: x.view(x.dtype.str.replace("i", "u")).min(-1).astype(x.dtype),
    "and": lambda x: np.bitwise_and.reduce(x, -1),
    "or": lambda x: np.bitwise_or.reduce(x, -1),
    "xor": lambda x: np.bitwise_xor.reduce(x, -1),
}


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize(
    ("element", "dtype", "rtol"),
    [
        ("f32", np.float32, 1e-5),
        ("f64", np.float64, 1e-13),
        ("bf16", ml_dtypes.bfloat16, 1e-2),
        ("f16", np.float16, 2e-3),
        ("i32", np.int32, 0),
        ("i64", np.int64, 0),
        ("i8", np.int8, 0),
    ],
)
def test_subgroup_reduce(dialect: str, element: str, dtype: type, rtol: float) -> None:
    floats = element[0] in "fb"
    kind, lanes = f"!kernel.ptr<{element}, global>", LANES[dialect]
    kinds = [r for r in REDUCTIONS if r in ("add", "mul") or r.endswith("f") == floats]
    body = f"""
  {GLOBAL_ID}
  %v = kernel.load %p[%i] : {kind} -> {element}
  %w = X.subgroup_reduce KIND %v : {element}
  kernel.store %w, %q[%i] : {element}, {kind}
"""
    sources = [source(dialect, {"p": kind, "q": kind}, (2 * lanes,), body.replace("KIND", r), r) for r in kinds]
    device = Device("\n".join(sources))
    x = random((2, 2 * lanes)) if floats else np.random.default_rng(0).integers(-9, 9, (2, 2 * lanes))
    x = x.astype(dtype)
    for reduction in kinds:
        y = poisoned(x.shape, dtype)
        device.run(reduction, (2,), x, y)
        groups = x.reshape(2, 2, lanes)
        wide = groups.astype(np.float64) if floats else groups
        wanted = np.repeat(REDUCTIONS[reduction](wide)[..., None], lanes, -1).reshape(x.shape)
        if floats:
            np.testing.assert_allclose(y.astype(np.float64), wanted, rtol=rtol, atol=rtol)
        else:
            np.testing.assert_array_equal(y, wanted.astype(dtype))


@pytest.mark.parametrize("op", ["X.subgroup_reduce add %v : f32", "X.shuffle up %v, %o : f32", "X.vote all %b"])
def test_collective_ops_need_whole_subgroups(op: str) -> None:
    body = f"""
  %v = arith.constant 1.0 : f32
  %o = arith.constant 1 : i32
  %b = arith.constant 1 : i1
  %w = {op}
"""
    with pytest.raises(LowerError, match="takes whole subgroups of 32, but the block has 48 threads"):
        Device(source("cuda", {}, (48,), body))


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("threads", [64, 192])
def test_vote(dialect: str, threads: int) -> None:
    body = f"""
  {GLOBAL_ID}
  %v = kernel.load %p[%i] : {PTR} -> f32
  %limit = arith.constant 0.3 : f32
  %c = arith.cmpf olt, %v, %limit : f32
  %any = X.vote any %c
  %all = X.vote all %c
  kernel.store %any, %q[%i] : i1, !kernel.ptr<i1, global>
  kernel.store %all, %r[%i] : i1, !kernel.ptr<i1, global>
"""
    bits = "!kernel.ptr<i1, global>"
    lanes = LANES[dialect]
    rng = np.random.default_rng(0)
    x = np.concatenate([random((4, threads)), rng.uniform(-1, 0.2, (2, threads)), rng.uniform(0.5, 1, (2, threads))]).astype(np.float32)
    x[4, 3] = 1.0
    any_, all_ = poisoned(x.shape, np.uint8), poisoned(x.shape, np.uint8)
    Device(source(dialect, {"p": PTR, "q": bits, "r": bits}, (threads,), body)).run("k", (len(x),), x, any_, all_)
    for first in range(0, threads, lanes):
        group = x[:, first : first + lanes] < np.float32(0.3)
        np.testing.assert_array_equal(any_[:, first : first + lanes], np.broadcast_to(group.any(1)[:, None], group.shape))
        np.testing.assert_array_equal(all_[:, first : first + lanes], np.broadcast_to(group.all(1)[:, None], group.shape))


@pytest.mark.parametrize("dialect", TARGETS)
def test_ids(dialect: str) -> None:
    """Every id, in a grid and a block of three dims."""
    ids = [f"X.{what} {axis}" for what in ("thread_id", "block_id", "block_dim", "grid_dim") for axis in "xyz"]
    ids += ["X.lane_id", "X.subgroup_id"]
    loads = "\n".join(f"  %v{n} = {op}" for n, op in enumerate(ids))
    body = f"""
{loads}
  %thread = kernel.apply [x + 5 * (y + 4 * z)](x = %v0, y = %v1, z = %v2)
  %block = kernel.apply [x + 3 * (y + 2 * z)](x = %v3, y = %v4, z = %v5)
"""
    for n in range(len(ids)):
        body += f"""
  %at{n} = kernel.apply [(b * 60 + t) * {len(ids)} + {n}](b = %block, t = %thread)
  kernel.store %v{n}, %q[%at{n}] : index, !kernel.ptr<index, global>
"""
    y = poisoned((2, 2, 3, 3, 4, 5, len(ids)), np.int64)
    Device(source(dialect, {"q": "!kernel.ptr<index, global>"}, (5, 4, 3), body)).run("k", (3, 2, 2), y)
    bz, by, bx, tz, ty, tx = np.indices(y.shape[:-1])
    number = tx + 5 * (ty + 4 * tz)
    lanes = LANES[dialect]
    wanted = [tx, ty, tz, bx, by, bz, 5, 4, 3, 3, 2, 2, number % lanes, number // lanes]
    for n, value in enumerate(wanted):
        np.testing.assert_array_equal(y[..., n], np.broadcast_to(value, y.shape[:-1]), err_msg=ids[n])


# -- atomics


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize(
    ("kind", "element", "dtype"),
    [
        ("add", "i32", np.int32), ("add", "i64", np.int64), ("add", "f32", np.float32), ("maxsi", "i32", np.int32),
        ("minsi", "i64", np.int64), ("maxui", "i32", np.int32), ("minui", "i32", np.int32), ("and", "i32", np.int32),
        ("or", "i32", np.int32), ("xor", "i64", np.int64),
    ],
)  # fmt: skip
def test_atomic(dialect: str, kind: str, element: str, dtype: type) -> None:
    pointer = f"!kernel.ptr<{element}, global>"
    body = f"""
  {GLOBAL_ID}
  %v = kernel.load %p[%i] : {pointer} -> {element}
  %old = X.atomic {kind} %v, %q[%block] : {pointer}
"""
    rng = np.random.default_rng(0)
    x = rng.integers(-1000, 1000, (3, 64)).astype(dtype)
    start = rng.integers(-1000, 1000, 3).astype(dtype)
    y = start.copy()
    Device(source(dialect, {"p": pointer, "q": pointer}, (64,), body)).run("k", (3,), x, y)
    all_ = np.concatenate([start[:, None], x], 1)
    np.testing.assert_array_equal(y, REDUCTIONS[kind](all_).astype(dtype))


def test_atomic_exchange_gives_what_was_there() -> None:
    body = f"""
  %t = X.thread_id x
  %c0 = arith.constant 0 : index
  %v = kernel.load %p[%t] : {PTR} -> f32
  %old = X.atomic exchange %v, %q[%c0] : {PTR}
  kernel.store %old, %r[%t] : f32, {PTR}
"""
    x, y, z = random(40), np.array([9.0], np.float32), poisoned(40)
    Device(source("rocm", {"p": PTR, "q": PTR, "r": PTR}, (40,), body)).run("k", (1,), x, y, z)
    np.testing.assert_array_equal(z, [9.0, *x[:-1]])
    assert y[0] == x[-1]


# -- faults


def test_first_fault_stays() -> None:
    body = """
  %t = X.thread_id x
  %bad = arith.cmpi sge, %t, %n : index
  kernel.fault 1 item %item(%t, %n) if %bad status %s : !kernel.ptr<i64, global>
"""
    text = source("metal", {"n": "index", "item": "index", "s": "!kernel.ptr<i64, global>"}, (64,), body)
    for limit, wanted in ((40, [1, 7, 40, 40, 0, 0]), (64, [0] * 6)):
        status = np.zeros(6, np.int64)
        Device(text).run("k", (1,), limit, 7, status)
        np.testing.assert_array_equal(status, wanted)

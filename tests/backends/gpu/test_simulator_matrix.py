"""Matrix ops, asynchronous copies and named math on the launch simulator, against float64 NumPy."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from rlx_dialects.gpu.facts import DEFAULT_ARCH, MatrixShape, facts_for
from rlx_dialects.gpu.table import dialect_of
from tests.backends.gpu.harness import Device, LaunchError
from tests.backends.gpu.kernels import PTR, SHARED, poisoned, random, source

DTYPES = {
    "f32": np.float32, "tf32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i8": np.int8, "i32": np.int32,
    "f8e4m3fn": ml_dtypes.float8_e4m3fn, "f8e5m2": ml_dtypes.float8_e5m2,
}  # fmt: skip
ELEMENTS = {"tf32": "f32", "f8e4m3fn": "f8E4M3FN", "f8e5m2": "f8E5M2"}


def _shapes() -> list[tuple[str, str, MatrixShape]]:
    """Every matrix instruction of one subgroup, on the oldest architecture here that has it."""
    found: dict[MatrixShape, tuple[str, str]] = {}
    for dialect, arch in (("cuda", "sm_80"), ("cuda", "sm_90a"), ("rocm", "gfx942"), ("rocm", "gfx950"), ("rocm", "gfx1100"), ("metal", "apple9")):
        facts = facts_for(dialect, arch)
        assert facts is not None
        for shape in facts.matrix:
            if shape.family != "wgmma":
                found.setdefault(shape, (dialect, arch))
    return [(dialect, arch, shape) for shape, (dialect, arch) in found.items()]


def _names(dialect: str) -> tuple[str, str, str, str]:
    ops = dialect_of(dialect)
    return ops.matrix_load.name, ops.matrix_fill.name, ops.matrix_multiply.name, ops.matrix_store.name


def _product(dialect: str, arch: str, shape: MatrixShape, transposed: bool, loads: str = "") -> str:
    """c = a · b + (start + start), a product of whole fragments; b lies transposed or not."""
    load, fill, multiply, store = _names(dialect)
    element, total = ELEMENTS.get(shape.operand, shape.operand), shape.accumulator
    a = f"!kernel.fragment<{shape.m} x {shape.k} x {element}, a, {shape.family}>"
    b = f"!kernel.fragment<{shape.k} x {shape.n} x {element}, b, {shape.family}>"
    c = f"!kernel.fragment<{shape.m} x {shape.n} x {total}, c, {shape.family}>"
    kind, total_kind = f"!kernel.ptr<{element}, global>", f"!kernel.ptr<{total}, global>"
    facts = facts_for(dialect, arch)
    assert facts is not None
    how = " transposed" if transposed else ""
    body = f"""
  %z = arith.constant 0 : index
  %one = arith.constant 1 : index
  %two = arith.constant 2 : index
  %lda = arith.constant {shape.k + 3} : index
  %ldb = arith.constant {(shape.k if transposed else shape.n) + 1} : index
  %ldc = arith.constant {shape.n + 2} : index
  %fa = {load} %a[%one] stride %lda : {kind} -> {a}
  %fb = {load} %b[%z] stride %ldb{how} : {kind} -> {b}
  %start = arith.constant {"1.5" if total == "f32" else "3"} : {total}
  %fc = {fill} %start : {total} -> {c}
  %sum = scf.for %j = %z to %two step %one iter_args(%acc = %fc) -> ({c}) {{
    %next = {multiply} %fa, %fb, %acc : {a}, {b}, {c}
    scf.yield %next : {c}
  }}
  {store} %sum, %c[%two] stride %ldc : {c}, {total_kind}
"""
    text = source(dialect, {"a": kind, "b": kind, "c": total_kind}, (2 * facts.subgroup,), body)
    return text.replace(DEFAULT_ARCH[dialect], arch)


@pytest.mark.parametrize("case", _shapes(), ids=lambda case: f"{case[1]}-{case[2].family}-{case[2].m}x{case[2].n}x{case[2].k}-{case[2].operand}")
def test_product(case: tuple[str, str, MatrixShape]) -> None:
    dialect, arch, shape = case
    dtype, total = DTYPES[shape.operand], DTYPES[shape.accumulator]
    for transposed in (False, True):
        values = [random(x, seed) * (1 if total == np.float32 else 9) for seed, x in enumerate(((shape.m, shape.k + 3), (shape.n, shape.k + 1)))]
        a, b = (x.astype(dtype) for x in values)
        if not transposed:
            b = np.ascontiguousarray(np.concatenate([b[:, :-1].T, np.zeros((shape.k, 1), dtype)], 1))
        c = np.zeros((shape.m, shape.n + 2), total)
        Device(_product(dialect, arch, shape, transposed)).run("k", (1,), a, b, c)
        wide_a = a.astype(np.float64)[:, 1 : 1 + shape.k]
        wide_b = b.astype(np.float64)[:, : shape.k].T if transposed else b.astype(np.float64)[:, : shape.n]
        wanted = 2 * wide_a @ wide_b + (1.5 if total == np.float32 else 3)
        found = c.reshape(-1)[2 : 2 + shape.m * (shape.n + 2)]
        found = np.concatenate([found, np.zeros(2, total)]).reshape(shape.m, shape.n + 2)[:, : shape.n]
        rtol = {"tf32": 2e-3}.get(shape.operand, 1e-5)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=rtol * np.abs(wanted).max())
        if shape.operand == "tf32":
            assert np.abs(found - wanted).max() > 1e-6 * np.abs(wanted).max(), "operands keep all bits"


def test_fragments_are_loaded_and_stored_by_all_lanes_alike() -> None:
    load = _names("metal")[0]
    kind = "!kernel.fragment<8 x 8 x f32, a, simdgroup>"
    body = f"""
  %t = X.lane_id
  %c1 = arith.constant 1 : index
  %m = arith.muli %t, %factor : index
  %ld = arith.constant 8 : index
  %f = {load} %p[%m] stride %ld : {PTR} -> {kind}
"""
    device = Device(source("metal", {"p": PTR, "factor": "index"}, (32,), body))
    device.run("k", (1,), random(128), 0)
    with pytest.raises(LaunchError, match="simdgroup_load at test.mlir.* with an address or a stride that is not that of the first lane"):
        device.run("k", (1,), random(128), 1)
    with pytest.raises(LaunchError, match="simdgroup_load at .* touches 4 bytes .* outside of what it may"):
        device.run("k", (1,), random(63), 0)


# -- asynchronous copies

KIND = "!kernel.ptr<f32, {}, align 16>"
PIPELINE = f"""
  %s = X.shared 512 : {SHARED}
  %t = X.thread_id x
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : i32
  %mine = kernel.apply [4 * t](t = %t)
  X.cp_async %s[%mine], %p[%mine] bytes 16 : {SHARED}, !kernel.ptr<f32, global, align 16>
  X.cp_async_commit
  scf.for %j = %c0 to %n step %c1 {{
    %next = kernel.apply [j + 1](j = %j)
    %from = kernel.apply [128 * j + 4 * t](j = %next, t = %t)
    %to = kernel.apply [128 * (j mod 2) + 4 * t](j = %next, t = %t)
    %more = arith.cmpi slt, %next, %n : index
    %bytes32 = arith.constant 16 : i32
    %zero32 = arith.constant 0 : i32
    %valid = arith.select %more, %bytes32, %zero32 : i32
    X.cp_async %s[%to], %p[%from] bytes 16 valid %valid : {SHARED}, !kernel.ptr<f32, global, align 16>
    X.cp_async_commit
    X.cp_async_wait PENDING
    X.barrier
    %at = kernel.apply [128 * (j mod 2) + 127 - 4 * t](j = %j, t = %t)
    %out = kernel.apply [32 * j + t](j = %j, t = %t)
    %v = kernel.load %s[%at] : {SHARED} -> f32
    kernel.store %v, %q[%out] : f32, {PTR}
    SECOND
  }}
"""


@pytest.mark.parametrize(("pending", "second", "right"), [(1, "X.barrier", True), (0, "X.barrier", True), (2, "X.barrier", False), (1, "", False)])
def test_pipeline_of_cp_async(pending: int, second: str, right: bool) -> None:
    """Two stages: while one is used, the next is on its way. Waiting too little or a missing barrier shows."""
    arguments = {"p": "!kernel.ptr<f32, global, align 16>", "q": PTR, "n": "index"}
    text = source("cuda", arguments, (32,), PIPELINE.replace("PENDING", str(pending)).replace("SECOND", second))
    x = random((5, 128))
    results = []
    for reverse in (False, True):
        y = poisoned((5, 32))
        Device(text, reverse=reverse).run("k", (1,), x, y, 5)
        results.append(np.array_equal(y, x[:, 127::-4]))
    assert all(results) == right


def test_rest_of_a_copy_is_zero() -> None:
    body = f"""
  %s = X.shared 128 : {SHARED}
  %t = X.thread_id x
  %mine = kernel.apply [4 * t](t = %t)
  %valid = kernel.load %n[%t] : !kernel.ptr<i32, global> -> i32
  X.cp_async %s[%mine], %p[%mine] bytes 16 valid %valid : {SHARED}, !kernel.ptr<f32, global, align 16>
  X.cp_async_commit
  X.cp_async_wait 0
  %v = kernel.load %s[%mine] : {SHARED} -> vector<4xf32>
  kernel.store %v, %q[%mine] : vector<4xf32>, {PTR}
"""
    arguments = {"p": "!kernel.ptr<f32, global, align 16>", "q": PTR, "n": "!kernel.ptr<i32, global>"}
    device = Device(source("cuda", arguments, (32,), body))
    x, y, counts = random((31, 4)), poisoned((32, 4)), np.arange(32) % 5
    counts[31] = 0
    device.run("k", (1,), x, y, (4 * counts).astype(np.int32))
    whole = np.concatenate([x, np.zeros((1, 4), np.float32)])
    np.testing.assert_array_equal(y, np.where(np.arange(4) < counts[:, None], whole, 0))
    counts[31] = 1
    with pytest.raises(LaunchError, match=r"thread \(31, 0, 0\): cuda.cp_async .* touches 4 bytes"):
        device.run("k", (1,), x, y, (4 * counts).astype(np.int32))


def test_copies_to_the_local_data_share() -> None:
    body = f"""
  %s = X.shared 256 : {SHARED}
  %t = X.thread_id x
  %g = X.subgroup_id
  %first = kernel.apply [64 * g](g = %g)
  X.load_to_lds %s[%first], %p[%t] bytes 4 : {SHARED}, {PTR}
  BARRIER
  %o = kernel.apply [255 - t](t = %t)
  %v = kernel.load %s[%o] : {SHARED} -> f32
  kernel.store %v, %q[%t] : f32, {PTR}
"""
    x = random(256)
    for barrier in ("X.barrier", ""):
        y = poisoned(256)
        Device(source("rocm", {"p": PTR, "q": PTR}, (256,), body.replace("BARRIER", barrier))).run("k", (1,), x, y)
        assert np.array_equal(y, x[::-1]) == bool(barrier)


# -- math under the names of targets


@pytest.mark.parametrize(
    ("dialect", "function", "meaning"),
    [
        ("cuda", "ex2_approx", np.exp2), ("cuda", "lg2_approx", np.log2), ("cuda", "rcp_approx", np.reciprocal),
        ("cuda", "rsqrt_approx", lambda x: 1 / np.sqrt(x)), ("cuda", "sqrt_approx", np.sqrt), ("cuda", "tanh_approx", np.tanh),
        ("rocm", "exp2", np.exp2), ("rocm", "log2", np.log2), ("rocm", "rcp", np.reciprocal), ("rocm", "sqrt", np.sqrt),
        ("rocm", "rsq", lambda x: 1 / np.sqrt(x)), ("metal", "fast_exp2", np.exp2), ("metal", "fast_log2", np.log2),
        ("metal", "fast_divide_one", np.reciprocal), ("metal", "fast_rsqrt", lambda x: 1 / np.sqrt(x)), ("metal", "fast_sqrt", np.sqrt),
    ],
)  # fmt: skip
def test_named_math(dialect: str, function: str, meaning: object) -> None:
    body = f"""
  %t = X.thread_id x
  %c4 = arith.constant 4 : index
  %i = arith.muli %t, %c4 : index
  %z = kernel.load %p[%i] : {PTR} -> vector<4xf32>
  %y = X.{function} %z : vector<4xf32>
  kernel.store %y, %q[%i] : vector<4xf32>, {PTR}
"""
    x, y = np.abs(random(128)) * 3, poisoned(128)
    Device(source(dialect, {"p": PTR, "q": PTR}, (32,), body)).run("k", (1,), x, y)
    np.testing.assert_allclose(y, meaning(x.astype(np.float64)), rtol=2e-6, atol=1e-7)  # pyright: ignore[reportCallIssue]

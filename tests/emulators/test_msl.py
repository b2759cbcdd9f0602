"""What a GPU has beyond one thread, as Metal Shading Language: shared memory, barriers, subgroups, atomics, faults, matrices."""

from __future__ import annotations

import numpy as np
import pytest

from rlx_runtime.errors import LowerError
from tests.emulators.msl_harness import ELEMENTS, MslDevice, kernel, needs_clang, pointer, random, reversal, run_kernel

pytestmark = needs_clang

# -- ids


def test_ids_count_threads_and_blocks() -> None:
    """Each thread writes what it knows of itself at its place; three axes each."""
    ids = ["thread_id", "block_id", "block_dim", "grid_dim"]
    lines = [f"%{name}_{axis} = metal.{name} {axis}" for name in ids for axis in "xyz"]
    values = [f"%{name}_{axis}" for name in ids for axis in "xyz"] + ["%lane", "%group"]
    place = """
    %lane = metal.lane_id
    %group = metal.subgroup_id
    %b = kernel.apply [bx + 2 * by + 6 * bz](bx = %block_id_x, by = %block_id_y, bz = %block_id_z)
    %t = kernel.apply [tx + 8 * ty + 40 * tz](tx = %thread_id_x, ty = %thread_id_y, tz = %thread_id_z)
    """
    for number, value in enumerate(values):
        place += f"""
        %at{number} = kernel.apply [1120 * b + 14 * t + {number}](b = %b, t = %t)
        kernel.store {value}, %y[%at{number}] : index, {pointer("index")}
        """
    y = np.full((2 * 3 * 2, 80, 14), -7, np.int64)
    run_kernel(kernel(f"%y: {pointer('index')}", "\n".join(lines) + place, "8, 5, 2"), "f", [2, 3, 2], y)
    blocks, threads = np.indices((12, 80))
    expected = [
        threads % 8, threads // 8 % 5, threads // 40, blocks % 2, blocks // 2 % 3, blocks // 6,
        *(np.full((12, 80), n) for n in (8, 5, 2, 2, 3, 2)), threads % 32, threads // 32,
    ]  # fmt: skip
    np.testing.assert_array_equal(y, np.stack(expected, -1))


# -- shared memory and barriers


@pytest.mark.parametrize("element", ELEMENTS)
def test_threads_meet_at_a_barrier(element: str) -> None:
    x, y = random(192, element), np.zeros(192, ELEMENTS[element])
    run_kernel(reversal(element), "f", [3], x, y)
    np.testing.assert_array_equal(y.reshape(3, 64), x.reshape(3, 64)[:, ::-1])


def test_barriers_in_loops() -> None:
    """A prefix sum in six rounds, each with two barriers."""
    body = f"""
    %s = metal.shared 64 : {pointer("f32", "shared")}
    %t = metal.thread_id x
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c6 = arith.constant 6 : index
    %zero = arith.constant 0.0 : f32
    %v = kernel.load %x[%t] : {pointer("f32")} -> f32
    kernel.store %v, %s[%t] : f32, {pointer("f32", "shared")}
    metal.barrier
    scf.for %round = %c0 to %c6 step %c1 {{
      %distance = arith.shli %c1, %round : index
      %from = arith.subi %t, %distance : index
      %has = arith.cmpi sge, %from, %c0 : index
      %more = scf.if %has -> (f32) {{
        %w = kernel.load %s[%from] : {pointer("f32", "shared")} -> f32
        scf.yield %w : f32
      }} else {{
        scf.yield %zero : f32
      }}
      metal.barrier
      %own = kernel.load %s[%t] : {pointer("f32", "shared")} -> f32
      %sum = arith.addf %own, %more : f32
      kernel.store %sum, %s[%t] : f32, {pointer("f32", "shared")}
      metal.barrier
    }}
    %r = kernel.load %s[%t] : {pointer("f32", "shared")} -> f32
    kernel.store %r, %y[%t] : f32, {pointer("f32")}
    """
    x, y = random(64, "f32"), np.zeros(64, np.float32)
    run_kernel(kernel(f"%x: {pointer('f32')}, %y: {pointer('f32')}", body), "f", [1], x, y)
    np.testing.assert_allclose(y, np.cumsum(x.astype(np.float64)), rtol=1e-5, atol=1e-6)


# -- subgroups


@pytest.mark.parametrize("element", ELEMENTS)
def test_shuffles(element: str) -> None:
    """By constants and by a variable; a lane that does not exist leaves the own value."""
    wanted = [("xor", 1), ("xor", 16), ("up", 3), ("down", 5), ("idx", 7), ("idx", 99), ("xor", 40)]
    lines = [f"%v = kernel.load %x[%t] : {pointer(element)} -> {element}"]
    for number, (kind, offset) in enumerate(wanted):
        lines += [
            f"%o{number} = arith.constant {offset} : i32",
            f"%s{number} = metal.shuffle {kind} %v, %o{number} : {element}",
            f"%at{number} = kernel.apply [64 * {number} + t](t = %t)",
            f"kernel.store %s{number}, %y[%at{number}] : {element}, {pointer(element)}",
        ]
    x, y = random(64, element), np.zeros((len(wanted), 64), ELEMENTS[element])
    text = kernel(f"%x: {pointer(element)}, %y: {pointer(element)}", "%t = metal.thread_id x\n" + "\n".join(lines))
    run_kernel(text, "f", [1], x, y)
    lane = np.arange(64) % 32
    for row, (kind, offset) in zip(y, wanted):
        target = {"xor": lane ^ offset, "up": lane - offset, "down": lane + offset, "idx": np.full(64, offset)}[kind]
        target = np.where((target >= 0) & (target < 32), target, lane)
        np.testing.assert_array_equal(row, x[np.arange(64) // 32 * 32 + target], err_msg=f"{kind} {offset}")


@pytest.mark.parametrize(
    ("kind", "element"),
    [("add", e) for e in ELEMENTS] + [("mul", "f32"), ("mul", "i32")]
    + [(k, e) for k in ("maximumf", "minimumf") for e in ("f32", "f16", "bf16")]
    + [(k, e) for k in ("maxsi", "minsi", "maxui", "minui", "and", "or", "xor") for e in ("i8", "i32", "i64")],
)  # fmt: skip
def test_subgroup_reductions(kind: str, element: str) -> None:
    body = f"""
    %t = metal.thread_id x
    %v = kernel.load %x[%t] : {pointer(element)} -> {element}
    %s = metal.subgroup_reduce {kind} %v : {element}
    kernel.store %s, %y[%t] : {element}, {pointer(element)}
    """
    x, y = random(96, element), np.zeros(96, ELEMENTS[element])
    run_kernel(kernel(f"%x: {pointer(element)}, %y: {pointer(element)}", body, "96"), "f", [1], x, y)
    groups = x.reshape(3, 32)
    if x.dtype.kind != "i":
        wide = groups.astype(np.float64)
        name = {"add": np.sum, "mul": np.prod, "maximumf": np.max, "minimumf": np.min}[kind]
        expected = np.repeat(name(wide, 1), 32)
        tolerance = {"f32": 2e-6, "f16": 2e-3, "bf16": 1e-2}[element]
        np.testing.assert_allclose(y.astype(np.float64), expected, rtol=tolerance, atol=tolerance)
        return
    unsigned = groups.view(f"u{x.dtype.itemsize}")
    reduce = {
        "add": np.add, "mul": np.multiply, "maxsi": np.maximum, "minsi": np.minimum, "maxui": np.maximum, "minui": np.minimum,
        "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    }[kind]  # fmt: skip
    source = unsigned if kind.endswith("ui") else groups
    np.testing.assert_array_equal(y, np.repeat(reduce.reduce(source, 1, dtype=source.dtype), 32).view(x.dtype))


def test_sums_of_subgroups_have_one_order() -> None:
    """The butterfly's: distances 16, 8, 4, 2, 1, in f32, bit for bit."""
    body = f"""
    %t = metal.thread_id x
    %v = kernel.load %x[%t] : {pointer("f32")} -> f32
    %s = metal.subgroup_reduce add %v : f32
    kernel.store %s, %y[%t] : f32, {pointer("f32")}
    """
    x, y = random(32, "f32"), np.zeros(32, np.float32)
    run_kernel(kernel(f"%x: {pointer('f32')}, %y: {pointer('f32')}", body, "32"), "f", [1], x, y)
    total = x
    for distance in (16, 8, 4, 2, 1):
        total = total + total[np.arange(32) ^ distance]
    np.testing.assert_array_equal(y, total)


def test_votes() -> None:
    body = f"""
    %t = metal.thread_id x
    %v = kernel.load %x[%t] : {pointer("i1")} -> i1
    %any = metal.vote any %v
    %all = metal.vote all %v
    %at = kernel.apply [2 * t](t = %t)
    %next = kernel.apply [2 * t + 1](t = %t)
    kernel.store %any, %y[%at] : i1, {pointer("i1")}
    kernel.store %all, %y[%next] : i1, {pointer("i1")}
    """
    x, y = np.zeros(96, np.bool_), np.zeros((96, 2), np.bool_)
    x[40] = True
    x[64:] = True
    run_kernel(kernel(f"%x: {pointer('i1')}, %y: {pointer('i1')}", body, "96"), "f", [1], x, y)
    np.testing.assert_array_equal(y, np.repeat([[False, False], [True, False], [True, True]], 32, axis=0))


# -- atomics and faults


@pytest.mark.parametrize("space", ["global", "shared"])
@pytest.mark.parametrize("kind", ["add", "maxsi", "minsi", "maxui", "minui", "and", "or", "xor", "exchange"])
def test_atomics_of_integers(kind: str, space: str) -> None:
    body = f"""
    %t = metal.thread_id x
    %c0 = arith.constant 0 : index
    %first = arith.cmpi eq, %t, %c0 : index
    %v = kernel.load %x[%t] : {pointer("i32")} -> i32
    """
    if space == "shared":
        body += f"""
        %p = metal.shared 1 : {pointer("i32", "shared")}
        scf.if %first {{
          %start = kernel.load %y[%c0] : {pointer("i32")} -> i32
          kernel.store %start, %p[%c0] : i32, {pointer("i32", "shared")}
        }}
        metal.barrier
        %old = metal.atomic {kind} %v, %p[%c0] : {pointer("i32", "shared")}
        kernel.store %old, %z[%t] : i32, {pointer("i32")}
        metal.barrier
        scf.if %first {{
          %end = kernel.load %p[%c0] : {pointer("i32", "shared")} -> i32
          kernel.store %end, %y[%c0] : i32, {pointer("i32")}
        }}
        """
    else:
        body += f"""
        %old = metal.atomic {kind} %v, %y[%c0] : {pointer("i32")}
        kernel.store %old, %z[%t] : i32, {pointer("i32")}
        """
    x, y, z = random(64, "i32"), np.array([17], np.int32), np.zeros(64, np.int32)
    names = ", ".join(f"%{name}: {pointer('i32')}" for name in "xyz")
    run_kernel(kernel(names, body), "f", [1], x, y, z, same=False)
    one = {
        "add": np.add, "maxsi": np.maximum, "minsi": np.minimum, "maxui": np.maximum, "minui": np.minimum, "and": np.bitwise_and,
        "or": np.bitwise_or, "xor": np.bitwise_xor, "exchange": lambda a, b: b,
    }[kind]  # fmt: skip
    values = x.view(np.uint32) if kind.endswith("ui") else x
    held = np.array(17, values.dtype)
    for value, old in zip(values, z.view(values.dtype)):  # threads ran in order
        assert old == held
        held = one(held, value)
    assert y.view(values.dtype)[0] == held


@pytest.mark.parametrize("space", ["global", "shared"])
def test_atomic_sums_of_floats(space: str) -> None:
    body = f"""
    %t = metal.thread_id x
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %first = arith.cmpi eq, %t, %c0 : index
    %s = metal.shared 1 : {pointer("f32", "shared")}
    scf.if %first {{
      kernel.store %zero, %s[%c0] : f32, {pointer("f32", "shared")}
      kernel.store %zero, %y[%c0] : f32, {pointer("f32")}
    }}
    metal.barrier
    %v = kernel.load %x[%t] : {pointer("f32")} -> f32
    %old = metal.atomic add %v, {"%y" if space == "global" else "%s"}[%c0] : {pointer("f32", space)}
    metal.barrier
    scf.if %first {{
      %sum = kernel.load {"%y" if space == "global" else "%s"}[%c0] : {pointer("f32", space)} -> f32
      kernel.store %sum, %y[%c0] : f32, {pointer("f32")}
    }}
    """
    x, y = random(64, "f32"), np.zeros(1, np.float32)
    run_kernel(kernel(f"%x: {pointer('f32')}, %y: {pointer('f32')}", body), "f", [1], x, y, same=False)
    np.testing.assert_allclose(y, x.astype(np.float64).sum(), rtol=1e-5)


def test_there_are_no_atomics_of_64_bits() -> None:
    body = f"%c0 = arith.constant 0 : index\n%v = arith.constant 3 : i64\n%old = metal.atomic add %v, %y[%c0] : {pointer('i64')}"
    with pytest.raises(LowerError, match=r"test\.mlir:4:.*there is no atomic 'add' of i64 on Apple GPUs"):
        MslDevice(kernel(f"%y: {pointer('i64')}", body))


def test_the_first_fault_stays() -> None:
    """Threads 37 and after report; details that are left out are 0."""
    body = f"""
    %t = metal.thread_id x
    %n = arith.constant 37 : index
    %bad = arith.cmpi sge, %t, %n : index
    kernel.fault 1 item %item(%n, %t) if %bad status %status : {pointer("i64")}
    """
    status = np.zeros(6, np.int64)
    text = kernel(f"%item: index, %status: {pointer('i64')}", body)
    MslDevice(text).run("f", [2], 9, status)
    np.testing.assert_array_equal(status, [1, 9, 37, 37, 0, 0])
    again = status.copy()
    MslDevice(text).run("f", [2], 5, again)
    np.testing.assert_array_equal(again, status)


# -- matrices


@pytest.mark.parametrize("element", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("space", ["global", "shared"])
def test_matrices_of_simdgroups(element: str, transposed: bool, space: str) -> None:
    """Two simdgroups make the left and the right half of an 8 × 16 product over k = 24, by loops with a carried matrix."""
    fragments = {role: f"!kernel.fragment<8 x 8 x {element if role != 'c' else 'f32'}, {role}, simdgroup>" for role in "abc"}
    source = pointer(element, space)
    staged = f"""
    %a = metal.shared 192 : {source}
    %b = metal.shared 384 : {source}
    scf.for %i = %t to %c192 step %c64 {{
      %v = kernel.load %x[%i] : {pointer(element)} -> {element}
      kernel.store %v, %a[%i] : {element}, {source}
    }}
    scf.for %i = %t to %c384 step %c64 {{
      %v = kernel.load %w[%i] : {pointer(element)} -> {element}
      kernel.store %v, %b[%i] : {element}, {source}
    }}
    metal.barrier
    """
    a, b = ("%a", "%b") if space == "shared" else ("%x", "%w")
    body = f"""
    %t = metal.thread_id x
    %group = metal.subgroup_id
    %c0 = arith.constant 0 : index
    %c8 = arith.constant 8 : index
    %c16 = arith.constant 16 : index
    %c24 = arith.constant 24 : index
    %c64 = arith.constant 64 : index
    %c192 = arith.constant 192 : index
    %c384 = arith.constant 384 : index
    %zero = arith.constant 0.5 : f32
    {staged if space == "shared" else ""}
    %column = kernel.apply [8 * g](g = %group)
    %start = metal.simdgroup_fill %zero : f32 -> {fragments["c"]}
    %sum = scf.for %k = %c0 to %c24 step %c8 iter_args(%acc = %start) -> ({fragments["c"]}) {{
      %place = kernel.apply [{"24 * j + k" if transposed else "16 * k + j"}](j = %column, k = %k)
      %fa = metal.simdgroup_load {a}[%k] stride %c24 : {source} -> {fragments["a"]}
      %fb = metal.simdgroup_load {b}[%place] stride {"%c24 transposed" if transposed else "%c16"} : {source} -> {fragments["b"]}
      %next = metal.simdgroup_multiply_accumulate %fa, %fb, %acc : {fragments["a"]}, {fragments["b"]}, {fragments["c"]}
      scf.yield %next : {fragments["c"]}
    }}
    metal.simdgroup_store %sum, %y[%column] stride %c16 : {fragments["c"]}, {pointer("f32")}
    """
    x, w, y = random(192, element), random(384, element, 1), np.zeros((8, 16), np.float32)
    text = kernel(f"%x: {pointer(element)}, %w: {pointer(element)}, %y: {pointer('f32')}", body)
    run_kernel(text, "f", [1], x, w, y)
    right = w.astype(np.float64).reshape(16, 24).T if transposed else w.astype(np.float64).reshape(24, 16)
    np.testing.assert_allclose(y, x.astype(np.float64).reshape(8, 24) @ right + 0.5, rtol=1e-5, atol=1e-5)


def test_fast_functions() -> None:
    names = {"fast_exp2": np.exp2, "fast_log2": np.log2, "fast_divide_one": lambda v: 1 / v, "fast_rsqrt": lambda v: 1 / np.sqrt(v), "fast_sqrt": np.sqrt}
    body = f"%c0 = arith.constant 0 : index\n%v = kernel.load %x[%c0] : {pointer('f32')} -> vector<7xf32>\n"
    for number, name in enumerate(names):
        body += f"%r{number} = metal.{name} %v : vector<7xf32>\n%at{number} = arith.constant {7 * number} : index\n"
        body += f"kernel.store %r{number}, %y[%at{number}] : vector<7xf32>, {pointer('f32')}\n"
    x, y = np.abs(random(7, "f32")), np.zeros((len(names), 7), np.float32)
    run_kernel(kernel(f"%x: {pointer('f32')}, %y: {pointer('f32')}", body, "1"), "f", [1], x, y)
    for row, reference in zip(y, names.values()):
        np.testing.assert_allclose(row, reference(x.astype(np.float64)), rtol=1e-5, atol=1e-6)

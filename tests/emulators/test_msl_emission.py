"""Ops of the kernel level through the Metal Shading Language: the cases of the CPU's emission, and f32 alone where those use f64.

A case is a function of the CPU's tests; here its programs are kernels of one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rlx_backends.llvm.math import ULP_BOUNDS
from rlx_runtime.errors import LowerError
from tests.backends.cpu import test_emit_elementwise as elementwise
from tests.backends.cpu import test_emit_memory as memory
from tests.backends.cpu import test_emit_vectors as vectors
from tests.backends.cpu import test_math as cpu_math
from tests.backends.cpu.harness import aligned
from tests.emulators.msl_harness import MslProgram, needs_clang

pytestmark = needs_clang

ELEMENTWISE = (
    "test_nan_in_maxima", "test_integer_arithmetic", "test_comparisons_and_selection", "test_float_to_integer_saturates",
    "test_narrow_floats", "test_narrow_arithmetic_rounds_once", "test_index_expressions", "test_shifts_counts_and_powers",
    "test_fused_multiply_add_rounds_once",
)  # fmt: skip
VECTORS = (
    "test_broadcasts_and_rows", "test_reductions_to_scalars", "test_reductions_of_tiles", "test_masks_reduce_to_any_and_all",
    "test_reduce_with_finds_the_first_maximum", "test_reduce_with_merges_moments_per_row", "test_transpose",
    "test_shuffle_interleaves_and_reverses", "test_outer_dot", "test_outer_fma",
)  # fmt: skip
MEMORY = (
    "test_tile_copy_with_strides_and_masks", "test_columns", "test_gather_and_scatter", "test_equal_scatter_indices_keep_the_last_lane",
    "test_booleans_take_a_byte", "test_pointers_scratch_and_prefetch", "test_loops_and_branches", "test_calls_with_several_results",
)  # fmt: skip


def cases(module: ModuleType, names: tuple[str, ...]) -> Iterator[Any]:
    """A function with each combination of its parameters, the target left out; combinations with f64 are not for this language."""
    for name in names:
        function = getattr(module, name)
        combinations: list[dict[str, Any]] = [{}]
        for mark in getattr(function, "pytestmark", []):
            keys, values = mark.args
            keys = [key.strip() for key in keys.split(",")] if isinstance(keys, str) else list(keys)
            if keys == ["target"]:
                combinations = [{**known, "target": None} for known in combinations]
                continue
            rows = [value if len(keys) > 1 else (value,) for value in values]
            combinations = [{**known, **dict(zip(keys, row))} for row in rows for known in combinations]
        for chosen in combinations:
            if "f64" not in chosen.values():
                told = [str(value) for key, value in chosen.items() if key != "target"]
                yield pytest.param(module, function, chosen, id="-".join([name.removeprefix("test_"), *told]))


@pytest.mark.parametrize(
    ("module", "case", "arguments"), [*cases(elementwise, ELEMENTWISE), *cases(vectors, VECTORS), *cases(memory, MEMORY)]
)
def test_case_of_the_cpu(
    module: ModuleType, case: Callable[..., None], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Program", MslProgram)
    if module is elementwise:
        monkeypatch.setattr(module, "run_map", _in_groups(elementwise.run_map))
    case(**arguments)


def _in_groups(run_map: Callable[..., list[np.ndarray]]) -> Callable[..., list[np.ndarray]]:
    """A kernel takes 31 arguments: eight ops of two inputs and a result, and the size."""

    def run(ops: list[Any], inputs: list[Any], lanes: int, target: object) -> list[np.ndarray]:
        return [r for at in range(0, len(ops), 8) for r in run_map(ops[at : at + 8], inputs[at : at + 8], lanes, target)]

    return run


# -- what the CPU's cases mix with f64


@pytest.fixture
def run_map(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[np.ndarray]]:
    monkeypatch.setattr(elementwise, "Program", MslProgram)
    return lambda ops, inputs, lanes: _in_groups(elementwise.run_map)(ops, inputs, lanes, None)


@pytest.mark.parametrize("size", [1, 3, 17])
@pytest.mark.parametrize("lanes", [1, 3, 17])
def test_float_arithmetic(run_map: Callable[..., list[np.ndarray]], size: int, lanes: int) -> None:
    names = {
        "arith.addf": np.add, "arith.subf": np.subtract, "arith.mulf": np.multiply, "arith.divf": np.divide,
        "arith.maximumf": np.maximum, "arith.minimumf": np.minimum, "math.copysign": np.copysign,
    }  # fmt: skip
    x, y = elementwise.floats(size, 1), elementwise.floats(size, 2)[::-1].copy()
    results = run_map([elementwise.binary(name, "f32") for name in names], [[x, y]] * len(names), lanes)
    for (name, reference), result in zip(names.items(), results):
        np.testing.assert_array_equal(result, reference(x, y), err_msg=name)


def test_exact_unary_functions(run_map: Callable[..., list[np.ndarray]]) -> None:
    names = {
        "math.absf": np.abs, "math.floor": np.floor, "math.ceil": np.ceil, "math.trunc": np.trunc, "math.roundeven": np.rint,
        "arith.negf": np.negative, "math.sqrt": np.sqrt,
    }  # fmt: skip
    x = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e10, np.inf, -np.inf, np.nan, 2**-149, 8388609.0], np.float32)
    with np.errstate(invalid="ignore"):
        unary = [(["f32"], "f32", f"%r = {name} %x0 : V<f32>") for name in names]
        for (name, reference), result in zip(names.items(), run_map(unary, [[x]] * len(names), 7)):
            np.testing.assert_array_equal(result, reference(x), err_msg=name)
    (half_away,) = run_map([(["f32"], "f32", "%r = math.round %x0 : V<f32>")], [[x[2:7]]], 7)
    np.testing.assert_array_equal(half_away, [1, -1, 2, 3, -3])
    x = np.abs(elementwise.floats(17))
    (rsqrt,) = run_map([(["f32"], "f32", "%r = math.rsqrt %x0 : V<f32>")], [[x]], 17)
    np.testing.assert_allclose(rsqrt, 1 / np.sqrt(x.astype(np.float64)), rtol=1.2e-7)  # two roundings


def test_integer_casts(run_map: Callable[..., list[np.ndarray]]) -> None:
    x = np.array([-128, -1, 0, 1, 127], np.int8)
    unsigned, signed = x.view(np.uint8), x
    expected = {
        ("extsi", "i32"): signed, ("extui", "i64"): unsigned, ("extsi", "i64"): signed, ("sitofp", "f32"): signed,
        ("uitofp", "f32"): unsigned, ("sitofp", "f16"): signed, ("uitofp", "bf16"): unsigned,
    }  # fmt: skip
    ops = [(["i8"], type_, f"%r = kernel.cast {kind} %x0 : V<i8> to V<{type_}>") for kind, type_ in expected]
    for (names, reference), result in zip(expected.items(), run_map(ops, [[x]] * len(ops), 3)):
        np.testing.assert_array_equal(result.astype(np.float64), reference.astype(result.dtype).astype(np.float64), err_msg=str(names))
    wide = np.array([2**40 + 5, -7, 2**31], np.int64)
    narrow, seen = run_map(
        [(["i64"], "i16", "%r = kernel.cast trunci %x0 : V<i64> to V<i16>"), (["i64"], "f32", "%r = kernel.cast sitofp %x0 : V<i64> to V<f32>")],
        [[wide], [wide]],
        3,
    )
    np.testing.assert_array_equal(narrow, wide.astype(np.int16))
    np.testing.assert_array_equal(seen, wide.astype(np.float32))
    (bits,) = run_map([(["f32"], "i32", "%r = kernel.cast bitcast %x0 : V<f32> to V<i32>")], [[elementwise.floats(5)]], 3)
    np.testing.assert_array_equal(bits, elementwise.floats(5).view(np.int32))


def test_bools_as_numbers(run_map: Callable[..., list[np.ndarray]]) -> None:
    """True is -1 where it is signed, 1 where not; logic and comparisons of bools."""
    x = np.array([True, False, True, False, True])
    y = np.array([True, True, False, False, True])
    casts = {("extsi", "i32"): -1, ("extui", "i32"): 1, ("sitofp", "f32"): -1, ("uitofp", "f32"): 1}
    ops = [(["i1"], type_, f"%r = kernel.cast {kind} %x0 : V<i1> to V<{type_}>") for kind, type_ in casts]
    for unit, result in zip(casts.values(), run_map(ops, [[x]] * len(ops), 3)):
        np.testing.assert_array_equal(result, x * unit)
    logic = {"arith.andi": x & y, "arith.ori": x | y, "arith.xori": x ^ y, "arith.addi": x ^ y, "arith.muli": x & y}
    results = run_map([elementwise.binary(name, "i1") for name in logic], [[x, y]] * len(logic), 3)
    for (name, reference), result in zip(logic.items(), results):
        np.testing.assert_array_equal(result, reference, err_msg=name)
    order = {"eq": x == y, "ne": x != y, "ult": x < y, "uge": x >= y, "slt": x > y, "sle": x >= y}
    ops = [(["i1", "i1"], "i1", f"%r = kernel.cmp {name} %x0, %x1 : V<i1>") for name in order]
    for (name, reference), result in zip(order.items(), run_map(ops, [[x, y]] * len(ops), 3)):
        np.testing.assert_array_equal(result, reference, err_msg=name)


def test_shifts_move_all_bits_out(run_map: Callable[..., list[np.ndarray]]) -> None:
    for type_, dtype in (("i8", np.int8), ("i16", np.int16), ("i32", np.int32), ("i64", np.int64)):
        bits = 8 * np.dtype(dtype).itemsize
        x = np.array([-3, 5, np.iinfo(dtype).min, -1], dtype)
        n = np.array([bits, bits - 1, bits + 3, 1], dtype)
        names = ("shli", "shrui", "shrsi")
        found = run_map([elementwise.binary(f"arith.{name}", type_) for name in names], [[x, n]] * 3, 3)
        unsigned = [int(v) % (1 << bits) for v in x]
        wanted = [
            [(v << int(s)) % (1 << bits) if s < bits else 0 for v, s in zip(unsigned, n)],
            [v >> int(s) if s < bits else 0 for v, s in zip(unsigned, n)],
            [(int(v) >> min(int(s), bits - 1)) % (1 << bits) for v, s in zip(x, n)],
        ]
        for name, result, reference in zip(names, found, wanted):
            assert [int(v) % (1 << bits) for v in result] == reference, (name, type_)


# -- math


@pytest.fixture(scope="module")
def functions() -> MslProgram:
    """All functions in f32, over n elements by vectors with a tail."""
    texts = []
    for name in (*cpu_math.UNARY, *cpu_math.BINARY):
        inputs = 1 if name in cpu_math.UNARY else 2
        pointers = "".join(f"%p{i}: !kernel.ptr<f32, global>, " for i in range(inputs))
        loads = "\n".join(f"%x{i} = kernel.load %p{i}[%i] mask %m : !kernel.ptr<f32, global> -> vector<7xf32>" for i in range(inputs))
        texts.append(f"""
        kernel.func @{name[5:]}.f32({pointers}%q: !kernel.ptr<f32, global>, %n: index) {{
          %c0 = arith.constant 0 : index
          %step = arith.constant 7 : index
          scf.for %i = %c0 to %n step %step {{
            %left = arith.subi %n, %i : index
            %m = kernel.mask %left : vector<7xi1>
            {loads}
            %r = {name} {", ".join(f"%x{i}" for i in range(inputs))} : vector<7xf32>
            kernel.store %r, %q[%i] mask %m : vector<7xf32>, !kernel.ptr<f32, global>
          }}
          kernel.return
        }}""")
    return MslProgram("\n".join(texts))


@pytest.mark.parametrize("name", [*cpu_math.UNARY, *cpu_math.BINARY])
def test_math_keeps_the_bounds_of_the_cpu(functions: MslProgram, name: str) -> None:
    """Denormals, infinities, NaN and signed zeros too; the functions that are the device's own run as exactly rounded ones here."""
    assert name in ULP_BOUNDS
    inputs = [cpu_math.arguments("f32", seed, 6000) for seed in range(1 if name in cpu_math.UNARY else 2)]
    result = aligned(len(inputs[0]))
    functions.run(f"{name[5:]}.f32", *inputs, result, len(result))
    with np.errstate(all="ignore"):
        exact = {**cpu_math.UNARY, **cpu_math.BINARY}[name](*(x.astype(np.float64) for x in inputs))
    cpu_math.check(name, "f32", result, exact, *inputs)


# -- what the language does not have


def test_f64_is_refused_with_its_place() -> None:
    with pytest.raises(LowerError, match=r"test\.mlir:2:.*kernel\.func: the language has no f64"):
        MslProgram(
            """
            kernel.func @f(%x: !kernel.ptr<f32, global>, %p: !kernel.ptr<f64, private>, %i: index) {
            %b = kernel.load %p[%i] : !kernel.ptr<f64, private> -> f64
            kernel.return
            }
            """
        )


def test_an_unknown_op_is_refused_with_its_place() -> None:
    with pytest.raises(LowerError, match=r"test\.mlir:3:.*kernel\.thread_id: the emitter does not know this operation"):
        MslProgram("\nkernel.func @f(%x: !kernel.ptr<f32, global>) {\n%t = kernel.thread_id\nkernel.return\n}")


# -- f64 inside a kernel


def _pair(code: str, inputs: list[str], lanes: int) -> list[tuple[list[str], str, str]]:
    """Both floats of a pair %r, as two results."""
    t = f"vector<{lanes}x"
    high = f"%th = kernel.cast truncf %r : {t}f64> to {t}f32>"
    low = f"%tw = kernel.cast extf %th : {t}f32> to {t}f64>\n%td = arith.subf %r, %tw : {t}f64>\n%tl = kernel.cast truncf %td : {t}f64> to {t}f32>"
    code = code.replace("V<", "T<")
    for element in ("f64", "f32", "i64"):
        code = code.replace(f"T<{element}>", f"{t}{element}>")
    both = [(f"{code}\n{high}", "%th"), (f"{code}\n{high}\n{low}", "%tl")]
    return [(inputs, "f32", text.replace("%r", "%tr").replace(found, "%r")) for text, found in both]


@pytest.mark.parametrize("lanes", [1, 4, 7])
@pytest.mark.parametrize(
    ("name", "bound"), [("arith.addf", 46), ("arith.subf", 46), ("arith.mulf", 46), ("math.exp2", 44), ("sitofp", 48)]
)
def test_pairs_keep_most_bits_of_f64(run_map: Callable[..., list[np.ndarray]], name: str, bound: int, lanes: int) -> None:
    rng = np.random.default_rng(1)
    numbers = rng.integers(-(1 << 40), 1 << 40, 200)
    x, y = rng.uniform(0.5, 100, 200).astype(np.float32), rng.uniform(0.5, 1, 200).astype(np.float32)
    # A constant that f32 does not hold makes pairs of which both floats matter.
    third, wide = 1 / 3, "%ta = kernel.cast extf %x0 : V<f32> to V<f64>\n%tb = kernel.cast extf %x1 : V<f32> to V<f64>\n"
    wide += f"%ts = arith.constant {third!r} : f64\n%tc = kernel.broadcast %ts : f64 -> V<f64>\n%te = arith.mulf %ta, %tc : V<f64>\n"
    if name == "sitofp":
        code, inputs, arrays, exact = "%r = kernel.cast sitofp %x0 : V<i64> to V<f64>", ["i64"], [numbers], numbers.astype(np.float64)
    elif name == "math.exp2":
        code = f"{wide}%tf = arith.negf %te : V<f64>\n%r = {name} %tf : V<f64>"
        inputs, arrays, exact = ["f32", "f32"], [x, y], np.exp2(-(x.astype(np.float64) * third))
    else:
        code, inputs, arrays = f"{wide}%r = {name} %te, %tb : V<f64>", ["f32", "f32"], [x, y]
        product = x.astype(np.float64) * third
        exact = {"arith.addf": np.add, "arith.subf": np.subtract, "arith.mulf": np.multiply}[name](product, y.astype(np.float64))
    high, low = run_map(_pair(code, inputs, lanes), [arrays] * 2, lanes)
    found = high.astype(np.float64) + low.astype(np.float64)
    scale = np.abs(exact) if name != "arith.subf" else np.abs(x / 3) + np.abs(y)
    assert (np.abs(found - exact) <= 2.0**-bound * scale).all(), float((np.abs(found - exact) / scale).max())


@pytest.mark.parametrize("name", ["math.sin", "math.cos"])
def test_angles_of_far_positions(run_map: Callable[..., list[np.ndarray]], name: str) -> None:
    """position · 10000^(-2i/64), as rotary embeddings have it, to the accuracy of f32."""
    positions = np.repeat(np.array([0, 1, 77, 4095, 131071, 1000003]), 32)
    pair = np.tile(np.arange(32), 6)
    step = float(-2 / 64 * np.log2(10000.0))
    code = f"""
    %tp = kernel.cast sitofp %x0 : V<i64> to V<f64>
    %ti = kernel.cast sitofp %x1 : V<i64> to V<f64>
    %ts = arith.constant {step!r} : f64
    %tc = kernel.broadcast %ts : f64 -> V<f64>
    %te = arith.mulf %ti, %tc : V<f64>
    %tf = math.exp2 %te : V<f64>
    %ta = arith.mulf %tp, %tf : V<f64>
    %tr = {name} %ta : V<f64>
    %r = kernel.cast truncf %tr : V<f64> to V<f32>"""
    (result,) = run_map([(["i64", "i64"], "f32", code)], [[positions, pair]], 4)
    exact = {"math.sin": np.sin, "math.cos": np.cos}[name](positions * np.exp2(step * pair))
    np.testing.assert_allclose(result, exact, rtol=0, atol=1.5e-7)


@pytest.mark.parametrize(
    "text",
    [
        "%b = arith.extf %a : f32 to f64\n%c = math.sin %b : f64\n%d = arith.negf %c : f64\n%e = arith.truncf %d : f64 to f32",
        "%b = arith.extf %a : f32 to f64\n%c = arith.divf %b, %b : f64",
        "%b = arith.extf %a : f32 to f64\n%c = arith.cmpf olt, %b, %b : f64",
        "%b = arith.extf %h : f16 to f64",
    ],
)
def test_what_pairs_do_not_do_is_refused(text: str) -> None:
    with pytest.raises(LowerError, match="the language has no f64"):
        MslProgram(f"kernel.func @f(%x: !kernel.ptr<f32, global>, %a: f32, %h: f16) {{\n{text}\nkernel.return\n}}")

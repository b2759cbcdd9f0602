"""Element-wise ops and casts, run on every vector width of the machine and on sizes that leave tails."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from rlx_runtime.errors import LowerError
from tests.backends.cpu.harness import Program, aligned, targets

TARGETS = targets()
SIZES = [0, 1, 3, 17, 48]
DTYPES = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f8E4M3FN": ml_dtypes.float8_e4m3fn,
    "f8E5M2": ml_dtypes.float8_e5m2, "i64": np.int64, "i32": np.int32, "i16": np.int16, "i8": np.int8, "i1": np.bool_,
    "index": np.int64,
}  # fmt: skip


def map_text(lanes: int, ops: list[tuple[list[str], str, str]]) -> str:
    """One kernel: a loop over n elements in vectors of `lanes` with a masked tail; op i maps its inputs to an output.

    Each of `ops` is (input types, output type, body that defines %r from %x0, %x1, … with `V<type>` for vector types).
    """
    arguments, body = [], []
    for number, (inputs, output, code) in enumerate(ops):
        for position, element in enumerate(inputs):
            name = f"%p{number}_{position}"
            arguments.append(f"{name}: !kernel.ptr<{element}, global>")
            body.append(
                f"%x{number}_{position} = kernel.load {name}[%i] mask %m : !kernel.ptr<{element}, global> -> vector<{lanes}x{element}>"
            )
        arguments.append(f"%q{number}: !kernel.ptr<{output}, global>")
        for old, new in (("%x", f"%x{number}_"), ("%r", f"%r{number}"), ("%t", f"%t{number}_")):
            code = code.replace(old, new)
        for element in DTYPES:
            code = code.replace(f"V<{element}>", f"vector<{lanes}x{element}>")
        body.append(code)
        body.append(f"kernel.store %r{number}, %q{number}[%i] mask %m : vector<{lanes}x{output}>, !kernel.ptr<{output}, global>")
    lines = "\n    ".join(body)
    return f"""
kernel.func @f({", ".join(arguments)}, %n: index) {{
  %c0 = arith.constant 0 : index
  %step = arith.constant {lanes} : index
  scf.for %i = %c0 to %n step %step {{
    %left = arith.subi %n, %i : index
    %m = kernel.mask %left : vector<{lanes}xi1>
    {lines}
  }}
  kernel.return
}}
"""


def run_map(ops: list[tuple[list[str], str, str]], inputs: list[list[np.ndarray]], lanes: int, target: object) -> list[np.ndarray]:
    """Run all ops on arrays of one length; the outputs carry one more element, which must stay as it was."""
    program = Program(map_text(lanes, ops), target)  # pyright: ignore[reportArgumentType]
    size = len(inputs[0][0])
    arguments: list[np.ndarray] = []
    outputs: list[np.ndarray] = []
    for (types, output, _), arrays in zip(ops, inputs):
        for element, array in zip(types, arrays):
            copy = aligned(size, DTYPES[element])
            copy[:] = array
            arguments.append(copy)
        outputs.append(aligned(size + 1, DTYPES[output]))
        arguments.append(outputs[-1])
    before = [output[-1:].tobytes() for output in outputs]
    program.run("f", *arguments, size)
    assert [output[-1:].tobytes() for output in outputs] == before, "wrote past the end"
    return [output[:-1] for output in outputs]


def floats(size: int, seed: int = 0, dtype: object = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 4.0, size).astype(dtype) * np.where(np.arange(size) % 3, 1, -1).astype(dtype)  # pyright: ignore[reportCallIssue, reportArgumentType]


def binary(name: str, type_: str) -> tuple[list[str], str, str]:
    return ([type_, type_], type_, f"%r = {name} %x0, %x1 : V<{type_}>")


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
@pytest.mark.parametrize("size", SIZES)
def test_float_arithmetic(target: object, size: int) -> None:
    names = {
        "arith.addf": np.add, "arith.subf": np.subtract, "arith.mulf": np.multiply, "arith.divf": np.divide,
        "arith.maximumf": np.maximum, "arith.minimumf": np.minimum, "math.copysign": np.copysign,
    }  # fmt: skip
    x, y = floats(size, 1), floats(size, 2)[::-1].copy()
    for type_ in ("f32", "f64"):
        results = run_map([binary(name, type_) for name in names], [[x, y]] * len(names), 17, target)
        for (name, reference), result in zip(names.items(), results):
            dtype = DTYPES[type_]
            np.testing.assert_array_equal(result, reference(x.astype(dtype), y.astype(dtype)), err_msg=f"{name} {type_}")


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
def test_exact_unary_functions(target: object) -> None:
    names = {
        "math.absf": np.abs, "math.floor": np.floor, "math.ceil": np.ceil, "math.trunc": np.trunc, "math.roundeven": np.rint,
        "arith.negf": np.negative, "math.sqrt": lambda x: np.sqrt(x),
    }  # fmt: skip
    special = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e10, np.inf, -np.inf, np.nan, 2**-149, 8388609.0], np.float32)
    with np.errstate(invalid="ignore"):
        for type_ in ("f32", "f64"):
            x = special.astype(DTYPES[type_])
            unary = [([type_], type_, f"%r = {name} %x0 : V<{type_}>") for name in names]
            for (name, reference), result in zip(names.items(), run_map(unary, [[x]] * len(names), 7, target)):
                np.testing.assert_array_equal(result, reference(x), err_msg=f"{name} {type_}")
    (half_away,) = run_map([(["f32"], "f32", "%r = math.round %x0 : V<f32>")], [[special[2:7]]], 7, target)
    np.testing.assert_array_equal(half_away, [1, -1, 2, 3, -3])
    x = np.abs(floats(17))
    (rsqrt,) = run_map([(["f32"], "f32", "%r = math.rsqrt %x0 : V<f32>")], [[x]], 17, target)
    np.testing.assert_allclose(rsqrt, 1 / np.sqrt(x.astype(np.float64)), rtol=1.2e-7)  # two roundings


def test_fused_multiply_add_rounds_once() -> None:
    x = np.full(5, 1 + 2.0**-12, np.float32)
    code = "%t = arith.negf %x1 : V<f32>\n%r = math.fma %x0, %x0, %t : V<f32>"
    (result,) = run_map([(["f32", "f32"], "f32", code)], [[x, np.full(5, 1 + 2.0**-11, np.float32)]], 16, TARGETS[0])
    np.testing.assert_array_equal(result, np.full(5, 2.0**-24, np.float32))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
def test_nan_in_maxima(target: object) -> None:
    nan = np.nan
    x = np.array([nan, 1, nan, 3, -np.inf, 5], np.float32)
    y = np.array([1, nan, nan, 2, 4, 6], np.float32)
    ops = [binary(f"arith.{name}", "f32") for name in ("maximumf", "minimumf", "maxnumf", "minnumf")]
    constant = "%t = arith.constant dense<2.0> : V<f32>\n%r = arith.{} {}, {} : V<f32>"
    ops += [(["f32"], "f32", constant.format(name, *args)) for name in ("maximumf", "maxnumf") for args in (("%x0", "%t"), ("%t", "%x0"))]
    results = run_map(ops, [[x, y]] * 4 + [[x]] * 4, 16, target)
    expected = [np.maximum(x, y), np.minimum(x, y), np.fmax(x, y), np.fmin(x, y)] + [np.maximum(x, 2)] * 2 + [np.fmax(x, 2)] * 2
    for result, reference in zip(results, expected):
        np.testing.assert_array_equal(result, reference)


def _towards_zero(a: int, b: int) -> int:
    return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


INTEGER_OPS: dict[str, tuple[bool, Callable[[int, int], int]]] = {
    # name: (operands are unsigned, meaning on Python's integers; wrapped afterwards)
    "arith.addi": (False, lambda a, b: a + b),
    "arith.subi": (False, lambda a, b: a - b),
    "arith.muli": (False, lambda a, b: a * b),
    "arith.andi": (False, lambda a, b: a & b),
    "arith.ori": (False, lambda a, b: a | b),
    "arith.xori": (False, lambda a, b: a ^ b),
    "arith.minsi": (False, min),
    "arith.maxsi": (False, max),
    "arith.minui": (True, min),
    "arith.maxui": (True, max),
    "arith.divsi": (False, _towards_zero),
    "arith.remsi": (False, lambda a, b: a - b * _towards_zero(a, b) if b else 0),
    "arith.divui": (True, _towards_zero),
    "arith.remui": (True, lambda a, b: a % b if b else 0),
    "arith.floordivsi": (False, lambda a, b: a // b if b else 0),
    "arith.ceildivsi": (False, lambda a, b: -(-a // b) if b else 0),
    "arith.ceildivui": (True, lambda a, b: -(-a // b) if b else 0),
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
@pytest.mark.parametrize("type_", ["i8", "i16", "i32", "i64"])
def test_integer_arithmetic(target: object, type_: str) -> None:
    """All results wrap; division by zero gives zero, and the smallest integer over -1 itself."""
    dtype = np.dtype(DTYPES[type_])
    bits, low = 8 * dtype.itemsize, np.iinfo(dtype).min
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.integers(-100, 100, 17), [low, low, low, 7, -7, 0]]).astype(dtype)
    y = np.concatenate([rng.integers(-5, 6, 17), [-1, 1, 0, 0, 0, 3]]).astype(dtype)
    results = run_map([binary(name, type_) for name in INTEGER_OPS], [[x, y]] * len(INTEGER_OPS), 16, target)
    for (name, (unsigned, meaning)), result in zip(INTEGER_OPS.items(), results):
        view = f"{'u' if unsigned else 'i'}{dtype.itemsize}"
        pairs = zip(x.view(view).tolist(), y.view(view).tolist())
        expected = [meaning(a, b) % (1 << bits) for a, b in pairs]
        assert result.view(f"u{dtype.itemsize}").tolist() == expected, name


def test_shifts_counts_and_powers() -> None:
    x = np.array([1, -8, 255, -1, 12345, 0], np.int32)
    n = np.array([0, 1, 4, 31, 3, 5], np.int32)
    ux = x.view(np.uint32)
    base, exponent = np.array([2, -3, 0, 1, -1, 5], np.int32), np.array([10, 3, 0, -4, -3, -1], np.int32)
    unary = [(["i32"], "i32", f"%r = math.{name} %x0 : V<i32>") for name in ("absi", "ctlz", "cttz", "ctpop")]
    results = run_map(
        [binary(f"arith.{name}", "i32") for name in ("shli", "shrui", "shrsi")] + unary + [binary("math.ipowi", "i32")],
        [[x, n]] * 3 + [[x]] * 4 + [[base, exponent]],
        16,
        TARGETS[0],
    )
    bits = [f"{int(v):032b}" for v in ux]
    expected = [
        ux << n.view(np.uint32), ux >> n.view(np.uint32), x >> n, np.abs(x),
        [len(b) - len(b.lstrip("0")) for b in bits], [len(b) - len(b.rstrip("0")) for b in bits], [b.count("1") for b in bits],
        [1024, -27, 1, 1, -1, 0],
    ]  # fmt: skip
    for result, reference in zip(results, expected):
        np.testing.assert_array_equal(result.view(np.uint32), np.asarray(reference).astype(np.uint32))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
def test_comparisons_and_selection(target: object) -> None:
    x = np.array([1, np.nan, 3, -0.0, 5, np.inf], np.float32)
    y = np.array([2, 2, np.nan, 0.0, 5, -np.inf], np.float32)
    uno = np.isnan(x) | np.isnan(y)
    floats_expected = {
        "oeq": x == y, "ogt": x > y, "oge": x >= y, "olt": x < y, "ole": x <= y, "one": (x != y) & ~uno, "ord": ~uno,
        "ueq": (x == y) | uno, "ugt": (x > y) | uno, "ult": (x < y) | uno, "une": x != y, "uno": uno,
    }  # fmt: skip
    results = run_map(
        [(["f32", "f32"], "i1", f"%r = kernel.cmp {p} %x0, %x1 : V<f32>") for p in floats_expected], [[x, y]] * len(floats_expected), 16, target
    )
    for (name, reference), result in zip(floats_expected.items(), results):
        np.testing.assert_array_equal(result, reference, err_msg=name)
    i, j = np.array([-1, 2, 3], np.int64), np.array([1, 2, -3], np.int64)
    ui, uj = i.view(np.uint64), j.view(np.uint64)
    ints_expected = {"eq": i == j, "ne": i != j, "slt": i < j, "sge": i >= j, "ult": ui < uj, "uge": ui >= uj}
    results = run_map(
        [(["i64", "i64"], "i1", f"%r = kernel.cmp {p} %x0, %x1 : V<i64>") for p in ints_expected], [[i, j]] * len(ints_expected), 5, target
    )
    for (name, reference), result in zip(ints_expected.items(), results):
        np.testing.assert_array_equal(result, reference, err_msg=name)
    (chosen,) = run_map([(["i1", "f32", "f32"], "f32", "%r = kernel.select %x0, %x1, %x2 : V<f32>")], [[~uno, x, y]], 5, target)
    np.testing.assert_array_equal(chosen, np.where(~uno, x, y))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
def test_float_to_integer_saturates(target: object) -> None:
    x = np.array([0.9, -0.9, -1.5, 126.7, 127.5, 128, -128.9, -129, 255.5, 256, 32768, 2147483647, 4294967295, 4294967296, 9.3e18, 1.9e19,
                  -9.3e18, np.inf, -np.inf, np.nan, 1e-40], np.float32)  # fmt: skip
    ops = [(["f32"], f"i{bits}", f"%r = kernel.cast {kind} %x0 : V<f32> to V<i{bits}>") for bits in (8, 16, 32, 64) for kind in ("fptosi", "fptoui")]
    results = run_map(ops, [[x]] * len(ops), 16, target)
    exact = [0 if np.isnan(v) else int(np.trunc(np.clip(float(v), -1e30, 1e30))) for v in x]
    for (_, type_, code), result in zip(ops, results):
        signed, bits = "fptosi" in code, int(type_[1:])
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        expected = [min(max(v, low), high) for v in exact]
        np.testing.assert_array_equal(result.view(f"{'i' if signed else 'u'}{bits // 8}").tolist(), expected, err_msg=f"{code}")


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
def test_integer_casts(target: object) -> None:
    x = np.array([-128, -1, 0, 1, 127], np.int8)
    ops = [
        (["i8"], "i32", "%r = kernel.cast extsi %x0 : V<i8> to V<i32>"),
        (["i8"], "i64", "%r = kernel.cast extui %x0 : V<i8> to V<i64>"),
        (["i8"], "f32", "%r = kernel.cast sitofp %x0 : V<i8> to V<f32>"),
        (["i8"], "f64", "%r = kernel.cast uitofp %x0 : V<i8> to V<f64>"),
        (["i8"], "f16", "%r = kernel.cast sitofp %x0 : V<i8> to V<f16>"),
    ]
    results = run_map(ops, [[x]] * len(ops), 3, target)
    unsigned = x.view(np.uint8)
    for result, reference in zip(results, (x, unsigned, x, unsigned, x)):
        np.testing.assert_array_equal(result.astype(np.float64), reference.astype(np.float64))
    wide = np.array([2**40 + 5, -7, 2**31], np.int64)
    (narrow,) = run_map([(["i64"], "i16", "%r = kernel.cast trunci %x0 : V<i64> to V<i16>")], [[wide]], 3, target)
    np.testing.assert_array_equal(narrow, wide.astype(np.int16))
    (bits,) = run_map([(["f32"], "i32", "%r = kernel.cast bitcast %x0 : V<f32> to V<i32>")], [[floats(5)]], 3, target)
    np.testing.assert_array_equal(bits, floats(5).view(np.int32))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
@pytest.mark.parametrize("type_", ["f16", "bf16", "f8E4M3FN", "f8E5M2"])
def test_narrow_floats(target: object, type_: str) -> None:
    """Every value of the narrow type widens exactly, and f32 rounds to it as ml_dtypes and NumPy do."""
    dtype = np.dtype(DTYPES[type_])
    codes = np.arange(1 << 8 * dtype.itemsize, dtype=np.uint32).astype(f"u{dtype.itemsize}").view(dtype)
    codes = codes[:: 7 if dtype.itemsize == 2 else 1]
    (wide,) = run_map([([type_], "f32", f"%r = kernel.cast extf %x0 : V<{type_}> to V<f32>")], [[codes]], 16, target)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(wide, codes.astype(np.float32))
    rng = np.random.default_rng(4)
    exact = codes.astype(np.float32)
    exact = exact[np.abs(exact) < 1e37]
    x = np.concatenate(
        [exact * np.float32(f) for f in (1, 1.03125, 0.96875)]
        + [rng.standard_normal(500).astype(np.float32) * 10.0 ** rng.integers(-9, 6, 500), [np.inf, -np.inf, np.nan, 464, 480, 65519, 65520, 1e38]]
    ).astype(np.float32)  # fmt: skip
    if type_ == "bf16":  # the instruction of AVX-512 takes denormals for zero
        x = x[(np.abs(x) > 1.2e-38) | (x == 0)]
    (narrow,) = run_map([(["f32"], type_, f"%r = kernel.cast truncf %x0 : V<f32> to V<{type_}>")], [[x]], 16, target)
    with np.errstate(over="ignore", invalid="ignore"):
        reference = x.astype(dtype)
    np.testing.assert_array_equal(narrow.astype(np.float32), reference.astype(np.float32))


@pytest.mark.parametrize("type_", ["f16", "f8E4M3FN", "f8E5M2"])
def test_f64_rounds_once_to_narrow_floats(type_: str) -> None:
    """Just above the middle of two neighbours, by less than f32 can see."""
    one, following = np.array([0x3C00, 0x3C01], np.uint16).view(np.float16).astype(np.float64)
    if type_ != "f16":
        codes = np.array([0x38, 0x39] if type_ == "f8E4M3FN" else [0x3C, 0x3D], np.uint8)
        one, following = codes.view(DTYPES[type_]).astype(np.float64)
    middle = (one + following) / 2
    x = np.array([middle, middle * (1 + 2**-40), middle * (1 - 2**-40), -middle * (1 + 2**-40), np.inf, np.nan])
    (result,) = run_map([(["f64"], type_, f"%r = kernel.cast truncf %x0 : V<f64> to V<{type_}>")], [[x]], 16, TARGETS[0])
    overflow = np.nan if type_ == "f8E4M3FN" else np.inf
    np.testing.assert_array_equal(result.astype(np.float64), [one, following, one, -following, overflow, np.nan])


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
def test_narrow_arithmetic_rounds_once(target: object) -> None:
    for type_ in ("f16", "bf16", "f8E4M3FN", "f8E5M2"):
        dtype = DTYPES[type_]
        x, y = floats(17, 5).astype(dtype), floats(17, 6).astype(dtype)
        code = f"%r = arith.mulf %x0, %x1 : V<{type_}>"
        (result,) = run_map([([type_, type_], type_, code)], [[x, y]], 16, target)
        np.testing.assert_array_equal(result, (x.astype(np.float32) * y.astype(np.float32)).astype(dtype))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.vector_bits}")
def test_index_expressions(target: object) -> None:
    x = np.array([-7, -1, 0, 5, 12345, 2**33 + 3], np.int64)
    code = "%r = kernel.apply [{}](i = %x0 : V<index>)"
    exprs = {
        "i * 3 + 1": x * 3 + 1, "i floordiv 4": x // 4, "i mod 8": x % 8, "i floordiv 3": x // 3, "i mod 7": x % 7,
        "min(i, 10)": np.minimum(x, 10), "max(i, 3)": np.maximum(x, 3), "i * i - 2": x * x - 2,
        "i floordiv (max(i, 0) + 1)": x // (np.maximum(x, 0) + 1),
    }  # fmt: skip
    with np.errstate(over="ignore"):
        results = run_map([(["index"], "index", code.format(expr)) for expr in exprs], [[x]] * len(exprs), 5, target)
    for (expr, reference), result in zip(exprs.items(), results):
        np.testing.assert_array_equal(result, reference, err_msg=expr)


def test_unknown_op_is_a_located_error() -> None:
    with pytest.raises(LowerError, match=r"test.mlir:3:3: arith.addui_extended: the emitter does not know this operation"):
        Program("\nkernel.func @f(%x: i32) {\n  %a, %b = arith.addui_extended %x, %x : i32, i1\n  kernel.return\n}")

"""The math table keeps its bounds over the whole range, on every vector width: f32 against float64, f64 against long double."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from rlx_backends.cpu.target import CpuTarget
from rlx_backends.llvm.math import ULP_BOUNDS
from tests.backends.cpu.harness import Program, aligned, targets

TARGETS = targets()
all_targets = pytest.mark.parametrize("target", TARGETS, ids=[f"{target.vector_bits}" for target in TARGETS])
erf = np.vectorize(math.erf, otypes=[np.float64])
UNARY: dict[str, Callable[..., np.ndarray]] = {
    "math.exp": np.exp, "math.exp2": np.exp2, "math.expm1": np.expm1, "math.log": np.log, "math.log2": np.log2,
    "math.log10": np.log10, "math.log1p": np.log1p, "math.cbrt": np.cbrt, "math.tanh": np.tanh, "math.sinh": np.sinh,
    "math.cosh": np.cosh, "math.asinh": np.arcsinh, "math.acosh": np.arccosh, "math.atanh": np.arctanh, "math.sin": np.sin,
    "math.cos": np.cos, "math.tan": np.tan, "math.asin": np.arcsin, "math.acos": np.arccos, "math.atan": np.arctan, "math.erf": erf,
}  # fmt: skip
BINARY: dict[str, Callable[..., np.ndarray]] = {"math.powf": np.power, "math.atan2": np.arctan2}
LONG_DOUBLE = np.finfo(np.longdouble).nmant > 60
ELEMENTS = {"f32": np.float32, "f64": np.float64}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, math.inf, -math.inf, math.nan, math.pi / 2, 1e-300, 5e-324, 1e-40, -1e-44, 3.4e38, 1e308]


@pytest.fixture(scope="module", params=range(len(TARGETS)), ids=[f"{target.vector_bits}" for target in TARGETS])
def program(request: pytest.FixtureRequest) -> Program:
    """All functions for both element types, each over n elements in vectors with a tail."""
    target = TARGETS[request.param]
    functions = []
    for element in ELEMENTS:
        for name in (*UNARY, *BINARY):
            inputs = 1 if name in UNARY else 2
            vector = f"vector<{target.lanes + 3}x{element}>"
            pointers = "".join(f"%p{i}: !kernel.ptr<{element}, global>, " for i in range(inputs))
            loads = "\n".join(f"%x{i} = kernel.load %p{i}[%i] mask %m : !kernel.ptr<{element}, global> -> {vector}" for i in range(inputs))
            functions.append(f"""
            kernel.func @{name[5:]}.{element}({pointers}%q: !kernel.ptr<{element}, global>, %n: index) {{
              %c0 = arith.constant 0 : index
              %step = arith.constant {target.lanes + 3} : index
              scf.for %i = %c0 to %n step %step {{
                %left = arith.subi %n, %i : index
                %m = kernel.mask %left : vector<{target.lanes + 3}xi1>
                {loads}
                %r = {name} {", ".join(f"%x{i}" for i in range(inputs))} : {vector}
                kernel.store %r, %q[%i] mask %m : {vector}, !kernel.ptr<{element}, global>
              }}
              kernel.return
            }}""")  # fmt: skip
    return Program("\n".join(functions), target)


def run(program: Program, name: str, element: str, *inputs: np.ndarray) -> np.ndarray:
    arrays = []
    for values in inputs:
        arrays.append(aligned(len(values), ELEMENTS[element]))
        with np.errstate(over="ignore"):
            arrays[-1][:] = values
    result = aligned(len(inputs[0]), ELEMENTS[element])
    program.run(f"{name[5:]}.{element}", *arrays, result, len(result))
    return result


def arguments(element: str, seed: int, count: int) -> np.ndarray:
    """Every binade including denormals, the usual range densely, multiples of π/2, special values."""
    dtype = ELEMENTS[element]
    words = np.dtype(dtype).str.replace("f", "u")
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, np.iinfo(words).max, count, dtype=words, endpoint=True).view(dtype)
    near = [rng.uniform(-2, 2, count), rng.uniform(-25, 25, count), rng.uniform(-800, 800, count), np.arange(-50, 50) * math.pi / 2]
    with np.errstate(over="ignore"):
        return np.concatenate([bits, *(values.astype(dtype) for values in (*near, np.array(SPECIAL)))])


def errors(result: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """In units of the last place of the result's type; 0 where it is what rounding the exact value gives."""
    dtype = result.dtype
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        unit = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, np.finfo(dtype).max))).astype(np.longdouble)
        distance = np.abs(result.astype(np.longdouble) - exact.astype(np.longdouble)) / unit
    same = (result == rounded) | (np.isnan(result) & np.isnan(rounded))
    distance = np.where(np.isnan(distance), np.inf, distance)
    return np.where(same & ~np.isfinite(exact.astype(np.longdouble)), 0, np.where(same, np.minimum(distance, 0.5), distance))


def check(name: str, element: str, result: np.ndarray, exact: np.ndarray, *inputs: np.ndarray) -> None:
    bound = ULP_BOUNDS[name][element == "f64"]
    if element == "f64" and (name == "math.erf" or not LONG_DOUBLE):
        bound += 1  # the reference itself is rounded
    wrong = errors(result, exact)
    worst = int(np.argmax(wrong))
    told = ", ".join(repr(values[worst]) for values in inputs)
    assert wrong[worst] <= bound, f"{name}({told}) is {result[worst]!r}, not {exact[worst]!r}: {float(wrong[worst]):.2f} ulp"
    zeros = (result == 0) & (exact == 0)
    assert (np.signbit(result) == np.signbit(exact))[zeros].all(), f"{name} loses the sign of zero"


@pytest.mark.parametrize("name", list(UNARY))
@pytest.mark.parametrize("element", ["f32", "f64"])
def test_unary(program: Program, name: str, element: str) -> None:
    x = arguments(element, 0, 20000 if element == "f32" else 2000)
    with np.errstate(all="ignore"):
        exact = UNARY[name](x.astype(np.float64 if element == "f32" or name == "math.erf" else np.longdouble))
    check(name, element, run(program, name, element, x), exact, x)


@pytest.mark.parametrize("name", list(BINARY))
@pytest.mark.parametrize("element", ["f32", "f64"])
def test_binary(program: Program, name: str, element: str) -> None:
    x, y = arguments(element, 1, 3000), arguments(element, 2, 3000)[::-1].copy()
    grid = np.array(np.meshgrid([*SPECIAL, 3, -3, 7.5, -0.25], [*SPECIAL, 3, -3, 7.5, -0.25])).reshape(2, -1)
    with np.errstate(all="ignore"):
        x, y = (np.concatenate([a, b.astype(a.dtype)]) for a, b in zip((x, y), grid))
        wide = np.float64 if element == "f32" else np.longdouble
        exact = BINARY[name](x.astype(wide), y.astype(wide))
    check(name, element, run(program, name, element, x, y), exact, x, y)


def test_gelu_is_accurate_to_a_millionth() -> None:
    """x/2 · (1 + erf(x/√2)), absolutely, where it is composed of the parts."""
    program = Program(
        """
        kernel.func @gelu(%x: !kernel.ptr<f32, global>, %y: !kernel.ptr<f32, global>, %n: index) {
          %c0 = arith.constant 0 : index
          %step = arith.constant 32 : index
          %half = arith.constant dense<0.5> : vector<32xf32>
          %root = arith.constant dense<0.70710678118654752> : vector<32xf32>
          scf.for %i = %c0 to %n step %step {
            %v = kernel.load %x[%i] : !kernel.ptr<f32, global> -> vector<32xf32>
            %s = arith.mulf %v, %root : vector<32xf32>
            %e = math.erf %s : vector<32xf32>
            %h = arith.mulf %v, %half : vector<32xf32>
            %g = math.fma %h, %e, %h : vector<32xf32>
            kernel.store %g, %y[%i] : vector<32xf32>, !kernel.ptr<f32, global>
          }
          kernel.return
        }
        """
    )
    x, y = aligned(3200), aligned(3200)
    x[:] = np.linspace(-10, 10, 3200)
    program.run("gelu", x, y, 3200)
    wide = x.astype(np.float64)
    assert np.abs(y - wide / 2 * (1 + erf(wide / math.sqrt(2)))).max() <= 1e-6


@all_targets
@pytest.mark.parametrize("element", ["f16", "bf16"])
def test_functions_of_narrow_floats_go_through_f32(target: CpuTarget, element: str) -> None:
    import ml_dtypes

    dtype = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}[element]
    program = Program(
        f"""
        kernel.func @f(%x: !kernel.ptr<{element}, global>, %y: !kernel.ptr<{element}, global>) {{
          %c0 = arith.constant 0 : index
          %c9 = arith.constant 9 : index
          %v = kernel.load %x[%c0] : !kernel.ptr<{element}, global> -> vector<9x{element}>
          %e = math.exp %v : vector<9x{element}>
          kernel.store %e, %y[%c0] : vector<9x{element}>, !kernel.ptr<{element}, global>
          %s = kernel.load %x[%c9] : !kernel.ptr<{element}, global> -> {element}
          %t = math.tanh %s : {element}
          kernel.store %t, %y[%c9] : {element}, !kernel.ptr<{element}, global>
          kernel.return
        }}
        """,
        target,
    )
    x, y = aligned(10, dtype), aligned(10, dtype)
    x[:] = np.linspace(-3, 3, 10)
    program.run("f", x, y)
    wide = x.astype(np.float64)
    expected = np.concatenate([np.exp(wide[:9]), np.tanh(wide[9:])])
    np.testing.assert_allclose(y.astype(np.float64), expected, rtol=np.finfo(np.float16).eps / 1.9 if element == "f16" else 2**-8)

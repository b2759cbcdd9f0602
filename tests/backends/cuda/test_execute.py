"""Kernels as PTX, interpreted: numbers of every element type, tails, shuffles, shared memory, faults, math within its bounds."""

from __future__ import annotations

from functools import lru_cache

import ml_dtypes
import numpy as np
import pytest

from rlx_backends.llvm.math import ULP_BOUNDS
from rlx_runtime.emulators.ptx import PtxDriver
from tests.backends.cpu.harness import Program
from tests.backends.cpu.test_math import BINARY, UNARY, arguments, errors
from tests.backends.gpu_execute import Loaded, moved, poisoned
from tests.backends.gpu_kernels import Device

HOPPER = Device("cuda", "sm_90a")
TYPES = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i8": np.int8, "i64": np.int64, "i32": np.int32, "i1": np.uint8}


@lru_cache(maxsize=1)
def driver() -> PtxDriver:
    return PtxDriver()


def loaded(*texts: str) -> Loaded:
    return Loaded(HOPPER, driver(), "ptx", *texts)


@pytest.mark.parametrize("element", ["f32", "f16", "bf16", "f64", "i8", "i64"])
def test_map_with_tails(element: str) -> None:
    kernels = loaded(*(HOPPER.map(element, lanes) for lanes in (1, 3, 4, 16)))
    for lanes in (1, 3, 4, 16):
        for n in (1, 3, 17, 1000):
            x = (np.random.default_rng(n).standard_normal(n) * 20).astype(TYPES[element])
            y = poisoned(x)
            kernels.run(f"map_{element}_{lanes}", -(-n // (256 * lanes)), x, y, n)
            np.testing.assert_array_equal(y[:n], x + x)
            assert (y[n:] == np.array(77, y.dtype)).all()


@pytest.mark.parametrize(("element", "tolerance"), [("f32", 2e-6), ("f64", 1e-14), ("bf16", 0.02), ("i64", 0), ("i32", 0)])
def test_row_sums(element: str, tolerance: float) -> None:
    kernels = loaded(HOPPER.row_sum(element))
    for n in (1, 3, 17, 300, 1000):
        x = (np.random.default_rng(n).uniform(0.5, 2, (3, n)) * (1 if element[0] in "fb" else 50)).astype(TYPES[element])
        y = poisoned(x[:, 0])
        kernels.run(f"row_sum_{element}", 3, x, y, n)
        # A narrow float is rounded after each addition of a thread.
        np.testing.assert_allclose(y[:3].astype(np.float64), x.astype(np.float64).sum(1), rtol=tolerance)
        assert (y[3:] == np.array(77, y.dtype)).all()


@pytest.mark.parametrize("element", ["f32", "f64", "bf16", "i8", "i64", "i1"])
def test_shuffles(element: str) -> None:
    kernels = loaded(HOPPER.shuffles(element))
    x = (np.arange(32) % 2 if element == "i1" else np.arange(32) - 11).astype(TYPES[element])
    constants = [("xor", 1), ("xor", 16), ("up", 3), ("down", 5), ("idx", 7), ("idx", 99)]
    for offset in (0, 5, 31, 32, -3):
        y = np.full(320, 9, x.dtype)
        kernels.run(f"shuffles_{element}", 1, x, y, offset)
        for result, (kind, distance) in zip(y.reshape(10, 32), constants + [(kind, offset) for kind in ("xor", "up", "down", "idx")]):
            np.testing.assert_array_equal(result, moved(kind, x, distance), f"{kind} {distance}")


def test_dynamic_shared_memory() -> None:
    x = np.random.default_rng(0).standard_normal(256).astype(np.float32)
    y = poisoned(x, 0)
    loaded(HOPPER.large_shared(50000)).run("large", 1, x, y)
    np.testing.assert_array_equal(y, x[np.arange(256) ^ 1])


def test_the_first_fault_stays() -> None:
    kernels = loaded(HOPPER.memory())
    rng = np.random.default_rng(0)
    size = 256 * 8 + 64
    x, y, dims, status = rng.standard_normal(size).astype(np.float32), np.zeros(2 * size, np.float32), np.array([9]), np.zeros(6, np.int64)
    kernels.run("memory", 1, x, y, rng.permutation(size).astype(np.int32), dims, 42, status)
    assert status.tolist() == [1, 42, 8, 1, 9, 0] and dims[0] == 9
    before = status.copy()
    before[:2] = 2, 7
    status[:] = before
    kernels.run("memory", 1, x, y, rng.permutation(size).astype(np.int32), dims, 42, status)
    assert status.tolist() == before.tolist()


@pytest.mark.parametrize("element", ["f32", "f64"])
def test_math_keeps_its_bounds(element: str) -> None:
    """The bounds of the table, with signs of zeros; f32 against float64, f64 against long double."""
    names = [*UNARY, *BINARY]
    kernels = loaded(*(HOPPER.function(name, element) for name in names))
    x, z = arguments(element, 1, 300), arguments(element, 2, 300)[::-1].copy()
    wide = np.float64 if element == "f32" else np.longdouble
    for name in names:
        y = poisoned(x)
        kernels.run(f"{name.replace('.', '_')}_{element}", -(-len(x) // 256), x, z, y, len(x))
        kind = np.float64 if name == "math.erf" else wide
        with np.errstate(all="ignore"):
            exact = UNARY[name](x.astype(kind)) if name in UNARY else BINARY[name](x.astype(kind), z.astype(kind))
        wrong = errors(y[: len(x)], exact)
        worst = int(np.argmax(wrong))
        bound = ULP_BOUNDS[name][element == "f64"] + (element == "f64" and (name == "math.erf" or np.finfo(np.longdouble).nmant < 60))
        assert wrong[worst] <= bound, f"{name}({x[worst]!r}, {z[worst]!r}) is {y[worst]!r}, not {exact[worst]!r}: {wrong[worst]} ulp"
        zeros = (y[: len(x)] == 0) & (exact == 0)
        assert (np.signbit(y[: len(x)]) == np.signbit(exact))[zeros].all(), f"{name} loses the sign of zero"


@pytest.mark.parametrize("element", ["f16", "bf16"])
def test_math_of_narrow_floats_rounds_once(element: str) -> None:
    kernels = loaded(HOPPER.function("math.exp", element), HOPPER.function("math.tanh", element))
    x = np.linspace(-6, 6, 500).astype(TYPES[element])
    for name, exact in (("math_exp", np.exp(x.astype(np.float64))), ("math_tanh", np.tanh(x.astype(np.float64)))):
        y = poisoned(x)
        kernels.run(f"{name}_{element}", 2, x, x, y, len(x))
        np.testing.assert_array_equal(y[: len(x)], exact.astype(np.float32).astype(x.dtype))


# -- the same code as on the CPU

CASTS = [
    *((kind, source, result) for source in ("f32", "f64", "f16", "bf16", "f8E4M3FN", "f8E5M2") for kind, results in
      (("fptosi", ("i8", "i32", "i64")), ("fptoui", ("i8", "i32", "i64"))) for result in results),
    *((kind, source, result) for source in ("i8", "i32", "i64", "i1") for kind in ("sitofp", "uitofp")
      for result in ("f32", "f64", "f16", "bf16", "f8E4M3FN")),
    *(("truncf", "f64", result) for result in ("f32", "f16", "bf16", "f8E4M3FN", "f8E5M2")),
    *(("truncf", "f32", result) for result in ("f16", "bf16", "f8E4M3FN", "f8E5M2")),
    *(("extf", source, "f64") for source in ("f32", "f16", "bf16", "f8E4M3FN", "f8E5M2")),
    ("extsi", "i8", "i64"), ("extui", "i8", "i32"), ("trunci", "i64", "i8"), ("bitcast", "f32", "i32"),
]  # fmt: skip
INTEGER_OPS = (
    "arith.addi", "arith.muli", "arith.divsi", "arith.divui", "arith.remsi", "arith.remui", "arith.floordivsi", "arith.ceildivsi",
    "arith.minsi", "arith.maxui", "arith.xori",
)  # fmt: skip
STORAGE = {**TYPES, "f8E4M3FN": ml_dtypes.float8_e4m3fn, "f8E5M2": ml_dtypes.float8_e5m2, "i1": np.bool_}


def compare(cases: list[tuple[str, str, str, tuple[np.ndarray, ...]]]) -> None:
    """`(body, source, result, inputs)`: `%r` of `%a` (and `%b`) for every element, in interpreted PTX and in the CPU's own code."""
    for_gpu, for_cpu = [], []
    for number, (body, source, result, inputs) in enumerate(cases):
        pointers = ", ".join(f"%x{i}: !kernel.ptr<{source}, global>" for i in range(len(inputs)))
        head = f"{pointers}, %y: !kernel.ptr<{result}, global>, %n: index"
        loads = "\n".join(f"%{'ab'[i]} = kernel.load %x{i}[%i] : !kernel.ptr<{source}, global> -> {source}" for i in range(len(inputs)))
        inner = f"{loads}\n{body}\nkernel.store %r, %y[%i] : {result}, !kernel.ptr<{result}, global>"
        inside = f"%i = cuda.thread_id x\n%in = arith.cmpi slt, %i, %n : index\nscf.if %in {{\n{inner}\n}}"
        for_gpu.append(HOPPER.kernel(f"case_{number}", head, inside, "512"))
        constants = "%c0 = arith.constant 0 : index\n%c1 = arith.constant 1 : index"
        for_cpu.append(
            f"kernel.func @case_{number}({head}) {{\n{constants}\nscf.for %i = %c0 to %n step %c1 {{\n{inner}\n}}\nkernel.return\n}}"
        )
    gpu, cpu = loaded(*for_gpu), Program("\n".join(for_cpu))
    for number, (body, _, result, inputs) in enumerate(cases):
        n = len(inputs[0])
        on_gpu, on_cpu = (np.full(n, 7).astype(STORAGE[result]) for _ in range(2))
        gpu.run(f"case_{number}", 1, *inputs, on_gpu, n)
        cpu.run(f"case_{number}", *inputs, on_cpu, n)
        if result[0] in "fb":  # any NaN is NaN
            on_gpu, on_cpu = on_gpu.astype(np.float64), on_cpu.astype(np.float64)
        if result == "bf16":  # some CPUs' instruction takes denormals as zero
            on_gpu, on_cpu = (np.where(np.abs(values) < 2.0**-126, 0, values) for values in (on_gpu, on_cpu))
        np.testing.assert_array_equal(on_gpu, on_cpu, body)


def interesting(element: str) -> np.ndarray:
    """Up to 512 values: special ones, the ends of integer types and what lies around them, random bits."""
    dtype = np.dtype(STORAGE[element])
    if element == "i1":
        return np.arange(64) % 3 == 0
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 256, 200 * dtype.itemsize, dtype=np.uint8).view(dtype)
    ends = [0, 1, -1, 2, -2, 3, 7, 100, 126, 127, 128, 129, 255, 256, -127, -128, -129, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 - 1]
    if element[0] == "i":
        return np.concatenate([bits, np.array([end for end in ends if abs(end) < 2 ** (8 * dtype.itemsize - 1)], dtype)])
    special = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, 1e-3, 65504, 65520, 448, 464, 57344, 61440, 1e-8, 3e38, 2**63, -(2**63), 2**64, np.inf, -np.inf, np.nan]
    with np.errstate(all="ignore"):
        return np.concatenate([bits, np.array(ends, np.float64).astype(dtype), np.array(special, np.float64).astype(dtype)])


def test_casts_are_those_of_the_cpu() -> None:
    compare([(f"%r = kernel.cast {kind} %a : {source} to {result}", source, result, (interesting(source),)) for kind, source, result in CASTS])


@pytest.mark.parametrize("element", ["i8", "i32", "i64"])
def test_integers_are_those_of_the_cpu(element: str) -> None:
    """Division by zero and of the smallest integer included."""
    x = interesting(element)
    z = np.random.default_rng(5).permutation(x)
    z[::7], z[::11] = 0, -1
    compare([(f"%r = {name} %a, %b : {element}", element, element, (x, z)) for name in INTEGER_OPS])

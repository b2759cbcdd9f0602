"""Kernels of one matrix product, for every shape of every architecture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rlx_dialects.gpu import architectures, facts_for
from rlx_dialects.gpu.facts import MatrixShape
from tests.backends.gpu_kernels import Device

NAMES = {
    "cuda": ("mma_load", "mma_fill", "mma_sync", "mma_store"),
    "rocm": ("matrix_load", "matrix_fill", "matrix_multiply", "matrix_store"),
    "metal": ("simdgroup_load", "simdgroup_fill", "simdgroup_multiply_accumulate", "simdgroup_store"),
}
TYPES = {"bf16": "bf16", "f16": "f16", "tf32": "f32", "f32": "f32", "i8": "i8", "f8e4m3fn": "f8E4M3FN", "f8e5m2": "f8E5M2"}
TOLERANCE = {"tf32": 2e-3}
"""Relative to the largest result; sums of exact products are exact to f32."""


def shapes(dialect: str) -> list[tuple[str, MatrixShape]]:
    """Every shape that a subgroup multiplies, once, with the newest architecture that has it."""
    found: dict[object, tuple[str, MatrixShape]] = {}
    for arch in architectures(dialect):
        facts = facts_for(dialect, arch)
        assert facts is not None
        for shape in facts.matrix:
            if shape.family != "wgmma":
                found[shape, facts.subgroup, arch[:5] if shape.family == "wmma" else ""] = arch, shape
    return list(found.values())


def product(device: Device, shape: MatrixShape, left: bool = False, right: bool = False, pad: int = 8, space: str = "shared") -> str:
    """c += a · b of one fragment each; `left` and `right` say which operand lies transposed. Operands pass through `space`."""
    load, fill, multiply, store = (f"{device.dialect}.{name}" for name in NAMES[device.dialect])
    kind, total, family = TYPES[shape.operand], shape.accumulator, shape.family
    m, n, k = shape.m, shape.n, shape.k
    a, b, c = (f"!kernel.fragment<{x} x {y} x {t}, {role}, {family}>"
               for x, y, t, role in ((m, k, kind, "a"), (k, n, kind, "b"), (m, n, total, "c")))  # fmt: skip
    ptr, shared, out = f"!kernel.ptr<{kind}, global, align 16>", f"!kernel.ptr<{kind}, shared, align 16>", f"!kernel.ptr<{total}, global, align 16>"
    flags = [" transposed" if flag else "" for flag in (left, right)]
    strides = ((m if left else k) + pad, (k if right else n) + pad)
    sizes = ((k if left else m) * strides[0], (n if right else k) * strides[1])
    lines = ["%t = gpu.thread_id x", "%c0 = arith.constant 0 : index", f"%width = arith.constant {device.facts.subgroup} : index"]
    names = ["%a", "%b"]
    if space == "shared":
        for name, size in zip("ab", sizes):
            lines += [f"%s{name} = gpu.shared {size} : {shared}", f"%n{name} = arith.constant {size} : index",
                      f"scf.for %i{name} = %t to %n{name} step %width {{", f"%v{name} = kernel.load %{name}[%i{name}] : {ptr} -> {kind}",
                      f"kernel.store %v{name}, %s{name}[%i{name}] : {kind}, {shared}", "}"]  # fmt: skip
        names, ptr = ["%sa", "%sb"], shared
        lines += ["gpu.barrier"]
    lines += [f"%la = arith.constant {strides[0]} : index", f"%lb = arith.constant {strides[1]} : index",
              f"%lc = arith.constant {n} : index", f"%last = arith.constant {m * n} : index",
              f"%zero = arith.constant {'1.5' if total[0] == 'f' else '3'} : {total}",
              f"%fa = {load} {names[0]}[%c0] stride %la{flags[0]} : {ptr} -> {a}",
              f"%fb = {load} {names[1]}[%c0] stride %lb{flags[1]} : {ptr} -> {b}",
              f"%start = {fill} %zero : {total} -> {c}",
              f"%first = {multiply} %fa, %fb, %start : {a}, {b}, {c}",
              f"{store} %first, %c[%c0] stride %lc : {c}, {out}",
              f"%lt = arith.constant {m} : index",
              f"{store} %first, %c[%last] stride %lt transposed : {c}, {out}"]  # fmt: skip
    return device.kernel("product", f"%a: {ptr if space == 'global' else ptr.replace('shared', 'global')}, "
                         f"%b: {ptr.replace('shared', 'global')}, %c: {out}",
                         "\n".join(lines), str(device.facts.subgroup))  # fmt: skip


def check(shape: MatrixShape, run: Callable[..., None], left: bool, right: bool, pad: int = 8) -> None:
    """`run(a, b, c)` fills the product and its transpose; compared in float64."""
    from rlx_dialects.lir.semantics import storage_dtype
    from rlx_dialects.rlx import dtypes

    rng = np.random.default_rng(shape.m + shape.k)
    name = "f32" if shape.operand == "tf32" else shape.operand
    dtype = storage_dtype(dtypes.dtype(name))

    def operand(rows: int, columns: int, transposed: bool) -> tuple[np.ndarray, np.ndarray]:
        values = rng.choice([-1, 1], (rows, columns)) * rng.uniform(0.25, 2, (rows, columns))
        matrix = (values * 50 if name == "i8" else values).astype(dtype)
        lying = matrix.T if transposed else matrix
        stored = np.zeros((lying.shape[0], lying.shape[1] + pad), dtype)
        stored[:, : lying.shape[1]] = lying
        return matrix.astype(np.float64), stored

    a, a_stored = operand(shape.m, shape.k, left)
    b, b_stored = operand(shape.k, shape.n, right)
    result = np.int32 if shape.accumulator == "i32" else np.float32
    c = np.full(2 * shape.m * shape.n + 8, 77, result)
    run(a_stored.reshape(-1), b_stored.reshape(-1), c)
    expected = a @ b + (3 if result is np.int32 else 1.5)
    count = shape.m * shape.n
    tolerance = TOLERANCE.get(shape.operand, 1e-6) * np.abs(expected).max()
    np.testing.assert_allclose(c[:count].reshape(shape.m, shape.n), expected, atol=tolerance, rtol=0)
    np.testing.assert_array_equal(c[count : 2 * count].reshape(shape.n, shape.m), c[:count].reshape(shape.m, shape.n).T)
    assert (c[2 * count :] == 77).all()

"""Reductions, norms and softmax on the CPU against float64 NumPy: axes, dtypes, odd and empty sizes, one and two threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rlx_dialects.lir.semantics import storage_dtype
from rlx_dialects.rlx import dtypes
from rlx_passes.lir.lir_fuse_forms import LirFuseFormsPass
from rlx_passes.mir_to_lir.convert_mir_to_lir import ConvertMirToLirPass
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from tests.backends.cpu.schedules.forms import NativeRun, check

SIZES = (0, 1, 3, 7, 17, 63, 64, 384, 1000, 1024)
Shape = tuple[int, ...]


def random(shape: Shape, dtype: str = "f32", seed: int = 0) -> np.ndarray:
    """Non-zero values: floats from ±[0.25, 2], integers from ±[1, 9]."""
    rng = np.random.default_rng(seed)
    kind = storage_dtype(dtypes.dtype(dtype))
    if kind.kind in "iu":
        return rng.integers(1, 9, shape).astype(kind) * (1 if kind.kind == "u" else rng.choice([-1, 1], shape).astype(kind))
    return (rng.choice([-1, 1], shape) * rng.uniform(0.25, 2, shape)).astype(kind)


def tensor(dims: Sequence[object], dtype: str = "f32") -> str:
    return f"!rlx.tensor<{' x '.join([*map(str, dims), str(dtypes.dtype(dtype))])}>"


def lowered(args: Mapping[str, str], body: str, results: Sequence[tuple[str, str]], dims: Mapping[str, str] | None = None) -> str:
    """LIR text of a MIR function: `args` name -> type, `results` (value, type) pairs, `dims` symbol -> range."""
    declared = ", ".join(f"#rlx.dim<{name} in {limits}>" for name, limits in (dims or {}).items())
    inputs = ", ".join(f'%{name}: {kind} {{rlx.input = "{name}"}}' for name, kind in args.items())
    outputs = ", ".join(f'{kind} {{rlx.output = "{value[1:]}"}}' for value, kind in results)
    values, kinds = ", ".join(value for value, _ in results), ", ".join(kind for _, kind in results)
    text = f"func.func @main({inputs}) -> ({outputs}) attributes {{rlx.dims = [{declared}]}} {{\n{body}\nfunc.return {values} : {kinds}\n}}"
    context = make_context()
    module = parse_module(context, text, "test.mlir")
    for made in (ConvertMirToLirPass(), LirFuseFormsPass()):
        made.apply(context, module)
    module.verify()
    return str(module)


def reduction(
    kind: str, shape: Shape, axes: Sequence[int], dtype: str = "f32", names: Sequence[str] = ()
) -> tuple[str, dict[str, int]]:
    """LIR of one reduction; `names` makes its first dims symbols."""
    dims = [*names, *shape[len(names) :]]
    out = tensor([d for i, d in enumerate(dims) if i not in axes], dtype)
    body = f"%y = mir.reduce_{kind} %x(axes = [{', '.join(map(str, axes))}]) : ({tensor(dims, dtype)}) -> {out}"
    ranges = dict.fromkeys(names, "[0, 2048]")
    return lowered({"x": tensor(dims, dtype)}, body, [("%y", out)], ranges), dict(zip(names, shape, strict=False))


@pytest.mark.parametrize("size", SIZES)
def test_last_axis_of_symbolic_size(size: int) -> None:
    for kind in ("sum", "max"):
        text, dims = reduction(kind, (5, size), [1], names=["B", "N"])
        check(text, {"x": random((5, size))}, dims, kinds=["rows"])


@pytest.mark.parametrize(
    ("size", "schedule"), [(0, "columns"), (1, "columns"), (7, "columns"), (63, "registers"), (1000, "rows")]
)
def test_last_axis_of_static_size(size: int, schedule: str) -> None:
    for kind in ("sum", "min", "prod") if size == 0 else ("min", "mean", "prod"):
        text, dims = reduction(kind, (300, size), [1])
        x = np.exp2(random((300, size)) / 64).astype(np.float32) if kind == "prod" else random((300, size))
        check(text, {"x": x}, dims, kinds=[schedule])


@pytest.mark.parametrize("size", SIZES)
def test_first_axis(size: int) -> None:
    for kind, shape in (("sum", (9, size)), ("mean", (max(size, 1), 33))):
        text, dims = reduction(kind, shape, [0], names=["B", "N"])
        check(text, {"x": random(shape)}, dims, kinds=["columns"])


@pytest.mark.parametrize("axes", [[], [0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]])
def test_any_axes(axes: list[int]) -> None:
    shape = (4, 7, 37)
    for kind, names in (("sum", []), ("max", ["A"]), ("sum", ["A", "B", "C"])):
        text, dims = reduction(kind, shape, axes, names=names)
        check(text, {"x": random(shape)}, dims)


@pytest.mark.parametrize("dtype", ["f64", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "u32"])
@pytest.mark.parametrize("axis", [0, 1])
def test_dtypes(dtype: str, axis: int) -> None:
    for kind in ("sum", "max", "min", "prod"):
        shape = (6, 3) if kind == "prod" else (6, 45)
        text, dims = reduction(kind, shape, [axis], dtype)
        x = random(shape, dtype)
        if dtypes.is_float(dtypes.dtype(dtype)):
            check(text, {"x": x}, dims, rtol={"f16": 1e-3, "bf16": 8e-3}.get(dtype, 2e-6))
            continue
        native = NativeRun(text, {"x": x}, dims).run(1)["y"]
        compute = {"sum": x.sum, "prod": x.prod, "max": x.max, "min": x.min}[kind]
        with np.errstate(over="ignore"):
            wanted = compute(axis=axis, dtype=x.dtype) if kind in ("sum", "prod") else compute(axis=axis)
        np.testing.assert_array_equal(native, wanted)


@pytest.mark.parametrize("shape", [(3, 40), (3, 1500), (40, 3)])
@pytest.mark.parametrize("axis", [0, 1])
def test_nan_and_infinity_win_a_maximum(shape: Shape, axis: int) -> None:
    text, dims = reduction("max", shape, [axis])
    x = random(shape)
    x[1, 2], x[2, 1] = np.nan, np.inf
    native = NativeRun(text, {"x": x}, dims).run(1)["y"]
    np.testing.assert_array_equal(native, x.max(axis=axis))


def layer_norm(shape: Shape, names: Sequence[str] = (), dtype: str = "f32") -> tuple[str, dict[str, np.ndarray], dict[str, int]]:
    dims = [*names, *shape[len(names) :]]
    x, g = tensor(dims, dtype), tensor(dims[-1:], dtype)
    text = lowered(
        {"x": x, "g": g, "b": g},
        f"%y = mir.layer_norm %x, %g, %b(eps = 1.0e-05) : ({x}, {g}, {g}) -> {x}",
        [("%y", x)],
        dict.fromkeys(names, "[0, 4096]"),
    )
    arrays = {"x": random(shape, dtype), "g": random(shape[-1:], dtype, 1), "b": random(shape[-1:], dtype, 2)}
    return text, arrays, dict(zip(names, shape, strict=False))


@pytest.mark.parametrize("size", [1, 3, 7, 17, 63, 384, 768, 1000, 1024])
def test_layer_norm(size: int) -> None:
    text, arrays, dims = layer_norm((2, 3, size), ["B", "S"])
    native = check(text, arrays, dims)
    assert native.kinds == ["registers" if 3 < size <= 384 else "rows" if size > 3 else "columns"]


@pytest.mark.parametrize("size", [1, 7, 384, 1000])
def test_layer_norm_of_symbolic_size(size: int) -> None:
    text, arrays, dims = layer_norm((5, size), ["B", "N"])
    check(text, arrays, dims, kinds=["rows"])


@pytest.mark.parametrize("dtype", ["f64", "f16", "bf16"])
@pytest.mark.parametrize("size", [45, 384, 1000])
def test_layer_norm_dtypes(dtype: str, size: int) -> None:
    text, arrays, dims = layer_norm((4, size), dtype=dtype)
    check(text, arrays, dims, rtol={"f16": 1e-3, "bf16": 8e-3, "f64": 1e-13}[dtype])


@pytest.mark.parametrize("size", [3, 384, 1000])
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_residual_norms(size: int, dtype: str) -> None:
    x, g = tensor(["B", size], dtype), tensor([size], dtype)
    text = lowered(
        {"x": x, "r": x, "g": g, "b": g},
        f"""%s, %y = mir.residual_layer_norm %x, %r, %g, %b(eps = 1.0e-05) : ({x}, {x}, {g}, {g}) -> ({x}, {x})
            %t, %z = mir.residual_rms_norm %x, %r, %g(eps = 1.0e-05) : ({x}, {x}, {g}) -> ({x}, {x})""",
        [("%s", x), ("%y", x), ("%t", x), ("%z", x)],
        {"B": "[1, 64]"},
    )
    arrays = {"x": random((5, size), dtype), "r": random((5, size), dtype, 1)}
    arrays |= {"g": random((size,), dtype, 2), "b": random((size,), dtype, 3)}
    check(text, arrays, {"B": 5}, rtol=8e-3 if dtype == "bf16" else 2e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(2, 3, 5), (3, 17, 33), (1, 64, 70), (2, 2, 1000)])
def test_softmax(axis: int, shape: Shape) -> None:
    for names in ([], ["A", "B", "C"]):
        kind = tensor([*names, *shape[len(names) :]])
        text = lowered(
            {"x": kind}, f"%y = mir.softmax %x(axis = {axis}) : {kind}", [("%y", kind)], dict.fromkeys(names, "[0, 2048]")
        )
        x = random(shape)
        x[0, :, 0] = -np.inf  # along axis 1 a row of nothing, which gives zeros
        x[-1, -1, -1] = np.nan  # its row comes out as NaN
        check(text, {"x": x}, dict(zip(names, shape, strict=False)), rtol=5e-6)

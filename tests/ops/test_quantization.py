"""Quantized numbers against float64 and integer NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import rlx
from tests.ops.harness import check, floats, integers, model_of

SIZES = [{"B": 1}, {"B": 3}, {"B": 17}]


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("code", ["i8", "u8"])
def test_quantize(axis: int | None, code: str) -> None:
    extent = {None: "", 0: "B x ", 1: "8 x "}[axis]
    low, high = (-128, 127) if code == "i8" else (0, 255)

    def make(rng, d):
        n = () if axis is None else (d["B"],) if axis == 0 else (8,)
        scale = rng.choice([0.125, 0.25, 0.5], n).astype(np.float32)  # powers of two: the steps are exact
        return [np.round(floats(rng, (d["B"], 8)) * 64).astype(np.float32) / 4, scale, integers(rng, n, low, high, code)]

    def oracle(x, scale, zero):
        shape = {None: (), 0: (-1, 1), 1: (1, -1)}[axis]
        s, z = np.reshape(scale, shape), np.reshape(zero, shape).astype(np.float64)
        return np.clip(np.rint(x / s) + z, low, high)

    given = "" if axis is None else f"(axis = {axis})"
    check(f"mir.quantize %x0, %x1, %x2{given}", ["B x 8 x f32", f"{extent}f32", f"{extent}{code}"], [f"B x 8 x {code}"], oracle,
          make, dims="B", sizes=SIZES)  # fmt: skip


def test_quantize_of_what_is_no_number() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.5, 1.5, -2.5, 1e30], np.float32)
    check("mir.quantize %x0, %x1, %x2", ["7 x f32", "f32", "i8"], ["7 x i8"], lambda x, s, z: np.array([3, 127, -128, 3, 5, 1, 127]),
          lambda r, d: [x, np.float32(1), np.int8(3)])  # fmt: skip


@pytest.mark.parametrize("code", ["i8", "u8"])
def test_dequantize(code: str) -> None:
    low, high = (-128, 128) if code == "i8" else (0, 256)
    check("mir.dequantize %x0, %x1, %x2(axis = 1)", [f"B x 8 x {code}", "8 x f32", f"8 x {code}"], ["B x 8 x f32"],
          lambda q, s, z: (q.astype(np.float64) - z) * s,
          lambda r, d: [integers(r, (d["B"], 8), low, high, code), floats(r, (8,)), integers(r, (8,), low, high, code)],
          dims="B", sizes=SIZES)  # fmt: skip


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_fake_quantize(axis: int | None, bits: int) -> None:
    most = 2 ** (bits - 1) - 1

    def oracle(x):
        over = tuple(d for d in range(2) if d != axis)
        s = np.float32(np.max(np.abs(x), axis=over, keepdims=True)).astype(np.float32) / np.float32(most)
        steps = np.rint(x.astype(np.float32) / s)
        return np.clip(steps, -most, most) * s

    given = "" if axis is None else f", axis = {axis}"
    check(f"mir.fake_quantize %x0(bits = {bits}{given})", ["B x 8 x f32"], ["B x 8 x f32"], oracle,
          lambda r, d: [floats(r, (d["B"], 8))], dims="B", sizes=SIZES)  # fmt: skip


@pytest.mark.parametrize("zeros", [(0, 0, 0), (3, -7, 11)])
def test_quantized_matmul(zeros: tuple[int, int, int]) -> None:
    def oracle(x, w, bias, scale):
        total = (x.astype(np.int64) - zeros[0]) @ (w.astype(np.int64) - zeros[1]) + bias
        return np.clip(np.rint(np.float32(total) * np.float32(scale)) + zeros[2], -128, 127)

    given = f"(x_zero = {zeros[0]}, w_zero = {zeros[1]}, zero = {zeros[2]})"
    check(f"mir.quantized_matmul %x0, %x1, %x2, %x3{given}", ["B x 3 x 19 x i8", "19 x 7 x i8", "7 x i32", "f32"],
          ["B x 3 x 7 x i8"], oracle,
          lambda r, d: [integers(r, (d["B"], 3, 19), -128, 128, "i8"), integers(r, (19, 7), -128, 128, "i8"),
                        integers(r, (7,), -999, 999, "i32"), np.float32(0.0023)], dims="B", sizes=SIZES)  # fmt: skip


@pytest.mark.parametrize("with_minimum", [False, True])
@pytest.mark.parametrize("code", ["i8", "u8"])
def test_dequant_matmul(with_minimum: bool, code: str) -> None:
    low, high = (-128, 128) if code == "i8" else (0, 64)

    def oracle(x, q, s, *m):
        w = q.astype(np.float64) * np.repeat(s, 16, axis=0) - (np.repeat(m[0], 16, axis=0) if m else 0)
        return x @ w

    def make(r, d):
        planes = [floats(r, (3, 7)) for _ in range(1 + with_minimum)]
        return [floats(r, (d["B"], 48)), integers(r, (48, 7), low, high, code), *planes]

    extra = [", minimum %x3"] if with_minimum else [""]
    kinds = ["B x 48 x f32", f"48 x 7 x {code}", "3 x 7 x f32"] + ["3 x 7 x f32"] * with_minimum
    check(f"mir.dequant_matmul %x0, %x1, %x2{extra[0]}(block = 16)", kinds, ["B x 7 x f32"], oracle, make, dims="B", sizes=SIZES,
          tolerance=1e-5)  # fmt: skip


def test_codes_of_four_bits() -> None:
    """One value in a byte at the boundary. Kernels have no i4: the other targets refuse it, with a place and a way out."""
    model = model_of("mir.dequant_matmul %x0, %x1, %x2(block = 4)", ["3 x 8 x f32", "8 x 6 x i4", "2 x 6 x f32"], ["3 x 6 x f32"])
    rng = np.random.default_rng(0)
    x, q, scale = floats(rng, (3, 8)), integers(rng, (8, 6), -8, 8, "i8"), floats(rng, (2, 6))
    wanted = x.astype(np.float64) @ (q * np.repeat(scale, 4, 0).astype(np.float64))
    np.testing.assert_allclose(rlx.compile(model, "numpy")(x, q, scale), wanted, rtol=1e-5, atol=1e-5)
    for target in ("cpu", "cuda"):
        with pytest.raises(rlx.LowerError, match=f"<text>:1:1: target '{target}' has no kernels for i4"):
            rlx.lower(model, target)

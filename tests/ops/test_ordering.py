"""Running sums, positions of extremes and sorting, against loops over NumPy arrays."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.harness import check, floats, integers

SIZES = [{"B": 1, "S": 1}, {"B": 3, "S": 17}, {"B": 17, "S": 33}, {"B": 2, "S": 0}]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("flags", ["", ", exclusive", ", reverse", ", exclusive, reverse"])
def test_cumsum(axis: int, flags: str) -> None:
    def oracle(x):
        y = np.moveaxis(x, axis, 0).copy()
        order = range(len(y))[::-1] if "reverse" in flags else range(len(y))
        out, total = np.empty_like(y), np.zeros(y.shape[1:])
        for t in order:
            out[t] = total if "exclusive" in flags else total + y[t]
            total = total + y[t]
        return np.moveaxis(out, 0, axis)

    kind = "B x S x 5 x f32"
    check(f"mir.cumsum %x0(axis = {axis}{flags})", [kind], [kind], oracle, lambda r, d: [floats(r, (d["B"], d["S"], 5))],
          dims="BS", sizes=SIZES, tolerance=1e-5)  # fmt: skip


@pytest.mark.parametrize("dtype", ["f64", "f16", "bf16", "i32", "i64", "u8"])
def test_cumsum_of_types(dtype: str) -> None:
    def make(rng, dims):
        x = floats(rng, (3, dims["S"]), dtype) if dtype[0] in "fb" else integers(rng, (3, dims["S"]), 0, 100, dtype)
        return [x]

    def oracle(x):
        total = np.cumsum(x, axis=1, dtype=x.dtype if x.dtype.kind in "iu" else np.float64)
        return total

    check("mir.cumsum %x0(axis = 1)", [f"3 x S x {dtype}"], [f"3 x S x {dtype}"], oracle, make, dims="S",
          sizes=[{"S": 1}, {"S": 17}])  # fmt: skip


@pytest.mark.parametrize("op", ["arg_max", "arg_min"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f32", "f16", "i32", "u8"])
def test_arg(op: str, axis: int, dtype: str) -> None:
    def oracle(x):
        best = np.zeros(x.shape[1 - axis], np.int64)
        for i, line in enumerate(np.moveaxis(x, axis, 1)):
            for t, v in enumerate(line):
                held = line[best[i]]
                if (v > held if op == "arg_max" else v < held):
                    best[i] = t
        return best

    def make(rng, dims):
        shape = (dims["B"], dims["S"])
        return [integers(rng, shape, 0, 7, "i64").astype({"f32": "f4", "f16": "f2", "i32": "i4", "u8": "u1"}[dtype])]

    rest = "S" if axis == 0 else "B"
    check(f"mir.{op} %x0(axis = {axis})", [f"B x S x {dtype}"], [f"{rest} x i64"], oracle, make, dims="BS", sizes=SIZES[:3])


def test_arg_max_takes_the_first_nan() -> None:
    x = np.array([[1.0, np.nan, 3.0, np.nan], [5.0, 5.0, 1.0, -np.inf], [-np.inf] * 4], np.float32)
    check("mir.arg_max %x0(axis = 1)", ["3 x 4 x f32"], ["3 x i64"], lambda x: np.array([1, 0, 0]), lambda r, d: [x])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_sort(descending: bool, axis: int) -> None:
    def oracle(x):
        lines = np.moveaxis(x, axis, 1)
        order = [sorted(range(len(line)), key=lambda t, line=line: -line[t] if descending else line[t]) for line in lines]
        order = np.array(order, np.int64).reshape(lines.shape)
        return np.moveaxis(np.take_along_axis(lines, order, 1), 1, axis), np.moveaxis(order, 1, axis)

    flag = ", descending" if descending else ""
    kinds = ["B x S x f32", "B x S x i64"]
    check(f"mir.sort %x0(axis = {axis}{flag})", [kinds[0]], kinds, oracle,
          lambda r, d: [integers(r, (d["B"], d["S"]), 0, 9).astype(np.float32)], dims="BS", sizes=SIZES[:3])  # fmt: skip


@pytest.mark.parametrize("dtype", ["f32", "bf16", "i64"])
def test_top_k(dtype: str) -> None:
    def oracle(x):
        x = np.asarray(x)
        order = np.array([sorted(range(x.shape[1]), key=lambda t, row=row: -row[t])[:3] for row in x], np.int64).reshape(-1, 3)
        return np.take_along_axis(x, order, 1), order

    def make(rng, dims):
        x = integers(rng, (dims["B"], 9), -20, 20)
        return [x if dtype == "i64" else x.astype({"f32": np.float32}.get(dtype, floats(rng, (1,), "bf16").dtype))]

    check("mir.top_k %x0(k = 3, axis = 1)", [f"B x 9 x {dtype}"], [f"B x 3 x {dtype}", "B x 3 x i64"], oracle, make, dims="B",
          sizes=[{"B": 1}, {"B": 17}])  # fmt: skip


def test_sort_puts_nan_last_in_either_direction() -> None:
    x = np.array([[np.nan, 2.0, -1.0, np.inf]], np.float32)
    for flag, order in (("", [2, 1, 3, 0]), (", descending", [3, 1, 2, 0])):
        check(f"mir.sort %x0(axis = 1{flag})", ["1 x 4 x f32"], ["1 x 4 x f32", "1 x 4 x i64"],
              lambda v, order=order: (v[:, order], np.array([order])), lambda r, d: [x])  # fmt: skip

"""Lookups and writes at computed places, against loops."""

from __future__ import annotations

import numpy as np
import pytest

import rlx
from rlx_runtime.errors import RuntimeFault
from tests.ops.harness import check, floats, integers, model_of

SIZES = [{"N": 1}, {"N": 17}, {"N": 33}, {"N": 0}]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("oob", ["error", "clamp"])
def test_take(axis: int, oob: str) -> None:
    dims = ["4", "6", "5"]
    result = [*dims[:axis], "N", "2", *dims[axis + 1 :]]
    low, high = (0, int(dims[axis])) if oob == "error" else (-3, 9)
    check(f"mir.take %x0, %x1(axis = {axis}, oob = {oob})", [" x ".join(dims) + " x f32", "N x 2 x i64"],
          [" x ".join(result) + " x f32"],
          lambda x, i: np.take(x, np.clip(i, 0, x.shape[axis] - 1), axis=axis),
          lambda r, d: [floats(r, (4, 6, 5)), integers(r, (d["N"], 2), low, high)], dims="N", sizes=SIZES)  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3])
def test_gather_nd(count: int) -> None:
    shape = (4, 5, 6)
    rest = "".join(f" x {n}" for n in shape[count:])

    def oracle(x, indices):
        found = [x[tuple(int(v) for v in row)] for row in indices]
        return np.array(found).reshape(len(indices), *shape[count:])

    check("mir.gather_nd %x0, %x1(oob = error)", ["4 x 5 x 6 x f32", f"N x {count} x i32"], [f"N{rest} x f32"], oracle,
          lambda r, d: [floats(r, shape), integers(r, (d["N"], count), 0, 4, "i32")], dims="N", sizes=SIZES)  # fmt: skip


@pytest.mark.parametrize("combine", ["add", "max", "min", "set"])
@pytest.mark.parametrize("dtype", ["f32", "f16", "i32"])
def test_scatter(combine: str, dtype: str) -> None:
    def value(rng, shape):
        return floats(rng, shape, dtype) if dtype[0] == "f" else integers(rng, shape, -50, 50, dtype)

    def oracle(x, indices, updates):
        y = x.copy()
        for i, u in zip(indices, updates, strict=True):
            y[i] = {"add": y[i] + u, "max": np.maximum(y[i], u), "min": np.minimum(y[i], u), "set": u}[combine]
        return y

    kind = f"7 x 5 x {dtype}"
    check(f"mir.scatter %x0, %x1, %x2(combine = {combine}, oob = error)", [kind, "N x i64", f"N x 5 x {dtype}"], [kind], oracle,
          lambda r, d: [value(r, (7, 5)), integers(r, (d["N"],), 0, 7), value(r, (d["N"], 5))], dims="N", sizes=SIZES,
          tolerance=1e-2 if dtype == "f16" else None)  # fmt: skip


def test_scatter_add_drops_what_is_outside() -> None:
    def oracle(updates, indices):
        y = np.zeros((5, 3))
        for i, u in zip(indices, updates, strict=True):
            if 0 <= i < 5:
                y[i] += u
        return y

    check("mir.scatter_add %x0, %x1(rows = 5, oob = drop)", ["N x 3 x f32", "N x i64"], ["5 x 3 x f32"], oracle,
          lambda r, d: [floats(r, (d["N"], 3)), integers(r, (d["N"],), -2, 8)], dims="N", sizes=SIZES)  # fmt: skip


@pytest.mark.parametrize("target", ["numpy", "cpu"])
@pytest.mark.parametrize(
    ("line", "operands", "result"),
    [
        ("mir.take %x0, %x1(axis = 1, oob = error)", ["4 x 6 x f32", "3 x i64"], "4 x 3 x f32"),
        ("mir.gather_nd %x0, %x1(oob = error)", ["4 x 6 x f32", "3 x 1 x i64"], "3 x 6 x f32"),
        ("mir.scatter_add %x0, %x1(rows = 6, oob = error)", ["3 x 4 x f32", "3 x i64"], "6 x 4 x f32"),
    ],
)
def test_an_index_out_of_range_is_a_fault(line: str, operands: list[str], result: str, target: str) -> None:
    executable = rlx.compile(model_of(line, operands, [result]), target)
    shape = [int(n) for n in operands[0].split(" x ")[:-1]]
    indices = np.array([0, 6, 1]).reshape([int(n) for n in operands[1].split(" x ")[:-1]])
    with pytest.raises(RuntimeFault, match="6"):
        executable(np.ones(shape, np.float32), indices)

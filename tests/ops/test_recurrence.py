"""Selective scan and gated delta rule against loops over single numbers in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.harness import check, floats

SIZES = [{"B": 1, "S": 1}, {"B": 3, "S": 17}, {"B": 2, "S": 33}]


def small(rng, shape, dtype):
    return (floats(rng, shape) / 4).astype(floats(rng, (1,), dtype).dtype)


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_selective_scan(with_state: bool, dtype: str) -> None:
    def oracle(x, delta, a, b, c, *initial):
        batch, steps, channels = x.shape
        h = initial[0].copy() if initial else np.zeros((batch, channels, a.shape[1]))
        y = np.zeros(x.shape)
        for i in range(batch):
            for t in range(steps):
                for d in range(channels):
                    for n in range(a.shape[1]):
                        h[i, d, n] = np.exp(delta[i, t, d] * a[d, n]) * h[i, d, n] + delta[i, t, d] * b[i, t, n] * x[i, t, d]
                    y[i, t, d] = h[i, d] @ c[i, t]
        return y, h

    def make(r, d):
        shape = (d["B"], d["S"])
        given = [small(r, (*shape, 5), dtype), np.abs(small(r, (*shape, 5), dtype)), -np.abs(small(r, (5, 4), dtype))]
        given += [small(r, (*shape, 4), dtype) for _ in range(2)]
        return [*given, small(r, (d["B"], 5, 4), dtype)] if with_state else given

    kinds = [f"B x S x 5 x {dtype}"] * 2 + [f"5 x 4 x {dtype}"] + [f"B x S x 4 x {dtype}"] * 2
    kinds += [f"B x 5 x 4 x {dtype}"] if with_state else []
    line = "mir.selective_scan %x0, %x1, %x2, %x3, %x4" + (", initial %x5" if with_state else "")
    check(line, kinds, [f"B x S x 5 x {dtype}", f"B x 5 x 4 x {dtype}"], oracle, make, dims="BS", sizes=SIZES,
          tolerance={"bf16": 1e-2}.get(dtype))  # fmt: skip


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_gated_delta(with_state: bool, dtype: str) -> None:
    def oracle(q, k, v, g, beta, *initial):
        batch, steps, heads, size = q.shape
        s = initial[0].copy() if initial else np.zeros((batch, heads, size, size))
        y = np.zeros(q.shape)
        for i in range(batch):
            for h in range(heads):
                for t in range(steps):
                    held = np.exp(g[i, t, h]) * s[i, h]
                    change = beta[i, t, h] * (v[i, t, h] - held.T @ k[i, t, h])
                    s[i, h] = held + np.outer(k[i, t, h], change)
                    y[i, t, h] = s[i, h].T @ q[i, t, h] / np.sqrt(size)
        return y, s

    def make(r, d):
        shape = (d["B"], d["S"], 2)
        given = [small(r, (*shape, 4), dtype) for _ in range(3)]
        given += [-np.abs(small(r, shape, dtype)), np.abs(small(r, shape, dtype))]
        return [*given, small(r, (d["B"], 2, 4, 4), dtype)] if with_state else given

    kinds = [f"B x S x 2 x 4 x {dtype}"] * 3 + [f"B x S x 2 x {dtype}"] * 2
    kinds += [f"B x 2 x 4 x 4 x {dtype}"] if with_state else []
    line = "mir.gated_delta %x0, %x1, %x2, %x3, %x4" + (", initial %x5" if with_state else "")
    check(line, kinds, [f"B x S x 2 x 4 x {dtype}", f"B x 2 x 4 x 4 x {dtype}"], oracle, make, dims="BS", sizes=SIZES)

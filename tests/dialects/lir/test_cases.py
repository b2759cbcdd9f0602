"""The eight hard cases run, in f32 and friends within a rounding tolerance and in f64 to 1e-12, against float64 NumPy."""

import ml_dtypes
import numpy as np
import pytest

from rlx_backends.numpy.lir_executor import run_lir
from rlx_runtime.errors import RuntimeFault
from tests.dialects.lir.support import Array, close, load, random

SIZES = [(1, 1), (3, 7)]


def _both(module, buffers, dims, expected: dict[str, Array], tolerance: float) -> None:
    for precision, limit in ((None, tolerance), ("f64", 1e-12)):
        results = run_lir(module, buffers, dims, precision=precision)
        for name, value in expected.items():
            close(results[name], value, limit)


@pytest.mark.parametrize(("b", "s"), SIZES)
def test_residual_layernorm(b: int, s: int) -> None:
    rng = np.random.default_rng(1)
    x, res, g, c = random(rng, b, s, 37), random(rng, b, s, 37), random(rng, 37), random(rng, 37)
    h = x.astype(np.float64) + res
    y = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + np.float32(1e-5)) * g + c
    buffers = {"x": x, "res": res, "g": g, "b": c}
    _both(load("case_a_residual_layernorm.mlir"), buffers, {"B": b, "S": s}, {"h": h, "y": y}, 4e-6)


@pytest.mark.parametrize(("b", "s"), SIZES)
def test_swiglu_prepares_its_packed_weights(b: int, s: int) -> None:
    rng = np.random.default_rng(2)
    x, gate, up, down = random(rng, b * s, 21), random(rng, 21, 35), random(rng, 21, 35), random(rng, 35, 21)
    wide = x.astype(np.float64)
    a = wide @ gate
    y = a / (1 + np.exp(-a)) * (wide @ up) @ down + wide
    buffers = {"x": x, "gate": gate, "up": up, "down": down}
    _both(load("case_b_swiglu.mlir"), buffers, {"B": b, "S": s}, {"y": y}, 2e-5)


@pytest.mark.parametrize(("b", "s", "p"), [(1, 1, 0), (3, 5, 0), (2, 7, 11), (2, 1, 24)])
def test_attention_over_past_keys(b: int, s: int, p: int) -> None:
    rng = np.random.default_rng(3)
    bf16 = ml_dtypes.bfloat16
    q, k, v = (random(rng, b, s, heads, 8, dtype=bf16) for heads in (6, 2, 2))
    kc, vc = (random(rng, b, 2, 40, 8, dtype=bf16) for _ in range(2))
    keys, values = kc.astype(np.float64), vc.astype(np.float64)
    keys[:, :, p : p + s] = k.transpose(0, 2, 1, 3)
    values[:, :, p : p + s] = v.transpose(0, 2, 1, 3)
    scores = np.einsum("bqhd,bhkd->bhqk", q.astype(np.float64), np.repeat(keys, 3, 1)[:, :, : p + s]) * 0.375
    distance = p + np.arange(s)[:, None] - np.arange(p + s)
    scores = np.where(distance >= 0, np.tanh(scores / 5) * 5 - distance * 0.0625, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    o = np.einsum("bhqk,bhkd->bqhd", weights / weights.sum(-1, keepdims=True), np.repeat(values, 3, 1)[:, :, : p + s])
    buffers = {"q": q, "k": k, "v": v, "kc": kc, "vc": vc}
    _both(load("case_c_attention.mlir"), buffers, {"B": b, "S": s, "P": p}, {"o": o, "kc": keys, "vc": values}, 4e-3)


@pytest.mark.parametrize("n", [1, 3])
def test_convolution(n: int) -> None:
    rng = np.random.default_rng(4)
    x, w, b, res = random(rng, n, 3, 11, 13), random(rng, 5, 3, 3, 3), random(rng, 5), random(rng, n, 5, 6, 7)
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((n, 5, 6, 7))
    for r in range(3):
        for s in range(3):
            y += np.einsum("ncpq,oc->nopq", padded[:, :, r : r + 11 : 2, s : s + 13 : 2], w[:, :, r, s])
    y = np.maximum(y + b[:, None, None] + res, 0)
    _both(load("case_d_conv.mlir"), {"x": x, "w": w, "b": b, "res": res}, {"N": n}, {"y": y}, 1e-5)


@pytest.mark.parametrize("b", [1, 5])
def test_topk(b: int) -> None:
    rng = np.random.default_rng(5)
    x = random(rng, b, 33)
    x[:, 4] = x[:, 20]
    x[0, 7] = np.nan
    results = run_lir(load("case_e_topk.mlir"), {"x": x}, {"B": b})
    order = np.argsort(-x, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(results["positions"], order)
    np.testing.assert_array_equal(results["values"], np.take_along_axis(x, order, 1))
    if b > 1:
        by_size = np.take_along_axis(x, np.argsort(-np.abs(x), axis=1, kind="stable"), 1)[1:, :7]
        np.testing.assert_array_equal(results["magnitudes"][1:], by_size)


@pytest.mark.parametrize(("b", "s", "p"), [(1, 1, 0), (3, 5, 13), (2, 16, 30)])
def test_embedding(b: int, s: int, p: int) -> None:
    rng = np.random.default_rng(6)
    ids = rng.integers(0, 50, (b, s))
    table, pos = random(rng, 50, 9, dtype=np.float16), random(rng, 20, 9, dtype=np.float16)
    y = table.astype(np.float64)[ids] + pos.astype(np.float64)[np.minimum(p + np.arange(s), 19)]
    buffers = {"ids": ids, "table": table, "pos": pos}
    _both(load("case_f_embedding.mlir"), buffers, {"B": b, "S": s, "P": p}, {"y": y}, 1e-3)


def test_embedding_faults_outside_the_table() -> None:
    table, pos = np.ones((50, 9), np.float16), np.ones((20, 9), np.float16)
    buffers = {"ids": np.array([[3, 50]]), "table": table, "pos": pos}
    with pytest.raises(RuntimeFault, match="reads index 50 of dim 0, which has extent 50") as caught:
        run_lir(load("case_f_embedding.mlir"), buffers, {"B": 1, "S": 2, "P": 0})
    assert caught.value.code == "index"
    assert str(caught.value.location).startswith("case_f_embedding.mlir:18:")


@pytest.mark.parametrize("m", [1, 7])
def test_int4_matmul(m: int) -> None:
    rng = np.random.default_rng(7)
    x, codes = random(rng, m, 96), rng.integers(-8, 8, (96, 11))
    scales, minimums = random(rng, 3, 11), random(rng, 3, 11)
    weights = codes * np.repeat(scales.astype(np.float64), 32, 0) - np.repeat(minimums.astype(np.float64), 32, 0)
    buffers = {"x": x, "codes": codes.astype(ml_dtypes.int4), "scales": scales, "minimums": minimums}
    _both(load("case_g_int4_matmul.mlir"), buffers, {"M": m}, {"y": x.astype(np.float64) @ weights}, 2e-5)


@pytest.mark.parametrize("negate", [False, True])
def test_control_flow(negate: bool) -> None:
    rng = np.random.default_rng(8)
    a = rng.uniform(0.1, 1000, 17)
    results = run_lir(load("case_h_control_flow.mlir"), {"a": a, "negate": np.array([negate])}, {"N": 17})
    close(results["y"], np.sqrt(a) * (-1 if negate else 1), 1e-12)


def test_a_loop_that_does_not_settle_faults_at_its_limit() -> None:
    a = np.array([1e300])
    with pytest.raises(RuntimeFault, match="limit of 40 rounds") as caught:
        run_lir(load("case_h_control_flow.mlir"), {"a": a, "negate": np.array([False])}, {"N": 1})
    assert caught.value.code == "loop-limit"

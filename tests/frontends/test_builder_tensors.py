"""Every method of `builder_tensors` builds its op, and the model computes what NumPy says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rlx
from rlx_frontends.builder_tensors import TensorMethods

X = np.random.default_rng(0).standard_normal((2, 4, 6)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((4, 4, 3)).astype(np.float32)
G = np.random.default_rng(2).standard_normal(4).astype(np.float32)
I = np.array([3, 0, 2])  # noqa: E741 - indices
Q = np.random.default_rng(3).integers(-9, 9, (6, 5)).astype(np.int8)
S = np.random.default_rng(4).standard_normal((2, 5)).astype(np.float32)
H = np.abs(np.random.default_rng(5).standard_normal((2, 4, 2, 4))).astype(np.float32) / 4


def inputs(b: rlx.ModelBuilder, *arrays: Any) -> list[Any]:
    names = {np.dtype(np.float32): "f32", np.dtype(np.int64): "i64", np.dtype(np.int8): "i8"}
    return [b.input(f"x{i}", a.shape, names[a.dtype]) for i, a in enumerate(arrays)]


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Callable[..., Any] | tuple[int, ...]]] = {
    "cumsum": (lambda b, x: b.cumsum(x, -1), (X,), lambda x: np.cumsum(x, -1)),
    "argmax": (lambda b, x: b.argmax(x), (X,), lambda x: x.argmax(-1)),
    "argmin": (lambda b, x: b.argmin(x, 0), (X,), lambda x: x.argmin(0)),
    "sort": (lambda b, x: b.sort(x, -2)[0], (X,), lambda x: np.sort(x, -2)),
    "top_k": (lambda b, x: b.top_k(x, 2)[0], (X,), lambda x: -np.sort(-x, -1)[..., :2]),
    "take": (lambda b, x, i: b.take(x, i, 1), (X, I), lambda x, i: np.take(x, i, 1)),
    "gather_nd": (lambda b, x, i: b.gather_nd(x, i), (W, I[:, None]), lambda x, i: x[i[:, 0]]),
    "scatter": (lambda b, x, i, u: b.scatter(x, i, u), (W, I, 2 * W[:3]), lambda x, i, u: _set(x, i, u)),
    "scatter_add": (lambda b, u, i: b.scatter_add(u, i, 4), (W[:3], I), lambda u, i: _set(0 * W, i, u)),
    "conv": (lambda b, x, w: b.conv(x, w, padding=[(1, 1)]), (X, W), (2, 4, 6)),
    "conv_transpose": (lambda b, x, w: b.conv_transpose(x, w, strides=[2]), (X, W), (2, 4, 13)),
    "max_pool": (lambda b, x: b.max_pool(x, [2]), (X,), lambda x: x.reshape(2, 4, 3, 2).max(-1)),
    "avg_pool": (lambda b, x: b.avg_pool(x, [3]), (X,), lambda x: x.reshape(2, 4, 2, 3).mean(-1)),
    "pad": (lambda b, x: b.pad(x, [(0, 0), (1, 0), (0, 2)], value=7.0), (X,),
            lambda x: np.pad(x, [(0, 0), (1, 0), (0, 2)], constant_values=7)),
    "resize": (lambda b, x: b.resize(x, [2]), (X,), lambda x: np.repeat(x, 2, -1)),
    "dot_general": (lambda b, x, w: b.dot_general(x, w, ([1], [0])), (X, W), lambda x, w: np.einsum("bcd,cef->bdef", x, w)),
    "grouped_matmul": (lambda b, x, w, i: b.grouped_matmul(x, w, i), (W[:3, :, 0], W, I),
                       lambda x, w, i: np.stack([r @ w[e] for r, e in zip(x, i)])),
    "lora_matmul": (lambda b, x, w, a, c: b.lora_matmul(x, w, a, c, 0.5), (W[..., 0], W[0], W[1, :, :2], W[2, :2]),
                    lambda x, w, a, c: x @ w + 0.5 * (x @ a @ c)),
    "group_norm": (lambda b, x, g, c: b.group_norm(x, g, c, 2), (X, G, G), (2, 4, 6)),
    "channel_norm": (lambda b, x, g, c: b.channel_norm(x, g, c), (X, G, G), (2, 4, 6)),
    "batch_norm": (lambda b, x, g, c, m, v: b.batch_norm(x, g, c, m, v), (X, G, G, G, np.abs(G)), (2, 4, 6)),
    "quantize": (lambda b, x, s, z: b.quantize(x, s, z, axis=1), (X, np.abs(G), np.arange(4, dtype=np.int8)), (2, 4, 6)),
    "dequantize": (lambda b, q, s, z: b.dequantize(q, s, z, axis=-1), (Q, S[0], Q[0]),
                   lambda q, s, z: (q.astype(np.float32) - z) * s),
    "fake_quantize": (lambda b, x: b.fake_quantize(x, 4), (X,), (2, 4, 6)),
    "dequant_matmul": (lambda b, x, q, s: b.dequant_matmul(x, q, s, block=3), (X, Q, S),
                       lambda x, q, s: x @ (q * np.repeat(s, 3, 0))),
    "selective_scan": (lambda b, x, d, a, c: b.selective_scan(x, d, a, c, c)[0], (X, np.abs(X), -np.abs(W[:, :, 0].repeat(2, 0)[:6]),
                                                                                 X[..., :4]), (2, 4, 6)),
    "gated_delta": (lambda b, q, g: b.gated_delta(q, q, q, g, g)[0], (H, H[..., 0]), (2, 4, 2, 4)),
}  # fmt: skip


def _set(x: Any, i: Any, u: Any) -> Any:
    y = x.copy()
    y[i] = u
    return y


def test_every_method_has_a_case() -> None:
    assert set(CASES) == {name for name in vars(TensorMethods) if not name.startswith("_")}


@pytest.mark.parametrize("name", CASES)
def test_method(name: str) -> None:
    build, arrays, wanted = CASES[name]
    b = rlx.ModelBuilder(name)
    b.output("y", build(b, *inputs(b, *arrays)))
    model = b.build()
    assert str(rlx.parse(model.as_text()).as_text()) == model.as_text()
    found = rlx.compile(model, "numpy")(*arrays)
    if isinstance(wanted, tuple):
        assert found.shape == wanted and (found.dtype == np.int8 or np.isfinite(found).all())
    else:
        np.testing.assert_allclose(found, wanted(*arrays), rtol=1e-5, atol=1e-5)


def test_a_mistake_is_reported_at_the_callers_line() -> None:
    b = rlx.ModelBuilder("m")
    (x,) = inputs(b, X)
    with pytest.raises(rlx.ShapeError, match=r"test_builder_tensors.py:\d+:\d+: mir.cumsum: axis 5 is outside of \[0, 2\]"):
        b.cumsum(x, 5)

"""The NumPy semantics of every MIR op against float64 formulas, written here a second time and as directly as possible."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from xdsl.ir import Block, Operation

from rlx_dialects import mir
from rlx_dialects.dims import sym
from rlx_dialects.mir.semantics import SEMANTICS, erf, evaluate, numpy_dtype
from rlx_dialects.rlx import StateType, state, tensor
from rlx_runtime.errors import RuntimeFault

Array = Any
SIZES = (1, 3, 17)
TOLERANCE = {"f64": 1e-13, "f32": 2e-6, "f16": 2e-3, "bf16": 1.6e-2}
"""Relative to the largest magnitude of the result; twice the unit roundoff of the type, more for f64 and f32 sums."""


def values(*types: Any) -> tuple[Any, ...]:
    return tuple(Block(arg_types=types).args)


def random(shape: tuple[int, ...], dtype: str = "f32", seed: int = 0, positive: bool = False) -> Array:
    x = np.random.default_rng(seed).uniform(0.25 if positive else -3.0, 3.0, shape)
    return x.astype(numpy_dtype(tensor((), dtype).element_type))


def run(make: Callable[..., Operation], *arrays: Array, dims: dict[str, int] | None = None, types: Any = None) -> Any:
    """The result (or results) of the op on the arrays; its operand types are those of the arrays unless given."""
    names = {
        np.dtype(np.float64): "f64", np.dtype(np.float32): "f32", np.dtype(np.float16): "f16", np.dtype(np.int64): "i64",
        np.dtype(np.int32): "i32", np.dtype(np.int8): "i8", np.dtype(np.uint8): "u8", np.dtype(np.bool_): "bool",
        np.dtype(ml_dtypes.bfloat16): "bf16",
    }  # fmt: skip
    op = make(*values(*(types or [tensor(a.shape, names[a.dtype]) for a in arrays])))
    op.verify()
    found = evaluate(op, dims or {}, *arrays)
    for array, result in zip(found, op.results):
        assert array.dtype == numpy_dtype(result.type.element_type)
        assert array.shape == tuple(dim.evaluate(dims or {}) for dim in result.type.dims)
    return found[0] if len(found) == 1 else found


def close(found: Array, wanted: Array, dtype: str = "f32") -> None:
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE[dtype] * scale)


_erf = np.vectorize(math.erf, otypes=[np.float64])
UNARY: dict[type[Operation], Callable[[Array], Array]] = {
    mir.NegOp: lambda x: -x, mir.AbsOp: np.abs, mir.ExpOp: np.exp, mir.LogOp: np.log, mir.SqrtOp: np.sqrt,
    mir.RsqrtOp: lambda x: x**-0.5, mir.RecipOp: lambda x: 1 / x, mir.TanhOp: np.tanh, mir.ErfOp: _erf,
    mir.SigmoidOp: lambda x: 1 / (1 + np.exp(-x)), mir.ReluOp: lambda x: x * (x > 0),
    mir.GeluOp: lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2))),
    mir.GeluTanhOp: lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    mir.SiluOp: lambda x: x / (1 + np.exp(-x)), mir.SinOp: np.sin, mir.CosOp: np.cos, mir.TanOp: lambda x: np.sin(x) / np.cos(x),
    mir.AtanOp: np.arctan, mir.RoundOp: lambda x: np.vectorize(round)(x).astype(float), mir.FloorOp: np.floor, mir.CeilOp: np.ceil,
}  # fmt: skip
BINARY: dict[type[Operation], Callable[[Array, Array], Array]] = {
    mir.AddOp: lambda a, b: a + b, mir.SubOp: lambda a, b: a - b, mir.MulOp: lambda a, b: a * b, mir.DivOp: lambda a, b: a / b,
    mir.MaxOp: lambda a, b: np.where(a > b, a, b), mir.MinOp: lambda a, b: np.where(a < b, a, b), mir.PowOp: lambda a, b: a**b,
}  # fmt: skip


def test_every_op_has_semantics() -> None:
    assert set(SEMANTICS) == set(mir.MIR.operations)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("op", UNARY)
def test_unary(op: type[Operation], dtype: str) -> None:
    x = random((3, 17), dtype, positive=op in (mir.LogOp, mir.SqrtOp, mir.RsqrtOp, mir.RecipOp, mir.TanOp))
    if op is mir.TanOp:
        x = (x / x.dtype.type(2.5)).astype(x.dtype)
    close(run(op, x), UNARY[op](x.astype(np.float64)), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("op", BINARY)
def test_binary(op: type[Operation], dtype: str) -> None:
    a, b = random((17, 3), dtype, 1, positive=op is mir.PowOp), random((17, 3), dtype, 2, positive=op is mir.DivOp)
    close(run(op, a, b), BINARY[op](a.astype(np.float64), b.astype(np.float64)), dtype)


def test_erf_is_accurate_to_1e_15() -> None:
    x = np.concatenate([np.linspace(-7, 7, 30001), np.geomspace(1e-300, 1, 2001), [0.0, -0.0, np.inf, -np.inf]])
    assert np.max(np.abs(erf(x) - _erf(x))) <= 1e-15
    assert np.isnan(erf(np.array([np.nan]))).all()
    assert np.signbit(erf(np.array([-0.0]))).all()


def test_limits_of_activations() -> None:
    x = np.array([np.inf, -np.inf, np.nan], np.float32)
    for op in (mir.GeluOp, mir.GeluTanhOp, mir.SiluOp, mir.ReluOp):
        np.testing.assert_array_equal(run(op, x), np.array([np.inf, 0, np.nan], np.float32))
    np.testing.assert_array_equal(run(mir.SigmoidOp, x), np.array([1, 0, np.nan], np.float32))


def test_round_takes_ties_to_even() -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 2.4999], np.float32)
    np.testing.assert_array_equal(run(mir.RoundOp, x), np.array([0, 2, 2, -0.0, -2, 2], np.float32))


def test_small_floats_round_once() -> None:
    # In bf16 arithmetic 1 + 1/256 would be 1 before the subtraction; here one op rounds one result.
    x = np.array([1.0], ml_dtypes.bfloat16)
    gate = np.array([3.0], ml_dtypes.bfloat16)
    exact = 3.0 / (1 + math.exp(-3.0)) * 1.0
    assert float(run(mir.SwigluOp, gate, x)[0]) == float(ml_dtypes.bfloat16(exact))


def test_float64_arrays_keep_the_reference_precision() -> None:
    x = np.linspace(-1, 1, 17)
    op = mir.ExpOp(values(tensor((17,), "bf16"))[0])
    (found,) = evaluate(op, {}, x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.exp(x), rtol=1e-15)


def test_integer_arithmetic() -> None:
    a, b = np.array([7, -7, 7, -7, -128, 5], np.int8), np.array([2, 2, -2, -2, -1, 0], np.int8)
    np.testing.assert_array_equal(run(mir.DivOp, a, b), np.array([3, -3, -3, 3, -128, 0], np.int8))
    np.testing.assert_array_equal(run(mir.AddOp, a, a), np.array([14, -14, 14, -14, 0, 10], np.int8))
    big = np.array([2**62 + 1, -(2**62) - 1])
    np.testing.assert_array_equal(run(mir.DivOp, big, np.array([3, 3])), np.array([(2**62 + 1) // 3, -((2**62 + 1) // 3)]))
    np.testing.assert_array_equal(run(mir.AndOp, a, b), a & b)
    np.testing.assert_array_equal(run(mir.OrOp, a > 0, b > 0), (a > 0) | (b > 0))
    np.testing.assert_array_equal(run(mir.LogicalNotOp, a > 0), a <= 0)


def test_comparisons_and_select() -> None:
    a, b = np.array([1, 2, np.nan, 0.0], np.float32), np.array([2, 2, np.nan, -0.0], np.float32)
    table = {mir.EqOp: "0101", mir.NeOp: "1010", mir.LtOp: "1000", mir.LeOp: "1101", mir.GtOp: "0000", mir.GeOp: "0101"}
    for op, bits in table.items():
        assert "".join(str(int(bit)) for bit in run(op, a, b)) == bits
    np.testing.assert_array_equal(run(mir.SelectOp, np.array([True, False, True, False]), a, b), np.array([1, 2, np.nan, -0.0]))


def test_casts() -> None:
    x = np.array([1.9, -1.9, 300.0, -300.0, np.nan, np.inf], np.float32)
    np.testing.assert_array_equal(run(lambda v: mir.CastOp(v, "i8"), x), np.array([1, -1, 127, -128, 0, 127], np.int8))
    np.testing.assert_array_equal(run(lambda v: mir.CastOp(v, "u8"), x), np.array([1, 0, 255, 0, 0, 255], np.uint8))
    np.testing.assert_array_equal(run(lambda v: mir.CastOp(v, "bool"), x), [True] * 6)
    top = np.array([1e30, -1e30], np.float32)
    np.testing.assert_array_equal(run(lambda v: mir.CastOp(v, "i64"), top), [2**63 - 1, -(2**63)])
    i = np.array([257, -1, 0, 9], np.int32)
    np.testing.assert_array_equal(run(lambda v: mir.CastOp(v, "u8"), i), np.array([1, 255, 0, 9], np.uint8))
    np.testing.assert_array_equal(run(lambda v: mir.CastOp(v, "i4"), i), np.array([1, -1, 0, -7], np.int8))
    np.testing.assert_array_equal(run(lambda v: mir.CastOp(v, "f32"), i), i.astype(np.float32))
    np.testing.assert_array_equal(run(lambda v: mir.CastOp(v, "f32"), i > 0), (i > 0).astype(np.float32))
    assert float(run(lambda v: mir.CastOp(v, "bf16"), np.array([1.00390625], np.float32))[0]) == 1.0


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_matmul(n: int, dtype: str) -> None:
    x, w, k = random((2, n, 17), dtype, 1), random((17, 3), dtype, 2), random((2, 17, n), dtype, 3)
    close(run(mir.MatmulOp, x, w), np.einsum("bmk,kn->bmn", x.astype(float), w.astype(float)), dtype)
    close(run(mir.MatmulOp, x, k), np.einsum("bmk,bkn->bmn", x.astype(float), k.astype(float)), dtype)


@pytest.mark.parametrize("n", SIZES)
def test_reductions(n: int) -> None:
    x = random((n, 3, 17), "f32", n) / np.float32(2)
    table = {
        mir.ReduceSumOp: np.sum,
        mir.ReduceMeanOp: np.mean,
        mir.ReduceMaxOp: np.max,
        mir.ReduceMinOp: np.min,
        mir.ReduceProdOp: np.prod,
    }
    for op, function in table.items():
        for axes in ((), (1,), (0, 2), (0, 1, 2)):
            for keepdims in (False, True):
                close(
                    run(lambda v, o=op, a=axes, k=keepdims: o(v, a, k), x),
                    function(x.astype(float), axis=axes, keepdims=keepdims),
                )
    empty = np.zeros((0, 3), np.float32)
    wanted = {
        mir.ReduceSumOp: 0,
        mir.ReduceMeanOp: np.nan,
        mir.ReduceMaxOp: -np.inf,
        mir.ReduceMinOp: np.inf,
        mir.ReduceProdOp: 1,
    }
    for op, value in wanted.items():
        np.testing.assert_array_equal(run(lambda v, o=op: o(v, [0]), empty), np.full(3, value, np.float32))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_norms(n: int, dtype: str) -> None:
    x, r = random((3, n), dtype, 1), random((3, n), dtype, 2)
    g, b = random((n,), dtype, 3), random((n,), dtype, 4)
    xd, rd, gd, bd = (a.astype(float) for a in (x, r, g, b))

    def layer(t: Array) -> Array:
        return (t - t.mean(1, keepdims=True)) / np.sqrt(t.var(1, keepdims=True) + 1e-3) * gd + bd

    def rms(t: Array) -> Array:
        return t / np.sqrt((t * t).mean(1, keepdims=True) + 1e-3) * gd

    close(run(lambda *v: mir.LayerNormOp(*v, eps=1e-3), x, g, b), layer(xd), dtype)
    close(run(lambda *v: mir.RmsNormOp(*v, eps=1e-3), x, g), rms(xd), dtype)
    for found, function in (
        (run(lambda *v: mir.ResidualLayerNormOp(*v, eps=1e-3), x, r, g, b), layer),
        (run(lambda *v: mir.ResidualRmsNormOp(*v, eps=1e-3), x, r, g), rms),
    ):
        close(found[0], xd + rd, dtype)
        close(found[1], function(xd + rd), dtype)
    for axis in (0, 1):
        e = np.exp(xd - xd.max(axis, keepdims=True))
        close(run(lambda v, a=axis: mir.SoftmaxOp(v, a), x), e / e.sum(axis, keepdims=True), dtype)


def attention_by_rows(
    q: Array, k: Array, v: Array, allowed: Callable[[int, int, int, int], bool], scale: float, bias: Array, cap: float | None
) -> Array:
    """Layout bhsd, one query row at a time in float64; the scores of keys not allowed do not exist."""
    out = np.zeros((*q.shape[:3], v.shape[3]))
    group = q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for i in range(q.shape[2]):
                keys = [j for j in range(k.shape[2]) if allowed(b, h, i, j)]
                if keys:
                    s = scale * np.array([q[b, h, i] @ k[b, h // group, j] for j in keys])
                    s = s if cap is None else cap * np.tanh(s / cap)
                    s = s + np.array([bias[b, h, i, j] for j in keys])
                    e = np.exp(s - s.max())
                    out[b, h, i] = (e / e.sum()) @ np.array([v[b, h // group, j] for j in keys])
    return out


@pytest.mark.parametrize("kind", ["none", "causal", "sliding", "custom", "bias"])
@pytest.mark.parametrize(("queries", "past"), [(1, 16), (3, 0), (17, 0), (3, 5)])
@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
def test_attention(kind: str, queries: int, past: int, layout: str) -> None:
    keys, cap = past + queries, 5.0 if kind == "causal" else None
    q, k, v = random((2, 4, queries, 6), seed=1), random((2, 2, keys, 6), seed=2), random((2, 2, keys, 3), seed=3)
    key_mask = np.random.default_rng(4).uniform(size=(2, keys)) < 0.6
    key_mask[1] = False  # a row without keys gives zeros
    bias = random((1, 4, queries, keys), seed=5)
    rules: dict[str, Callable[[int, int, int, int], bool]] = {
        "none": lambda b, h, i, j: True,
        "causal": lambda b, h, i, j: j <= past + i,
        "sliding": lambda b, h, i, j: past + i - 2 <= j <= past + i,
        "custom": lambda b, h, i, j: bool(key_mask[b, j]),
        "bias": lambda b, h, i, j: True,
    }
    added = np.broadcast_to(bias, (2, 4, queries, keys)) if kind == "bias" else np.zeros((2, 4, queries, keys))
    wanted = attention_by_rows(*(t.astype(float) for t in (q, k, v)), rules[kind], 0.3, added, cap)
    masks = {"custom": [key_mask], "bias": [bias]}.get(kind, [])
    if layout == "bshd":
        q, k, v, wanted = (np.swapaxes(t, 1, 2) for t in (q, k, v, wanted))
    window = 2 if kind == "sliding" else None

    def make(*operands: Any) -> Operation:
        return mir.AttentionOp(*operands, layout=layout, kind=kind, scale=0.3, window=window, softcap=cap, past=sym("P"))

    close(run(make, q, k, v, *masks, dims={"P": past}), wanted)
    if kind == "custom":
        close(run(make, q, k, v, key_mask.astype(np.float32), dims={"P": past}), wanted)


def test_attention_reads_the_extent_of_a_cache() -> None:
    q, k, v = random((1, 3, 2, 4), seed=1), random((1, 17, 1, 4), seed=2), random((1, 17, 1, 4), seed=3)
    k[:, 8:] = v[:, 8:] = np.nan  # room that holds no keys
    op = mir.AttentionOp(
        *values(tensor(q.shape, "f32"), state(k.shape, "f32"), state(v.shape, "f32")),
        layout="bshd", kind="causal", scale=0.5, past=sym("P"), key_extent=sym("P") + 3,
    )  # fmt: skip
    (found,) = evaluate(op, {"P": 5}, q, k, v)
    qt, kt, vt = (np.swapaxes(t.astype(float), 1, 2) for t in (q, k[:, :8], v[:, :8]))
    wanted = attention_by_rows(qt, kt, vt, lambda b, h, i, j: j <= 5 + i, 0.5, np.zeros((1, 2, 3, 8)), None)
    close(found, np.swapaxes(wanted, 1, 2))


@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
def test_rope(layout: str) -> None:
    x = random((2, 3, 17, 10), seed=7)  # bhsd
    wanted = x.astype(float).copy()
    for t in range(17):
        for i in range(3):
            angle = (t + 4) * 100.0 ** (-2 * i / 6)
            c, s = math.cos(angle), math.sin(angle)
            low, high = x[:, :, t, i].astype(float), x[:, :, t, i + 3].astype(float)
            wanted[:, :, t, i], wanted[:, :, t, i + 3] = c * low - s * high, s * low + c * high
    if layout == "bshd":
        x, wanted = np.swapaxes(x, 1, 2), np.swapaxes(wanted, 1, 2)
    close(run(lambda v: mir.RopeOp(v, layout=layout, theta=100.0, n_rot=6, offset=sym("P")), x, dims={"P": 4}), wanted)


def test_movement() -> None:
    x = random((3, 17), seed=1)
    n = {"B": 3, "S": 17, "P": 5}
    batch, s, p = sym("B"), sym("S"), sym("P")
    types = [tensor((batch, s), "f32")]
    same = np.testing.assert_array_equal
    same(run(lambda v: mir.BroadcastOp(v, (2, batch, s)), x, dims=n, types=types), np.stack([x, x]))
    same(run(lambda v: mir.BroadcastOp(v, (batch, 2, s), axes=(0, 2)), x, dims=n, types=types), np.stack([x, x], 1))
    same(run(lambda v: mir.ReshapeOp(v, (batch * s,)), x, dims=n, types=types), x.reshape(-1))
    same(run(lambda v: mir.TransposeOp(v, (1, 0)), x), x.T)
    same(run(lambda v: mir.SliceOp(v, (0, p), (batch, s - p), (1, 1)), x, dims=n, types=types), x[:, 5:])
    same(run(lambda v: mir.SliceOp(v, (1, 2), (1, 5), (1, 3)), x), x[1:2, 2:15:3])
    same(run(lambda v: mir.SliceOp(v, (1, 2), (0, 5), (2, 1)), x), x[1:1, 2:7])
    same(run(lambda *v: mir.ConcatOp(v, 1), x, x[:, :1], x), np.concatenate([x, x[:, :1], x], 1))
    same(run(lambda: mir.IotaOp(p + 2), dims=n), np.arange(7))
    assert run(lambda: mir.DimValueOp(batch * s), dims=n) == 51
    with pytest.raises(RuntimeFault, match=r"slice \[5, 18\) of axis 1 is outside of \[0, 17\)"):
        run(lambda v: mir.SliceOp(v, (0, p), (batch, 13)), x, dims=n, types=[tensor((batch, s), "f32")])


def test_gather() -> None:
    table, good = random((17, 3), seed=1), np.array([[0, 16, 3]])
    np.testing.assert_array_equal(run(lambda t, i: mir.GatherOp(t, i), table, good), table[good])
    bad = np.array([-1, 17, 2], np.int32)
    with pytest.raises(RuntimeFault, match=r"index -1 is outside of \[0, 17\)"):
        run(lambda t, i: mir.GatherOp(t, i), table, bad)
    np.testing.assert_array_equal(run(lambda t, i: mir.GatherOp(t, i, "clamp"), table, bad), table[[0, 16, 2]])
    filled = run(lambda t, i: mir.GatherOp(t, i, "fill", 7.0), table, bad)
    np.testing.assert_array_equal(filled, np.stack([np.full(3, 7), np.full(3, 7), table[2]]).astype(np.float32))


def test_state() -> None:
    cache, new = random((2, 17, 3), seed=1), random((2, 3, 3), seed=2)
    types = [StateType(tensor(cache.shape, "f32").shape, tensor((), "f32").element_type), tensor(new.shape, "f32")]
    before = cache.copy()
    found = run(lambda c, n: mir.CacheUpdateOp(c, n, sym("P"), 1), cache, new, dims={"P": 14}, types=types)
    np.testing.assert_array_equal(cache, before)
    np.testing.assert_array_equal(found, np.concatenate([cache[:, :14], new], 1))
    with pytest.raises(RuntimeFault, match=r"writes \[15, 18\) on axis 1, but the state has room for 17"):
        run(lambda c, n: mir.CacheUpdateOp(c, n, sym("P"), 1), cache, new, dims={"P": 15}, types=types)
    read = run(lambda c: mir.StateReadOp(c, 1, sym("P")), cache, dims={"P": 4}, types=types[:1])
    np.testing.assert_array_equal(read, cache[:, :4])


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_fused(n: int, dtype: str) -> None:
    x, w, b, r = random((2, n, 5), dtype, 1), random((5, 3), dtype, 2), random((3,), dtype, 3), random((2, n, 3), dtype, 4)
    up, gate = random((5, 3), dtype, 5), random((5, 3), dtype, 6)
    xd, wd, bd, rd, ud, gd = (t.astype(float) for t in (x, w, b, r, up, gate))
    table = {
        "relu": mir.ReluOp,
        "gelu": mir.GeluOp,
        "gelu_tanh": mir.GeluTanhOp,
        "silu": mir.SiluOp,
        "tanh": mir.TanhOp,
        "sigmoid": mir.SigmoidOp,
    }
    functions = {"none": lambda t: t, **{name: UNARY[op] for name, op in table.items()}}
    for name, function in functions.items():
        make = lambda x, w, b, r, a=name: mir.MatmulBiasActOp(x, w, b, r, a)  # noqa: E731
        close(run(make, x, w, b, r), function(xd @ wd + bd + rd), dtype)
    close(run(lambda x, w, r: mir.MatmulBiasActOp(x, w, None, r), x, w, r), xd @ wd + rd, dtype)
    close(run(lambda x, w: mir.MatmulBiasActOp(x, w, activation="relu"), x, w), np.maximum(xd @ wd, 0), dtype)
    silu = UNARY[mir.SiluOp]
    close(run(mir.SwigluOp, r, r), silu(rd) * rd, dtype)
    close(run(mir.SwigluMatmulOp, x, up, gate), silu(xd @ gd) * (xd @ ud), dtype)


def test_constants() -> None:
    np.testing.assert_array_equal(run(lambda: mir.ConstantOp.of([[1, 2], [3, 4]], "i8")), np.array([[1, 2], [3, 4]], np.int8))
    assert run(lambda: mir.ConstantOp.of(-7, "i32")) == -7
    splat = mir.ConstantOp.of([0.5] * 3, "bf16")
    assert splat.is_splat()
    np.testing.assert_array_equal(evaluate(splat, {})[0].astype(float), [0.5] * 3)
    np.testing.assert_array_equal(run(lambda: mir.ConstantOp.of([True, False], "bool")), [True, False])

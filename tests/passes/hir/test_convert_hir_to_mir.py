"""HIR and its MIR compute the same: every op, both policies, float64 (1e-12) and float32 (2e-5)."""

import numpy as np
import pytest

import rlx
from rlx_backends.numpy.hir_executor import execute
from rlx_dialects.hir import HIR
from rlx_dialects.mir.semantics import NUMPY_DTYPES
from rlx_passes.hir.convert_hir_to_mir import RULES, ConvertHirToMirPass
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import location_of
from rlx_passes.support.verify import verify_module

B, S, T = rlx.Dim("B", 1, 64), rlx.Dim("S", 1, 64), rlx.Dim("T", 1, 64)
SIZES = {"B": 3, "S": 5, "T": 7, "P": 4}

MODELS = {}


def model(*dtypes):
    """Register a model: a function of a builder and a dtype that returns its outputs."""

    def register(function):
        for dtype in dtypes or ("f32",):
            MODELS[f"{function.__name__}-{dtype}"] = (function, dtype)
        return function

    return register


def build(name):
    function, dtype = MODELS[name]
    b = rlx.ModelBuilder(name)
    outputs = function(b, dtype)
    for index, value in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
        if not value.is_state:
            b.output(f"y{index}", value)
    return b.build()


@model("f32", "bf16")
def linear(b, t):
    x, w, bias = b.input("x", (B, S, 8), t), b.param("w", (8, 4), t), b.param("b", (4,), t)
    kinds = ("none", "relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid")
    return (*(b.linear(x, w, bias, k) for k in kinds), b.linear(x, w), b.linear(x, w, activation="tanh"))


@model()
def linear_vector(b, t):
    x, w, bias = b.input("x", (8,), t), b.param("w", (8, 4), t), b.param("b", (4,), t)
    return b.linear(x, w, bias, "gelu"), b.linear(x, w)


@model()
def matmul(b, t):
    x, y, w = b.input("x", (1, S, 8), t), b.input("y", (B, 8, T), t), b.param("w", (8, 3), t)
    return b.matmul(x, y), b.matmul(b.transpose(y, (0, 2, 1)), w)


@model("f32", "f16")
def norms(b, t):
    x, r, g, c = b.input("x", (B, S, 16), t), b.input("r", (B, S, 16), t), b.param("g", (16,), t), b.param("c", (16,), t)
    return (
        b.layer_norm(x, g, c), b.layer_norm(x, g, eps=1e-3), b.rms_norm(x, g), *b.residual_layer_norm(x, r, g, c),
        *b.residual_layer_norm(x, r, g), *b.residual_rms_norm(x, r, g), b.softmax(x), b.softmax(x, 1),
        b.l2_normalize(x), b.l2_normalize(x * 0.0),
    )  # fmt: skip


@model()
def embedding(b, t):
    table, ids, wild = b.param("table", (11, 4), t), b.input("ids", (B, S), "i64"), b.input("wild", (B,), "i32")
    return b.embedding(table, ids), b.embedding(table, wild, "clamp"), b.embedding(table, wild, "fill")


@model("f32", "bf16")
def mean_pool(b, t):
    x = b.input("x", (B, S, 4), t)
    return b.mean_pool(x, b.input("ids", (B, S), "i64")), b.mean_pool(x, b.input("mask", (B, S), "bool"))


@model("f32", "bf16")
def attention(b, t):
    q, k, v = b.input("q", (B, S, 12), t), b.input("k", (B, T, 6), t), b.input("v", (B, T, 10), t)
    mask, scores = b.input("mask", (B, T), "bool"), b.input("scores", (B, 1, S, T), t)
    wide = b.input("wide", (1, 4, 1, 1), t)
    b.constrain(S <= T)
    o = {"heads": 4, "kv_heads": 2}
    return (
        b.attention(q, k, v, **o), b.attention(q, k, v, **o, mask="causal"), b.attention(q, k, v, **o, mask="sliding", window=2),
        b.attention(q, k, v, **o, key_mask=mask), b.attention(q, k, v, **o, key_mask=mask, mask="causal"),
        b.attention(q, k, v, **o, key_mask=mask, mask="sliding", window=1, bias=scores, scale=0.3, softcap=2.0),
        b.attention(q, k, v, **o, bias=scores), b.attention(q, k, v, **o, bias=wide, mask="causal"),
        b.attention(q, k, v, **o, bias=wide), b.attention(q, k, v, **o, key_mask=b.cast(mask, t)),
        b.attention(q, k, v, **o, key_mask=b.cast(mask, "i32"), mask="causal", bias=wide),
    )  # fmt: skip


@model("f32", "bf16")
def cached_attention(b, t):
    P = b.dim_input("P", 0, 16, runtime=True)
    b.constrain(P + S <= 16)
    x, new = b.input("x", (B, S, 12), t), b.input("new", (B, S, 6), t)
    k, v = b.state("k", (B, 2, 16, 3), t), b.state("v", (B, 2, 16, 3), t)
    mask = b.input("mask", (B, P + S), "i64")
    k = b.cache_update(k, b.rope(new, head_dim=3, rotary=2, offset=P), at=P)
    v = b.cache_update(v, b.transpose(b.reshape(new, (B, S, 2, 3)), (0, 2, 1, 3)), at=P)
    o = {"heads": 4, "kv_heads": 2, "past": P}
    return (
        b.attention(x, k, v, **o, mask="causal"), b.attention(x, k, v, **o), b.attention(x, k, v, **o, key_mask=mask),
        b.attention(x, k, v, **o, key_mask=mask, mask="sliding", window=3),
    )  # fmt: skip


@model("f32", "bf16")
def swiglu_ffn(b, t):
    up, gate, down = (b.param(n, s, t) for n, s in (("up", (8, 12)), ("gate", (8, 12)), ("down", (12, 8))))
    return b.swiglu_ffn(b.input("x", (B, S, 8), t), up, gate, down), b.swiglu_ffn(b.input("z", (8,), t), up, gate, down)


@model()
def encoder_block(b, t):
    x, mask = b.input("x", (B, S, 8), t), b.input("ids", (B, S), "i64")

    def pair(n, *shape):
        return b.param(f"{n}.w", shape, t), b.param(f"{n}.b", shape[-1:], t)

    weights = {n: pair(n, 8, 8) for n in ("query", "key", "value", "output")}
    weights |= {"norm1": pair("n1", 8), "up": pair("up", 8, 12), "down": pair("down", 12, 8), "norm2": pair("n2", 8)}
    return b.encoder_block(x, **weights, heads=2, mask=mask), b.encoder_block(x, **weights, heads=4, activation="relu")


@model()
def decoder_block(b, t):
    P = b.dim_input("P", 0, 16)
    b.constrain(P + S <= 16)
    x = b.input("x", (B, S, 8), t)
    qkv = b.param("q", (8, 16), t), b.param("k", (8, 8), t), b.param("v", (8, 8), t)
    ffn = b.param("up", (8, 12), t), b.param("gate", (8, 12), t), b.param("down", (12, 8), t)
    rest = {"norm1": b.param("n1", (8,), t), "norm2": b.param("n2", (8,), t), "output": b.param("o", (16, 8), t)}
    cache = b.state("ks", (B, 2, 16, 4), t), b.state("vs", (B, 2, 16, 4), t)
    y, *cache = b.decoder_block(x, qkv=qkv, ffn=ffn, **rest, cache=cache, heads=4, kv_heads=2, past=P)
    return b.decoder_block(y, qkv=qkv, ffn=ffn, **rest, cache=cache, heads=4, kv_heads=2, past=P, window=3)[0]


@model()
def unary(b, t):
    x = b.input("x", (B, 8), t)
    positive = b.exp(x)
    names = "neg abs exp sin cos tan arctan tanh erf sigmoid relu gelu gelu_tanh silu floor ceil round".split()
    roots = (b.log(positive), b.sqrt(positive), b.rsqrt(positive))
    return (*(getattr(b, name)(x) for name in names), *roots, b.logical_not(b.compare(x, 0.0, "gt")))


@model("f32", "i32")
def binary(b, t):
    x, y = b.input("x", (B, 1, 8), t), b.input("y", (S, 8), t)
    p, q = b.compare(x, y, "lt"), b.compare(y, 0, "ne")
    both = [getattr(b, name)(x, y) for name in ("add", "sub", "mul", "div", "maximum", "minimum")]
    both += [b.power(b.abs(x), y)] if t == "f32" else []
    compared = [b.compare(x, y, kind) for kind in ("eq", "ne", "lt", "le", "gt", "ge")]
    return (*both, *compared, b.logical_and(p, q), b.logical_or(q, p), b.where(q, x, y), b.where(p, x, 1))


@model("f32", "i64")
def reductions(b, t):
    x = b.input("x", (B, S, 4), t)
    kinds = ("sum", "max", "min", "prod") + (("mean",) if t == "f32" else ())
    reduced = [getattr(b, k)(x, axis=axis, keepdims=keep) for k in kinds for axis, keep in (((0, -1), False), (1, True))]
    return (*reduced, b.sum(x))


@model()
def movement(b, t):
    x = b.input("x", (B, S, 8), t)
    return (
        b.reshape(x, (B * S, 2, 4)), b.transpose(x, (2, 0, 1)), b.transpose(x), b.slice(x, -1, 2, 5), b.slice(x, 1, S - 1, 1),
        b.concat([x, b.slice(x, 2, 0, 3)], 2), b.concat([x, x], 1), b.broadcast_to(b.slice(x, 2, 0, 1), (2, B, S, 9)),
    )  # fmt: skip


@model("i64", "f32", "bool")
def cast(b, t):
    x = b.input("x", (B, 8), t)
    return tuple(b.cast(x, to) for to in ("f32", "i64", "i8", "u8", "bool", "f16", t))


def random_arguments(built, seed=0):
    rng = np.random.default_rng(seed)
    found = {name: SIZES[name] for name in built.dim_inputs}
    for spec in (*built.inputs, *built.params, *built.states):
        shape = tuple(d if isinstance(d, int) else d.expr.evaluate(SIZES) for d in spec.shape)
        match spec.dtype:
            case "bool":
                array = rng.random(shape) < 0.6
            case "i64" if spec.name == "ids":
                array = rng.integers(0, 2, shape)
            case "i32" | "i64":
                array = rng.integers(-9, 20, shape)
            case _:
                array = rng.standard_normal(shape)
        found[spec.name] = array.astype(NUMPY_DTYPES[spec.dtype])
    return found


def lowered(built, policy):
    module = built.module.clone()
    ConvertHirToMirPass(policy).apply(make_context(), module)
    verify_module(module)
    return module


@pytest.mark.parametrize("policy", ["direct", "fusable"])
@pytest.mark.parametrize("name", MODELS)
def test_hir_and_mir_agree(name, policy):
    built = build(name)
    verify_module(built.module)
    module = lowered(built, policy)
    arguments = random_arguments(built)
    small = any(spec.dtype in ("f16", "bf16") for spec in (*built.inputs, *built.outputs))
    tolerances = {True: 1e-12, False: 0.05 if small else 2e-5}
    reference = execute(built.module, arguments, exact=True)
    for exact, tolerance in tolerances.items():
        wanted, found = execute(built.module, arguments, exact=exact), execute(module, arguments, exact=exact)
        for key, array in {**wanted.outputs, **wanted.states}.items():
            other = {**found.outputs, **found.states}[key]
            assert other.dtype == array.dtype
            assert other.shape == array.shape
            assert np.isfinite(array.astype(np.float64)).all()
            close(other, array, tolerance, key)
            close(other, {**reference.outputs, **reference.states}[key], 1e-12 if exact else max(tolerance, 1e-4), key)


def close(found, wanted, tolerance, key):
    np.testing.assert_allclose(found.astype(np.float64), wanted.astype(np.float64), rtol=tolerance, atol=tolerance, err_msg=key)


def test_every_op_has_a_rule_and_is_covered():
    assert set(RULES) == set(HIR.operations)
    used = {type(op) for name in MODELS for op in build(name).module.walk()}
    assert set(HIR.operations) - used == set()


@pytest.mark.parametrize("policy", ["direct", "fusable"])
def test_locations_are_kept(policy):
    built = build("encoder_block-f32")
    lines = {location_of(op).line for op in built.module.walk() if op.name.startswith("hir.")}
    for op in lowered(built, policy).walk():
        if op.name.startswith("mir."):
            assert location_of(op).file == __file__
            assert location_of(op).line in lines

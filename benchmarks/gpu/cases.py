"""The workloads: the same computation as an RLX model, as torch code and, where it is short, as JAX code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import rlx

EPS = 1e-5


@dataclass(frozen=True)
class Case:
    """One workload on arrays of `shapes` (dtype, shape), in the order of the model's inputs.

    `bytes_` is the least that must move (each input and output once), `flops` the operations of its matrix products, `unit`
    which rate bounds them: bf16, tf32 or f32.
    """

    name: str
    model: Callable[[], rlx.Model]
    shapes: Sequence[tuple[str, tuple[int, ...]]]
    torch_code: Callable[..., Any]
    jax_code: Callable[..., Any] | None
    bytes_: float
    tolerance: float
    flops: float = 0.0
    unit: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    """What random inputs are multiplied with."""


def _builder(name: str, *specs: tuple[str, str, tuple[int, ...]]) -> tuple[rlx.ModelBuilder, list[Any]]:
    b = rlx.ModelBuilder(name)
    return b, [b.input(n, shape, dtype) for n, dtype, shape in specs]


def chain(n: int) -> Case:
    def model() -> rlx.Model:
        b, (x,) = _builder("chain", ("x", "f32", (n,)))
        y = b.sub(b.mul(b.gelu(b.add(b.mul(x, 1.5), 0.25)), b.sigmoid(x)), b.tanh(x))
        b.output("y", y)
        return b.build()

    def with_torch(x: Any) -> Any:
        import torch  # pyright: ignore[reportMissingImports]

        return torch.nn.functional.gelu(x * 1.5 + 0.25) * torch.sigmoid(x) - torch.tanh(x)

    def with_jax(x: Any) -> Any:
        import jax  # pyright: ignore[reportMissingImports]

        return jax.nn.gelu(x * 1.5 + 0.25, approximate=False) * jax.nn.sigmoid(x) - jax.numpy.tanh(x)

    return Case("chain", model, [("f32", (n,))], with_torch, with_jax, 8.0 * n, 1e-5)


def softmax(m: int, n: int) -> Case:
    def model() -> rlx.Model:
        b, (x,) = _builder("softmax", ("x", "f32", (m, n)))
        b.output("y", b.softmax(x))
        return b.build()

    return Case("softmax", model, [("f32", (m, n))], lambda x: x.softmax(-1), lambda x: _jax().nn.softmax(x), 8.0 * m * n, 1e-5)


def layer_norm(m: int, n: int) -> Case:
    def model() -> rlx.Model:
        b, (x, g, c) = _builder("layer_norm", ("x", "f32", (m, n)), ("g", "f32", (n,)), ("c", "f32", (n,)))
        b.output("y", b.layer_norm(x, g, c, eps=EPS))
        return b.build()

    def with_torch(x: Any, g: Any, c: Any) -> Any:
        import torch  # pyright: ignore[reportMissingImports]

        return torch.nn.functional.layer_norm(x, (n,), g, c, EPS)

    def with_jax(x: Any, g: Any, c: Any) -> Any:
        centered = x - x.mean(-1, keepdims=True)
        return centered * _jax().lax.rsqrt((centered * centered).mean(-1, keepdims=True) + EPS) * g + c

    shapes = [("f32", (m, n)), ("f32", (n,)), ("f32", (n,))]
    return Case("layer_norm", model, shapes, with_torch, with_jax, 8.0 * m * n, 1e-5)


def add_rms_norm(m: int, n: int) -> Case:
    def model() -> rlx.Model:
        b, (x, r, g) = _builder("add_rms_norm", ("x", "bf16", (m, n)), ("r", "bf16", (m, n)), ("g", "bf16", (n,)))
        total, y = b.residual_rms_norm(x, r, g, eps=EPS)
        b.output("total", total)
        b.output("y", y)
        return b.build()

    def with_torch(x: Any, r: Any, g: Any) -> Any:
        total = x + r
        wide = total.float()
        return total, (wide * (wide.pow(2).mean(-1, keepdim=True) + EPS).rsqrt()).to(x.dtype) * g

    def with_jax(x: Any, r: Any, g: Any) -> Any:
        total = x + r
        wide = total.astype("float32")
        return total, (wide * _jax().lax.rsqrt((wide * wide).mean(-1, keepdims=True) + EPS)).astype(x.dtype) * g

    shapes = [("bf16", (m, n)), ("bf16", (m, n)), ("bf16", (n,))]
    return Case("add_rms_norm", model, shapes, with_torch, with_jax, 8.0 * m * n, 2e-2)


def matmul(name: str, dtype: str, m: int, n: int, k: int, precision: str = "") -> Case:
    """`x [m, k] · w [k, n]`; `precision` is tf32 where f32 may be multiplied so."""

    def model() -> rlx.Model:
        b, (x, w) = _builder(name, ("x", dtype, (m, k)), ("w", dtype, (k, n)))
        b.output("y", b.matmul(x, w))
        return b.build()

    size = 2 if dtype == "bf16" else 4
    options = {"precision": precision} if precision else {}
    tolerance = {"bf16": 1e-2, "f32": 1e-5}[dtype] if not precision else 2e-3
    return Case(name, model, [(dtype, (m, k)), (dtype, (k, n))], lambda x, w: x @ w, lambda x, w: x @ w,
                size * float(m * k + k * n + m * n), tolerance, 2.0 * m * n * k, precision or dtype, options,
                1 / math.sqrt(math.sqrt(k)))  # fmt: skip


def _jax() -> Any:
    import jax  # pyright: ignore[reportMissingImports]

    return jax


CASES: dict[str, Callable[[], Case]] = {
    "chain": lambda: chain(256 << 20),
    "softmax": lambda: softmax(16384, 4096),
    "layer_norm": lambda: layer_norm(16384, 4096),
    "add_rms_norm": lambda: add_rms_norm(16384, 4096),
    "matmul_bf16": lambda: matmul("matmul_bf16", "bf16", 8192, 8192, 8192),
    "matmul_tf32": lambda: matmul("matmul_tf32", "f32", 8192, 8192, 8192, "tf32"),
    "matmul_f32": lambda: matmul("matmul_f32", "f32", 8192, 8192, 8192),
    "rows_1": lambda: matmul("rows_1", "bf16", 1, 14336, 4096),
    "rows_16": lambda: matmul("rows_16", "bf16", 16, 14336, 4096),
}

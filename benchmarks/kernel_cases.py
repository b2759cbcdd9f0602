"""The kernels that are measured one by one: their models, inputs, float64 references, FLOPs and compulsory bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.minilm_model import exact_gelu
from benchmarks.peers.numpy_blas import gelu as f32_gelu
from benchmarks.worker import Prepared

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Kernel:
    """`shapes`: of all operands, f32; those named in `params` are bound as weights. `flops`: for the floor.

    `build(builder, values)` returns the output; `reference(arrays)` is the same with NumPy, in the dtype of the arrays.
    `tolerance` is relative.
    """

    name: str
    shapes: dict[str, tuple[int, ...]]
    params: tuple[str, ...]
    build: Callable[[Any, dict[str, Any]], Any]
    reference: Callable[[Arrays], np.ndarray]
    flops: int
    tolerance: float = 1e-5

    def operands(self, seed: int = 0) -> Arrays:
        """Standard normal; weight matrices over the root of their rows, so that products stay of that size."""
        random = np.random.default_rng(seed)
        made = {name: random.standard_normal(shape, np.float32) for name, shape in self.shapes.items()}
        return {k: a / np.float32(a.shape[0] ** 0.5) if k in self.params and a.ndim == 2 else a for k, a in made.items()}


def bytes_of(operands: Arrays, output: np.ndarray) -> int:
    """Compulsory traffic: every operand is read once, the output (f32) is written once."""
    return sum(array.nbytes for array in operands.values()) + 4 * output.size


def _softmax(a: Arrays) -> np.ndarray:
    e = np.exp(a["x"] - a["x"].max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _layer_norm(a: Arrays) -> np.ndarray:
    centred = a["x"] - a["x"].mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * a["scale"] + a["bias"]


def _rms_norm(a: Arrays) -> np.ndarray:
    return a["x"] / np.sqrt((a["x"] ** 2).mean(-1, keepdims=True) + 1e-6) * a["scale"]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _chain(a: Arrays) -> np.ndarray:
    gelu = exact_gelu if a["x"].dtype == np.float64 else f32_gelu
    return gelu(a["x"]) * _sigmoid(a["x"]) - np.tanh(a["x"])


def _swiglu(a: Arrays) -> np.ndarray:
    gate = a["x"] @ a["gate"]
    return (a["x"] @ a["up"] * (gate * _sigmoid(gate))) @ a["down"]


def _rows(name: str, others: tuple[str, ...], build: Any, reference: Any, flops_per_element: int) -> Kernel:
    shapes = {"x": (4096, 1024), **{other: (1024,) for other in others}}
    return Kernel(f"{name} [4096,1024]", shapes, others, build, reference, flops_per_element * 4096 * 1024)


def _chain_of(size: int, label: str) -> Kernel:
    return Kernel(f"gelu*sigmoid-tanh {label}", {"x": (size,)}, (),
                  lambda b, v: b.gelu(v["x"]) * b.sigmoid(v["x"]) - b.tanh(v["x"]), _chain, 60 * size)  # fmt: skip


def _matmul(n: int) -> Kernel:
    return Kernel(f"matmul {n}^3", {"x": (n, n), "y": (n, n)}, (),
                  lambda b, v: b.matmul(v["x"], v["y"]), lambda a: a["x"] @ a["y"], 2 * n**3)  # fmt: skip


def _linear(rows: int, n: int = 4096) -> Kernel:
    return Kernel(f"linear {rows}x{n}x{n}", {"x": (rows, n), "w": (n, n)}, ("w",),
                  lambda b, v: b.linear(v["x"], v["w"]), lambda a: a["x"] @ a["w"], 2 * rows * n * n)  # fmt: skip


def _swiglu_of(rows: int) -> Kernel:
    shapes = {"x": (rows, 768), "up": (768, 2048), "gate": (768, 2048), "down": (2048, 768)}
    return Kernel(f"swiglu [{rows},768]", shapes, ("up", "gate", "down"),
                  lambda b, v: b.swiglu_ffn(v["x"], v["up"], v["gate"], v["down"]), _swiglu, 6 * rows * 768 * 2048)  # fmt: skip


KERNELS = (
    _rows("softmax", (), lambda b, v: b.softmax(v["x"]), _softmax, 18),
    _rows("layernorm", ("scale", "bias"), lambda b, v: b.layer_norm(v["x"], v["scale"], v["bias"], eps=1e-5), _layer_norm, 8),
    _rows("rmsnorm", ("scale",), lambda b, v: b.rms_norm(v["x"], v["scale"], eps=1e-6), _rms_norm, 5),
    _chain_of(2**16, "64k"),
    _chain_of(2**24, "16M"),
    *(_matmul(n) for n in (256, 512, 1024, 2048)),
    *(_linear(rows) for rows in (1, 4, 16)),
    *(_swiglu_of(rows) for rows in (4, 128)),
)
"""FLOPs of elementwise work are estimates (60 an element for the chain, 18 for softmax); those of products are exact."""


def find(name: str) -> Kernel:
    return next(kernel for kernel in KERNELS if kernel.name == name)


def model(kernel: Kernel) -> Any:
    """The kernel as a `rlx.Model`."""
    import rlx

    builder = rlx.ModelBuilder("kernel")
    values = {
        name: builder.param(name, shape, "f32") if name in kernel.params else builder.input(name, shape, "f32")
        for name, shape in kernel.shapes.items()
    }
    builder.output("out", kernel.build(builder, values))
    return builder.build()


def rlx_builder(inputs: Arrays, threads: int, kernel: str, target: str = "cpu") -> Prepared:
    """The kernel compiled by RLX for its static shapes; called with `out=`, weights bound."""
    import rlx

    what = find(kernel)
    weights = {name: inputs[name] for name in what.params}
    executable = rlx.compile(model(what), target=target, weights=weights or None)
    arguments = [inputs[name] for name in what.shapes if name not in what.params]
    out = np.full_like(executable(*arguments), np.nan)

    def run() -> Any:
        return executable(*arguments, out=out)

    def outputs() -> Arrays:
        out.fill(np.nan)
        run()
        return {"out": out}

    return Prepared(run, outputs, {"rlx": rlx.__version__})


def numpy_builder(inputs: Arrays, threads: int, kernel: str) -> Prepared:
    """The kernel as NumPy expressions in f32, threads those of its BLAS."""
    reference = find(kernel).reference
    return Prepared(lambda: reference(inputs), lambda: {"out": reference(inputs)}, {"numpy": np.__version__})

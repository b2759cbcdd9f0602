"""The kernels that are measured one by one: their models, inputs, float64 references, FLOPs and compulsory bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.minilm_model import exact_gelu

Arrays = dict[str, np.ndarray]
LAYER_NORM_EPS, RMS_NORM_EPS = 1e-5, 1e-6
TOLERANCE = 1e-5
"""Largest max|error| / max|reference| that counts as right."""


@dataclass(frozen=True)
class Kernel:
    """`kind`: a key of `REFERENCES`; `shapes`: of all operands, f32; `params`: those that are weights; `flops`: for the floor."""

    kind: str
    label: str
    shapes: dict[str, tuple[int, ...]]
    params: tuple[str, ...]
    flops: int

    @property
    def name(self) -> str:
        return f"{self.kind} {self.label}"

    def inputs(self) -> list[str]:
        """Operands that are not weights."""
        return [name for name in self.shapes if name not in self.params]

    def reference(self, operands: Arrays, gelu: Callable[[np.ndarray], np.ndarray] = exact_gelu) -> np.ndarray:
        """The result with NumPy in the dtype of the operands."""
        return REFERENCES[self.kind](operands, gelu)

    def operands(self, seed: int = 0) -> Arrays:
        """Standard normal; weight matrices over the root of their rows, so that products stay of that size."""
        random = np.random.default_rng(seed)
        made = {name: random.standard_normal(shape, np.float32) for name, shape in self.shapes.items()}
        return {k: a / np.float32(a.shape[0] ** 0.5) if k in self.params and a.ndim == 2 else a for k, a in made.items()}


def bytes_of(operands: Arrays, output: np.ndarray) -> int:
    """Compulsory traffic: every operand is read once, the output (f32) is written once."""
    return sum(array.nbytes for array in operands.values()) + 4 * output.size


def _softmax(a: Arrays, gelu: Any) -> np.ndarray:
    e = np.exp(a["x"] - a["x"].max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _layer_norm(a: Arrays, gelu: Any) -> np.ndarray:
    centred = a["x"] - a["x"].mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + LAYER_NORM_EPS) * a["scale"] + a["bias"]


def _rms_norm(a: Arrays, gelu: Any) -> np.ndarray:
    return a["x"] / np.sqrt((a["x"] ** 2).mean(-1, keepdims=True) + RMS_NORM_EPS) * a["scale"]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _chain(a: Arrays, gelu: Any) -> np.ndarray:
    return gelu(a["x"]) * _sigmoid(a["x"]) - np.tanh(a["x"])


def _matmul(a: Arrays, gelu: Any) -> np.ndarray:
    return a["x"] @ a["y"]


def _linear(a: Arrays, gelu: Any) -> np.ndarray:
    return a["x"] @ a["w"]


def _swiglu(a: Arrays, gelu: Any) -> np.ndarray:
    gate = a["x"] @ a["gate"]
    return (a["x"] @ a["up"] * (gate * _sigmoid(gate))) @ a["down"]


REFERENCES: dict[str, Callable[[Arrays, Any], np.ndarray]] = {
    "softmax": _softmax,
    "layernorm": _layer_norm,
    "rmsnorm": _rms_norm,
    "gelu*sigmoid-tanh": _chain,
    "matmul": _matmul,
    "linear": _linear,
    "swiglu": _swiglu,
}


def _rows(kind: str, params: tuple[str, ...], flops_per_element: int) -> Kernel:
    shapes = {"x": (4096, 1024), **{name: (1024,) for name in params}}
    return Kernel(kind, "[4096,1024]", shapes, params, flops_per_element * 4096 * 1024)


def _swiglu_of(rows: int) -> Kernel:
    shapes = {"x": (rows, 768), "up": (768, 2048), "gate": (768, 2048), "down": (2048, 768)}
    return Kernel("swiglu", f"[{rows},768]", shapes, ("up", "gate", "down"), 6 * rows * 768 * 2048)


KERNELS = (
    _rows("softmax", (), 18),
    _rows("layernorm", ("scale", "bias"), 8),
    _rows("rmsnorm", ("scale",), 5),
    *(Kernel("gelu*sigmoid-tanh", label, {"x": (n,)}, (), 60 * n) for n, label in ((2**16, "64k"), (2**24, "16M"))),
    *(Kernel("matmul", f"{n}^3", {"x": (n, n), "y": (n, n)}, (), 2 * n**3) for n in (256, 512, 1024, 2048)),
    *(Kernel("linear", f"{m}x4096x4096", {"x": (m, 4096), "w": (4096, 4096)}, ("w",), 2 * m * 4096**2) for m in (1, 4, 16)),
    *(_swiglu_of(rows) for rows in (4, 128)),
)
"""FLOPs of elementwise work are estimates (60 an element for the chain, 18 for softmax); those of products are exact."""


def find(name: str) -> Kernel:
    return next(kernel for kernel in KERNELS if kernel.name == name)

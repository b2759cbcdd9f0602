"""RLX on the CPU target: specialized to the shape, or the generic code that serves every shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from benchmarks import kernel_cases, minilm_model
from benchmarks.worker import Prepared


@cache
def executable(target: str, dims: tuple[tuple[str, int], ...]) -> Any:
    """MiniLM compiled with these dims fixed (none: for all shapes) and bound, once for each process."""
    import rlx

    model, weights = rlx.models.minilm()
    return rlx.compile(model, target=target, weights=weights, dims=dict(dims))


def minilm(inputs: dict[str, np.ndarray], threads: int, specialize: bool, target: str = "cpu") -> Prepared:
    """NumPy arrays in, NumPy arrays out through `out=`; the threads are those of RLX_NUM_THREADS, which the harness sets."""
    import rlx

    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    batch, sequence = ids.shape
    call = executable(target, (("B", batch), ("S", sequence)) if specialize else ())
    shapes = ((batch, sequence, minilm_model.config().hidden_size), (batch, minilm_model.config().hidden_size))
    out = tuple(np.full(shape, np.nan, np.float32) for shape in shapes)

    def run() -> Any:
        return call(ids, mask, out=out)

    def outputs() -> dict[str, np.ndarray]:
        for array in out:
            array.fill(np.nan)
        run()
        return dict(zip(minilm_model.OUTPUTS, out))

    return Prepared(run, outputs, {"rlx": rlx.__version__})


KERNELS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "softmax": lambda b, v: b.softmax(v["x"]),
    "layernorm": lambda b, v: b.layer_norm(v["x"], v["scale"], v["bias"], eps=kernel_cases.LAYER_NORM_EPS),
    "rmsnorm": lambda b, v: b.rms_norm(v["x"], v["scale"], eps=kernel_cases.RMS_NORM_EPS),
    "gelu*sigmoid-tanh": lambda b, v: b.gelu(v["x"]) * b.sigmoid(v["x"]) - b.tanh(v["x"]),
    "matmul": lambda b, v: b.matmul(v["x"], v["y"]),
    "linear": lambda b, v: b.linear(v["x"], v["w"]),
    "swiglu": lambda b, v: b.swiglu_ffn(v["x"], v["up"], v["gate"], v["down"]),
}
"""How a model builder makes each kind of kernel from values by name."""


def model(what: kernel_cases.Kernel) -> Any:
    """The kernel as a `rlx.Model` of static shapes."""
    import rlx

    builder = rlx.ModelBuilder("kernel")
    values = {
        name: builder.param(name, shape, "f32") if name in what.params else builder.input(name, shape, "f32")
        for name, shape in what.shapes.items()
    }
    builder.output("out", KERNELS[what.kind](builder, values))
    return builder.build()


def kernel(inputs: dict[str, np.ndarray], threads: int, kernel: str, target: str = "cpu") -> Prepared:
    """Called with `out=`, weights bound."""
    import rlx

    what = kernel_cases.find(kernel)
    weights = {name: inputs[name] for name in what.params}
    call = rlx.compile(model(what), target=target, weights=weights or None)
    arguments = [inputs[name] for name in what.inputs()]
    out = np.full_like(call(*arguments), np.nan)

    def run() -> Any:
        return call(*arguments, out=out)

    def outputs() -> dict[str, np.ndarray]:
        out.fill(np.nan)
        run()
        return {"out": out}

    return Prepared(run, outputs, {"rlx": rlx.__version__})

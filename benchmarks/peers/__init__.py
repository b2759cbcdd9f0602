"""One module for each contender, in the library's best f32 configuration.

A module has two builders: `minilm(inputs, threads, …)` for MiniLM-L6, which gets `input_ids` and `attention_mask` (i64 [B, S]),
and `kernel(inputs, threads, kernel, …)` for one of `kernel_cases.KERNELS` by name, which gets all its operands. Both return
`worker.Prepared` and may compile for these very shapes. What a library needs as input (its own tensors on its own device) is made
in advance: only the computation is timed. Libraries are imported inside the builders, so that a missing one is reported as
missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Contender

MODULES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "numpy": ("numpy_blas", {}),
    "torch": ("torch_eager", {}),
    "torch-compile": ("torch_compile", {"mode": "default"}),
    "torch-compile-max": ("torch_compile", {"mode": "max-autotune-no-cudagraphs"}),
    "jax": ("jax_xla", {}),
    "onnxruntime": ("onnx_runtime", {}),
    "openvino": ("openvino_cpu", {}),
}
"""Name of a peer -> its module here, options of its builders."""


def peers(workload: str) -> list[Contender]:
    """All peers for `workload`, "minilm" or "kernel"."""
    return [Contender(name, f"benchmarks.peers.{module}:{workload}", options) for name, (module, options) in MODULES.items()]


def ours(workload: str) -> list[Contender]:
    """RLX. For "minilm" twice: compiled for the very shape, and compiled once for all shapes."""
    builder = f"benchmarks.peers.rlx_cpu:{workload}"
    if workload == "kernel":
        return [Contender("rlx", builder)]
    return [Contender("rlx-specialized", builder, {"specialize": True}), Contender("rlx-generic", builder, {"specialize": False})]

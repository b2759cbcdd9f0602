"""torch.compile (Inductor) for static shapes; the max-autotune modes also freeze the weights, so that it may pack them."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import kernel_cases
from benchmarks.peers import torch_eager
from benchmarks.worker import Prepared


def compiled(module: Any, mode: str) -> Any:
    """`mode` as in torch.compile. Every case gets a compiled function of its own."""
    import torch
    import torch._inductor.config

    torch._inductor.config.freezing = mode != "default"
    torch._dynamo.reset()
    return torch.compile(module, mode=mode, dynamic=False, fullgraph=True)


def minilm(inputs: dict[str, np.ndarray], threads: int, mode: str) -> Prepared:
    return torch_eager.prepare(compiled(torch_eager.module(threads), mode), inputs)


def kernel(inputs: dict[str, np.ndarray], threads: int, kernel: str, mode: str) -> Prepared:
    what = kernel_cases.find(kernel)
    return torch_eager.prepare_kernel(compiled(torch_eager.kernel_module(threads, what, inputs), mode), what, inputs)

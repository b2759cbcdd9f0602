"""torch.compile (Inductor) for static shapes, weights frozen, so that it may pack them."""

from __future__ import annotations

import numpy as np

from benchmarks.peers import torch_eager
from benchmarks.worker import Prepared


def minilm(inputs: dict[str, np.ndarray], threads: int, mode: str) -> Prepared:
    """`mode` as in torch.compile. Every case gets a compiled function of its own."""
    import torch
    import torch._inductor.config

    torch._inductor.config.freezing = mode != "default"
    torch._dynamo.reset()
    return torch_eager.prepare(torch.compile(torch_eager.module(threads), mode=mode, dynamic=False, fullgraph=True), inputs)

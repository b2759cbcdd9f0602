"""Whole models on one GPU, RLX beside torch: python -m benchmarks.gpu.run_models [--only minilm_b1,…] [--rounds 8]"""

from __future__ import annotations

import argparse
import time
from typing import Any

import rlx
from benchmarks.gpu import models
from benchmarks.gpu.timing import Contender, measure

CASES = ("minilm_b1", "minilm_b64", "prefill_2048", "decode_2048")


def graphed(torch: Any, call: Any) -> Any:
    """A call recorded whole, and its replay."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def torch_contenders(torch: Any, function: Any, *given: Any) -> list[Contender]:
    compiled = torch.compile(function, dynamic=False)
    replay = graphed(torch, lambda: compiled(*given))
    return [
        Contender("torch eager", lambda i: function(*given)),
        Contender("torch.compile", lambda i: compiled(*given)),
        Contender("torch.compile, CUDA graph", lambda i: replay()),
    ]


def minilm(torch: Any, batch: int) -> tuple[list[Contender], float, float]:
    model = rlx.models.bert(models.MINILM, name="minilm", dtype="f16")
    w = models.weights(torch, model)
    ids = torch.randint(0, 30522, (batch, 128), device="cuda")
    mask = torch.ones_like(ids)
    executable = rlx.compile(model, target="cuda", dims={"B": batch, "S": 128}).bind({k: v.cpu().numpy() for k, v in w.items()})
    wide = {k: v.double() for k, v in w.items()}
    found = torch.from_dlpack(executable(ids, mask)).double()
    wanted = models.minilm_torch(wide, ids, mask)
    error = float(torch.linalg.vector_norm(found - wanted) / torch.linalg.vector_norm(wanted))
    out = torch.empty((batch, 128, 384), dtype=torch.float16, device="cuda")
    stream = torch.cuda.current_stream().cuda_stream
    replayed = executable.with_graphs()
    ours = [
        Contender("rlx", lambda i: executable.submit(ids, mask, out=out, stream=stream)),
        Contender("rlx, graphs", lambda i: replayed.submit(ids, mask, out=out, stream=stream)),
    ]
    return [*ours, *torch_contenders(torch, models.minilm_torch, w, ids, mask)], error, models.minilm_flops(batch, 128)


def llama(torch: Any, tokens: int, past: int) -> tuple[list[Contender], float, float]:
    model = rlx.models.llama(models.LLAMA, name="llama", dtype="bf16")
    w = models.weights(torch, model)
    ids = torch.randint(0, 1024, (1, tokens), device="cuda")
    executable = rlx.compile(model, target="cuda", dims={"B": 1, "S": tokens})
    executable = executable.bind({k: bf16(v) for k, v in w.items()})
    caches = [tuple(torch.randn((1, 8, 4096, 128), device="cuda").bfloat16() for _ in range(2)) for _ in range(2)]
    state = executable.new_state(B=1)
    for layer, pair in enumerate(caches):
        for name, value in zip("kv", pair, strict=True):
            torch.from_dlpack(state[f"{name}{layer}"]).copy_(value)
    found = torch.from_dlpack(executable(ids, P=past, state=state)).double()
    wide = {k: v.double() for k, v in w.items()}
    wanted = models.llama_torch(wide, ids, [tuple(c.double() for c in pair) for pair in caches], past)
    error = float(torch.linalg.vector_norm(found - wanted) / torch.linalg.vector_norm(wanted))
    out = torch.empty((1, tokens, 1024), dtype=torch.bfloat16, device="cuda")
    stream = torch.cuda.current_stream().cuda_stream
    replayed = executable.with_graphs()
    ours = [
        Contender("rlx", lambda i: executable.submit(ids, P=past, state=state, out=out, stream=stream)),
        Contender("rlx, graphs", lambda i: replayed.submit(ids, P=past, state=state, out=out, stream=stream)),
    ]
    return [*ours, *torch_contenders(torch, models.llama_torch, w, ids, caches, past)], error, models.llama_flops(tokens, past)


def bf16(value: Any) -> Any:
    """A NumPy array of a bf16 tensor."""
    import ml_dtypes
    import torch  # pyright: ignore[reportMissingImports]

    return value.view(torch.int16).cpu().numpy().view(ml_dtypes.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu.run_models")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--burst", type=float, default=20000.0)
    args = parser.parse_args()
    import torch  # pyright: ignore[reportMissingImports]

    torch.cuda.set_stream(torch.cuda.Stream())  # the default stream records no graphs
    for name in args.only.split(","):
        kind, size = name.split("_")
        start = time.perf_counter()
        try:
            if kind == "minilm":
                contenders, error, flops = minilm(torch, int(size[1:]))
            else:
                contenders, error, flops = llama(torch, *((int(size), 0) if kind == "prefill" else (1, int(size))))
        except rlx.Error as problem:
            print(f"## {name}: {problem}", flush=True)
            continue
        print(f"## {name}: error {error:.2e}, {flops / 1e9:.1f} GFLOP, set up in {time.perf_counter() - start:.1f} s")
        timed = measure(torch, contenders, 1, args.rounds, args.burst)
        best = min(t.median for t in timed if not t.name.startswith("rlx"))
        for t in timed:
            print(f"{t.name:28} {t.median:10.1f} us   best peer x{t.median / best:6.2f}", flush=True)


if __name__ == "__main__":
    main()

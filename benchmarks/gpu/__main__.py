"""RLX beside torch and JAX on one GPU, floors measured in the same run.

python -m benchmarks.gpu [--only chain,softmax,…] [--rounds 12] [--burst 20000] [--without jax,compile] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from typing import Any

import rlx
from benchmarks.gpu.cases import CASES, Case
from benchmarks.gpu.timing import Contender, Timed, measure

L2_BYTES = 60 << 20
"""Inputs are copied until together they are several times this, so that no call finds them in the cache."""


def arrays(torch: Any, case: Case) -> list[list[Any]]:
    """Copies of fresh random inputs."""
    kinds = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
    nbytes = sum(torch.Size(shape).numel() * kinds[dtype].itemsize for dtype, shape in case.shapes)
    copies = max(1, min(16, -(-4 * L2_BYTES // nbytes)))

    def one(dtype: str, shape: tuple[int, ...]) -> Any:
        return (torch.randn(shape, device="cuda") * case.scale).to(kinds[dtype])

    return [[one(dtype, shape) for dtype, shape in case.shapes] for _ in range(copies)]


def ours(torch: Any, case: Case, inputs: list[list[Any]]) -> tuple[Any, list[Contender], dict[str, float]]:
    """An ordinary call, and the contenders: calls as they are and as graphs, into outputs that stay."""
    start = time.perf_counter()
    executable = rlx.compile(case.model(), target="cuda", options=rlx.Options(**case.options))
    seconds = time.perf_counter() - start
    replayed = executable.with_graphs()
    stream = torch.cuda.current_stream().cuda_stream
    outs = [[torch.from_dlpack(array) for array in _listed(executable(*given))] for given in inputs]

    def submit(made: Any) -> Any:
        return lambda i: made.submit(*inputs[i], out=outs[i], stream=stream)

    contenders = [Contender("rlx", submit(executable)), Contender("rlx, graphs", submit(replayed))]
    return lambda i: executable(*inputs[i]), contenders, {"compile_s": seconds}


def _listed(results: Any) -> list[Any]:
    return list(results) if isinstance(results, tuple) else [results]


def peers(torch: Any, case: Case, inputs: list[list[Any]], without: set[str]) -> list[Contender]:
    torch.backends.cuda.matmul.allow_tf32 = case.options.get("precision") == "tf32"
    found: list[Contender] = []
    if "eager" not in without:
        found.append(Contender("torch eager", lambda i: case.torch_code(*inputs[i])))
    if "compile" not in without:
        compiled = torch.compile(case.torch_code, dynamic=False)
        found.append(Contender("torch.compile", lambda i: compiled(*inputs[i])))
        found.append(Contender("torch.compile, CUDA graph", captured(torch, compiled, inputs)))
    if "jax" not in without and case.jax_code is not None:
        found.append(with_jax(case, inputs))
    return found


def captured(torch: Any, compiled: Any, inputs: list[list[Any]]) -> Any:
    """The compiled function recorded whole, one graph for each copy of the inputs."""
    side = torch.cuda.Stream()
    graphs: list[Any] = []
    for given in inputs:
        with torch.cuda.stream(side):
            for _ in range(3):
                compiled(*given)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            compiled(*given)
        graphs.append(graph)
    return lambda i: graphs[i].replay()


def with_jax(case: Case, inputs: list[list[Any]]) -> Contender:
    """JAX on the same memory; it has a stream of its own."""
    import jax  # pyright: ignore[reportMissingImports]

    if case.unit == "f32":
        jax.config.update("jax_default_matmul_precision", "highest")
    elif case.unit == "tf32":
        jax.config.update("jax_default_matmul_precision", "tensorfloat32")
    compiled = jax.jit(case.jax_code)
    given = [[jax.dlpack.from_dlpack(array) for array in one] for one in inputs]
    return Contender("JAX", lambda i: compiled(*given[i]), jax.block_until_ready)


def error(torch: Any, case: Case, inputs: list[list[Any]], call: Any) -> float:
    """‖ours - reference‖ / ‖reference‖, the reference in float64 (in float32 where float64 would not fit)."""
    found = _listed(call(0))
    wide = torch.float64 if case.flops < 1e11 and case.bytes_ < 1e9 else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = False
    wanted = case.torch_code(*(array.to(wide) for array in inputs[0]))
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    worst = 0.0
    for ours_, theirs in zip(found, wanted, strict=True):
        got = torch.from_dlpack(ours_).to(wide)
        worst = max(worst, float(torch.linalg.vector_norm(got - theirs) / torch.linalg.vector_norm(theirs)))
    return worst


def floors(torch: Any) -> dict[str, float]:
    """Bytes per second of a copy (read and written) and operations per second of large matrix products."""
    source = torch.randn(1 << 29, device="cuda")
    target = torch.empty_like(source)
    found = {"copy": 2 * source.numel() * 4 / (_best(torch, partial(target.copy_, source)) * 1e-6)}
    for unit, dtype in (("bf16", torch.bfloat16), ("tf32", torch.float32), ("f32", torch.float32)):
        torch.backends.cuda.matmul.allow_tf32 = unit == "tf32"
        a, b = (torch.randn(8192, 8192, device="cuda").to(dtype) for _ in range(2))
        found[unit] = 2 * 8192**3 / (_best(torch, partial(torch.matmul, a, b)) * 1e-6)
    return found


def _best(torch: Any, call: Any) -> float:
    return min(measure(torch, [Contender("", lambda i: call())], 1, 5, 20000)[0].rounds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu")
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--without", default="", help="peers to leave out: eager, compile, jax")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--burst", type=float, default=20000.0, help="microseconds of a burst")
    parser.add_argument("--json")
    args = parser.parse_args()
    import torch  # pyright: ignore[reportMissingImports]

    torch.cuda.set_stream(torch.cuda.Stream())  # the default stream records no graphs
    rates = floors(torch)
    about = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, rlx {rlx.__version__}"
    print(f"# {about}\n\ncopy {rates['copy'] / 1e12:.2f} TB/s; products, TFLOP/s: "
          + ", ".join(f"{u} {rates[u] / 1e12:.1f}" for u in ("bf16", "tf32", "f32")) + "\n")  # fmt: skip
    report: dict[str, Any] = {"about": about, "rates": rates, "cases": {}}
    for name in args.only.split(","):
        case = CASES[name]()
        floor = max(case.bytes_ / rates["copy"], case.flops / rates[case.unit] if case.unit else 0.0) * 1e6
        inputs = arrays(torch, case)
        record: dict[str, Any] = {"floor_us": floor}
        calls: list[Contender] = []
        try:
            call, contenders, extra = ours(torch, case, inputs)
            record |= extra | {"error": error(torch, case, inputs, call), "tolerance": case.tolerance}
            calls += contenders
        except rlx.Error as problem:
            record["problem"] = str(problem)
        calls += peers(torch, case, inputs, set(args.without.split(",")))
        timed = measure(torch, calls, len(inputs), args.rounds, args.burst)
        record["us"] = {t.name: t.rounds for t in timed}
        report["cases"][name] = record
        print(table(name, floor, record, timed), flush=True)
        del inputs, calls
        torch.cuda.empty_cache()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(report, file)
    sys.exit(0)


def table(name: str, floor: float, record: dict[str, Any], timed: list[Timed]) -> str:
    best = min((t.median for t in timed if not t.name.startswith("rlx")), default=float("nan"))
    lines = [f"## {name}: floor {floor:.1f} us"]
    if "problem" in record:
        lines.append(f"rlx: {record['problem']}")
    if "error" in record:
        verdict = "ok" if record["error"] <= record["tolerance"] else "WRONG"
        lines.append(f"rlx: error {record['error']:.2e} ({verdict}), compiled in {record['compile_s']:.2f} s")
    for t in timed:
        lines.append(f"{t.name:28} {t.median:10.1f} us   floor x{t.median / floor:6.2f}   best peer x{t.median / best:6.2f}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

"""Time a model or a package on random inputs.

    rlx bench ffn.mlir --dim B=1 --dim S=128
    rlx bench ffn.rlxpkg --dim B=8 --dim S=128 --seconds 5 --json

Inputs hold no zeros. Integer inputs lie in [1, --int-max]; the default, 1, is in range for tokens and masks alike. Weights are
random unless the package has some or `--weights` names a file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rlx.cli.arguments import add_compile_flags, add_dims, add_model, human_bytes, integers, is_package, open_executable
from rlx.cli.common import OK, UsageError

if TYPE_CHECKING:
    from rlx_runtime import Executable

_LEAST_CALLS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_dims(parser, "the value of a symbolic dim; every dim of the model needs one")
    parser.add_argument("--specialize", action="store_true", help="compile for these dims (a model only)")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="T", help="how long to call (default: 1)")
    parser.add_argument("--weights", metavar="FILE", help="a safetensors file with the parameters")
    parser.add_argument("--int-max", type=int, default=1, metavar="N", help="the greatest integer in inputs (default: 1)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the random values (default: 0)")
    add_compile_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Measure. Errors as in `rlx.compile`, `rlx.load`, `Executable.bind` and its calls."""
    dims = integers(args.dim, "--dim")
    if args.int_max < 1:
        raise UsageError(f"--int-max is {args.int_max}: it is 1 or more")
    if args.specialize and is_package(args.model):
        raise UsageError("--specialize has no effect on a package, which is compiled already", hint="give the model's .mlir")
    start = time.perf_counter()
    executable = open_executable(args, dims if args.specialize else {})
    compiled = time.perf_counter()

    import numpy as np

    from rlx.cli.arrays import random_inputs, random_weights
    from rlx.cli.costs import check_dims, costs_of

    check_dims(executable.manifest, dims)
    values = {**executable.fixed_dims, **dims}
    for dim in executable.dims:
        if dim.name not in values:
            raise UsageError(f"dim {dim.name} has no value", hint=f"say --dim {dim.name}=N with N in [{dim.min}, {dim.max}]")
    rng = np.random.default_rng(args.seed)
    if args.weights or not executable.is_bound:
        executable = executable.bind(args.weights or random_weights(executable, rng))
    bound = time.perf_counter()
    call = _call(executable, values, random_inputs(executable, values, rng, args.int_max))
    call()
    first = time.perf_counter()
    times = _measure(call, args.seconds)
    report: dict[str, Any] = {
        "model": args.model,
        "target": executable.target,
        "dims": values,
        "threads": executable.call_threads(values),
        "calls": len(times),
        "seconds": {"median": statistics.median(times), "best": min(times), "mean": statistics.fmean(times), "worst": max(times)},
        "setup": {"compile": compiled - start, "bind": bound - compiled, "first_call": first - bound},
        "cost": costs_of(executable.manifest, values),
    }
    if report["cost"]:
        report["rates"] = _rates(report["cost"], report["seconds"]["median"])
    print(json.dumps(report, indent=2) if args.json else _as_text(report))
    return OK


def _call(executable: Executable, values: Mapping[str, int], inputs: Mapping[str, Any]) -> Callable[[], Any]:
    """The call that is timed: positional, so that it can take the runtime's fast path."""
    arrays = [inputs[spec.name] for spec in executable.inputs]
    scalars: dict[str, Any] = {name: values[name] for name in executable.dim_inputs if name not in executable.fixed_dims}
    if executable.states:
        scalars["state"] = executable.new_state(**values)
    return lambda: executable(*arrays, **scalars)


def _measure(call: Callable[[], Any], seconds: float) -> list[float]:
    """Times of single calls, at least five, after as long a warm-up as a tenth of `seconds`."""
    end = time.perf_counter() + seconds / 10
    while time.perf_counter() < end:
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _LEAST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _rates(cost: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """What the median call achieves: flop/s and byte/s, and their ratio to a matrix product and a copy of NumPy on this machine.

    `of_bound` is the time that these two allow (the greater of flops / peak and bytes / bandwidth) over the median time.
    """
    peak, bandwidth = _machine()
    flops, moved = cost["flops"] / seconds, cost["bytes"] / seconds
    bound = max(cost["flops"] / peak, cost["bytes"] / bandwidth)
    return {
        "flops_per_second": flops,
        "bytes_per_second": moved,
        "flops_per_byte": cost["flops"] / max(cost["bytes"], 1),
        "numpy_matmul_flops_per_second": peak,
        "numpy_copy_bytes_per_second": bandwidth,
        "of_bound": bound / seconds,
    }


def _machine() -> tuple[float, float]:
    """The best of a few 768 x 768 matrix products, in flop/s, and of copies of 64 MiB, in byte/s (read and written)."""
    import numpy as np

    n, size = 768, 16 << 20
    a, b = np.full((n, n), 0.5, np.float32), np.full((n, n), 0.25, np.float32)
    source, target = np.ones(size, np.float32), np.ones(size, np.float32)
    product = min(_timed(lambda: a @ b) for _ in range(5))
    copy = min(_timed(lambda: np.copyto(target, source)) for _ in range(3))
    return 2 * n**3 / product, 2 * source.nbytes / copy


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _as_text(report: Mapping[str, Any]) -> str:
    times, setup = report["seconds"], report["setup"]
    dims = " ".join(f"{name}={value}" for name, value in report["dims"].items())
    lines = [
        f"{report['model']} on target {report['target']}, {report['threads']} threads{', ' if dims else ''}{dims}",
        f"  median {_time(times['median'])}, best {_time(times['best'])}, mean {_time(times['mean'])},"
        f" worst {_time(times['worst'])} of {report['calls']} calls",
        f"  compile {_time(setup['compile'])}, bind {_time(setup['bind'])}, first call {_time(setup['first_call'])}",
    ]
    if cost := report["cost"]:
        rates = report["rates"]
        lines += [
            f"  {cost['flops'] / 1e6:.2f} Mflop and {human_bytes(cost['bytes'])} moved in {cost['launches']} kernels",
            f"  {rates['flops_per_second'] / 1e9:.1f} Gflop/s, {rates['bytes_per_second'] / 1e9:.1f} GB/s",
            f"  NumPy's matmul here: {rates['numpy_matmul_flops_per_second'] / 1e9:.1f} Gflop/s,"
            f" a copy: {rates['numpy_copy_bytes_per_second'] / 1e9:.1f} GB/s",
            f"  {rates['of_bound']:.0%} of what these two allow",
        ]
    return "\n".join(lines)


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"

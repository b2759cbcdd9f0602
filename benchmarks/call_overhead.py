"""What a call costs: a model of one input and one output of 16 floats, `y = 2 x + 1`, with NumPy as the yardstick.

    python -m benchmarks.call_overhead [--rounds 15] [--json FILE]

All variants run in this process, interleaved. A figure is the time of a loop of calls divided by their number; the loop itself
(some 10 ns a turn) is printed as a variant of its own and not subtracted.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from itertools import repeat
from statistics import median
from typing import Any

import numpy as np

from benchmarks import machine, native, report

CALLS = 20_000


def variants() -> dict[str, Callable[[int], None]]:
    """Loops of `n` calls by name. Raises what RLX raises, and AssertionError if a result is wrong."""
    import rlx

    x = np.random.default_rng(0).uniform(1, 2, 16).astype(np.float32)
    y = np.full(16, np.nan, np.float32)
    two, one = np.float32(2), np.float32(1)
    builder = rlx.ModelBuilder("tiny")
    value = builder.input("x", (16,), "f32")
    builder.output("y", value * 2.0 + 1.0)
    executable = rlx.compile(builder.build(), target="cpu")
    executable(x, out=y)
    np.testing.assert_allclose(y, 2 * x.astype(np.float64) + 1, rtol=1e-6)
    named_in, named_out = {"x": x}, {"y": y}

    def loop_only(n: int) -> None:
        for _ in repeat(None, n):
            pass

    def call_out(n: int) -> None:
        for _ in repeat(None, n):
            executable(x, out=y)

    def call_new(n: int) -> None:
        for _ in repeat(None, n):
            executable(x)

    def run_named(n: int) -> None:
        for _ in repeat(None, n):
            executable.run(named_in, out=named_out)

    def numpy_out(n: int) -> None:
        multiply, add = np.multiply, np.add
        for _ in repeat(None, n):
            multiply(x, two, out=y)
            add(y, one, out=y)

    def numpy_new(n: int) -> None:
        for _ in repeat(None, n):
            x * two + one

    return {
        "empty loop": loop_only,
        "rlx: exe(x, out=y)": call_out,
        "rlx: exe(x)": call_new,
        "rlx: exe.run({…}, out={…})": run_named,
        "numpy: multiply, add, out=": numpy_out,
        "numpy: x * 2 + 1": numpy_new,
    }


def measure(loops: dict[str, Callable[[int], None]], cpus: list[int], rounds: int) -> list[dict[str, Any]]:
    """One record for each loop and round: ns a call, CPUs used by others meanwhile, barrier latency before."""
    team, records = native.Team(cpus), []
    for number in range(rounds):
        barrier = team.barrier_ns()
        for name, loop in loops.items():
            loop(CALLS // 10)
            busy, own, start = machine.busy_seconds(cpus), time.process_time(), time.perf_counter_ns()
            loop(CALLS)
            ns = time.perf_counter_ns() - start
            others = (machine.busy_seconds(cpus) - busy - (time.process_time() - own)) / (ns / 1e9)
            records.append(
                {"variant": name, "round": number, "ns": ns / CALLS, "others": max(0.0, others), "barrier_ns": barrier}
            )
    return records


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.call_overhead", description="Cost of a call of a tiny model.")
    report.add_common_arguments(parser)
    parser.add_argument("--rounds", type=int, default=15, help="default 15")
    args = parser.parse_args()
    cpus = report.cpus_of(args)
    os.sched_setaffinity(0, cpus)
    os.environ.setdefault("RLX_NUM_THREADS", str(args.threads))
    records = measure(variants(), cpus, args.rounds)
    about = machine.description(cpus)
    barriers = [record["barrier_ns"] for record in records]
    print(f"# Cost of a call, 16 floats in, 16 out, on CPUs {cpus} of {about['cpu']}\n")
    print(f"Barrier of the CPUs: {min(barriers):.0f} to {max(barriers):.0f} ns.\n")
    rows = []
    for name in dict.fromkeys(record["variant"] for record in records):
        ns = [record["ns"] for record in records if record["variant"] == name]
        rows.append([name, f"{median(ns):.0f}", f"{min(ns):.0f}", f"{max(ns):.0f}"])
    print(report.table(["variant", "median ns", "best ns", "worst ns"], rows))
    report.write_json(args.json, {"machine": about, "calls": CALLS, "records": records})


if __name__ == "__main__":
    main()

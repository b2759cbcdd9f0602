"""MiniLM-L6 against the peers.

python -m benchmarks.minilm [--shapes b1s128,b8s128] [--only NAME,…] [--rounds 5] [--seconds 0.5] [--json FILE]
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import asdict
from functools import partial

from benchmarks import compare, floors, harness, machine, minilm_model, native, peers, report

SHAPES = "b1s128,b8s128"


def case(shape: str) -> harness.Case:
    """`b8s128` is batch 8, sequence 128."""
    match = re.fullmatch(r"b(\d+)s(\d+)", shape)
    if match is None:
        raise SystemExit(f"{shape!r} is not a shape: write b8s128 for batch 8, sequence 128")
    given = minilm_model.inputs(int(match[1]), int(match[2]))
    return harness.Case(shape, given, minilm_model.reference(given), minilm_model.TOLERANCE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.minilm", description="MiniLM-L6 f32 latency, RLX and peers, interleaved.")
    report.add_common_arguments(parser)
    parser.add_argument("--shapes", default=SHAPES, help=f"default {SHAPES}")
    parser.add_argument("--only", help="contenders, separated by commas (default: all)")
    report.add_effort_arguments(parser)
    args = parser.parse_args()
    cpus, effort = report.cpus_of(args), report.effort_of(args)
    contenders = report.select([*peers.ours("minilm"), *peers.peers("minilm")], args.only)
    cases = [case(shape) for shape in args.shapes.split(",")]
    team, peaks = native.Team(cpus), []
    results = harness.measure(
        contenders, cases, cpus, effort,
        between=lambda: peaks.append(floors.peak_gflops(team)),
        say=partial(print, file=sys.stderr, flush=True),
    )  # fmt: skip
    peak = max(peaks)
    flops = {c.name: minilm_model.flops(*c.inputs["input_ids"].shape) for c in cases}
    floors_ns = {name: count / peak for name, count in flops.items()}
    ours = [c.name for c in contenders if c in peers.ours("minilm")]
    about = machine.description(cpus)
    print(f"# MiniLM-L6 f32, {args.threads} threads on CPUs {cpus} of {about['cpu']}\n")
    print(f"FMA peak measured in this run: {peak:.1f} GFLOP/s. floor = FLOPs of the matrix products / peak, FLOPs =")
    print("layers (2 B S (4 H² + 2 H F) + 4 B S² H): " + ", ".join(f"{k} {v / 1e9:.3f} GFLOP" for k, v in flops.items()) + ".\n")
    print(f"{compare.versions(results)}.\n")
    print(compare.tables(results, lambda name, placement: floors_ns[name], ours))
    print("\n## Start (seconds: import and build / first call)\n")
    print(compare.start_table(results))
    report.write_json(
        args.json,
        {"machine": about, "effort": asdict(effort), "peak_gflops": peaks, "flops": flops, "results": results.to_json()},
    )


if __name__ == "__main__":
    main()

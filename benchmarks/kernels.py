"""Single kernels against the peers and the floors of the machine.

python -m benchmarks.kernels [--kernels softmax,matmul] [--only NAME,…] [--rounds 5] [--seconds 0.5] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from functools import partial

import numpy as np

from benchmarks import compare, floors, harness, kernel_cases, machine, native, peers, report


def case(kernel: kernel_cases.Kernel) -> tuple[harness.Case, int]:
    """The case and its compulsory bytes."""
    operands = kernel.operands()
    expected = kernel.reference({name: array.astype(np.float64) for name, array in operands.items()})
    made = harness.Case(kernel.name, operands, {"out": expected}, kernel_cases.TOLERANCE, {"kernel": kernel.name})
    return made, kernel_cases.bytes_of(operands, expected)


class Yardsticks:
    """Peak, and read and copy rates at the size of every case, measured before every round."""

    def __init__(self, cpus: list[int], flops: dict[str, int], sizes: dict[str, int], far_ns: float) -> None:
        self.team, self.flops, self.sizes, self.far_ns = native.Team(cpus), flops, sizes, far_ns
        self.peaks: list[float] = []
        self.rates: dict[int, list[tuple[str, floors.Rate]]] = {size: [] for size in sizes.values()}

    def measure(self) -> None:
        self.peaks.append(floors.peak_gflops(self.team))
        for size, rates in self.rates.items():
            for kind in ("read", "copy"):
                rates.append((kind, floors.bandwidth(self.team, size, kind, seconds=0.02, repeats=5)))

    def memory_ns(self, name: str, kind: str, placement: str) -> float:
        """Time to read, or to copy, as many bytes as the case moves, at the best rate seen in that placement.

        Falls back to all placements if the loops met none of that kind.
        """
        rates = [rate for other, rate in self.rates[self.sizes[name]] if other == kind]
        same = [rate for rate in rates if ("far" if rate.barrier_ns > self.far_ns else "near") == placement]
        return self.sizes[name] / max(rate.median_gb_s for rate in same or rates)

    def floor_ns(self, name: str, placement: str) -> float:
        return max(self.flops[name] / max(self.peaks), self.memory_ns(name, "read", placement))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.kernels", description="Single kernels, RLX and peers, interleaved.")
    report.add_common_arguments(parser)
    parser.add_argument("--kernels", help="those whose names start with one of these, separated by commas (default: all)")
    parser.add_argument("--only", help="contenders, separated by commas (default: all)")
    report.add_effort_arguments(parser)
    args = parser.parse_args()
    cpus, effort = report.cpus_of(args), report.effort_of(args)
    wanted = tuple(args.kernels.split(",")) if args.kernels else ("",)
    chosen = [kernel for kernel in kernel_cases.KERNELS if kernel.name.startswith(wanted)]
    if not chosen:
        raise SystemExit("no such kernel; there are " + ", ".join(kernel.name for kernel in kernel_cases.KERNELS))
    contenders = report.select([*peers.ours("kernel"), *peers.peers("kernel")], args.only)
    made = [case(kernel) for kernel in chosen]
    sizes = {c.name: size for c, size in made}
    yardsticks = Yardsticks(cpus, {kernel.name: kernel.flops for kernel in chosen}, sizes, effort.far_ns)
    results = harness.measure(
        contenders, [c for c, _ in made], cpus, effort, yardsticks.measure, partial(print, file=sys.stderr, flush=True)
    )
    about = machine.description(cpus)
    print(f"# Kernels, f32, {args.threads} threads on CPUs {cpus} of {about['cpu']}\n")
    print(f"FMA peak measured in this run: {max(yardsticks.peaks):.1f} GFLOP/s. floor = the larger of FLOPs / peak and the")
    print("time in which a plain loop reads as many bytes as the kernel reads and writes; copy = to copy as many, in + out.\n")
    print(f"{compare.versions(results)}.\n")
    ours = [c.name for c in contenders if c in peers.ours("kernel")]
    copy = partial(yardsticks.memory_ns, kind="copy")
    print(compare.tables(results, yardsticks.floor_ns, ours, {"÷ copy": lambda name, placement: copy(name, placement=placement)}))
    report.write_json(
        args.json,
        {"machine": about, "effort": asdict(effort), "peak_gflops": yardsticks.peaks, "bytes": sizes, "flops": yardsticks.flops,
         "rates": {size: [(kind, asdict(rate)) for kind, rate in rates] for size, rates in yardsticks.rates.items()},
         "results": results.to_json()},
    )  # fmt: skip


if __name__ == "__main__":
    main()

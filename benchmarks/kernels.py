"""Single kernels against the floors of the machine, with NumPy beside them.

python -m benchmarks.kernels [--kernels softmax,matmul] [--rounds 5] [--seconds 0.5] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from functools import partial
from statistics import median

import numpy as np

from benchmarks import compare, floors, harness, kernel_cases, machine, native, report

CONTENDERS = (
    harness.Contender("rlx", "benchmarks.kernel_cases:rlx_builder"),
    harness.Contender("numpy", "benchmarks.kernel_cases:numpy_builder"),
)


def case(kernel: kernel_cases.Kernel) -> tuple[harness.Case, int]:
    """The case and its compulsory bytes."""
    operands = kernel.operands()
    expected = kernel.reference({name: array.astype(np.float64) for name, array in operands.items()})
    made = harness.Case(kernel.name, operands, {"out": expected}, kernel.tolerance, {"kernel": kernel.name})
    return made, kernel_cases.bytes_of(operands, expected)


class Yardsticks:
    """Peak, and read and copy rates at the size of every case, measured before every round."""

    def __init__(self, cpus: list[int], flops: dict[str, int], sizes: dict[str, int], far_ns: float) -> None:
        self.team, self.flops, self.sizes, self.far_ns = native.Team(cpus), flops, sizes, far_ns
        self.peaks: list[float] = []
        self.rates: dict[str, list[tuple[str, floors.Rate]]] = {name: [] for name in sizes}

    def measure(self) -> None:
        self.peaks.append(floors.peak_gflops(self.team))
        for name, size in self.sizes.items():
            for kind in ("read", "copy"):
                self.rates[name].append((kind, floors.bandwidth(self.team, size, kind, seconds=0.02, repeats=5)))

    def memory_ns(self, name: str, kind: str, placement: str) -> float:
        """Time to read, or to copy, as many bytes as the case moves, at the best rate seen in that placement.

        Falls back to all placements if the loops met none of that kind.
        """
        same = [r for k, r in self.rates[name] if k == kind and ("far" if r.barrier_ns > self.far_ns else "near") == placement]
        chosen = same or [r for k, r in self.rates[name] if k == kind]
        return self.sizes[name] / max(rate.median_gb_s for rate in chosen)

    def floor_ns(self, name: str, placement: str) -> float:
        return max(self.flops[name] / max(self.peaks), self.memory_ns(name, "read", placement))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.kernels", description="Single kernels against the floors.")
    report.add_common_arguments(parser)
    parser.add_argument("--kernels", help="those whose names start with one of these, separated by commas (default: all)")
    parser.add_argument("--only", help="contenders, separated by commas (default: rlx,numpy)")
    report.add_effort_arguments(parser)
    args = parser.parse_args()
    cpus, effort = report.cpus_of(args), report.effort_of(args)
    wanted = tuple(args.kernels.split(",")) if args.kernels else ("",)
    chosen = [kernel for kernel in kernel_cases.KERNELS if kernel.name.startswith(wanted)]
    if not chosen:
        raise SystemExit("no such kernel; there are " + ", ".join(kernel.name for kernel in kernel_cases.KERNELS))
    made = [case(kernel) for kernel in chosen]
    sizes = {c.name: size for c, size in made}
    yardsticks = Yardsticks(cpus, {kernel.name: kernel.flops for kernel in chosen}, sizes, effort.far_ns)
    results = harness.measure(
        report.select(CONTENDERS, args.only), [c for c, _ in made], cpus, effort,
        between=yardsticks.measure, say=partial(print, file=sys.stderr, flush=True),
    )  # fmt: skip
    about = machine.description(cpus)
    print(f"# Kernels, f32, {args.threads} threads on CPUs {cpus} of {about['cpu']}\n")
    print(f"FMA peak measured in this run: {max(yardsticks.peaks):.1f} GFLOP/s. floor = the larger of FLOPs / peak and the")
    print("time in which a plain loop reads as many bytes as the kernel reads and writes; copy = to copy as many, in + out.\n")
    print(_table(results, yardsticks))
    report.write_json(
        args.json,
        {"machine": about, "effort": asdict(effort), "peak_gflops": yardsticks.peaks, "bytes": sizes, "flops": yardsticks.flops,
         "rates": {name: [(kind, asdict(rate)) for kind, rate in rates] for name, rates in yardsticks.rates.items()},
         "results": results.to_json()},
    )  # fmt: skip


def _table(results: harness.Results, yardsticks: Yardsticks) -> str:
    rows, notes = [], []
    for name in results.cases:
        for contender in results.contenders:
            own = [burst for burst in results.bursts if (burst.case, burst.contender) == (name, contender)]
            notes += [f"- {name}, {line}" for line in [compare.absence(results, name, contender, own)] if line]
            for placement in ("near", "far"):
                chosen = [burst for burst in own if burst.clean and burst.placement == placement]
                if not chosen:
                    continue
                summary = harness.summarize(chosen)
                floor, copy = yardsticks.floor_ns(name, placement), yardsticks.memory_ns(name, "copy", placement)
                error = max(results.status[name][contender]["built"]["errors"].values())
                rows.append(
                    [name, contender, placement, report.duration(summary.median), report.duration(summary.best),
                     report.duration(floor), f"{summary.median / floor:.2f}", f"{summary.median / copy:.2f}",
                     f"{summary.spread:.2f}", str(summary.bursts), f"{median(b.others for b in chosen):.2f}", f"{error:.1e}"]
                )  # fmt: skip
    head = ["kernel", "contender", "CPUs", "median", "best", "floor", "÷ floor", "÷ copy", "spread", "bursts", "others", "error"]
    return "\n\n".join([report.table(head, rows), *(["\n".join(notes)] if notes else [])])


if __name__ == "__main__":
    main()

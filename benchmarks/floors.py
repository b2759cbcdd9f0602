"""What the machine can do: peak FMA rate, read and copy rates, measured by native loops of our own.

    python -m benchmarks.floors [--threads 2] [--cpus 0,1] [--json FILE]

A floor is the least time that a workload could take here: its FLOPs at the peak rate, or its compulsory bytes at the rate of
its working-set size, whichever is more. The rates are measured in the run that uses them, never taken from a table.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks import machine, native, report

KIB, MIB = 2**10, 2**20
READ_SIZES = {"L2": 1 * MIB, "L3": 16 * MIB, "64 MiB again": 64 * MIB, "DRAM": 256 * MIB}
"""Working sets of the whole team. The names are those of a processor with 1 MiB of L2 a core and 32 MiB of L3."""


@dataclass(frozen=True)
class Rate:
    """Bytes of the working set, placement of the CPUs while measured, and the rate."""

    size: int
    barrier_ns: float
    median_gb_s: float
    best_gb_s: float


def peak_gflops(team: native.Team, seconds: float = 0.02, repeats: int = 5) -> float:
    """f32 GFLOP/s of all threads of the team, best of `repeats`: 2 FLOPs an FMA, registers only."""
    lanes, threads = native.vector_lanes(), len(team.cpus)
    operands = np.full(2 * lanes, 0.5, np.float32)  # x -> 0.5 x + 0.5 stays at 1: no overflow, no denormals
    sinks = np.zeros((threads, lanes), np.float32)
    arguments = [(operands.ctypes.data, sinks[tid].ctypes.data, 100_000) for tid in range(threads)]
    flops = 2 * native.FMA_CHAINS * lanes * 100_000 * threads
    once = min(team.run("fma", 1, arguments) for _ in range(3))
    reps = max(1, int(seconds * 1e9 / once))
    return max(flops * reps / team.run("fma", reps, arguments) for _ in range(repeats))


def bandwidth(team: native.Team, size: int, kind: str = "read", seconds: float = 0.03, repeats: int = 7) -> Rate:
    """GB/s of reading `size` bytes, or of copying with `size` bytes in and out together, each thread its own part.

    A working set that fits a cache is read again and again, so that it comes from there.
    """
    threads = len(team.cpus)
    chunk = 8 * 4 * native.vector_lanes()
    streams = 2 if kind == "copy" else 1
    part = max(chunk, size // (threads * streams) // chunk * chunk)
    buffers = [np.ones((part * streams + 64) // 4, np.float32) for _ in range(threads)]
    sinks = np.zeros((threads, 16), np.float32)
    arguments = []
    for buffer, sink in zip(buffers, sinks):
        start = native.aligned(buffer, 64)
        arguments.append((start, start + part if kind == "copy" else sink.ctypes.data, part))
    moved = part * threads * streams
    once = min(team.run(kind, 1, arguments) for _ in range(2))
    reps = max(1, int(seconds * 1e9 / once))
    before = team.barrier_ns(repeats=3)
    rates = [moved * reps / team.run(kind, reps, arguments) for _ in range(repeats)]
    return Rate(moved, before, float(np.median(rates)), max(rates))


@dataclass(frozen=True)
class Floors:
    """Rates of one run; see `measure`."""

    peak_gflops: float
    read: dict[str, Rate]
    copy: dict[str, Rate]


def measure(team: native.Team) -> Floors:
    """Peak and the rates at all of `READ_SIZES`: about five seconds."""
    return Floors(
        peak_gflops(team),
        {name: bandwidth(team, size) for name, size in READ_SIZES.items()},
        {name: bandwidth(team, size, "copy") for name, size in READ_SIZES.items()},
    )


def table(floors: Floors) -> str:
    rows = [
        [
            f"{kind}, {name} ({rate.size / MIB:.0f} MiB)",
            f"{rate.median_gb_s:.1f}",
            f"{rate.best_gb_s:.1f}",
            f"{rate.barrier_ns:.0f}",
        ]
        for kind, rates in (("read", floors.read), ("copy, in + out", floors.copy))
        for name, rate in rates.items()
    ]
    return report.table(["rate", "median GB/s", "best GB/s", "barrier ns"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.floors", description="Measure what this machine can do.")
    report.add_common_arguments(parser)
    args = parser.parse_args()
    cpus = report.cpus_of(args)
    team = native.Team(cpus)
    floors = measure(team)
    print(f"{machine.description(cpus)['cpu']}, CPUs {cpus}: {floors.peak_gflops:.1f} GFLOP/s f32 (FMA loop, all threads)\n")
    print(table(floors))
    report.write_json(args.json, {"machine": machine.description(cpus), "floors": asdict(floors)})


if __name__ == "__main__":
    main()

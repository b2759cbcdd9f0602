"""What the benchmarks share in front and at the end: arguments, tables, JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import harness, machine


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=2, help="threads of every contender (default 2)")
    parser.add_argument("--cpus", help="CPUs to pin to, as 0,1 (default: chosen, on different cores)")
    parser.add_argument("--json", type=Path, help="write all raw results to this file")


def cpus_of(args: argparse.Namespace) -> list[int]:
    """The CPUs that the arguments ask for; sets `args.threads` to their number."""
    machine.require_linux()
    cpus = [int(cpu) for cpu in args.cpus.split(",")] if args.cpus else machine.choose_cpus(args.threads)
    args.threads = len(cpus)
    return cpus


def add_effort_arguments(parser: argparse.ArgumentParser) -> None:
    effort = harness.Effort()
    parser.add_argument("--rounds", type=int, default=effort.rounds, help=f"default {effort.rounds}")
    parser.add_argument("--seconds", type=float, default=effort.seconds, help=f"length of a burst (default {effort.seconds})")
    parser.add_argument("--noise", type=float, default=effort.noise, help=f"CPUs that others may use (default {effort.noise})")
    parser.add_argument("--retries", type=int, default=effort.retries, help=f"repeats of a noisy burst ({effort.retries})")
    parser.add_argument("--far-ns", type=float, default=effort.far_ns, help=f"barrier latency of far CPUs ({effort.far_ns})")


def effort_of(args: argparse.Namespace) -> harness.Effort:
    return harness.Effort(args.rounds, args.seconds, noise=args.noise, retries=args.retries, far_ns=args.far_ns)


def select(contenders: Sequence[harness.Contender], only: str | None) -> list[harness.Contender]:
    """Those named in `only` (separated by commas), or all. SystemExit if a name is unknown."""
    names = [c.name for c in contenders]
    wanted = only.split(",") if only else names
    for name in wanted:
        if name not in names:
            raise SystemExit(f"there is no contender {name!r}; there are {', '.join(names)}")
    return [c for c in contenders if c.name in wanted]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    aligned = [
        [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        for row in (head, rule, *rows)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in aligned)


def duration(ns: float) -> str:
    """Three to four digits with a unit: 820 ns, 12.3 µs, 14.51 ms, 2.04 s."""
    for unit, size in (("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)):
        value = ns / size
        if value < 1000 or unit == "s":
            return f"{value:.0f} {unit}" if unit == "ns" else f"{value:.2f} {unit}" if value < 100 else f"{value:.1f} {unit}"
    raise AssertionError("unreachable")


def write_json(path: Path | None, results: Any) -> None:
    if path is None:
        return
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nraw results: {path}")

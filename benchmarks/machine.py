"""The machine that is measured: which CPUs, what it is called, and who else uses it.

Linux only: time used by others comes from /proc/stat.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
IDLE, IOWAIT, COUNTED = 3, 4, 8
"""Columns of a `cpu` line in /proc/stat (proc_stat(5)): idle and iowait are not use; guest (after steal) is in user already."""


def require_linux() -> None:
    if not sys.platform.startswith("linux"):
        raise SystemExit("the benchmarks read /proc/stat and pin threads: they run on Linux only")


def choose_cpus(threads: int) -> list[int]:
    """`threads` CPUs that this process may use, on different cores as far as there are enough.

    Raises SystemExit if the process may use fewer.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < threads:
        raise SystemExit(f"{threads} threads asked for, but this process may use the CPUs {allowed} only")
    first_of_core: dict[str, int] = {}
    for cpu in allowed:
        first_of_core.setdefault(_siblings(cpu), cpu)
    chosen = list(first_of_core.values())[:threads]
    chosen += [cpu for cpu in allowed if cpu not in chosen][: threads - len(chosen)]
    return chosen


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def busy_seconds(cpus: Sequence[int]) -> float:
    """Seconds that these CPUs have been in use since boot, by anyone, with time stolen by the host; steps of one clock tick."""
    wanted = {f"cpu{cpu}" for cpu in cpus}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *columns = line.split()
        if name in wanted:
            ticks += sum(int(value) for index, value in enumerate(columns[:COUNTED]) if index not in (IDLE, IOWAIT))
    return ticks / TICKS_PER_SECOND


def description(cpus: Sequence[int]) -> dict[str, Any]:
    """What a reader needs in order to judge figures: processor, kernel, C library, Python, load at the start."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "cpu": model,
        "cpus": list(cpus),
        "cpu_count": os.cpu_count(),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "load_average": list(os.getloadavg()),
    }

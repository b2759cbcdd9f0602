"""Interleaved measurement of contenders that run one at a time.

Every contender is a process of its own (`benchmarks.worker`), warm, with all its cases built, pinned to the same CPUs. All but
one are stopped (SIGSTOP) at any time, so that the threads of a waiting library cannot spin. A round gives every contender one
burst of calls for every case, in an order that rotates. The latency of a barrier between the CPUs is probed before and after
every burst: it tells the placement of the CPUs (near: they share a cache; far: they do not), and times are compared inside one
placement only. A burst during which others used the CPUs is repeated.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import native

ROOT = Path(__file__).resolve().parent.parent
BUILD_SECONDS = 900.0
"""Longest time a build may take; autotuning compilers are slow."""


@dataclass(frozen=True)
class Contender:
    """`builder` is "module:function", called as `function(inputs, threads, **options)`; it returns `worker.Prepared`."""

    name: str
    builder: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One workload: its inputs, its outputs in float64, the relative error allowed, and options for the builder."""

    name: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    tolerance: float
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Effort:
    """How long to measure. `noise` is in CPUs: 0.12 allows others 12 % of one CPU. Beyond `far_ns` a barrier counts as far."""

    rounds: int = 5
    seconds: float = 0.5
    calls: int = 5
    warm_seconds: float = 0.1
    retries: int = 3
    noise: float = 0.12
    far_ns: float = 150.0


@dataclass(frozen=True)
class Burst:
    """Calls without a pause. `placement` is near, far, or changed (between its two ends)."""

    case: str
    contender: str
    round: int
    ns: list[int]
    others: float
    barrier_ns: tuple[float, float]
    placement: str
    clean: bool

    @property
    def median(self) -> float:
        return float(median(self.ns))


@dataclass
class Results:
    """`status[case][contender]` is the worker's answer to the build; `bursts` are all that were measured, in order."""

    contenders: list[str]
    cases: list[str]
    status: dict[str, dict[str, dict[str, Any]]]
    bursts: list[Burst]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "bursts": [asdict(burst) for burst in self.bursts]}


def environment(threads: int, folder: Path) -> dict[str, str]:
    """Environment of every worker: thread counts, an allocator that keeps freed blocks, caches of compilers in `folder`.

    By default glibc returns blocks over 32 MiB to the kernel at every call; libraries that allocate their results then measure
    page faults. Keeping the blocks, in huge pages, favours the peers: it is their best configuration.
    A compiler that tunes itself keeps what it found on disk; a fresh folder keeps the findings of a busy hour out.
    """
    count = str(threads)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "RLX_NUM_THREADS": count,
        "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:glibc.malloc.hugetlb=1",
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        "RLX_CACHE_DIR": str(folder / "rlx"),
    }


class Worker:
    """A contender's process; it is stopped whenever no request is being answered. End it with `close`."""

    def __init__(self, contender: Contender, cpus: Sequence[int], log: Path) -> None:
        self.contender = contender
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", "--cpus", ",".join(map(str, cpus))],
                cwd=ROOT, env=environment(len(cpus), log.parent), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def close(self) -> None:
        self._process.kill()  # works on a stopped process too
        self._process.wait()
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()

    def ask(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Wake the process, send a request, wait for the answer, stop the process. {"failed": …} if it dies or takes too long."""
        assert self._process.stdin and self._process.stdout
        if self._process.poll() is not None:
            return {"failed": f"the process has ended with {self._process.returncode}: {self._last_line()}"}
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], timeout)
            line = self._process.stdout.readline() if ready else b""
        except BrokenPipeError:
            line = b""
        if not line:
            self._process.kill()
            code = self._process.wait()
            cause = f"ended with {code}: {self._last_line()}" if ready else f"no answer within {timeout:.0f} s"
            return {"failed": cause}
        self._process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing on standard error"


@contextmanager
def _workers(contenders: Sequence[Contender], cpus: Sequence[int]) -> Iterator[tuple[Path, list[Worker]]]:
    with tempfile.TemporaryDirectory(prefix="rlx-bench-") as folder:
        workers: list[Worker] = []
        try:
            for contender in contenders:
                workers.append(Worker(contender, cpus, Path(folder) / f"{contender.name}.log"))
            yield Path(folder), workers
        finally:
            for worker in workers:
                worker.close()


def measure(
    contenders: Sequence[Contender],
    cases: Sequence[Case],
    cpus: Sequence[int],
    effort: Effort,
    between: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda text: None,
) -> Results:
    """Build every case of every contender, check it, then measure in rounds; `between` runs before every round.

    What is missing, wrong or failing is in `status` and is not timed.
    """
    team = native.Team(cpus)
    results = Results([c.name for c in contenders], [c.name for c in cases], {case.name: {} for case in cases}, [])
    with _workers(contenders, cpus) as (folder, workers):
        for index, case in enumerate(cases):
            np.savez(folder / f"{index}.npz", **{f"in.{k}": v for k, v in case.inputs.items()},
                     **{f"out.{k}": v for k, v in case.outputs.items()})  # fmt: skip
        for worker in workers:
            for index, case in enumerate(cases):
                settings = {**worker.contender.options, **case.options}
                request = {"do": "build", "case": case.name, "builder": worker.contender.builder, "options": settings,
                           "data": str(folder / f"{index}.npz"), "tolerance": case.tolerance}  # fmt: skip
                answer = worker.ask(request, BUILD_SECONDS)
                results.status[case.name][worker.contender.name] = answer
                say(f"{worker.contender.name}, {case.name}: {explain(answer)}")
        for number in range(effort.rounds):
            between()
            turn = number % max(1, len(workers))
            for case in cases:
                for worker in workers[turn:] + workers[:turn]:
                    if "built" in results.status[case.name][worker.contender.name]:
                        _burst(results, worker, case.name, number, team, effort, say)
    return results


def _burst(
    results: Results, worker: Worker, case: str, number: int, team: native.Team, effort: Effort, say: Callable[[str], None]
) -> None:
    """One clean burst if there is one within the retries; the noisy ones are kept as well, marked."""
    request = {"do": "time", "case": case, "seconds": effort.seconds, "calls": effort.calls, "warm_seconds": effort.warm_seconds}
    name = worker.contender.name
    for _ in range(1 + effort.retries):
        before = team.barrier_ns()
        start = time.perf_counter()
        answer = worker.ask(request, 60 + 100 * effort.seconds)
        if "ns" not in answer:
            results.status[case][name] = answer
            say(f"round {number + 1}, {case}, {name}: {explain(answer)}")
            return
        after = team.barrier_ns()
        sides = {"far" if ns > effort.far_ns else "near" for ns in (before, after)}
        placement = sides.pop() if len(sides) == 1 else "changed"
        clean = answer["others"] <= effort.noise and placement != "changed"
        burst = Burst(case, name, number, answer["ns"], answer["others"], (before, after), placement, clean)
        results.bursts.append(burst)
        say(
            f"round {number + 1}, {case}, {name}: {burst.median / 1e3:.1f} µs, {placement} ({before:.0f}, {after:.0f} ns), "
            f"others {burst.others:.2f}{'' if clean else ', not clean'} [{time.perf_counter() - start:.1f} s]"
        )
        if clean:
            return


def explain(answer: Mapping[str, Any]) -> str:
    """The worker's answer to a build in words."""
    if "built" not in answer:
        return "; ".join(f"{kind.upper()}: {text}" for kind, text in answer.items())
    built = answer["built"]
    return (
        f"built in {built['build_s']:.2f} s, first call {built['first_call_s'] * 1e3:.1f} ms, "
        f"relative error {max(built['errors'].values()):.1e}"
    )


@dataclass(frozen=True)
class Summary:
    """One contender in one case and placement; times in ns.

    `median`: of the medians of the bursts. `best`: fastest call. `spread`: slowest burst's median / fastest burst's median.
    """

    median: float
    best: float
    spread: float
    bursts: int
    calls: int
    others: float
    barrier_ns: float


def summarize(bursts: Sequence[Burst]) -> Summary:
    """Of at least one burst."""
    medians = [burst.median for burst in bursts]
    return Summary(
        median(medians),
        min(min(burst.ns) for burst in bursts),
        max(medians) / min(medians),
        len(bursts),
        sum(len(burst.ns) for burst in bursts),
        max(burst.others for burst in bursts),
        median(side for burst in bursts for side in burst.barrier_ns),
    )


def paired_ratio(bursts: Sequence[Burst], contender: str, ours: str) -> float | None:
    """Median over the rounds that have clean bursts of both of time(contender) / time(ours); None if there is no such round.

    The bursts are those of one case and one placement: the two were measured within one round, seconds apart.
    """
    by_round: dict[int, dict[str, float]] = {}
    for burst in bursts:
        by_round.setdefault(burst.round, {})[burst.contender] = burst.median
    ratios = [times[contender] / times[ours] for times in by_round.values() if contender in times and ours in times]
    return median(ratios) if ratios else None

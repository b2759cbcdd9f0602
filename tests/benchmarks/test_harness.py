"""The harness works without any peer: toy contenders are built, checked, measured; what is missing or wrong is reported."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from benchmarks import compare, floors, harness, kernel_cases, native
from benchmarks.harness import Burst, Contender
from benchmarks.peers import numpy_blas, rlx_cpu

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the benchmarks read /proc/stat: Linux only")

CONTENDERS = [
    Contender("toy", "tests.benchmarks.toy:double"),
    Contender("wrong", "tests.benchmarks.toy:double", {"factor": 2.1}),
    Contender("absent", "tests.benchmarks.toy:missing"),
    Contender("dies", "tests.benchmarks.toy:dies"),
]


@pytest.fixture(scope="module")
def cpus() -> list[int]:
    """At most two: barriers between threads of one CPU would take time slices."""
    return sorted(os.sched_getaffinity(0))[:2]


@pytest.fixture(scope="module")
def results(cpus: list[int]) -> harness.Results:
    x = np.random.default_rng(0).uniform(1, 2, 37).astype(np.float32)
    case = harness.Case("double", {"x": x}, {"y": 2 * x.astype(np.float64)}, 1e-6)
    effort = harness.Effort(rounds=2, seconds=0.02, warm_seconds=0.01, retries=0, noise=100.0)
    return harness.measure(CONTENDERS, [case], cpus, effort)


def test_a_right_contender_is_measured_in_every_round(results: harness.Results) -> None:
    assert results.status["double"]["toy"]["built"]["errors"]["y"] < 1e-6
    assert [(burst.contender, burst.round) for burst in results.bursts] == [("toy", 0), ("toy", 1)]
    for burst in results.bursts:
        assert len(burst.ns) >= 5
        assert min(burst.ns) > 0
        assert min(burst.barrier_ns) > 0


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("wrong", "wrong", "relative error y 5.0e-02"),
        ("absent", "missing", "No module named 'toy'"),
        ("dies", "failed", "ended with 7"),
    ],
)
def test_what_cannot_be_measured_says_why(results: harness.Results, name: str, kind: str, text: str) -> None:
    assert text in results.status["double"][name][kind]
    table = compare.tables(results, lambda case, placement: 1000.0, ["toy"])
    assert f"- {name}: {kind.upper()}: " in table


def test_ratios_pair_the_rounds() -> None:
    def burst(name: str, number: int, ns: int) -> Burst:
        return Burst("case", name, number, [ns], 0.0, (70.0, 70.0), "near", True)

    # The machine is half as fast in round 1, and round 2 has no burst of ours: ratios stay those of one round.
    bursts = [burst("ours", 0, 10), burst("peer", 0, 15), burst("ours", 1, 20), burst("peer", 1, 30), burst("peer", 2, 999)]
    assert harness.paired_ratio(bursts, "peer", "ours") == 1.5
    assert harness.paired_ratio(bursts, "nobody", "ours") is None
    summary = harness.summarize([b for b in bursts if b.contender == "peer"])
    assert (summary.median, summary.best, summary.bursts) == (30, 15, 3)


def test_native_yardsticks(cpus: list[int]) -> None:
    team = native.Team(cpus)
    assert team.barrier_ns(repeats=1, barriers=10) > 0
    assert floors.peak_gflops(team, seconds=0.001, repeats=1) > 0.1
    for kind in ("read", "copy"):
        rate = floors.bandwidth(team, floors.MIB, kind, seconds=0.001, repeats=1)
        assert rate.best_gb_s > 0.01
        assert 0.9 * floors.MIB < rate.size <= floors.MIB


def test_copy_copies() -> None:
    source, target = (np.full(1024 + 16, value, np.float32) for value in (3, 0))
    at = native.aligned(source, 64), native.aligned(target, 64)
    native.Team([min(os.sched_getaffinity(0))]).run("copy", 1, [(*at, 4096)])
    start = (at[1] - target.ctypes.data) // 4
    assert (target[start : start + 1024] == 3).all()
    assert not target[start + 1024 :].any()


@pytest.mark.parametrize("kernel", kernel_cases.KERNELS, ids=lambda kernel: kernel.name)
def test_kernels_are_valid_models(kernel: kernel_cases.Kernel) -> None:
    assert tuple(rlx_cpu.model(kernel).params.names) == kernel.params


def test_a_kernel_runs_through_rlx_and_numpy() -> None:
    kernel = kernel_cases.find("swiglu [4,768]")
    operands = kernel.operands()
    expected = kernel.reference({name: array.astype(np.float64) for name, array in operands.items()})
    for found in (
        rlx_cpu.kernel(operands, 1, kernel.name, target="numpy").outputs()["out"],
        numpy_blas.kernel(operands, 1, kernel.name).outputs()["out"],
    ):
        assert np.max(np.abs(found - expected)) <= kernel_cases.TOLERANCE * np.max(np.abs(expected))

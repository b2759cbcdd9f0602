"""The worker team: barriers, many callers, fork, exit, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rlx_runtime import team
from rlx_runtime.arena import Frame, aligned_block
from rlx_runtime.code import Code
from rlx_runtime.errors import RuntimeFault, TargetError
from tests.runtime import programs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this process may use one CPU only")
    monkeypatch.setenv("RLX_NUM_THREADS", "2")
    team.stop_team()
    yield
    team.stop_team()


def expected_sum(rounds: int, threads: int) -> int:
    return sum(r + t for r in range(rounds) for t in range(threads))


@pytest.mark.usefixtures("two_threads")
def test_barriers_see_all_writes() -> None:
    rounds = programs.executable(programs.rounds())
    for count in (1, 2, 2000):
        np.testing.assert_array_equal(rounds(np.zeros(count, bool)), [expected_sum(count, 2), 0])
    assert team.current_team().size == 2


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_teams_of_any_size(size: int) -> None:
    """More threads than CPUs are slow but right."""
    made = programs.artifact(programs.rounds())
    code = Code(made.manifest, made.objects, {})
    own = team.Team(code.support, size)
    frame, y, arena = Frame(1, 2, size), np.full(2, -1), aligned_block(64 * size)
    frame.dims[:] = 5
    frame.buffers[:] = [0, y.ctypes.data]
    frame.prepare(64 * size)
    frame.arena[:] = arena
    for threads in range(1, size + 1):
        code.support.run(own.address, code.entries["rlx_main"], frame.call, threads)
        np.testing.assert_array_equal(y, [expected_sum(5, threads), 0])
    time.sleep(0.01)  # all parked now
    code.support.run(own.address, code.entries["rlx_main"], frame.call, size)
    np.testing.assert_array_equal(y, [expected_sum(5, size), 0])
    own.stop()


@pytest.mark.usefixtures("two_threads")
def test_many_python_threads() -> None:
    """Each caller gets its own answer, on both paths, with shapes that change and calls that meet on the team."""
    affine = programs.executable(programs.affine())
    linear_weights = programs.linear_weights()
    linear = programs.executable(programs.linear()).bind(linear_weights)
    problems: list[str] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        start.wait()
        for step in range(60):
            x = rng.standard_normal((1 + (step + number) % 20, 16)).astype(np.float32)
            out = np.full_like(x, np.nan)
            result = affine(x, out=out) if step % 3 else affine(x)
            if not np.array_equal(result, 2 * x + 1):
                problems.append(f"affine {number} {step}")
            z = x[:, :4].copy()
            if not np.allclose(linear(z), programs.linear_reference(z, linear_weights), rtol=1e-5, atol=1e-5):
                problems.append(f"linear {number} {step}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


@pytest.mark.usefixtures("two_threads")
def test_fork_in_the_middle_of_calls() -> None:
    """A child forked while other threads run calls builds its own team and answers on both paths."""
    rounds = programs.executable(programs.rounds())
    flags = np.zeros(50, bool)
    stop = threading.Event()
    expected = [expected_sum(50, 2), 0]

    def busy() -> None:
        while not stop.is_set():
            rounds(flags)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # a hang ends the child with SIGALRM
                right = all(np.array_equal(rounds(flags), expected) for _ in range(5))
                right = right and np.array_equal(rounds.submit(flags).result(), expected)
                os._exit(0 if right else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    np.testing.assert_array_equal(rounds(flags), expected)


SCRIPT = """
import sys, time, os, threading
sys.path.insert(0, {root!r})
import numpy as np
from tests.runtime import programs
exe = programs.executable(programs.rounds())
flags = np.zeros({count}, bool)
exe(flags)
{end}
"""


def run_script(end: str, count: int = 3) -> subprocess.CompletedProcess[str]:
    text = SCRIPT.format(root=str(ROOT), count=count, end=end)
    environment = {**os.environ, "RLX_NUM_THREADS": "2"}
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize(
    ("end", "code", "err"),
    [
        ("time.sleep(0.05)", 0, ""),  # the worker is parked
        ("pass", 0, ""),  # the worker still spins
        ("time.sleep(0.05); raise ValueError('boom')", 1, "ValueError: boom"),
        ("sys.exit(7)", 7, ""),
        ("os._exit(3)", 3, ""),
        ("threading.Thread(target=lambda: [exe(flags) for _ in range(10**9)], daemon=True).start(); time.sleep(0.05)", 0, ""),
        ("from rlx_runtime import team; team.stop_team(); exe(flags); team.stop_team()", 0, ""),
    ],
)
def test_the_process_ends_cleanly(end: str, code: int, err: str) -> None:
    done = run_script(end)
    assert (done.returncode, err in done.stderr, bool(err) or not done.stderr) == (code, True, True), done.stderr


def test_interrupt_arrives_after_the_call() -> None:
    end = """
flags = np.zeros(5000, bool)
threading.Timer(0.02, lambda: os.kill(os.getpid(), 2)).start()
try:
    while True: y = exe(flags)
except KeyboardInterrupt:
    assert exe(flags)[1] == 0
    print("interrupted")
"""
    done = run_script(end)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr


def test_workers_block_signals() -> None:
    end = """
masks = [line.split()[1] for task in os.listdir("/proc/self/task") for line in open(f"/proc/self/task/{task}/status")
         if line.startswith("SigBlk")]
print(sum(mask.startswith("fffffff") for mask in masks), len(masks))
"""
    done = run_script(end)
    assert done.returncode == 0, done.stderr
    blocked, tasks = map(int, done.stdout.split())
    assert blocked >= 1
    assert tasks > blocked


def test_small_schedules_start_no_team() -> None:
    end = """
from rlx_runtime import team
team.stop_team()
before = len(os.listdir("/proc/self/task"))
small = programs.executable(programs.affine())
for _ in range(3): small(np.ones((2, 16), np.float32))
assert len(os.listdir("/proc/self/task")) == before
small(np.ones((8, 16), np.float32))
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = run_script(end)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == min(2, len(os.sched_getaffinity(0))) - 1


def test_thread_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    available = len(os.sched_getaffinity(0))
    for text, expected in {"1": 1, " 2 ": min(2, available), "1000": available, "": available}.items():
        monkeypatch.setenv("RLX_NUM_THREADS", text)
        assert team.thread_limit() == expected
    for text in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("RLX_NUM_THREADS", text)
        with pytest.raises(TargetError, match="not a positive number"):
            team.thread_limit()


def test_aligned_blocks_are_zero_and_aligned() -> None:
    for nbytes, alignment in ((0, 1), (1, 64), (4096, 64), (3 << 20, 2 << 20)):
        block = aligned_block(nbytes)
        assert block.nbytes == nbytes
        assert block.ctypes.data % alignment == 0
        assert not block.any()
        block[:] = 1


@pytest.mark.usefixtures("two_threads")
def test_frames_are_not_lost() -> None:
    """Thread counts that alternate, and more executables of one code than the pool has frames."""
    affine = programs.executable(programs.affine())
    for step in range(40):
        x = np.full((4 if step % 2 else 9, 16), step, np.float32)
        np.testing.assert_array_equal(affine(x), 2 * x + 1)
    fixed = [affine.specialize(codegen=False, B=rows) for rows in range(1, 9)]
    for _ in range(2):
        for rows, executable in enumerate(fixed, 1):
            np.testing.assert_array_equal(executable(np.ones((rows, 16), np.float32)), np.full((rows, 16), 3.0))


@pytest.mark.usefixtures("two_threads")
def test_faults_do_not_lose_frames() -> None:
    gather = programs.executable(programs.gather())
    table = np.ones(10, np.float32)
    for _ in range(20):
        for arguments in ({"t": table, "idx": np.array([0, 0, 0, 10])}, {"t": table, "idx": np.array([0, 0, 0, -1])}):
            with pytest.raises(RuntimeFault):
                gather(**arguments)

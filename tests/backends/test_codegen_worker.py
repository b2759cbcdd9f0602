"""Work in other processes: results, errors, and what happens where a worker ends in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from rlx_backends.support import codegen_worker
from rlx_backends.support.codegen_worker import TaskError, WorkerDied, run


def test_a_worker_serves_one_task_after_the_other() -> None:
    assert run("operator:add", 2, 3) == 5
    first = run("os:getpid")
    assert first != os.getpid() and run("os:getpid") == first


def test_large_messages_pass() -> None:
    text = "x" * (1 << 22)
    assert run("operator:mul", text, 2) == text * 2


def test_an_exception_is_told_and_the_worker_lives_on() -> None:
    before = run("os:getpid")
    with pytest.raises(TaskError, match="ZeroDivisionError: "):
        run("operator:truediv", 1, 0)
    assert run("os:getpid") == before


def test_the_end_of_a_worker_is_an_exception_with_its_last_words() -> None:
    before = run("os:getpid")
    with pytest.raises(WorkerDied, match="ended by SIGABRT"):
        run("os:abort")
    with pytest.raises(WorkerDied, match="ended with code 7"):
        run("os:_exit", 7)
    assert run("os:getpid") != before


def test_what_a_task_prints_is_no_message() -> None:
    assert run("builtins:print", "hello") is None
    assert run("operator:add", 1, 1) == 2


def test_threads_get_workers_of_their_own() -> None:
    found: list[int] = []
    team = [threading.Thread(target=lambda: found.append(run("math:factorial", 20))) for _ in range(4)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_has_workers_of_its_own() -> None:
    here = run("os:getpid")
    child = os.fork()
    if child == 0:
        os._exit(0 if run("os:getpid") != here else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert run("os:getpid") == here


def test_a_script_needs_no_guard_and_leaves_no_worker() -> None:
    script = "from rlx_backends.support.codegen_worker import run\nprint(run('os:getpid'))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_the_pool_is_made_once() -> None:
    assert codegen_worker._pool() is codegen_worker._pool()

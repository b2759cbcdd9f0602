"""Work in other processes: what goes wrong in native code ends a worker, never this process.

A worker is a fresh interpreter, so that scripts need no guard for it; it is started when there is work, serves one task after
the other, and ends with this process. Tasks are functions of a module, named as `"package.module:function"`; arguments and
results are pickled.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from typing import IO, Any

_HEADER = struct.Struct("<Q")
_TAIL = 4000
"""Characters of a dead worker's complaint that are kept."""


class TaskError(Exception):
    """The task raised an exception; the text names it."""


class WorkerDied(Exception):
    """The worker ended in the middle of the task; the text is what it said last."""


def run(function: str, *arguments: Any) -> Any:
    """The result of a task, in a worker that has nothing else to do. TaskError or WorkerDied if there is none."""
    return _pool().run(function, arguments)


# -- this process


class _Worker:
    """One other process."""

    def __init__(self) -> None:
        self._complaints = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            start_new_session=True,  # an interrupt from the keyboard is for this process
        )

    def run(self, function: str, arguments: tuple[Any, ...]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            _write(self._process.stdin, (function, arguments))
            reply = _read(self._process.stdout)
        except BrokenPipeError:
            reply = None
        if reply is None:
            raise WorkerDied(self._last_words())
        succeeded, value = reply
        if not succeeded:
            raise TaskError(value)
        return value

    def _last_words(self) -> str:
        code = self._process.wait()
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip()[-_TAIL:]
        ended = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"{ended}: {said}" if said else ended

    def close(self) -> None:
        """End the process, which may be in the middle of something."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        self._complaints.close()


class _Pool:
    """Idle workers, and as many busy ones as there are cores."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(max(1, os.cpu_count() or 1))

    def run(self, function: str, arguments: tuple[Any, ...]) -> Any:
        with self._slots:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                worker = _Worker()
            try:
                result = worker.run(function, arguments)
            except TaskError:
                self._return(worker)
                raise
            except BaseException:
                worker.close()
                raise
            self._return(worker)
            return result

    def _return(self, worker: _Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def close(self) -> None:
        with self._lock:
            workers, self._idle = self._idle, []
        for worker in workers:
            worker.close()


_current: _Pool | None = None
_creation = threading.Lock()


def _pool() -> _Pool:
    """The pool of this process: a forked child has its own."""
    global _current
    with _creation:
        if _current is None or _current.process != os.getpid():
            _current = _Pool()
        return _current


@atexit.register
def _close() -> None:
    if _current is not None and _current.process == os.getpid():
        _current.close()


def _renew_lock() -> None:
    global _creation
    _creation = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)  # the thread that held it is not in the child


# -- messages


def _write(stream: IO[bytes], message: Any) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_HEADER.pack(len(data)) + data)
    stream.flush()


def _read(stream: IO[bytes]) -> Any:
    """The next message; None at the end."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    (size,) = _HEADER.unpack(header)
    data = stream.read(size)
    return pickle.loads(data) if len(data) == size else None


# -- the other process


def _serve() -> None:
    """Run tasks until the other side closes the pipe. What a task prints is a complaint, not a message."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (message := _read(source)) is not None:
        function, arguments = message
        module, _, name = function.partition(":")
        try:
            reply = (True, getattr(import_module(module), name)(*arguments))
        except Exception as error:  # noqa: BLE001 - the other side decides what it means
            reply = (False, f"{type(error).__name__}: {error}")
        _write(sink, reply)


if __name__ == "__main__":
    _serve()

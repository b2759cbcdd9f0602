"""Calls in the background, one after the other, on one thread of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from rlx_runtime import team

_lock = threading.Lock()
_executor: tuple[int, ThreadPoolExecutor] | None = None


def submit(call: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Future[Any]:
    """Queue `call(*args, **kwargs)`; its result or exception is the future's."""
    global _executor
    with _lock:
        if _executor is None or _executor[0] != team.generation():  # a forked child has no thread of its parent
            _executor = (team.generation(), ThreadPoolExecutor(1, "rlx-submit"))
        return _executor[1].submit(call, *args, **kwargs)

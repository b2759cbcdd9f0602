"""The folder and the command line of the tests of `rlx`, and what they expect of an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import rlx
from tests.cli.conftest import Done, Work, rlx_cli, work

__all__ = ["Cli", "check", "files", "refused", "rlx_cli", "watched", "work"]

Cli = Callable[..., Done]


@contextmanager
def refused(kind: type[rlx.Error], code: str, *parts: str) -> Iterator[None]:
    """The body raises exactly this class with this code, and a message with these parts."""
    with pytest.raises(rlx.Error) as caught:
        yield
    error = caught.value
    assert (type(error), error.code) == (kind, code), repr(error)
    for part in parts:
        assert part in str(error)


def check(done: Done, code: int, *parts: str) -> None:
    """The command failed with this exit code and said this on stderr, and nothing on stdout."""
    assert done.code == code, done.err
    assert done.out == ""
    for part in parts:
        assert part in done.err


@pytest.fixture
def watched(work: Work, rlx_cli: Cli) -> Cli:
    """The command line; a call must leave no file that was not there before it."""

    def call(*arguments: str) -> Done:
        before = files(work.folder)
        done = rlx_cli(*arguments)
        assert files(work.folder) == before
        return done

    return call


def files(folder: Path) -> set[str]:
    """Every file but those of the cache, and what is unfinished there."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if not name.startswith("cache") or name.endswith(".part") or ".rlxpkg-" in name}

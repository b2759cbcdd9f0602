"""The folder and the command line of the tests of `rlx`."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import rlx_cli, work

__all__ = ["files", "rlx_cli", "work"]


def files(folder: Path) -> set[str]:
    """Every file but those of the cache, and what is unfinished there."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if not name.startswith("cache") or name.endswith(".part") or ".rlxpkg-" in name}

"""Collects the lit files under tests/ as pytest items."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lit_runner import LitFailure, missing_features, run_file, run_lines

# What tests compile is kept in the checkout, not among what the user compiled.
os.environ.setdefault("RLX_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "rlx"))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".mlir" and "Inputs" not in file_path.parts and run_lines(file_path.read_text(encoding="utf-8")):
        return LitFile.from_parent(parent, path=file_path)
    return None


class LitFile(pytest.File):
    """An `.mlir` file with RUN lines."""

    def collect(self) -> Iterator[pytest.Item]:
        yield LitItem.from_parent(self, name="lit")


class LitItem(pytest.Item):
    """All RUN lines of one file."""

    def runtest(self) -> None:
        missing = missing_features(self.path.read_text(encoding="utf-8"))
        if missing:
            pytest.skip(f"needs {', '.join(missing)}")
        run_file(self.path)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        if isinstance(excinfo.value, LitFailure):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.nodeid

"""The runtime is tested without the compiler, whatever other tests of the process have installed."""

from __future__ import annotations

import pytest

from rlx_runtime.executable import Executable


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executable, "_codegen", None)

"""A folder with a small model, its weights and an input, and a command line that runs in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import rlx
from rlx.cli.main import main

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Work:
    """The model `y = relu(x w + c)` over x: f32[B, 13], w: f32[13, 40], as files of a folder."""

    folder: Path
    weights: dict[str, Array]
    x: Array

    @property
    def expected(self) -> Array:
        """In float64."""
        product = self.x.astype(np.float64) @ self.weights["w"] + self.weights["c"]
        return np.maximum(product, 0.0)


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def ffn() -> rlx.Model:
    B = rlx.Dim("B", 1, 64)
    b = rlx.ModelBuilder("ffn")
    x = b.input("x", (B, 13), "f32")
    w, c = b.param("w", (13, 40), "f32"), b.param("c", (40,), "f32")
    b.output("y", b.linear(x, w, c, activation="relu"))
    return b.build()




@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    rng = np.random.default_rng(7)
    weights = {"w": rng.uniform(0.1, 1, (13, 40)) * rng.choice([-1, 1], (13, 40)), "c": rng.uniform(0.1, 1, 40)}
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    x = rng.uniform(-1, -0.1, (3, 13)).astype(np.float32)
    (tmp_path / "ffn.mlir").write_text(ffn().as_text())
    save_file(weights, tmp_path / "ffn.safetensors")
    np.save(tmp_path / "x.npy", x)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLX_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("RLX_CACHE", "RLX_CACHE_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    return Work(tmp_path, weights, x)


@pytest.fixture
def rlx_cli(work: Work, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`rlx_cli("run", "ffn.mlir", …)` in the folder."""

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return Done(code, captured.out, captured.err)

    return call

"""`rlx bench`. What is tested is what it reports, not how fast anything is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rlx.cli.arrays import random_array
from tests.cli.conftest import Done

Cli = Callable[..., Done]


@pytest.mark.parametrize("target", ["numpy", "cpu"])
def test_a_model(target: str, rlx_cli: Cli) -> None:
    done = rlx_cli("bench", "ffn.mlir", "--target", target, "--dim", "B=3", "--seconds", "0.01", "--json")
    assert (done.code, done.err) == (0, "")
    report = done.json
    assert report["dims"] == {"B": 3}
    assert report["calls"] >= 5
    assert 0 < report["seconds"]["best"] <= report["seconds"]["median"] <= report["seconds"]["worst"]
    assert report["threads"] >= 1
    assert report["cost"]["flops"] == 2 * 3 * 13 * 40
    assert report["rates"]["flops_per_second"] == pytest.approx(report["cost"]["flops"] / report["seconds"]["median"])
    assert report["rates"]["of_bound"] > 0


def test_a_package(rlx_cli: Cli) -> None:
    rlx_cli("compile", "ffn.mlir", "-o", "m.rlxpkg")
    done = rlx_cli("bench", "m.rlxpkg", "--dim", "B=3", "--seconds", "0.01", "--weights", "ffn.safetensors")
    assert (done.code, done.err) == (0, "")
    assert "m.rlxpkg on target cpu" in done.out
    assert "median" in done.out
    assert "of what these two allow" in done.out


@pytest.mark.parametrize(
    ("flags", "code", "complaint"),
    [
        ([], 2, "dim B has no value"),
        (["--dim", "B=65"], 1, "B = 65 is outside [1, 64]"),
        (["--dim", "Q=1"], 1, "there is no dim 'Q'"),
        (["--dim", "B=1", "--int-max", "0"], 2, "--int-max is 0"),
    ],
)
def test_wrong_usage(flags: list[str], code: int, complaint: str, rlx_cli: Cli) -> None:
    done = rlx_cli("bench", "ffn.mlir", "--target", "numpy", "--seconds", "0.01", *flags)
    assert done.code == code
    assert complaint in done.err


@pytest.mark.parametrize("dtype", ["f32", "f64", "f16", "bf16", "f8e4m3fn", "f8e5m2", "i64", "i8", "u8", "i4", "bool"])
def test_random_values_are_not_zero(dtype: str) -> None:
    values = random_array(dtype, (7, 11), np.random.default_rng(0), 0.5, 5).astype(np.float64)
    assert (values != 0).all()
    assert (np.abs(values) <= 5).all()

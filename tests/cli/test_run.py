"""`rlx run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import rlx
from tests.cli.conftest import Done, Work

Cli = Callable[..., Done]


@pytest.mark.parametrize("target", ["numpy", "cpu"])
def test_a_model(target: str, work: Work, rlx_cli: Cli) -> None:
    done = rlx_cli("run", "ffn.mlir", "--target", target, "--weights", "ffn.safetensors", "--input", "x=x.npy", "-o", "y.npz")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("y: float32[3, 40]  min ")
    np.testing.assert_allclose(np.load("y.npz")["y"], work.expected, rtol=1e-5, atol=1e-6)


def test_a_package(work: Work, rlx_cli: Cli) -> None:
    rlx_cli("compile", "ffn.mlir", "-o", "m.rlxpkg", "--weights", "ffn.safetensors", "--packed")
    done = rlx_cli("run", "m.rlxpkg", "--input", "x=x.npy", "-o", "y.npz", "--json")
    assert done.code == 0
    (found,) = done.json["outputs"]
    assert (found["name"], found["shape"], found["dtype"]) == ("y", [3, 40], "float32")
    assert found["max"] == pytest.approx(work.expected.max(), rel=1e-5)
    np.testing.assert_allclose(np.load("y.npz")["y"], work.expected, rtol=1e-5, atol=1e-6)
    assert rlx_cli("run", "m.rlxpkg", "--dim", "B=3", "--input", "x=x.npy").code == 0
    assert rlx_cli("run", "m.rlxpkg", "--dim", "B=4", "--input", "x=x.npy").code == 1


def test_inputs_from_an_npz(work: Work, rlx_cli: Cli) -> None:
    np.savez("in.npz", x=work.x)
    done = rlx_cli("run", "ffn.mlir", "--target", "numpy", "--weights", "ffn.safetensors", "--input", "in.npz", "-o", "y.npz")
    assert done.code == 0, done.err
    np.testing.assert_allclose(np.load("y.npz")["y"], work.expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", ["numpy", "cpu"])
def test_state_and_dim_inputs(target: str, work: Work, rlx_cli: Cli) -> None:
    b = rlx.ModelBuilder("cached")
    S = rlx.Dim("S", 1, 4)
    x = b.input("x", (1, 2, S, 3), "f32")
    past = b.dim_input("P", 0, 8, runtime=True)
    b.cache_update(b.state("k", (1, 2, 16, 3), "f32"), x, at=past)
    b.output("y", b.mul(x, x))
    Path("cached.mlir").write_text(b.build().as_text())
    x = np.random.default_rng(1).uniform(0.1, 1, (1, 2, 2, 3)).astype(np.float32)
    np.save("x.npy", x)
    start = np.random.default_rng(2).uniform(0.1, 1, (1, 2, 16, 3)).astype(np.float32)
    np.save("k.npy", start)
    for flags, before in (([], np.zeros_like(start)), (["--state", "k=k.npy"], start)):
        done = rlx_cli("run", "cached.mlir", "--target", target, "--input", "x=x.npy", "--dim-input", "P=5", "-o", "o.npz", *flags)
        assert done.code == 0, done.err
        expected = before.copy()
        expected[:, :, 5:7] = x
        np.testing.assert_array_equal(np.load("o.npz")["state.k"], expected)
    # A dim that an argument carries can be fixed: the argument may then be left out.
    done = rlx_cli("run", "cached.mlir", "--target", target, "--input", "x=x.npy", "--dim", "P=5", "--dim", "S=2", "-o", "o.npz")
    assert done.code == 0, done.err
    np.testing.assert_array_equal(np.load("o.npz")["state.k"][:, :, 5:7], x)
    missing = rlx_cli("run", "cached.mlir", "--target", target, "--input", "x=x.npy")
    assert missing.code == 1
    assert "dim input 'P' is missing" in missing.err


def test_types_that_numpy_files_lack(work: Work, rlx_cli: Cli) -> None:
    b = rlx.ModelBuilder("narrow")
    b.output("y", b.add(b.input("x", (5,), "bf16"), b.input("z", (5,), "bf16")))
    Path("narrow.mlir").write_text(b.build().as_text())
    x, z = (np.random.default_rng(seed).uniform(1, 2, 5).astype(ml_dtypes.bfloat16) for seed in (1, 2))
    np.savez("in.npz", x=x, z=z)
    done = rlx_cli("run", "narrow.mlir", "--target", "numpy", "--input", "in.npz", "-o", "y.npz")
    assert done.code == 0, done.err
    found = np.load("y.npz")["y"].view(ml_dtypes.bfloat16).astype(np.float64)
    np.testing.assert_allclose(found, x.astype(np.float64) + z.astype(np.float64), rtol=2**-8)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--input", "x"], "--input x: expected NAME=FILE"),
        (["--input", "x=x.npy", "--input", "x=x.npy"], "--input x is given twice"),
        (["--dim-input", "P=two"], "--dim-input P: 'two' is not a number"),
    ],
)
def test_wrong_usage(flags: list[str], complaint: str, rlx_cli: Cli) -> None:
    done = rlx_cli("run", "ffn.mlir", "--target", "numpy", "--weights", "ffn.safetensors", *flags)
    assert done.code == 2
    assert complaint in done.err


def test_a_package_is_compiled_already(rlx_cli: Cli) -> None:
    rlx_cli("compile", "ffn.mlir", "-o", "m.rlxpkg")
    done = rlx_cli("run", "m.rlxpkg", "--numerics", "fast")
    assert done.code == 2
    assert "--numerics has no effect on a package" in done.err


@pytest.mark.parametrize("target", ["cuda", "rocm", "metal"])
def test_emulated(target: str, rlx_cli: Cli) -> None:
    b = rlx.ModelBuilder("cached")
    S = rlx.Dim("S", 1, 4)
    x = b.input("x", (1, 2, S, 3), "f32")
    past = b.dim_input("P", 0, 8, runtime=True)
    b.cache_update(b.state("k", (1, 2, 16, 3), "f32"), x, at=past)
    b.output("y", b.mul(x, x))
    Path("cached.mlir").write_text(b.build().as_text())
    given = np.random.default_rng(1).uniform(0.1, 1, (1, 2, 2, 3)).astype(np.float32)
    np.save("x.npy", given)
    assert rlx_cli("compile", "cached.mlir", "--target", target, "--emulate", "-o", "m.rlxpkg").code == 0
    done = rlx_cli("run", "m.rlxpkg", "--input", "x=x.npy", "--dim-input", "P=5", "-o", "o.npz")
    assert done.code == 0, done.err
    found = np.load("o.npz")
    np.testing.assert_array_equal(found["y"], given * given)
    np.testing.assert_array_equal(found["state.k"][:, :, 5:7], given)
    assert not found["state.k"][:, :, :5].any()
    assert rlx_cli("compile", "cached.mlir", "--target", target, "--emit", "host").code == 0

"""Executables of GPU code on the launch simulator: numbers, states, faults, packages, and what is said without a device."""

from __future__ import annotations

import ctypes.util
from pathlib import Path

import numpy as np
import pytest

import rlx
from tests.runtime.gpu.models import EMULATE, TABLE, WEIGHT, cached, floats, lookup, prepared, scaled

TARGETS = ("cuda", "rocm", "metal")


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def exe(target: str) -> rlx.Executable:
    return rlx.compile(scaled(), target, EMULATE, weights={"w": WEIGHT})


def check(found: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> None:
    """Exact: one operation in f32 each."""
    np.testing.assert_array_equal(found[0], x * WEIGHT)
    np.testing.assert_array_equal(found[1], x + WEIGHT)


@pytest.mark.parametrize("rows", [1, 3, 17, 64])
def test_host_arrays(exe: rlx.Executable, target: str, rows: int) -> None:
    assert (exe.label, exe.target) == ("emulated", target)
    x = floats(rows, 7, seed=rows)
    found = exe(x)
    assert all(type(array) is np.ndarray for array in found)
    check(found, x)
    out = {"y": np.full((rows, 7), np.nan, np.float32), "z": np.full((rows, 7), np.nan, np.float32)}
    given = exe.run({"x": np.asfortranarray(x)}, out=out)
    assert given["y"] is out["y"]
    check((out["y"], out["z"]), x)


def test_device_arrays(exe: rlx.Executable) -> None:
    x = floats(3, 7)
    on_device = exe.to_device(x)
    y, z = exe(on_device)
    assert isinstance(y, rlx.Array) and isinstance(z, rlx.Array)
    assert (y.shape, y.dtype, len(y), y.nbytes) == ((3, 7), np.float32, 3, 84)
    check((y.to_numpy(), np.asarray(z)), x)
    check((np.from_dlpack(y), np.from_dlpack(z)), x)
    again = exe(y, out=(on_device, z))
    assert again[0] is on_device
    np.testing.assert_array_equal(on_device.to_numpy(), x * WEIGHT * WEIGHT)


def test_out_of_both_kinds(exe: rlx.Executable) -> None:
    x = floats(2, 7)
    host, device = np.full((2, 7), np.nan, np.float32), exe.to_device(np.zeros((2, 7), np.float32))
    found = exe(x, out=(host, device))
    assert found[0] is host and found[1] is device
    check((host, device.to_numpy()), x)


def test_submit(exe: rlx.Executable) -> None:
    handles = [(x, exe.submit(x)) for x in (floats(3, 7, seed=seed) for seed in range(6))]
    for x, handle in reversed(handles):
        assert handle.done()
        check(handle.result(), x)
    check(tuple(array.to_numpy() for array in exe.submit(exe.to_device(handles[0][0]), stream=7).result()), handles[0][0])


def test_an_array_is_overwritten_as_a_whole(exe: rlx.Executable) -> None:
    array = exe.to_device(floats(2, 7))
    array[...] = 3
    np.testing.assert_array_equal(array.to_numpy(), np.full((2, 7), 3, np.float32))
    array[...] = WEIGHT
    np.testing.assert_array_equal(array.to_numpy(), np.broadcast_to(WEIGHT, (2, 7)))
    for key, values, error in ((0, 1.0, TypeError), (..., np.ones(2), rlx.BindError), (..., np.ones((2, 7)), rlx.BindError)):
        with pytest.raises(error):
            array[key] = values


@pytest.mark.parametrize("from_device", [False, True])
def test_states_and_runtime_dims(target: str, from_device: bool) -> None:
    exe = rlx.compile(cached(), target, EMULATE)
    state = exe.new_state()
    assert isinstance(state["k"], rlx.Array) and not state["k"].to_numpy().any()
    wanted = np.zeros((1, 2, 16, 3), np.float32)
    copies = {"k": wanted.copy()}
    for past, length in ((0, 3), (5, 1), (8, 4)):
        x = floats(1, 2, length, 3, seed=past)
        given = exe.to_device(x) if from_device else x
        np.testing.assert_array_equal(exe(given, P=past, state=state), x * x)
        exe(given, P=past, state=copies)
        wanted[:, :, past : past + length] = x
        np.testing.assert_array_equal(state["k"].to_numpy(), wanted)
        np.testing.assert_array_equal(copies["k"], wanted)


def test_faults(target: str) -> None:
    exe = rlx.compile(lookup(), target, EMULATE, weights={"table": TABLE})
    good, bad = np.array([4, 0, 2]), np.array([0, 7, 1])
    np.testing.assert_array_equal(exe(good), TABLE[good])
    with pytest.raises(rlx.RuntimeFault, match="index 7 of operand .* is outside"):
        exe(bad)
    rows = exe(exe.to_device(bad))
    handle = exe.submit(bad)
    np.testing.assert_array_equal(exe(good), TABLE[good])
    for late in (rows.to_numpy, rows.to_numpy, handle.result, handle.result):
        with pytest.raises(rlx.RuntimeFault, match="index 7"):
            late()
    np.testing.assert_array_equal(exe(exe.to_device(good)).to_numpy(), TABLE[good])


def test_prepared_weights_specializations_and_packages(target: str, tmp_path: Path) -> None:
    w, x = floats(5, seed=1), floats(3, 5, seed=2)
    exe = rlx.compile(prepared(), target, EMULATE)
    with pytest.raises(rlx.BindError, match="not bound"):
        exe(x)
    bound = exe.bind({"w": w})
    bound.save(tmp_path / "m.rlxpkg", weights="packed")
    exe.save(tmp_path / "n.rlxpkg")
    loaded = rlx.load(tmp_path / "m.rlxpkg")
    assert (loaded.label, loaded.is_bound) == ("emulated", True)
    assert {"kernels.o", "device.sim.o", "support.o"} == set(loaded.objects)
    wanted = x.astype(np.float64) + np.exp(w.astype(np.float64))
    for each in (bound, bound.specialize(B=3), bound.specialize(B=3, codegen=False), exe.specialize(B=3).bind({"w": w}),
                 loaded, loaded.specialize(B=3), rlx.load(tmp_path / "n.rlxpkg").bind({"w": w})):  # fmt: skip
        np.testing.assert_allclose(each(x), wanted, rtol=0, atol=1e-5)
    assert bound.memory_analysis(B=3)["outputs"] == 60


def test_several_threads(exe: rlx.Executable) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def call(seed: int) -> None:
        x = floats(1 + seed % 9, 7, seed=seed)
        check(exe(x), x)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(call, range(60)))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((np.ones((3, 7), np.float64),), rlx.BindError, "dtype float64, expected f32"),
        ((np.ones((3, 8), np.float32),), rlx.ShapeError, "axis 1: expected 7, got 8"),
        (("x",), rlx.BindError, "no array but str"),
        ((), rlx.BindError, "missing"),
        ((np.ones((65, 7), np.float32),), rlx.ShapeError, "outside"),
    ],
)
def test_refused_inputs(arguments, error, text) -> None:
    exe = rlx.compile(scaled(), "cuda", EMULATE, weights={"w": WEIGHT})
    with pytest.raises(error, match=text):
        exe(*arguments)


def test_overlaps_and_foreign_arrays_are_refused() -> None:
    exe = rlx.compile(scaled(), "cuda", EMULATE, weights={"w": WEIGHT})
    other = rlx.compile(scaled(), "rocm", EMULATE, weights={"w": WEIGHT})
    x = exe.to_device(floats(3, 7))
    with pytest.raises(rlx.BindError, match="out 'y' overlaps input 'x'"):
        exe(x, out=(x, None))
    with pytest.raises(rlx.BindError, match="the code runs on"):
        other(x)
    with pytest.raises(rlx.BindError, match="out 'z' has shape"):
        exe(x, out=(None, exe.to_device(floats(2, 7))))


@pytest.mark.skipif(ctypes.util.find_library("cuda") is not None, reason="this machine may have a CUDA device")
def test_without_a_device(tmp_path: Path) -> None:
    """What needs no device works; the rest says what is missing."""
    lowered = rlx.lower(scaled(), "cuda")
    assert "launch" in lowered.as_text("host")
    made = rlx.compile(scaled(), "cuda", EMULATE)
    manifest = {**made.manifest, "device": {**made.manifest["device"], "code": "device.ptx"}}
    from rlx_runtime import Artifact, executable_of

    exe = executable_of(Artifact(manifest, {**made.objects, "device.ptx": b"// ptx\n"}, {})).bind({"w": WEIGHT})
    assert exe.label == "compiled only"
    exe.save(tmp_path / "m.rlxpkg")
    for call in (lambda: exe(floats(3, 7)), lambda: rlx.load(tmp_path / "m.rlxpkg").bind({"w": WEIGHT})(floats(3, 7))):
        with pytest.raises(rlx.TargetError, match=r"(?s)libcuda.*emulate=True"):
            call()


def test_the_artifact_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLX_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("RLX_CACHE", "1")
    made = {target: rlx.compile(scaled(), target, EMULATE) for target in TARGETS}
    monkeypatch.setattr("rlx.executables._lower", lambda *_: pytest.fail("compiled although the artifact was cached"))
    x = floats(3, 7)
    for target, first in made.items():
        again = rlx.compile(scaled(), target, EMULATE, weights={"w": WEIGHT})
        assert dict(again.objects) == dict(first.objects)
        check(again(x), x)


def test_nothing_to_emulate() -> None:
    with pytest.raises(rlx.TargetError, match="nothing to emulate"):
        rlx.lower(scaled(), "cpu", EMULATE)

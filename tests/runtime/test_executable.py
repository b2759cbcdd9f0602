"""Calls: numbers, shapes, dims, states, outputs, and a specific error for every kind of wrong argument."""

from __future__ import annotations

import copy
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rlx_runtime import arena
from rlx_runtime.cpu_executable import CpuExecutable
from rlx_runtime.errors import BindError, Error, PackageError, RuntimeFault, ShapeError, TargetError
from rlx_runtime.executable import Executable, set_codegen_hook
from tests.runtime import programs


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def affine() -> Executable:
    return programs.executable(programs.affine())


@pytest.fixture(scope="module")
def linear() -> Executable:
    return programs.executable(programs.linear())


@pytest.fixture(scope="module")
def cache_step() -> Executable:
    return programs.executable(programs.cache_step())


def refused(kind: type[Error], code: str, text: str) -> Any:
    """pytest.raises for one class, code and piece of text."""
    return pytest.raises(kind, match=text, check=lambda error: error.code == code)


@pytest.mark.parametrize("rows", [1, 3, 7, 8, 33, 64])
def test_all_shapes_in_range(affine: Executable, rows: int) -> None:
    x = normal(rows, 16)
    for _ in range(3):  # the first call takes the ordinary path, the others the fast one
        np.testing.assert_array_equal(affine(x), 2 * x + 1)
    np.testing.assert_array_equal(affine(x=x), 2 * x + 1)
    np.testing.assert_array_equal(affine.run({"x": x})["y"], 2 * x + 1)


def test_out_is_written_and_returned(affine: Executable) -> None:
    x = normal(9, 16)
    for form in range(5):
        out = np.full_like(x, np.nan)
        result = [
            lambda o: affine(x, out=o),
            lambda o: affine(x, out=o),
            lambda o: affine(x, out=[o])[:],
            lambda o: affine(x, out={"y": o}),
            lambda o: affine.run({"x": x}, out={"y": o})["y"],
        ][form](out)
        assert np.shares_memory(result, out)
        np.testing.assert_array_equal(out, 2 * x + 1)


def test_results_do_not_share_memory(affine: Executable) -> None:
    x = normal(2, 16)
    first = affine(x)
    kept = first.copy()
    second = affine(x + 1)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)


def test_inputs_that_are_not_contiguous_or_aligned_are_copied(affine: Executable) -> None:
    base = normal(32, 6).T[:, ::2]
    np.testing.assert_array_equal(affine(base), 2 * base + 1)
    raw = np.zeros(16 * 4 + 1, np.uint8)
    odd = raw[1:].view(np.float32).reshape(1, 16)
    odd[:] = normal(1, 16)
    assert not odd.flags.aligned
    np.testing.assert_array_equal(affine(odd), 2 * odd + 1)


def test_dlpack_and_read_only_inputs(affine: Executable) -> None:
    class Tensor:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def __dlpack__(self, **kwargs: Any) -> Any:
            return self.array.__dlpack__(**kwargs)

        def __dlpack_device__(self) -> Any:
            return self.array.__dlpack_device__()

    x = normal(4, 16)
    np.testing.assert_array_equal(affine(Tensor(x)), 2 * x + 1)
    x.flags.writeable = False
    for _ in range(2):
        np.testing.assert_array_equal(affine(x), 2 * x + 1)


def test_several_outputs_and_unused_input() -> None:
    split = programs.executable(programs.split())
    x, unused = normal(16), np.ones(3, ml_dtypes.bfloat16)
    for _ in range(3):
        low, high = split(x, unused)
        np.testing.assert_array_equal(np.concatenate([low, high]), x)
    outs = np.full(8, np.nan, np.float32), np.full(8, np.nan, np.float32)
    split(x, unused, out=outs)
    np.testing.assert_array_equal(np.concatenate(outs), x)
    high_only = np.full(8, np.nan, np.float32)
    assert set(split.run({"x": x, "unused": unused}, out={"high": high_only})) == {"low", "high"}
    np.testing.assert_array_equal(high_only, x[8:])
    with refused(BindError, "out", "2 arrays"):
        split(x, unused, out=outs[0])
    with refused(BindError, "overlap", "out 'high' overlaps out 'low'"):
        split(x, unused, out=(outs[0], outs[0]))


def test_prepare_packs_and_params_stay(linear: Executable) -> None:
    weights = programs.linear_weights()
    bound = linear.bind(weights)
    x = normal(5, 4)
    for _ in range(2):
        np.testing.assert_allclose(bound(x), programs.linear_reference(x, weights), rtol=1e-5, atol=1e-6)
    # bias is used where it lies, w was packed
    reference = programs.linear_reference(x, weights)
    weights["bias"] += 1
    weights["w"][:] = np.nan
    np.testing.assert_allclose(bound(x), reference + 1, rtol=1e-5, atol=1e-6)
    assert not linear.is_bound
    with refused(BindError, "unbound", "not bound"):
        linear(x)
    with refused(BindError, "overlap", "out 'y' overlaps parameter 'bias'"):
        row = weights["bias"].reshape(1, 8)
        bound(x[:1], out=row)
    bound(x[:1])
    with refused(BindError, "overlap", "out 'y' overlaps parameter 'bias'"):
        bound(x[:1], out=row)  # the same when the slot is prepared for this shape


def test_state_is_updated_in_place(cache_step: Executable) -> None:
    state = cache_step.new_state(B=1)
    assert state["k0"].shape == (1, 32)
    assert state["k0"].ctypes.data % 64 == 0
    assert not state["k0"].any()
    x, y = normal(3), normal(2, seed=1)
    first = cache_step(x, P=0, state=state)
    second = cache_step(y, P=np.int32(3), state=state)
    np.testing.assert_array_equal(state["k0"][0, :5], np.concatenate([x, y]))
    np.testing.assert_allclose(first, x.astype(np.float64).sum(keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(second, np.concatenate([x, y]).astype(np.float64).sum(keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(cache_step.run({"x": y, "P": 3}, state=state)["y"], second)


@pytest.mark.parametrize(
    ("kind", "code", "text", "arguments"),
    [
        (BindError, "missing-input", "input 'x' is missing", {}),
        (BindError, "unknown-input", "no input 'z'", {"x": 1, "z": normal(1)}),
        (BindError, "arguments", "2 positional arguments for 1", [normal(2, 16), 1]),
        (BindError, "arguments", "'x' is given twice", [normal(2, 16), {"x": 1}]),
        (BindError, "not-array", "input 'x' is no array but list", [[[1.0] * 16]]),
        (BindError, "not-array", "but NoneType", [None]),
        (BindError, "dtype", "float64, expected f32", [np.zeros((2, 16))]),
        (BindError, "dtype", ">f4, expected f32", [np.zeros((2, 16), ">f4")]),
        (BindError, "dtype", "bfloat16, expected f32", [np.zeros((2, 16), ml_dtypes.bfloat16)]),
        (ShapeError, "rank", r"input 'x' has rank 1 and shape \[16\], expected \[B, 16\]", [normal(16)]),
        (ShapeError, "extent", "input 'x' axis 1: expected 16, got 15", [normal(2, 15)]),
        (ShapeError, "range", r"input 'x' axis 0 is 65: dim B = 65 is outside \[1, 64\]", [normal(65, 16)]),
        (ShapeError, "range", "B = 0 is outside", [normal(0, 16)]),
        (BindError, "state", "has no state", [normal(2, 16), {"state": {"k0": 1}}]),
        (BindError, "dtype", "out 'y' has dtype float64", [normal(2, 16), {"out": np.zeros((2, 16))}]),
        (BindError, "shape", r"out 'y' has shape \[3, 16\], expected \[2, 16\]", [normal(2, 16), {"out": normal(3, 16)}]),
        (BindError, "layout", "out 'y' is not C-contiguous", [normal(2, 16), {"out": normal(16, 2).T}]),
        (BindError, "not-array", "out 'y' is no NumPy array", [normal(2, 16), {"out": 3}]),
        (BindError, "out", "1 arrays", [normal(2, 16), {"out": []}]),
        (BindError, "out", "no output 'z'", [normal(2, 16), {"out": {"z": 1}}]),
    ],
)  # fmt: skip
def test_wrong_calls(affine: Executable, kind: type[Error], code: str, text: str, arguments: Any) -> None:
    affine(normal(2, 16))  # the slot is prepared for a right call
    keywords = arguments if isinstance(arguments, dict) else arguments[-1] if isinstance(arguments[-1], dict) else {}
    positional = [a for a in arguments if not isinstance(a, dict)] if isinstance(arguments, list) else []
    if "z" in keywords:
        keywords = keywords | {"x": normal(2, 16)}
    with refused(kind, code, text):
        affine(*positional, **keywords)


def test_out_that_is_read_only_or_overlaps(affine: Executable) -> None:
    x, frozen = normal(2, 16), normal(2, 16)
    frozen.flags.writeable = False
    memory = normal(3, 16)
    for _ in range(2):
        with refused(BindError, "layout", "not writable"):
            affine(x, out=frozen)
        with refused(BindError, "overlap", "out 'y' overlaps input 'x'"):
            affine(x, out=x)
        with refused(BindError, "overlap", "overlaps input"):
            affine(memory[:2], out=memory[1:])
        affine(x)


def test_wrong_states_and_dim_inputs(cache_step: Executable) -> None:
    x, state = normal(3), cache_step.new_state(B=1)
    with refused(BindError, "missing-input", "dim input 'P' is missing"):
        cache_step(x, state=state)
    for wrong in (1.5, True, "3", np.array([1])):
        with refused(BindError, "dim-input-type", "must be an integer"):
            cache_step(x, P=wrong, state=state)
    with refused(ShapeError, "range", r"dim input 'P' is 65: dim P = 65 is outside \[0, 64\]"):
        cache_step(x, P=65, state=state)
    with refused(ShapeError, "guard", r"P \+ S <= 32 \(S = 3, P = 30, B = 1\)") as caught:
        cache_step(x, P=30, state=state)
    assert caught.value.location == "m.mlir:3:1"
    with refused(BindError, "state", "needs a state"):
        cache_step(x, P=0)
    with refused(BindError, "state", "'k0' is missing"):
        cache_step(x, P=0, state={})
    with refused(BindError, "state", "no state 'k1'"):
        cache_step(x, P=0, state={**state, "k1": x})
    with refused(BindError, "shape", r"state 'k0' has shape \[2, 32\], expected \[1, 32\]"):
        cache_step(x, P=0, state=cache_step.new_state(B=2))
    with refused(BindError, "dtype", "state 'k0' has dtype float64"):
        cache_step(x, P=0, state={"k0": np.zeros((1, 32))})
    with refused(BindError, "overlap", "state 'k0' overlaps input 'x'"):
        cache_step(state["k0"][0, :3], P=0, state=state)
    with refused(BindError, "overlap", "out 'y' overlaps state 'k0'"):
        cache_step(x, P=0, state=state, out=state["k0"][0, :1])
    with refused(ShapeError, "undetermined", "give 'B'"):
        cache_step.new_state()
    with refused(ShapeError, "range", "B = 9"):
        cache_step.new_state(B=9)
    with refused(ShapeError, "unknown-dim", "no dim 'Q'"):
        cache_step.new_state(Q=1)


def test_fault_names_op_and_place() -> None:
    gather = programs.executable(programs.gather())
    table, index = normal(10), np.array([1, 9, 0, 3])
    for attempt in range(3):
        np.testing.assert_array_equal(gather(table, index), table[index])
        with refused(RuntimeFault, "index", r"mir.gather: index 17 of operand 1 is outside \[0, 10\)") as caught:
            gather(table, np.array([1, 17, 0, 3])) if attempt else gather(t=table, idx=np.array([1, 17, 0, 3]))
        assert caught.value.location == "m.mlir:7:8"
    out = np.full(4, np.nan, np.float32)
    np.testing.assert_array_equal(gather(table, index, out=out), table[index])


def test_specialize_shares_weights_and_checks_early(linear: Executable) -> None:
    weights = programs.linear_weights()
    bound = linear.bind(weights)
    for fixed in (bound.specialize(codegen=False, B=5), linear.specialize(codegen=False, B=5).bind(weights)):
        x = normal(5, 4)
        for _ in range(2):
            np.testing.assert_allclose(fixed(x), programs.linear_reference(x, weights), rtol=1e-5, atol=1e-6)
        with refused(ShapeError, "extent", r"axis 0: expected B = 5, got 6"):
            fixed(normal(6, 4))
        assert fixed.fixed_dims == {"B": 5}
    assert bound.specialize(codegen=False, B=5) is bound.specialize(codegen=False, B=5)
    assert list(bound.specializations) == [(("B", 5),)]
    for rows in range(1, 12):
        bound.specialize(codegen=False, B=rows)
    assert [dict(dims)["B"] for dims in bound.specializations] == list(range(4, 12))
    with refused(ShapeError, "fixed-dim", "already fixed to 5"):
        bound.specialize(codegen=False, B=5).specialize(codegen=False, B=6)
    with refused(ShapeError, "range", "B = 65 is outside"):
        bound.specialize(codegen=False, B=65)
    with refused(ShapeError, "unknown-dim", "no dim 'Q'"):
        bound.specialize(codegen=False, Q=1)


def test_specialized_dim_input(cache_step: Executable) -> None:
    with refused(ShapeError, "guard", "P [+] S <= 32"):
        cache_step.specialize(codegen=False, P=30, S=3, B=1)
    fixed = cache_step.specialize(codegen=False, P=2).specialize(codegen=False, B=1)
    state, x = fixed.new_state(), normal(3)
    fixed(x, state=state)
    np.testing.assert_array_equal(state["k0"][0, 2:5], x)
    fixed(x, P=2, state=state)
    with refused(ShapeError, "fixed-dim", "dim input 'P' is 3, but dim P is fixed to 2"):
        fixed(x, P=3, state=state)


def test_specialize_with_compiler(linear: Executable) -> None:
    weights = programs.linear_weights()
    bound = linear.bind(weights)
    with refused(PackageError, "no-compiler", "needs the compiler"):
        bound.specialize(B=3)
    asked = []

    def compiler(executable: Executable, dims: Any) -> Any:
        asked.append((executable.name, dict(dims)))
        return programs.artifact(programs.linear())

    set_codegen_hook(compiler)
    try:
        fixed = bound.specialize(B=3)
        x = normal(3, 4)
        np.testing.assert_allclose(fixed(x), programs.linear_reference(x, weights), rtol=1e-5, atol=1e-6)
        assert bound.specialize(B=3) is fixed
        assert asked == [("linear", {"B": 3})]
        with refused(ShapeError, "range", "B = 99"):
            bound.specialize(B=99)
    finally:
        set_codegen_hook(None)


def test_description(linear: Executable, cache_step: Executable) -> None:
    assert [repr(spec) for spec in (*linear.inputs, *linear.outputs, *linear.params)] == [
        "x: f32[B, 4]", "y: f32[B, 8]", "w: f32[4, 8]", "bias: f32[8]",
    ]  # fmt: skip
    assert (linear.dims[0].name, linear.dims[0].min, linear.dims[0].max) == ("B", 1, 64)
    assert [str(guard) for guard in cache_step.guards] == ["P + S <= 32"]
    assert cache_step.dim_inputs == ("P",)
    assert repr(linear) == "<Executable linear: cpu, weights not bound>"
    assert linear.memory_analysis(B=2) == {
        "dims": {"B": 2}, "params": 160, "packed": 128, "constants": 4, "code": len(linear.objects["kernels.o"]),
        "arena": 0, "inputs": 32, "outputs": 64, "states": 0,
    }  # fmt: skip
    assert linear.memory_analysis()["dims"] == {"B": 64}
    refused_at_maximum = cache_step.memory_analysis()
    assert refused_at_maximum["arena"] is None
    assert "P + S <= 32" in refused_at_maximum["guard"]


def test_submit(affine: Executable) -> None:
    x = normal(4, 16)
    futures = [affine.submit(x + k) for k in range(4)]
    for k, future in enumerate(futures):
        np.testing.assert_array_equal(future.result(), 2 * (x + k) + 1)
        assert future.done()
    with refused(TargetError, "stream", "no streams"):
        affine.submit(x, stream=0)
    with pytest.raises(ShapeError):
        affine.submit(normal(3)).result()


def test_poisoned_arena() -> None:
    rounds = programs.executable(programs.rounds())
    arena.poison = True
    try:
        for _ in range(2):
            assert rounds(np.zeros(3, bool))[1] == 0
    finally:
        arena.poison = False


def broken(**changes: Any) -> dict[str, Any]:
    raw = copy.deepcopy(programs.linear()[0])
    for path, value in changes.items():
        *parents, last = path.split("__")
        node: Any = raw
        for key in parents:
            node = node[int(key)] if isinstance(node, list) else node[key]
        if value is None and isinstance(node, dict):
            del node[last]
        else:
            node[last] = value
    return raw


@pytest.mark.parametrize(
    ("changes", "kind", "code", "place"),
    [
        ({"format": 2}, PackageError, "newer", "format 2"),
        ({"abi": 0}, PackageError, "abi", "call ABI 0"),
        ({"target": "cuda"}, TargetError, "target", "'cuda'"),
        ({"cpu__features": ["sse2", "no-such"]}, TargetError, "cpu-features", "no-such"),
        ({"inputs": None}, PackageError, "manifest", "manifest.inputs: expected list, found nothing"),
        ({"inputs__0__dtype": "f99"}, PackageError, "manifest", "inputs.0..dtype: unknown dtype 'f99'"),
        ({"inputs__0__shape": ["Q"]}, PackageError, "manifest", "unknown dim 'Q'"),
        ({"inputs__0__shape": [["__import__", "B", 1]]}, PackageError, "manifest", "not a dimension expression"),
        ({"inputs__0__shape": [True]}, PackageError, "manifest", "not a dimension expression"),
        ({"dims__0__min": 65}, PackageError, "manifest", "is not a dim"),
        ({"dims__0__name": "a b"}, PackageError, "manifest", "is not a dim"),
        ({"solve__0__axis": 2}, PackageError, "manifest", "no axis 2"),
        ({"states": [programs.tensor("s", [4], "i4")]}, PackageError, "manifest", "missing|i4"),
        ({"packed__0__offset": 32}, PackageError, "manifest", "misaligned"),
        ({"packed__0__bytes": 9999}, PackageError, "manifest", "outside the region"),
        ({"constants__0__data": "&"}, PackageError, "manifest", "not base64"),
        ({"constants__0__bytes": 5}, PackageError, "manifest", "4 bytes of data"),
        ({"programs__main__buffers": [["input", "q"]]}, PackageError, "manifest", "no input 'q'"),
        ({"programs__main__buffers": [["input", "x"]]}, PackageError, "manifest", "output 'y' is missing"),
        ({"programs__main__buffers": [["input", "x"]] * 2}, PackageError, "manifest", "more than once"),
        ({"programs__prepare__buffers": [["input", "x"]]}, PackageError, "manifest", "no input 'x' for this program"),
        ({"programs__main__entry": "nowhere"}, PackageError, "object", "kernels: the object cannot be linked"),
        ({"programs__main__entry": "a b"}, PackageError, "symbol", "not a symbol name"),
        ({"fixed": {"Q": 1}}, PackageError, "manifest", "unknown dim 'Q'"),
    ],
)  # fmt: skip
def test_broken_manifests(changes: dict[str, Any], kind: type[Error], code: str, place: str) -> None:
    parts = programs.artifact(programs.linear())
    with refused(kind, code, place):
        CpuExecutable(broken(**changes), parts.objects, {})


def test_damaged_objects() -> None:
    parts = programs.artifact(programs.affine())
    with refused(PackageError, "member", "no kernels.o"):
        CpuExecutable(parts.manifest, {}, {})
    for data in (b"", b"no object", parts.objects["kernels.o"][:200]):
        with refused(PackageError, "object", "cannot be linked"):
            CpuExecutable(parts.manifest, {**parts.objects, "kernels.o": data}, {})

"""What a user gets wrong, from the outside: the right class and code through the API, the right exit code and text from the
command line, never a traceback, and no file left half-written.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import rlx
from rlx.cli.opt import main as rlx_opt
from rlx_runtime.errors import Location
from tests.cli.conftest import Done, Work, ffn
from tests.errors.conftest import Cli, check, refused

TARGETS = pytest.mark.parametrize("target", ["numpy", "cpu"])


@pytest.fixture
def bound(work: Work, request: pytest.FixtureRequest) -> rlx.Executable:
    return rlx.compile(ffn(), target=request.getfixturevalue("target"), weights=work.weights)


def run(cli: Cli, target: str, **inputs: np.ndarray[Any, Any]) -> Done:
    """`rlx run ffn.mlir` on arrays."""
    for name, array in inputs.items():
        np.save(f"{name}.npy", array)
    given = [f"--input={name}={name}.npy" for name in inputs]
    return cli("run", "ffn.mlir", "--target", target, "--weights", "ffn.safetensors", "-o", "out.npz", *given)


# -- arguments of a call


@TARGETS
def test_wrong_rank(target: str, work: Work, bound: rlx.Executable, watched: Cli) -> None:
    with refused(rlx.ShapeError, "rank", "input 'x' has rank 3 and shape [1, 3, 13], expected [B, 13]"):
        bound(work.x[None])
    check(run(watched, target, x=work.x[None]), 1, "input 'x' has rank 3")


@TARGETS
def test_wrong_extent(target: str, work: Work, bound: rlx.Executable, watched: Cli) -> None:
    with refused(rlx.ShapeError, "extent", "input 'x' axis 1: expected 13, got 12"):
        bound(np.ascontiguousarray(work.x[:, :12]))
    check(run(watched, target, x=work.x[:, :12]), 1, "axis 1: expected 13, got 12", "hint: 'x' has shape [B, 13]")


@TARGETS
def test_wrong_dtype(target: str, work: Work, bound: rlx.Executable, watched: Cli) -> None:
    for dtype in (np.float64, np.float16, np.int32):
        with refused(rlx.BindError, "dtype", f"input 'x' has dtype {np.dtype(dtype)}, expected f32", "hint: nothing is converted"):
            bound(work.x.astype(dtype))
    check(run(watched, target, x=work.x.astype(np.float64)), 1, "input 'x' has dtype float64, expected f32")


@TARGETS
def test_not_an_array(target: str, work: Work, bound: rlx.Executable) -> None:
    with refused(rlx.BindError, "not-array", "input 'x' is no array but list"):
        bound(work.x.tolist())


@TARGETS
def test_missing_and_unknown_inputs(target: str, work: Work, bound: rlx.Executable, watched: Cli) -> None:
    with refused(rlx.BindError, "missing-input", "input 'x' is missing", "the inputs are: x"):
        bound()
    with refused(rlx.BindError, "unknown-input", "there is no input 'z'"):
        bound(work.x, z=work.x)
    with refused(rlx.BindError, "arguments", "2 positional arguments for 1 inputs"):
        bound(work.x, work.x)
    check(run(watched, target), 1, "input 'x' is missing", "hint: the inputs are: x")
    np.save("z.npy", work.x)
    check(run(watched, target, x=work.x, z=work.x), 1, "there is no input 'z'")


@TARGETS
def test_weights_are_not_bound(target: str, work: Work, watched: Cli) -> None:
    with refused(rlx.BindError, "unbound", "call bind(weights) first"):
        rlx.compile(ffn(), target=target)(work.x)
    check(watched("run", "ffn.mlir", "--target", target, "--input", "x=x.npy", "-o", "out.npz"), 1, "the weights are not bound")


@TARGETS
def test_dim_out_of_range(target: str, work: Work, bound: rlx.Executable, watched: Cli) -> None:
    large = np.ones((65, 13), np.float32)
    with refused(rlx.ShapeError, "range", "input 'x' axis 0 is 65: dim B = 65 is outside [1, 64]"):
        bound(large)
    with refused(rlx.ShapeError, "range", "B = 0 is outside [1, 64]"):
        bound(large[:0])
    check(run(watched, target, x=large), 1, "dim B = 65 is outside [1, 64]")
    for value in ("0", "65"):
        with pytest.raises(rlx.ShapeError, match=f"B = {value} is outside"):
            rlx.lower(ffn(), target, dims={"B": int(value)})
        check(watched("compile", "ffn.mlir", "--target", target, "--emit", "lir", "--dim", f"B={value}", "-o", "m"), 1, f"B = {value}")


def guarded() -> rlx.Model:
    S, T = rlx.Dim("S", 1, 8), rlx.Dim("T", 1, 8)
    b = rlx.ModelBuilder("guarded")
    x, z = b.input("x", (S, 3), "f32"), b.input("z", (T, 3), "f32")
    b.constrain(S + T <= 10)
    b.output("y", b.mul(x, x))
    b.output("w", b.mul(z, z))
    return b.build()


@TARGETS
def test_violated_guard(target: str, work: Work, watched: Cli) -> None:
    executable = rlx.compile(guarded(), target=target)
    x, z = np.ones((8, 3), np.float32), np.ones((3, 3), np.float32)
    executable(x, z[:2])
    with refused(rlx.ShapeError, "guard", "guard violated: ", "S + T", "10", "S = 8", "T = 3"):
        executable(x, z)
    Path("guarded.mlir").write_text(guarded().as_text())
    np.savez("in.npz", x=x, z=z)
    check(watched("run", "guarded.mlir", "--target", target, "--input", "in.npz", "-o", "out.npz"), 1, "guard violated: ")


@TARGETS
def test_index_out_of_range(target: str, work: Work, watched: Cli) -> None:
    b = rlx.ModelBuilder("lookup")
    ids = b.input("ids", (rlx.Dim("S", 1, 8),), "i64")
    b.output("y", b.embedding(b.param("table", (5, 3), "f32"), ids))
    Path("lookup.mlir").write_text(b.build().as_text())
    table = np.arange(1, 16, dtype=np.float32).reshape(5, 3)
    executable = rlx.compile(rlx.parse(Path("lookup.mlir").read_bytes(), "lookup.mlir"), target=target, weights={"table": table})
    good, bad = np.array([4, 0, 2]), np.array([4, 5, 2])
    np.testing.assert_array_equal(executable(good), table[good])
    with refused(rlx.RuntimeFault, "index", "index 5", "lookup.mlir:"):
        executable(bad)
    np.testing.assert_array_equal(executable(good), table[good])
    np.save("ids.npy", bad)
    save_file({"table": table}, "table.safetensors")
    done = watched("run", "lookup.mlir", "--target", target, "--weights", "table.safetensors", "--input", "ids=ids.npy", "-o", "o.npz")
    check(done, 1, "index 5", "lookup.mlir:")


# -- out=


@TARGETS
def test_out_that_cannot_be_written_in_place(target: str, work: Work, bound: rlx.Executable) -> None:
    expected = bound(work.x)
    wide = np.full((3, 80), 7, np.float32)
    with refused(rlx.BindError, "layout", "out 'y' is not C-contiguous"):
        bound(work.x, out=wide[:, ::2])
    frozen = np.full((3, 40), 7, np.float32)
    frozen.setflags(write=False)
    with refused(rlx.BindError, "layout", "out 'y' is not writable"):
        bound(work.x, out=frozen)
    shifted = np.full(3 * 40 * 4 + 1, 7, np.uint8)[1:].view(np.float32).reshape(3, 40)
    with refused(rlx.BindError, "layout", "out 'y' is not aligned"):
        bound(work.x, out=shifted)
    with refused(rlx.BindError, "shape", "out 'y' has shape [2, 40], expected [3, 40]"):
        bound(work.x, out=np.empty((2, 40), np.float32))
    with refused(rlx.BindError, "dtype", "out 'y' has dtype float64, expected f32"):
        bound(work.x, out=np.empty((3, 40)))
    with refused(rlx.BindError, "out", "there is no output 'z'"):
        bound.run({"x": work.x}, out={"z": wide})
    assert (wide == 7).all()
    assert (frozen == 7).all()
    buffer = np.full((3, 40), np.nan, np.float32)
    assert bound(work.x, out=buffer) is buffer
    np.testing.assert_array_equal(buffer, expected)


@TARGETS
def test_out_that_overlaps(target: str, work: Work, bound: rlx.Executable) -> None:
    memory = np.full(3 * 40 + 3 * 13, 7, np.float32)
    x = memory[: 3 * 13].reshape(3, 13)
    x[...] = work.x
    before = memory.copy()
    with refused(rlx.BindError, "overlap", "out 'y' overlaps input 'x' in memory"):
        bound(x, out=memory[10 : 10 + 120].reshape(3, 40))
    np.testing.assert_array_equal(memory, before)


# -- weights


@TARGETS
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"c": None}, "missing: 'c' f32[40]"),
        ({"d": np.ones(3, np.float32)}, "not a parameter: 'd'"),
        ({"w": np.ones((40, 13), np.float32)}, "'w' has shape [40, 13], expected [13, 40]"),
        ({"w": np.ones((13, 40), np.float64)}, "'w' has dtype float64, expected f32"),
    ],
    ids=["missing", "extra", "shape", "dtype"],
)
def test_weights_that_do_not_fit(target: str, change: dict[str, Any], complaint: str, work: Work, watched: Cli) -> None:
    weights = {name: array for name, array in {**work.weights, **change}.items() if array is not None}
    with refused(rlx.BindError, "weights", "the weights do not fit the model", complaint):
        rlx.compile(ffn(), target=target, weights=weights)
    save_file(weights, "bad.safetensors")
    check(watched("run", "ffn.mlir", "--target", target, "--weights", "bad.safetensors", "--input", "x=x.npy"), 1, complaint)
    if target == "cpu":
        check(watched("compile", "ffn.mlir", "--weights", "bad.safetensors", "--packed", "-o", "m.rlxpkg"), 1, complaint)


def test_all_that_is_wrong_with_the_weights_at_once(work: Work) -> None:
    with refused(rlx.BindError, "weights", "missing: 'c'", "not a parameter: 'd'", "'w' has shape"):
        rlx.compile(ffn(), target="numpy", weights={"w": np.ones((2, 2), np.float32), "d": np.ones(1)})
    with refused(rlx.BindError, "weights-type", "not int"):
        rlx.compile(ffn(), target="numpy", weights=3)


def _lying(header: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        (_lying({"w": {"dtype": "F32", "shape": [13, 40], "data_offsets": [0, 1 << 40]}}, bytes(2080)), "tensor 'w'"),
        (_lying({"w": {"dtype": "F32", "shape": [13, 40], "data_offsets": [4, 2080]}}, bytes(2080)), "takes 2080 bytes"),
        (_lying({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 2080]}}, bytes(2080)), "tensor 'w'"),
        (_lying({"w": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)), "unknown dtype 'F99'"),
        (struct.pack("<Q", 1 << 60) + b"{}", "a header of"),
        (struct.pack("<Q", 4) + b"{{{{", "not JSON"),
        (b"", "too few for a header"),
    ],
    ids=["beyond the end", "too short", "too large", "dtype", "header size", "header", "empty"],
)
def test_a_damaged_weight_file(contents: bytes, complaint: str, work: Work, watched: Cli) -> None:
    Path("bad.safetensors").write_bytes(contents)
    with refused(rlx.PackageError, "weights-file", "bad.safetensors: ", complaint):
        rlx.compile(ffn(), target="numpy", weights="bad.safetensors")
    done = watched("run", "ffn.mlir", "--target", "numpy", "--weights", "bad.safetensors", "--input", "x=x.npy", "-o", "o.npz")
    check(done, 1, "bad.safetensors", complaint)


# -- names that there are not


def test_unknown_target(work: Work, watched: Cli) -> None:
    for call in (rlx.lower, rlx.compile):
        with refused(rlx.TargetError, "unknown-target", "unknown target 'cuba'", "known targets: cpu, numpy"):
            call(ffn(), target="cuba")
    for command in (["compile"], ["compile", "--emit", "lir"], ["run"], ["bench"], ["inspect"]):
        check(watched(command[0], "ffn.mlir", *command[1:], "--target", "cuba"), 1, "unknown target 'cuba'", "hint: known targets")


def test_unknown_pass_pipeline_and_pass_option(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        "rlx-csee": "unknown pass 'rlx-csee'",
        "cpu-defalt": "'cpu-defalt'",
        "rlx-cse{speed=9}": "speed",
        "cpu-default{speed=9}": "no pass of 'cpu-default' has option 'speed'",
        "rlx-cse,,rlx-dce": "<pipeline>:1:",
        "rlx-cse{": "<pipeline>:1:",
    }
    for text, complaint in cases.items():
        with pytest.raises(rlx.Error) as caught:
            rlx.PassManager(text)
        assert complaint in str(caught.value)
        assert isinstance(caught.value.location, Location)
        capsys.readouterr()
        assert rlx_opt(["ffn.mlir", "-p", text]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert complaint in captured.err
        assert "^" in captured.err
        assert "Traceback" not in captured.err


def test_unknown_option_and_bad_value(work: Work, watched: Cli) -> None:
    with pytest.raises(TypeError, match="speed"):  # a keyword of a dataclass, as everywhere in Python
        rlx.Options(speed=9)  # pyright: ignore[reportCallIssue]
    with refused(rlx.LowerError, "bad-option", "option numerics is 'sloppy'; choices: default, strict, fast"):
        rlx.Options(numerics="sloppy")  # pyright: ignore[reportArgumentType]
    with refused(rlx.LowerError, "bad-option", "option codegen_level is 9"):
        rlx.Options(codegen_level=9)
    check(watched("compile", "ffn.mlir", "--speed", "9"), 2, "unrecognized arguments: --speed 9")
    check(watched("compile", "ffn.mlir", "--numerics", "sloppy"), 2, "invalid choice: 'sloppy'")
    check(watched("compile", "ffn.mlir", "--codegen-level", "9"), 1, "option codegen_level is 9; it is 1, 2 or 3")
    check(watched("compile", "ffn.mlir", "--cpu", "z80"), 1, "'z80'")
    check(watched("compile", "ffn.mlir", "--features", "+warp"), 1, "unknown CPU features: warp")
    check(watched("compile", "ffn.mlir", "--features", "avx2"), 1, "feature 'avx2' must start with + or -")


@TARGETS
def test_unknown_dim(target: str, work: Work, bound: rlx.Executable, watched: Cli) -> None:
    with pytest.raises(rlx.ShapeError, match="'?Q'?"):
        rlx.lower(ffn(), target, dims={"Q": 1})
    with refused(rlx.ShapeError, "unknown-dim", "there is no dim 'Q'", "the dims are: B"):
        bound.specialize(codegen=False, Q=1)
    check(watched("compile", "ffn.mlir", "--target", target, "--emit", "lir", "--dim", "Q=1"), 1, "Q")
    check(watched("run", "ffn.mlir", "--target", target, "--dim", "Q=1", "-o", "o.npz"), 1, "Q")


def test_a_dim_that_is_no_number(work: Work, watched: Cli) -> None:
    for command in ("compile", "run", "bench", "inspect"):
        check(watched(command, "ffn.mlir", "--dim", "B=two"), 2, "--dim B: 'two' is not a number")
        check(watched(command, "ffn.mlir", "--dim", "B=1.5"), 2, "--dim B: '1.5' is not a number")
        check(watched(command, "ffn.mlir", "--dim", "B"), 2, "--dim B: expected NAME=N")
    with refused(rlx.ShapeError, "dim-type", "dim 'B' must be an integer, not str"):
        rlx.compile(ffn(), dims={"B": "2"})  # pyright: ignore[reportArgumentType]


@TARGETS
def test_unknown_stage(target: str, work: Work, watched: Cli) -> None:
    with refused(rlx.LowerError, "unknown-stage", f"target '{target}' has no stage 'ptx'", "lir"):
        rlx.lower(ffn(), target).as_text("ptx")
    check(watched("compile", "ffn.mlir", "--target", target, "--emit", "ptx", "-o", "m.ptx"), 2, f"target '{target}' has no stage 'ptx'")


# -- models that cannot be read


def located(error: rlx.Error, name: str) -> None:
    assert isinstance(error.location, Location), repr(error)
    assert error.location.file == name
    assert error.location.line >= 1


def test_a_truncated_model(work: Work, watched: Cli) -> None:
    text = Path("ffn.mlir").read_text().rstrip()
    for length in range(0, len(text), 11):
        with pytest.raises((rlx.ParseError, rlx.VerifyError)) as caught:
            rlx.parse(text[:length], "cut.mlir")
        located(caught.value, "cut.mlir")
    Path("cut.mlir").write_text(text[: len(text) // 2])
    for command in ("compile", "run", "bench", "inspect"):
        check(watched(command, "cut.mlir"), 1, "cut.mlir:", "error: ", "^")


def test_a_model_with_a_changed_letter(work: Work) -> None:
    text = Path("ffn.mlir").read_text()
    rng = np.random.default_rng(0)
    for position, letter in zip(rng.integers(0, len(text), 60).tolist(), rng.integers(33, 127, 60).tolist()):
        changed = text[:position] + chr(letter) + text[position + 1 :]
        try:
            rlx.lower(rlx.parse(changed, "changed.mlir"), "numpy")
        except rlx.Error as error:
            if isinstance(error, rlx.ParseError | rlx.VerifyError):
                located(error, "changed.mlir")


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        (b"", ":1:1: error: expected an operation, found the end of the input"),
        (b"\n  // nothing\n", "expected an operation, found the end of the input"),
        (b"builtin.module {}\n", ":1:1: error: a model is a module with a func.func @main"),
        (bytes(range(256)) * 4, ":2:118: error: not IR text: byte 0x"),
        (b"\x7fELF\x02\x01\x01\x00" + bytes(64), "error: not IR text: byte 0x00"),
        ("func.func @main() {\n  func.return\n}\n# \xe9".encode("latin-1"), ":4:3: error: not IR text: byte 0xe9"),
        (b"(" * 50_000, "error: "),
    ],
    ids=["empty", "comment", "no main", "bytes", "elf", "latin-1", "parentheses"],
)
def test_not_a_model(contents: bytes, complaint: str, work: Work, watched: Cli) -> None:
    Path("bad.mlir").write_bytes(contents)
    with pytest.raises((rlx.ParseError, rlx.VerifyError)) as caught:
        rlx.parse(contents, "bad.mlir")
    located(caught.value, "bad.mlir")
    for command in (["compile", "-o", "m.rlxpkg"], ["run"], ["inspect"]):
        check(watched(command[0], "bad.mlir", *command[1:]), 1, "bad.mlir", complaint)


def test_a_model_that_breaks_a_rule(work: Work, watched: Cli) -> None:
    text = Path("ffn.mlir").read_text()
    Path("bad.mlir").write_text(text.replace("!rlx.tensor<13 x 40 x f32>", "!rlx.tensor<14 x 40 x f32>"))
    with pytest.raises(rlx.Error) as caught:
        rlx.parse(Path("bad.mlir").read_bytes(), "bad.mlir")
    located(caught.value, "bad.mlir")
    check(watched("compile", "bad.mlir", "-o", "m.rlxpkg"), 1, "bad.mlir:", "error: ", "13", "14")


def test_missing_files(work: Work, watched: Cli) -> None:
    for command in ("compile", "run", "bench", "inspect"):
        check(watched(command, "no.mlir"), 1, "no.mlir: error: cannot read the model: No such file")
    for command in ("run", "bench", "inspect"):
        check(watched(command, "no.rlxpkg"), 1, "no.rlxpkg: error: cannot read the package: No such file")
    with refused(rlx.PackageError, "file", "no.rlxpkg: cannot read the package"):
        rlx.load("no.rlxpkg")
    with refused(rlx.PackageError, "weights-file", "no.safetensors: cannot read the weights"):
        rlx.compile(ffn(), target="numpy", weights="no.safetensors")
    base = ("run", "ffn.mlir", "--target", "numpy")
    check(watched(*base, "--weights", "no.safetensors"), 1, "no.safetensors: error: cannot read the weights")
    check(watched(*base, "--weights", "ffn.safetensors", "--input", "x=no.npy"), 1, "no.npy: error: cannot read the array")
    check(watched("compile", "."), 1, "cannot read the model: Is a directory")


def test_input_files_that_are_no_arrays(work: Work, watched: Cli) -> None:
    base = ("run", "ffn.mlir", "--target", "numpy", "--weights", "ffn.safetensors", "-o", "o.npz")
    good = Path("x.npy").read_bytes()
    np.savez("in.npz", x=work.x)
    for contents in (b"", b"x", good[:70], good[:-5], b"\x93NUMPY\x01\x00\xff\xff" + bytes(30), Path("in.npz").read_bytes()):
        Path("bad.npy").write_bytes(contents)
        check(watched(*base, "--input", "x=bad.npy"), 1, "bad.npy: error: ")
    Path("bad.npz").write_bytes(good)
    check(watched(*base, "--input", "bad.npz"), 1, "bad.npz: error: this is not an .npz file")
    objects = np.array([{"a": 1}], dtype=object)
    np.save("bad.npy", objects, allow_pickle=True)
    check(watched(*base, "--input", "x=bad.npy"), 1, "bad.npy: error: not an array file")


def test_outputs_that_cannot_be_written(work: Work, watched: Cli) -> None:
    base = ("run", "ffn.mlir", "--target", "numpy", "--weights", "ffn.safetensors", "--input", "x=x.npy")
    check(watched(*base, "-o", "no/such/o.npz"), 1, "no/such/o.npz: error: cannot write the file: No such file")
    check(watched("compile", "ffn.mlir", "-o", "no/such/m.rlxpkg"), 1, "error: cannot write the package: No such file")
    check(watched("compile", "ffn.mlir", "--emit", "mir", "-o", "no/such/m.mlir"), 1, "error: cannot write the file")
    Path("folder").mkdir()
    check(watched("compile", "ffn.mlir", "-o", "folder"), 1, "folder")
    check(watched(*base, "-o", "folder"), 1, "folder")
    check(watched("compile", "ffn.mlir", "--target", "numpy", "-o", "m.rlxpkg"), 1, "target 'numpy' has no code to save")


def test_errors_as_json(work: Work, rlx_cli: Cli) -> None:
    done = rlx_cli("run", "no.mlir", "--json")
    assert done.code == 1
    assert done.json == {"error": {"code": "file", "message": "cannot read the model: No such file or directory",
                                   "location": "no.mlir", "hint": None}}  # fmt: skip

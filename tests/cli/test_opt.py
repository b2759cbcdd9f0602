"""rlx-opt: exit codes, and what a user sees after each kind of mistake. No mistake ends in a traceback."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute
from xdsl.passes import ModulePass

import rlx.cli.opt
from rlx.cli.opt import main
from rlx_passes.pipelines import PIPELINES

GOOD = """func.func @f(%x: f32) -> f32 {
  %a = arith.addf %x, %x : f32
  %b = arith.addf %x, %x : f32
  %c = arith.mulf %a, %b : f32
  func.return %c : f32
}
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.mlir"
    path.write_text(GOOD)
    return str(path)


def test_result_on_stdout_nothing_on_stderr(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([good, "-p", "rlx-cse"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("arith.addf") == 1
    assert captured.err == ""


def test_stdin_by_dash_and_by_default(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["-"], []):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
        assert main(arguments) == 0
        assert "func.func @f" in capsys.readouterr().out


def test_output_file(good: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.mlir"
    assert main([good, "-o", str(target)]) == 0
    assert "func.func @f" in target.read_text()
    assert capsys.readouterr().out == ""
    assert main([good, "-o", str(tmp_path / "no" / "such" / "folder")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        pytest.param(b"", "1:1", "expected an operation, found the end of the input", id="empty"),
        pytest.param(b"  \n// nothing\n", "2:11", "expected an operation, found the end of the input", id="only-comments"),
        pytest.param(GOOD[:52].encode(), "2:22", "expected", id="truncated-in-a-line"),
        pytest.param(GOOD[: GOOD.index("}")].encode(), "5:", "", id="truncated-before-the-brace"),
        pytest.param(b"\x7fELF\x02\x01\x01\x00\xff\xfe", "1:9", "not IR text: byte 0xff", id="binary"),
        pytest.param(b"func.func @f() {\n  \xff\n}", "2:3", "not IR text: byte 0xff", id="not-utf-8"),
        pytest.param(b"this is not ir", "1:1", "unknown operation 'this'", id="prose"),
        pytest.param(b"\n  foo.bar\n", "2:3", "unknown operation 'foo.bar'", id="unknown-operation"),
        pytest.param(b"func.func @f() {\n  func.retrun\n}", "2:3", "did you mean 'func.return'?", id="misspelt-operation"),
        pytest.param(b"}", "1:1", "expected an operation, found '}'", id="stray-brace"),
        pytest.param(b"func.func @f() {\n  %a = arith.constant 300 : i8\n  func.return\n}", "2:23", "out of range", id="bad-attribute"),
        pytest.param(b"func.func @f() {\n  func.return %x : i8\n}", "", "%x", id="undefined-value"),
        pytest.param(b'func.func @f() {\n  "test.op"() : () -> ()\n}', "2:3", "terminator", id="no-terminator"),
        pytest.param(b"func.func @f() -> i8 {\n  func.return\n}", "2:3", "'func.return'", id="verifier"),
        pytest.param(b"(" * 100_000, "1:1", "", id="many-parentheses"),
    ],
)
def test_wrong_input_is_a_located_error(
    content: bytes, place: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.mlir"
    path.write_bytes(content)
    assert main([str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{path}:{place}" in captured.err
    assert "error:" in captured.err
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.err.count("\n") < 8


def test_deep_nesting_is_a_located_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "deep.mlir"
    path.write_text('"builtin.module"() ({\n' * 5000 + "}) : () -> ()\n" * 5000)
    assert main([str(path)]) == 1
    assert "nested too deeply" in capsys.readouterr().err


def test_error_shows_line_and_caret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.mlir"
    path.write_text("func.func @f(%x: f32) -> f32 {\n\t%a = arith.addf %b, %x : f32\n  %b = arith.addf %a, %x : f32\n  func.return %b : f32\n}\n")
    assert main([str(path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{path}:2:2: error: 'arith.addf' uses %b before its definition",
        "\t%a = arith.addf %b, %x : f32",
        "\t^",
    ]


def test_lines_count_on_through_split_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.mlir"
    path.write_text(GOOD + "// -----\n" + "func.func @g() -> i8 {\n  func.return\n}\n// -----\n" + GOOD)
    assert main([str(path), "--split-input-file"]) == 1
    captured = capsys.readouterr()
    assert f"{path}:9:3: error:" in captured.err
    assert captured.out.count("func.func @f") == 2  # the pieces around the wrong one are done


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["-p", "rlx-csee"], ["<pipeline>:1:1", "unknown pass 'rlx-csee'", "did you mean 'rlx-cse'?"], id="pass"),
        pytest.param(["-p", "rlx-cse,rlx-dce{x=1}"], ["<pipeline>:1:17", "unknown option 'x'"], id="option"),
        pytest.param(["-p", "rlx-cse,"], ["<pipeline>:1:9", "expected a pass name"], id="trailing-comma"),
        pytest.param(["-p", "rlx-cse rlx-dce"], ["<pipeline>:1:9", "expected ','"], id="no-comma"),
        pytest.param(["-p", "rlx-cse{"], ["<pipeline>:1:9", "expected an option name"], id="open-brace"),
        pytest.param(["-p", "rlx-cse;"], ["<pipeline>:1:8", "unexpected character ';'"], id="character"),
        pytest.param(["-p", "licm{x"], ["<pipeline>:1:7", "end of the pipeline"], id="open-options"),
        pytest.param(
            ["-p", "canonicalize,licm,scf-parallel-loop-tiling{parallel-loop-tile-sizes=two}"], ["<pipeline>:1:44", "takes tuple", "not two"], id="option-type"
        ),
        pytest.param(["--pass-pipeline", "builtin.module(rlx-cse"], ["1:23", "expected ',' or ')'"], id="open-paren"),
        pytest.param(["--pass-pipeline", "func.func(licm)"], ["1:11", "runs on modules"], id="not-nestable"),
        pytest.param(["--pass-pipeline", "memref.alloc(rlx-cse)"], ["does not run on 'memref.alloc'"], id="wrong-anchor"),
        pytest.param(["-p", "cpu-default{nonsense=1}"], ["1:13", "no pass of 'cpu-default' has option 'nonsense'"], id="pipeline-option"),
        pytest.param(["-p", "rlx-cse", "--stop-after=mir"], ["no stage 'mir'", "hint:"], id="stage-of-nothing"),
        pytest.param(["-p", "cpu-default", "--stop-after=end"], ["no stage 'end'", "it has hir"], id="stage"),
        pytest.param(["-p", "rlx-cse", "--print-ir-after=rlx-dce"], ["no pass 'rlx-dce'"], id="print-after"),
        pytest.param(["-p", "rlx-cse", "--pass-pipeline=rlx-cse"], ["exclude each other"], id="two-pipelines"),
        pytest.param(["--no-such-flag"], ["unrecognized arguments"], id="flag"),
        pytest.param(["-t", "nonsense"], ["invalid choice: 'nonsense'"], id="target"),
        pytest.param(["-t", "mlir{x=1}"], ["--target"], id="target-option"),
        pytest.param(["-t", "mlir{"], ["--target"], id="target-text"),
    ],
)
def test_wrong_usage_is_exit_2(arguments: list[str], said: list[str], good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([good, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for text in said:
        assert text in captured.err
    assert "Traceback" not in captured.err


def test_missing_file_and_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.mlir")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err


class _Crash(ModulePass):
    name = "crash"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        raise KeyError("lost")


def test_internal_error_writes_a_reproducer(
    good: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = rlx.cli.opt.get_all_passes()
    monkeypatch.setattr(rlx.cli.opt, "get_all_passes", lambda: passes | {"crash": lambda: _Crash})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main([good, "-p", "rlx-cse,crash"]) == 3
    captured = capsys.readouterr()
    assert "internal error while running pass 'crash': KeyError: 'lost'" in captured.err
    assert "Traceback" not in captured.err
    (reproducer,) = tmp_path.glob("rlx-reproducer-*.mlir")
    assert str(reproducer) in captured.err
    text = reproducer.read_text()
    assert text.startswith(f"// rlx-opt {reproducer} --pass-pipeline='rlx-cse,crash'")
    assert "KeyError: 'lost'" in text
    assert main([str(reproducer)]) == 0  # it is input again
    assert main([good, "-p", "crash", "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_listings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-passes"]) == 0
    listing = capsys.readouterr().out
    assert "rlx-cse" in listing
    assert "compute each value once" in listing
    assert "  canonicalize" in listing
    assert main(["--list-pipelines"]) == 0
    listing = capsys.readouterr().out
    assert all(str(pipeline) in listing for pipeline in PIPELINES.values())


def test_dump_ir(good: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([good, "-p", "rlx-cse,rlx-dce", "--dump-ir", str(tmp_path / "dump")]) == 0
    assert sorted(path.name for path in (tmp_path / "dump").iterdir()) == [
        "00-input.mlir", "01-after-rlx-cse.mlir", "02-after-rlx-dce.mlir",
    ]  # fmt: skip


def test_disable_verify_ends_with_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.mlir"
    path.write_text("func.func @f() -> i8 {\n  func.return\n}\n")
    post_init = Attribute.__post_init__
    assert main([str(path), "--disable-verify"]) == 0
    assert Attribute.__post_init__ is post_init
    assert main([str(path)]) == 1


def test_as_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rlx.cli.opt", "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"rlx-opt {rlx.__version__}")

"""The in-process lit runner fails where lit fails, and the documentation helpers see what they should."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdsl.dialects.builtin import f32

from rlx_passes.support.context import make_context
from rlx_passes.support.verify import verify_module
from rlx_runtime.errors import ParseError
from tests.docs_examples import Pair, blocks, pairs, parse_attributes, parse_example
from tests.lit_runner import LitFailure, missing_features, run_file, run_lines

BODY = "func.func @f() {\n  func.return\n}\n"
BAD = "func.func @f() {\n  func.retrun\n}\n"


def run(tmp_path: Path, header: str, body: str = BODY) -> None:
    path = tmp_path / "case.mlir"
    path.write_text(header + body)
    run_file(path)


@pytest.mark.parametrize(
    "header",
    [
        "// RUN: rlx-opt %s | filecheck %s\n// CHECK: func.func @f\n",
        "// RUN: rlx-opt %s | rlx-opt - | filecheck %s\n// CHECK: func.func @f\n",
        "// RUN: rlx-opt %s \\\n// RUN:   | filecheck %s --check-prefix=OTHER\n// OTHER: func.func @f\n",
        "// RUN: rlx-opt %s -p 'rlx-cse,rlx-dce' && rlx-opt %s > %t && filecheck %s --input-file %t\n// CHECK: func.func @f\n",
    ],
)
def test_passes(header: str, tmp_path: Path) -> None:
    run(tmp_path, header)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("// RUN: rlx-opt %s | filecheck %s\n// CHECK: func.func @g\n", "Couldn't match"),
        ("// RUN: not rlx-opt %s\n", "exit status 1"),
        ("// RUN: rlx-opt %s -p nonsense | filecheck %s --allow-empty\n", "unknown pass"),  # the first of a pipe counts too
        ("// RUN: rlx-opt %s\n// RUN: rlx-opt %s.missing\n", "cannot read"),
        ("// RUN: rlx-opt %s > %t && false\n", "exit status 1"),
    ],
)
def test_fails(header: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(LitFailure, match=said):
        run(tmp_path, header)


def test_errors_can_be_checked(tmp_path: Path) -> None:
    run(tmp_path, "// RUN: not rlx-opt %s 2>&1 | filecheck %s\n// CHECK: case.mlir:4:3: error: unknown operation\n", BAD)
    with pytest.raises(LitFailure):
        run(tmp_path, "// RUN: rlx-opt %s 2>&1 | filecheck %s\n// CHECK: error:\n", BAD)


def test_run_and_requires_lines() -> None:
    assert run_lines("// RUN: a | \\\n// RUN: b\n# RUN: c\n// run: d\n") == ["a | b", "c"]
    assert missing_features("// REQUIRES: llvm-x86-64\n") == []
    assert missing_features("// REQUIRES: llvm-x86-64, moon\n") == ["moon"]


DOC = '''Does things.

    Before {max-ops=3}:
    ```mlir
    %b = arith.addf %a, %a : f32
    ```
    After:
    ```mlir
    %b = arith.mulf %a, %a : f32
    ```
    '''


def test_blocks_and_pairs() -> None:
    assert blocks(DOC) == ["%b = arith.addf %a, %a : f32\n", "%b = arith.mulf %a, %a : f32\n"]
    assert pairs(DOC) == [Pair("{max-ops=3}", "%b = arith.addf %a, %a : f32\n", "%b = arith.mulf %a, %a : f32\n")]
    assert blocks(None) == []


def test_examples() -> None:
    module, free, defined = parse_example(make_context(), "%b = arith.addf %a, %a : f32", returned=("b",))
    verify_module(module)
    assert free == {"a": f32}
    assert defined == ("b",)
    module, free, _ = parse_example(make_context(), '// %z : f32\n"test.op"(%z, %y) : (f32, f32) -> ()')
    verify_module(module)
    assert list(free) == ["z", "y"]
    module, free, _ = parse_example(make_context(), BODY)
    assert free == {}
    assert [op.name for op in module.ops] == ["func.func"]
    with pytest.raises(ParseError):
        parse_example(make_context(), "%b = arith.addf %a")


def test_attribute_examples() -> None:
    found = parse_attributes(make_context(), "!rlx.tensor<B x 4 x f32>  // two dims\n!rlx.tensor<f32>\n")
    assert found is not None
    assert [str(attribute) for attribute in found] == ["!rlx.tensor<B x 4 x f32>", "!rlx.tensor<f32>"]
    assert parse_attributes(make_context(), "%b = arith.addf %a, %a : f32") is None

"""Verification: each rule has an example that breaks it, and the error says where."""

from __future__ import annotations

import random

import pytest
from xdsl.dialects import test
from xdsl.dialects.builtin import ModuleOp, f32
from xdsl.ir import Block, Operation, Region

from rlx_passes.support.context import make_context
from rlx_passes.support.dominance import dominance_errors
from rlx_passes.support.locations import parse_module
from rlx_passes.support.verify import assert_only_dialects, verify_errors, verify_module
from rlx_runtime.errors import VerifyError


def parse(text: str) -> ModuleOp:
    return parse_module(make_context(), text, "m.mlir")


def complaints(text: str) -> list[str]:
    return [f"{error.location}: {error.message}" for error in verify_errors(parse(text))]


def test_sound_module() -> None:
    text = """
    func.func @loop(%n: index, %x: f32) -> f32 {
      %zero = arith.constant 0 : index
      %one = arith.constant 1 : index
      %r = scf.for %i = %zero to %n step %one iter_args(%acc = %x) -> (f32) {
        %y = arith.addf %acc, %x : f32
        scf.yield %y : f32
      }
      func.return %r : f32
    }
    """
    assert complaints(text) == []
    verify_module(parse(text))


@pytest.mark.parametrize(
    ("body", "name", "line"),
    [
        pytest.param("%a = arith.addf %b, %x : f32\n%b = arith.addf %x, %x : f32", "b", 2, id="same-block"),
        pytest.param("%a = arith.addf %a, %x : f32", "a", 2, id="itself"),
        pytest.param(
            "scf.if %p {\n%t = arith.addf %x, %x : f32\nscf.yield\n}\nscf.if %p {\n%u = arith.addf %l, %x : f32\nscf.yield\n}\n"
            "%l = arith.addf %x, %x : f32",
            "l", 7, id="region-before-definition",
        ),
        pytest.param(
            "%r = scf.if %p -> (f32) {\n%t = arith.addf %r, %x : f32\nscf.yield %t : f32\n} else {\nscf.yield %x : f32\n}",
            "r", 3, id="own-result-in-region",
        ),
    ],
)  # fmt: skip
def test_use_before_definition(body: str, name: str, line: int) -> None:
    (complaint,) = complaints(f"func.func @f(%x: f32, %p: i1) {{\n{body}\nfunc.return\n}}")
    assert complaint == f"m.mlir:{line}:1: 'arith.addf' uses %{name} before its definition"


def test_all_uses_before_definitions_are_reported() -> None:
    text = "func.func @f(%x: f32) {\n%a = arith.addf %c, %x : f32\n%b = arith.addf %c, %a : f32\n%c = arith.addf %x, %x : f32\nfunc.return\n}"
    assert len(complaints(text)) == 2


CFG = """
func.func @f(%p: i1, %x: f32) -> f32 {{
  cf.cond_br %p, ^left, ^right
^left:
  %l = arith.addf %x, %x : f32
  cf.br ^join({left} : f32)
^right:
  %r = arith.mulf %x, %x : f32
  cf.br ^join({right} : f32)
^join(%j: f32):
  %k = arith.addf %j, {join} : f32
  func.return %k : f32
}}
"""


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (("%l", "%r", "%x"), None),
        (("%l", "%l", "%x"), "%l"),  # the right branch does not pass through the left one
        (("%l", "%r", "%l"), "%l"),  # nor does every way to the join
        (("%k", "%r", "%x"), "%k"),
    ],
)
def test_dominance_between_blocks(names: tuple[str, str, str], wrong: str | None) -> None:
    left, right, join = names
    found = complaints(CFG.format(left=left, right=right, join=join))
    assert [wrong in complaint for complaint in found] == ([] if wrong is None else [True])


def test_dominance_in_a_loop_and_in_unreachable_blocks() -> None:
    text = """
    func.func @f(%p: i1, %x: f32) -> f32 {
      cf.br ^head(%x : f32)
    ^head(%h: f32):
      %n = arith.addf %h, %x : f32
      cf.cond_br %p, ^head(%n : f32), ^exit
    ^exit:
      func.return %n : f32
    ^unreachable:
      cf.br ^exit
    }
    """
    assert complaints(text) == []


def test_dominance_agrees_with_a_search_over_paths() -> None:
    """Random graphs: block A dominates B exactly when removing A cuts B off from the entry."""
    rng = random.Random(5)
    for _ in range(60):
        count = rng.randint(2, 8)
        blocks = [Block() for _ in range(count)]
        values = []
        for block in blocks:
            block.add_op(op := test.TestOp(result_types=[f32]))
            values.append(op.results[0])
        edges = {index: rng.sample(range(1, count), rng.randint(0, min(2, count - 1))) for index in range(count)}
        uses = {index: rng.randrange(count) for index in range(count)}
        for index, block in enumerate(blocks):
            block.add_op(test.TestOp(operands=[values[uses[index]]]))
            block.add_op(_terminator([blocks[target] for target in edges[index]]))
        root = ModuleOp([test.TestOp(regions=[Region(blocks)])])

        def reach(removed: int | None, edges: dict[int, list[int]] = edges) -> set[int]:
            seen, stack = set[int](), [0]
            while stack:
                index = stack.pop()
                if index != removed and index not in seen:
                    seen.add(index)
                    stack += edges[index]
            return seen

        reachable = reach(None)
        expected = sorted(user for user, used in uses.items() if user in reachable and used != user and user in reach(used))
        found = sorted(blocks.index(_block_of(op)) for op, _ in _dominance(root))
        assert found == expected


def _dominance(root: Operation) -> list[tuple[Operation, object]]:
    return list(dominance_errors(root))


def _block_of(op: Operation) -> Block:
    assert op.parent is not None
    return op.parent


def _terminator(successors: list[Block]) -> Operation:
    return test.TestTermOp(successors=successors)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('func.func @f() {\n"test.op"() : () -> ()\n}', "m.mlir:2:1: 'test.op' ends a block but is not a terminator"),
        ("func.func @f() {\nfunc.return\nfunc.return\n}", "m.mlir:2:1: 'func.return' must be the last operation in its parent block"),
        (
            '%p = "test.op"() : () -> i1\n"scf.if"(%p) ({\n^bb0:\n}, {}) : (i1) -> ()',
            "m.mlir:2:1: 'scf.if' has an empty block where a terminator is needed",
        ),
        (
            '"test.op"() ({\n^a:\n"test.op"() : () -> ()\n^b:\n"test.termop"() : () -> ()\n}) : () -> ()',
            "m.mlir:3:1: 'test.op' ends a block but is not a terminator",
        ),
        ("builtin.module {\n}", None),
    ],
)
def test_structure(text: str, complaint: str | None) -> None:
    assert complaints(text) == ([] if complaint is None else [complaint])


def test_verifier_messages_name_operation_and_place() -> None:
    (complaint,) = complaints("func.func @f() -> i8 {\n  func.return\n}")
    assert complaint.startswith("m.mlir:2:3: 'func.return'")


def test_verification_does_not_print_the_module() -> None:
    module = parse("func.func @f() -> i8 {\n  func.return\n}")
    with pytest.raises(VerifyError) as caught:
        verify_module(module)
    assert not hasattr(caught.value, "__notes__")
    assert len(str(caught.value)) < 300


def test_level_check() -> None:
    module = parse("func.func @f(%x: f32) {\n  %a = arith.addf %x, %x : f32\n  func.return\n}")
    assert_only_dialects(module, {"builtin", "func", "arith"}, "kernel")
    assert_only_dialects(module, {"builtin", "func", "arith.addf"}, "kernel")
    with pytest.raises(VerifyError, match="'arith.addf' may not be left after stage 'hir'") as caught:
        assert_only_dialects(module, {"builtin", "func", "arith.mulf"}, "hir")
    assert str(caught.value.location) == "m.mlir:2:3"
    assert caught.value.code == "level"

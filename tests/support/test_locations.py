"""Locations: given by the parser, kept by rewrites, found for diagnostics."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdsl.dialects import arith, func
from xdsl.dialects.builtin import UNKNOWN_LOC, FileLineColLoc, FusedLoc, IntAttr, ModuleOp, NameLoc, NoneAttr, StringAttr, f32
from xdsl.pattern_rewriter import PatternRewriter, PatternRewriteWalker, RewritePattern, op_type_rewrite_pattern

from rlx_passes.support.context import make_context
from rlx_passes.support.diagnostics import as_error, render
from rlx_passes.support.locations import LocationListener, location_of, parse_module, resolve_location
from rlx_passes.support.rewriting import DispatchApplier, rewrite
from rlx_runtime.errors import Error, Location, LowerError, ParseError, VerifyError

TEXT = """func.func @f(%x: f32, %p: i1) -> f32 {
  %a = arith.mulf %x, %x : f32 loc("net.py":7:3)
  %r = scf.if %p -> (f32) {
    %b = arith.addf %a, %x : f32
    scf.yield %b : f32
  } else {
    scf.yield %x : f32
  }
  func.return %r : f32
}
"""


def places(module: ModuleOp) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for op in module.walk():
        found.setdefault(op.name, []).append(str(location_of(op)))
    return found


def test_every_operation_has_a_place() -> None:
    found = places(parse_module(make_context(), TEXT, "m.mlir", line_offset=10))
    assert found["func.func"] == ["m.mlir:11:1"]
    assert found["arith.mulf"] == ["net.py:7:3"]  # written locations win
    assert found["scf.if"] == ["m.mlir:13:3"]
    assert found["arith.addf"] == ["m.mlir:14:5"]
    assert found["func.return"] == ["m.mlir:19:3"]


class Square(RewritePattern):
    """`x * x` becomes `(x + x) * x`: two new operations, of which one replaces."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: arith.MulfOp, rewriter: PatternRewriter) -> None:
        if op.lhs is op.rhs:
            rewriter.insert(double := arith.AddfOp(op.lhs, op.lhs))
            rewriter.replace(op, arith.MulfOp(double.result, op.rhs))


class InsertOnly(RewritePattern):
    """Puts a constant before the return, replacing nothing."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: func.ReturnOp, rewriter: PatternRewriter) -> None:
        rewriter.insert(arith.ConstantOp.from_int_and_width(1, 32))


def test_rewrites_keep_locations() -> None:
    module = parse_module(make_context(), TEXT, "m.mlir")
    assert rewrite(module, [(arith.MulfOp, Square()), ((func.ReturnOp, func.CallOp), InsertOnly())])
    found = places(module)
    assert found["arith.addf"] == ["net.py:7:3", "m.mlir:4:5"]
    assert found["arith.mulf"] == ["net.py:7:3"]
    assert found["arith.constant"] == ["m.mlir:9:3"]
    assert all(op.location is not UNKNOWN_LOC for op in module.walk())


def test_listener_serves_xdsls_walker() -> None:
    module = parse_module(make_context(), TEXT, "m.mlir")
    PatternRewriteWalker(Square(), listener=LocationListener(), apply_recursively=False).rewrite_module(module)
    assert places(module)["arith.mulf"] == ["net.py:7:3"]


class Forever(RewritePattern):
    """Replaces every sum by an equal sum."""

    @op_type_rewrite_pattern
    def match_and_rewrite(self, op: arith.AddfOp, rewriter: PatternRewriter) -> None:
        rewriter.replace(op, arith.AddfOp(op.lhs, op.rhs))


def test_patterns_that_never_settle_are_an_error() -> None:
    module = parse_module(make_context(), TEXT, "m.mlir")
    with pytest.raises(LowerError, match="do not settle") as caught:
        rewrite(module, Forever(), recursive=True, max_rewrites=50)
    assert str(caught.value.location) == "m.mlir:4:5"
    assert rewrite(module, Forever())  # once over is fine


class Broken(RewritePattern):
    def match_and_rewrite(self, op: object, rewriter: PatternRewriter) -> None:
        raise KeyError("lost")


def test_an_exception_in_a_pattern_passes_through_bare() -> None:
    with pytest.raises(KeyError) as caught:
        rewrite(parse_module(make_context(), TEXT), Broken())
    assert not hasattr(caught.value, "__notes__")


def test_dispatch_tries_patterns_of_the_class_in_order() -> None:
    seen: list[str] = []

    class Note(RewritePattern):
        def __init__(self, text: str) -> None:
            self.text = text

        def match_and_rewrite(self, op: object, rewriter: PatternRewriter) -> None:
            seen.append(self.text)

    applier = DispatchApplier([(arith.AddfOp, Note("a")), ((arith.MulfOp, arith.AddfOp), Note("b"))])
    module = parse_module(make_context(), TEXT)
    assert not rewrite(module, applier)
    assert seen == ["b", "a", "b"]  # the product comes first in program order


def test_resolve_nested_locations() -> None:
    place = FileLineColLoc(StringAttr("a.py"), IntAttr(3), IntAttr(4))
    assert resolve_location(NameLoc(StringAttr("layer0"), place)) == Location("a.py", 3, 4)
    assert resolve_location(FusedLoc([UNKNOWN_LOC, place], NoneAttr())) == Location("a.py", 3, 4)
    assert str(resolve_location(NameLoc(StringAttr("layer0"), UNKNOWN_LOC))) == "layer0"
    assert resolve_location(UNKNOWN_LOC) is None


def test_an_operation_without_a_place_uses_its_parents() -> None:
    module = parse_module(make_context(), TEXT, "m.mlir")
    function = next(op for op in module.walk() if op.name == "func.func")
    block = function.regions[0].first_block
    assert block is not None
    block.insert_op_before(op := arith.ConstantOp.from_int_and_width(1, 32), block.first_op)
    assert str(location_of(op)) == "m.mlir:1:1"


def test_parse_error_is_data() -> None:
    with pytest.raises(ParseError) as caught:
        parse_module(make_context(), "func.func @f() {\n  %a = arith.constant 1 :\n}", "m.mlir")
    error = caught.value
    assert error.message == "type expected"
    assert error.location == Location("m.mlir", 3, 1, "}")
    assert error.code == "parse"


def test_render_reads_text_sources_and_files(tmp_path: Path) -> None:
    path = tmp_path / "a.mlir"
    path.write_text("first\n\tsecond\n")
    error = VerifyError("wrong", location=Location(str(path), 2, 3), hint="right")
    assert render(error) == f"{path}:2:3: error: wrong\n\tsecond\n\t ^\nhint: right"
    assert render(error, {str(path): "x\nother"}).splitlines()[1] == "other"
    assert render(VerifyError("wrong", location="layer 3")) == "layer 3: error: wrong"
    assert render(VerifyError("wrong", location=Location("gone", 1, 1))) == "gone:1:1: error: wrong"


def test_only_users_mistakes_become_errors() -> None:
    assert as_error(KeyError("x")) is None
    assert isinstance(as_error(Error("x")), Error)


def test_f32_is_still_a_type() -> None:
    # A dimension named like a builtin type would shadow it; the located parser must not change what a type is.
    module = parse_module(make_context(), TEXT)
    assert next(op for op in module.walk() if op.name == "arith.addf").results[0].type == f32

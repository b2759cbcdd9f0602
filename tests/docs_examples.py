"""Reads the `mlir` blocks of docstrings. CONTRIBUTING.md describes what may stand in one.

A block holds operations with free values, whole functions or programs, or types and attributes, one a line. Free values
become arguments of a function around the block; their types are the ones that the operations print, or those that a line
`// %x : type` at the top of the block declares.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import FunctionType, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.traits import IsTerminator, SymbolOpInterface
from xdsl.utils.exceptions import ParseError as XdslParseError
from xdsl.utils.mlir_lexer import MLIRTokenKind

from rlx_passes.support.locations import LocatedParser, from_parse_error

_BLOCK = re.compile(r"^```mlir\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PAIR = re.compile(
    r"^Before(?: (?P<options>\{[^}\n]*\}))?:\s*\n```mlir\n(?P<before>.*?)^```\s*\nAfter:\s*\n```mlir\n(?P<after>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_DECLARED = re.compile(r"^//\s*(%[\w.$-]+)\s*:\s*(\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Pair:
    """A pass's Before and After, and the options it is run with (`{x=1}` or nothing)."""

    options: str
    before: str
    after: str


def blocks(docstring: str | None) -> list[str]:
    """The `mlir` blocks of a docstring."""
    return _BLOCK.findall(inspect.cleandoc(docstring or "") + "\n")


def pairs(docstring: str | None) -> list[Pair]:
    """The Before/After pairs of a docstring."""
    matches = _PAIR.finditer(inspect.cleandoc(docstring or "") + "\n")
    return [Pair(match["options"] or "", match["before"], match["after"]) for match in matches]


def parse_attributes(ctx: Context, text: str) -> list[Attribute] | None:
    """The types and attributes of a block that holds nothing else, else None."""
    lines = [line.partition("//")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    if not lines or not all(line[0] in "!#" and not re.match(r"[!#]\w+\s*=", line) for line in lines):
        return None
    attributes: list[Attribute] = []
    for line in lines:
        parser = LocatedParser(ctx, line, "example")
        attributes.append(parser.parse_attribute())
        assert parser._current_token.kind == MLIRTokenKind.EOF, f"more than one attribute in '{line}'"
    return attributes


def parse_example(
    ctx: Context, text: str, arguments: dict[str, Attribute] | None = None, returned: tuple[str, ...] = ()
) -> tuple[ModuleOp, dict[str, Attribute], tuple[str, ...]]:
    """A module with the example in it, the example's free values with their types, and the names it defines at its top.

    `arguments` are free values that the function takes whether they are used or not, in this order; `returned` are names that it
    returns. Functions and programs stand in the module as they are.
    """
    parser = LocatedParser(ctx, text, "example")
    entry = Block()
    free: dict[str, Attribute] = {}

    def argument(name: str, type: Attribute) -> SSAValue:
        free[name] = type
        value = entry.insert_arg(type, len(entry.args))
        value.name_hint = name
        return value

    declared = {name[1:]: LocatedParser(ctx, type, "example").parse_type() for name, type in _DECLARED.findall(text)}
    for name, type in {**(arguments or {}), **declared}.items():
        parser.ssa_values[name] = (argument(name, type),)
    given = set(parser.ssa_values)

    ops: list[Operation] = []
    try:
        while parser._current_token.kind != MLIRTokenKind.EOF:
            if parser._current_token.kind in (MLIRTokenKind.HASH_IDENT, MLIRTokenKind.EXCLAMATION_IDENT):
                parser._parse_alias_def()
            elif (op := parser.parse_optional_operation()) is not None:
                ops.append(op)
            else:
                parser.raise_error("expected an operation")
    except XdslParseError as error:
        raise from_parse_error(error) from None
    for name, parts in parser.forward_ssa_references.items():
        for value in parts.values():
            value.replace_all_uses_with(argument(name, value.type))

    defined = tuple(name for name in parser.ssa_values if name not in given)
    if not free and all(isinstance(op, ModuleOp) or op.has_trait(SymbolOpInterface) for op in ops):
        module = ops[0] if len(ops) == 1 and isinstance(ops[0], ModuleOp) else ModuleOp(ops)
        return module, free, defined
    entry.add_ops(ops)
    if not ops or not ops[-1].has_trait(IsTerminator):
        entry.add_op(ReturnOp(*(parser.ssa_values[name][0] for name in returned)))
    last = entry.last_op
    results = last.operand_types if isinstance(last, ReturnOp) else ()
    function = FuncOp("example", FunctionType.from_lists(entry.arg_types, results), Region(entry))
    return ModuleOp([function]), free, defined

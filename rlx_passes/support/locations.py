"""Source locations: the parser that gives them, the listener that carries them through rewrites, the way back to text.

xDSL has location fields on operations, but its parser fills them only from a written `loc(...)` and its rewriter leaves new
operations without one. Everything here works on those fields.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TypeVar

from xdsl.context import Context
from xdsl.dialects.builtin import (
    UNKNOWN_LOC,
    ArrayAttr,
    CallSiteLoc,
    FileLineColLoc,
    FusedLoc,
    IntAttr,
    LocationAttr,
    ModuleOp,
    NameLoc,
    StringAttr,
)
from xdsl.ir import Attribute, Operation, SSAValue, TypeAttribute
from xdsl.parser import Parser
from xdsl.pattern_rewriter import PatternRewriterListener
from xdsl.utils.exceptions import ParseError as XdslParseError
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.mlir_lexer import MLIRTokenKind

from rlx_runtime.errors import Error, Location, ParseError

_T = TypeVar("_T")


def location_of(op: Operation) -> Location | None:
    """The place in a source text that `op` comes from; the nearest enclosing operation's if it has none itself."""
    found: Operation | None = op
    while found is not None:
        if (location := resolve_location(found.location)) is not None:
            return location
        found = found.parent_op()
    return None


def resolve_location(attr: Attribute) -> Location | None:
    """The first file location inside a location attribute; callees before callers."""
    if isinstance(attr, FileLineColLoc):
        return Location(attr.filename.data, attr.line.data, attr.column.data)
    if isinstance(attr, NameLoc):
        return resolve_location(attr.location) or Location(attr.desc.data, 0, 0)
    if isinstance(attr, CallSiteLoc):
        return resolve_location(attr.callee) or resolve_location(attr.caller)
    if isinstance(attr, FusedLoc) and isinstance(attr.locations, ArrayAttr):
        return next((found for part in attr.locations if (found := resolve_location(part)) is not None), None)
    return None


class LocatedParser(Parser):
    """xDSL's parser, but every operation gets `file:line:col` unless the text says `loc(...)`.

    A `VerifyException` or `ValueError` from a type, an attribute or an operation under construction becomes a parse error at
    the place where its text begins.
    """

    def __init__(self, ctx: Context, text: str, name: str = "<text>", line_offset: int = 0) -> None:
        self._line_starts = _line_starts(text)
        self._file = StringAttr(name)
        self._line_offset = line_offset
        self._operation_start = 0
        super().__init__(ctx, text, name)

    def location_at(self, position: int) -> FileLineColLoc:
        line = bisect_right(self._line_starts, position)
        return FileLineColLoc(self._file, IntAttr(line + self._line_offset), IntAttr(position - self._line_starts[line - 1] + 1))

    def parse_operation(self) -> Operation:
        start = self._operation_start = self.pos
        op = self._located(super().parse_operation, start)
        if op.location is UNKNOWN_LOC:
            op.location = self.location_at(start)
        return op

    def _get_op_by_name(self, name: str) -> type[Operation]:
        found = self.ctx.get_optional_op(name, dialect_stack=self._parser_state.dialect_stack)
        if found is None:
            close = get_close_matches(name, [op.name for op in self.ctx.loaded_ops], n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            self.raise_error(f"unknown operation '{name}'{hint}", self._operation_start)
        return found

    def parse_optional_type(self) -> TypeAttribute | None:
        return self._located(super().parse_optional_type, self.pos)

    def parse_optional_attribute(self) -> Attribute | None:
        return self._located(super().parse_optional_attribute, self.pos)

    def _located(self, parse: Callable[[], _T], start: int) -> _T:
        try:
            return parse()
        except (VerifyException, ValueError) as error:
            self.raise_error(str(error), start)
        except Error as error:
            if error.location is None:
                error.location = resolve_location(self.location_at(start))
            raise


def parse_module(
    ctx: Context, text: str | bytes, name: str = "<text>", *, line_offset: int = 0, implicit_module: bool = True
) -> ModuleOp:
    """Parse IR text into a module whose operations know where they stand.

    `line_offset` is the number of lines before `text` in the file `name`. Raises `rlx.ParseError` with location, source line
    and what was expected.
    """
    if isinstance(text, bytes):
        text = _decode(text, name)
    try:
        parser = LocatedParser(ctx, text, name, line_offset)
        try:
            module = parser.parse_module(implicit_module)
            if not implicit_module and parser._current_token.kind != MLIRTokenKind.EOF:
                parser.raise_error("expected the end of the input after the module")
        except XdslParseError as error:
            if error.msg == "Could not parse entire input!":
                error.msg = _what_instead_of_an_operation(parser)
            raise
    except XdslParseError as error:
        raise from_parse_error(error, line_offset) from None
    except RecursionError:
        raise ParseError("the input is nested too deeply", location=Location(name, 1 + line_offset, 1)) from None
    if module.location is UNKNOWN_LOC:
        module.location = FileLineColLoc(StringAttr(name), IntAttr(1 + line_offset), IntAttr(1))
    return module


def from_parse_error(error: XdslParseError, line_offset: int = 0) -> ParseError:
    """xDSL's parse error, whose text is a drawing, as ours, whose location and message are data."""
    start, source = error.span.start, error.span.input.content
    if isinstance(source, bytes):
        source = source.decode("utf-8", "replace")
    # An error at the end of the input belongs to the last line that has text.
    if start >= len(source.rstrip()):
        start = len(source.rstrip())
    line, column = source.count("\n", 0, start) + 1, start - source.rfind("\n", 0, start)
    text = source.splitlines()[line - 1] if source.strip() else None
    return ParseError(error.msg.strip().rstrip("!"), location=Location(error.span.input.name, line + line_offset, column, text))


class LocationListener(PatternRewriterListener):
    """Gives every operation that a rewrite inserts the location of the operation that it replaces.

    `PatternRewriteWalker(pattern, listener=LocationListener())` covers `rewriter.replace_op`; the walker of `rewriting.py`
    also calls `settle`, which covers operations that were inserted and replace nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fresh: list[Operation] = []
        self.operation_insertion_handler.append(self._fresh.append)
        self.operation_replacement_handler.append(self._replaced)

    def _replaced(self, op: Operation, _results: Sequence[SSAValue | None]) -> None:
        self.settle(op.location)

    def settle(self, location: LocationAttr) -> None:
        """Give `location` to every operation inserted since the last call that has none."""
        for fresh in self._fresh:
            for op in fresh.walk() if fresh.regions else (fresh,):
                if op.location is UNKNOWN_LOC:
                    op.location = location
        self._fresh.clear()


def _line_starts(text: str) -> list[int]:
    starts = [0]
    while (newline := text.find("\n", starts[-1])) >= 0:
        starts.append(newline + 1)
    return starts


def _decode(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8")
        if "\0" not in text:
            return text
        bad = data.index(b"\0")
    except UnicodeDecodeError as error:
        bad = error.start
    # The line is left out of the error: binary data does a terminal no good.
    location = Location(name, data.count(b"\n", 0, bad) + 1, bad - data.rfind(b"\n", 0, bad), text="")
    raise ParseError(f"not IR text: byte 0x{data[bad]:02x}", location=location, hint="IR is UTF-8 text")


def _what_instead_of_an_operation(parser: Parser) -> str:
    token = parser._current_token
    if token.kind == MLIRTokenKind.EOF:
        return "expected an operation, found the end of the input"
    return f"expected an operation, found '{token.text}'"

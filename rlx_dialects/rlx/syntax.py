"""Dimension expressions in MLIR text: the one grammar of `rlx_dialects.dims.parse` over MLIR tokens."""

from __future__ import annotations

from xdsl.parser import AttrParser
from xdsl.utils.exceptions import ParseError

from rlx_dialects.dims import DimExpr
from rlx_dialects.dims.parse import parse_atom, parse_sum


class MlirTokens:
    """`dims.parse.Tokens` on an xDSL parser."""

    def __init__(self, parser: AttrParser):
        self.parser = parser

    def integer(self) -> int | None:
        return self.parser.parse_optional_integer(allow_boolean=False, allow_negative=False)

    def identifier(self) -> str | None:
        return self.parser.parse_optional_identifier()

    def keyword(self, word: str) -> bool:
        return self.parser.parse_optional_keyword(word) is not None

    def punctuation(self, text: str) -> bool:
        return self.parser.parse_optional_punctuation(text) is not None  # pyright: ignore[reportArgumentType]

    def fail(self, message: str) -> Exception:
        try:
            self.parser.raise_error(message)
        except ParseError as error:
            return error


def parse_dim_expr(parser: AttrParser) -> DimExpr:
    """A whole expression, up to the first token that cannot continue it."""
    return parse_sum(MlirTokens(parser))


def parse_dim_atom(parser: AttrParser) -> DimExpr:
    """One dim of a shape: an integer, a symbol, a call, or an expression in parentheses."""
    return parse_atom(MlirTokens(parser))


def dim_text(dim: DimExpr) -> str:
    """A dim as it stands in a shape: compound expressions in parentheses."""
    text = str(dim)
    if dim.is_symbol or (dim.is_const and dim.value >= 0):
        return text
    closed = text.startswith(("min(", "max(", "(")) and _closes_at_end(text)
    return text if closed else f"({text})"


def _closes_at_end(text: str) -> bool:
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and char == ")":
            return position == len(text) - 1
    return False

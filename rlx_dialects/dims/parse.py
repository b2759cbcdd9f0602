"""Reading dimension expressions from text.

Grammar (as printed by `DimExpr.__str__`): sums of products; `floordiv`, `ceildiv` and `mod` bind like `*`;
`min(a, b)` and `max(a, b)`; parentheses. The same grammar serves plain text and MLIR tokens through `Tokens`.
"""

from __future__ import annotations

import re
from typing import Protocol

from rlx_dialects.dims.expr import DimExpr, ceildiv, const, floordiv, maximum, minimum, mod, sym

_KEYWORDS = {"floordiv": floordiv, "ceildiv": ceildiv, "mod": mod}
_CALLS = {"min": minimum, "max": maximum}


class Tokens(Protocol):
    """What the grammar needs from a lexer; each method consumes on success."""

    def integer(self) -> int | None: ...
    def identifier(self) -> str | None: ...
    def keyword(self, word: str) -> bool: ...
    def punctuation(self, text: str) -> bool: ...
    def fail(self, message: str) -> Exception: ...


def parse_sum(tokens: Tokens) -> DimExpr:
    result = -parse_product(tokens) if tokens.punctuation("-") else parse_product(tokens)
    while True:
        if tokens.punctuation("+"):
            result = result + parse_product(tokens)
        elif tokens.punctuation("-"):
            result = result - parse_product(tokens)
        else:
            return result


def parse_product(tokens: Tokens) -> DimExpr:
    result = parse_atom(tokens)
    while True:
        if tokens.punctuation("*"):
            result = result * parse_atom(tokens)
            continue
        for word, operation in _KEYWORDS.items():
            if tokens.keyword(word):
                divisor = parse_atom(tokens)
                if divisor.is_const and divisor.value <= 0:
                    raise tokens.fail(f"'{word}' needs a positive divisor, found {divisor}")
                result = operation(result, divisor)
                break
        else:
            return result


def parse_atom(tokens: Tokens) -> DimExpr:
    value = tokens.integer()
    if value is not None:
        return const(value)
    if tokens.punctuation("("):
        result = parse_sum(tokens)
        _expect(tokens, ")")
        return result
    name = tokens.identifier()
    if name is None:
        raise tokens.fail("expected a dimension: an integer, a symbol or an expression in parentheses")
    if name in _CALLS:
        _expect(tokens, "(")
        a = parse_sum(tokens)
        _expect(tokens, ",")
        b = parse_sum(tokens)
        _expect(tokens, ")")
        return _CALLS[name](a, b)
    try:
        return sym(name)
    except ValueError as error:
        raise tokens.fail(str(error)) from None


def _expect(tokens: Tokens, text: str) -> None:
    if not tokens.punctuation(text):
        raise tokens.fail(f"expected '{text}' in a dimension expression")


class _TextTokens:
    _LEXER = re.compile(r"\s*(?:(\d+)|([A-Za-z_$][A-Za-z0-9_$.]*)|(.))")

    def __init__(self, text: str):
        self.text = text
        self.tokens = [(m[1], m[2], m[3]) for m in self._LEXER.finditer(text.rstrip())]
        self.at = 0

    def _peek(self) -> tuple[str | None, str | None, str | None]:
        return self.tokens[self.at] if self.at < len(self.tokens) else (None, None, None)

    def integer(self) -> int | None:
        digits = self._peek()[0]
        if digits is None:
            return None
        self.at += 1
        return int(digits)

    def identifier(self) -> str | None:
        name = self._peek()[1]
        self.at += name is not None
        return name

    def keyword(self, word: str) -> bool:
        found = self._peek()[1] == word
        self.at += found
        return found

    def punctuation(self, text: str) -> bool:
        found = self._peek()[2] == text
        self.at += found
        return found

    def fail(self, message: str) -> Exception:
        return ValueError(f"{message} (in '{self.text}')")


def parse_dim(text: str) -> DimExpr:
    """Parse plain text such as `"(S + P) floordiv 2"`; ValueError says what was expected."""
    tokens = _TextTokens(text)
    result = parse_sum(tokens)
    if tokens.at != len(tokens.tokens):
        raise ValueError(f"unexpected text after the dimension expression in '{text}'")
    return result

"""How errors are shown: `file:line:col: error: message`, the source line, a caret, the hint.

`as_error` turns what xDSL raises for a user's mistake into one of our errors.
"""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.utils.exceptions import DiagnosticException, VerifyException
from xdsl.utils.exceptions import ParseError as XdslParseError

from rlx_passes.support.locations import from_parse_error
from rlx_runtime.errors import Error, Location, LowerError, VerifyError


def as_error(error: BaseException) -> Error | None:
    """`error` as one of ours, or None if it is nothing that a user caused."""
    if isinstance(error, Error):
        return error
    if isinstance(error, XdslParseError):
        return from_parse_error(error)
    if isinstance(error, VerifyException):
        return VerifyError(str(error))
    if isinstance(error, DiagnosticException):
        return LowerError(str(error))
    return None


def render(error: Error, sources: Mapping[str, str] | None = None) -> str:
    """The error as lines for a terminal. `sources` maps file names to texts; other files are read from disk."""
    place = "" if error.location is None else f"{error.location}: "
    lines = [f"{place}error: {error.message}"]
    if isinstance(error.location, Location):
        text = _source_line(error.location, sources or {})
        if text:
            # Tabs stay tabs, so that the caret stands under the right character whatever a tab's width.
            before = text[: error.location.column - 1]
            lines += [text, "".join(c if c == "\t" else " " for c in before) + "^"]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines)


def _source_line(location: Location, sources: Mapping[str, str]) -> str | None:
    if location.text is not None:
        return location.text
    text = sources.get(location.file)
    if text is None:
        try:
            with open(location.file, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError):
            return None
    lines = text.split("\n")
    return lines[location.line - 1] if 0 < location.line <= len(lines) else None

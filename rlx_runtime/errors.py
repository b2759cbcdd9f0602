"""The errors that users see, for every package.

This module imports nothing of the project, so every package may import it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Location:
    """A place in a text. `line` and `column` count from 1; `text` is the source line where it is known.

    Line 0 means that only the name is known (a layer of a model, a node of a graph).
    """

    file: str
    line: int
    column: int
    text: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Error(Exception):
    """Base of all errors that a user can cause.

    `code` is a short stable name for programs to test (`"unknown-pass"`); each class has a default. `location` is a
    `Location` or any text that names a place, `hint` says what to do about it.
    """

    default_code: ClassVar[str] = "error"

    def __init__(
        self, message: str, *, code: str | None = None, location: Location | str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.location = location
        self.hint = hint

    def __str__(self) -> str:
        place = "" if self.location is None else f"{self.location}: "
        return f"{place}{self.message}" + (f"\nhint: {self.hint}" if self.hint else "")

    def __reduce__(self) -> tuple[Callable[..., Error], tuple[Any, ...]]:
        # Exceptions pickle by their positional arguments; compile workers send these across processes.
        return _rebuild, (type(self), self.message, self.code, self.location, self.hint)


def _rebuild(cls: type[Error], message: str, code: str, location: Location | str | None, hint: str | None) -> Error:
    return cls(message, code=code, location=location, hint=hint)


class ParseError(Error):
    """Text that is not well-formed IR, or a model file that cannot be read."""

    default_code = "parse"


class VerifyError(Error):
    """IR that breaks a rule of its dialect or level."""

    default_code = "verify"


class ShapeError(Error):
    """Shapes that do not fit, a dim outside its range, or a violated guard."""

    default_code = "shape"


class LowerError(Error):
    """A pass that cannot translate what it was given."""

    default_code = "lower"


class LegalizeError(Error):
    """Operations that the target does not support."""

    default_code = "legalize"


class BindError(Error):
    """Weights, inputs, outputs or states that do not match the model's signature."""

    default_code = "bind"


class TargetError(Error):
    """A target that is unknown, or that cannot compile or run here."""

    default_code = "target"


class PackageError(Error):
    """A package that is damaged, foreign, or that lacks what was asked of it."""

    default_code = "package"


class CacheError(Error):
    """A cache folder that cannot be used."""

    default_code = "cache"


class RuntimeFault(Error):
    """A fault while compiled code ran: an index out of range, a loop limit reached."""

    default_code = "fault"

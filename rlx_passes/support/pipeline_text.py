"""The text of pass pipelines: `a,b{x=1 y=p,q},func.func(c)`, read with positions, so that a mistake can be pointed at.

```
pipeline ::= (element (`,` element)*)?
element  ::= anchor `(` pipeline `)` | name options?
options  ::= `{` (key (`=` value (`,` value)*)?)* `}`
```
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn, get_type_hints

from xdsl.passes import ModulePass
from xdsl.utils.arg_spec import (
    ArgSpec,
    ArgSpecConvertible,
    ParameterListType,
    ParameterType,
    _convert_arg_to_type,
)
from xdsl.utils.hints import type_repr

from rlx_runtime.errors import Error, Location

PassFactory = Callable[[], type[ModulePass]]


class PipelineError(Error):
    """A pipeline that does not parse, or that names a pass or an option that does not exist."""

    default_code = "pipeline"


@dataclass(frozen=True)
class Element:
    """One element: a pass with its options, or, if `nested` is not None, an anchor with the elements inside."""

    name: str
    options: dict[str, ParameterListType]
    position: int
    option_positions: dict[str, int]
    nested: tuple[Element, ...] | None = None


_TOKENS = re.compile(
    r"""\s*(?: (?P<string>"(?:[^"\\\n]|\\.)*") | (?P<word>[A-Za-z0-9_.+/:-]+) | (?P<mark>[{}(),=]) )""", re.VERBOSE
)
_INTEGER, _FLOAT = re.compile(r"[-+]?\d+"), re.compile(r"[-+]?\d+\.\d*(?:[eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+")


class PipelineText:
    """A pipeline and its source text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._next, self._kind, self._value, self._start = 0, "", "", 0
        self._advance()
        self.elements = self._pipeline(closed_by="")

    def fail(self, message: str, position: int, hint: str | None = None, code: str | None = None) -> NoReturn:
        """Raise `PipelineError` that points at `position` of the text."""
        start = self.text.rfind("\n", 0, position) + 1
        line = self.text[start:].split("\n", 1)[0]
        location = Location("<pipeline>", self.text.count("\n", 0, position) + 1, position - start + 1, line)
        raise PipelineError(message, code=code, location=location, hint=hint)

    def unknown(self, what: str, name: str, known: Iterable[str], position: int) -> NoReturn:
        """Raise `PipelineError` for a name that is not in `known`, with the nearest one as a hint."""
        known = list(known)
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else None
        if hint is None and 0 < len(known) <= 8:
            hint = f"there is {', '.join(known)}"
        self.fail(f"unknown {what} '{name}'", position, hint, code=f"unknown-{what}")

    def _advance(self) -> None:
        match = _TOKENS.match(self.text, self._next)
        if match is None:
            rest = self.text[self._next :]
            self._start = self._next + len(rest) - len(rest.lstrip())
            if rest.strip():
                self.fail(f"unexpected character '{self.text[self._start]}'", self._start)
            self._kind, self._value = "end", ""
            return
        self._kind = str(match.lastgroup)
        self._value, self._start, self._next = match[self._kind], match.start(self._kind), match.end()

    def _expect(self, mark: str) -> None:
        if self._value != mark or self._kind != "mark":
            self.fail(f"expected '{mark}', found {self._found()}", self._start)
        self._advance()

    def _found(self) -> str:
        return "the end of the pipeline" if self._kind == "end" else f"'{self._value}'"

    def _pipeline(self, closed_by: str) -> tuple[Element, ...]:
        elements: list[Element] = []
        while not self._at(closed_by):
            elements.append(self._element())
            if self._at(","):
                self._advance()
                if self._at(closed_by):
                    self.fail(f"expected a pass name, found {self._found()}", self._start)
            elif not self._at(closed_by):
                end = f"'{closed_by}'" if closed_by else "the end"
                self.fail(f"expected ',' or {end}, found {self._found()}", self._start)
        return tuple(elements)

    def _at(self, mark: str) -> bool:
        return self._kind == "mark" and self._value == mark if mark else self._kind == "end"

    def _element(self) -> Element:
        if self._kind != "word":
            self.fail(f"expected a pass name, found {self._found()}", self._start)
        name, position = self._value, self._start
        self._advance()
        options: dict[str, ParameterListType] = {}
        positions: dict[str, int] = {}
        if self._at("("):
            self._advance()
            nested = self._pipeline(closed_by=")")
            self._expect(")")
            return Element(name, options, position, positions, nested)
        if self._at("{"):
            self._advance()
            while not self._at("}"):
                if self._kind != "word":
                    self.fail(f"expected an option name or '}}', found {self._found()}", self._start)
                key, positions[self._value] = self._value, self._start
                if key in options:
                    self.fail(f"option '{key}' is given twice", self._start)
                self._advance()
                options[key] = self._values()
            self._advance()
        return Element(name, options, position, positions)

    def _values(self) -> ParameterListType:
        if not self._at("="):
            return ()
        values: list[ParameterType] = []
        while not values or self._at(","):
            self._advance()
            if self._kind not in ("word", "string"):
                self.fail(f"expected a value, found {self._found()}", self._start)
            values.append(_value(self._value))
            self._advance()
        return tuple(values)


def _value(token: str) -> ParameterType:
    if token[0] == '"':
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    if token in ("true", "false"):
        return token == "true"
    if _INTEGER.fullmatch(token):
        return int(token)
    return float(token) if _FLOAT.fullmatch(token) else token


def build_pass(text: PipelineText, element: Element, available: Mapping[str, PassFactory]) -> ModulePass:
    """The pass that `element` names, with its options checked. Raises `PipelineError` at the pass or option at fault."""
    if element.name not in available:
        text.unknown("pass", element.name, available, element.position)
    cls = available[element.name]()
    spec = ArgSpec(element.name, element.options)
    if cls.from_spec.__func__ is not ArgSpecConvertible.from_spec.__func__:
        # The pass reads its options itself (`specialize{B=1 S=128}` takes any dim).
        return _construct(text, element, lambda: cls.from_spec(spec), element.position)

    known = {field.name.replace("_", "-"): field for field in dataclasses.fields(cls) if field.name != "name" and field.init}
    types = get_type_hints(cls)
    for key in element.options:
        if key.replace("_", "-") not in known:
            text.unknown("option", key, known, element.option_positions[key])
    given = {key.replace("_", "-"): key for key in element.options}
    required = {name.replace("_", "-") for name in cls.required_fields()} - given.keys()
    if required:
        text.fail(f"pass '{element.name}' needs option '{min(required)}'", element.position, code="missing-option")
    for option, key in given.items():
        wanted, value = types[known[option].name], element.options[key]
        try:
            _convert_arg_to_type(value, wanted)
        except ValueError:
            found = ",".join(str(part) for part in value) or "no value"
            text.fail(f"option '{key}' takes {type_repr(wanted)}, not {found}", element.option_positions[key], code="bad-option")
    return _construct(text, element, lambda: cls.from_spec(spec), element.position)


def _construct(text: PipelineText, element: Element, make: Callable[[], ModulePass], position: int) -> ModulePass:
    try:
        return make()
    except (ValueError, TypeError) as error:
        text.fail(f"pass '{element.name}': {error}", position, code="bad-option")
    except Error as error:
        text.fail(f"pass '{element.name}': {error.message}", position, error.hint, code=error.code)

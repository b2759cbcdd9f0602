"""`--verify-diagnostics`: errors must be those that comments in the input announce.

```mlir
// expected-error@+1 {{uses %x before its definition}}
"test.op"(%x) : (i32) -> ()
```

`@+N`, `@-N`, `@above` and `@below` move the line, nothing means the comment's own line, `@unknown` an error without a place.
The text in braces must be part of the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlx_runtime.errors import Error, Location, VerifyError

_EXPECTED = re.compile(r"expected-error(?:@(?P<where>[-+]\d+|above|below|unknown|\S*))?\s*\{\{(?P<text>.*?)\}\}")


@dataclass(frozen=True)
class Expectation:
    """An announced error: the comment's own line, the line that the error must have (None: no place), and its text."""

    comment_line: int
    line: int | None
    text: str

    def matches(self, error: Error) -> bool:
        line = error.location.line if isinstance(error.location, Location) else None
        return line == self.line and self.text in error.message


def check_expectations(text: str, file: str, line_offset: int, errors: Sequence[Error]) -> list[Error]:
    """Match `errors` with the comments of `text`. Returns what is left: unexpected errors, and one for each comment unmet."""
    left = list(errors)
    problems: list[Error] = []
    for expectation in _expectations(text, file, line_offset):
        if isinstance(expectation, Error):
            problems.append(expectation)
            continue
        found = next((error for error in left if expectation.matches(error)), None)
        if found is not None:
            left.remove(found)
        else:
            problems.append(
                VerifyError(
                    f"expected error was not reported: {expectation.text}",
                    code="expected-diagnostic",
                    location=Location(file, expectation.comment_line, 1),
                )
            )
    for error in left:
        problems.append(VerifyError(f"unexpected error: {error.message}", code=error.code, location=error.location))
    return problems


def _expectations(text: str, file: str, line_offset: int) -> Iterator[Expectation | Error]:
    for number, line in enumerate(text.split("\n"), 1 + line_offset):
        for match in _EXPECTED.finditer(line):
            where = match["where"]
            target: int | None
            if where is None:
                target = number
            elif where == "unknown":
                target = None
            elif where in ("above", "below"):
                target = number + (1 if where == "below" else -1)
            elif re.fullmatch(r"[-+]\d+", where):
                target = number + int(where)
            else:
                location = Location(file, number, match.start() + 1, line)
                yield VerifyError(f"'@{where}' is no place", location=location, hint="use @+N, @-N, @above, @below or @unknown")
                continue
            yield Expectation(number, target, match["text"])

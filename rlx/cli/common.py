"""What both command lines share: exit codes, the usage error, the report of an internal error."""

from __future__ import annotations

import sys
import tempfile
import traceback
from importlib.metadata import version

from rlx._version import __version__
from rlx_runtime.errors import Error

OK, FAILED, USAGE, INTERNAL = 0, 1, 2, 3
"""Exit codes: all well; the model, module or machine is at fault; the command line is; the compiler is."""


class UsageError(Error):
    """A command line that does not make sense."""

    default_code = "usage"


def versions() -> str:
    """`0.1.0 (xdsl 0.74.0, llvmlite 0.50.0)`."""
    return f"{__version__} (xdsl {version('xdsl')}, llvmlite {version('llvmlite')})"


def report_internal_error(program: str, error: BaseException, *, command: str, source: str = "", debug: bool = False) -> int:
    """Write a reproducer (command, input, traceback), say on stderr where it is, and return the exit code.

    `command` may hold `{file}`, which becomes the reproducer's path.
    """
    trace = "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile(
        "w", prefix="rlx-reproducer-", suffix=".mlir", delete=False, encoding="utf-8", errors="replace"
    ) as file:
        file.write(f"// {command.replace('{file}', file.name)}\n// {program} {versions()}\n")
        if source:
            file.write(source.rstrip("\n") + "\n\n")
        file.writelines(f"// {line}\n" for line in trace.splitlines())
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()) if note.startswith("while running"))
    print(f"{program}: internal error{notes}: {type(error).__name__}: {error}", file=sys.stderr)
    print(f"{program}: a reproducer is in {file.name}", file=sys.stderr)
    if debug:
        print(trace, file=sys.stderr)
    return INTERNAL

"""`rlx`: the command line. Each subcommand is a module of `rlx/cli/commands`, imported when it is called.

A command module has a docstring whose first line is its help, `add_arguments(parser)`, and `run(args)`, which prints to stdout
and returns an exit code. It may raise any `rlx.Error`. Every command gets `--json` and `--debug`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from rlx.cli.common import FAILED, USAGE, UsageError, report_internal_error, versions
from rlx_runtime.errors import Error

_ORDER = ("demo", "compile", "run", "bench", "inspect", "bisect", "doctor", "cache")


def command_names() -> list[str]:
    """The subcommands that exist, in the order of the help."""
    found = {module.name for module in iter_modules(import_module("rlx.cli.commands").__path__)}
    return [name for name in _ORDER if name in found] + sorted(found.difference(_ORDER))


def _command(name: str) -> ModuleType:
    return import_module(f"rlx.cli.commands.{name}")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rlx",
        description="A machine-learning compiler.",
        epilog="Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 internal error.",
    )
    parser.add_argument("--version", action="version", version=f"rlx {versions()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    names = command_names()
    # Importing a command may import the compiler, so only the one that is called is asked for its arguments.
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name in names:
        if called in names and name != called:
            commands.add_parser(name)
            continue
        module = _command(name)
        summary = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        sub = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--debug", action="store_true", help="print the traceback of an internal error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command on `argv` (default: the process's arguments) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    levels = {"1": logging.INFO, "2": logging.DEBUG}
    level = levels.get(os.environ.get("RLX_VERBOSE", ""), logging.WARNING)
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr, level=level)
    args = argparse.Namespace(json=False, debug=False)
    try:
        args = _parser(arguments).parse_args(arguments)
        return _command(args.command).run(args)
    except SystemExit as stop:  # argparse: --help, --version, or a wrong flag
        return stop.code if isinstance(stop.code, int) else USAGE
    except Error as error:
        _report(error, args)
        return USAGE if isinstance(error, UsageError) else FAILED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone: nothing can be told to it
        return FAILED
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last barrier: an internal error has an exit code of its own
        return report_internal_error("rlx", error, command=shlex.join(["rlx", *arguments]), debug=args.debug)


def _report(error: Error, args: argparse.Namespace) -> None:
    from rlx_passes.support.diagnostics import render

    print(f"rlx: {render(error)}" if error.location is None else render(error), file=sys.stderr)
    if args.json:
        place = None if error.location is None else str(error.location)
        print(json.dumps({"error": {"code": error.code, "message": error.message, "location": place, "hint": error.hint}}))


if __name__ == "__main__":
    sys.exit(main())

"""Runs the RUN lines of a lit file in this process: 8 ms a file instead of 300 for each command.

Understood: `rlx-opt`, `rlx` and `filecheck`, `not` before a command, pipes, `2>&1`, `%s`, `%S` and `%t`. A line with
anything else goes through a real shell, as lit would do it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import parse_argv_options
from filecheck.parser import Parser

from tests.lit_features import available_features

ROOT = Path(__file__).resolve().parent.parent
_RUN = re.compile(r"(?://|#)\s*RUN:\s*(.*?)\s*$", re.MULTILINE)
_REQUIRES = re.compile(r"(?://|#)\s*REQUIRES:\s*(.*?)\s*$", re.MULTILINE)
_IN_PROCESS = ("rlx-opt", "rlx", "filecheck")


class LitFailure(Exception):
    """A RUN line that failed; the text says which and what it printed."""


def run_lines(text: str) -> list[str]:
    """The RUN lines, with those that end in a backslash joined."""
    joined: list[str] = []
    open_line = False
    for line in _RUN.findall(text):
        if open_line:
            joined[-1] += " " + line.removesuffix("\\").strip()
        else:
            joined.append(line.removesuffix("\\").strip())
        open_line = line.endswith("\\")
    return joined


def missing_features(text: str) -> list[str]:
    """The features that the file requires and this machine lacks."""
    required = [feature.strip() for line in _REQUIRES.findall(text) for feature in line.split(",") if feature.strip()]
    return [feature for feature in required if feature not in available_features()] if required else []


def run_file(path: Path) -> None:
    """Run all RUN lines of a file. Raises `LitFailure` at the first that fails."""
    with tempfile.TemporaryDirectory() as scratch:
        for line in run_lines(path.read_text(encoding="utf-8")):
            command = line.replace("%s", str(path)).replace("%S", str(path.parent)).replace("%t", f"{scratch}/t")
            status, output = _run_line(command)
            if status != 0:
                raise LitFailure(f"RUN: {line}\nexit status {status}\n{output}")


def _run_line(line: str) -> tuple[int, str]:
    stages = _parse(line)
    if stages is None:
        return _run_in_shell(line)
    data, said, worst = "", "", 0
    for words, merge in stages:
        negate = words[0] == "not"
        status, out, err = _run_command(words[1:] if negate else words, data)
        if negate:
            status = 0 if status else 1
        said += "" if merge else err
        data = out + err if merge else out
        worst = worst or status
    return worst, said + (data if worst else "")


def _parse(line: str) -> list[tuple[list[str], bool]] | None:
    """Pipe stages as (words, whether stderr joins stdout), or None if the line needs a shell."""
    lexer = shlex.shlex(line.replace("2>&1", " @merge@ "), posix=True, punctuation_chars="|&;<>()$")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return None
    stages: list[tuple[list[str], bool]] = [([], False)]
    for word in words:
        if word == "|":
            stages.append(([], False))
        elif word == "@merge@":
            stages[-1] = (stages[-1][0], True)
        elif word and set(word) <= set("|&;<>()$"):
            return None
        else:
            stages[-1][0].append(word)
    for command, _ in stages:
        name = command[1:2] if command[:1] == ["not"] else command[:1]
        if not name or name[0] not in _IN_PROCESS:
            return None
    return stages


def _run_command(words: list[str], data: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    stdin = sys.stdin
    sys.stdin = TextIOWrapper(BytesIO(data.encode()), encoding="utf-8")
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = _dispatch(words[0], words[1:], data)
    finally:
        sys.stdin = stdin
    return status, out.getvalue(), err.getvalue()


def _dispatch(command: str, arguments: list[str], data: str) -> int:
    if command == "filecheck":
        options = parse_argv_options(["filecheck", *arguments])
        text = data if options.input_file == "-" else Path(options.input_file).read_text(encoding="utf-8")
        return Matcher(options, FInput(options.readable_input_file(), text), Parser.from_opts(options)).run()
    if command == "rlx-opt":
        from rlx.cli.opt import main
    else:
        from rlx.cli.main import main
    return main(arguments)


def _run_in_shell(line: str) -> tuple[int, str]:
    functions = "".join(
        f'{name}() {{ "{sys.executable}" -m {module} "$@"; }}\n'
        for name, module in (("rlx-opt", "rlx.cli.opt"), ("rlx", "rlx.cli.main"), ("filecheck", "filecheck"))
    )
    script = f'set -o pipefail\n{functions}not() {{ ! "$@"; }}\n{line}\n'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    return done.returncode, done.stdout + done.stderr

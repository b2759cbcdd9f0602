"""The code of README.md and of docs/ runs as it stands there, in one folder and in order."""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlx.cli.main import main
from rlx.cli.opt import main as rlx_opt

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/command-line.md", "docs/errors.md")
COMMANDS = {"rlx": main, "rlx-opt": rlx_opt}
HERE = (platform.system(), platform.machine())


def blocks(page: str) -> Iterator[tuple[str, int, str]]:
    """(language, line, code) of each fenced block with a language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield match[1], text.count("\n", 0, match.start(2)) + 1, match[2]


@pytest.mark.skipif(HERE != ("Linux", "x86_64"), reason="target cpu needs Linux on x86-64")
def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLX_CACHE_DIR", str(tmp_path / "cache"))
    names: dict[str, Any] = {}
    for page in PAGES:
        for language, line, code in blocks(page):
            if language == "python":
                # Blank lines before the code make line numbers of a traceback those of the page.
                exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), names)
                continue
            assert language == "sh", f"{page}:{line}: a block of {language}"
            for number, command in enumerate(code.splitlines(), line):
                program, *arguments = shlex.split(command)
                assert COMMANDS[program](arguments) == 0, f"{page}:{number}: {command}\n{capsys.readouterr().err}"
    assert "hint" not in capsys.readouterr().err


def test_links_and_names_exist() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https:)([^)#]+)", text):
            assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"


def test_every_variable_is_documented() -> None:
    """Every RLX_ variable that the sources read is in the table, and the other way round."""
    read: set[str] = set()
    for path in ROOT.glob("rlx*/**/*.py"):
        read.update(re.findall(r"environ\S*[(\[]\"(RLX_\w+)\"", path.read_text(encoding="utf-8")))
    documented = set(re.findall(r"^\| `(RLX_\w+)`", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert documented == read

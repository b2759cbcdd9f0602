"""No backend knows a tensor operation: read from the syntax trees of rlx_backends, the NumPy executor aside."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

BACKENDS = Path(__file__).resolve().parents[2] / "rlx_backends"
FILES = [path for path in sorted(BACKENDS.rglob("*.py")) if path.relative_to(BACKENDS).parts[0] != "numpy"]


def offences(source: str) -> list[str]:
    """Imports of the hir or mir dialect, and strings that start like the name of one of their operations."""
    found: list[str] = []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(("hir.", "mir.")):
            found.append(f"line {node.lineno}: the string '{node.value[:20]}'")
            continue
        else:
            continue
        for name in names:
            if name.startswith(("rlx_dialects.hir", "rlx_dialects.mir")):
                found.append(f"line {node.lineno}: the import of {name}")
    return found


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(BACKENDS))) for path in FILES])
def test_file_knows_no_tensor_operation(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import rlx_dialects.mir", "from rlx_dialects import hir", "from rlx_dialects.mir.elementwise import AddOp",
        "if op.name == 'mir.add': pass", "x = f'hir.{name}'",
    ],
)  # fmt: skip
def test_the_check_finds_offences(source: str) -> None:
    assert offences(source)


def test_the_check_lets_others_pass() -> None:
    assert offences("from rlx_dialects import lir\nfrom rlx_dialects.lir import MapOp\nx = 'lir.map'; y = 'admir.al'") == []

"""Every case of the lit files here also runs: the numbers before and after the pass agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.passes.mir.differential import check

FILES = sorted(Path(__file__).parent.glob("*.mlir"))
CHANGES_ROUNDING = ("mir-fuse-attention", "mir-raise-activations", "mir-raise-norms")
"""Passes that say they reassociate; all others keep every bit of f32."""


def cases() -> list[object]:
    found = []
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        pipeline = re.search(r"rlx-opt %s -p (?:'([^']*)'|(\S+))", text)
        if pipeline is None or "--verify-diagnostics" in text:
            continue
        for number, part in enumerate(text.split("// -----")):
            named = re.search(r"func\.func @(\w+)", part)
            if named is not None:
                found.append(pytest.param(part, pipeline[1] or pipeline[2], id=f"{file.stem}-{named[1]}-{number}"))
    return found


@pytest.mark.parametrize(("text", "pipeline"), cases())
def test_numbers_stay(text: str, pipeline: str) -> None:
    dims = {name: int(value) for name, value in re.findall(r"\b([A-Z]\w*)=(\d+)", pipeline)}
    check(text, pipeline, dims, bits=not pipeline.startswith(CHANGES_ROUNDING))

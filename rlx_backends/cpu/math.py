"""The functions of the math table."""

from __future__ import annotations

from collections.abc import Mapping

from xdsl.ir import Operation

from rlx_backends.cpu.target import CpuTarget
from rlx_backends.llvm.target import MathFunction


def math_table(target: CpuTarget) -> Mapping[tuple[type[Operation], str], MathFunction]:
    """Op class and LLVM element type -> code on native registers."""
    return {}

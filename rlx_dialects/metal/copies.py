"""Asynchronous copies of the `metal` dialect: the Metal Shading Language documents none, so there is no op here."""

from __future__ import annotations

from xdsl.ir import Operation

COPIES: list[type[Operation]] = []

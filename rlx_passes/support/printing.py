"""IR as text."""

from __future__ import annotations

from io import StringIO

from xdsl.ir import Operation
from xdsl.printer import Printer


def as_text(op: Operation, *, generic: bool = False) -> str:
    """The custom assembly of `op` (`str(op)` wraps it in the class name), without a final newline."""
    stream = StringIO()
    Printer(stream, print_generic_format=generic).print_op(op)
    return stream.getvalue()

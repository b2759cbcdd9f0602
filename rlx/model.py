"""Models of the public API: `rlx.Model`, and `rlx.parse` for IR text."""

from __future__ import annotations

from rlx_frontends.model import Model
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from rlx_passes.support.verify import verify_module

__all__ = ["Model", "parse"]


def parse(text: str, name: str = "<text>") -> Model:
    """A model from HIR or MIR text; `name` stands for the file in messages.

    Raises ParseError for text that is not well-formed and VerifyError for ops or a signature that break a rule, both with
    file:line:col.
    """
    module = parse_module(make_context(), text, name)
    verify_module(module)
    return Model(module)

"""The context that knows every dialect, loaded when first met."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects import get_all_dialects as get_xdsl_dialects

from rlx_dialects import get_all_dialects


def make_context(*, allow_unregistered: bool = False) -> Context:
    """A fresh context with xDSL's dialects and ours."""
    ctx = Context(allow_unregistered=allow_unregistered)
    for name, factory in (get_xdsl_dialects() | get_all_dialects()).items():
        ctx.register_dialect(name, factory)
    return ctx

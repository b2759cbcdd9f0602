"""Models of the public API: `rlx.Model`, and `rlx.parse` for IR text."""

from __future__ import annotations

from xdsl.dialects.func import FuncOp

from rlx_frontends.model import Model
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import location_of, parse_module
from rlx_passes.support.verify import verify_module
from rlx_runtime.errors import VerifyError

__all__ = ["Model", "parse"]


def parse(text: str | bytes, name: str = "<text>") -> Model:
    """A model from HIR or MIR text (bytes are UTF-8); `name` stands for the file in messages.

    Raises ParseError for text that is not well-formed and VerifyError for ops or a signature that break a rule, both with
    file:line:col.
    """
    module = parse_module(make_context(), text, name)
    verify_module(module)
    try:
        return Model(module)
    except VerifyError as error:
        if error.location is None:
            main = next((op for op in module.ops if isinstance(op, FuncOp) and op.sym_name.data == "main"), module)
            error.location = location_of(main)
        raise

"""What plain `xdsl-opt`, `xdsl-gui` and third-party tools find through the entry point `xdsl.universe`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from xdsl.passes import ModulePass
from xdsl.universe import Universe

import rlx_passes
from rlx_dialects import get_all_dialects


def get_all_passes() -> dict[str, Callable[[], type[ModulePass]]]:
    """Every pass of ours: target-independent ones and those of `rlx_backends/passes`."""
    table = rlx_passes.get_all_passes()
    if find_spec("rlx_backends.passes") is not None:
        table |= import_module("rlx_backends.passes").get_all_passes()
    return table


RLX_UNIVERSE = Universe(all_dialects=get_all_dialects(), all_passes=get_all_passes())

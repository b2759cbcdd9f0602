"""`rlx.PassManager`: the pass manager with every pass of the project, those of the backends included."""

from __future__ import annotations

from typing import Protocol, TypeVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from rlx.universe import get_all_passes
from rlx_passes import manager
from rlx_passes.manager import Passes


class HasModule(Protocol):
    """What wraps a module: `rlx.Model` and everything that has a `module`."""

    @property
    def module(self) -> ModuleOp: ...


_M = TypeVar("_M", bound=ModuleOp | HasModule)


class PassManager(manager.PassManager):
    """Runs a pipeline over modules and models; arguments as in `rlx_passes.manager.PassManager`.

    `rlx.PassManager("cpu-default", verify="each", dump="ir").run(model)`
    """

    def __init__(self, pipeline: Passes, **arguments: object) -> None:
        arguments.setdefault("available", get_all_passes())
        super().__init__(pipeline, **arguments)  # pyright: ignore[reportArgumentType]

    def run(self, model: _M, ctx: Context | None = None) -> _M:
        """Run the passes on a module or on a model's module, in place, and return what was given."""
        super().run(model if isinstance(model, ModuleOp) else model.module, ctx)
        return model

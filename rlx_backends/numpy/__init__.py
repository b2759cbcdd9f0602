"""The numpy backend: executors of HIR, MIR and LIR.

Nothing is compiled; it is the reference that the others are compared with. `lir_executor.run_lir` runs programs before and
after planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from rlx_runtime.errors import LowerError, TargetError


@dataclass(frozen=True)
class NumpyTarget:
    """Runs wherever NumPy does; it has no options."""

    name: str = "numpy"


class NumpyBackend:
    """Executes LIR as it is, so it has neither schedules nor objects."""

    name = "numpy"

    def target(self, options: Mapping[str, Any]) -> NumpyTarget:
        if options:
            raise TargetError(f"target 'numpy' has no options, found {', '.join(sorted(options))}")
        return NumpyTarget()

    def schedules(self, form: Any) -> NoReturn:
        raise LowerError(f"target 'numpy' executes '{form.name}' as it is and has no schedules")

    @property
    def kernel_builder(self) -> NoReturn:
        raise LowerError("target 'numpy' executes LIR as it is and has no kernels")

    entry_writer = kernel_builder

    def compile(self, module: Any, target: Any, options: Mapping[str, Any]) -> NoReturn:
        raise TargetError("target 'numpy' executes LIR and compiles nothing", hint="run_lir of rlx_backends.numpy runs it")


BACKEND = NumpyBackend()

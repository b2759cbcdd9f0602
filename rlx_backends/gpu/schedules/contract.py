"""Schedules of `lir.contract` on GPUs.

* `general`: correct for every contract: one thread for each result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlx_backends.base import Pack, Scratch
from rlx_backends.gpu.kernel_builder import GpuKernelBuilder
from rlx_backends.gpu.schedules import contract_general
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import ContractOp, FormOp, ScheduleAttr


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """`general`."""
    return [ScheduleAttr.get("general")]


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: operands are read where they lie."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """None."""
    return ()


def lower(kernel: GpuKernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """Write the kernel for the schedule's kind."""
    assert isinstance(form, ContractOp)
    contract_general.lower(kernel, form)

"""Schedules of the forms with order in them: `lir.scan`, `lir.sort`, `lir.scatter`, each in a module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlx_backends.base import Pack, Scratch
from rlx_backends.cpu.schedules import scan, scatter, sort
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_backends.support.sharing import Split
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, ScanOp, ScatterOp, ScheduleAttr, SortOp

_MODULES: dict[type[FormOp], Any] = {ScanOp: scan, SortOp: sort, ScatterOp: scatter}


def choose(form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
    """One schedule, without a condition."""
    return [_MODULES[type(form)].choose(form, target, facts)]


def packs(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
    """None: elements are read once, or at places that data decides."""
    return ()


def scratch(form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
    """What a sort keeps of a row; the others need none."""
    return sort.scratch(form, schedule) if isinstance(form, SortOp) else ()


def split(form: FormOp, schedule: ScheduleAttr, facts: Facts) -> Split | None:
    """None: what a thread touches is not a part of its own."""
    return None


def lower(kernel: KernelBuilder, form: FormOp, schedule: ScheduleAttr) -> None:
    """See the modules."""
    _MODULES[type(form)].lower(kernel, form, schedule)

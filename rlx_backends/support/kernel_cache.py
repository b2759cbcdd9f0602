"""One kernel function for all forms of equal structure.

Two forms are equal if they print the same with their operands and iteration dims numbered instead of named: same kinds,
extents, accesses, regions, operand types and schedule. Layers of a model differ in which buffers they use, which are
arguments.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from xdsl.printer import Printer

from rlx_backends.base import Backend
from rlx_backends.support.kernel_builder import KernelBuilder
from rlx_dialects import kernel
from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, ScheduleAttr


def structure(form: FormOp) -> str:
    """The form's text without names and label."""
    clone = form.clone()
    clone.properties.pop("label", None)
    for value in (v for region in clone.regions for block in region.blocks for v in block.args):
        value.name_hint = None
    for op in clone.walk():
        for value in (*op.results, *(a for r in op.regions for b in r.blocks for a in b.args)):
            value.name_hint = None
    out = io.StringIO()
    printer = Printer(out)
    # Operands are numbered in order, so that equal forms on other buffers print the same.
    names = {value: f"o{number}" for number, value in enumerate(dict.fromkeys(clone.operands))}
    printer._ssa_values.update(names)
    printer.print_op(clone)
    clone.drop_all_references()
    return out.getvalue()


@dataclass
class KernelCache:
    """Kernel functions by structure and schedule."""

    backend: Backend
    target: Any
    builder: type[KernelBuilder] = KernelBuilder
    functions: list[kernel.Function] = field(default_factory=list)
    _found: dict[tuple[str, ScheduleAttr, frozenset[Any]], KernelBuilder] = field(default_factory=dict)

    def kernel(self, form: FormOp, schedule: ScheduleAttr, facts: Facts) -> KernelBuilder:
        """The finished builder of the function for `form` under `schedule`."""
        key = (structure(form), schedule, frozenset(facts.symbols.items()))
        found = self._found.get(key)
        if found is None:
            name = f"{form.name.split('.')[-1]}_{len(self._found)}"
            schedules = self.backend.schedules(form)
            scratch = schedules.scratch(form, schedule, self.target, facts)
            found = self._found[key] = self.builder(name, form, schedule, self.target, facts, scratch)
            schedules.lower(found, form, schedule)
            self.functions.append(found.finish())
        return found

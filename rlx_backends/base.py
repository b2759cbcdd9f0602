"""What a backend is.

A backend is schedules for forms plus a table that emits scalar ops. It never sees a tensor op. Each backend package exports
`BACKEND` with this interface and has the same file names: `target.py` (facts and options), `schedules/` (one module per form),
`emit.py`, `compile.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from xdsl.dialects.builtin import ModuleOp

from rlx_dialects.dims.facts import Facts
from rlx_dialects.lir import FormOp, LayoutAttr, ScheduleAttr

if TYPE_CHECKING:
    from rlx_backends.support.entry import EntryWriter
    from rlx_backends.support.kernel_builder import KernelBuilder
    from rlx_backends.support.sharing import Split


class TargetFacts(Protocol):
    """Frozen description of a machine; its text is part of every fingerprint."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Pack:
    """An operand wants another layout: `operand` counts `ins`; the packed buffer's shape is `dims` and its element at `indices`
    of the form is the operand's.

    `indices` name iteration dims; `layout` is of rank `len(dims)`.
    """

    operand: int
    dims: tuple[Any, ...]
    indices: tuple[Any, ...]
    layout: LayoutAttr


@dataclass(frozen=True)
class Scratch:
    """Memory a schedule needs, planned like any buffer: `elements` of `element_type`, once for each thread if `per_thread`."""

    elements: Any
    element_type: Any
    per_thread: bool = True


class FormSchedules(Protocol):
    """One module of `schedules/`: how one form class runs on this backend.

    Functions, not objects, so that a module satisfies it.
    """

    def choose(self, form: FormOp, target: Any, facts: Facts) -> Sequence[ScheduleAttr]:
        """Up to four schedules, conditions on dims first, the last unconditional.

        Raises LowerError for what no schedule covers.
        """
        ...

    def packs(self, form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Pack]:
        """Layouts the schedule wants. All schedules of one form must agree on them."""
        ...

    def scratch(self, form: FormOp, schedule: ScheduleAttr, target: Any, facts: Facts) -> Sequence[Scratch]:
        """Scratch buffers, in the order the kernel takes them."""
        ...

    def split(self, form: FormOp, schedule: ScheduleAttr, facts: Facts) -> Split | None:
        """How the team shares the form, if it does so along leading iteration dims; asked where threads wait for each other."""
        ...

    def lower(self, kernel: Any, form: FormOp, schedule: ScheduleAttr) -> None:
        """Write the body of the kernel function (a `KernelBuilder`)."""
        ...


class Backend(Protocol):
    """One target."""

    name: str

    @property
    def kernel_builder(self) -> type[KernelBuilder]:
        """What writes the kernel of a form; `schedules` get one to write with."""
        ...

    @property
    def entry_writer(self) -> type[EntryWriter]:
        """What writes the entry of a program, out of the kernels of its forms."""
        ...

    def target(self, options: Mapping[str, Any]) -> TargetFacts:
        """The machine to compile for; TargetError says what is missing."""
        ...

    def schedules(self, form: FormOp) -> FormSchedules:
        """The schedule module of a form's class; LowerError if there is none."""
        ...

    def compile(self, module: ModuleOp, target: Any, options: Mapping[str, Any]) -> Mapping[str, bytes]:
        """Kernel IR to named objects (`kernels.o`, …)."""
        ...

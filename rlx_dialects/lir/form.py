"""What all kernel forms share: iteration dims in groups, operands with accesses, regions, schedules; their syntax and checks.

```
lir.contract (m : B * S, n : 2048 | k : 768) ins(%x[m, k], %w[k, n]) extra(%bias[n]) outs(%y[m, n]) {…} epilogue {…}
    : (in types), (extra types), (out types)
```
Groups of iteration dims are separated by `|`; each form names its groups. Operands: `ins` feed the main region, `extra` the last
region (where a form has two), `outs` are written, `scratch` is memory a schedule asked for. Everything a form touches is an
operand.

A result may lie in the place of an operand that dies at the form and has the same map (`ins` of a map or reduce, `extra` of a
contract). So a schedule stores an element only after its last read of those operands at that point.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar, Self

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, StringAttr
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.irdl import AttrSizedOperandSegments, IRDLOperation, opt_prop_def, prop_def, traits_def, var_operand_def
from xdsl.parser import Parser, UnresolvedOperand
from xdsl.printer import Printer
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect
from xdsl.utils.exceptions import VerifyException

from rlx_dialects.dims import DimExpr
from rlx_dialects.lir.types import AccessAttr, BufferType, IterAttr, ScheduleAttr


class FormOp(IRDLOperation, ABC):
    """Base of `lir.map`, `lir.reduce`, `lir.contract`, `lir.attention`, `lir.scan`, `lir.sort`, `lir.scatter`."""

    GROUPS: ClassVar[tuple[str, ...]]
    """Names of the iteration dim groups in order, e.g. ("parallel", "reduce")."""
    REGIONS: ClassVar[tuple[str, ...]] = ("",)
    """Keyword before each region; the first is usually empty."""
    PARAMS: ClassVar[tuple[str, ...]] = ()
    """Properties printed in the parameter dictionary beside `schedule` and `label`."""

    ins = var_operand_def(BufferType)
    extra = var_operand_def(BufferType)
    outs = var_operand_def(BufferType)
    scratch = var_operand_def(BufferType)
    iters = prop_def(ArrayAttr)
    accesses = prop_def(ArrayAttr)
    schedule = opt_prop_def(ArrayAttr)
    label = opt_prop_def(StringAttr)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    def __init__(
        self,
        iters: Sequence[IterAttr],
        ins: Sequence[tuple[SSAValue, AccessAttr]],
        outs: Sequence[tuple[SSAValue, AccessAttr]],
        regions: Sequence[Region],
        *,
        extra: Sequence[tuple[SSAValue, AccessAttr]] = (),
        scratch: Sequence[SSAValue] = (),
        params: dict[str, Attribute] | None = None,
        schedule: Sequence[ScheduleAttr] | None = None,
        label: str | None = None,
    ):
        super().__init__(
            operands=[[v for v, _ in ins], [v for v, _ in extra], [v for v, _ in outs], list(scratch)],
            properties={
                "iters": ArrayAttr(iters),
                "accesses": ArrayAttr(access for _, access in (*ins, *extra, *outs)),
                "schedule": ArrayAttr(schedule) if schedule else None,
                "label": StringAttr(label) if label else None,
                **(params or {}),
            },
            regions=list(regions),
        )

    # -- queries

    def group(self, name: str) -> list[IterAttr]:
        """The iteration dims of one group, outermost first."""
        return [it for it in self.iters.data if isinstance(it, IterAttr) and it.group.data == name]

    @property
    def extents(self) -> dict[str, DimExpr]:
        return {it.symbol.data: it.dim for it in self.iters.data if isinstance(it, IterAttr)}

    def _slice(self, start: int, count: int) -> list[AccessAttr]:
        return [a for a in self.accesses.data[start : start + count] if isinstance(a, AccessAttr)]

    @property
    def in_accesses(self) -> list[AccessAttr]:
        return self._slice(0, len(self.ins))

    @property
    def extra_accesses(self) -> list[AccessAttr]:
        return self._slice(len(self.ins), len(self.extra))

    @property
    def out_accesses(self) -> list[AccessAttr]:
        return self._slice(len(self.ins) + len(self.extra), len(self.outs))

    @property
    def reads(self) -> list[tuple[SSAValue, AccessAttr]]:
        return [*zip(self.ins, self.in_accesses, strict=True), *zip(self.extra, self.extra_accesses, strict=True)]

    @property
    def writes(self) -> list[tuple[SSAValue, AccessAttr]]:
        return list(zip(self.outs, self.out_accesses, strict=True))

    # -- syntax

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        parser.parse_punctuation("(")
        iters: list[IterAttr] = []
        for position, group in enumerate(cls.GROUPS):
            if position:
                parser.parse_punctuation("|", f" before the {group} dims")
            while parser._current_token.text not in ("|", ")"):
                iters.append(IterAttr.parse_in_group(parser, group))
                if not parser.parse_optional_punctuation(","):
                    break
        parser.parse_punctuation(")")
        segments: list[list[tuple[UnresolvedOperand, AccessAttr]]] = []
        for keyword in ("ins", "extra", "outs", "scratch"):
            segment: list[tuple[UnresolvedOperand, AccessAttr]] = []
            if parser.parse_optional_keyword(keyword):
                segment = parser.parse_comma_separated_list(
                    parser.Delimiter.PAREN, lambda: (parser.parse_unresolved_operand(), AccessAttr.parse_suffix(parser))
                )
            segments.append(segment)
        params = parser.parse_optional_keyword("params")
        properties = parser.parse_optional_dictionary_attr_dict() if params else {}
        regions: list[Region] = []
        for keyword in cls.REGIONS:
            if keyword and not parser.parse_optional_keyword(keyword):
                regions.append(Region())
                continue
            regions.append(parser.parse_region())
        parser.parse_punctuation(":")
        resolved: list[list[SSAValue]] = []
        for segment in segments:
            values: list[SSAValue] = []
            for operand, _ in segment:
                if any(resolved) or values:
                    parser.parse_punctuation(",")
                values.append(parser.resolve_operand(operand, parser.parse_type()))
            resolved.append(values)
        accesses = [access for segment in segments[:3] for _, access in segment]
        return cls.create_from_parts(iters, resolved, accesses, properties, regions)

    @classmethod
    def create_from_parts(
        cls,
        iters: Sequence[IterAttr],
        operands: Sequence[Sequence[SSAValue]],
        accesses: Sequence[AccessAttr],
        properties: dict[str, Attribute],
        regions: Sequence[Region],
    ) -> Self:
        op = cls.__new__(cls)
        IRDLOperation.__init__(
            op,
            operands=list(operands),
            properties={"iters": ArrayAttr(iters), "accesses": ArrayAttr(accesses), **properties},
            regions=list(regions),
        )
        return op

    def print(self, printer: Printer) -> None:
        groups = [", ".join(it.text() for it in self.group(name)) for name in self.GROUPS]
        printer.print_string(f" ({' | '.join(groups)})")
        for keyword, values, accesses in (
            ("ins", self.ins, self.in_accesses),
            ("extra", self.extra, self.extra_accesses),
            ("outs", self.outs, self.out_accesses),
            ("scratch", self.scratch, [AccessAttr.get(None)] * len(self.scratch)),
        ):
            if not values:
                continue
            printer.print_string(f" {keyword}(")
            for position, (value, access) in enumerate(zip(values, accesses, strict=True)):
                if position:
                    printer.print_string(", ")
                printer.print_operand(value)
                access.print_suffix(printer)
            printer.print_string(")")
        named = (*self.PARAMS, "schedule", "label")
        params = {key: self.properties[key] for key in named if key in self.properties}
        if params:
            printer.print_string(" params ")
            printer.print_attr_dict(DictionaryAttr(params).data)
        for keyword, region in zip(self.REGIONS, self.regions, strict=True):
            if keyword and not region.blocks:
                continue
            printer.print_string(f" {keyword}" if keyword else "")
            printer.print_string(" ")
            printer.print_region(region)
        printer.print_string(" : ")
        printer.print_list(self.operands, lambda value: printer.print_attribute(value.type))

    # -- checks

    def verify_(self) -> None:
        names = [it.symbol.data for it in self.iters.data if isinstance(it, IterAttr)]
        if len(set(names)) != len(names):
            raise VerifyException(f"iteration dims are named twice: ({', '.join(names)})")
        count = len(self.ins) + len(self.extra) + len(self.outs)
        if len(self.accesses.data) != count:
            raise VerifyException(f"{len(self.accesses.data)} accesses for {count} operands")
        for what, pairs in (("operand", self.reads), ("result", self.writes)):
            for position, (value, access) in enumerate(pairs):
                self._verify_access(f"{what} {position}", value, access, written=what == "result")
        for entry in self.schedule.data if self.schedule else ():
            if not isinstance(entry, ScheduleAttr):
                raise VerifyException(f"schedule holds {entry}, which is not a #lir.schedule")
        self.verify_form()

    def _verify_access(self, what: str, value: SSAValue, access: AccessAttr, *, written: bool) -> None:
        kind = value.type
        assert isinstance(kind, BufferType)
        if access.is_whole:
            if written and not self.ALLOWS_WHOLE_OUTPUT:
                raise VerifyException(f"{what} needs an index map: a form writes one element per point")
            return
        if len(access.exprs) != kind.rank:
            raise VerifyException(f"{what} has {len(access.exprs)} indices into a buffer of rank {kind.rank}, {kind}")
        if access.is_guarded and written:
            raise VerifyException(f"{what} cannot be guarded")
        if access.is_guarded and getattr(access.fill, "type", None) != kind.scalar_type:
            raise VerifyException(f"{what} holds {kind.scalar_type}, its fill value is {access.fill}")

    ALLOWS_WHOLE_OUTPUT: ClassVar[bool] = False

    def verify_form(self) -> None:
        """Checks of one form, after the shared ones."""

    def read_types(self, segment: str = "ins") -> list[Attribute]:
        """What the region receives for each operand: a scalar, or the buffer itself for a whole access."""
        values, accesses = (self.ins, self.in_accesses) if segment == "ins" else (self.extra, self.extra_accesses)
        return [v.type if a.is_whole else _scalar(v.type) for v, a in zip(values, accesses, strict=True)]

    def write_types(self) -> list[Attribute]:
        return [_scalar(value.type) for value in self.outs]


def _scalar(kind: Attribute) -> Attribute:
    assert isinstance(kind, BufferType)
    return kind.scalar_type

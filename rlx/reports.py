"""What a compilation reports: each has `str()` for reading and `to_json()` for tools, in a stable order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from rlx_backends.support.manifest import place
from rlx_dialects.dims import DimExpr, const
from rlx_dialects.lir import (
    AttentionOp,
    BufferType,
    ContractOp,
    FormOp,
    PackedOp,
    ProgramOp,
    ScheduleAttr,
    SlotOp,
    programs,
    root_buffer,
)

FUSED_OPS = (
    "mir.attention",
    "mir.matmul_bias_act",
    "mir.residual_layer_norm",
    "mir.residual_rms_norm",
    "mir.swiglu",
    "mir.swiglu_matmul",
)


@dataclass(frozen=True)
class FusionReport:
    """Named fusions in the optimized MIR, and forms that grew out of several ops.

    `named` counts fused MIR ops; `forms` counts the forms of `@main` by the ops they came from, joined with `+`; `ops` is how
    many MIR ops there are.
    """

    named: Mapping[str, int]
    forms: Mapping[str, int]
    ops: int

    @classmethod
    def of(cls, mir: ModuleOp, lir: ModuleOp) -> FusionReport:
        names = Counter(op.name for op in mir.walk() if op.name.startswith("mir."))
        main = next(p for p in programs(lir) if p.sym_name.data == "main")
        labels = Counter(op.label.data if op.label else op.name for op in main.walk() if isinstance(op, FormOp))
        named = {name.removeprefix("mir."): names[name] for name in FUSED_OPS if names[name]}
        return cls(named, dict(sorted(labels.items())), sum(names.values()))

    def to_json(self) -> dict[str, Any]:
        return {"named": dict(self.named), "forms": dict(self.forms), "ops": self.ops}

    def __str__(self) -> str:
        launched = sum(self.forms.values())
        lines = [f"{self.ops} tensor ops run as {launched} kernels"]
        lines += [f"  {count:4} x {name}" for name, count in self.named.items()]
        joined = {label: count for label, count in self.forms.items() if "+" in label}
        lines += [f"  {count:4} x {label} in one kernel" for label, count in joined.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class DispatchReport:
    """One entry for each item of the schedule: op names, form, schedules with conditions, extents, place in the source."""

    target: str
    items: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, target: str, lir: ModuleOp) -> DispatchReport:
        items: list[Mapping[str, Any]] = []
        for program in programs(lir):
            for op in program.walk():
                if not isinstance(op, FormOp):
                    continue
                schedules = [str(s) for s in op.schedule.data if isinstance(s, ScheduleAttr)] if op.schedule else []
                items.append(
                    {
                        "program": program.sym_name.data,
                        "op": op.label.data if op.label else op.name,
                        "form": op.name.removeprefix("lir."),
                        "extents": {name: str(extent) for name, extent in op.extents.items()},
                        "schedules": schedules,
                        "loc": place(op),
                    }
                )
        return cls(target, tuple(items))

    def to_json(self) -> dict[str, Any]:
        return {"target": self.target, "items": [dict(item) for item in self.items]}

    def __str__(self) -> str:
        lines = [f"target {self.target}: {len(self.items)} scheduled forms"]
        for item in self.items:
            extents = " ".join(f"{name}={extent}" for name, extent in item["extents"].items())
            lines.append(f"  {item['program']:8} {item['form']:10} {item['op']:32} {extents}  {' | '.join(item['schedules'])}")
        return "\n".join(lines)


@dataclass(frozen=True)
class MemoryPlanReport:
    """The arena of `@main`: slots with offset and size in bytes, as expressions in the dims."""

    arena: DimExpr
    slots: tuple[tuple[str, DimExpr, DimExpr], ...]
    packed_bytes: int

    @classmethod
    def of(cls, program: ProgramOp) -> MemoryPlanReport:
        slots: list[tuple[str, DimExpr, DimExpr]] = []
        packed = 0
        for number, op in enumerate(program.walk()):
            if isinstance(op, SlotOp):
                kind = op.result.type
                assert isinstance(kind, BufferType)
                slots.append((op.result.name_hint or f"t{number}", op.offset.data, kind.size_bytes))
            elif isinstance(op, PackedOp):
                size = op.result.type.size_bytes
                packed += size.value if size.is_const else 0
        return cls(program.arena.data if program.arena is not None else const(0), tuple(slots), packed)

    @property
    def unshared(self) -> DimExpr:
        """Bytes the slots would take side by side."""
        total = const(0)
        for _, _, size in self.slots:
            total = total + size
        return total

    def bytes_for(self, threads: int = 1, **dims: int) -> dict[str, int]:
        """Arena bytes, bytes without sharing, and what sharing saves, at concrete dims."""
        env = {"threads": threads, **dims}
        arena, unshared = self.arena.evaluate(env), self.unshared.evaluate(env)
        return {"arena": arena, "unshared": unshared, "saved": max(unshared - arena, 0)}

    def to_json(self) -> dict[str, Any]:
        return {
            "arena": self.arena.to_json(),
            "slots": [{"name": n, "offset": o.to_json(), "bytes": s.to_json()} for n, o, s in self.slots],
            "packed_bytes": self.packed_bytes,
        }

    def __str__(self) -> str:
        lines = [f"arena {self.arena} bytes for {len(self.slots)} buffers of {self.unshared} bytes"]
        lines += [f"  {name:16} at {offset}: {size}" for name, offset, size in self.slots]
        return "\n".join(lines)


@dataclass(frozen=True)
class CostAnalysis:
    """Floating-point operations and bytes moved by a program, as expressions in its dims.

    `flops` counts two per multiply-add of contractions and attention products and one per arithmetic op elsewhere; `bytes`
    counts each buffer once for each form that reads or writes it.
    """

    flops: DimExpr
    bytes: DimExpr
    launches: int

    @classmethod
    def of(cls, program: ProgramOp) -> CostAnalysis:
        flops, moved, launches = const(0), const(0), 0
        for op in program.walk():
            if not isinstance(op, FormOp):
                continue
            launches += 1
            flops = flops + form_flops(op)
            for root in dict.fromkeys(root_buffer(v) for v, _ in (*op.reads, *op.writes)):
                moved = moved + root.type.size_bytes  # pyright: ignore[reportAttributeAccessIssue]
        return cls(flops, moved, launches)

    def formulas(self) -> dict[str, Any]:
        """As in a manifest: expressions that need no compiler to be evaluated."""
        return {"flops": self.flops.to_json(), "bytes": self.bytes.to_json(), "launches": self.launches}

    def to_json(self, dims: Mapping[str, int]) -> dict[str, Any]:
        if not dims:
            return {"flops": str(self.flops), "bytes": str(self.bytes), "launches": self.launches}
        return {"flops": self.flops.evaluate(dims), "bytes": self.bytes.evaluate(dims), "launches": self.launches}


def form_flops(form: FormOp) -> DimExpr:
    """See `CostAnalysis`."""

    def points(groups: tuple[str, ...]) -> DimExpr:
        total = const(1)
        for group in groups:
            for it in form.group(group):
                total = total * it.dim
        return total

    if isinstance(form, ContractOp):
        return points(("parallel", "reduce")) * (2 * len(form.product.lhs))
    if isinstance(form, AttentionOp):
        keys = points(("parallel", "reduce"))
        return keys * 2 * (points(("dot",)) + points(("value",)))
    arithmetic = sum(1 for region in form.regions for op in region.walk() if op.name.startswith(("arith.", "math.")))
    return points(form.GROUPS) * arithmetic

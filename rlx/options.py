"""Options of a compilation; every field is also a CLI flag of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from rlx.devices import GPU_TARGETS, device_arch
from rlx_runtime.errors import LowerError

CHOICES: Mapping[str, tuple[str, ...]] = {
    "numerics": ("default", "strict", "fast"),
    "precision": ("f32", "tf32", "bf16"),
    "boundary": ("external", "arena"),
    "plan_effort": ("default", "max"),
}


@dataclass(frozen=True)
class Options:
    """How to compile. LowerError for a value that is not among the choices.

    Attributes:
        numerics: "default" may keep f32 between fused ops of narrower floats; "strict" rounds at every op; "fast" may also
        reassociate. precision: what products of f32 may be computed in.
        cpu: LLVM's name of the processor or GPU to compile for; "" is the host, or the GPU that is here.
        features: LLVM's feature string, such as "+avx2,-avx512f"; "" is what `cpu` has.
        threads: the most threads a call uses; 0 is one per core.
        schedules: text of forced schedules by form label, `(("matmul", '#lir.schedule<"plain">'), …)`.
        boundary: "external" plans only temporaries; "arena" gives every buffer a slot.
        plan_effort: how long the memory planner may search.
        allow_host_ops: whether ops without a kernel form may run their NumPy semantics.
        codegen_level: LLVM's code generation level, 1 to 3.
        emulate: compile kernels of a GPU for this machine's CPU, where they run as the GPU would run them, slowly.
    """

    numerics: Literal["default", "strict", "fast"] = "default"
    precision: Literal["f32", "tf32", "bf16"] = "f32"
    cpu: str = ""
    features: str = ""
    threads: int = 0
    schedules: tuple[tuple[str, str], ...] = ()
    boundary: Literal["external", "arena"] = "external"
    plan_effort: Literal["default", "max"] = "default"
    allow_host_ops: bool = False
    codegen_level: int = 1
    emulate: bool = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise LowerError(f"option {name} is {getattr(self, name)!r}; choices: {', '.join(choices)}", code="bad-option")
        if not 1 <= self.codegen_level <= 3:
            raise LowerError(f"option codegen_level is {self.codegen_level}; it is 1, 2 or 3", code="bad-option")
        if self.threads < 0:
            raise LowerError(f"option threads is {self.threads}; it is 0 or more", code="bad-option")

    def to_json(self) -> dict[str, Any]:
        """Every field by name, as JSON has it."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return found | {"schedules": [list(pair) for pair in self.schedules]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Options:
        """The inverse of `to_json`; TypeError for a field that there is not."""
        schedules = tuple((str(label), str(text)) for label, text in data.get("schedules", ()))
        return cls(**{**data, "schedules": schedules})

    def machine(self, target: str) -> dict[str, Any]:
        """The options that describe the machine, as the backend of `target` takes them: of a GPU, the one that is here."""
        if target == "numpy":
            return {}
        cpu = self.cpu
        if not cpu and target in GPU_TARGETS and not self.emulate:
            cpu = device_arch(target)
        return {"cpu": cpu, "features": self.features}

"""The GPU that code is compiled for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlx_dialects.gpu import GpuFacts, GpuOps, architectures, dialect_of, facts_for
from rlx_dialects.gpu.facts import DEFAULT_ARCH
from rlx_runtime.errors import TargetError


@dataclass(frozen=True)
class GpuTarget:
    """One architecture; `facts` says what its hardware has, `ops` are the classes of its dialect."""

    facts: GpuFacts
    features: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """LLVM's name of the architecture, or Apple's GPU family."""
        return self.facts.arch

    @property
    def ops(self) -> GpuOps:
        return dialect_of(self.facts.dialect)


def gpu_target(dialect: str, options: Mapping[str, Any]) -> GpuTarget:
    """The architecture that the option `cpu` names, or the usual one. TargetError lists the known ones."""
    arch = options.get("cpu") or DEFAULT_ARCH[dialect]
    if options.get("features"):
        raise TargetError(f"target '{dialect}' takes no features: the architecture decides", code="bad-features")
    facts = facts_for(dialect, arch)
    if facts is None:
        known = ", ".join(architectures(dialect))
        raise TargetError(f"unknown architecture '{arch}' of target '{dialect}'", code="unknown-arch", hint=f"known: {known}")
    return GpuTarget(facts)

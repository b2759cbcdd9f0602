"""Named pipelines as data: which passes, in which stages, and what may be left at the end of each stage.

To add a pass to a pipeline, add a line to a stage. A name may carry options (`"mir-fuse{target=cpu}"`). A stage is also a
stop point: `rlx-opt -p cpu-default --stop-after=mir`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Passes that lead to and improve one level. After them, only operations of `dialects` may be left."""

    name: str
    passes: tuple[str, ...]
    dialects: frozenset[str]


@dataclass(frozen=True)
class Pipeline:
    """A named list of stages. Options given to the pipeline go to every pass that has an option of that name."""

    name: str
    summary: str
    stages: tuple[Stage, ...]

    @property
    def passes(self) -> tuple[str, ...]:
        """All passes in order."""
        return tuple(name for stage in self.stages for name in stage.passes)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.summary}"]
        for stage in self.stages:
            lines.append(f"  {stage.name}")
            lines += [f"    {name}" for name in stage.passes]
        return "\n".join(lines)


_HIR = Stage(
    "hir",
    passes=("rlx-cse", "rlx-dce"),
    dialects=frozenset({"builtin", "func", "hir", "mir"}),
)

_MIR = Stage(
    "mir",
    passes=(
        "convert-hir-to-mir",
        "mir-canonicalize",
        "rlx-cse",
        "mir-fuse-attention",
        "mir-canonicalize",
        "mir-fuse-swiglu",
        "mir-fuse-matmul-bias-act",
        "mir-fuse-residual-norm",
        "mir-hoist-parameters",
        "rlx-cse",
        "rlx-dce",
        # After hoisting: what @prepare computes must not depend on the dims that `specialize` binds.
        "mir-specialize",
    ),
    dialects=frozenset({"builtin", "func", "mir"}),
)

_LIR_DIALECTS = frozenset({"builtin", "lir", "arith", "math"})

_PLAN = ("lir-order-for-memory", "lir-plan-memory", "lir-verify-plan")

_LIR_NUMPY = Stage(
    "lir",
    passes=("convert-mir-to-lir", "lir-fuse-forms", "lir-coalesce-copies", "lir-boundary-to-arena", *_PLAN),
    dialects=_LIR_DIALECTS,
)

_LIR = Stage(
    "lir",
    passes=(
        "convert-mir-to-lir",
        "lir-fuse-forms",
        "lir-coalesce-copies",
        "lir-boundary-to-arena",
        "lir-force-schedules",
        "lir-select-schedules{program=main}",
        "lir-pack-parameters",
        # What packing added to @prepare joins what was there, then gets schedules of its own.
        "lir-fuse-forms{program=prepare}",
        "lir-select-schedules{program=prepare}",
        *_PLAN,
    ),
    dialects=_LIR_DIALECTS,
)

_KERNEL = Stage(
    "kernel",
    passes=("convert-lir-to-kernel",),
    dialects=frozenset({"builtin", "kernel", "arith", "math", "scf"}),
)


def _for_target(stage: Stage, target: str, dialects: frozenset[str] = frozenset()) -> Stage:
    """A stage whose passes ask another backend than "cpu"."""

    def aimed(name: str) -> str:
        if name.partition("{")[0] not in _ASKING:
            return name
        return f"{name[:-1]} target={target}}}" if name.endswith("}") else f"{name}{{target={target}}}"

    return Stage(stage.name, tuple(map(aimed, stage.passes)), stage.dialects | dialects)


_ASKING = ("lir-select-schedules", "lir-pack-parameters", "convert-lir-to-kernel")
"""The passes that ask a backend."""

_GPUS = {"cuda": "NVIDIA", "rocm": "AMD", "metal": "Apple"}

PIPELINES: dict[str, Pipeline] = {
    pipeline.name: pipeline
    for pipeline in (
        Pipeline("cpu-default", "from HIR or MIR to kernels for the host's CPU", (_HIR, _MIR, _LIR, _KERNEL)),
        Pipeline("numpy-default", "from HIR or MIR to what the NumPy executor runs", (_HIR, _MIR, _LIR_NUMPY)),
        *(
            Pipeline(
                f"{target}-default",
                f"from HIR or MIR to kernels for {maker} GPUs",
                (_HIR, _MIR, _for_target(_LIR, target), _for_target(_KERNEL, target, frozenset({target}))),
            )
            for target, maker in _GPUS.items()
        ),
    )
}

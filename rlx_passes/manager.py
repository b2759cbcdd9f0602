"""Running passes: pipelines by name or text, verification policy, dumps, timing."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from rlx_passes import get_all_passes
from rlx_passes.pipelines import PIPELINES, Pipeline, Stage
from rlx_passes.support.context import make_context
from rlx_passes.support.operation_pass import NestedPass, OperationPass
from rlx_passes.support.pipeline_text import Element, PassFactory, PipelineError, PipelineText, build_pass
from rlx_passes.support.printing import as_text
from rlx_passes.support.statistics import CountingPass
from rlx_passes.support.verify import assert_only_dialects, verify_module

Verify = Literal["stage", "each", "never"]
Passes = str | Sequence[str | ModulePass | type[ModulePass]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One pass to run. `stage` is the stage it belongs to, `ends_stage` whether it is that stage's last pass."""

    name: str
    run: ModulePass
    stage: Stage | None = None
    ends_stage: bool = False


@dataclass(frozen=True)
class PassRecord:
    """What one pass took and did: seconds, the number of operations before and after, and its own counts
    (`{"matmul_bias_act": 12}`)."""

    name: str
    seconds: float
    ops_before: int
    ops_after: int
    statistics: Mapping[str, int] = field(default_factory=dict)


class PassManager:
    """Runs a pipeline over modules.

    `pipeline` is text as `rlx-opt -p` takes it (pass names, options, nesting, named pipelines), or a sequence of such texts,
    `ModulePass` objects and `ModulePass` classes. `verify` says when to verify: at the end of each stage and of the run, after
    each pass, or never. `dump` is a directory for the IR after each pass (`03-after-rlx-cse.mlir`). `timing` logs a table of
    the passes at level INFO; `timing_report` gives it too. `stop_after` names the last stage to run. `available` maps pass
    names to factories; `before_pass` and `after_pass` are called with the name and the module.

    Raises `PipelineError` for a pipeline that does not resolve. One manager may run many modules, one after another.
    """

    def __init__(
        self,
        pipeline: Passes,
        *,
        verify: Verify = "stage",
        dump: str | Path | None = None,
        timing: bool = False,
        stop_after: str | None = None,
        available: Mapping[str, PassFactory] | None = None,
        before_pass: Callable[[str, ModuleOp], None] | None = None,
        after_pass: Callable[[str, ModuleOp], None] | None = None,
    ) -> None:
        if verify not in ("stage", "each", "never"):
            raise PipelineError(f"verify is 'stage', 'each' or 'never', not '{verify}'")
        known = get_all_passes() if available is None else available
        self.steps = tuple(resolve(pipeline, known))
        if stop_after is not None:
            self.steps = _stop(self.steps, stop_after)
        self.verify: Verify = verify
        self.dump = None if dump is None else Path(dump)
        self.timing = timing
        self.records: list[PassRecord] = []
        self._before, self._after = before_pass, after_pass

    def run(self, module: ModuleOp, ctx: Context | None = None) -> ModuleOp:
        """Run the passes on `module`, in place, and return it.

        Raises what a pass raises (`rlx.Error` for a mistake in the module) and `rlx.VerifyError`. An exception that is no
        `rlx.Error` carries a note with the name of the pass.
        """
        ctx = make_context() if ctx is None else ctx
        self.records = []
        # Building and erasing many small objects makes the collector run all the time for nothing: 1.5 to 3 times slower.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._run(module, ctx)
        finally:
            if collecting:
                gc.enable()
        if self.timing:
            _log.info("%s", self.timing_report())
        return module

    def _run(self, module: ModuleOp, ctx: Context) -> None:
        if self.verify != "never":
            verify_module(module)
        self._dump(0, "input", module)
        ops = _count(module)
        for index, step in enumerate(self.steps, 1):
            if self._before is not None:
                self._before(step.name, module)
            if isinstance(step.run, CountingPass):
                step.run.statistics.clear()
            start = time.perf_counter()
            try:
                step.run.apply(ctx, module)
            except Exception as error:
                error.add_note(f"while running pass '{step.name}'")
                raise
            seconds = time.perf_counter() - start
            before, ops = ops, _count(module)
            statistics = dict(step.run.statistics) if isinstance(step.run, CountingPass) else {}
            self.records.append(PassRecord(step.name, seconds, before, ops, statistics))
            self._dump(index, f"after-{step.name}", module)
            if self._after is not None:
                self._after(step.name, module)
            last = index == len(self.steps)
            if self.verify == "each" or (self.verify == "stage" and (step.ends_stage or last)):
                verify_module(module)
                if step.ends_stage and step.stage is not None:
                    assert_only_dialects(module, step.stage.dialects, step.stage.name)

    def timing_report(self) -> str:
        """A table of the last run: milliseconds, share, operations before and after, pass."""
        total = sum(record.seconds for record in self.records)
        lines = [f"{'ms':>10} {'share':>6} {'ops':>8} {'change':>8}  pass"]
        for record in self.records:
            share = record.seconds / total if total else 0.0
            change = record.ops_after - record.ops_before
            lines.append(f"{record.seconds * 1e3:10.3f} {share:6.1%} {record.ops_after:8} {change:+8}  {record.name}")
        lines.append(f"{total * 1e3:10.3f} {'':6} {'':8} {'':8}  total")
        return "\n".join(lines)

    def _dump(self, index: int, name: str, module: ModuleOp) -> None:
        if self.dump is not None:
            self.dump.mkdir(parents=True, exist_ok=True)
            (self.dump / f"{index:02}-{name}.mlir").write_text(f"{as_text(module)}\n", encoding="utf-8")


def resolve(pipeline: Passes, available: Mapping[str, PassFactory]) -> Iterator[Step]:
    """The steps of a pipeline, named pipelines expanded. Raises `PipelineError` with the place in the text."""
    for part in (pipeline,) if isinstance(pipeline, str) else pipeline:
        if isinstance(part, str):
            text = PipelineText(part)
            yield from _resolve_elements(text, text.elements, "builtin.module", available)
        else:
            step = part() if isinstance(part, type) else part
            yield Step(step.name, step)


def _resolve_elements(
    text: PipelineText, elements: Sequence[Element], anchor: str, available: Mapping[str, PassFactory]
) -> Iterator[Step]:
    for element in elements:
        if element.nested is not None:
            if anchor != "builtin.module":
                text.fail(f"'{element.name}' does not nest in '{anchor}'", element.position, code="nesting")
            yield from _resolve_elements(text, element.nested, element.name, available)
        elif element.name in PIPELINES and element.name not in available:
            if anchor != "builtin.module":
                text.fail(f"pipeline '{element.name}' runs on modules, not on '{anchor}'", element.position, code="nesting")
            yield from _expand(text, element, PIPELINES[element.name], available)
        else:
            if element.name not in available:
                text.unknown("pass", element.name, [*available, *PIPELINES], element.position)
            built = build_pass(text, element, available)
            if anchor != "builtin.module":
                built = _nest(text, element, built, anchor)
            yield Step(element.name, built)


def _nest(text: PipelineText, element: Element, built: ModulePass, anchor: str) -> ModulePass:
    if not isinstance(built, OperationPass):
        text.fail(f"pass '{element.name}' runs on modules, not on '{anchor}'", element.position, code="nesting")
    if anchor not in built.anchors:
        text.fail(
            f"pass '{element.name}' does not run on '{anchor}'",
            element.position,
            hint=f"it runs on builtin.module, {', '.join(built.anchors)}",
            code="nesting",
        )
    return NestedPass(anchor, built)


def _expand(
    text: PipelineText, element: Element, pipeline: Pipeline, available: Mapping[str, PassFactory]
) -> Iterator[Step]:
    """The steps of a named pipeline; its options go to each pass that has one of that name and is not given it already."""
    taken: set[str] = set()
    for stage in pipeline.stages:
        for number, name in enumerate(stage.passes, 1):
            inner = PipelineText(name)
            (spec,) = inner.elements
            options = dict(spec.options)
            if spec.name in available:
                fields = {field.replace("_", "-") for field in available[spec.name]().__dataclass_fields__}
                for key, value in element.options.items():
                    if key.replace("_", "-") in fields:
                        taken.add(key)
                        options.setdefault(key, value)
            positions = {key: element.option_positions.get(key, element.position) for key in options}
            spec = replace(spec, options=options, position=element.position, option_positions=positions)
            yield Step(spec.name, build_pass(text, spec, available), stage, ends_stage=number == len(stage.passes))
    for key in element.options:
        if key not in taken:
            text.fail(f"no pass of '{pipeline.name}' has option '{key}'", element.option_positions[key], code="unknown-option")


def _stop(steps: tuple[Step, ...], stop_after: str) -> tuple[Step, ...]:
    ends = [index for index, step in enumerate(steps, 1) if step.stage is not None and step.stage.name == stop_after]
    if not ends:
        names = dict.fromkeys(step.stage.name for step in steps if step.stage is not None)
        hint = f"it has {', '.join(names)}" if names else "stages come with a named pipeline, as in -p cpu-default"
        raise PipelineError(f"the pipeline has no stage '{stop_after}'", code="unknown-stage", hint=hint)
    return steps[: ends[-1]]


def _count(root: Operation) -> int:
    return sum(1 for _ in root.walk())

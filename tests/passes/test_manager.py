"""The pass manager: pipelines, options, verification policy, dumps, timing."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.utils.arg_spec import ArgSpec

from rlx_passes import get_all_passes, manager
from rlx_passes.generic.rlx_cse import RlxCsePass
from rlx_passes.manager import PassManager
from rlx_passes.pipelines import PIPELINES, Pipeline, Stage
from rlx_passes.support.context import make_context
from rlx_passes.support.locations import parse_module
from rlx_passes.support.operation_pass import OperationPass
from rlx_passes.support.pipeline_text import PipelineError
from rlx_runtime.errors import VerifyError

TEXT = """
func.func @f(%x: f32) -> f32 {
  %a = arith.addf %x, %x : f32
  %b = arith.addf %x, %x : f32
  %c = arith.mulf %a, %b : f32
  func.return %c : f32
}
"""


def parse() -> ModuleOp:
    return parse_module(make_context(), TEXT, "m.mlir")


@dataclass(frozen=True)
class OptionsPass(ModulePass):
    """Notes the options it runs with."""

    name = "options"
    seen: ClassVar[list[object]] = []

    count: int = 1
    target_name: Literal["cpu", "cuda"] = "cpu"
    tiles: tuple[int, ...] = ()
    text: str | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        self.seen.append((self.count, self.target_name, self.tiles, self.text))


@dataclass(frozen=True)
class NeedsPass(ModulePass):
    """Cannot run without its option."""

    name = "needs"
    size: int

    def apply(self, ctx: Context, op: ModuleOp) -> None: ...


@dataclass(frozen=True)
class AnyDimPass(ModulePass):
    """Reads its options itself."""

    name = "any-dim"
    dims: ClassVar[list[object]] = []

    @classmethod
    def from_spec(cls, spec: ArgSpec) -> AnyDimPass:
        if not spec.parameters:
            raise ValueError("needs at least one dim")
        cls.dims.append(spec.parameters)
        return cls()

    def apply(self, ctx: Context, op: ModuleOp) -> None: ...


@dataclass(frozen=True)
class BreakPass(ModulePass):
    """Moves the first sum behind its users: well-formed operations, broken dominance."""

    name = "break"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        first = next(inner for inner in op.walk() if isinstance(inner, arith.AddfOp))
        block = first.parent
        assert block is not None
        first.detach()
        block.insert_op_before(first, block.last_op)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class CountPass(OperationPass):
    """Notes what it runs on."""

    name = "count"
    anchors = ("func.func",)
    seen: ClassVar[list[str]] = []

    def apply_to(self, ctx: Context, op: Operation) -> None:
        self.seen.append(op.name)


AVAILABLE = get_all_passes() | {
    cls.name: (lambda cls=cls: cls) for cls in (OptionsPass, NeedsPass, AnyDimPass, BreakPass, CountPass)
}


def names(pipeline: str) -> list[str]:
    return [step.name for step in PassManager(pipeline, available=AVAILABLE).steps]


def test_texts_objects_and_classes() -> None:
    module = parse()
    assert PassManager(["rlx-cse,rlx-dce", RlxCsePass(), RlxCsePass]).run(module) is module
    assert sum(isinstance(op, arith.AddfOp) for op in module.walk()) == 1


def test_nesting_is_flattened_where_it_means_something() -> None:
    assert names("builtin.module(rlx-cse,func.func(rlx-cse,rlx-dce),options)") == ["rlx-cse", "rlx-cse", "rlx-dce", "options"]
    CountPass.seen.clear()
    PassManager("func.func(count),count", available=AVAILABLE).run(parse())
    assert CountPass.seen == ["func.func", "builtin.module"]
    for wrong in ("func.func(options)", "lir.program(count)", "func.func(builtin.module(count))", "func.func(cpu-default)"):
        with pytest.raises(PipelineError) as caught:
            PassManager(wrong, available=AVAILABLE)
        assert caught.value.code == "nesting"


def test_options_reach_the_pass() -> None:
    OptionsPass.seen.clear()
    text = 'options{count=-3 target-name=cuda tiles=6,64 text="a b"},options{text=x.y tiles=1},options{target_name=cpu}, options'
    PassManager(text, available=AVAILABLE).run(parse())
    assert OptionsPass.seen == [
        (-3, "cuda", (6, 64), "a b"), (1, "cpu", (1,), "x.y"), (1, "cpu", (), None), (1, "cpu", (), None),
    ]  # fmt: skip
    AnyDimPass.dims.clear()
    PassManager("any-dim{B=1 S=128}", available=AVAILABLE)
    assert AnyDimPass.dims == [{"B": (1,), "S": (128,)}]


@pytest.mark.parametrize(
    ("text", "column", "code", "message"),
    [
        ("options{count=1.5}", 9, "bad-option", "option 'count' takes int, not 1.5"),
        ("options{count}", 9, "bad-option", "not no value"),
        ("options{count=1 count=2}", 17, "pipeline", "given twice"),
        ("options{target-name=tpu}", 9, "bad-option", "not tpu"),
        ("options{targetname=cpu}", 9, "unknown-option", "unknown option 'targetname'"),
        ("rlx-cse,needs", 9, "missing-option", "pass 'needs' needs option 'size'"),
        ("any-dim", 1, "bad-option", "needs at least one dim"),
        ("rlx-cse,\nrlx-des", 1, "unknown-pass", "unknown pass 'rlx-des'"),
        ('options{text="open}', 14, "pipeline", "unexpected character"),
        ("options{=3}", 9, "pipeline", "expected an option name"),
        ("options{count=}", 15, "pipeline", "expected a value"),
        (",rlx-cse", 1, "pipeline", "expected a pass name"),
        ("rlx-cse)", 8, "pipeline", "expected ','"),
    ],
)
def test_wrong_pipelines_are_located(text: str, column: int, code: str, message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        PassManager(text, available=AVAILABLE)
    error = caught.value
    assert message in error.message
    assert error.code == code
    assert getattr(error.location, "column", None) == column


def test_did_you_mean_covers_pipelines() -> None:
    with pytest.raises(PipelineError, match="did you mean 'cpu-default'"):
        PassManager("cpu-defualt")


@pytest.fixture
def two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    arithmetic = frozenset({"builtin", "func", "arith"})
    pipeline = Pipeline(
        "demo", "a pipeline of two stages", (Stage("one", ("options{count=2}", "rlx-cse"), arithmetic), Stage("two", ("break", "options"), arithmetic))
    )
    monkeypatch.setitem(PIPELINES, "demo", pipeline)


@pytest.mark.usefixtures("two_stages")
def test_named_pipelines_expand_stop_and_take_options() -> None:
    assert names("rlx-dce,demo") == ["rlx-dce", "options", "rlx-cse", "break", "options"]
    stopped = PassManager("rlx-dce,demo,rlx-dce", stop_after="one", available=AVAILABLE)
    assert [step.name for step in stopped.steps] == ["rlx-dce", "options", "rlx-cse"]
    OptionsPass.seen.clear()
    PassManager("demo{target-name=cuda count=9}", verify="never", available=AVAILABLE).run(parse())
    # What the pipeline itself says stands; the rest comes from outside.
    assert [entry[:2] for entry in map(tuple, OptionsPass.seen)] == [(2, "cuda"), (9, "cuda")]  # pyright: ignore[reportArgumentType]
    with pytest.raises(PipelineError, match="no stage 'three'"):
        PassManager("demo", stop_after="three", available=AVAILABLE)


@pytest.mark.usefixtures("two_stages")
def test_when_verification_happens() -> None:
    ran: list[str] = []

    def run(verify: Literal["stage", "each", "never"]) -> None:
        ran.clear()
        PassManager("demo", verify=verify, available=AVAILABLE, after_pass=lambda name, module: ran.append(name)).run(parse())

    run("never")
    with pytest.raises(VerifyError, match="before its definition"):
        run("stage")
    assert ran == ["options", "rlx-cse", "break", "options"]
    with pytest.raises(VerifyError, match="before its definition"):
        run("each")
    assert ran == ["options", "rlx-cse", "break"]
    with pytest.raises(PipelineError, match="not 'always'"):
        PassManager("demo", verify="always", available=AVAILABLE)  # pyright: ignore[reportArgumentType]


def test_the_input_is_verified_first() -> None:
    module = parse()
    BreakPass().apply(make_context(), module)
    with pytest.raises(VerifyError):
        PassManager([]).run(module)


def test_a_stage_refuses_what_it_should_have_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("hir", ("rlx-cse",), frozenset({"builtin", "func"}))
    monkeypatch.setitem(PIPELINES, "strict", Pipeline("strict", "nothing but functions", (stage,)))
    with pytest.raises(VerifyError, match="'arith.addf' may not be left after stage 'hir'"):
        PassManager("strict").run(parse())


def test_dumps_and_records(tmp_path: Path) -> None:
    passes = PassManager("rlx-cse,rlx-dce", dump=tmp_path / "ir", timing=True)
    passes.run(parse())
    assert sorted(path.name for path in (tmp_path / "ir").iterdir()) == [
        "00-input.mlir", "01-after-rlx-cse.mlir", "02-after-rlx-dce.mlir",
    ]  # fmt: skip
    dumped = (tmp_path / "ir" / "01-after-rlx-cse.mlir").read_text()
    assert dumped.count("arith.addf") == 1
    parse_module(make_context(), dumped)
    assert [(record.name, record.ops_before, record.ops_after) for record in passes.records] == [("rlx-cse", 6, 5), ("rlx-dce", 5, 5)]
    assert all(record.seconds > 0 for record in passes.records)
    assert "rlx-cse" in passes.timing_report()


class _Crash(ModulePass):
    name = "crash"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        assert not gc.isenabled()
        raise KeyError("lost")


def test_a_crash_names_its_pass_and_leaves_the_collector_on() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError) as caught:
        PassManager([_Crash]).run(parse())
    assert caught.value.__notes__ == ["while running pass 'crash'"]
    assert gc.isenabled()


def test_every_pipeline_resolves() -> None:
    from rlx.universe import get_all_passes as all_passes

    for name, pipeline in PIPELINES.items():
        steps = list(manager.resolve(name, all_passes()))
        assert [step.name for step in steps] == [text.partition("{")[0] for text in pipeline.passes]
        assert [step.stage.name for step in steps if step.ends_stage and step.stage] == [stage.name for stage in pipeline.stages]


def test_the_public_manager_knows_every_pass_and_takes_models() -> None:
    import rlx
    from rlx.universe import get_all_passes as all_passes

    class Model:
        module = parse()

    model = Model()
    assert rlx.PassManager(list(all_passes())[:2]).run(model) is model
    assert sum(isinstance(op, arith.AddfOp) for op in model.module.walk()) == 1
    assert rlx.pipelines is PIPELINES
    assert issubclass(rlx.PassManager, PassManager)

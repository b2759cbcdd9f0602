"""Plans of transformer stacks: proved, and within 1 % of the most bytes that are live at once."""

from __future__ import annotations

from typing import Any

import pytest

from rlx_dialects.lir import SlotOp, programs
from rlx_frontends.models import bert, llama
from rlx_passes.manager import PassManager
from rlx_passes.support.live_bytes import live_bytes_at

BERT: dict[str, Any] = {
    "model_type": "bert", "hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 250, "vocab_size": 99,
    "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
}  # fmt: skip
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2,
    "intermediate_size": 250, "vocab_size": 99, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu",
}  # fmt: skip
SAMPLES = [{"B": b, "S": s, "P": p} for b in (1, 3, 32) for s in (1, 17, 128, 500) for p in (0, 7)]


@pytest.mark.parametrize("build", [lambda: bert(BERT), lambda: llama(LLAMA)], ids=["bert", "llama"])
def test_the_arena_is_close_to_the_live_bytes(build: Any) -> None:
    module = build().module.clone()
    PassManager("numpy-default").run(module)
    for program in programs(module):
        if any(isinstance(op, SlotOp) for op in program.walk()):
            for figures in live_bytes_at(program, SAMPLES):
                assert figures.bound <= figures.arena <= 1.01 * figures.bound
                assert figures.saved > 0.5 * figures.unshared

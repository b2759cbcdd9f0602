"""The models of the differential tests, and how many random graphs there are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import rlx

GRAPHS = int(os.environ.get("RLX_FUZZ_GRAPHS", "60"))
"""Random graphs; some tests take a fraction of them."""
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BERT = {
    "vocab_size": 3, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 17,
    "max_position_embeddings": 23,
}  # fmt: skip
LLAMA = {
    "vocab_size": 3, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
    "intermediate_size": 17, "max_position_embeddings": 31,
}  # fmt: skip
GPT2 = {"vocab_size": 3, "n_embd": 12, "n_layer": 1, "n_head": 3, "n_positions": 19}

MODELS: dict[str, Callable[[], rlx.Model]] = {
    "bert": lambda: rlx.models.bert(BERT, sentence_embedding=True),
    "bert-fusable": lambda: rlx.models.bert(BERT, policy="fusable"),
    "llama": lambda: rlx.models.llama(LLAMA),
    "llama-fusable": lambda: rlx.models.llama(LLAMA | {"sliding_window": 4}, policy="fusable", last_logits=True),
    "llama-bf16": lambda: rlx.models.llama(LLAMA | {"num_hidden_layers": 1}, dtype="bf16"),
    "llama-f64": lambda: rlx.models.llama(LLAMA, dtype="f64"),
    "gpt2": lambda: rlx.models.gpt2(GPT2),
    "llama_tiny.mlir": lambda: rlx.parse((EXAMPLES / "llama_tiny.mlir").read_text(encoding="utf-8"), "llama_tiny.mlir"),
}



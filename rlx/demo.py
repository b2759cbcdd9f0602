"""What `rlx demo` does: embed sentences with all-MiniLM-L6-v2, compare them, and say what the compiler did."""

from __future__ import annotations

import json
import statistics
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rlx.compiler import lower
from rlx.models import minilm, minilm_folder
from rlx.options import Options
from rlx_runtime.errors import BindError

if TYPE_CHECKING:
    from rlx.reports import FusionReport

SENTENCES = (
    "A man is eating a piece of bread.",
    "Someone is having a snack.",
    "A cheetah chases its prey.",
    "How fast can a big cat run?",
    "The central bank raised interest rates.",
)
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Demo:
    """Results of one run. Times are in seconds, memory in bytes at the shape of the batch."""

    target: str
    sentences: tuple[str, ...]
    similarity: Array
    """Cosine similarity of each pair of sentences."""
    tokens: tuple[int, int]
    """The shape of the batch: sentences, tokens with padding."""
    compile_seconds: float
    bind_seconds: float
    batch_seconds: float
    """Median time of one call with all sentences."""
    single_seconds: float
    """Median time of one call with one sentence."""
    fusion: FusionReport
    memory: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "sentences": list(self.sentences),
            "similarity": self.similarity.tolist(),
            "batch": {"B": self.tokens[0], "S": self.tokens[1]},
            "seconds": {
                "compile": self.compile_seconds,
                "bind": self.bind_seconds,
                "batch": self.batch_seconds,
                "single": self.single_seconds,
            },
            "fusion": self.fusion.to_json(),
            "memory": self.memory,
        }

    def __str__(self) -> str:
        count, length = self.tokens
        lines = [
            f"all-MiniLM-L6-v2 on target {self.target}: compiled in {self.compile_seconds:.1f} s,"
            f" weights prepared in {self.bind_seconds:.2f} s",
            "",
            "cosine similarity",
        ]
        for sentence, row in zip(self.sentences, self.similarity, strict=True):
            lines.append(" ".join(f"{value:6.2f}" for value in row) + f"   {sentence}")
        memory = self.memory
        lines += [
            "",
            "time per sentence",
            f"  {1e3 * self.batch_seconds / count:8.2f} ms in a batch of {count} x {length} tokens",
            f"  {1e3 * self.single_seconds:8.2f} ms one at a time",
            "",
            "fusion",
            textwrap.indent(str(self.fusion), "  "),
            "",
            f"memory for {count} x {length} tokens",
            f"  {_mib(memory['arena'])} arena, {_mib(memory['unshared'])} unshared: the plan saves {_mib(memory['saved'])}",
            f"  {_mib(memory['packed'])} of prepared weights",
        ]
        return "\n".join(lines)


def demo(sentences: Sequence[str] = SENTENCES, target: str = "cpu", threads: int = 0, seconds: float = 0.5) -> Demo:
    """Embed `sentences` as one batch and one by one.

    Args:
        threads: the most threads of a call; 0 is one per core.
        seconds: how long each of the two timings runs.

    Raises BindError if the weights or the package `tokenizers` are not installed, TargetError if the target cannot run here.
    """
    sentences = tuple(sentences)
    if not sentences:
        raise BindError("the demo needs at least one sentence", code="arguments")
    ids, mask = tokenize(sentences)
    model, weights = minilm()
    start = time.perf_counter()
    lowered = lower(model, target, Options(threads=threads))
    executable = lowered.compile()
    compiled = time.perf_counter()
    bound = executable.bind(weights)
    ready = time.perf_counter()
    _, embeddings = bound(ids, mask)
    lengths = mask.sum(1)
    rows = [(ids[i : i + 1, : lengths[i]].copy(), mask[i : i + 1, : lengths[i]].copy()) for i in range(len(sentences))]
    batch = _median(lambda: bound(ids, mask), seconds)
    single = statistics.fmean(_median(lambda row=row: bound(*row), seconds / len(rows)) for row in rows)
    plan = lowered.memory_plan
    # The thread count of the plan matters for scratch alone; the call may use fewer threads.
    memory = plan.bytes_for(max(threads, 1), B=ids.shape[0], S=ids.shape[1]) | {"packed": plan.packed_bytes}
    return Demo(
        target, sentences, embeddings @ embeddings.T, (ids.shape[0], ids.shape[1]), compiled - start, ready - compiled, batch,
        single, lowered.fusion_report, memory,
    )  # fmt: skip


def tokenize(sentences: Sequence[str]) -> tuple[Array, Array]:
    """input_ids and attention_mask, i64 [B, S], padded to the longest. BindError if `tokenizers` is not installed."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise BindError(
            "the package 'tokenizers' is not installed", code="missing-extra", hint="pip install tokenizers"
        ) from None
    folder = minilm_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    limits = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(limits["max_seq_length"])
    encoded = tokenizer.encode_batch(list(sentences))
    return np.array([e.ids for e in encoded], np.int64), np.array([e.attention_mask for e in encoded], np.int64)


def _median(call: Any, seconds: float) -> float:
    """Median time of a call, repeated for `seconds`, at least three times."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"

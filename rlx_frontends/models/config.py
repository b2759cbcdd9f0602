"""Reading configuration dicts (`config.json` of a published model)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlx_runtime.errors import VerifyError

ACTIVATIONS = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu",
    "tanh": "tanh",
}  # fmt: skip
"""Names of activations in configurations -> ours."""


class Config:
    """A configuration dict whose complaints name the model and the key."""

    def __init__(self, model: str, entries: Mapping[str, Any]) -> None:
        self.model = model
        self.entries = entries

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.entries.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise VerifyError(f"{self.model}: config['{key}'] is {value!r}; a positive integer is needed")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.entries.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise VerifyError(f"{self.model}: config['{key}'] is {value!r}; a number is needed")
        return float(value)

    def activation(self, key: str, default: str) -> str:
        value = self.entries.get(key, default)
        if value not in ACTIVATIONS:
            raise VerifyError(f"{self.model}: config['{key}'] is {value!r}; known: {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]

    def must_be(self, key: str, *allowed: object) -> None:
        """Refuse a value that the builder does not implement; an absent key is fine."""
        value = self.entries.get(key, allowed[0])
        if value not in allowed:
            raise VerifyError(
                f"{self.model}: config['{key}'] is {value!r}, which is not supported",
                code="unsupported-config",
                hint=f"supported: {', '.join(map(repr, allowed))}",
            )

"""Passes that ask a backend: schedule selection, packing, and the step from LIR to kernels. Each takes `{target=cpu}`."""

from __future__ import annotations

NAMES = ("lir-select-schedules", "lir-pack-parameters", "convert-lir-to-kernel")
"""In the order a pipeline runs them."""

"""Passes that ask a backend: schedule selection, packing, and the step from LIR to kernels. Each takes `{target=cpu}`."""

from __future__ import annotations

from rlx_passes import PassFactory, pass_factories

NAMES = ("lir-force-schedules", "lir-select-schedules", "lir-pack-parameters", "convert-lir-to-kernel")
"""In the order a pipeline runs them."""


def get_all_passes() -> dict[str, PassFactory]:
    """Name -> factory of each pass in this folder."""
    return pass_factories("rlx_backends.passes", NAMES)

"""Data-parallel primitives: which lane each lane reads in an instruction with a DPP modifier."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators.gcn.operands import Context
from rlx_runtime.emulators.gcn.waves import Waves

Array = NDArray[Any]


def source_lanes(c: Context) -> Array:
    """[lanes]: the lane that each lane reads; -1 for none."""
    modifiers, lanes = c.instruction.modifiers, np.arange(c.lanes)
    row, place = lanes // 16 * 16, lanes % 16
    for name, value in modifiers.items():
        number = int(value) if re.fullmatch(r"\d+", value) else 0
        if name == "quad_perm":
            order = np.array([int(digit) for digit in re.findall(r"\d", value)])
            return lanes // 4 * 4 + order[lanes % 4]
        if name == "dpp8":
            order = np.array([int(digit) for digit in re.findall(r"\d", value)])
            return lanes // 8 * 8 + order[lanes % 8]
        if name == "row_shl":
            return np.where(place + number < 16, lanes + number, -1)
        if name == "row_shr":
            return np.where(place >= number, lanes - number, -1)
        if name == "row_ror":
            return row + (place - number) % 16
        if name == "row_mirror":
            return row + 15 - place
        if name == "row_half_mirror":
            return lanes // 8 * 8 + 7 - lanes % 8
        if name in ("row_share", "row_newbcast"):
            return row + number
        if name == "row_xmask":
            return row + (place ^ number)
        if name == "row_bcast":
            span = number + 1
            return np.where(lanes >= span, lanes // span * span - 1, -1)
        if name in ("wave_shl", "wave_rol"):
            moved = lanes + 1
            return np.where(moved < c.lanes, moved, 0 if name.endswith("rol") else -1)
        if name in ("wave_shr", "wave_ror"):
            return np.where(lanes > 0, lanes - 1, c.lanes - 1 if name.endswith("ror") else -1)
    raise c.unknown(f"{c.instruction.name} with {' '.join(modifiers)}")


def permutation(c: Context) -> Callable[[Waves], tuple[Array, Array, Array]]:
    """Source lanes [waves, lanes], where there is an active one, and the lanes that row_mask and bank_mask leave."""
    table = source_lanes(c)
    modifiers, lanes = c.instruction.modifiers, np.arange(c.lanes)
    rows, banks = (int(modifiers.get(name, "0xf"), 0) for name in ("row_mask", "bank_mask"))
    kept = ((rows >> (lanes // 16)) & (banks >> (lanes % 16 // 4)) & 1).astype(bool)
    fetch = modifiers.get("fi", "0") != "0"
    safe = np.maximum(table, 0)

    def at(m: Waves) -> tuple[Array, Array, Array]:
        valid = np.broadcast_to(table >= 0, m.lane_exists.shape)
        if not fetch:
            valid = valid & m.execute[:, safe]
        return np.broadcast_to(safe, m.lane_exists.shape), valid, np.broadcast_to(kept, m.lane_exists.shape)

    return at

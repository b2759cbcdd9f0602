"""Vector instructions whose types hang on modifiers: mixed precision, 8-bit floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators import floats
from rlx_runtime.emulators.gcn.operands import Context, register
from rlx_runtime.emulators.gcn.vector_float import fp8
from rlx_runtime.emulators.gcn.waves import Waves
from rlx_runtime.emulators.machine import Step

Array = NDArray[Any]


def convert(c: Context) -> Step | None:
    """The step of such an instruction; None for all others."""
    made = _STEPS.get(c.instruction.name)
    return None if made is None else made(c)


def _mix(c: Context) -> Step:
    """v_fma_mix: each source is f32, or (op_sel_hi) f16 of the half that op_sel says; the result f32 or one half as f16."""
    name, operands = c.instruction.name, c.instruction.operands
    # op_sel of a source that is f32 has no meaning, so the selector of 16-bit operands serves.
    sources = [c.source(text, "f16" if c.bit("op_sel_hi", i) else "f32", i) for i, text in enumerate(operands[1:4])]
    fused = "fma" in name

    def value(m: Waves) -> Array:
        a, b, d = (source(m) for source in sources)
        if fused:
            return floats.fma_odd(a, b, d)
        return np.asarray(a * b + d, np.float32)

    if name.endswith("f32"):
        target = c.target(operands[0], "f32")
        if fused:
            return lambda m: target(m, floats.narrow(value(m), "f32"))
        return lambda m: target(m, value(m))
    to = register(operands[0])
    assert to is not None
    high = "mixhi" in name

    def half(m: Waves) -> None:
        raw = value(m).astype(np.float16).view(np.uint16).astype(np.uint32)
        _write_half(m, to.number, raw, high)

    return half


def _write_half(m: Waves, number: int, raw: Array, high: bool) -> None:
    old = m.vectors[number]
    old = np.uint32(0xFFFFFFFF) if old is None else old
    m.write_vector(number, (old & np.uint32(0xFFFF)) | (raw << np.uint32(16)) if high else (old & np.uint32(0xFFFF0000)) | raw)


def _unsigned_zero(c: Context) -> bool:
    return c.target_name == "gfx942"


def _from_eight(c: Context) -> Step:
    """v_cvt_f32_fp8, v_cvt_pk_f32_fp8 and those of bf8: the byte (or word) that sdwa, op_sel or byte_sel says."""
    name, operands, modifiers = c.instruction.name, c.instruction.operands, c.instruction.modifiers
    kind = "e4m3" if name.endswith("fp8") else "e5m2"
    packed, nan_zero = "_pk_" in name, _unsigned_zero(c)
    selected = modifiers.get("src0_sel", "")
    if selected.startswith(("BYTE_", "WORD_")):
        first = int(selected[-1]) * (8 if selected.startswith("BYTE") else 16)
    elif "byte_sel" in modifiers:
        first = 8 * int(modifiers["byte_sel"])
    elif packed:
        first = 16 * c.bit("op_sel", 0)
    else:
        # gfx12 counts the byte with two bits of op_sel, the upper one first.
        first = 8 * (2 * c.bit("op_sel", 0) + c.bit("op_sel", 1))
    r = register(operands[0])
    to = register(operands[1])
    if r is None or to is None:
        raise c.malformed("a register is needed")
    target = c.target(operands[0], "pk_f32" if packed else "f32")
    word = c.word(to, 0, scalar=False)

    def step(m: Waves) -> None:
        raw = word(m) >> np.uint32(first)
        values = [fp8((raw >> np.uint32(8 * i)).astype(np.uint8), kind, nan_zero) for i in range(2 if packed else 1)]
        target(m, np.stack(values, axis=-1) if packed else values[0])

    return step


def _to_eight(c: Context) -> Step:
    """v_cvt_pk_fp8_f32 and that of bf8: two bytes in the half that op_sel says; the other half stays."""
    name, operands = c.instruction.name, c.instruction.operands
    kind = "e4m3" if "fp8" in name else "e5m2"
    if _unsigned_zero(c):
        raise c.unknown(f"{name} of {c.target_name}")
    a, b = c.source(operands[1], "f32", 0), c.source(operands[2], "f32", 1)
    to, high = register(operands[0]), bool(c.bit("op_sel", 2))
    if to is None:
        raise c.malformed(f"{operands[0]} is no register")

    def step(m: Waves) -> None:
        low, up = (floats.fp8_from_f64(np.asarray(source(m), np.float64), kind).astype(np.uint32) for source in (a, b))
        _write_half(m, to.number, np.broadcast_to(low | (up << np.uint32(8)), m.lane_exists.shape), high)

    return step


_STEPS: dict[str, Callable[[Context], Step]] = {
    **{f"v_{prefix}_{suffix}": _mix for prefix in ("fma", "mad") for suffix in ("mix_f32", "mixlo_f16", "mixhi_f16")},
    **{f"v_cvt_{pack}f32_{kind}": _from_eight for pack in ("", "pk_") for kind in ("fp8", "bf8")},
    **{f"v_cvt_pk_{kind}_f32": _to_eight for kind in ("fp8", "bf8")},
}

"""Matrix instructions of a warp: mma.sync, ldmatrix, stmatrix.

Fragments (PTX ISA, "Matrix Fragments for mma.m16n8k*"): with `g = lane / 4`, `t = lane mod 4` and `e` elements to a register,
register i of A holds row `g + 8·(i mod 2)` and columns `e·t + 4·e·(i / 2)` on; register i of B rows `e·t + 4·e·i` on of column
`g`; of C and D, elements 2j and 2j + 1 are row `g + 8·j`, columns `2t` and `2t + 1`. Sums are taken in float64 and rounded
once; a device rounds its partial sums.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators import floats
from rlx_runtime.emulators.machine import Step
from rlx_runtime.emulators.ptx.operands import Context, Source, encode
from rlx_runtime.emulators.ptx.threads import WARP, Threads, together
from rlx_runtime.emulators.ptx.warp import by_warp

Array = NDArray[Any]
G, T = np.arange(WARP) // 4, np.arange(WARP) % 4
BITS = {"f16": 16, "bf16": 16, "tf32": 32, "s8": 8, "u8": 8, "e4m3": 8, "e5m2": 8, "f64": 64}


def elements(words: Array, kind: str) -> Array:
    """uint32 words -> [..., elements of a word], as float64 (or int64 of integers), lowest first."""
    words = np.ascontiguousarray(words)
    if kind == "tf32":
        # The hardware reads the upper 19 bits.
        return (words & np.uint32(0xFFFF_E000)).view(np.float32).astype(np.float64)[..., None]
    parts = words[..., None].view(f"u{BITS[kind] // 8}")
    if kind == "f16":
        return parts.view(np.float16).astype(np.float64)
    if kind == "bf16":
        return floats.bf16_to_f32(parts).astype(np.float64)
    if kind in ("e4m3", "e5m2"):
        return floats.fp8_to_f32(parts, kind).astype(np.float64)
    return (parts.view(np.int8) if kind == "s8" else parts).astype(np.int64)


def multiply(c: Context) -> Step:
    """mma.sync.aligned.m16n8kK.row.col.D.A.B.C."""
    opcode, operands = c.statement.opcode, c.statement.operands
    shape = next((re.match(r"m16n8k(\d+)$", part) for part in opcode if part.startswith("m16n8k")), None)
    if shape is None or opcode[1] != "sync" or "row" not in opcode or "col" not in opcode or "satfinite" in opcode:
        raise c.unknown()
    depth = int(shape[1])
    result, left, right, start = opcode[-4:]
    if left not in BITS or left == "f64" or right not in BITS or result not in ("f32", "f16", "s32") or start != result:
        raise c.unknown()
    per = 32 // BITS[left]
    a, b = ([c.source(name, "b32") for name in c.group(text)] for text in operands[1:3])
    if len(a) != 2 * depth // (4 * per) or len(b) != depth // (4 * per):
        raise c.malformed(f"fragments of {len(a)} and {len(b)} registers do not hold 16 x {depth} and {depth} x 8 {left}")
    first = [c.source(name, result if result != "f16" else "f16x2") for name in c.group(operands[3])]
    targets = [c.target(name, "b32") for name in c.group(operands[0])]
    kind = c.kind("f16x2" if result == "f16" else result)
    number = np.int64 if result == "s32" else np.float64

    def step(m: Threads) -> None:
        warps = m.count // WARP
        left_matrix = np.zeros((warps, 16, depth), number)
        right_matrix = np.zeros((warps, depth, 8), number)
        for i, source in enumerate(a):
            values = elements(by_warp(m, source(m)), left)
            for e in range(per):
                left_matrix[:, G + 8 * (i % 2), per * T + e + 4 * per * (i // 2)] = values[..., e]
        for i, source in enumerate(b):
            values = elements(by_warp(m, source(m)), right)
            for e in range(per):
                right_matrix[:, per * T + e + 4 * per * i, G] = values[..., e]
        product = left_matrix @ right_matrix
        for i, (source, target) in enumerate(zip(first, targets)):
            if result == "f16":
                old = np.broadcast_to(source(m), (m.count, 2)).reshape(warps, WARP, 2)
                found = old + np.stack([product[:, G + 8 * i, 2 * T + e] for e in (0, 1)], axis=-1)
                target(m, encode(found.reshape(-1, 2), kind))
            else:
                found = by_warp(m, source(m)) + product[:, G + 8 * (i // 2), 2 * T + i % 2]
                target(m, encode(found.reshape(-1), kind))

    return together(step)


def _rows(m: Threads, address: Source, count: int) -> tuple[Array, Array]:
    """Addresses of the rows that the lanes of each warp name: [warps with active lanes, 8·count]; and those warps."""
    warps = np.unique(m.index // WARP)
    return address(m).reshape(len(warps), WARP)[:, : 8 * count], warps


def _matrix_form(c: Context) -> tuple[int, bool]:
    opcode = c.statement.opcode
    count = next((int(part[1:]) for part in opcode if part in ("x1", "x2", "x4")), 0)
    if "m8n8" not in opcode or opcode[-1] != "b16" or not count or "aligned" not in opcode:
        raise c.unknown()
    return count, "trans" in opcode


def load_matrix(c: Context) -> Step:
    """ldmatrix: 8 x 8 matrices of 16-bit elements from shared memory; lane l names row l mod 8 of matrix l / 8."""
    count, transposed = _matrix_form(c)
    targets = [c.target(name, "b32") for name in c.group(c.statement.operands[0])]
    address = c.address(c.statement.operands[1])

    def step(m: Threads) -> None:
        rows, warps = _rows(m, address, count)
        active = m.active
        mask = np.zeros((m.count // WARP, WARP), bool)
        mask[warps, : 8 * count] = True
        m.set_active(mask.reshape(-1))
        values = m.load("shared", rows.reshape(-1), 2, 8).reshape(len(warps), count, 8, 8)
        m.set_active(active)
        for i, target in enumerate(targets):
            matrix = values[:, i]
            pair = [matrix[:, 2 * T + e, G] if transposed else matrix[:, G, 2 * T + e] for e in (0, 1)]
            out = np.zeros((m.count // WARP, WARP), np.uint32)
            out[warps] = pair[0].astype(np.uint32) | (pair[1].astype(np.uint32) << np.uint32(16))
            target(m, out.reshape(-1))

    return together(step)


def store_matrix(c: Context) -> Step:
    """stmatrix: the opposite of ldmatrix."""
    count, transposed = _matrix_form(c)
    sources = [c.source(name, "b32") for name in c.group(c.statement.operands[1])]
    address = c.address(c.statement.operands[0])

    def step(m: Threads) -> None:
        rows, warps = _rows(m, address, count)
        values = np.zeros((len(warps), count, 8, 8), np.uint16)
        for i, source in enumerate(sources):
            words = by_warp(m, source(m))[warps]
            for e in (0, 1):
                part = (words >> np.uint32(16 * e)).astype(np.uint16)
                if transposed:
                    values[:, i, 2 * T + e, G] = part
                else:
                    values[:, i, G, 2 * T + e] = part
        active = m.active
        mask = np.zeros((m.count // WARP, WARP), bool)
        mask[warps, : 8 * count] = True
        m.set_active(mask.reshape(-1))
        m.store("shared", rows.reshape(-1), values.reshape(-1, 8))
        m.set_active(active)

    return together(step)


MATRIX: dict[str, Callable[[Context], Step]] = {"mma": multiply, "ldmatrix": load_matrix, "stmatrix": store_matrix}

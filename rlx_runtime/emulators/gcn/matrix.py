"""Matrix instructions of a wave: v_mfma (gfx9) and v_wmma (gfx11, gfx12).

Layouts (AMD's "Matrix Instruction Calculator" conventions). MFMA of m × n × k: lane l holds row (or column) `l mod m` of A (of B)
and elements `p·(l / m)` on along k, p = k·m/64; element `r` of C and D is row `8·(r / 4) + 4·(l / 32) + r mod 4` of 32 rows, or
`4·(l / 16) + r` of 16, and column `l mod n`. WMMA of 16 × 16 × 16: on gfx11 a lane holds all of row `l mod 16`, and element r of
D is row `2·r + l / 16`; on gfx12 elements `8·(l / 16)` on, and row `8·(l / 16) + r`. Sums are taken in float64, rounded once.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlx_runtime.emulators import floats
from rlx_runtime.emulators.gcn.operands import Context, Source, register
from rlx_runtime.emulators.gcn.vector_float import fp8
from rlx_runtime.emulators.gcn.waves import Waves
from rlx_runtime.emulators.machine import Step

Array = NDArray[Any]
_MFMA = re.compile(r"v_mfma_(f32|i32|f64)_(\d+)x(\d+)x(\d+)_?(bf16_1k|bf16|f16|f32|f64|i8|fp8_fp8|bf8_bf8|fp8_bf8|bf8_fp8|xf32)")
_WMMA = re.compile(r"v_wmma_(f32|f16|bf16|i32)_16x16x16_(f16|bf16|iu8|fp8_fp8|bf8_bf8|fp8_bf8|bf8_fp8)")


def _words(c: Context, text: str, count: int) -> Source:
    """[waves, lanes, count] of the registers of an operand; a number fills them all."""
    r = register(text)
    if r is None:
        value = c.source(text, "f32")
        return lambda m: np.broadcast_to(np.asarray(value(m), np.float32).view(np.uint32), (*m.lane_exists.shape, count))
    if r.count != count:
        raise c.malformed(f"{text} has {r.count} registers, the instruction needs {count}")
    return lambda m: np.stack([m.vector(r.number + i) for i in range(count)], axis=-1)


def elements(words: Array, kind: str, unsigned_zero: bool) -> Array:
    """uint32 [..., n] -> values [..., elements of them], lowest first, as float64 (int64 of integers)."""
    words = np.ascontiguousarray(words)
    if kind == "f32":
        return words.view(np.float32).astype(np.float64)
    if kind == "f64":
        return words.view(np.float64)
    if kind == "f16":
        return words.view(np.float16).astype(np.float64)
    if kind == "bf16":
        return floats.bf16_to_f32(words.view(np.uint16)).astype(np.float64)
    if kind in ("fp8", "bf8"):
        return fp8(words.view(np.uint8), "e4m3" if kind == "fp8" else "e5m2", unsigned_zero).astype(np.float64)
    return words.view(np.int8 if kind == "i8" else np.uint8).astype(np.int64)


BITS = {"f32": 32, "f16": 16, "bf16": 16, "fp8": 8, "bf8": 8, "i8": 8, "u8": 8, "f64": 64}


def matrix(c: Context) -> Step | None:
    name = c.instruction.name
    match = _MFMA.fullmatch(name)
    if match is not None:
        return _mfma(c, match)
    match = _WMMA.fullmatch(name)
    return None if match is None else _wmma(c, match)


def _mfma(c: Context, match: re.Match[str]) -> Step:
    rows, columns, depth = int(match[2]), int(match[3]), int(match[4])
    kinds = match[5].removesuffix("_1k").split("_")
    left, right = kinds[0], kinds[-1]
    if rows != columns or rows not in (16, 32) or match[1] == "f64" or left == "xf32":
        raise c.unknown()
    if any(value not in ("0", "") for key, value in c.instruction.modifiers.items() if key in ("cbsz", "abid", "blgp")):
        raise c.unknown(f"{c.instruction.name} with cbsz, abid or blgp")
    lanes, groups = np.arange(64), 64 // rows
    each = depth // groups
    if each * groups != depth:
        raise c.unknown()  # several blocks in one instruction
    results = rows * columns // 64
    element = np.arange(results)
    if rows == 32:
        row = 8 * (element // 4)[None, :] + 4 * (lanes // 32)[:, None] + (element % 4)[None, :]
    else:
        row = 4 * (lanes // 16)[:, None] + element[None, :]
    column = np.broadcast_to((lanes % columns)[:, None], row.shape)
    along = each * (lanes // rows)[:, None] + np.arange(each)[None, :]
    own = np.broadcast_to((lanes % rows)[:, None], along.shape)
    return _product(c, match[1], (left, right), (rows, columns, depth), (own, along), (row, column), each, results)


def _wmma(c: Context, match: re.Match[str]) -> Step:
    kinds = match[2].split("_")
    left, right = ("u8", "u8") if kinds[0] == "iu8" else (kinds[0], kinds[-1])
    if kinds[0] == "iu8":  # neg_lo says which of the two are signed
        left, right = ("i8" if c.bit("neg_lo", i) else "u8" for i in (0, 1))
    elif "neg_lo" in c.instruction.modifiers or "neg_hi" in c.instruction.modifiers:
        raise c.unknown(f"{c.instruction.name} with neg")
    if match[1] in ("f16", "bf16"):
        raise c.unknown()
    lanes, element = np.arange(32), np.arange(8)
    if c.generation == 11:
        each, along = 16, np.broadcast_to(np.arange(16), (32, 16))
        row = 2 * element[None, :] + (lanes // 16)[:, None]
    else:
        each, along = 8, 8 * (lanes // 16)[:, None] + np.arange(8)[None, :]
        row = 8 * (lanes // 16)[:, None] + element[None, :]
    own = np.broadcast_to((lanes % 16)[:, None], along.shape)
    column = np.broadcast_to((lanes % 16)[:, None], row.shape)
    return _product(c, match[1], (left, right), (16, 16, 16), (own, along), (row, column), each, 8)


def _product(c: Context, result: str, kinds: tuple[str, str], shape: tuple[int, int, int], inputs: tuple[Array, Array],
             outputs: tuple[Array, Array], each: int, results: int) -> Step:  # fmt: skip
    """D = A · B + C with every element where the index arrays [lanes, elements] say."""
    rows, columns, depth = shape
    own, along = inputs
    row, column = outputs
    operands = c.instruction.operands
    unsigned_zero = c.target_name == "gfx942"
    a, b = (_words(c, text, max(1, each * BITS[kind] // 32)) for text, kind in zip(operands[1:3], kinds))
    start = _words(c, operands[3], results)
    to = register(operands[0])
    if to is None or to.count != results:
        raise c.malformed(f"{operands[0]} does not hold {results} results")
    number = np.int64 if result == "i32" else np.float64
    held = np.int32 if result == "i32" else np.float32
    name = c.instruction.name

    def step(m: Waves) -> None:
        absent = m.lane_exists & ~m.execute
        if absent[m.index].any():
            raise m.fault("divergent-collective", f"lanes of the wave take no part in {name}")
        left_matrix = np.zeros((m.count, rows, depth), number)
        right_matrix = np.zeros((m.count, depth, columns), number)
        left_matrix[:, own, along] = elements(a(m), kinds[0], unsigned_zero)
        right_matrix[:, along, own] = elements(b(m), kinds[1], unsigned_zero)
        old = np.ascontiguousarray(start(m)).view(held)
        with np.errstate(all="ignore"):
            product = (left_matrix @ right_matrix)[:, row, column] + old
        raw = product.astype(held).view(np.uint32)
        for i in range(results):
            m.write_vector(to.number + i, np.ascontiguousarray(raw[:, :, i]))

    return step
